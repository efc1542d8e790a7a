/* The decision on one key: does it breach, and does its cooldown allow an alert?
 *
 * Pure. The engine calls it once for each key that a record brought matches for. */
#ifndef DRAINWATCH_ALERTER_ENGINE_JUDGE_H
#define DRAINWATCH_ALERTER_ENGINE_JUDGE_H

#include "alerter/engine/keys.h"
#include "alerter/engine/window.h"
#include "common/rules/rules.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum judge_verdict {
    JUDGE_QUIET,  /* no breach */
    JUDGE_ALERT,  /* a breach, and the key's cooldown is over */
    JUDGE_COOLED, /* a breach within the key's cooldown */
};

struct judge_result {
    enum judge_verdict verdict;
    struct window_count most; /* JUDGE_ALERT: the largest interval that holds a new match */
    uint64_t suppressed;      /* JUDGE_ALERT: matches put in after the key's last alert */
    int64_t before_us;        /* JUDGE_ALERT: time of that alert, KEY_NEVER: there was none */
    bool is_first;            /* JUDGE_COOLED: no earlier breach fell into this cooldown */
};

/* Judges a key after the sorted `fresh` runs, at least one, were put into its window, and updates
 * it: the time of its last alert and the matches suppressed since. */
struct judge_result judge_key(struct key *key, const struct rule *rule,
                              const struct window_run *fresh, size_t n, int64_t step_us);

/* When the key may alert again; at or before `step_us` if it may now. */
int64_t judge_cooldown_end_us(const struct key *key, const struct rule *rule);

/* How many matches the runs hold. */
uint64_t judge_matches(const struct window_run *runs, size_t n);

/* The rule's `within` in milliseconds, rounded up. Windows hold whole milliseconds, so rounding
 * changes no verdict. */
int64_t judge_within_ms(const struct rule *rule);

#endif
