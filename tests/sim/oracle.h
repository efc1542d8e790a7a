/* The sentences of the design about what the engine decides, written as the slowest obvious loops.
 *
 * It shares nothing with the engine: no window, no table, no parser of rules. It keeps every match
 * by itself and counts anew each time. Memory that runs out ends the program. */
#ifndef DRAINWATCH_TESTS_ORACLE_H
#define DRAINWATCH_TESTS_ORACLE_H

#include "alerter/engine/engine.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    ORACLE_NAME = 32,
    ORACLE_RULES = 8,
    ORACLE_DRAINS = 8,
    ORACLE_APPS = 8,
    ORACLE_GROUP_BY = 3,
    ORACLE_MATCHES = 8, /* groups of matches in a record, and so its alerts */
    ORACLE_ALERTS = ORACLE_MATCHES + ORACLE_RULES, /* of a step: a rule has one digest at most */
    ORACLE_HELD = 8192,                            /* alerts of one digest */
};

struct oracle_rule {
    char name[ORACLE_NAME];
    int matching;                  /* two rules with the same number take the same lines */
    const char *apps[ORACLE_APPS]; /* only these; n_apps == 0: all */
    size_t n_apps;
    const char *group_by[ORACLE_GROUP_BY];
    size_t n_group_by;
    bool sample;
    uint64_t more_than;
    int64_t within_us;
    int64_t cooldown_us;
    uint64_t messages;
    int64_t period_us;
};

struct oracle_drain {
    const char *drain;
    const char *app;
};

struct oracle_rules {
    const char *app; /* NULL: no default */
    struct oracle_drain drains[ORACLE_DRAINS];
    size_t n_drains;
    struct oracle_rule rules[ORACLE_RULES];
    size_t n;
};

struct oracle_worst {
    const char *app;
    const char *values[ORACLE_GROUP_BY];
    uint64_t count;
};

struct oracle_withheld {
    const char *app;
    uint64_t alerts;
};

/* A digest if n_worst is not 0. */
struct oracle_alert {
    const struct oracle_rule *rule;
    const char *app;
    const char *values[ORACLE_GROUP_BY];
    int64_t at_us;
    uint64_t count;
    bool at_least;
    bool about;
    bool arrived_late;
    uint64_t suppressed;
    int64_t first_us;
    int64_t last_us;
    const struct wire_matches *shown;
    bool in_storm;
    uint64_t withheld;
    uint64_t groups;
    uint64_t apps;
    int64_t period_us;
    struct oracle_worst worst[WIRE_WORST_MAX];
    size_t n_worst;
    struct oracle_withheld by_app[WIRE_BY_APP_MAX];
    size_t n_by_app;
};

struct oracle_counts {
    uint64_t repeats, matches, too_late, skewed, unknown_rule, alerts, cooled, keys_dropped,
        groups_dropped, losses, withheld, digests;
    uint64_t filtered, unlisted; /* matches of a rule's other apps; records of no app's drain */
    uint64_t apps_dropped;
    size_t keys, times;
};

struct oracle;

struct oracle *oracle_new(const struct engine_limits *limits);
void oracle_free(struct oracle *o);
/* The texts that the rules point to must live as long as the oracle. These three answer the alerts
 * of the step, valid until the next call and while the record is. */
const struct oracle_alert *oracle_set_rules(struct oracle *o, const struct oracle_rules *rules,
                                            int64_t at_us, size_t *n);
const struct oracle_alert *oracle_step(struct oracle *o, const struct wire_record *record,
                                       int64_t step_us, size_t *n);
const struct oracle_alert *oracle_tick(struct oracle *o, int64_t at_us, size_t *n);
/* When the first digest is due; INT64_MAX: none is. */
int64_t oracle_next_us(const struct oracle *o);
/* The first breaches within a cooldown in that step; `at_us` is the cooldown's end. */
const struct oracle_alert *oracle_cooled(const struct oracle *o, size_t *n);
struct oracle_counts oracle_counts(const struct oracle *o);

#endif
