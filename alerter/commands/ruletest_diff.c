/* Compares expected alerts with decided ones. Called by ruletest for each test. */
#include "alerter/commands/ruletest_diff.h"

#include "common/base/err.h"
#include "common/base/text.h"
#include "common/base/time.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum { LEFT_OUT_ROOM = 64 };

/* Room enough for the words of a time; longer groups are cut. */
enum { SPAN_SIZE = 64, GROUP_MAX = 1000 };

void ruletest_diff_begin(struct ruletest_diff *d, const char *file, const struct rules *rules,
                         const struct ruletest *test)
{
    *d = (struct ruletest_diff){.file = file, .rules = rules, .test = test};
    buf_init(&d->text, RULETEST_DIFF_MAX);
}

void ruletest_diff_close(struct ruletest_diff *d)
{
    buf_close(&d->text);
}

/* ---- how things are said ---- */

/* A moment as a test writes it: "1h0m12s", "-5s", "12s3ms7us". */
static void span(const struct ruletest_diff *d, int64_t us, char out[SPAN_SIZE])
{
    static const struct {
        const char *suffix;
        int64_t us;
    } units[] = {{"d", TIME_DAY}, {"h", TIME_HOUR}, {"m", TIME_MINUTE},
                 {"s", TIME_S},   {"ms", TIME_MS},  {"us", 1}};
    int64_t since = us - d->test->start_us;
    int64_t left = since < 0 ? -since : since;
    size_t n = 0;

    if (since < 0)
        n += (size_t)snprintf(out, SPAN_SIZE, "-");
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (left >= units[i].us)
            n += (size_t)snprintf(out + n, SPAN_SIZE - n, "%" PRId64 "%s", left / units[i].us,
                                  units[i].suffix);
        left %= units[i].us;
    }
    if (since == 0)
        snprintf(out, SPAN_SIZE, "0s");
}

static void show_group(const struct wire_group *group, size_t n, struct buf *out)
{
    (void)buf_puts(out, "{");
    for (size_t i = 0; i < n; i++) {
        (void)buf_puts(out, i > 0 ? ", " : "");
        (void)text_append_printable(out, group[i].key, strlen(group[i].key));
        (void)buf_puts(out, ": ");
        (void)text_append_printable(out, group[i].value, strlen(group[i].value));
    }
    (void)buf_puts(out, "}");
}

/* A difference is shown whole or not at all. */
__attribute__((format(printf, 3, 4))) static void say(struct ruletest_diff *d, size_t line,
                                                      const char *fmt, ...)
{
    size_t before = d->text.len;
    char text[GROUP_MAX + 1000];
    va_list ap;
    int rc;

    d->n_differences++;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    rc = d->n_left_out > 0 ? ERR_FULL : buf_printf(&d->text, "  %s:%zu: %s\n", d->file, line, text);
    if (rc == 0 && d->text.max_bytes - d->text.len < LEFT_OUT_ROOM) {
        d->text.len = before;
        d->text.data[before] = 0;
        rc = ERR_FULL;
    }
    if (rc == ERR_FULL)
        d->n_left_out++;
    else if (rc != 0)
        d->rc = rc;
}

static bool is_rule(const struct ruletest_diff *d, const char *name)
{
    for (size_t i = 0; i < d->rules->n; i++) {
        if (strcmp(d->rules->rules[i].name, name) == 0)
            return true;
    }
    return false;
}

/* What a test gives of an alert beside its time and rule, each behind a comma. */
static void show_expected(const struct ruletest_diff *d, const struct ruletest_alert *e,
                          struct buf *out)
{
    if (e->has_count)
        (void)buf_printf(out, ", count %" PRIu64, e->count);
    if (e->app != NULL)
        (void)buf_printf(out, ", app %s", e->app);
    if (e->n_group > 0) {
        (void)buf_puts(out, ", group ");
        show_group(e->group, e->n_group, out);
    }
    if (!is_rule(d, e->rule))
        (void)buf_puts(out, " (the rules have none of this name)");
}

static void say_missing(struct ruletest_diff *d, const struct ruletest_alert *e)
{
    char at[SPAN_SIZE];
    struct buf more;

    buf_init(&more, GROUP_MAX);
    span(d, e->at_us, at);
    show_expected(d, e, &more);
    say(d, e->line, "missing: %s at %s%s", e->rule, at, buf_text(&more));
    buf_close(&more);
}

