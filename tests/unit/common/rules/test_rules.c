/* The rules file as a whole: forms of YAML, faults and their lines, bounds. */
#include "common/base/time.h"
#include "tests/unit/common/rules/rules_reading.h"

#include <stdlib.h>
#include <time.h>

static void a_full_rule_is_read(void **state)
{
    const struct rules *rules = read_good("app: shop\n"
                                          "slack:\n"
                                          "  channel: C1\n"
                                          "rules:\n"
                                          "  - name: h12\n"
                                          "    title: \"H12 \\u2014 timeouts\"\n"
                                          "    source: [heroku, app]\n"
                                          "    process: ['web.*', router]\n"
                                          "    field: [code=H12, path=/a=b, empty=]\n"
                                          "    match: ['WORKER \\w+', \"caf\\u00e9\"]\n"
                                          "    more_than: 3\n"
                                          "    within: 1h30m\n"
                                          "    cooldown: 90s\n"
                                          "    runbook: >-\n"
                                          "      docs/run.md: Failure\n"
                                          "      mode H\n"
                                          "    channel: '#ops'\n");
    const struct rule *r = &rules->rules[0];

    (void)state;
    assert_int_equal(rules->n, 1);
    assert_string_equal(rules->app, "shop");
    assert_string_equal(rules_app(rules, "d.1"), "shop");
    assert_string_equal(r->name, "h12");
    assert_string_equal(r->title, "H12 \xe2\x80\x94 timeouts");
    assert_list(r->sources, 2, "heroku", "app");
    assert_list(r->processes, 3, "web.*", "router.*");
    assert_list(r->matches, 2, "WORKER \\w+", "caf\xc3\xa9");
    assert_int_equal(r->n_fields, 3);
    assert_string_equal(r->fields[0].key, "code");
    assert_string_equal(r->fields[0].value, "H12");
    assert_string_equal(r->fields[1].key, "path");
    assert_string_equal(r->fields[1].value, "/a=b");
    assert_string_equal(r->fields[2].value, "");
    assert_int_equal(r->more_than, 3);
    assert_int_equal(r->within_us, 90 * TIME_MINUTE);
    assert_int_equal(r->cooldown_us, 90 * TIME_S);
    assert_string_equal(r->runbook, "docs/run.md: Failure mode H");
    assert_string_equal(r->channel, "#ops");
    rules_free(rules);
    rules_free(NULL);
}

static void what_is_left_out_has_defaults(void **state)
{
    const struct rules *rules = read_good(HEAD RULE "  - name: b\n    match: x\n    more_than: 1\n"
                                                    "    within: 1s\n");

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        assert_string_equal(rules->rules[i].title, i == 0 ? "a" : "b");
        assert_string_equal(rules->rules[i].runbook, "");
        assert_string_equal(rules->rules[i].channel, "C1");
        assert_int_equal(rules->rules[i].cooldown_us, 5 * TIME_MINUTE);
        assert_int_equal(rules->rules[i].sources.n, 0);
        assert_int_equal(rules->rules[i].processes.n, 0);
    }
    assert_int_equal(rules->rules[0].n_fields, 1);
    assert_int_equal(rules->rules[0].matches.n, 0);
    assert_int_equal(rules->rules[1].n_fields, 0);
    assert_list(rules->rules[1].matches, 1, "x", "x");
    rules_free(rules);
}

static void forms_of_yaml_mean_the_same(void **state)
{
    static const char *const texts[] = {
        HEAD RULE,
        "\xef\xbb\xbf" HEAD RULE, /* a byte order mark */
        "%YAML 1.1\n---\n" HEAD RULE "...\n",
        "# comment\r\napp: shop\r\nslack: {channel: C1}\r\nrules:\r\n"
        "- name: a\r\n  field: code=H12 # comment\r\n  more_than: 3\r\n  within: 5m\r\n",
        "{\"app\": \"shop\", \"slack\": {\"channel\": \"C1\"}, \"rules\": [{\"name\": \"a\", "
        "\"field\": [\"code=H12\"], \"more_than\": 3, \"within\": \"5m\"}]}",
    };

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        const struct rules *rules = read_good(texts[i]);

        assert_int_equal(rules->n, 1);
        assert_string_equal(rules->app, "shop");
        assert_string_equal(rules->rules[0].name, "a");
        assert_string_equal(rules->rules[0].fields[0].value, "H12");
        assert_int_equal(rules->rules[0].within_us, 5 * TIME_MINUTE);
        rules_free(rules);
    }
}

