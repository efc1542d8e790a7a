/* What engine.c, engine_judge.c and engine_save.c share, and nobody else includes. */
#ifndef DRAINWATCH_ALERTER_ENGINE_ENGINE_IMPL_H
#define DRAINWATCH_ALERTER_ENGINE_ENGINE_IMPL_H

#include "alerter/engine/engine.h"
#include "alerter/engine/keys.h"
#include "alerter/engine/losses.h"
#include "alerter/engine/repeats.h"
#include "alerter/engine/ruleset.h"
#include "alerter/engine/window.h"

/* A key that the record in hand has matches of, and which of its groups of matches they are. */
struct engine_touch {
    struct key *key;
    const struct rule *rule;
    size_t first_group;
    size_t last_group;
    struct wire_group pairs[RULES_GROUP_BY_MAX]; /* the key's, where there is an alert */
};

struct engine {
    struct ruleset rules; /* all zeros while there are none */
    struct keys *keys;
    struct repeats frames;
    struct losses losses;
    int64_t step_us; /* of the last step, 0 before the first */
    struct engine_counts counts;
    struct engine_limits limits;

    /* The step in hand. Kept from step to step for its memory. */
    const char *app;     /* of the record */
    int64_t received_us; /* of the record, unless that cannot be */
    struct engine_touch *touches;
    size_t n_touches;
    size_t *next_group; /* for each group of the record, the key's next one */
    struct wire_alert *alerts;
    size_t n_alerts;
    size_t groups_cap; /* of the three above */
    struct window_run *runs;
    size_t runs_cap;
};

/* What the matches say of a key of the rule's group_by; "" where they say nothing. */
const char *engine_group_value(const struct wire_matches *matches, const char *key);

/* Puts the matches of a touched key in and judges it. That other keys' are put in later makes no
 * difference to it: keys share nothing. Returns 0 or ERR_NOMEM. */
int engine_settle(struct engine *e, const struct wire_record *record, struct engine_touch *t);

#endif
