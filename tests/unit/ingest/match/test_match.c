/* Tests of which lines match which rules. */
#include "tests/unit/unit.h"

#include "ingest/match/match.h"
#include "ingest/match/pass.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ITEMS_MAX = 4 };

/* A rule as a test writes it: lists end with NULL. */
struct sketch {
    const char *sources[ITEMS_MAX];
    const char *processes[ITEMS_MAX];
    struct rules_field fields[ITEMS_MAX];
    const char *matches[ITEMS_MAX];
    const char *unless[ITEMS_MAX];
    bool outside_quotes;
};

static size_t count(const char *const *items)
{
    size_t n = 0;

    while (n < ITEMS_MAX && items[n] != NULL)
        n++;
    return n;
}

/* Of the current test. */
static struct fixture {
    struct rule rule[16];
    struct rules rules;
    struct match *match;
} f;

static int teardown(void **state)
{
    (void)state;
    match_free(f.match);
    return 0;
}

/* With this many expressions as they are in the pass, and a stretch of each other. */
static void setup_bounded(const struct sketch *sketches, size_t n, size_t whole_max)
{
    struct err err = {.text = ""};

    match_free(f.match);
    f = (struct fixture){0};
    for (size_t i = 0; i < n; i++) {
        const struct sketch *s = &sketches[i];
        struct rule *r = &f.rule[i];

        r->name = "rule";
        r->sources = (struct rules_list){s->sources, count(s->sources)};
        r->processes = (struct rules_list){s->processes, count(s->processes)};
        r->matches = (struct rules_list){s->matches, count(s->matches)};
        r->unless = (struct rules_list){s->unless, count(s->unless)};
        r->outside_quotes = s->outside_quotes;
        r->fields = s->fields;
        while (r->n_fields < ITEMS_MAX && s->fields[r->n_fields].key != NULL)
            r->n_fields++;
    }
    f.rules = (struct rules){.app = "app", .rules = f.rule, .n = n};
    if (match_new_bounded(&f.rules, whole_max, &f.match, &err) != 0)
        fail_msg("%s", err.text);
}

static void setup(const struct sketch *sketches, size_t n)
{
    setup_bounded(sketches, n, PASS_WHOLE_MAX);
}

static struct line_text text(const char *s)
{
    return (struct line_text){s, strlen(s)};
}

static struct line line_of(const char *source, const char *process, const char *message)
{
    return (struct line){.form = source == NULL ? LINE_BARE : LINE_SYSLOG,
                         .source = text(source == NULL ? "" : source),
                         .process = text(process == NULL ? "" : process),
                         .message = text(message)};
}

static struct match_result judge(const char *source, const char *process, const char *message)
{
    struct line line = line_of(source, process, message);
    struct match_result result;

    assert_int_equal(match_line(f.match, &line, NULL, &result), 0);
    return result;
}

static bool matches(const char *source, const char *process, const char *message)
{
    return judge(source, process, message).n_rules > 0;
}

/* Which of the lines, which lie one behind the other with `gap` before each, are candidates, as a
 * string of digits. */
static const char *candidates(const char *gap, const char *const *lines, size_t n)
{
    static char shown[LINE_BATCH_MAX + 1];
    static char region[1 << 16];
    struct line_span spans[16];
    const struct candidate *found;
    const uint32_t *ends;
    size_t len = 0, n_found, n_ends;

    for (size_t i = 0; i < n; i++) {
        len += (size_t)snprintf(region + len, sizeof region - len, "%s", gap);
        spans[i] = (struct line_span){(uint32_t)len, (uint32_t)strlen(lines[i])};
        len += (size_t)snprintf(region + len, sizeof region - len, "%s", lines[i]);
    }
    assert_int_equal(match_scan(f.match, region, len, &ends, &n_ends), 0);
    n_found = match_candidates(f.match, region, spans, n, &found);
    assert_true(n_found <= n);
    for (size_t i = 0; i < n_found; i++) {
        assert_true(i == 0 || found[i].line > found[i - 1].line);
        assert_true((found[i].n > 0) == (ends != NULL));
        shown[i] = (char)('0' + found[i].line);
    }
    shown[n_found] = 0;
    match_forget(f.match);
    return shown;
}

/* A line of this origin matches exactly the rules whose indexes are the digits of `expected`. */
static void assert_matched(const char *source, const char *process, const char *expected)
{
    struct match_result r = judge(source, process, "a x b");

    assert_int_equal(r.n_rules, strlen(expected));
    for (size_t i = 0; i < r.n_rules; i++)
        assert_int_equal(r.rules[i], expected[i] - '0');
}

UNIT_TEST(test_source_and_process)
{
    static const struct sketch rules[] = {
        {.sources = {"heroku", "app"}, .matches = {"x"}},
        {.processes = {"router", "web.*"}, .matches = {"x"}},
        {.matches = {"x"}},
        {.sources = {"app"}, .processes = {"web.1"}, .matches = {"x"}},
    };
    static const struct {
        const char *source, *process;
        const char *expected;
    } cases[] = {
        {"heroku", "router", "012"}, {"app", "web.1", "0123"},
        {"app", "web.", "012"},      {"app", "web", "02"},
        {"addon", "web.12", "12"},   {"herok", "route", "2"},
        {"heroku2", "router2", "2"}, {"", "", "2"},
        {NULL, NULL, "0123"},
    };

    setup(rules, 4);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_matched(cases[i].source, cases[i].process, cases[i].expected);
}

