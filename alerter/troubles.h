/* What an operator should hear of while the alerter serves: each at once when it first comes up,
 * and from then on each minute what came since. */
#ifndef DRAINWATCH_ALERTER_TROUBLES_H
#define DRAINWATCH_ALERTER_TROUBLES_H

#include "alerter/engine.h"
#include "alerter/inbox.h"
#include "common/err.h"
#include "common/settings.h"

#include <stdbool.h>
#include <stdint.h>

/* Something that is counted, and of how many it was told. */
struct troubles_count {
    uint64_t said;
    int64_t say_again_us;
};

struct troubles {
    bool is_failing; /* the last turn that had anything to store */
    int64_t say_failing_us;
    int64_t say_refused_us;
    struct troubles_count strangers;
    struct troubles_count unknown_rule;
    struct troubles_count groups_dropped;
    struct troubles_count losses;
};

/* Says what the alerter begins to serve with. What the engine counted before that was said before:
 * its counts outlive a restart. */
void troubles_begin(struct troubles *t, const struct settings *settings,
                    const struct engine *engine);

/* How a turn with something to store ended. */
void troubles_turn_failed(struct troubles *t, const struct err *why, int64_t now_us);
void troubles_turn_went_well(struct troubles *t);

/* Once a turn. */
void troubles_say(struct troubles *t, struct inbox *inbox, const struct engine *engine,
                  const char *queue, int64_t now_us);

#endif
