/* Reading settings and rules at a start, the report of --check, and faults. tests/system tests the
 * exit codes of the programs. */
#include "common/app/startup.h"

#include "common/app/log.h"
#include "common/app/report.h"
#include "common/base/err.h"
#include "tests/unit/heard.h"
#include "tests/unit/scratch.h"

#include <stdbool.h>

static const struct startup_program program = {"drainwatch-test", ""};

struct fixture {
    struct scratch scratch;
    char rules[512];
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    char path[512];

    assert_non_null(f);
    assert_int_equal(scratch_make(&f->scratch), 0);
    scratch_path(&f->scratch, "rules.yaml", f->rules);
    setenv("DRAINWATCH_RULES", f->rules, 1);
    setenv("DRAINWATCH_STATE_DIR", scratch_path(&f->scratch, "state", path), 1);
    setenv("FLAG_CONSOLE_HEROKU_LOG_DRAIN_ALERTING", "on", 1);
    setenv("HEROKU_LOG_DRAIN_HMAC_SECRET", "0123456789abcdef0123456789abcdef", 1);
    setenv("DYNO", "test.1", 1); /* log lines without a time */
    log_open("drainwatch-test");
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    scratch_remove(&f->scratch);
    free(f);
    return 0;
}

static void write_rules(const struct fixture *f, const char *text)
{
    FILE *file = fopen(f->rules, "w");

    assert_non_null(file);
    assert_true(fputs(text, file) >= 0 && fclose(file) == 0);
}

#define SLACK "slack: {channel: C1}\nrules:\n"
#define RULE "  - {name: a, field: code=H12, more_than: 3, within: 5m}\n"

/* What --check prints from the rules' line on. */
static void assert_report(struct fixture *f, const char *rules, const char *want)
{
    struct startup_config config;
    const char *said;

    write_rules(f, rules);
    heard_begin_on(stderr);
    assert_int_equal(startup_configure(&program, &config), STARTUP_OK);
    assert_string_equal(heard_end(), "");
    heard_begin_on(stdout);
    assert_int_equal(report_print(&program, &config), STARTUP_OK);
    startup_release(&config);
    said = strstr(heard_end(), "rules.yaml: ");
    assert_non_null(said);
    assert_string_equal(said, want);
}

static void the_report_names_what_there_is(void **state)
{
    assert_report(*state, "app: shop\n" SLACK RULE,
                  "rules.yaml: app shop, 1 rule\n"
                  "drainwatch-test:   a: more than 3 in 5 minutes, at most one alert per 5 minutes "
                  "and 5 messages in 1 minute, to C1\n");
    assert_report(
        *state, "app: shop\nrefuse: [d.1, old]\n" SLACK RULE,
        "rules.yaml: app shop, 1 rule\n"
        "drainwatch-test:   refuses 2 drains\n"
        "drainwatch-test:   a: more than 3 in 5 minutes, at most one alert per 5 minutes and 5 "
        "messages in 1 minute, to C1\n");
    assert_report(
        *state,
        "app: shop\n"
        "apps: [{name: pay, drain: [d.1, d.2]}, {name: shop, drain: d.3}, {name: web, "
        "drain: d.4}]\n" SLACK RULE
        "  - {name: b, match: x, more_than: 0, within: 1s, severity: critical, apps: [pay, "
        "web], group_by: [process, path], mention: [here, U1], channel: '#ops'}\n",
        "rules.yaml: 3 apps, 2 rules\n"
        "drainwatch-test:   app shop: every drain that is not listed, and some that are\n"
        "drainwatch-test:   app pay: 2 drains\n"
        "drainwatch-test:   app web: 1 drain\n"
        "drainwatch-test:   a: more than 3 in 5 minutes, at most one alert per 5 minutes and 5 "
        "messages in 1 minute, to C1\n"
        "drainwatch-test:   b (critical): more than 0 in 1 second for each process and "
        "path of app pay or web, at most one alert per 5 minutes and 5 messages in 1 minute, to "
        "#ops, mentioning @here and U1\n"
        "drainwatch-test: hint: the match of b also sees text in quotes that visitors write into "
        "router lines (add \"outside_quotes: yes\", or \"process: '!router'\")\n");
}

