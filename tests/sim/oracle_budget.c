/* Withholds alerts and makes digests of them. Called by the oracle. */
#include "tests/sim/oracle_budget.h"

#include "tests/sim/oracle_key.h"

#include <stdlib.h>
#include <string.h>

void oracle_budget_close(struct oracle_budget *b)
{
    free(b->held);
    free(b->told);
    *b = (struct oracle_budget){.has_period = false};
}

/* "A period begins with a rule's first alert after the last period." */
bool oracle_budget_spend(struct oracle_budget *b, const struct oracle_rule *rule, int64_t at_us)
{
    if (!b->has_period || at_us >= b->ends_us) {
        b->has_period = true;
        b->starts_us = at_us;
        b->ends_us = at_us + rule->period_us;
        b->sent = 0;
        b->is_storm = false;
    }
    if (b->is_storm || b->n_held > 0 || b->sent >= rule->messages)
        return false;
    b->sent++;
    return true;
}

/* "A group counts once in a digest; if it alerts again, only its further matches are added." It is
 * in the digest if its alert before this one was not earlier than the digest's first. */
void oracle_budget_withhold(struct oracle_budget *b, const struct oracle_alert *alert,
                            bool alerted_before, int64_t before_us, uint64_t more)
{
    bool again = b->n_held > 0 && alerted_before && before_us >= b->held[0].at_us;
    struct oracle_held held = {.at_us = alert->at_us,
                               .count = alert->count,
                               .more = again ? more : 0,
                               .first_us = alert->first_us,
                               .last_us = alert->last_us};

    strcpy(held.app, alert->app);
    for (size_t i = 0; i < ORACLE_GROUP_BY; i++)
        strcpy(held.values[i], alert->values[i]);
    b->held = oracle_grown(b->held, b->n_held + 1, sizeof *b->held);
    b->held[b->n_held++] = held;
}

static bool same_group(const struct oracle_held *a, const struct oracle_held *b)
{
    bool same = strcmp(a->app, b->app) == 0;

    for (size_t i = 0; i < ORACLE_GROUP_BY; i++)
        same = same && strcmp(a->values[i], b->values[i]) == 0;
    return same;
}

/* Whether no other alert of its group has a higher count, or had this one earlier. */
static bool is_best_of_group(const struct oracle_budget *b, size_t at)
{
    for (size_t i = 0; i < b->n_held; i++) {
        if (same_group(&b->held[i], &b->held[at]) &&
            (b->held[i].count > b->held[at].count ||
             (b->held[i].count == b->held[at].count && i < at)))
            return false;
    }
    return true;
}

/* "The groups with the highest counts, the highest first; of equal ones the first." */
static void find_worst(const struct oracle_budget *b, struct oracle_alert *digest)
{
    bool used[ORACLE_HELD] = {false};

    while (digest->n_worst < WIRE_WORST_MAX) {
        size_t best = SIZE_MAX;

        for (size_t i = 0; i < b->n_held; i++) {
            if (!used[i] && is_best_of_group(b, i) &&
                (best == SIZE_MAX || b->held[i].count > b->held[best].count))
                best = i;
        }
        if (best == SIZE_MAX)
            return;
        used[best] = true;
        digest->worst[digest->n_worst].app = b->held[best].app;
        for (size_t i = 0; i < ORACLE_GROUP_BY; i++)
            digest->worst[digest->n_worst].values[i] = b->held[best].values[i];
        digest->worst[digest->n_worst++].count = b->held[best].count;
    }
}

struct oracle_alert oracle_budget_digest(struct oracle_budget *b, const struct oracle_rule *rule,
                                         int64_t at_us)
{
    struct oracle_alert digest = {.rule = rule,
                                  .app = b->held[0].app,
                                  .at_us = at_us,
                                  .first_us = INT64_MAX,
                                  .last_us = INT64_MIN,
                                  .in_storm = b->is_storm,
                                  .withheld = b->n_held,
                                  .period_us = at_us - b->starts_us};

    if (b->n_held > ORACLE_HELD)
        abort();
    for (size_t i = 0; i < b->n_held; i++) {
        const struct oracle_held *held = &b->held[i];

        digest.groups += held->more == 0;
        digest.count += held->more == 0 ? held->count : held->more;
        digest.first_us = held->first_us < digest.first_us ? held->first_us : digest.first_us;
        digest.last_us = held->last_us > digest.last_us ? held->last_us : digest.last_us;
        if (strcmp(held->app, b->held[0].app) != 0)
            digest.app = "";
    }
    find_worst(b, &digest);
    free(b->told);
    b->told = b->held;
    b->held = NULL;
    b->n_held = 0;
    b->is_storm = true;
    b->sent = 0;
    b->starts_us = at_us;
    b->ends_us = at_us + rule->period_us;
    return digest;
}
