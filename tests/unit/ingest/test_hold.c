/* Tests how long an answer waits for the database. */
#include "tests/unit/unit.h"

#include "ingest/hold.h"

UNIT_TEST(test_an_answer_waits_for_the_database)
{
    assert_int_equal(hold_judge(false, false, 0), REQUEST_KEPT_NOWHERE);
    assert_int_equal(hold_judge(false, false, HOLD_US - 1), REQUEST_KEPT_NOWHERE);
    assert_int_equal(hold_judge(true, false, 0), REQUEST_KEPT_DATABASE);
}

UNIT_TEST(test_an_answer_waits_no_longer_than_a_quarter_of_a_second)
{
    assert_true(HOLD_US == 250000);
    assert_int_equal(hold_judge(false, false, HOLD_US), REQUEST_KEPT_DISK);
}

UNIT_TEST(test_an_answer_does_not_wait_for_a_late_database)
{
    assert_int_equal(hold_judge(false, true, 0), REQUEST_KEPT_DISK);
}

/* The acks of one turn may cover this delivery and not the next one. */
UNIT_TEST(test_an_ack_counts_however_late_it_is)
{
    assert_int_equal(hold_judge(true, true, 2 * HOLD_US), REQUEST_KEPT_DATABASE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_answer_waits_for_the_database),
        cmocka_unit_test(test_an_answer_waits_no_longer_than_a_quarter_of_a_second),
        cmocka_unit_test(test_an_answer_does_not_wait_for_a_late_database),
        cmocka_unit_test(test_an_ack_counts_however_late_it_is),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
