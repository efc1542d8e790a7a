/* Decides whether a key breaches and may alert. Called by engine.c for each key of a record. */
#include "alerter/engine/judge.h"

#include "common/base/time.h"

int64_t judge_within_ms(const struct rule *rule)
{
    return rule->within_us / TIME_MS + (rule->within_us % TIME_MS != 0);
}

uint64_t judge_matches(const struct window_run *runs, size_t n)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < n; i++)
        sum += runs[i].n;
    return sum;
}

int64_t judge_cooldown_end_us(const struct key *key, const struct rule *rule)
{
    int64_t end_us;

    if (key->alerted_us == KEY_NEVER)
        return INT64_MIN;
    return __builtin_add_overflow(key->alerted_us, rule->cooldown_us, &end_us) ? INT64_MAX : end_us;
}

struct judge_result judge_key(struct key *key, const struct rule *rule,
                              const struct window_run *fresh, size_t n, int64_t step_us)
{
    const int64_t within_ms = judge_within_ms(rule);
    bool breach = window_exceeds(&key->window, fresh, n, within_ms, rule->more_than);
    struct judge_result result = {.verdict = JUDGE_QUIET};

    if (breach && step_us >= judge_cooldown_end_us(key, rule)) {
        result.most = window_judge(&key->window, fresh, n, within_ms);
        result.suppressed = key->since;
        result.before_us = key->alerted_us;
        result.verdict = JUDGE_ALERT;
        key->alerted_us = step_us;
        key->since = 0;
        key->is_noted = false;
        return result;
    }
    if (breach) {
        result.verdict = JUDGE_COOLED;
        result.is_first = !key->is_noted;
        key->is_noted = true;
    }
    if (key->alerted_us != KEY_NEVER)
        key->since += judge_matches(fresh, n);
    return result;
}
