/* Tests the memory of Frame-Ids. */
#include "alerter/engine/repeats.h"

#include "tests/unit/unit.h"

#include <stdio.h>
#include <string.h>

#define HOUR INT64_C(3600000000)

static const struct repeats_limits WIDE = {.drains = 100, .per_drain = 8192, .total = 100000};

static int take(struct repeats *f, const char *drain, const char *id, int64_t step_us)
{
    return repeats_take(f, drain, id, step_us, HOUR, &WIDE);
}

UNIT_TEST(a_frame_is_remembered_for_less_than_an_hour)
{
    struct repeats f = {0};

    assert_int_equal(take(&f, "d.1", "a", 1), 0);
    assert_int_equal(take(&f, "d.1", "a", 1), 1);
    assert_int_equal(take(&f, "d.1", "a", HOUR), 1); /* this does not prolong it */
    assert_int_equal(take(&f, "d.1", "a", 1 + HOUR), 0);
    assert_int_equal(take(&f, "d.1", "a", 1 + HOUR), 1);
    assert_int_equal(f.total, 1);
    repeats_close(&f);
}

UNIT_TEST(drains_have_memories_of_their_own)
{
    struct repeats f = {0};

    assert_int_equal(take(&f, "d.1", "a", 1), 0);
    assert_int_equal(take(&f, "d.2", "a", 1), 0);
    assert_int_equal(take(&f, "", "a", 1), 0);
    assert_int_equal(take(&f, "d.2", "a", 2), 1);
    assert_int_equal(f.n_drains, 3);
    assert_int_equal(take(&f, "d.1", "b", 2 + HOUR), 0);
    assert_int_equal(f.n_drains, 1); /* what is over an hour old goes with whole drains */
    repeats_close(&f);
}

UNIT_TEST(the_oldest_goes_first)
{
    struct repeats_limits limits = {.drains = 2, .per_drain = 3, .total = 100};
    const char *const ids[] = {"a", "b", "c", "d"};
    struct repeats f = {0};

    for (int i = 0; i < 4; i++)
        assert_int_equal(repeats_take(&f, "d.1", ids[i], i, HOUR, &limits), 0);
    assert_int_equal(repeats_take(&f, "d.1", "b", 5, HOUR, &limits), 1);
    assert_int_equal(repeats_take(&f, "d.1", "a", 5, HOUR, &limits), 0);
    assert_int_equal(repeats_take(&f, "d.2", "a", 6, HOUR, &limits), 0);
    assert_int_equal(repeats_take(&f, "d.1", "e", 7, HOUR, &limits), 0);
    assert_int_equal(repeats_take(&f, "d.3", "a", 8, HOUR, &limits), 0); /* d.2 was stalest */
    assert_int_equal(repeats_take(&f, "d.1", "e", 9, HOUR, &limits), 1);
    assert_int_equal(repeats_take(&f, "d.2", "a", 9, HOUR, &limits), 0);
    repeats_close(&f);
}

UNIT_TEST(all_drains_together_are_bounded)
{
    struct repeats_limits limits = {.drains = 100, .per_drain = 10, .total = 25};
    struct repeats f = {0};

    for (int i = 0; i < 400; i++) {
        char drain[16], id[16];

        snprintf(drain, sizeof drain, "d.%d", i / 20);
        snprintf(id, sizeof id, "%d", i);
        assert_int_equal(repeats_take(&f, drain, id, i, HOUR, &limits), 0);
        assert_true(f.total <= 25);
    }
    assert_int_equal(f.n_drains, 2);
    repeats_close(&f);
}

/* Enough of them that the ring wraps and the table is probed and mended all over. */
UNIT_TEST(a_flood_is_remembered_to_the_last)
{
    struct repeats_limits limits = {.drains = 10, .per_drain = 1000, .total = 100000};
    struct repeats f = {0};
    char id[16];

    for (int i = 0; i < 20000; i++) {
        snprintf(id, sizeof id, "%d", i);
        assert_int_equal(repeats_take(&f, "d", id, i, HOUR, &limits), 0);
    }
    for (int i = 19000; i < 20000; i++) {
        snprintf(id, sizeof id, "%d", i);
        assert_int_equal(repeats_take(&f, "d", id, 20000, HOUR, &limits), 1);
    }
    assert_int_equal(repeats_take(&f, "d", "18999", 20000, HOUR, &limits), 0);
    assert_int_equal(f.total, 1000);
    repeats_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_frame_is_remembered_for_less_than_an_hour),
        cmocka_unit_test(drains_have_memories_of_their_own),
        cmocka_unit_test(the_oldest_goes_first),
        cmocka_unit_test(all_drains_together_are_bounded),
        cmocka_unit_test(a_flood_is_remembered_to_the_last),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