static void say_unexpected(struct ruletest_diff *d, const struct wire_alert *a)
{
    char at[SPAN_SIZE], first[SPAN_SIZE], last[SPAN_SIZE];
    struct buf more;

    buf_init(&more, GROUP_MAX);
    span(d, a->at_us, at);
    span(d, a->first_us, first);
    span(d, a->last_us, last);
    (void)buf_printf(&more, ", app %s", a->app);
    if (a->n_group > 0) {
        (void)buf_puts(&more, ", group ");
        show_group(a->group, a->n_group, &more);
    }
    say(d, d->test->line,
        "unexpected: %s at %s, count %s%" PRIu64 ", first %s, last %s, suppressed %" PRIu64 "%s",
        a->rule, at, a->at_least ? "at least " : "", a->count, first, last, a->suppressed,
        buf_text(&more));
    buf_close(&more);
}

/* ---- the comparison ---- */

static const char *group_value(const struct wire_alert *a, const char *key)
{
    for (size_t i = 0; i < a->n_group; i++) {
        if (strcmp(a->group[i].key, key) == 0)
            return a->group[i].value;
    }
    return NULL;
}

static bool is_expected(const struct ruletest_alert *e, const struct wire_alert *a)
{
    if (e->at_us != a->at_us || strcmp(e->rule, a->rule) != 0 ||
        (e->app != NULL && strcmp(e->app, a->app) != 0))
        return false;
    for (size_t i = 0; i < e->n_group; i++) {
        const char *value = group_value(a, e->group[i].key);

        if (value == NULL || strcmp(value, e->group[i].value) != 0)
            return false;
    }
    return true;
}

static void differs(struct ruletest_diff *d, const struct ruletest_alert *e, const char *what,
                    const char *expected, const char *got)
{
    char at[SPAN_SIZE];

    span(d, e->at_us, at);
    say(d, e->line, "%s at %s differs in %s: expected %s, got %s", e->rule, at, what, expected,
        got);
}

static void compare_numbers(struct ruletest_diff *d, const struct ruletest_alert *e,
                            const char *what, uint64_t expected, uint64_t got)
{
    char left[SPAN_SIZE], right[SPAN_SIZE];

    if (expected == got)
        return;
    snprintf(left, sizeof left, "%" PRIu64, expected);
    snprintf(right, sizeof right, "%" PRIu64, got);
    differs(d, e, what, left, right);
}

static void compare_times(struct ruletest_diff *d, const struct ruletest_alert *e, const char *what,
                          int64_t expected_us, int64_t got_us)
{
    char left[SPAN_SIZE], right[SPAN_SIZE];

    if (expected_us == got_us)
        return;
    span(d, expected_us, left);
    span(d, got_us, right);
    differs(d, e, what, left, right);
}

static void compare(struct ruletest_diff *d, const struct ruletest_alert *e,
                    const struct wire_alert *a)
{
    if (e->has_count)
        compare_numbers(d, e, "count", e->count, a->count);
    if (e->has_suppressed)
        compare_numbers(d, e, "suppressed", e->suppressed, a->suppressed);
    if (e->has_at_least && e->at_least != a->at_least)
        differs(d, e, "at_least", e->at_least ? "yes" : "no", a->at_least ? "yes" : "no");
    if (e->has_first)
        compare_times(d, e, "first", e->first_us, a->first_us);
    if (e->has_last)
        compare_times(d, e, "last", e->last_us, a->last_us);
}

static void miss_until(struct ruletest_diff *d, size_t end)
{
    for (; d->next < end; d->next++)
        say_missing(d, &d->test->alerts[d->next]);
}

void ruletest_diff_take(struct ruletest_diff *d, const struct wire_alert *alert)
{
    const struct ruletest *test = d->test;
    size_t i = d->next;

    while (i < test->n_alerts && test->alerts[i].at_us < alert->at_us)
        i++;
    miss_until(d, i);
    while (i < test->n_alerts && test->alerts[i].at_us == alert->at_us &&
           !is_expected(&test->alerts[i], alert))
        i++;
    if (i == test->n_alerts || test->alerts[i].at_us != alert->at_us) {
        say_unexpected(d, alert);
        return;
    }
    miss_until(d, i);
    compare(d, &test->alerts[i], alert);
    d->next = i + 1;
}

int ruletest_diff_end(struct ruletest_diff *d)
{
    miss_until(d, d->test->n_alerts);
    if (d->n_left_out > 0 && buf_printf(&d->text, "  and %zu more\n", d->n_left_out) != 0)
        d->rc = ERR_NOMEM;
    return d->rc;
}
