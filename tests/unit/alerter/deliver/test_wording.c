/* The words that all forms of an alert share. */
#include "tests/unit/unit.h"

#include "alerter/deliver/wording.h"
#include "common/base/text.h"
#include "common/base/time.h"
#include "tests/unit/alerter/deliver/an_alert.h"

#include <string.h>

static void assert_subject(const struct wire_alert *alert, enum draft_form form, const char *name,
                           size_t max, const char *want)
{
    struct draft d = draft_begin(form);

    draft_say(&d, "before: ");
    wording_subject(&d, alert, name, max);
    assert_int_equal(d.text.failed, 0);
    assert_string_equal(buf_text(&d.text) + strlen("before: "), want);
    draft_close(&d);
}

UNIT_TEST(a_subject_shows_severity_name_and_group)
{
    static const struct wire_group group[] = {{"process", "web.3"}, {"path", "/slow"}};
    struct wire_alert a = {.severity = NULL};

    assert_subject(&a, DRAFT_PRINT, "h12", 100, "h12");
    a.severity = "";
    assert_subject(&a, DRAFT_PRINT, "h12", 100, "h12");
    a.severity = "info";
    assert_subject(&a, DRAFT_PRINT, "h12", 100, "[info] h12");
    a.group = group;
    a.n_group = 2;
    assert_subject(&a, DRAFT_PRINT, "h12", 100, "[info] h12 (process web.3, path /slow)");
    a.severity = "";
    a.n_group = 1;
    assert_subject(&a, DRAFT_PRINT, "h12", 100, "h12 (process web.3)");
    assert_subject(&a, DRAFT_PRINT, "", 100, " (process web.3)");
}