static void bounds_are_within(void **state)
{
    const struct rules *rules = read_good(
        HEAD "  - {name: a, match: x, more_than: 1000000000, within: 31d, cooldown: 1s}\n"
             "  - {name: B-2_c.d, match: x, more_than: 0, within: 1000ms, cooldown: 365d}\n");

    (void)state;
    assert_int_equal(rules->rules[0].more_than, 1000000000);
    assert_int_equal(rules->rules[0].within_us, 31 * TIME_DAY);
    assert_int_equal(rules->rules[1].cooldown_us, 365 * TIME_DAY);
    rules_free(rules);
}

#define NO_APP                                                                                     \
    "r.yaml:1: the file has neither \"app\" nor \"apps\" (add \"app: my-app\" as the name of "     \
    "every "                                                                                       \
    "drain, or \"apps: [{name: my-app, drain: my-app}]\" with a drain's token or name for each "   \
    "app)\n"

static void all_faults_are_reported_at_once(void **state)
{
    (void)state;
    assert_faults(
        "slack: {chanel: C1}\n"
        "rules:\n"
        "  - name: a b\n"
        "    mor_than: 3\n"
        "    within: 5x\n"
        "    field: code\n"
        "  - text\n"
        "  - {name: b, match: x, more_than: -1, within: 1s, foo: 1}\n",
        "r.yaml:1: unknown key \"chanel\" (did you mean \"channel\"?)\n"
        "r.yaml:3: name: \"a b\" is not a name (use letters, digits, \"-\", \"_\" and "
        "\".\")\n"
        "r.yaml:4: unknown key \"mor_than\" (did you mean \"more_than\"?)\n"
        "r.yaml:5: within: \"5x\" is not a duration (try \"5m\")\n"
        "r.yaml:6: field: \"code\" is not KEY=VALUE without spaces and quotes (write "
        "\"field: code=H12\"; use \"match\" for other text)\n"
        "r.yaml:7: the rule is not a mapping (write \"key: value\" lines, such as \"name: "
        "h12-request-timeout\")\n"
        "r.yaml:8: more_than: \"-1\" is not a whole number from 0 to 1000000000, without "
        "quotes (write \"more_than: 3\")\n"
        "r.yaml:8: unknown key \"foo\" (known here: name, title, severity, source, process, apps, "
        "field, match, outside_quotes, unless, more_than, within, cooldown, messages, group_by, "
        "fold_ids, redact, sample, "
        "runbook, channel, mention)\n" NO_APP);
}