UNIT_TEST(a_star_stands_for_every_end_of_a_process)
{
    static const struct sketch rules[] = {
        {.processes = {"web*"}, .matches = {"x"}},
        {.processes = {"*"}, .matches = {"x"}},
        {.processes = {"!web*"}, .matches = {"x"}},
    };
    static const struct {
        const char *process, *expected;
    } cases[] = {{"web.1", "01"}, {"web", "01"}, {"webhook.2", "01"}, {"we", "12"}, {"", "12"}};

    setup(rules, 3);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_matched("app", cases[i].process, cases[i].expected);
}

UNIT_TEST(a_mark_excludes_a_name)
{
    static const struct sketch rules[] = {
        {.processes = {"!router"}, .matches = {"x"}},
        {.processes = {"web", "web.*", "!web.1"}, .matches = {"x"}},
        {.sources = {"!heroku", "!app"}, .matches = {"x"}},
        {.sources = {"heroku"}, .processes = {"!web", "!web.*"}, .matches = {"x"}},
    };
    static const struct {
        const char *source, *process, *expected;
    } cases[] = {
        {"heroku", "router", "3"},  {"app", "web.1", "0"},    {"app", "web.2", "01"},
        {"addon", "web.12", "012"}, {"heroku", "web.1", "0"}, {"heroku", "api", "03"},
        {NULL, NULL, "0123"},
    };

    setup(rules, 4);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_matched(cases[i].source, cases[i].process, cases[i].expected);
}

/* The first rule counts text outside of quotes, the second one all text. */
UNIT_TEST(quoted_text_can_be_left_out)
{
    static const struct sketch rules[] = {
        {.matches = {"WORKER TIMEOUT", "fail$", "a.{3,}z"}, .outside_quotes = true},
        {.matches = {"WORKER TIMEOUT", "fail$", "a.{3,}z"}},
    };
    static const struct {
        const char *message;
        size_t n;
    } cases[] = {
        {"WORKER TIMEOUT", 2},
        {"[4] [CRITICAL] WORKER TIMEOUT (pid:17)", 2},
        {"\"GET / HTTP/1.1\" 200 \"-\" \"WORKER TIMEOUT\"", 1},
        {"fwd=\"WORKER TIMEOUT\"", 1},
        {"fwd=\"say \\\"WORKER TIMEOUT\\\"\"", 1},
        {"fwd=\"x\" WORKER TIMEOUT", 2},
        {"msg=\"say \\\"hi\\\"\" WORKER TIMEOUT", 2},
        /* Gunicorn escapes a visitor's quotes, but not his backslashes. */
        {"\"GET / HTTP/1.1\" 200 5 \"-\" \"\\\\\" WORKER TIMEOUT\"", 1},
        {"\"GET / HTTP/1.1\" 200 5 \"x\\\" \"- WORKER TIMEOUT\"", 1},
        {"\"GET / HTTP/1.1\" 200 5 \"x\\\" \"\\\" \\\" \\\\\" WORKER TIMEOUT\"", 1},
        {"fwd=\"WORKER\" TIMEOUT", 0},
        {"fwd=\"never closed WORKER TIMEOUT", 1},
        {"\"\\\" x\\\"\"- WORKER TIMEOUT \"", 1},
        {"[x\\\"]\"WORKER TIMEOUT\"", 1},
        {"headers={\"user-agent\": b\"x WORKER TIMEOUT y\"}", 1},
        {"ua=b\"x \" ref=\"WORKER TIMEOUT\"", 1},
        {"200\"GET /WORKER TIMEOUT\"", 1},
        {"a 5\" disk: WORKER TIMEOUT", 2}, /* inches */
        {"a 5\" disk: WORKER TIMEOUT of 5\"", 1},
        {"fwd='WORKER TIMEOUT'", 2}, /* single quotes hide nothing */
        {"\"quoted\" fail", 2},
        {"\"quoted fail\"", 0},
        {"\"quoted fail", 1},
        {"a=\"..\" z", 2}, /* quoted bytes stand for something, whatever they are */
        {"request_id=aaaaaaaaaaaaaaaafail", 1}, /* the visitor's X-Request-ID */
        {"request_id=aaaaaaaaaaaaaaaafail fail", 2},
    };

    for (size_t whole_max = 0; whole_max <= PASS_WHOLE_MAX; whole_max += PASS_WHOLE_MAX) {
        setup_bounded(rules, 2, whole_max);
        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
            struct match_result r = judge("app", "web.1", cases[i].message);

            if (r.n_rules != cases[i].n || (r.n_rules == 1 && r.rules[0] != 1))
                fail_msg("%s: %zu rules", cases[i].message, r.n_rules);
        }
    }
}

UNIT_TEST(the_place_of_a_match_lies_outside_of_the_quotes)
{
    static const struct sketch rules[] = {{.matches = {"fail"}, .outside_quotes = true}};
    static const char message[] = "a=\"fail\" to fail";
    size_t end;

    setup(rules, 1);
    assert_true(match_find(f.match, 0, message, sizeof message - 1, &end));
    assert_int_equal(end, sizeof message - 1);
}

