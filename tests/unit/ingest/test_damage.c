/* Tests when and how damaged deliveries are put into words. */
#include "tests/unit/unit.h"

#include "common/base/time.h"
#include "ingest/damage.h"

#include <stdio.h>
#include <string.h>

static char said[DAMAGE_SIZE];

UNIT_TEST(test_the_first_at_once_the_rest_in_a_sum)
{
    struct damage d = {0};

    assert_true(damage_add(&d, "d.one", 3, false, 5, said));
    assert_non_null(strstr(said, "drain \"d.one\": a delivery with 3 malformed frames ("));
    assert_false(damage_add(&d, "d.one", 1, true, 6, said));
    assert_false(damage_add(&d, "d.one", 0, true, 7, said));
    assert_false(damage_due(&d, 4 + TIME_MINUTE, false, said));
    assert_true(damage_due(&d, 5 + TIME_MINUTE, false, said));
    assert_string_equal(said, "drain \"d.one\": 1 malformed frame and 2 damaged gzip bodies in 2 "
                              "more deliveries within a minute");
    assert_false(damage_due(&d, 5 + TIME_MINUTE, false, said));
}

UNIT_TEST(test_a_sum_begins_another_minute_and_a_quiet_one_ends_it)
{
    struct damage d = {0};

    assert_true(damage_add(&d, "x", 0, true, 0, said));
    assert_non_null(strstr(said, "with 1 damaged gzip body ("));
    assert_false(damage_add(&d, "x", 1, false, 1, said));
    assert_true(damage_due(&d, TIME_MINUTE, false, said));
    assert_string_equal(said, "drain \"x\": 1 malformed frame in 1 more delivery within a minute");
    assert_false(damage_add(&d, "x", 1, false, 2 * TIME_MINUTE - 1, said));
    assert_true(damage_due(&d, 2 * TIME_MINUTE, false, said));
    assert_false(damage_due(&d, 3 * TIME_MINUTE, false, said));
    assert_true(damage_add(&d, "x", 1, false, 3 * TIME_MINUTE, said));
}

UNIT_TEST(test_drains_are_told_apart)
{
    struct damage d = {0};

    assert_true(damage_add(&d, "d.1", 1, false, 0, said));
    assert_true(damage_add(&d, "d.11", 1, false, 1, said));
    assert_true(damage_add(&d, "d.", 1, false, 2, said));
    assert_false(damage_add(&d, "d.11", 5, false, 3, said));
    assert_true(damage_due(&d, 2 * TIME_MINUTE, false, said));
    assert_non_null(strstr(said, "\"d.11\": 5 malformed"));
    assert_false(damage_due(&d, 2 * TIME_MINUTE, false, said));
}

UNIT_TEST(test_all_that_is_held_back)
{
    struct damage d = {0};

    assert_false(damage_due(&d, 0, true, said));
    damage_add(&d, "a", 1, false, 0, said);
    damage_add(&d, "b", 1, false, 0, said);
    damage_add(&d, "b", 2, false, 0, said);
    assert_true(damage_due(&d, 1, true, said));
    assert_non_null(strstr(said, "\"b\": 2 malformed frames"));
    assert_false(damage_due(&d, 1, true, said));
}

UNIT_TEST(test_more_drains_than_there_is_room_for)
{
    struct damage d = {0};
    char name[32];

    for (int i = 0; i < DAMAGE_DRAINS_MAX; i++) {
        snprintf(name, sizeof name, "d.%d", i);
        assert_true(damage_add(&d, name, 1, false, 0, said));
    }
    assert_true(damage_add(&d, "one more", 1, false, 0, said));
    assert_non_null(strstr(said, "drain \"others\""));
    for (int i = 0; i < 1000; i++) {
        snprintf(name, sizeof name, "further.%d", i);
        assert_false(damage_add(&d, name, 2, false, 0, said));
    }
    assert_true(damage_due(&d, TIME_MINUTE, false, said));
    assert_non_null(strstr(said, "\"others\": 2000 malformed frames in 1000 more deliveries"));
    assert_true(damage_add(&d, "one more", 1, false, TIME_MINUTE + 1, said)); /* by name again */
    assert_non_null(strstr(said, "\"one more\""));
}

UNIT_TEST(test_a_name_of_any_length)
{
    struct damage d = {0};
    char name[600];

    memset(name, 'x', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    memcpy(name + DAMAGE_NAME_MAX - 1, "ü", 2); /* not cut in the middle */
    assert_true(damage_add(&d, name, UINT64_MAX, true, 0, said));
    assert_null(strstr(said, "\xc3"));
    assert_non_null(strstr(said, "the readable rest of it counts"));
    assert_false(damage_add(&d, name, 1, false, 0, said));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_first_at_once_the_rest_in_a_sum),
        cmocka_unit_test(test_a_sum_begins_another_minute_and_a_quiet_one_ends_it),
        cmocka_unit_test(test_drains_are_told_apart),
        cmocka_unit_test(test_all_that_is_held_back),
        cmocka_unit_test(test_more_drains_than_there_is_room_for),
        cmocka_unit_test(test_a_name_of_any_length),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
