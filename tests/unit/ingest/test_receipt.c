#include "tests/unit/unit.h"

#include "common/base/time.h"
#include "ingest/receipt.h"

static void test_one_delivery_is_said_at_once(void **state)
{
    struct receipt r = {0};
    char out[RECEIPT_SIZE];

    (void)state;
    assert_true(receipt_add(&r, 1, 5 * TIME_S, out));
    assert_string_equal(out, "heroku_log_drain: processed 1 lines from logplex delivery");
    assert_true(receipt_next_us(&r) == INT64_MAX);
    assert_false(receipt_due(&r, 7 * TIME_S, false, out));
    assert_true(receipt_add(&r, 2, 8 * TIME_S, out));
}

static void test_those_within_a_second_are_summed_up(void **state)
{
    struct receipt r = {0};
    char out[RECEIPT_SIZE];

    (void)state;
    assert_true(receipt_add(&r, 1, 0, out));
    assert_false(receipt_add(&r, 10, 1000, out));
    assert_false(receipt_add(&r, 20, TIME_S - 1, out));
    assert_true(receipt_next_us(&r) == TIME_S);
    assert_false(receipt_due(&r, TIME_S - 1, false, out));
    assert_true(receipt_due(&r, TIME_S, false, out));
    assert_string_equal(out, "heroku_log_drain: processed 30 lines from 2 logplex deliveries");
    /* The storm goes on: the next second has begun, and one delivery in it reads as one. */
    assert_false(receipt_add(&r, 7, TIME_S + 5, out));
    assert_true(receipt_due(&r, 2 * TIME_S, false, out));
    assert_string_equal(out, "heroku_log_drain: processed 7 lines from logplex delivery");
    assert_false(receipt_due(&r, 3 * TIME_S, false, out));
    assert_true(receipt_add(&r, 1, 3 * TIME_S, out));
}

static void test_a_late_caller_loses_no_delivery(void **state)
{
    struct receipt r = {0};
    char out[RECEIPT_SIZE];

    (void)state;
    assert_true(receipt_add(&r, 1, 0, out));
    assert_false(receipt_add(&r, 2, 10, out));
    /* The second is over and nobody asked: what is held back must not be said after this one. */
    assert_false(receipt_add(&r, 3, 9 * TIME_S, out));
    assert_true(receipt_due(&r, 9 * TIME_S, false, out));
    assert_string_equal(out, "heroku_log_drain: processed 5 lines from 2 logplex deliveries");
}

static void test_all_at_the_end(void **state)
{
    struct receipt r = {0};
    char out[RECEIPT_SIZE];

    (void)state;
    assert_false(receipt_due(&r, 0, true, out));
    assert_true(receipt_add(&r, 1, 0, out));
    assert_false(receipt_due(&r, 1, true, out));
    assert_true(receipt_add(&r, 2, 10, out));
    assert_false(receipt_add(&r, 3, 20, out));
    assert_true(receipt_due(&r, 30, true, out));
    assert_string_equal(out, "heroku_log_drain: processed 3 lines from logplex delivery");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_delivery_is_said_at_once),
        cmocka_unit_test(test_those_within_a_second_are_summed_up),
        cmocka_unit_test(test_a_late_caller_loses_no_delivery),
        cmocka_unit_test(test_all_at_the_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