static void the_report_hints_at_quoted_text(void **state)
{
    static const struct {
        const char *keys;
        bool hint;
    } rows[] = {
        {"match: x", true},
        {"match: x, source: heroku", true},
        {"match: x, process: [web, router]", true},
        {"match: x, process: '!web'", true},
        {"match: x, source: app", false},
        {"match: x, process: web", false},
        {"match: x, process: '!router'", false},
        {"match: x, source: '!heroku'", false},
        {"match: x, outside_quotes: yes", false},
        {"field: a=b", false},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct startup_config config;
        char text[300];

        snprintf(text, sizeof text,
                 "app: shop\n" SLACK "  - {name: b, %s, more_than: 0, within: 1s}\n", rows[i].keys);
        write_rules(*state, text);
        assert_int_equal(startup_configure(&program, &config), STARTUP_OK);
        heard_begin_on(stdout);
        assert_int_equal(report_print(&program, &config), STARTUP_OK);
        startup_release(&config);
        if ((strstr(heard_end(), "hint: the match of b also sees") != NULL) != rows[i].hint)
            fail_msg("%s", rows[i].keys);
    }
}

static void the_report_says_that_unlisted_drains_are_refused(void **state)
{
    struct buf text, want;

    assert_report(*state, "apps: [{name: pay, drain: d.1}]\n" SLACK RULE,
                  "rules.yaml: app pay, 1 rule\n"
                  "drainwatch-test:   app pay: 1 drain\n"
                  "drainwatch-test:   a drain that is not listed is refused (\"app: NAME\" would "
                  "take it)\n"
                  "drainwatch-test:   a: more than 3 in 5 minutes, at most one alert per 5 minutes "
                  "and 5 messages in 1 minute, to C1\n");
    buf_init(&text, 10000);
    buf_init(&want, 10000);
    assert_int_equal(buf_puts(&text, SLACK RULE "apps:\n"), 0);
    assert_int_equal(buf_puts(&want, "rules.yaml: 22 apps, 1 rule\n"), 0);
    for (int i = 0; i < 22; i++) {
        assert_int_equal(buf_printf(&text, "- {name: app-%d, drain: %d}\n", i, i), 0);
        if (i < 20)
            assert_int_equal(buf_printf(&want, "drainwatch-test:   app app-%d: 1 drain\n", i), 0);
    }
    assert_int_equal(buf_puts(&want, "drainwatch-test:   and 2 more apps\n"
                                     "drainwatch-test:   a drain that is not listed is refused "
                                     "(\"app: NAME\" would take it)\n"
                                     "drainwatch-test:   a: more than 3 in 5 minutes, at most one "
                                     "alert per 5 minutes and 5 messages in 1 minute, "
                                     "to C1\n"),
                     0);
    assert_report(*state, buf_text(&text), buf_text(&want));
    buf_close(&text);
    buf_close(&want);
}

/* The one note of a file with this beginning; "" if there is none. */
static const char *note_of(struct fixture *f, const char *head, char note[1000])
{
    struct startup_config config;
    char text[1000];

    snprintf(text, sizeof text, "%srules:\n" RULE, head);
    write_rules(f, text);
    assert_int_equal(startup_configure(&program, &config), STARTUP_OK);
    snprintf(note, 1000, "%s", buf_text(&config.notes));
    startup_release(&config);
    return note;
}