static void missing_keys_are_named(void **state)
{
    (void)state;
    assert_faults("foo: 1\n", "r.yaml:1: unknown key \"foo\" (known here: app, apps, refuse, "
                              "slack, redact, messages, rules)\n"
                              "r.yaml:1: the file has no \"rules\" (add \"rules:\")\n" NO_APP);
    assert_faults("ap: a\nslack: {channel: C1}\nrules:\n" RULE,
                  "r.yaml:1: unknown key \"ap\" (did you mean \"app\"?)\n");
    assert_faults("app: a\nslack: {}\nrules:\n" RULE,
                  "r.yaml:2: slack has no \"channel\" (add \"channel: C0123456789\")\n");
    assert_faults(HEAD "  - title: x\n    match: foo\n",
                  "r.yaml:4: the rule has no \"name\" (add \"name: h12-request-timeout\")\n"
                  "r.yaml:4: the rule has no \"more_than\" (add \"more_than: 3\")\n"
                  "r.yaml:4: the rule has no \"within\" (add \"within: 5m\")\n");
    assert_rule_faults("",
                       "r.yaml:4: the rule has neither \"field\" nor \"match\" (add one, such as "
                       "\"field: code=H12\" or \"match: 'WORKER TIMEOUT'\")\n");
    assert_rule_faults(
        "    unless: x\n",
        "r.yaml:4: the rule has neither \"field\" nor \"match\", and \"unless\" only "
        "takes lines away (add one, such as \"field: code=H12\" or \"match: 'WORKER "
        "TIMEOUT'\")\n");
    assert_rule_faults("    mach: x\n",
                       "r.yaml:7: unknown key \"mach\" (did you mean \"match\"?)\n");
    assert_faults("app: a\nrules:\n" RULE "  - {name: b, match: x, more_than: 3, within: 5m, "
                  "channel: C2}\n",
                  "r.yaml:3: the rule has no channel (add \"slack: {channel: C0123456789}\" to the "
                  "file, or \"channel: C0123456789\" to the rule)\n");
}

static void duplicates_are_faults(void **state)
{
    (void)state;
    assert_faults("app: a\n" HEAD RULE,
                  "r.yaml:2: app: comes twice, first on line 1 (keep one of them)\n");
    assert_rule_faults("    match: x\n    within: 6m\n    within: 7m\n",
                       "r.yaml:8: within: comes twice, first on line 6 (keep one of them)\n"
                       "r.yaml:9: within: comes twice, first on line 6 (keep one of them)\n");
    assert_faults(HEAD RULE "  - {name: b, match: x, more_than: 3, within: 5m}\n" RULE RULE,
                  "r.yaml:6: name: \"a\" is the name of the rule on line 4 too (rename one)\n"
                  "r.yaml:7: name: \"a\" is the name of the rule on line 4 too (rename one)\n");
}

#define NOT_A_NUMBER                                                                               \
    " is not a whole number from 0 to 1000000000, without quotes (write "                          \
    "\"more_than: 3\")\n"

static void numbers_are_whole_and_bounded(void **state)
{
    static const char *const bad[] = {"-0",  "-1",         "+3",   "3.0",
                                      "1e3", "0x10",       "010",  "1_0",
                                      "3 4", "1000000001", "many", "18446744073709551617"};

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char text[200], want[200];

        snprintf(text, sizeof text, HEAD "- {name: a, match: x, more_than: %s, within: 5m}",
                 bad[i]);
        snprintf(want, sizeof want, "r.yaml:4: more_than: \"%s\"" NOT_A_NUMBER, bad[i]);
        assert_faults(text, want);
    }
    assert_faults(HEAD "- {name: a, match: x, more_than: '3', within: 5m}",
                  "r.yaml:4: more_than: \"3\"" NOT_A_NUMBER);
}

