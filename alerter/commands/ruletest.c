/* `drainwatch-alerter test`: reads test files, runs their tests in virtual time by the path that
 * decides live, and prints the differences. Called by main.
 *
 * Each delivery is received and decided at its own time: its lines go through ingest's pipeline
 * into records, and these as bytes into the fold. A line without a time of its own gets that one,
 * as `heroku logs` prints it. */
#include "alerter/commands/commands.h"

#include "alerter/commands/output.h"
#include "alerter/commands/ruletest_file.h"
#include "alerter/stream/fold.h"
#include "common/app/args.h"
#include "common/app/process.h"
#include "common/base/text.h"
#include "common/base/time.h"
#include "ingest/collect/delivery.h"
#include "ingest/collect/rulebook.h"
#include "ingest/input/line.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    DIFFERENCES_MAX = 32 << 10, /* bytes of differences; those beyond are counted */
    LEFT_OUT_ROOM = 64,
    SPAN_SIZE = 64,   /* enough for the words of a time */
    GROUP_MAX = 1000, /* longer groups are cut */
    /* Times and frame lengths take some bytes more; a delivery's lines stand in the file. */
    BODY_MAX = 16 * RULETEST_TEXT_MAX,
};

/* ---- differences ---- */

/* Expected and decided alerts, which both come in order of time. An alert is the expected one if
 * its time and rule are, and its app and group if the test gives them; then the other values that
 * the test gives are compared. */
struct diff {
    const char *file; /* borrowed, as the next two */
    const struct rules *rules;
    const struct ruletest *test;
    size_t next;          /* expected alerts before this one are done with */
    struct buf text;      /* the differences, a line each: "FILE:LINE: …" */
    size_t n_differences; /* all that were found */
    size_t n_left_out;    /* of them, for which there was no room */
    int rc;
};

/* A moment as a test writes it: "1h0m12s", "-5s", "12s3ms7us". */
static void span(const struct diff *d, int64_t us, char out[SPAN_SIZE])
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
__attribute__((format(printf, 3, 4))) static void say(struct diff *d, size_t line, const char *fmt,
                                                      ...)
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

static bool is_rule(const struct diff *d, const char *name)
{
    for (size_t i = 0; i < d->rules->n; i++) {
        if (strcmp(d->rules->rules[i].name, name) == 0)
            return true;
    }
    return false;
}

/* What a test gives of an alert beside its time and rule, each behind a comma. */
static void show_expected(const struct diff *d, const struct ruletest_alert *e, struct buf *out)
{
    if (e->groups != RULETEST_ANY_COUNT)
        (void)buf_printf(out, ", a digest of %" PRIu64 " groups", e->groups);
    if (e->count != RULETEST_ANY_COUNT)
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

static void say_missing(struct diff *d, const struct ruletest_alert *e)
{
    char at[SPAN_SIZE];
    struct buf more;

    buf_init(&more, GROUP_MAX);
    span(d, e->at_us, at);
    show_expected(d, e, &more);
    say(d, e->line, "missing: %s at %s%s", e->rule, at, buf_text(&more));
    buf_close(&more);
}

static void say_unexpected(struct diff *d, const struct wire_alert *a)
{
    char at[SPAN_SIZE], first[SPAN_SIZE], last[SPAN_SIZE];
    struct buf more;

    buf_init(&more, GROUP_MAX);
    span(d, a->at_us, at);
    span(d, a->first_us, first);
    span(d, a->last_us, last);
    if (wire_is_digest(a))
        (void)buf_printf(&more, ", a digest of %" PRIu64 " groups", a->groups);
    if (a->app[0] != '\0')
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
        wire_is_digest(a) != (e->groups != RULETEST_ANY_COUNT) ||
        (e->app != NULL && strcmp(e->app, a->app) != 0))
        return false;
    for (size_t i = 0; i < e->n_group; i++) {
        const char *value = group_value(a, e->group[i].key);

        if (value == NULL || strcmp(value, e->group[i].value) != 0)
            return false;
    }
    return true;
}

static void differs(struct diff *d, const struct ruletest_alert *e, const char *what,
                    const char *expected, const char *got)
{
    char at[SPAN_SIZE];

    span(d, e->at_us, at);
    say(d, e->line, "%s at %s differs in %s: expected %s, got %s", e->rule, at, what, expected,
        got);
}

static void compare_numbers(struct diff *d, const struct ruletest_alert *e, const char *what,
                            uint64_t expected, uint64_t got)
{
    char left[SPAN_SIZE], right[SPAN_SIZE];

    if (expected == got || expected == RULETEST_ANY_COUNT)
        return;
    snprintf(left, sizeof left, "%" PRIu64, expected);
    snprintf(right, sizeof right, "%" PRIu64, got);
    differs(d, e, what, left, right);
}