UNIT_TEST(test_any_item_and_all_parts)
{
    static const struct sketch rules[] = {
        {.fields = {{"code", "H12", false}, {"code", "H13", false}}, .matches = {"POST", "PUT"}},
    };

    setup(rules, 1);
    assert_true(matches("heroku", "router", "code=H12 method=POST"));
    assert_true(matches("heroku", "router", "method=PUT code=H13"));
    assert_true(matches("heroku", "router", "method=PUT code=\"H13\""));
    assert_false(matches("heroku", "router", "code=H12 method=GET"));
    assert_false(matches("heroku", "router", "code=H14 method=POST"));
    assert_false(matches("heroku", "router", "fwd=\"code=H12\" method=POST"));
}

UNIT_TEST(test_shared_expressions)
{
    static const struct sketch rules[] = {
        {.matches = {"same", "same", false}},
        {.sources = {"app"}, .matches = {"same"}},
        {.fields = {{"same", "1", false}, {"same", "1", false}}},
        {.matches = {"other"}},
    };
    struct match_result r;

    setup(rules, 4);
    r = judge("app", "web.1", "same=1 same=\"1\" same=1");
    assert_int_equal(r.n_rules, 3);
    r = judge("heroku", "web.1", "other same");
    assert_int_equal(r.n_rules, 2);
    assert_int_equal(r.rules[0], 0);
    assert_int_equal(r.rules[1], 3);
}

/* The next byte behind each of these is the length of the next frame. */
UNIT_TEST(test_frames_without_newline)
{
    static const struct sketch rules[] = {{.matches = {"code=H12$"}}};
    static const char *const lines[] = {"<1>1 - h a p - code=H12", "<1>1 - h a p - code=H12",
                                        "<1>1 - h a p - code=H123", "<1>1 - h a p - code=H12"};

    setup(rules, 1);
    assert_string_equal(candidates("23 ", lines, 4), "0123");
    assert_true(matches("heroku", "router", "code=H12"));
    assert_false(matches("heroku", "router", "code=H123"));
}

UNIT_TEST(test_expressions_see_the_message_alone)
{
    static const struct sketch rules[] = {
        {.matches = {"^start"}}, {.matches = {"\\bword\\b"}},      {.matches = {"\\Aa.c\\z"}},
        {.matches = {"end\\Z"}}, {.matches = {"(?:^|;)k(?:;|$)"}},
    };
    static const char *const lines[] = {"start", "word", "abc", "end", "k"};

    setup(rules, 5);
    assert_string_equal(candidates("x", lines, 5), "01234");
    for (uint32_t i = 0; i < 5; i++) {
        struct match_result r = judge("app", "p", lines[i]);

        assert_int_equal(r.n_rules, 1);
        assert_int_equal(r.rules[0], i);
    }
    assert_false(matches("app", "p", "xstart words abcd endx kk"));
}

UNIT_TEST(test_newlines_and_dotall)
{
    static const struct sketch rules[] = {
        {.matches = {"(?s)Traceback.*Error"}},
        {.matches = {"one.two"}},
        {.matches = {"(?m)^Fatal$"}},
    };
    static const char *const lines[] = {
        "Traceback\n  File\nError", "one\ntwo", "a\nFatal\nb", "Traceback", "Error", "aFatal",
    };

    setup(rules, 3);
    /* The pass also sees the traceback that spans two lines; the exact look does not. */
    assert_string_equal(candidates("\n", lines, 6), "0245");
    assert_int_equal(judge("app", "p", lines[0]).n_rules, 1);
    assert_int_equal(judge("app", "p", lines[1]).n_rules, 0);
    assert_int_equal(judge("app", "p", lines[2]).n_rules, 1);
    assert_int_equal(judge("app", "p", lines[4]).n_rules, 0);
}

UNIT_TEST(test_gaps_are_nobodys)
{
    static const struct sketch rules[] = {{.matches = {"needle"}}};
    static const char *const lines[] = {"hay", "needle", "hay"};

    setup(rules, 1);
    assert_string_equal(candidates("needle", lines, 3), "1");
}

/* Such a rule cannot be looked for in many lines at once; the rules reader refuses most of them. */
UNIT_TEST(test_line_by_line)
{
    static const struct sketch rules[] = {{.matches = {"^$"}}, {.matches = {"(*UTF8)\xc3\xa9+"}}};
    static const char *const lines[] = {"a", "b", "c"};

    for (size_t i = 0; i < 2; i++) {
        setup(&rules[i], 1);
        assert_true(match_is_line_by_line(f.match));
        assert_string_equal(candidates("\n", lines, 3), "012");
        assert_true(matches("app", "p", i == 0 ? "" : "caf\xc3\xa9"));
        assert_false(matches("app", "p", "cafe"));
    }
    setup(&(struct sketch){.matches = {"a"}}, 1);
    assert_false(match_is_line_by_line(f.match));
}

UNIT_TEST(test_visitors_cannot_fake_a_field)
{
    static const struct sketch rules[] = {
        {.sources = {"heroku"}, .fields = {{"code", "H12", false}}}};

    setup(rules, 1);
    assert_true(matches("heroku", "router", "at=error code=H12 desc=\"Request timeout\""));
    assert_false(matches("heroku", "router", "at=info path=\"/?code=H12\" status=200"));
    assert_false(matches("heroku", "router", "at=info path=\"/\" fwd=\"a code=H12 b\""));
    assert_false(matches("heroku", "router", "at=info path=\"/\" fwd=\"\\\" code=H12 \""));
    assert_false(matches("app", "web.1", "code=H12"));
    assert_true(matches(NULL, NULL, "code=H12"));
}

