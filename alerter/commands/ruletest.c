/* `drainwatch-alerter test`: reads test files, runs their tests and prints the differences. */
#include "alerter/commands/commands.h"

#include "alerter/commands/ruletest_diff.h"
#include "alerter/commands/ruletest_file.h"
#include "alerter/commands/ruletest_run.h"
#include "common/app/args.h"
#include "common/app/process.h"
#include "common/base/err.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

struct tester {
    const struct startup_program *program;
    const char *rules; /* of --rules; NULL: each file names its own */
    size_t n_ok;
    size_t n_failed;
    size_t n_not_run; /* files */
};

/* ---- faults ---- */

/* Prints faults, a line each, and returns the exit code. */
static int say_faults(const struct tester *t, const struct buf *faults)
{
    const char *at = buf_text(faults);

    while (*at != '\0') {
        size_t n = strcspn(at, "\n");

        fprintf(stderr, "%s: %.*s\n", t->program->name, (int)n, at);
        at += n + (at[n] == '\n');
    }
    return STARTUP_DATA;
}

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
    if (rc == ERR_NOMEM)
        code = startup_fail(t->program, "out of memory");
    else if (rc != 0)
        code = say_faults(t, &faults);
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

/* ---- running ---- */

static int run_test(struct tester *t, struct ruletest_run *run, const char *path,
                    const struct rules *rules, const struct ruletest *test)
{
    struct ruletest_diff diff;
    struct err err;
    int rc, code = STARTUP_OK;

    ruletest_diff_begin(&diff, path, rules, test);
    rc = ruletest_run_test(run, test, &diff, &err);
    if (rc == 0 && ruletest_diff_end(&diff) != 0)
        rc = err_set(&err, ERR_NOMEM, "out of memory");
    if (rc != 0) {
        code = startup_fail(t->program, err.text);
    } else if (diff.n_differences == 0) {
        t->n_ok++;
        printf("ok %s:%zu: %s\n", path, test->line, test->name);
    } else {
        t->n_failed++;
        printf("FAILED %s:%zu: %s\n%s", path, test->line, test->name, buf_text(&diff.text));
        code = STARTUP_FAILED;
    }
    ruletest_diff_close(&diff);
    return code;
}

static int worse(int a, int b)
{
    return a > b ? a : b;
}

static int run_tests(struct tester *t, const char *path, const struct ruletest_file *tests,
                     const struct rules *rules, const struct buf *text)
{
    struct ruletest_run run;
    struct err err;
    int code = STARTUP_OK, rc = ruletest_run_open(&run, rules, text, &err);

    if (rc != 0)
        return startup_cannot(t->program, rc, err.text);
    for (size_t i = 0; i < tests->n_tests; i++)
        code = worse(code, run_test(t, &run, path, rules, &tests->tests[i]));
    ruletest_run_close(&run);
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

    printf("%zu test%s: %zu ok, %zu failed", n, n == 1 ? "" : "s", t->n_ok, t->n_failed);
    if (t->n_not_run > 0)
        printf("; %zu file%s not run", t->n_not_run, t->n_not_run == 1 ? "" : "s");
    putchar('\n');
    if (fflush(stdout) == 0 && !ferror(stdout))
        return code;
    fprintf(stderr, "%s: cannot write: %s\n", t->program->name, strerror(errno));
    return worse(code, STARTUP_FAILED);
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