static void the_values_of_the_example_are_named(void **state)
{
    struct fixture *f = *state;
    char note[1000];

    assert_non_null(
        strstr(note_of(f, "app: raxx-console-prod\nslack:\n  channel: D0AJ7K184TV\n", note),
               "alerts for every drain go to D0AJ7K184TV under the name "
               "raxx-console-prod, as shipped: edit `app:` (line 1) and `slack: "
               "channel:` (line 3) of "));
    assert_non_null(strstr(note_of(f, "\napp: shop\nslack: {channel: D0AJ7K184TV}\n", note),
                           "alerts for every drain go to D0AJ7K184TV, as shipped: edit `slack: "
                           "channel:` (line 3) of "));
    assert_non_null(strstr(note_of(f, "app: raxx-console-prod\nslack: {channel: C1}\n", note),
                           "alerts for every drain go to your channel under the name "
                           "raxx-console-prod, as shipped: edit `app:` (line 1) of "));
    assert_string_equal(note_of(f, "app: shop\nslack: {channel: C1}\n", note), "");
    assert_string_equal(note_of(f, "apps: [{name: x, drain: x}]\nslack: {channel: C1}\n", note),
                        "");
}

static void assert_config_fault(const char *want)
{
    struct startup_config config;

    heard_begin_on(stderr);
    assert_int_equal(startup_configure(&program, &config), STARTUP_CONFIG);
    assert_string_equal(heard_end(), want);
}

/* All faults are printed at once, of settings and of rules. */
static void a_state_folder_that_cannot_be_is_found(void **state)
{
    struct fixture *f = *state;
    char want[2000], path[512];
    struct stat there;

    write_rules(f, "app: shop\nslack: {channel: C1}\nrules: 1\n");
    snprintf(path, sizeof path, "%.400s/x/y", f->rules);
    setenv("DRAINWATCH_STATE_DIR", path, 1);
    snprintf(
        want, sizeof want,
        "drainwatch-test: DRAINWATCH_STATE_DIR: \"%s\": Not a directory (name a folder that can "
        "be written)\n"
        "drainwatch-test: %s:3: rules: is not a list of rules (begin each with \"  - name: "
        "h12-request-timeout\")\n",
        path, f->rules);
    assert_config_fault(want);

    write_rules(f, "app: shop\n" SLACK RULE);
    setenv("DRAINWATCH_STATE_DIR", f->rules, 1);
    snprintf(
        want, sizeof want,
        "drainwatch-test: DRAINWATCH_STATE_DIR: \"%s\": Not a directory (name a folder that can "
        "be written)\n",
        f->rules);
    assert_config_fault(want);
    if (geteuid() != 0) { /* root may write everywhere */
        setenv("DRAINWATCH_STATE_DIR", "/drainwatch/state", 1);
        assert_config_fault("drainwatch-test: DRAINWATCH_STATE_DIR: \"/drainwatch/state\": cannot "
                            "be made in /: Permission denied (name a folder that can be "
                            "written)\n");
    }
    assert_int_not_equal(stat(scratch_path(&f->scratch, "state", path), &there), 0);
}

static void a_state_folder_that_can_be_is_not_made(void **state)
{
    static const char *const folders[] = {"drainwatch-not-there", "deep/er//state/",
                                          "/tmp/drainwatch-not-there/b", "."};
    struct fixture *f = *state;
    struct startup_config config;
    struct stat there;

    write_rules(f, "app: shop\n" SLACK RULE);
    for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++) {
        setenv("DRAINWATCH_STATE_DIR", folders[i], 1);
        assert_int_equal(startup_configure(&program, &config), STARTUP_OK);
        startup_release(&config);
        assert_int_equal(stat(folders[i], &there) == 0, strcmp(folders[i], ".") == 0);
    }
}