/* The pass sees KEY=VALUE and KEY="VALUE" alone; lines with other forms are candidates, too, but
 * single quotes behind a key that no rule names make none. */
UNIT_TEST(test_pairs_of_unusual_forms_match)
{
    static const struct sketch rules[] = {{.fields = {{"code", "H12", false}}},
                                          {.fields = {{"code", "H1.", true}}},
                                          {.fields = {{"status", "503", false}}},
                                          {.fields = {{"cod", "H12", false}}}};
    static const char *const lines[] = {
        "code='H12'",   "a code = H12", "\033[36mcode\033[0m=\033[1mH12", "code = \"H12\"",
        "'code = H13'", "x='code=H12'", "x=\"code = H12\" y='z'",         "x='H12'"};

    for (size_t whole = 0; whole <= PASS_WHOLE_MAX; whole += PASS_WHOLE_MAX) {
        setup_bounded(rules, 4, whole);
        assert_string_equal(candidates("\n", lines, 8), "0123456");
        for (size_t i = 0; i < 4; i++) {
            struct match_result result = judge("a", "p", lines[i]);

            assert_int_equal(result.n_rules, 2);
            assert_int_equal(result.rules[1], 1);
        }
        for (size_t i = 4; i < 8; i++)
            assert_int_equal(judge("a", "p", lines[i]).n_rules, 0);
    }
}

static size_t found(uint32_t rule, const char *message)
{
    size_t end;

    return match_find(f.match, rule, message, strlen(message), &end) ? end : 0;
}

UNIT_TEST(test_the_place_of_a_match)
{
    static const struct sketch rules[] = {
        {.matches = {"ab", "^x.*y$"}},
        {.fields = {{"code", "H12", false}}},
        {.fields = {{"code", "H[0-9]", true}}, .matches = {"b+"}}};

    setup(rules, 3);
    assert_int_equal(found(0, "..ab.ab"), 4);
    assert_int_equal(found(0, "x..y"), 4);
    assert_int_equal(found(0, "b a"), 0);
    assert_int_equal(found(1, "code=H13 path=\"code=H12\" code=\"H12\" z"), 35);
    assert_int_equal(found(1, "ab code=H13"), 0);
    assert_int_equal(found(2, "code=H1 .. b"), 12);
    assert_int_equal(found(2, "b .. code=H1"), 12);
    assert_int_equal(found(2, "b"), 1);
}

UNIT_TEST(test_fields_hold_any_bytes)
{
    static const struct sketch rules[] = {{.fields = {{"a.b", "x*y", false}}},
                                          {.fields = {{"k", "^([", false}}},
                                          {.fields = {{"k", "\xc3\xa9", false}}}};
    static const char *const lines[] = {"a.b=x*y", "k=^([", "k=\xc3\xa9", "aXb=xy", "k=\"^([\""};

    setup(rules, 3);
    assert_string_equal(candidates(" ", lines, 5), "0124");
    assert_int_equal(judge("a", "p", lines[0]).rules[0], 0);
    assert_int_equal(judge("a", "p", lines[1]).rules[0], 1);
    assert_int_equal(judge("a", "p", lines[2]).rules[0], 2);
    assert_int_equal(judge("a", "p", lines[3]).n_rules, 0);
    assert_int_equal(judge("a", "p", lines[4]).n_rules, 1);
}

UNIT_TEST(test_what_logplex_lost)
{
    static const struct {
        const char *message;
        uint64_t lost;
    } cases[] = {
        {"Error L10 (output buffer overflow): 491 messages dropped since 2026-05-07T08:06:12Z.",
         491},
        {"Error L10 (output buffer overflow): 1 message dropped since 2026-05-07T08:06:12Z.", 1},
        {"Error L10 (output buffer overflow): drain 'd.8' dropped 63 messages since x", 63},
        {"drain 'd.0ab' dropped 7 messages", 7},
        {"drain 'd.0ab' dropped 1 message", 1},
        {"dropped dropped 12 messages", 12},
        {"99999999999999999999999999 messages dropped", UINT64_C(1000000000)},
        {"messages dropped", 0},
        {"x messages dropped", 0},
        {"dropped messages", 0},
        {"dropped 12 parcels", 0},
        {"dropped 12", 0},
        {"dropped ", 0},
        {"12 messages sent", 0},
        {"", 0},
    };

    setup(NULL, 0);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *const lines[] = {"quiet", cases[i].message, "quiet"};

        assert_int_equal(judge("heroku", "logplex", cases[i].message).lost, cases[i].lost);
        assert_int_equal(judge("app", "logplex", cases[i].message).lost, 0);
        assert_int_equal(judge("heroku", "router", cases[i].message).lost, 0);
        assert_int_equal(judge(NULL, NULL, cases[i].message).lost, 0);
        if (cases[i].lost > 0)
            assert_string_equal(candidates("\n", lines, 3), "1");
    }
}

