/* Counts the matches of one key, one by one. Called by the oracle. */
#include "tests/sim/oracle_key.h"

#include <stdlib.h>
#include <string.h>

void *oracle_grown(void *items, size_t n, size_t size)
{
    void *more = realloc(items, n * size);

    if (more == NULL)
        abort();
    return more;
}

static int64_t newest_of(const struct oracle_key *key)
{
    int64_t newest = INT64_MIN;

    for (size_t i = 0; i < key->n; i++)
        newest = key->matches[i].us > newest ? key->matches[i].us : newest;
    return newest;
}

/* "A key keeps what is younger than `within` + 1 h before its newest match (older ones are counted
 * as too late)." The newest may be one of this record. */
uint64_t oracle_key_keep_young(struct oracle_key *key, const struct oracle_rule *rule)
{
    int64_t newest = newest_of(key);
    uint64_t late = 0;

    for (size_t i = key->n; i-- > 0;) {
        if (key->matches[i].us > newest - rule->within_us - HOUR_US)
            continue;
        late += key->matches[i].fresh;
        key->n--;
        memmove(&key->matches[i], &key->matches[i + 1], (key->n - i) * sizeof *key->matches);
    }
    return late;
}

size_t oracle_key_times(const struct oracle_key *key, int64_t *oldest, int64_t *second)
{
    size_t n = 0;

    *oldest = *second = INT64_MAX;
    for (size_t i = 0; i < key->n; i++) {
        int64_t us = key->matches[i].us;
        bool first = true;

        for (size_t j = 0; j < i; j++)
            first = first && key->matches[j].us != us;
        if (!first)
            continue;
        n++;
        if (us < *oldest) {
            *second = *oldest;
            *oldest = us;
        } else if (us < *second) {
            *second = us;
        }
    }
    return n;
}

/* "Above 65,536 distinct times the two oldest merge into the later of them." */
void oracle_key_merge(struct oracle_key *key, size_t max_times)
{
    int64_t oldest, second;

    while (oracle_key_times(key, &oldest, &second) > max_times) {
        for (size_t i = 0; i < key->n; i++) {
            if (key->matches[i].us == oldest)
                key->matches[i].us = second;
        }
        key->merged = true;
        key->merged_us = second;
    }
}

/* The interval (x - within, x]. */
static void try_interval(const struct oracle_key *key, const struct oracle_rule *rule, int64_t x,
                         struct oracle_alert *best)
{
    uint64_t count = 0;
    bool has_fresh = false;
    int64_t first = INT64_MAX, last = INT64_MIN;

    for (size_t i = 0; i < key->n; i++) {
        int64_t us = key->matches[i].us;

        if (us > x || us <= x - rule->within_us)
            continue;
        count++;
        has_fresh = has_fresh || key->matches[i].fresh;
        first = us < first ? us : first;
        last = us > last ? us : last;
    }
    if (!has_fresh || count < best->count || (count == best->count && last < best->last_us))
        return;
    best->count = count;
    best->first_us = first;
    best->last_us = last;
    best->about = key->merged && last - rule->within_us < key->merged_us;
}

/* "The key is in breach if some interval that contains one of the new matches holds more than
 * `more_than` matches; the alert's count is the largest such interval's (of several, the latest)."
 * What an interval holds changes only where x passes a match or a match plus `within`. */
struct oracle_alert oracle_key_largest(const struct oracle_key *key, const struct oracle_rule *rule)
{
    struct oracle_alert best = {.rule = rule, .last_us = INT64_MIN};

    for (size_t i = 0; i < key->n; i++) {
        try_interval(key, rule, key->matches[i].us, &best);
        try_interval(key, rule, key->matches[i].us + rule->within_us - 1, &best);
        try_interval(key, rule, key->matches[i].us + rule->within_us, &best);
    }
    return best;
}
