/* The sentences of the design about what the engine decides, written as the slowest obvious loops.
 *
 * It shares nothing with the engine: no window, no table, no parser of rules. It keeps every match
 * by itself and counts anew each time. Memory that runs out ends the program. */
#ifndef DRAINWATCH_TESTS_ORACLE_H
#define DRAINWATCH_TESTS_ORACLE_H

#include "alerter/engine.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { ORACLE_NAME = 32, ORACLE_RULES = 8 };

struct oracle_rule {
    char name[ORACLE_NAME];
    int matching; /* two rules with the same number take the same lines */
    uint64_t more_than;
    int64_t within_us;
    int64_t cooldown_us;
};

struct oracle_alert {
    const struct oracle_rule *rule;
    const char *app;
    int64_t at_us;
    uint64_t count;
    bool about;
    uint64_t suppressed;
    int64_t first_us;
    int64_t last_us;
    const struct wire_matches *shown;
};

struct oracle_counts {
    uint64_t repeats, matches, too_late, unknown_rule, alerts, keys_dropped;
    size_t keys;
};

struct oracle;

struct oracle *oracle_new(const struct engine_limits *limits);
void oracle_free(struct oracle *o);
void oracle_set_rules(struct oracle *o, const struct oracle_rule *rules, size_t n);
/* Answers the alerts of the step, valid until the next call; `app` is the drain's. */
const struct oracle_alert *oracle_step(struct oracle *o, const char *app,
                                       const struct wire_record *record, int64_t step_us,
                                       size_t *n);
struct oracle_counts oracle_counts(const struct oracle *o);

#endif