UNIT_TEST(test_own_lines)
{
    static const struct sketch rules[] = {{.matches = {"."}}, {.fields = {{"code", "H12", false}}}};
    static const char ours[] = "at=error code=H12 path=\"/api/internal/heroku-log-drain?a=b\"";
    struct match_result r;

    setup(rules, 2);
    r = judge("app", "web.1", "heroku_log_drain: processed 3 lines code=H12");
    assert_true(r.own && r.n_rules == 0);
    r = judge(NULL, NULL, "drainwatch-ingest: code=H12");
    assert_true(r.own && r.n_rules == 0);
    r = judge("app", "web.1", "2026-05-07T08:06:12.123Z drainwatch-ingest level=info code=H12");
    assert_true(r.own && r.n_rules == 0);
    r = judge("app", "web.1", "2026-05-07 08:06:12.123Z drainwatch-ingest code=H12");
    assert_true(!r.own && r.n_rules == 2);
    r = judge("app", "web.1", "see drainwatch code=H12");
    assert_true(!r.own && r.n_rules == 2);
    /* An H12 on our own path is an H12. */
    r = judge("heroku", "router", ours);
    assert_true(r.own && r.n_rules == 2);
    assert_false(judge("app", "router", ours).own);
    assert_false(judge("heroku", "web.1", ours).own);
    assert_false(judge(NULL, NULL, ours).own);
    assert_false(
        judge("heroku", "router", "path=\"/x\" fwd=\" path=\\\"/api/internal/heroku-log-drain\"")
            .own);
}

UNIT_TEST(test_own_lines_are_candidates)
{
    static const char *const lines[] = {
        "<1>1 - h app web.1 - heroku_log_drain: processed 1 lines from logplex delivery",
        "<1>1 - h app web.1 - drainwatch-alerter: ready",
        "<1>1 - h heroku router - path=\"/api/internal/heroku-log-drain\"",
        "<1>1 - h heroku router - path=/api/internal/heroku-log-drain",
        "<1>1 - h heroku router - path=\"/api/internal\"",
    };

    setup(NULL, 0);
    assert_string_equal(candidates("70 ", lines, 5), "0123");
}

UNIT_TEST(test_a_pattern_that_cannot_be_compiled)
{
    static const char *const patterns[] = {"a{2,1}"};
    const struct rule rule = {.name = "r", .matches = {patterns, 1}};
    const struct rules rules = {.app = "a", .rules = &rule, .n = 1};
    struct err err = {.text = ""};
    struct match *m;

    assert_int_equal(match_new(&rules, &m, &err), ERR_INPUT);
    assert_null(m);
    assert_non_null(strstr(err.text, "a{2,1}"));
}

/* Hyperscan finds out only when it compiles it, in whatever company. */
UNIT_TEST(test_a_pattern_that_is_too_large)
{
    static const char *const patterns[] = {"x", "([^a][^b]){260}c"};
    struct rule rule = {.name = "r", .matches = {patterns, 2}};
    const struct rules rules = {.app = "a", .rules = &rule, .n = 1};
    const struct line line = line_of("app", "p", "x");
    struct match_result result;
    struct err err = {.text = ""};
    struct match *m;

    assert_int_equal(match_new(&rules, &m, &err), ERR_INPUT);
    assert_null(m);
    assert_non_null(strstr(err.text, "too large"));
    /* If it is first compiled for a line, that line cannot be judged. */
    rule.matches = (struct rules_list){patterns, 1};
    rule.unless = (struct rules_list){patterns + 1, 1};
    assert_int_equal(match_new(&rules, &m, &err), 0);
    assert_int_equal(match_line(m, &line, NULL, &result), ERR_IO);
    assert_int_equal(result.n_rules, 0);
    match_free(m);
}

/* The indexes of the rules that match, as a string of digits. */
static const char *digits(const struct match_result *r)
{
    static char shown[17];

    for (size_t i = 0; i < r->n_rules; i++)
        shown[i] = (char)('0' + r->rules[i]);
    shown[r->n_rules] = 0;
    return shown;
}

static const char *matching(const char *message)
{
    struct match_result r = judge("app", "web.1", message);

    return digits(&r);
}

UNIT_TEST(test_unless)
{
    static const struct sketch rules[] = {
        {.matches = {"error"}, .unless = {"retry [0-9]+$", "^healthcheck"}},
        {.matches = {"error"}, .unless = {"^healthcheck"}},
        {.fields = {{"code", "H12", false}}, .unless = {"path=\"?/ping"}},
        {.matches = {"retry"}, .unless = {"error"}},
        {.matches = {"boom"}, .unless = {"boom"}}, /* which never matches */
    };

    for (size_t full = 0; full <= PASS_WHOLE_MAX; full += PASS_WHOLE_MAX) {
        setup_bounded(rules, 5, full);
        assert_string_equal(matching("error"), "01");
        assert_string_equal(matching("error, retry 3"), "1");
        assert_string_equal(matching("retry 3 after error"), "01");
        assert_string_equal(matching("retry 3"), "3");
        assert_string_equal(matching("healthcheck: error, retry 3"), "");
        assert_string_equal(matching("code=H12 path=\"/x\""), "2");
        assert_string_equal(matching("code=H12 path=\"/ping\""), "");
        assert_string_equal(matching("path=/ping code=H12 error"), "01");
        assert_string_equal(matching("boom"), "");
    }
}