static void compare_times(struct diff *d, const struct ruletest_alert *e, const char *what,
                          int64_t expected_us, int64_t got_us)
{
    char left[SPAN_SIZE], right[SPAN_SIZE];

    if (expected_us == got_us || expected_us == RULETEST_ANY_TIME)
        return;
    span(d, expected_us, left);
    span(d, got_us, right);
    differs(d, e, what, left, right);
}

static void compare(struct diff *d, const struct ruletest_alert *e, const struct wire_alert *a)
{
    compare_numbers(d, e, "count", e->count, a->count);
    compare_numbers(d, e, "suppressed", e->suppressed, a->suppressed);
    compare_numbers(d, e, "groups", e->groups, a->groups);
    if (e->has_at_least && e->at_least != a->at_least)
        differs(d, e, "at_least", e->at_least ? "yes" : "no", a->at_least ? "yes" : "no");
    compare_times(d, e, "first", e->first_us, a->first_us);
    compare_times(d, e, "last", e->last_us, a->last_us);
}

static void miss_until(struct diff *d, size_t end)
{
    for (; d->next < end; d->next++)
        say_missing(d, &d->test->alerts[d->next]);
}

static void diff_take(struct diff *d, const struct wire_alert *alert)
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

static int diff_end(struct diff *d)
{
    miss_until(d, d->test->n_alerts);
    if (d->n_left_out > 0 && buf_printf(&d->text, "  and %zu more\n", d->n_left_out) != 0)
        d->rc = ERR_NOMEM;
    return d->rc;
}

/* ---- running a test ---- */

/* What is made once for many tests under the same rules, and the test in hand. */
struct run {
    const struct buf *text; /* the rules'; borrowed */
    struct rulebook *book;
    struct delivery *delivery;
    struct buf body;
    struct buf record;
    struct fold fold;
    struct diff diff;
};

static void run_close(struct run *r)
{
    delivery_free(r->delivery);
    rulebook_release(r->book);
    buf_close(&r->body);
    buf_close(&r->record);
}

static int run_open(struct run *r, const struct rules *rules, const struct buf *text,
                    struct err *err)
{
    int rc;

    *r = (struct run){.text = text, .delivery = delivery_new()};
    buf_init(&r->body, BODY_MAX);
    buf_init(&r->record, WIRE_RECORD_MAX);
    rc = r->delivery == NULL ? err_set(err, ERR_NOMEM, "out of memory")
                             : rulebook_new_borrowed(rules, &r->book, err);
    if (rc != 0)
        run_close(r);
    return rc;
}

/* A delivery of a test and how often it is still to come. */
struct due {
    int64_t at_us;
    const struct ruletest_delivery *what;
    uint64_t left;
};

/* By time; of the same time the one that stands first in the file comes first, with all of its. */
static int by_time(const void *a, const void *b)
{
    const struct due *x = a, *y = b;
    int order = (x->at_us > y->at_us) - (x->at_us < y->at_us);

    return order != 0 ? order : (x->what > y->what) - (x->what < y->what);
}

/* Restores the heap after its first item became later. */
static void sift(struct due *heap, size_t n)
{
    size_t i = 0, child;

    while ((child = 2 * i + 1) < n) {
        struct due moved = heap[i];

        if (child + 1 < n && by_time(&heap[child + 1], &heap[child]) < 0)
            child++;
        if (by_time(&moved, &heap[child]) <= 0)
            return;
        heap[i] = heap[child];
        heap[child] = moved;
        i = child;
    }
}

/* A line that begins like a syslog line goes in a frame, as Logplex sends it; any other stands
 * behind a time, its own or that of the delivery, so that nothing in it is taken for a frame. */
static int add_line(struct buf *body, const char *text, int64_t at_us)
{
    char time[TIME_RFC3339_SIZE];
    size_t n = strlen(text);
    struct line line;

    line_read(text, n, &line);
    if (line.form == LINE_SYSLOG)
        return buf_printf(body, "%zu %s\n", n + 1, text);
    time_format_rfc3339(at_us, time);
    return buf_printf(body, "%s%s%s\n", line.has_time ? "" : time, line.has_time ? "" : " ", text);
}

static int receive(struct run *r, const struct ruletest_delivery *d, int64_t at_us,
                   const struct wire_record **records, size_t *n)
{
    const struct delivery_head head = {.received_us = at_us, .drain = d->drain};
    int rc = 0;

    buf_clear(&r->body);
    for (size_t i = 0; rc == 0 && i < d->n_lines; i++)
        rc = add_line(&r->body, d->lines[i], at_us);
    if (rc == 0)
        rc = delivery_begin(r->delivery, r->book, &head);
    if (rc == 0)
        rc = delivery_push(r->delivery, r->body.data, r->body.len);
    return rc == 0 ? delivery_finish(r->delivery, records, n) : rc;
}

