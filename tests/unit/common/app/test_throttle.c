/* When repeated events are logged. */
#include "tests/unit/unit.h"

#include "common/app/throttle.h"
#include "common/base/time.h"

UNIT_TEST(test_the_first_is_said_at_once)
{
    struct throttle t = {0};

    assert_true(throttle_is_idle(&t, 0));
    assert_int_equal(throttle_add(&t, 0, 0), 0);
    assert_int_equal(throttle_add(&t, 3, 0), 3);
    assert_false(throttle_is_idle(&t, 1));
    assert_true(throttle_next_us(&t) == INT64_MAX);
}

UNIT_TEST(test_what_follows_is_said_once_a_minute)
{
    struct throttle t = {0};

    assert_int_equal(throttle_add(&t, 1, 5), 1);
    assert_int_equal(throttle_add(&t, 1, 6), 0);
    assert_int_equal(throttle_add(&t, 2, 7), 0);
    assert_true(throttle_next_us(&t) == 5 + TIME_MINUTE);
    assert_int_equal(throttle_add(&t, 0, 4 + TIME_MINUTE), 0);
    assert_int_equal(throttle_add(&t, 0, 5 + TIME_MINUTE), 3);
    /* The sum begins the next minute. */
    assert_int_equal(throttle_add(&t, 1, 6 + TIME_MINUTE), 0);
    assert_int_equal(throttle_add(&t, 0, 5 + 2 * TIME_MINUTE), 1);
}

UNIT_TEST(test_a_quiet_minute_makes_the_next_a_first)
{
    struct throttle t = {0};

    assert_int_equal(throttle_add(&t, 1, 0), 1);
    assert_false(throttle_is_idle(&t, TIME_MINUTE - 1));
    assert_true(throttle_is_idle(&t, TIME_MINUTE));
    assert_int_equal(throttle_add(&t, 1, TIME_MINUTE), 1);
}

UNIT_TEST(test_an_event_brings_along_what_nobody_asked_for)
{
    struct throttle t = {.period_us = TIME_S};

    assert_int_equal(throttle_add(&t, 1, 0), 1);
    assert_int_equal(throttle_add(&t, 2, 1), 0);
    assert_int_equal(throttle_add(&t, 4, 9 * TIME_S), 6);
    assert_int_equal(throttle_add(&t, 0, 99 * TIME_S), 0);
}

UNIT_TEST(test_a_flush_at_the_end)
{
    struct throttle t = {0};

    assert_int_equal(throttle_flush(&t), 0);
    assert_int_equal(throttle_add(&t, 1, 0), 1);
    assert_int_equal(throttle_add(&t, 7, 1), 0);
    assert_int_equal(throttle_flush(&t), 7);
    assert_int_equal(throttle_flush(&t), 0);
}

UNIT_TEST(test_a_clock_that_steps_back_silences_nothing)
{
    struct throttle t = {0};

    assert_int_equal(throttle_add(&t, 1, TIME_DAY), 1);
    assert_int_equal(throttle_add(&t, 1, 0), 1);
    assert_int_equal(throttle_add(&t, 1, 1), 0);
}

UNIT_TEST(test_the_end_of_a_fault_is_told_once)
{
    struct throttle t = {0};

    assert_false(throttle_is_over(&t, 0, 0));
    assert_int_equal(throttle_add(&t, 1, 0), 1);
    assert_int_equal(throttle_add(&t, 1, 10), 0);
    assert_false(throttle_is_over(&t, 5, 14));
    assert_true(throttle_is_over(&t, 5, 15));
    assert_false(throttle_is_over(&t, 5, 16));
    assert_int_equal(throttle_add(&t, 1, 17), 1); /* at once, and without those before */
}

UNIT_TEST(test_a_new_reason_is_told_after_ten_seconds)
{
    struct throttle t = {0};

    assert_true(throttle_add_reason(&t, "a", 0));
    assert_false(throttle_add_reason(&t, "b", 10 * TIME_S - 1));
    assert_true(throttle_add_reason(&t, "b", 10 * TIME_S));
    assert_false(throttle_add_reason(&t, "b", 69 * TIME_S));
    assert_false(throttle_add_reason(&t, "", 69 * TIME_S));
    assert_true(throttle_add_reason(&t, "b", 70 * TIME_S));
    assert_true(throttle_is_over(&t, 0, 71 * TIME_S));
    assert_true(throttle_add_reason(&t, "b", 71 * TIME_S));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_first_is_said_at_once),
        cmocka_unit_test(test_what_follows_is_said_once_a_minute),
        cmocka_unit_test(test_a_quiet_minute_makes_the_next_a_first),
        cmocka_unit_test(test_an_event_brings_along_what_nobody_asked_for),
        cmocka_unit_test(test_a_flush_at_the_end),
        cmocka_unit_test(test_a_clock_that_steps_back_silences_nothing),
        cmocka_unit_test(test_a_new_reason_is_told_after_ten_seconds),
        cmocka_unit_test(test_the_end_of_a_fault_is_told_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