/* What only `unless` holds makes no line a candidate, and costs the pass nothing. */
UNIT_TEST(test_unless_is_not_in_the_pass)
{
    static const struct sketch rules[] = {
        {.matches = {"needle"}, .unless = {"hay", "^$", "a{0,3}"}}};
    static const char *const lines[] = {"hay", "needle", "hay needle"};

    setup(rules, 1);
    assert_false(match_is_line_by_line(f.match));
    assert_string_equal(candidates("hay ", lines, 3), "12");
}

static const struct sketch rules_on_values[] = {
    {.fields = {{"status", "5..", true}}},
    {.fields = {{"path", "/api/.*", true}, {"path", "/v[0-9]+", true}}},
    {.fields = {{"msg", "(?i)time ?out|gone", true}}},
    {.fields = {{"q", "[^b].c", true}}},
    {.fields = {{"any", ".+", true}}},
    {.fields = {{"a.b", "(?x) x y # ( no group", true}}},
    {.fields = {{"raw", "\\Qa.b", true}}},
    {.fields = {{"status", "503", false}, {"status", "50[0-2]", true}}, .matches = {"GET"}},
};

UNIT_TEST(test_values_by_pattern)
{
    static const struct {
        const char *message, *expected;
    } cases[] = {
        {"status=503", "0"},
        {"status=\"503\"", "0"},
        {"status=5033 status=403", ""},
        {"at=x status=404 status=599", "0"},
        {"fwd=\"status=503\" status=200", ""},
        {"xstatus=503 status =503", ""},
        {"status=503\n", "0"},
        {"status=\"50\n\"", ""},
        {"GET status=503", "07"},
        {"GET status=501", "07"},
        {"GET status=504", "0"},
        {"path=/api/", "1"},
        {"path=\"/api/a b\"", "1"},
        {"path=\"/v12\"", "1"},
        {"path=\"/v12x\"", ""},
        {"path=\"/x/api/\"", ""},
        {"path=\"/api/ and never closed", ""},
        {"msg=\"Time out\"", "2"},
        {"msg=GONE", "2"},
        {"msg=gone!", ""},
        {"q=\"abc\"", "3"}, /* the quotes are not a part of the value */
        {"q=abc", "3"},
        {"q=\"bc\"", ""},
        {"any=x", "4"},
        {"any=\"x\"", "4"},
        {"any=", ""},
        {"any=\"\"", ""},
        {"a.b=xy", "5"},
        {"aXb=xy", ""},
        {"raw=a.b", "6"},
        {"raw=axb", ""},
    };

    for (size_t full = 0; full <= PASS_WHOLE_MAX; full += PASS_WHOLE_MAX) {
        setup_bounded(rules_on_values, 8, full);
        assert_false(match_is_line_by_line(f.match));
        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
            const char *const lines[] = {"quiet", cases[i].message, "quiet"};

            if (strcmp(matching(cases[i].message), cases[i].expected) != 0)
                fail_msg("%s: %s", cases[i].message, matching(cases[i].message));
            if (cases[i].expected[0] != '\0')
                assert_string_equal(candidates("5", lines, 3), "1");
        }
    }
}

/* The value's expression narrows the candidates, but for a repeated dot at its end. */
UNIT_TEST(test_candidates_of_values)
{
    static const struct sketch rules[] = {{.fields = {{"status", "5..", true}}},
                                          {.fields = {{"path", "/a.*", true}}},
                                          {.fields = {{"odd", "(?<n>x)", true}}}};
    static const char *const lines[] = {"status=200", "status=\"500", "path=/b",
                                        "path=\"/a",  "odd=x",        "odd=y"};

    setup(rules, 3);
    assert_string_equal(candidates("\n", lines, 6), "134");
}

/* An expression of which the pass holds a stretch: more lines are candidates, no more match. */
UNIT_TEST(test_stretches)
{
    static const struct sketch rules[] = {
        {.matches = {"timeout after \\d+ms"}},
        {.matches = {"(?i)connection (refused|reset) by [a-z]+"}},
        {.matches = {"user_id=[0-9a-f]{8,32} .*failed"}},
        {.matches = {"^z+$"}}, /* none long enough: as it is */
        {.matches = {"pla.n", "Plain$"}},
    };
    static const char *const lines[] = {
        "timeout after a while", "CONNECTION lost", "user_id=x", "czzb", "Plain", "it failed"};

    setup_bounded(rules, 5, 0);
    assert_false(match_is_line_by_line(f.match));
    assert_string_equal(candidates("\n", lines, 6), "01234");
    for (size_t i = 0; i < 6; i++)
        assert_string_equal(matching(lines[i]), i == 4 ? "4" : "");
    assert_string_equal(matching("TIMEOUT timeout after 31ms"), "0");
    assert_string_equal(matching("Connection Reset by Peer"), "1");
    assert_string_equal(matching("user_id=0123abcd it failed"), "2");
    assert_string_equal(matching("zzz"), "3");
    assert_string_equal(matching("plain"), "4");
}

/* What too many expressions share would name them all for each line that holds it. */
UNIT_TEST(test_shared_stretches_are_not_used)
{
    static const char *const patterns[10] = {
        "user=[0-9]1", "user=[0-9]2", "user=[0-9]3", "user=[0-9]4", "user=[0-9]5",
        "user=[0-9]6", "user=[0-9]7", "user=[0-9]8", "user=[0-9]9", "user=[0-9]0"};
    static const char *const lines[] = {"user=x", "user=10", "user=a1"};
    struct sketch rules[10] = {{.matches = {NULL}}};

    for (size_t i = 0; i < 10; i++)
        rules[i].matches[0] = patterns[i];
    setup_bounded(rules, 10, 0);
    assert_string_equal(candidates("\n", lines, 3), "1");
    setup_bounded(rules, 8, 0);
    assert_string_equal(candidates("\n", lines, 3), "012");
}