static void take_alerts(struct run *r, const struct engine_outcomes *alerts)
{
    for (size_t i = 0; i < alerts->n_alerts; i++)
        diff_take(&r->diff, &alerts->alerts[i]);
}

static int decide(struct run *r, const struct wire_record *record, int64_t at_us, struct err *err)
{
    struct wire_entry entry = {.step_us = at_us, .input = WIRE_INPUT_RECORD};
    struct engine_outcomes alerts;
    int rc;

    buf_clear(&r->record);
    rc = wire_pack_record(record, &r->record);
    if (rc != 0)
        return err_set(err, rc, "a record cannot be packed");
    entry.bytes = (struct wire_bytes){r->record.data, r->record.len};
    rc = fold_entry(&r->fold, &entry, &alerts, err);
    if (rc == 0)
        take_alerts(r, &alerts);
    return rc;
}

/* Decides what still waits after the last delivery. */
static int decide_rest(struct run *r, struct err *err)
{
    struct engine_outcomes alerts;
    int rc = 0;

    while (rc == 0 && fold_waits(&r->fold)) {
        rc = fold_tick(&r->fold, &alerts, err);
        if (rc == 0)
            take_alerts(r, &alerts);
    }
    return rc;
}

static int deliver(struct run *r, const struct due *due, struct err *err)
{
    const struct wire_record *records = NULL;
    size_t n = 0;
    int rc = receive(r, due->what, due->at_us, &records, &n);

    if (rc != 0)
        return err_set(err, rc, "the lines cannot be taken: %s",
                       rc == ERR_NOMEM ? "out of memory" : "a delivery is too large");
    for (size_t i = 0; rc == 0 && i < n; i++)
        rc = decide(r, &records[i], due->at_us, err);
    return rc;
}

static int deliver_all(struct run *r, struct due *heap, size_t n, struct err *err)
{
    int rc = 0;

    while (rc == 0 && n > 0) {
        rc = deliver(r, &heap[0], err);
        heap[0].at_us += heap[0].what->every_us;
        if (--heap[0].left == 0)
            heap[0] = heap[--n];
        sift(heap, n);
    }
    return rc;
}

