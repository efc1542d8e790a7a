/* The line that tells of kept alerts. */
#include "tests/unit/unit.h"

#include "alerter/deliver/health.h"

#include <string.h>

static void kept_alerts_and_their_reason_are_one_line(void **state)
{
    struct delivery_health health = {.n_kept = 3, .reason = "invalid_auth"};
    char text[DELIVERY_HEALTH_SIZE];

    (void)state;
    delivery_health_text(&health, text, sizeof text);
    assert_string_equal(text, "3 alerts kept: invalid_auth");
    health.n_kept = 1;
    delivery_health_text(&health, text, sizeof text);
    assert_string_equal(text, "1 alert kept: invalid_auth");
}

static void nothing_kept_is_an_empty_line(void **state)
{
    struct delivery_health health = {.reason = "invalid_auth"};
    char text[DELIVERY_HEALTH_SIZE];

    (void)state;
    delivery_health_text(&health, text, sizeof text);
    assert_string_equal(text, "");
}

static void the_longest_line_fits(void **state)
{
    struct delivery_health health = {.n_kept = UINT64_MAX};
    char text[DELIVERY_HEALTH_SIZE];

    (void)state;
    memset(health.reason, 'x', sizeof health.reason - 1);
    delivery_health_text(&health, text, sizeof text);
    assert_int_equal(strspn(strchr(text, 'x'), "x"), sizeof health.reason - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kept_alerts_and_their_reason_are_one_line),
        cmocka_unit_test(nothing_kept_is_an_empty_line),
        cmocka_unit_test(the_longest_line_fits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