/* As it is, Hyperscan takes each of these; with its anchor gone it finds it too large. */
UNIT_TEST(test_line_by_line_for_size)
{
    static const char *const patterns[] = {"^([^a][^b]){260}c", "^([^a][^b]){261}c",
                                           "^([^a][^b]){262}c"};
    static const char *const lines[] = {"a", "x", "k=v"};
    struct sketch rules[5] = {{.matches = {"x"}}, {.fields = {{"k", "v", false}}}};
    static char text[522];

    for (size_t i = 0; i < 3; i++)
        rules[i + 2].matches[0] = patterns[i];
    memset(text, 'c', 521);
    for (size_t n = 3; n <= 5; n += 2) { /* one of them, and more than are left out */
        setup(rules, n);
        assert_true(match_is_line_by_line(f.match));
        assert_string_equal(candidates("\n", lines, 3), "012");
        assert_string_equal(matching("a"), "");
        assert_string_equal(matching("x"), "0");
        assert_string_equal(matching("k=v x"), "01");
        assert_string_equal(matching(text), "2");
    }
}

/* One expression that the pass cannot hold does not cost the others their stretch of it. */
UNIT_TEST(test_line_by_line_beside_others)
{
    static const struct sketch rules[] = {
        {.matches = {".+"}}, {.matches = {"x"}}, {.fields = {{"k", "v", false}}}};
    static const char *const lines[] = {"a", "x", "k=v"};

    setup(rules, 3);
    assert_true(match_is_line_by_line(f.match));
    assert_string_equal(candidates("\n", lines, 3), "012");
    assert_string_equal(matching("a"), "0");
    assert_string_equal(matching("x"), "01");
    assert_string_equal(matching("k=v"), "02");
}

/* The pass settles an expression that is nothing but a literal. */
UNIT_TEST(test_literals)
{
    static const struct sketch rules[] = {
        {.matches = {"(?i)out\\.of memory"}}, {.matches = {"R14"}}, {.matches = {"\xff\\["}}};
    static const char *const lines[] = {"OUT.of Memory", "r14", "R14", "out of memory", "\xff["};

    setup(rules, 3);
    assert_string_equal(candidates("4", lines, 5), "024");
    assert_string_equal(matching(lines[0]), "0");
    assert_string_equal(matching(lines[1]), "");
    assert_string_equal(matching("a R14 out.of memory"), "01");
    assert_string_equal(matching(lines[3]), "");
    assert_string_equal(matching(lines[4]), "2");
}

/* A full batch of which two in three lines match, in which the reports come out of order. */
UNIT_TEST(test_full_batch)
{
    static const struct sketch rules[] = {{.matches = {"ab.*z", "b"}}, {.matches = {"a"}}};
    static char region[LINE_BATCH_MAX * 8];
    struct line_span spans[LINE_BATCH_MAX];
    const struct candidate *found;
    const uint32_t *ends;
    size_t n_ends;

    setup(rules, 2);
    for (uint32_t i = 0; i < LINE_BATCH_MAX; i++) {
        memcpy(region + (size_t)i * 8, i % 3 ? "4 xxab z" : "4 yyyy y", 8);
        spans[i] = (struct line_span){i * 8 + 2, 6};
    }
    assert_int_equal(match_scan(f.match, region, sizeof region, &ends, &n_ends), 0);
    assert_int_equal(match_candidates(f.match, region, spans, LINE_BATCH_MAX, &found),
                     LINE_BATCH_MAX - (LINE_BATCH_MAX + 2) / 3);
    for (uint32_t i = 0; i < LINE_BATCH_MAX - (LINE_BATCH_MAX + 2) / 3; i++)
        assert_int_equal(found[i].line, i / 2 * 3 + i % 2 + 1);
}

/* Lines in two places of one scanned chunk, with bytes between them that belong to no line. */
UNIT_TEST(test_a_scan_before_lines_are_known)
{
    static const struct sketch rules[] = {{.matches = {"ab.*z", "b"}}, {.matches = {"a"}}};
    static const char bytes[] = "b x\nab z\nxxx\nb\nyy ab yy\nxa", elsewhere[] = "b\nc";
    static const struct line_span first[] = {{0, 4}, {5, 3}, {9, 1}}, second[] = {{0, 8}};
    const struct candidate *found;
    const uint32_t *ends;
    size_t n_ends;

    setup(rules, 2);
    assert_int_equal(match_scan(f.match, bytes, sizeof bytes - 1, &ends, &n_ends), 0);
    assert_true(n_ends >= 6);
    for (size_t i = 1; i < n_ends; i++)
        assert_true(ends[i] >= ends[i - 1]);
    assert_int_equal(match_candidates(f.match, bytes + 4, first, 3, &found), 2);
    assert_true(found[0].line == 0 && found[1].line == 2);
    assert_int_equal(match_candidates(f.match, bytes + 15, second, 1, &found), 1);
    assert_int_equal(found[0].line, 0);
    /* Nothing is known of others. */
    assert_int_equal(match_candidates(f.match, elsewhere, first, 2, &found), 2);
    assert_true(found[0].n == 0 && found[1].n == 0);
    match_forget(f.match);
    assert_int_equal(match_candidates(f.match, bytes + 4, first, 3, &found), 3);
}

