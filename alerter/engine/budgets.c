/* Keeps the budget of messages of each rule. Called by the engine. */
#include "alerter/engine/budgets.h"

#include <assert.h>
#include <stdlib.h>

int budgets_init(struct budgets *b, size_t n)
{
    *b = (struct budgets){.list = calloc(n + 1, sizeof *b->list), .n = n, .next_us = INT64_MAX};
    return b->list == NULL ? ERR_NOMEM : 0;
}

void budgets_close(struct budgets *b)
{
    for (size_t i = 0; b->list != NULL && i < b->n; i++) {
        digest_free(b->list[i].digest);
        app_times_close(&b->list[i].alerted);
        app_times_close(&b->list[i].before);
    }
    free(b->list);
    *b = (struct budgets){.next_us = INT64_MAX};
}

static void begin_period(struct budget *one, int64_t starts_us, int64_t period_us, bool is_storm)
{
    struct app_times before = one->alerted;
    int64_t ends_us;

    if (__builtin_add_overflow(starts_us, period_us, &ends_us))
        ends_us = INT64_MAX;
    app_times_close(&one->before);
    if (!is_storm)
        app_times_close(&before);
    *one = (struct budget){
        .starts_us = starts_us, .ends_us = ends_us, .is_storm = is_storm, .before = before};
}

static void note_due(struct budgets *b, const struct budget *one)
{
    if (one->digest != NULL && one->ends_us < b->next_us)
        b->next_us = one->ends_us;
}

static void find_next(struct budgets *b)
{
    b->next_us = INT64_MAX;
    for (size_t i = 0; i < b->n; i++)
        note_due(b, &b->list[i]);
}

/* Whether the app's alert, which is counted, gets a message beyond the budget. */
static bool is_extra(const struct budget *one, const struct rule *rule, const char *app)
{
    const uint64_t n = app_times_marks(&one->alerted, app) + app_times_marks(&one->before, app);

    return n <= rule->messages.n && one->extra < (n == 1 ? BUDGETS_APPS : BUDGETS_FURTHER);
}

int budgets_spend(struct budgets *b, size_t i, const struct rule *rule, const char *app,
                  int64_t at_us)
{
    struct budget *one = &b->list[i];

    if (at_us >= one->ends_us)
        begin_period(one, at_us, rule->messages.period_us, false);
    if (app_times_mark(&one->alerted, app, at_us, BUDGETS_APPS_MAX) != 0)
        return ERR_NOMEM;
    if (!one->is_storm && one->digest == NULL && one->sent < rule->messages.n)
        one->sent++;
    else if (is_extra(one, rule, app))
        one->extra++;
    else
        return 0;
    return 1;
}

int budgets_withhold(struct budgets *b, size_t i, const struct wire_alert *alert, int64_t before_us,
                     uint64_t more)
{
    struct budget *one = &b->list[i];

    if (one->digest != NULL)
        return digest_add(one->digest, alert, before_us >= one->digest->since_us ? more : 0);
    one->digest = digest_new(alert);
    note_due(b, one);
    return one->digest == NULL ? ERR_NOMEM : 0;
}

size_t budgets_due(const struct budgets *b, int64_t at_us)
{
    size_t i = 0;

    if (b->next_us > at_us || b->next_us == INT64_MAX)
        return SIZE_MAX;
    while (b->list[i].digest == NULL || b->list[i].ends_us != b->next_us)
        i++;
    return i;
}

size_t budgets_waiting(const struct budgets *b)
{
    size_t n = 0;

    for (size_t i = 0; i < b->n; i++)
        n += b->list[i].digest != NULL;
    return n;
}

struct digest *budgets_take(struct budgets *b, size_t i, const struct rule *rule)
{
    struct budget *one = &b->list[i];
    struct digest *taken = one->digest;

    assert(taken != NULL);
    begin_period(one, one->ends_us, rule->messages.period_us, true);
    find_next(b);
    return taken;
}

void budgets_move(struct budgets *from, size_t i, struct budgets *to, size_t j)
{
    to->list[j] = from->list[i];
    from->list[i] = (struct budget){0};
    note_due(to, &to->list[j]);
}

/* ---- saving and loading ---- */

static bool matters(const struct budget *one, int64_t step_us)
{
    return one->digest != NULL || one->ends_us > step_us;
}

void budgets_save(const struct budgets *b, const struct rules *rules, int64_t step_us,
                  struct snapshot_writer *out)
{
    size_t n = 0;

    for (size_t i = 0; i < b->n; i++)
        n += matters(&b->list[i], step_us);
    snapshot_put_u64(out, n);
    for (size_t i = 0; i < b->n; i++) {
        const struct budget *one = &b->list[i];

        if (!matters(one, step_us))
            continue;
        snapshot_put_u64(out, i);
        snapshot_put_i64(out, one->starts_us);
        snapshot_put_i64(out, one->ends_us);
        snapshot_put_u64(out, one->sent);
        snapshot_put_u64(out, one->is_storm);
        snapshot_put_u64(out, one->digest != NULL);
        if (one->digest != NULL)
            digest_save(one->digest, &rules->rules[i], out);
        snapshot_put_u64(out, one->extra);
        app_times_save(&one->alerted, out);
        app_times_save(&one->before, out);
    }
}

/* Versions 5 and 6 have one list of apps, and the time at which it begins. */
static int load_apps(struct budget *one, int64_t step_us, struct snapshot_reader *in)
{
    int rc;

    if (in->version < 5)
        return 0;
    if (in->version < 7)
        (void)snapshot_get_i64(in);
    one->extra = snapshot_get_max(in, BUDGETS_APPS);
    rc = app_times_load(&one->alerted, in, BUDGETS_APPS_MAX, step_us);
    return rc != 0 || in->version < 7 ? rc
                                      : app_times_load(&one->before, in, BUDGETS_APPS_MAX, step_us);
}

static int load_one(struct budgets *b, const struct rules *rules, int64_t step_us,
                    struct snapshot_reader *in)
{
    const size_t i = (size_t)snapshot_get_u64(in);
    struct budget *one;
    int rc = 0;

    if (in->bad || i >= b->n || b->list[i].ends_us != 0)
        return ERR_DAMAGED;
    one = &b->list[i];
    one->starts_us = snapshot_get_i64(in);
    one->ends_us = snapshot_get_i64(in);
    one->sent = snapshot_get_u64(in);
    one->is_storm = snapshot_get_max(in, 1) != 0;
    if (snapshot_get_max(in, 1) != 0)
        rc = digest_load(&one->digest, &rules->rules[i], step_us, in);
    if (rc == 0)
        rc = load_apps(one, step_us, in);
    if (rc == 0 && (in->bad || one->starts_us < 0 || one->starts_us > step_us ||
                    one->ends_us <= one->starts_us || (in->version >= 7 && !matters(one, step_us))))
        rc = ERR_DAMAGED;
    note_due(b, one);
    return rc;
}

int budgets_load(struct budgets *b, const struct rules *rules, int64_t step_us,
                 struct snapshot_reader *in)
{
    size_t n = snapshot_get_count(in, 6);
    int rc = 0;

    for (size_t i = 0; i < n && rc == 0; i++)
        rc = load_one(b, rules, step_us, in);
    return rc == 0 && in->bad ? ERR_DAMAGED : rc;
}