/* A visitor chooses the path; it must not pass for another pair. */
UNIT_TEST(a_value_cannot_pass_for_a_pair)
{
    static const struct {
        const char *value;
        const char *want;
    } cases[] = {
        {"", "r (no path)"},
        {"/a,b", "r (path /a,b)"},
        {"/a, process web.9", "r (path \"/a, process web.9\")"},
        {"a\nb", "r (path \"a\\x0ab\")"},
        {"/x\", status \"200", "r (path \"/x\\\", status \\\"200\")"},
        {"/x\\\" y", "r (path \"/x\\\\\\\" y\")"},
        {"/ok\u00a0(limit\u00a010)", "r (path \"/ok\\xc2\\xa0(limit\\xc2\\xa010)\")"},
        {"\u3164", "r (path \"\\xe3\\x85\\xa4\")"},
        {"/café", "r (path \"/café\")"},
        {"/?drain_token=0123456789abcdef", "r (path /?drain_token=…)"},
        {"<!here> & co", "r (path \"&lt;!here&gt; &amp; co\")"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct wire_group pair = {"path", cases[i].value};
        struct wire_alert a = {.group = &pair, .n_group = 1};

        assert_subject(&a, DRAFT_PLAIN, "r", 100, cases[i].want);
    }
}

static void check_bound(const struct wire_alert *a, const char *name, size_t max)
{
    struct draft d = draft_begin(DRAFT_PLAIN);

    wording_subject(&d, a, name, max);
    assert_int_equal(d.text.failed, 0);
    assert_in_range(d.text.len, 1, max);
    assert_true(text_is_utf8(buf_text(&d.text), d.text.len));
    draft_close(&d);
}

UNIT_TEST(the_bound_holds_for_every_length)
{
    static const char *const fillings[] = {"x", "&", "€", " ", "\xff", "`"};
    static char name[5000], value[5000];

    for (size_t f = 0; f < sizeof fillings / sizeof fillings[0]; f++) {
        const size_t size = strlen(fillings[f]);

        for (size_t n = 0; n < 400; n += n < 130 ? 1 : 37) {
            for (size_t i = 0; i < n; i++)
                memcpy(name + i * size, fillings[f], size);
            name[n * size] = '\0';
            for (size_t v = 0; v < sizeof value / size; v += v < 130 ? 7 : 700) {
                struct wire_group group[] = {{"key", value}, {name, "web.1"}};
                struct wire_alert a = {.severity = "critical", .group = group, .n_group = 2};

                for (size_t i = 0; i < v; i++)
                    memcpy(value + i * size, fillings[f], size);
                value[v * size] = '\0';
                check_bound(&a, name, WORDING_SUBJECT_MIN);
                check_bound(&a, name, 150);
            }
        }
    }
}

UNIT_TEST(the_longer_part_is_cut)
{
    char name[201], value[201];
    struct wire_group pair = {"k", value};
    struct wire_alert a = {.group = &pair, .n_group = 1};
    struct draft d;
    const char *text;

    memset(name, 'n', 200);
    memset(value, 'v', 200);
    name[200] = value[200] = '\0';
    d = draft_begin(DRAFT_PRINT);
    wording_subject(&d, &a, name, 100);
    text = buf_text(&d.text);
    assert_int_equal(d.text.len, 100);
    assert_int_equal(strspn(text, "n"), 47); /* half, with the ellipsis */
    assert_non_null(strstr(text, "… (k vvvv"));
    draft_close(&d);
    value[3] = '\0'; /* a short group leaves its room to the name */
    d = draft_begin(DRAFT_PRINT);
    wording_subject(&d, &a, name, 100);
    assert_int_equal(d.text.len, 100);
    assert_string_equal(buf_text(&d.text) + 100 - strlen("… (k vvv)"), "… (k vvv)");
    draft_close(&d);
    value[3] = 'v'; /* and the other way round */
    name[3] = '\0';
    d = draft_begin(DRAFT_PRINT);
    wording_subject(&d, &a, name, 100);
    assert_int_equal(d.text.len, 100);
    assert_int_equal(strncmp(buf_text(&d.text), "nnn (k vvv", 10), 0);
    draft_close(&d);
}

UNIT_TEST(one_word_stands_before_the_count)
{
    assert_string_equal(wording_qualifier(&(struct wire_alert){0}), "");
    assert_string_equal(wording_qualifier(&(struct wire_alert){.about = true}), "about ");
    assert_string_equal(wording_qualifier(&(struct wire_alert){.at_least = true}), "at least ");
    assert_string_equal(wording_qualifier(&(struct wire_alert){.at_least = true, .about = true}),
                        "at least ");
}

static void assert_notification(const struct wire_alert *alert, const char *want)
{
    struct draft d = draft_begin(DRAFT_PLAIN);

    wording_notification(&d, alert);
    assert_int_equal(d.text.failed, 0);
    assert_string_equal(buf_text(&d.text), want);
    draft_close(&d);
}

UNIT_TEST(a_notification_names_the_app_first)
{
    static const struct wire_group group = {"path", "/a<b"};
    struct wire_alert a = {.app = "raxx-console-prod",
                           .title = "H12 request timeouts",
                           .rule = "h12",
                           .count = 4,
                           .threshold = 3,
                           .window_us = 5 * TIME_MINUTE};

    assert_notification(&a, "🔴 raxx-console-prod: H12 request timeouts, 4 in 5 minutes (limit 3)");
    a.about = true;
    a.title = "";
    assert_notification(&a, "🔴 raxx-console-prod: h12, about 4 in 5 minutes (limit 3)");
    a.arrived_late = true;
    assert_notification(&a,
                        "🔴 raxx-console-prod: h12, about 4 in 5 minutes (limit 3; arrived late)");
    a.arrived_late = false;
    a.at_least = true;
    a.group = &group;
    a.n_group = 1;
    a.severity = "warning";
    assert_notification(
        &a, "🟡 raxx-console-prod: h12 (path /a&lt;b), at least 4 in 5 minutes (limit 3)");
    a.window_us = -1; /* of a damaged store */
    assert_notification(
        &a, "🟡 raxx-console-prod: h12 (path /a&lt;b), at least 4 in 0 seconds (limit 3)");
}

UNIT_TEST(a_digest_names_the_number_of_groups)
{
    struct wire_worst worst = {"shop", NULL, 0, 1};
    struct wire_alert a = a_digest();

    assert_notification(&a, "🔴 raxx-console-prod: server-errors, 1,995 more groups in 1 minute");
    a.app = "";
    a.groups = 1;
    a.period_us = TIME_HOUR;
    assert_notification(&a, "🔴 several apps: server-errors, 1 more group in 1 hour");
    a.groups = 1000000;
    assert_notification(&a, "🔴 several apps: server-errors, 1,000,000 more groups in 1 hour");
    a.worst = &worst;
    a.n_worst = 1;
    a.withheld = 12;
    a.apps = 9000;
    assert_notification(&a, "🔴 9,000 apps: server-errors, 12 more alerts in 1 hour");
}

UNIT_TEST(a_digest_tells_the_withheld_alerts_of_each_app)
{
    const struct wire_withheld by_app[] = {{"shop", 1200}, {"a<b", 1}};
    struct wire_alert a = a_digest();
    struct draft d = draft_begin(DRAFT_PLAIN);

    a.by_app = by_app;
    a.n_by_app = 1;
    assert_false(wording_has_by_app(&a));
    a.n_by_app = a.apps = 2;
    assert_true(wording_has_by_app(&a));
    wording_by_app(&d, &a);
    assert_string_equal(buf_text(&d.text), "shop 1,200 alerts, a&lt;b 1 alert");
    a.apps = 6;
    draft_say(&d, "; ");
    wording_by_app(&d, &a);
    assert_says(&d.text, "; shop 1,200 alerts, a&lt;b 1 alert, and 4 more apps");
    draft_close(&d);
}

UNIT_TEST(each_severity_has_its_colour)
{
    static const char *const colours[][2] = {
        {"info", "🔵 "},     {"warning", "🟡 "}, {"error", "🟠 "},
        {"critical", "🔴 "}, {"", "🔴 "},           {"of a newer build", "🔴 "},
    };

    assert_string_equal(wording_colour(&(struct wire_alert){.severity = NULL}), "🔴 ");
    for (size_t i = 0; i < sizeof colours / sizeof colours[0]; i++)
        assert_string_equal(wording_colour(&(struct wire_alert){.severity = colours[i][0]}),
                            colours[i][1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_subject_shows_severity_name_and_group),
        cmocka_unit_test(a_value_cannot_pass_for_a_pair),
        cmocka_unit_test(the_bound_holds_for_every_length),
        cmocka_unit_test(the_longer_part_is_cut),
        cmocka_unit_test(a_notification_names_the_app_first),
        cmocka_unit_test(a_digest_names_the_number_of_groups),
        cmocka_unit_test(a_digest_tells_the_withheld_alerts_of_each_app),
        cmocka_unit_test(each_severity_has_its_colour),
        cmocka_unit_test(one_word_stands_before_the_count),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
