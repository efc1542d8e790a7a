/* Alerts as JSON: fields, order, times. */
#include "tests/unit/unit.h"

#include "alerter/commands/output.h"
#include "tests/unit/sparing.h"

#include <stdlib.h>
#include <string.h>

static const struct wire_group GROUP[] = {{"host", "x.example"}, {"dyno", "web.1 \"ü\"\n"}};

static const struct wire_alert ALERT = {
    .id = "0123456789abcdef",
    .kind = "breach",
    .rule = "h12-request-timeout",
    .app = "raxx-console-prod",
    .at_us = INT64_C(1778141172123456),
    .count = 1000000,
    .window_us = INT64_C(300000000),
    .threshold = 3,
    .suppressed = 17,
    .first_us = INT64_C(1778141171000000),
    .last_us = INT64_C(1778141172000001),
    .title = "a title",
    .runbook = "a runbook",
    .channel = "C1",
    .source = "heroku",
    .process = "router",
};

static void assert_json(const struct wire_alert *alert, const char *expected)
{
    json_t *object = output_json(alert);
    char *text;

    assert_non_null(object);
    text = json_dumps(object, JSON_COMPACT);
    assert_string_equal(text, expected);
    free(text);
    json_decref(object);
}

UNIT_TEST(test_every_member_in_its_order)
{
    assert_json(&ALERT, "{\"id\":\"0123456789abcdef\",\"kind\":\"breach\","
                        "\"rule\":\"h12-request-timeout\",\"app\":\"raxx-console-prod\","
                        "\"group\":{},\"at\":\"2026-05-07T08:06:12.123456Z\",\"count\":1000000,"
                        "\"at_least\":false,\"window_s\":300,\"threshold\":3,\"suppressed\":17,"
                        "\"first\":\"2026-05-07T08:06:11.000000Z\","
                        "\"last\":\"2026-05-07T08:06:12.000001Z\"}");
}

UNIT_TEST(test_a_group_and_part_of_a_second)
{
    struct wire_alert alert = ALERT;

    alert.group = GROUP;
    alert.n_group = 2;
    alert.window_us = 2500000;
    alert.at_least = true;
    alert.count = INT64_MAX;
    assert_json(&alert, "{\"id\":\"0123456789abcdef\",\"kind\":\"breach\","
                        "\"rule\":\"h12-request-timeout\",\"app\":\"raxx-console-prod\","
                        "\"group\":{\"host\":\"x.example\",\"dyno\":\"web.1 \\\"ü\\\"\\n\"},"
                        "\"at\":\"2026-05-07T08:06:12.123456Z\",\"count\":9223372036854775807,"
                        "\"at_least\":true,\"window_s\":2.5,\"threshold\":3,\"suppressed\":17,"
                        "\"first\":\"2026-05-07T08:06:11.000000Z\","
                        "\"last\":\"2026-05-07T08:06:12.000001Z\"}");
}

/* A value from a log line is a JSON text like any other; escaping for a terminal or Slack comes
 * later. Severity and mentions are no members. */
UNIT_TEST(test_a_group_from_a_log_line)
{
    static const struct wire_group group[] = {{"process", ""},
                                              {"path", "/\x01\x1b[31m\x7f\\\t"},
                                              {"b", "<!channel>"},
                                              {"a", "\"b\": {}"}};
    static const char *const who[] = {"here"};
    struct wire_alert alert = ALERT;

    alert.group = group;
    alert.n_group = WIRE_GROUP_MAX;
    alert.severity = "critical";
    alert.mentions = who;
    alert.n_mentions = 1;
    assert_json(&alert, "{\"id\":\"0123456789abcdef\",\"kind\":\"breach\","
                        "\"rule\":\"h12-request-timeout\",\"app\":\"raxx-console-prod\","
                        "\"group\":{\"process\":\"\",\"path\":\"/\\u0001\\u001B[31m\x7f\\\\\\t\","
                        "\"b\":\"<!channel>\",\"a\":\"\\\"b\\\": {}\"},"
                        "\"at\":\"2026-05-07T08:06:12.123456Z\",\"count\":1000000,"
                        "\"at_least\":false,\"window_s\":300,\"threshold\":3,\"suppressed\":17,"
                        "\"first\":\"2026-05-07T08:06:11.000000Z\","
                        "\"last\":\"2026-05-07T08:06:12.000001Z\"}");
}

