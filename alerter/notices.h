/* What an operator should hear of while the alerter serves: each at once when it first comes up,
 * and from then on each minute what came since. */
#ifndef DRAINWATCH_ALERTER_NOTICES_H
#define DRAINWATCH_ALERTER_NOTICES_H

#include "alerter/engine/engine.h"
#include "common/app/settings.h"
#include "common/base/err.h"
#include "common/queue/receiver.h"

#include <stdbool.h>
#include <stdint.h>

/* Something that is counted, and of how many it was told. */
struct notices_count {
    uint64_t said;
    int64_t say_again_us;
};

struct notices {
    bool is_failing; /* the last turn that had anything to store */
    int64_t say_failing_us;
    int64_t say_refused_us;
    struct notices_count strangers;
    struct notices_count unknown_rule;
    struct notices_count groups_dropped;
    struct notices_count losses;
};

/* Says what the alerter begins to serve with. What the engine counted before that was said before:
 * its counts outlive a restart. */
void notices_begin(struct notices *t, const struct settings *settings, const struct engine *engine);

/* How a turn with something to store ended. */
void notices_turn_failed(struct notices *t, const struct err *why, int64_t now_us);
void notices_turn_went_well(struct notices *t);

/* Once a turn. */
void notices_say(struct notices *t, struct receiver *receiver, const struct engine *engine,
                 const char *queue, int64_t now_us);

#endif
