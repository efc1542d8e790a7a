/* What engine.c and engine_save.c share, and nobody else includes. */
#ifndef DRAINWATCH_ALERTER_ENGINE_IMPL_H
#define DRAINWATCH_ALERTER_ENGINE_IMPL_H

#include "alerter/engine.h"
#include "alerter/frames.h"
#include "alerter/keys.h"
#include "alerter/ruleset.h"
#include "alerter/window.h"

/* A key that the record in hand has matches of, and which of its groups of matches they are. */
struct engine_touch {
    struct key *key;
    const struct rule *rule;
    size_t first_group;
    size_t last_group;
};

struct engine {
    struct ruleset rules; /* all zeros while there are none */
    struct keys *keys;
    struct frames frames;
    int64_t step_us; /* of the last step, 0 before the first */
    uint64_t steps;  /* since this engine was made; marks what a step touched, is not saved */
    struct engine_counts counts;
    struct engine_limits limits;

    /* The step in hand. Kept from step to step for its memory. */
    struct engine_touch *touches;
    size_t n_touches;
    size_t *next_group; /* for each group of the record, the key's next one */
    struct wire_alert *alerts;
    size_t n_alerts;
    size_t groups_cap; /* of the three above */
    struct window_run *runs;
    size_t runs_cap;
};

#endif