static const struct wire_worst WORST[] = {{"shop", GROUP, 2, 9}, {"blog", GROUP, 1, 2}};

static const struct wire_withheld BY_APP[] = {{"shop", 11}, {"blog", 2}};

UNIT_TEST(test_a_digest)
{
    struct wire_alert alert = ALERT;

    alert.kind = WIRE_DIGEST;
    alert.app = "";
    alert.groups = 12;
    alert.withheld = 13;
    alert.worst = WORST;
    alert.n_worst = 2;
    alert.by_app = BY_APP;
    alert.n_by_app = 2;
    assert_json(&alert, "{\"id\":\"0123456789abcdef\",\"kind\":\"digest\","
                        "\"rule\":\"h12-request-timeout\",\"app\":\"\","
                        "\"at\":\"2026-05-07T08:06:12.123456Z\",\"apps\":0,\"groups\":12,"
                        "\"matches\":1000000,\"worst\":[{\"app\":\"shop\",\"group\":{"
                        "\"host\":\"x.example\",\"dyno\":\"web.1 \\\"ü\\\"\\n\"},\"count\":9},"
                        "{\"app\":\"blog\",\"group\":{\"host\":\"x.example\"},\"count\":2}],"
                        "\"by_app\":[{\"app\":\"shop\",\"withheld\":11},"
                        "{\"app\":\"blog\",\"withheld\":2}],"
                        "\"window_s\":300,\"threshold\":3,"
                        "\"first\":\"2026-05-07T08:06:11.000000Z\","
                        "\"last\":\"2026-05-07T08:06:12.000001Z\"}");
}

UNIT_TEST(test_a_digest_as_text)
{
    struct wire_alert alert = ALERT;
    struct draft line = draft_begin(DRAFT_PRINT);

    alert.groups = 1;
    alert.worst = WORST;
    alert.n_worst = 1;
    alert.period_us = INT64_C(60000000);
    output_say_alert(&line, &alert);
    assert_string_equal(buf_text(&line.text),
                        "2026-05-07 08:06:12 UTC  0123456789abcdef  h12-request-timeout: 1 more "
                        "group in 1 minute, 1,000,000 matches (each more than 3 in 5 minutes), "
                        "raxx-console-prod");
    draft_close(&line);
}

/* Cut, it could not be told from another group. */
UNIT_TEST(test_a_long_value_is_whole)
{
    static char value[WIRE_GROUP_TEXT_MAX + 1];
    const struct wire_group group = {"path", value};
    struct wire_alert alert = ALERT;
    json_t *object;

    memset(value, '"', WIRE_GROUP_TEXT_MAX);
    alert.group = &group;
    alert.n_group = 1;
    object = output_json(&alert);
    assert_non_null(object);
    assert_string_equal(
        json_string_value(json_object_get(json_object_get(object, "group"), "path")), value);
    json_decref(object);
}

UNIT_TEST(test_an_object_can_be_added_to)
{
    json_t *object = output_json(&ALERT);
    const char *key, *last = "";
    json_t *value;

    assert_int_equal(json_object_set_new(object, "delivery", json_object()), 0);
    json_object_foreach(object, key, value)
    {
        last = key;
    }
    assert_string_equal(last, "delivery");
    json_decref(object);
}

/* ---- no memory ---- */

UNIT_TEST(test_without_memory_there_is_no_object_and_no_leak)
{
    struct wire_alert alert = ALERT;
    json_t *object = NULL;
    size_t n;

    alert.group = GROUP;
    alert.n_group = 2;
    json_set_alloc_funcs(sparing_malloc, sparing_free);
    for (n = 0; object == NULL && n < 1000; n++) {
        sparing_left = n;
        object = output_json(&alert);
        if (object == NULL)
            assert_int_equal(sparing_held, 0);
    }
    assert_in_range(n, 30, 999);
    json_decref(object);
    assert_int_equal(sparing_held, 0);
    json_set_alloc_funcs(malloc, free);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_member_in_its_order),
        cmocka_unit_test(test_a_group_and_part_of_a_second),
        cmocka_unit_test(test_a_group_from_a_log_line),
        cmocka_unit_test(test_a_digest),
        cmocka_unit_test(test_a_digest_as_text),
        cmocka_unit_test(test_a_long_value_is_whole),
        cmocka_unit_test(test_an_object_can_be_added_to),
        cmocka_unit_test(test_without_memory_there_is_no_object_and_no_leak),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