static int run_deliveries(struct run *r, const struct ruletest *test, struct err *err)
{
    struct due *heap = calloc(test->n_deliveries + 1, sizeof *heap);
    int rc;

    if (heap == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    for (size_t i = 0; i < test->n_deliveries; i++)
        heap[i] = (struct due){test->deliveries[i].at_us, &test->deliveries[i],
                               test->deliveries[i].times};
    qsort(heap, test->n_deliveries, sizeof *heap, by_time); /* a sorted array is a heap */
    rc = fold_open_trial(&r->fold, buf_text(r->text), r->text->len, err);
    if (rc == 0) {
        rc = deliver_all(r, heap, test->n_deliveries, err);
        if (rc == 0)
            rc = decide_rest(r, err);
        fold_close(&r->fold);
    }
    free(heap);
    return rc;
}

/* ---- reading files ---- */

struct tester {
    const struct startup_program *program;
    const char *rules; /* of --rules; NULL: each file names its own */
    size_t n_ok;
    size_t n_failed;
    size_t n_not_run; /* files */
};

static int read_tests(const struct tester *t, const char *path, struct buf *text,
                      const struct ruletest_file **tests)
{
    struct buf faults;
    struct err err;
    int rc = process_read_file(path, text, &err), code = STARTUP_OK;

    if (rc != 0) {
        startup_fail(t->program, err.text);
        return rc == ERR_NOMEM ? STARTUP_FAILED : STARTUP_DATA;
    }
    buf_init(&faults, RULETEST_FAULTS_MAX);
    rc = ruletest_file_parse((const char *)text->data, text->len, path, tests, &faults);
    if (rc == ERR_NOMEM) {
        code = startup_fail(t->program, "out of memory");
    } else if (rc != 0) {
        startup_print(t->program, &faults, stderr);
        code = STARTUP_DATA;
    }
    buf_close(&faults);
    return code;
}

/* The rules' path, relative to the test file that names it. */
static int rules_path(const struct tester *t, const char *path, const char *named, char *out,
                      size_t size)
{
    const char *slash = strrchr(path, '/');
    int folder = slash == NULL || named == NULL || named[0] == '/' ? 0 : (int)(slash - path) + 1;
    int n;

    if (t->rules == NULL && named == NULL) {
        fprintf(stderr,
                "%s: %s:1: no rules are named (add \"rules: rules.yaml\", a path relative to this "
                "file, or call with --rules)\n",
                t->program->name, path);
        return STARTUP_DATA;
    }
    if (t->rules != NULL)
        n = snprintf(out, size, "%s", t->rules);
    else
        n = snprintf(out, size, "%.*s%s", folder, path, named);
    if (n >= 0 && (size_t)n < size)
        return STARTUP_OK;
    return startup_fail(t->program, "the path of the rules file is too long");
}

/* Ingest answers 401 to a drain of no app, so its lines would never come. */
static int check_drains(const struct tester *t, const char *path, const struct ruletest_file *tests,
                        const struct rules *rules)
{
    int code = STARTUP_OK;

    for (size_t i = 0; i < tests->n_tests; i++) {
        for (size_t k = 0; k < tests->tests[i].n_deliveries; k++) {
            const struct ruletest_delivery *d = &tests->tests[i].deliveries[k];

            if (rules_app(rules, d->drain) != NULL)
                continue;
            fprintf(stderr,
                    "%s: %s:%zu: drain \"%s\" belongs to no app of the rules (name one of their "
                    "drains as \"drain\", or give the rules an \"app\")\n",
                    t->program->name, path, d->line, d->drain);
            code = STARTUP_DATA;
        }
    }
    return code;
}

/* ---- the command ---- */

static int run_test(struct tester *t, struct run *run, const char *path, const struct rules *rules,
                    const struct ruletest *test)
{
    struct diff *diff = &run->diff;
    struct err err;
    int rc, code = STARTUP_OK;

    *diff = (struct diff){.file = path, .rules = rules, .test = test};
    buf_init(&diff->text, DIFFERENCES_MAX);
    rc = run_deliveries(run, test, &err);
    if (rc == 0 && diff_end(diff) != 0)
        rc = err_set(&err, ERR_NOMEM, "out of memory");
    if (rc != 0) {
        code = startup_fail(t->program, err.text);
    } else if (diff->n_differences == 0) {
        t->n_ok++;
        printf("ok %s:%zu: %s\n", path, test->line, test->name);
    } else {
        t->n_failed++;
        printf("FAILED %s:%zu: %s\n%s", path, test->line, test->name, buf_text(&diff->text));
        code = STARTUP_FAILED;
    }
    buf_close(&diff->text);
    return code;
}

static int worse(int a, int b)
{
    return a > b ? a : b;
}

static int run_tests(struct tester *t, const char *path, const struct ruletest_file *tests,
                     const struct rules *rules, const struct buf *text)
{
    struct run run;
    struct err err;
    int code = STARTUP_OK, rc = run_open(&run, rules, text, &err);

    if (rc != 0)
        return startup_cannot(t->program, rc, err.text);
    for (size_t i = 0; i < tests->n_tests; i++)
        code = worse(code, run_test(t, &run, path, rules, &tests->tests[i]));
    run_close(&run);
    return code;
}

static int with_rules(struct tester *t, const char *path, const struct ruletest_file *tests)
{
    const struct rules *rules;
    char file[8192];
    struct buf text;
    int code = rules_path(t, path, tests->rules, file, sizeof file);

    if (code == STARTUP_OK)
        code = startup_read_rules(t->program, file, &text, &rules);
    if (code != STARTUP_OK)
        return code;
    code = check_drains(t, path, tests, rules);
    if (code == STARTUP_OK) {
        code = run_tests(t, path, tests, rules, &text);
        t->n_not_run--;
    }
    rules_free(rules);
    buf_close(&text);
    return code;
}

static int run_file(struct tester *t, const char *path)
{
    const struct ruletest_file *tests = NULL;
    struct buf text;
    int code;

    buf_init(&text, RULETEST_TEXT_MAX);
    t->n_not_run++; /* until it is */
    code = read_tests(t, path, &text, &tests);
    if (code == STARTUP_OK)
        code = with_rules(t, path, tests);
    ruletest_file_free(tests);
    buf_close(&text);
    return code;
}

static int sum_up(const struct tester *t, int code)
{
    size_t n = t->n_ok + t->n_failed;
    struct err err;

    printf("%zu %s: %zu ok, %zu failed", n, text_plural(n, "test", "tests"), t->n_ok, t->n_failed);
    if (t->n_not_run > 0)
        printf("; %zu %s not run", t->n_not_run, text_plural(t->n_not_run, "file", "files"));
    putchar('\n');
    return output_flush(&err) == 0 ? code : worse(code, startup_fail(t->program, err.text));
}

int test_command(const struct startup_program *program, int argc, char **argv)
{
    struct tester t = {.program = program};
    const struct args_option options[] = {{"rules", &t.rules, NULL}, {0}};
    int n = args_read(program, argc, argv, options, argc), code = STARTUP_OK;

    if (n < 0)
        return STARTUP_USAGE;
    if (n == 0)
        return args_wrong(program, "a test file has to follow", "test");
    for (int i = argc - n; i < argc; i++)
        code = worse(code, run_file(&t, argv[i]));
    return sum_up(&t, code);
}
