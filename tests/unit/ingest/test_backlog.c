/* Tests the choice of a drain's lane. */
#include "ingest/backlog.h"

#include "tests/unit/unit.h"

#include <stdio.h>

enum { MOST = BACKLOG_QUICK_MATCHES };

static void begin(struct backlog *b, int64_t quick, int64_t bulk)
{
    const int64_t acked[BACKLOG_LANES] = {quick, bulk};

    backlog_begin(b, acked, false);
}

static enum backlog_lane add(struct backlog *b, const char *drain, uint64_t matches,
                             int64_t position)
{
    enum backlog_lane lane = backlog_lane(b, drain);

    backlog_add(b, drain, lane, matches, position);
    return lane;
}

UNIT_TEST(a_drain_with_much_work_takes_the_bulk_lane_alone)
{
    struct backlog b = {0};

    begin(&b, 0, 0);
    assert_int_equal(add(&b, "flood", MOST, 1), BACKLOG_QUICK);
    assert_int_equal(add(&b, "flood", 1, 2), BACKLOG_QUICK); /* one lane throughout the turn */
    begin(&b, 0, 0);
    assert_int_equal(add(&b, "flood", 1, 1), BACKLOG_BULK);
    assert_int_equal(add(&b, "other", 1, 3), BACKLOG_QUICK);
    backlog_clear(&b);
}

UNIT_TEST(it_comes_back_once_the_bulk_lane_has_nothing_of_it)
{
    struct backlog b = {0};

    begin(&b, 0, 0);
    add(&b, "flood", MOST + 1, 1);
    begin(&b, 0, 0);
    assert_int_equal(add(&b, "flood", 1, 1), BACKLOG_BULK);
    begin(&b, 1, 0); /* the quick lane is empty, and it keeps its order */
    assert_int_equal(add(&b, "flood", 1, 2), BACKLOG_BULK);
    begin(&b, 1, 1);
    assert_int_equal(backlog_lane(&b, "flood"), BACKLOG_BULK);
    begin(&b, 1, 2);
    assert_int_equal(add(&b, "flood", 1, 2), BACKLOG_QUICK);
    backlog_clear(&b);
}

UNIT_TEST(a_busy_drain_that_is_acked_stays_in_the_quick_lane)
{
    struct backlog b = {0};

    for (int64_t at = 1; at < 100; at++) { /* the last delivery is never acked yet */
        begin(&b, at - 2, 0);
        assert_int_equal(add(&b, "busy", MOST / 3, at), BACKLOG_QUICK);
    }
    begin(&b, 98, 0);
    assert_int_equal(add(&b, "busy", MOST, 100), BACKLOG_QUICK);
    begin(&b, 98, 0); /* and now it is not acked any more */
    assert_int_equal(backlog_lane(&b, "busy"), BACKLOG_BULK);
    begin(&b, 99, 0);
    assert_int_equal(backlog_lane(&b, "busy"), BACKLOG_QUICK);
    backlog_clear(&b);
}

UNIT_TEST(a_quick_lane_short_of_room_is_for_drains_without_a_backlog)
{
    const int64_t acked[BACKLOG_LANES] = {0};
    struct backlog b = {0};

    begin(&b, 0, 0);
    add(&b, "some", 1, 1);
    backlog_begin(&b, acked, true);
    assert_int_equal(backlog_lane(&b, "some"), BACKLOG_BULK);
    assert_int_equal(backlog_lane(&b, "none"), BACKLOG_QUICK);
    backlog_clear(&b);
}

UNIT_TEST(a_drain_that_fills_a_lane_is_known)
{
    struct backlog b = {0};

    begin(&b, 0, 0);
    assert_true(backlog_is_most(&b, "flood", BACKLOG_BULK)); /* nobody else is in it */
    backlog_add(&b, "flood", BACKLOG_BULK, 100, 1);
    backlog_add(&b, "other", BACKLOG_BULK, 50, 2);
    backlog_add(&b, "other", BACKLOG_QUICK, 500, 1);
    assert_true(backlog_is_most(&b, "flood", BACKLOG_BULK));
    assert_false(backlog_is_most(&b, "other", BACKLOG_BULK));
    assert_false(backlog_is_most(&b, "third", BACKLOG_BULK));
    begin(&b, 0, 1); /* the flood is acked */
    assert_false(backlog_is_most(&b, "flood", BACKLOG_BULK));
    assert_true(backlog_is_most(&b, "other", BACKLOG_BULK));
    assert_int_equal(backlog_lane(&b, "other"), BACKLOG_BULK);
    backlog_clear(&b);
}

UNIT_TEST(drains_are_bounded_and_idle_ones_go_first)
{
    struct backlog b = {0};
    char name[16];

    begin(&b, 0, 0);
    for (int i = 0; i < BACKLOG_DRAINS_MAX; i++) {
        snprintf(name, sizeof name, "d-%d", i);
        add(&b, name, MOST + 1, i + 1);
    }
    add(&b, "one more", MOST + 1, BACKLOG_DRAINS_MAX + 1);
    begin(&b, 1, 0);
    assert_int_equal(backlog_lane(&b, "d-1"), BACKLOG_BULK);
    assert_int_equal(backlog_lane(&b, "one more"), BACKLOG_QUICK);
    add(&b, "one more", MOST + 1, BACKLOG_DRAINS_MAX + 2);
    begin(&b, 1, 0);
    assert_int_equal(backlog_lane(&b, "one more"), BACKLOG_BULK);
    backlog_clear(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_drain_with_much_work_takes_the_bulk_lane_alone),
        cmocka_unit_test(it_comes_back_once_the_bulk_lane_has_nothing_of_it),
        cmocka_unit_test(a_busy_drain_that_is_acked_stays_in_the_quick_lane),
        cmocka_unit_test(a_quick_lane_short_of_room_is_for_drains_without_a_backlog),
        cmocka_unit_test(a_drain_that_fills_a_lane_is_known),
        cmocka_unit_test(drains_are_bounded_and_idle_ones_go_first),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