/* What the line "[head][message]" matches as a candidate. */
static const char *judged(const char *head, const char *message)
{
    char bytes[128];
    struct line_span span = {3, (uint32_t)(strlen(head) + strlen(message))};
    struct line line = line_of("app", "web.1", "");
    const struct candidate *found;
    struct match_result result = {.n_rules = 0};
    const uint32_t *ends;
    size_t n_ends, n;

    n = (size_t)snprintf(bytes, sizeof bytes, "ab\n%s%s\nab", head, message);
    assert_int_equal(match_scan(f.match, bytes, n, &ends, &n_ends), 0);
    n = match_candidates(f.match, bytes, &span, 1, &found);
    line.message = (struct line_text){bytes + 3 + strlen(head), strlen(message)};
    if (n == 1)
        assert_int_equal(match_line(f.match, &line, found, &result), 0);
    match_forget(f.match);
    return digits(&result);
}

/* A report counts only if it lies in the message. */
UNIT_TEST(test_a_report_in_the_header_does_not_count)
{
    static const struct sketch rules[] = {
        {.matches = {"abab"}}, {.matches = {"^b.?a"}}, {.fields = {{.key = "a", .value = "b"}}}};

    setup(rules, 3);
    assert_string_equal(judged("", "abab"), "0");
    assert_string_equal(judged("x ", "abab ba"), "0");
    assert_string_equal(judged("abab ", "x"), "");
    assert_string_equal(judged("abab", "x"), "");
    assert_string_equal(judged("aba", "bab"), "1"); /* begins in the head */
    assert_string_equal(judged("aba", "babab"), "01");
    assert_string_equal(judged("abab ", "abab"), "0");
    assert_string_equal(judged("a=b ", "a=b"), "2");
    assert_string_equal(judged("a=b ", "xa=b"), "");
    assert_string_equal(judged("abab a=b ", ""), "");
}

UNIT_TEST(test_a_scan_with_too_many_reports)
{
    static const struct sketch rules[] = {{.matches = {"ab"}}}, empty[] = {{.matches = {"^$"}}};
    static char bytes[(MATCH_HITS_MAX + 1) * 2];
    const struct line_span lines[] = {{0, 1}, {2, 5}};
    const struct candidate *found;
    const uint32_t *ends;
    size_t n_ends;

    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = "ab"[i % 2];
    setup(rules, 1);
    assert_int_equal(match_scan(f.match, bytes, sizeof bytes - 2, &ends, &n_ends), 0);
    assert_true(ends != NULL && n_ends == MATCH_HITS_MAX);
    assert_int_equal(match_scan(f.match, bytes, sizeof bytes, &ends, &n_ends), 0);
    assert_null(ends);
    assert_int_equal(match_candidates(f.match, bytes, lines, 2, &found), 2);
    setup(empty, 1);
    assert_int_equal(match_scan(f.match, "x", 1, &ends, &n_ends), 0);
    assert_null(ends);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_source_and_process),
        cmocka_unit_test(a_star_stands_for_every_end_of_a_process),
        cmocka_unit_test(a_mark_excludes_a_name),
        cmocka_unit_test(quoted_text_can_be_left_out),
        cmocka_unit_test(the_place_of_a_match_lies_outside_of_the_quotes),
        cmocka_unit_test(test_any_item_and_all_parts),
        cmocka_unit_test(test_shared_expressions),
        cmocka_unit_test(test_frames_without_newline),
        cmocka_unit_test(test_expressions_see_the_message_alone),
        cmocka_unit_test(test_newlines_and_dotall),
        cmocka_unit_test(test_gaps_are_nobodys),
        cmocka_unit_test(test_line_by_line),
        cmocka_unit_test(test_visitors_cannot_fake_a_field),
        cmocka_unit_test(test_pairs_of_unusual_forms_match),
        cmocka_unit_test(test_the_place_of_a_match),
        cmocka_unit_test(test_fields_hold_any_bytes),
        cmocka_unit_test(test_what_logplex_lost),
        cmocka_unit_test(test_own_lines),
        cmocka_unit_test(test_own_lines_are_candidates),
        cmocka_unit_test(test_a_pattern_that_cannot_be_compiled),
        cmocka_unit_test(test_a_pattern_that_is_too_large),
        cmocka_unit_test(test_literals),
        cmocka_unit_test(test_unless),
        cmocka_unit_test(test_unless_is_not_in_the_pass),
        cmocka_unit_test(test_values_by_pattern),
        cmocka_unit_test(test_candidates_of_values),
        cmocka_unit_test(test_stretches),
        cmocka_unit_test(test_shared_stretches_are_not_used),
        cmocka_unit_test(test_line_by_line_beside_others),
        cmocka_unit_test(test_line_by_line_for_size),
        cmocka_unit_test(test_full_batch),
        cmocka_unit_test(test_a_scan_before_lines_are_known),
        cmocka_unit_test(test_a_report_in_the_header_does_not_count),
        cmocka_unit_test(test_a_scan_with_too_many_reports),
    };

    return cmocka_run_group_tests(tests, NULL, teardown);
}
