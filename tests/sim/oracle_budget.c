/* Withholds alerts and makes digests of them. Called by the oracle. */
#include "tests/sim/oracle_budget.h"

#include "alerter/engine/budgets.h"
#include "tests/sim/oracle_key.h"

#include <stdlib.h>
#include <string.h>

void oracle_budget_close(struct oracle_budget *b)
{
    free(b->held);
    free(b->told);
    *b = (struct oracle_budget){.has_period = false};
}

/* The number of this alert among those of its app in this period, in a storm also in the last. */
static uint64_t count_of_app(struct oracle_budget *b, const char *app)
{
    size_t i = 0;

    while (i < b->n_apps && strcmp(b->apps[i].app, app) != 0)
        i++;
    if (i == ORACLE_APPS_SEEN)
        abort();
    b->n_apps += i == b->n_apps;
    strcpy(b->apps[i].app, app);
    return ++b->apps[i].n + b->apps[i].before;
}

static void begin_period(struct oracle_budget *b, int64_t starts_us, int64_t period_us,
                         bool is_storm)
{
    b->starts_us = starts_us;
    b->ends_us = starts_us + period_us;
    b->sent = b->extra = 0;
    b->is_storm = is_storm;
    for (size_t i = 0; i < b->n_apps; i++) {
        b->apps[i].before = is_storm ? b->apps[i].n : 0;
        b->apps[i].n = 0;
    }
}

/* "A period begins with a rule's first alert after the last period." "An alert gets a message
 * beyond the budget if its app had few; ten in a period do; after five only an app's first one." */
bool oracle_budget_spend(struct oracle_budget *b, const struct oracle_rule *rule, const char *app,
                         int64_t at_us)
{
    uint64_t n;

    if (!b->has_period || at_us >= b->ends_us)
        begin_period(b, at_us, rule->period_us, false);
    b->has_period = true;
    n = count_of_app(b, app);
    if (!b->is_storm && b->n_held == 0 && b->sent < rule->messages) {
        b->sent++;
        return true;
    }
    if (n > rule->messages || b->extra == BUDGETS_APPS || (b->extra >= BUDGETS_FURTHER && n > 1))
        return false;
    b->extra++;
    return true;
}

/* "A group counts once in a digest; if it alerts again, only its further matches are added." It is
 * in the digest if its alert before this one was withheld, not earlier than the digest's first. */
void oracle_budget_withhold(struct oracle_budget *b, const struct oracle_alert *alert,
                            bool withheld_before, int64_t before_us, uint64_t more)
{
    bool again = b->n_held > 0 && withheld_before && before_us >= b->held[0].at_us;
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

/* How many groups of its app have a higher count, or the same and came earlier. */
static size_t place_in_app(const struct oracle_budget *b, size_t at)
{
    size_t place = 0;

    for (size_t i = 0; i < b->n_held; i++) {
        bool is_ahead = b->held[i].count > b->held[at].count ||
                        (b->held[i].count == b->held[at].count && i < at);

        place += is_ahead && strcmp(b->held[i].app, b->held[at].app) == 0 && is_best_of_group(b, i);
    }
    return place;
}

/* "Each app has its worst group named before any has a second one; of equal counts the first." */
static void choose_worst(const struct oracle_budget *b, bool chosen[ORACLE_HELD])
{
    for (size_t n = 0; n < WIRE_WORST_MAX; n++) {
        size_t best = SIZE_MAX, best_place = SIZE_MAX;

        for (size_t i = 0; i < b->n_held; i++) {
            size_t place = chosen[i] || !is_best_of_group(b, i) ? SIZE_MAX : place_in_app(b, i);

            if (place < best_place || (place != SIZE_MAX && place == best_place &&
                                       b->held[i].count > b->held[best].count)) {
                best = i;
                best_place = place;
            }
        }
        if (best != SIZE_MAX)
            chosen[best] = true;
    }
}

/* "The highest count first; of equal ones the first." */
static void find_worst(const struct oracle_budget *b, struct oracle_alert *digest)
{
    bool chosen[ORACLE_HELD] = {false};

    choose_worst(b, chosen);
    for (;;) {
        size_t best = SIZE_MAX;

        for (size_t i = 0; i < b->n_held; i++) {
            if (chosen[i] && (best == SIZE_MAX || b->held[i].count > b->held[best].count))
                best = i;
        }
        if (best == SIZE_MAX)
            return;
        chosen[best] = false;
        digest->worst[digest->n_worst].app = b->held[best].app;
        for (size_t i = 0; i < ORACLE_GROUP_BY; i++)
            digest->worst[digest->n_worst].values[i] = b->held[best].values[i];
        digest->worst[digest->n_worst++].count = b->held[best].count;
    }
}

static bool is_first_of_app(const struct oracle_budget *b, size_t at)
{
    for (size_t i = 0; i < at; i++) {
        if (strcmp(b->held[i].app, b->held[at].app) == 0)
            return false;
    }
    return true;
}

static uint64_t count_held(const struct oracle_budget *b, const char *app)
{
    uint64_t n = 0;

    for (size_t i = 0; i < b->n_held; i++)
        n += strcmp(b->held[i].app, app) == 0;
    return n;
}

static bool is_last_of_app(const struct oracle_budget *b, size_t at)
{
    for (size_t i = at + 1; i < b->n_held; i++) {
        if (strcmp(b->held[i].app, b->held[at].app) == 0)
            return false;
    }
    return true;
}

/* "The apps with the most withheld alerts are told; of equal ones that whose last alert is older."
 */
static void find_by_app(const struct oracle_budget *b, struct oracle_alert *digest)
{
    bool chosen[ORACLE_HELD] = {false};

    while (digest->n_by_app < WIRE_BY_APP_MAX) {
        size_t best = SIZE_MAX;
        uint64_t most = 0;

        for (size_t i = 0; i < b->n_held; i++) {
            const uint64_t n = count_held(b, b->held[i].app);

            if (!chosen[i] && is_last_of_app(b, i) && n > most) {
                best = i;
                most = n;
            }
        }
        if (best == SIZE_MAX)
            return;
        chosen[best] = true;
        digest->by_app[digest->n_by_app].app = b->held[best].app;
        digest->by_app[digest->n_by_app++].alerts = most;
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
        digest.apps += is_first_of_app(b, i);
    }
    if (digest.apps > 1)
        digest.app = "";
    find_worst(b, &digest);
    find_by_app(b, &digest);
    free(b->told);
    b->told = b->held;
    b->held = NULL;
    b->n_held = 0;
    begin_period(b, at_us, rule->period_us, true);
    return digest;
}