static void durations_are_named_with_a_guess(void **state)
{
    static const struct {
        const char *given;
        const char *fault;
    } rows[] = {
        {"5x", "is not a duration (try \"5m\")"},
        {"5 m", "is not a duration (try \"5m\")"},
        {"1h 30m", "is not a duration (try \"1h30m\")"},
        {"90 seconds", "is not a duration (try \"90s\")"},
        {"2hours", "is not a duration (try \"2h\")"},
        {"7 Days", "is not a duration (try \"7d\")"},
        {"2 weeks", "is not a duration (try \"14d\")"},
        {"30m1h", "is not a duration (try \"1h30m\")"},
        {"300", "is not a duration (try \"300s\" or \"300m\")"},
        {"1.5h", "is not a duration (try \"1h30m\")"},
        {"-5m", "is not a duration (try \"5m\")"},
        {"soon", "is not a duration (try \"5m\")"},
        {"12345678901234567890m", "is not a duration (try \"5m\")"},
        {"0", "is not a duration (try \"1s\")"},
        {"0 m", "is not a duration (try \"1s\")"},
        {"10 weeks", "is not a duration (try \"5m\")"},
        {"999999", "is not a duration (try \"999999s\" or \"5m\")"},
        {"0m", "is too short (from 1 second to 31 days)"},
        {"999ms", "is too short (from 1 second to 31 days)"},
        {"31d1ms", "is too long (from 1 second to 31 days)"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[200], want[200];

        snprintf(text, sizeof text, HEAD "- {name: a, match: x, more_than: 3, within: %s}",
                 rows[i].given);
        snprintf(want, sizeof want, "r.yaml:4: within: \"%s\" %s\n", rows[i].given, rows[i].fault);
        assert_faults(text, want);
    }
    assert_rule_faults("    match: x\n    cooldown: 500ms\n",
                       "r.yaml:8: cooldown: \"500ms\" is too short (from 1 second to 365 days)\n");
}

static void values_of_the_wrong_kind_are_faults(void **state)
{
    (void)state;
    assert_faults("- a\n",
                  "r.yaml:1: the file is not a mapping (write \"key: value\" lines, such as "
                  "\"app: my-app\")\n");
    assert_faults("app: [a]\nslack: C1\nrules: {}\n",
                  "r.yaml:1: app: is a list or a mapping, not one text (write \"app: my-app\")\n"
                  "r.yaml:2: slack is not a mapping (write \"key: value\" lines, such as "
                  "\"channel: C0123456789\")\n"
                  "r.yaml:3: rules: is not a list of rules (begin each with \"  - name: "
                  "h12-request-timeout\")\n");
    assert_faults("app: a\nslack:\n  channel: #ops\nrules: []\n",
                  "r.yaml:3: channel: has no value (write \"channel: C0123456789\"; quote a text "
                  "that begins with \"#\")\n"
                  "r.yaml:4: rules: is not a list of rules (begin each with \"  - name: "
                  "h12-request-timeout\")\n");
    assert_rule_faults(
        "    match: []\n    title: ''\n    runbook: ~\n    source: [[a]]\n"
        "    [x]: y\n",
        "r.yaml:7: match: is an empty list (write \"match: 'WORKER TIMEOUT'\", or "
        "remove the key)\n"
        "r.yaml:8: title: has no value (write \"title: H12 request timeouts\"; quote "
        "a text that begins with \"#\")\n"
        "r.yaml:9: runbook: has no value (write \"runbook: docs/runbook.md\"; quote "
        "a text that begins with \"#\")\n"
        "r.yaml:10: source: is a list or a mapping, not one text (write \"source: "
        "heroku\")\n"
        "r.yaml:11: a key is a list or a mapping (a key is one word; quote a text "
        "that begins with \"[\" or \"{\")\n");
    assert_rule_faults("    match: x\n    channel: a b\n    title: |\n      x\n",
                       "r.yaml:8: channel: \"a b\" holds a space (write one channel's id, or its "
                       "name as '#name')\n"
                       "r.yaml:9: title: holds a line end or another control character (write it "
                       "on one line, or with \">-\" instead of \"|\" or \">\")\n");
}

#define NOT_A_FIELD                                                                                \
    " is not KEY=VALUE without spaces and quotes (write \"field: code=H12\"; use "                 \
    "\"match\" for other text)\n"
#define NOT_A_SOURCE                                                                               \
    " is not a log source (write one whole name, such as \"heroku\" or \"app\"; the "              \
    "name in brackets is a process)\n"
#define NOT_A_PROCESS                                                                              \
    " is not a process (write a whole name, such as \"router\", or its beginning "                 \
    "and one \"*\", such as \"web.*\")\n"

static void bad_items_are_faults(void **state)
{
    (void)state;
    assert_rule_faults("    field:\n    - code\n    - =H12\n    - code H=12\n    - 'code=\"H12\"'\n"
                       "    - \"'code'=H12\"\n    - \"a=b\\tc\"\n    - code=it's\n",
                       "r.yaml:8: field: \"code\"" NOT_A_FIELD
                       "r.yaml:9: field: \"=H12\"" NOT_A_FIELD
                       "r.yaml:10: field: \"code H=12\"" NOT_A_FIELD
                       "r.yaml:11: field: \"code=\"H12\"\"" NOT_A_FIELD
                       "r.yaml:12: field: \"'code'=H12\"" NOT_A_FIELD
                       "r.yaml:13: field: \"a=b\\x09c\"" NOT_A_FIELD);
    assert_rule_faults("    match: x\n    source: ['heroku[router]', a b, 'a*', \xc3\xa9]\n",
                       "r.yaml:8: source: \"heroku[router]\" names a source and a process (write "
                       "\"source: heroku\" "
                       "and \"process: router\")\n"
                       "r.yaml:8: source: \"a b\"" NOT_A_SOURCE
                       "r.yaml:8: source: \"a*\"" NOT_A_SOURCE
                       "r.yaml:8: source: \"\xc3\xa9\"" NOT_A_SOURCE);
    assert_rule_faults(
        "    match: x\n    process: ['w*b', '**', a b, '[web.1]', '*', 'web.*']\n",
        "r.yaml:8: process: \"w*b\"" NOT_A_PROCESS "r.yaml:8: process: \"**\"" NOT_A_PROCESS
        "r.yaml:8: process: \"a b\"" NOT_A_PROCESS "r.yaml:8: process: \"[web.1]\"" NOT_A_PROCESS);
}

static void syntax_errors_have_their_line(void **state)
{
    static const struct {
        const char *text;
        const char *fault;
    } rows[] = {
        {"app: a\nrules: \"\n  abc\n", "r.yaml:2: not YAML: while scanning a quoted scalar, found "
                                       "unexpected end of stream (close the quote"},
        {"app: a\nrunbook: b: c\n", "r.yaml:2: not YAML: mapping values are not allowed in this "
                                    "context (quote a text that holds \": \""},
        {"app: \xc3\xa9\nrules:\n\t- name: x\n",
         "r.yaml:3: a tab stands here (indent with spaces)"},
        {"app: a\n\trules: x\n", "r.yaml:2: a tab stands here (indent with spaces)"},
        {"app: a\nmatch: \"\\d\"\n",
         "r.yaml:2: not YAML: while parsing a quoted scalar, found unknown "
         "escape character (write an expression in single quotes"},
        {"app: a\nmatch: @\n", "(quote a text that begins with %, @ or `; a mention is "
                               "written without its @)"},
        {"app: a\nmatch: *\n", "r.yaml:2: not YAML: while scanning an alias"},
        {"app: a\nrules: [a\n", "(close the \"[\""},
        {"app: a\nrules: {a\n", "(close the \"{\""},
        {"app: a\nrules\n", "(a key is followed by \": \")"},
        {"app: a\n  b\n c: d\n", "r.yaml:3: not YAML: "},
        {"app: a\n\nfoo: \x01\n", "r.yaml:3: not YAML: control characters are not allowed"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct rules *rules;
        struct buf faults;

        buf_init(&faults, RULES_FAULTS_MAX);
        assert_int_equal(rules_parse(rows[i].text, strlen(rows[i].text), "r.yaml", &rules, &faults),
                         ERR_INPUT);
        if (strstr(buf_text(&faults), rows[i].fault) == NULL)
            fail_msg("%s\n%s", rows[i].text, buf_text(&faults));
        buf_close(&faults);
    }
}

static void what_is_no_single_plain_document_is_refused(void **state)
{
    static const char empty[] =
        "r.yaml:1: the file is empty (the README shows a short one to start with)\n";
    static const char not_utf8[] =
        "not UTF-8 (save the file as UTF-8; in an expression a byte is written as \\xNN)\n";
    char want[200];

    (void)state;
    assert_faults_n(NULL, 0, empty);
    assert_faults("# nothing\n", empty);
    snprintf(want, sizeof want, "r.yaml:2: %s", not_utf8);
    assert_faults("app: a\nrules: \xff\n", want);
    snprintf(want, sizeof want, "r.yaml:1: %s", not_utf8);
    assert_faults_n("\xff\xfe"
                    "a\0p\0p\0",
                    8, want);
    assert_faults_n(
        "app: a\nru\0les", 13,
        "r.yaml:2: not YAML: control characters are not allowed (write it as \\xNN in a "
        "double-quoted text, or remove it)\n");
    assert_faults(HEAD RULE "---\nfoo: 1\n",
                  "r.yaml:6: a second document begins here (a file holds "
                  "one: remove the \"---\" or all that follows it)\n");
}

static void aliases_anchors_and_tags_are_refused(void **state)
{
    (void)state;
    assert_faults(
        "app: &a x\nslack: {channel: *a}\nrules: *b\n",
        "r.yaml:1: \"&a\": anchors are not supported (remove it; quote a text that begins "
        "with \"&\")\n"
        "r.yaml:2: \"*a\": aliases are not supported (write the value out; quote a text "
        "that begins with \"*\")\n"
        "r.yaml:3: \"*b\": aliases are not supported (write the value out; quote a text "
        "that begins with \"*\")\n");
    assert_faults(
        "app: &a x\nslack: {channel: 5 x}\nrules:\n"
        "  - {name: a, match: !error x, more_than: !!int 3, within: 5m}\n",
        "r.yaml:1: \"&a\": anchors are not supported (remove it; quote a text that begins "
        "with \"&\")\n"
        "r.yaml:4: \"!error\": tags are not supported (remove it; quote a text that begins "
        "with \"!\")\n"
        "r.yaml:4: \"!!int\": tags are not supported (remove it; quote a text that begins "
        "with \"!\")\n"
        "r.yaml:2: channel: \"5 x\" holds a space (write one channel's id, or its name as "
        "'#name')\n");
}

/* `n` bytes of `unit` over and over. */
static char *repeated(const char *unit, size_t n)
{
    size_t len = strlen(unit);
    char *text = malloc(n + 1);

    for (size_t i = 0; i < n; i++)
        text[i] = unit[i % len];
    text[n] = '\0';
    return text;
}

/* Processor time, which other work on the machine does not stretch. */
static double seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Reading ends soon for any megabyte, and reports no more faults than there is room for.
 * Without a bound on depth the first ones take libyaml minutes. The bound on the time is wide: it
 * holds under sanitizers and on a busy machine. */
static void large_texts_end_soon(void **state)
{
    static const char *const units[] = {"[",    "{a: ", "- ",    "? ",     "&a ",    "!a ", "*a ",
                                        "a,\n", "\"",   "---\n", "a: b\n", "- a\n",  "[],", "'':\n",
                                        "\n",   "#\n",  " ",     "%a b\n", "- {}\n", "|\n "};

    (void)state;
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        char *text = repeated(units[i], RULES_TEXT_MAX);
        const struct rules *rules;
        struct buf faults;
        double start = seconds();

        buf_init(&faults, RULES_FAULTS_MAX);
        assert_int_equal(rules_parse(text, RULES_TEXT_MAX, "r.yaml", &rules, &faults), ERR_INPUT);
        assert_in_range(faults.len, 20, RULES_FAULTS_MAX);
        assert_int_equal(faults.data[faults.len - 1], '\n');
        if (seconds() - start > 5)
            fail_msg("\"%s\" takes %.1f s", units[i], seconds() - start);
        buf_close(&faults);
        free(text);
    }
}

static void a_text_too_large_is_refused(void **state)
{
    char *text = repeated("# x\n", RULES_TEXT_MAX + 1);

    (void)state;
    assert_faults_n(text, RULES_TEXT_MAX + 1,
                    "r.yaml:1: the file is 1048577 bytes long (keep it to 1048576; a rule's "
                    "\"match\" and \"field\" take lists)\n");
    free(text);
}

/* Faults beyond the room are counted, not shown in part. */
static void faults_beyond_the_room_are_counted(void **state)
{
    const struct rules *rules;
    struct buf faults;

    (void)state;
    buf_init(&faults, 290);
    assert_int_equal(
        rules_parse("a1: 1\na2: 1\na3: 1\na4: 1\na5: 1\n", 30, "r\n.yaml", &rules, &faults),
        ERR_INPUT);
    assert_string_equal(buf_text(&faults), "r\\x0a.yaml:1: unknown key \"a1\" (known here: app, "
                                           "apps, refuse, slack, redact, messages, rules)\n"
                                           "r\\x0a.yaml:2: unknown key \"a2\" (known here: app, "
                                           "apps, refuse, slack, redact, messages, rules)\n"
                                           "and 5 more\n");
    buf_close(&faults);
    buf_init(&faults, 10);
    assert_int_equal(rules_parse("a1: 1\na2: 1\n", 12, "r.yaml", &rules, &faults), ERR_INPUT);
    assert_string_equal(buf_text(&faults), "r.yaml:1: ");
    buf_close(&faults);
}

static void too_many_rules_are_refused(void **state)
{
    struct buf text;
    const struct rules *rules;

    (void)state;
    buf_init(&text, RULES_TEXT_MAX);
    assert_int_equal(buf_puts(&text, HEAD), 0);
    for (int i = 0; i < RULES_MAX; i++)
        assert_int_equal(
            buf_printf(&text, "- {name: r%d, match: error %d, more_than: 3, within: 5m}\n", i, i),
            0);
    rules = read_good(buf_text(&text));
    assert_int_equal(rules->n, RULES_MAX);
    assert_string_equal(rules->rules[RULES_MAX - 1].name, "r9999");
    rules_free(rules);
    assert_int_equal(buf_puts(&text, "- {}\n"), 0);
    assert_faults(buf_text(&text),
                  "r.yaml:10004: rules: here begins rule 10001 of 10001 (keep 10000 at most; a "
                  "rule's \"match\" and \"field\" take lists)\n");
    buf_close(&text);
}

static void texts_have_bounds(void **state)
{
    char *text = repeated("a", 20000), lines[25000];

    (void)state;
    snprintf(lines, sizeof lines, HEAD "- {name: %.101s, match: x, more_than: 3, within: 5m}\n",
             text);
    assert_faults(lines, "r.yaml:4: name: is 101 bytes long (make it 100 at most)\n");
    snprintf(lines, sizeof lines, HEAD "- {name: a, match: %.16001s, more_than: 3, within: 5m}\n",
             text);
    assert_faults(lines, "r.yaml:4: match: is 16001 bytes long (make it 16000 at most)\n");
    snprintf(lines, sizeof lines, HEAD "- {name: a, match: '(%.200s', more_than: 3, within: 5m}\n",
             text);
    assert_faults(lines,
                  "r.yaml:4: match: \"(aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
                  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa...\" cannot "
                  "be used: Missing close parenthesis for group started at index 0 (write "
                  "\"\\(\" or \"\\)\" for the character)\n");
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_full_rule_is_read),
        cmocka_unit_test(what_is_left_out_has_defaults),
        cmocka_unit_test(forms_of_yaml_mean_the_same),
        cmocka_unit_test(bounds_are_within),
        cmocka_unit_test(all_faults_are_reported_at_once),
        cmocka_unit_test(missing_keys_are_named),
        cmocka_unit_test(duplicates_are_faults),
        cmocka_unit_test(numbers_are_whole_and_bounded),
        cmocka_unit_test(durations_are_named_with_a_guess),
        cmocka_unit_test(values_of_the_wrong_kind_are_faults),
        cmocka_unit_test(bad_items_are_faults),
        cmocka_unit_test(syntax_errors_have_their_line),
        cmocka_unit_test(what_is_no_single_plain_document_is_refused),
        cmocka_unit_test(aliases_anchors_and_tags_are_refused),
        cmocka_unit_test(large_texts_end_soon),
        cmocka_unit_test(a_text_too_large_is_refused),
        cmocka_unit_test(faults_beyond_the_room_are_counted),
        cmocka_unit_test(too_many_rules_are_refused),
        cmocka_unit_test(texts_have_bounds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