static void a_command_reads_rules_of_its_own(void **state)
{
    struct fixture *f = *state;
    const struct rules *rules;
    struct buf text;
    char want[2000];

    write_rules(f, "app: shop\n" SLACK RULE);
    heard_begin_on(stderr);
    assert_int_equal(startup_read_rules(&program, f->rules, &text, &rules), STARTUP_OK);
    assert_string_equal(heard_end(), "");
    assert_string_equal(rules->app, "shop");
    assert_string_equal(buf_text(&text), "app: shop\n" SLACK RULE);
    rules_free(rules);
    buf_close(&text);

    write_rules(f, "app: shop\nfoo: 1\nrules: 1\n");
    heard_begin_on(stderr);
    assert_int_equal(startup_read_rules(&program, f->rules, &text, &rules), STARTUP_CONFIG);
    snprintf(
        want, sizeof want,
        "drainwatch-test: %s:2: unknown key \"foo\" (known here: app, apps, refuse, slack, redact, "
        "messages, rules)\n"
        "drainwatch-test: %s:3: rules: is not a list of rules (begin each with \"  - name: "
        "h12-request-timeout\")\n",
        f->rules, f->rules);
    assert_string_equal(heard_end(), want);

    heard_begin_on(stderr);
    assert_int_equal(startup_read_rules(&program, "/none", &text, &rules), STARTUP_CONFIG);
    assert_string_equal(heard_end(),
                        "drainwatch-test: /none: No such file or directory (name a rules "
                        "file that can be read)\n");
    assert_null(rules);
}

static void a_reload_that_fails_says_that_the_old_rules_stay(void **state)
{
    struct fixture *f = *state;
    const struct rules *rules;
    struct buf text;
    char want[2000];

    write_rules(f, "app: shop\n" SLACK RULE);
    heard_begin_on(stderr);
    assert_int_equal(startup_reload_rules(f->rules, &text, &rules), 0);
    assert_string_equal(heard_end(), "");
    assert_int_equal(rules->n, 1);
    rules_free(rules);
    buf_close(&text);

    write_rules(f, "app: shop\nfoo: 1\nbar: 1\n" SLACK RULE);
    heard_begin_on(stderr);
    assert_int_equal(startup_reload_rules(f->rules, &text, &rules), ERR_INPUT);
    snprintf(
        want, sizeof want,
        "drainwatch-test level=error msg=\"%s:2: unknown key \\\"foo\\\" (known here: app, "
        "apps, refuse, slack, redact, messages, rules)\"\n"
        "drainwatch-test level=error msg=\"%s:3: unknown key \\\"bar\\\" (known here: app, "
        "apps, refuse, slack, redact, messages, rules)\"\n"
        "drainwatch-test level=error msg=\"%s: not reloaded, the old rules stay in force (mend "
        "the file and reload again)\"\n",
        f->rules, f->rules, f->rules);
    assert_string_equal(heard_end(), want);

    unlink(f->rules);
    heard_begin_on(stderr);
    assert_int_equal(startup_reload_rules(f->rules, &text, &rules), ERR_IO);
    snprintf(
        want, sizeof want,
        "drainwatch-test level=error msg=\"%s: No such file or directory (DRAINWATCH_RULES "
        "names the rules file)\"\n"
        "drainwatch-test level=error msg=\"%s: not reloaded, the old rules stay in force (mend "
        "the file and reload again)\"\n",
        f->rules, f->rules);
    assert_string_equal(heard_end(), want);
}

static void a_file_too_large_is_not_read(void **state)
{
    struct fixture *f = *state;
    const struct rules *rules;
    struct buf text;
    FILE *file = fopen(f->rules, "w");

    assert_non_null(file);
    for (int i = 0; i <= RULES_TEXT_MAX / 4; i++)
        fputs("# x\n", file);
    fclose(file);
    heard_begin_on(stderr);
    assert_int_equal(startup_reload_rules(f->rules, &text, &rules), ERR_FULL);
    assert_non_null(strstr(heard_end(), "rules.yaml: larger than 1048576 bytes ("));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_report_names_what_there_is),
        TEST(the_report_hints_at_quoted_text),
        TEST(the_report_says_that_unlisted_drains_are_refused),
        TEST(the_values_of_the_example_are_named),
        TEST(a_state_folder_that_cannot_be_is_found),
        TEST(a_state_folder_that_can_be_is_not_made),
        TEST(a_command_reads_rules_of_its_own),
        TEST(a_reload_that_fails_says_that_the_old_rules_stay),
        TEST(a_file_too_large_is_not_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
