/* Tests what the alerter logs of its decisions: once, and a few of many. */
#include "tests/unit/heard.h"

#include "alerter/notices.h"
#include "common/base/time.h"

#include <stdio.h>
#include <string.h>

#define NOW INT64_C(1778141172000000) /* 2026-05-07T08:06:12Z */

static struct notices n;

static int set_up(void **state)
{
    (void)state;
    notices_init(&n);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    notices_close(&n);
    return 0;
}

static const char *heard_decided_at(int64_t now_us)
{
    heard_begin();
    notices_decided(&n, now_us);
    return heard_end();
}

static const char *heard_decided(void)
{
    return heard_decided_at(NOW);
}

static size_t count_lines(const char *text)
{
    size_t lines = 0;

    for (; *text != '\0'; text++)
        lines += *text == '\n';
    return lines;
}

static const struct wire_alert ALERT = {.id = "0123456789abcdef",
                                        .kind = WIRE_BREACH,
                                        .rule = "h12",
                                        .app = "shop",
                                        .count = 4,
                                        .threshold = 3,
                                        .suppressed = 2};

static void cool(const char *rule, int groups)
{
    for (int i = 0; i < groups; i++) {
        char path[16];
        struct wire_group group = {"path", path};

        snprintf(path, sizeof path, "/%d", i);
        notices_cooled(&n,
                       &(struct engine_cooled){.rule = rule,
                                               .app = "shop",
                                               .group = &group,
                                               .n_group = 1,
                                               .until_us = NOW + TIME_MINUTE},
                       NOW);
    }
}

static void an_alert_is_logged_after_the_commit(void **state)
{
    const char *said;

    (void)state;
    heard_begin();
    notices_alert(&n, &ALERT);
    assert_string_equal(heard_end(), "");
    said = heard_decided();
    assert_non_null(
        strstr(said, "alert 0123456789abcdef: h12: 4 (more than 3) in shop, 2 suppressed"));
    assert_int_equal(count_lines(said), 1);
    assert_string_equal(heard_decided(), "");
}

static void a_turn_that_fails_logs_no_alert(void **state)
{
    struct err err;

    (void)state;
    err_set(&err, ERR_FULL, "the disk is full");
    notices_alert(&n, &ALERT);
    cool("h12", 5);
    heard_begin();
    notices_turn_failed(&n, &err, NOW);
    assert_null(strstr(heard_end(), "alert"));
    assert_string_equal(heard_decided(), "");
    notices_alert(&n, &ALERT); /* decided again */
    assert_int_equal(count_lines(heard_decided()), 1);
}

static void a_digest_is_one_line(void **state)
{
    static const struct wire_group path = {"path", "/a"};
    static const struct wire_worst worst = {"shop", &path, 1, 9};
    struct wire_alert digest = ALERT;
    const char *said;

    (void)state;
    digest.kind = WIRE_DIGEST;
    digest.count = 21945;
    digest.groups = 1995;
    digest.period_us = digest.window_us = TIME_MINUTE;
    digest.worst = &worst;
    digest.n_worst = 1;
    notices_alert(&n, &digest);
    said = heard_decided();
    assert_non_null(strstr(said,
                           "alert 0123456789abcdef: h12: 1,995 more groups in 1 minute, 21,945 "
                           "matches (each more than 3 in 1 minute) in shop"));
    assert_int_equal(count_lines(said), 1);
}

static void of_many_cooldowns_of_a_rule_a_few_are_logged(void **state)
{
    const char *said;

    (void)state;
    cool("flood", 4000);
    cool("other", 3);
    said = heard_decided();
    assert_non_null(
        strstr(said, "shop: flood (path /2) breached again, in cooldown until 08:07:12"));
    assert_null(strstr(said, "flood (path /3)"));
    assert_non_null(strstr(said, "shop: other (path /2) breached again"));
    assert_non_null(strstr(said, "flood: and 3997 more groups breached again in their cooldowns"));
    assert_int_equal(count_lines(said), 3 + 3 + 1);
}

static void a_flood_of_turns_costs_a_line_a_minute(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        cool("flood", 1);
        assert_non_null(strstr(heard_decided_at(NOW + i), "flood (path /0) breached again"));
    }
    cool("flood", 1);
    assert_non_null(strstr(heard_decided_at(NOW + 3), "flood: and 1 more groups"));
    for (int i = 0; i < 1000; i++) {
        cool("flood", 2);
        assert_string_equal(heard_decided_at(NOW + 4 + i), "");
    }
    assert_string_equal(heard_decided_at(NOW + TIME_MINUTE), "");
    assert_non_null(strstr(heard_decided_at(NOW + TIME_MINUTE + 3), "flood: and 2000 more groups"));
    assert_string_equal(heard_decided_at(NOW + 2 * TIME_MINUTE), "");
    cool("flood", 1);
    assert_non_null(strstr(heard_decided_at(NOW + 3 * TIME_MINUTE), "breached again, in cooldown"));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_alert_is_logged_after_the_commit),
        TEST(a_turn_that_fails_logs_no_alert),
        TEST(a_digest_is_one_line),
        TEST(of_many_cooldowns_of_a_rule_a_few_are_logged),
        TEST(a_flood_of_turns_costs_a_line_a_minute),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
