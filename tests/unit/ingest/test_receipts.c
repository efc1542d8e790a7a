/* Tests when and how deliveries are receipted. */
#include "tests/unit/unit.h"

#include "common/base/time.h"
#include "ingest/receipts.h"

#include <string.h>

#define ONE "heroku_log_drain: processed 1 lines from logplex delivery"

static struct receipts r;
static char out[RECEIPTS_SIZE];

static int set_up(void **state)
{
    (void)state;
    receipts_init(&r);
    return 0;
}

UNIT_TEST(test_one_delivery_is_receipted_at_once)
{
    assert_true(receipts_add(&r, 1, 0, 5 * TIME_S, out));
    assert_string_equal(out, ONE);
    assert_true(throttle_next_us(&r.throttle) == INT64_MAX);
    assert_false(receipts_due(&r, 7 * TIME_S, false, out));
    assert_true(receipts_add(&r, 2, 0, 8 * TIME_S, out));
}

UNIT_TEST(test_deliveries_within_a_second_are_summed_up)
{
    assert_true(receipts_add(&r, 1, 0, 0, out));
    assert_false(receipts_add(&r, 10, 0, 1000, out));
    assert_false(receipts_add(&r, 20, 0, TIME_S - 1, out));
    assert_true(throttle_next_us(&r.throttle) == TIME_S);
    assert_false(receipts_due(&r, TIME_S - 1, false, out));
    assert_true(receipts_due(&r, TIME_S, false, out));
    assert_string_equal(out, "heroku_log_drain: processed 30 lines from 2 logplex deliveries");
    /* The storm goes on: the next second has begun, and one delivery in it reads as one. */
    assert_false(receipts_add(&r, 7, 0, TIME_S + 5, out));
    assert_true(receipts_due(&r, 2 * TIME_S, false, out));
    assert_string_equal(out, "heroku_log_drain: processed 7 lines from logplex delivery");
    assert_false(receipts_due(&r, 3 * TIME_S, false, out));
    assert_true(receipts_add(&r, 1, 0, 3 * TIME_S, out));
}

UNIT_TEST(test_a_late_caller_loses_no_delivery)
{
    assert_true(receipts_add(&r, 1, 0, 0, out));
    assert_false(receipts_add(&r, 2, 0, 10, out));
    assert_true(receipts_add(&r, 3, 0, 9 * TIME_S, out));
    assert_string_equal(out, "heroku_log_drain: processed 5 lines from 2 logplex deliveries");
    assert_false(receipts_due(&r, 9 * TIME_S, true, out));
}

UNIT_TEST(test_all_at_the_end)
{
    assert_false(receipts_due(&r, 0, true, out));
    assert_true(receipts_add(&r, 1, 0, 0, out));
    assert_false(receipts_due(&r, 1, true, out));
    assert_false(receipts_add(&r, 3, 0, 20, out));
    assert_true(receipts_due(&r, 30, true, out));
    assert_string_equal(out, "heroku_log_drain: processed 3 lines from logplex delivery");
    assert_false(receipts_due(&r, 30, true, out));
}

UNIT_TEST(test_a_repeat_is_called_one)
{
    assert_true(receipts_add(&r, 1, 7, 0, out));
    assert_string_equal(out, ONE);
    assert_true(receipts_add(&r, 1, 7, 2 * TIME_S, out));
    assert_string_equal(out, ONE " (a repeat: this drain sent the same Logplex-Frame-Id before)");
    assert_false(receipts_add(&r, 1, 7, 2 * TIME_S, out));
    assert_false(receipts_add(&r, 1, 8, 2 * TIME_S, out));
    assert_true(receipts_due(&r, 3 * TIME_S, false, out));
    assert_string_equal(out, "heroku_log_drain: processed 2 lines from 2 logplex deliveries (1 "
                             "repeat: the drain sent the same Logplex-Frame-Id before)");
    for (int i = 0; i < 3; i++)
        assert_false(receipts_add(&r, 1, i == 0 ? 9 : 8, 3 * TIME_S, out));
    assert_true(receipts_due(&r, 4 * TIME_S, false, out));
    assert_string_equal(out, "heroku_log_drain: processed 3 lines from 3 logplex deliveries (2 "
                             "repeats: the drain sent the same Logplex-Frame-Id before)");
}

UNIT_TEST(test_frames_are_remembered_for_an_hour_and_only_so_many)
{
    int64_t now_us = 0;

    for (uint64_t frame = 1; frame <= RECEIPTS_FRAMES + 1; frame++, now_us += TIME_S) {
        assert_true(receipts_add(&r, 1, frame, now_us, out));
        assert_string_equal(out, ONE);
    }
    assert_true(receipts_add(&r, 1, 2, now_us, out));
    assert_non_null(strstr(out, "a repeat"));
    assert_true(receipts_add(&r, 1, 1, now_us + TIME_S, out)); /* pushed out by the others */
    assert_string_equal(out, ONE);
    assert_true(receipts_add(&r, 1, 5, 5 * TIME_S + TIME_HOUR, out));
    assert_string_equal(out, ONE);
}

UNIT_TEST(test_deliveries_without_a_frame_are_no_repeats)
{
    for (int i = 0; i < 3; i++) {
        assert_true(receipts_add(&r, 1, 0, i * TIME_S, out));
        assert_string_equal(out, ONE);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_one_delivery_is_receipted_at_once, set_up),
        cmocka_unit_test_setup(test_deliveries_within_a_second_are_summed_up, set_up),
        cmocka_unit_test_setup(test_a_late_caller_loses_no_delivery, set_up),
        cmocka_unit_test_setup(test_all_at_the_end, set_up),
        cmocka_unit_test_setup(test_a_repeat_is_called_one, set_up),
        cmocka_unit_test_setup(test_frames_are_remembered_for_an_hour_and_only_so_many, set_up),
        cmocka_unit_test_setup(test_deliveries_without_a_frame_are_no_repeats, set_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
