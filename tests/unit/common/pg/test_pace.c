/* How large the statements over a link become. */
#include "tests/unit/unit.h"

#include "common/pg/pace.h"

enum { MOST = 4 << 20 };

/* Moves `total` bytes over a link of so many bytes a second, and gives each statement up after five
 * seconds. Returns the number of statements that failed. */
static int move(struct pg_pace *p, int64_t total, int64_t bytes_a_second)
{
    int failed = 0;

    while (total > 0 && failed < 100) {
        int64_t bytes = total < p->bytes ? total : p->bytes;
        int64_t took_us = bytes * 1000000 / bytes_a_second;
        bool succeeds = took_us < 5000000;

        pg_pace_see(p, succeeds, succeeds ? took_us : 5000000, succeeds ? bytes : 0);
        failed += !succeeds;
        total -= succeeds ? bytes : 0;
    }
    return failed;
}

UNIT_TEST(no_statement_fails_over_a_slow_link)
{
    struct pg_pace p;

    for (int64_t rate = 20000; rate <= 100000000; rate *= 5) {
        pg_pace_init(&p, MOST);
        assert_int_equal(move(&p, 100 * rate, rate), 0);
        assert_true(p.bytes <= 6 * rate);
        assert_true(p.bytes >= rate || p.bytes == MOST);
    }
}

UNIT_TEST(a_link_that_slows_down_costs_a_few_statements)
{
    struct pg_pace p;

    pg_pace_init(&p, MOST);
    assert_int_equal(move(&p, 100 << 20, 100 << 20), 0);
    assert_int_equal(p.bytes, MOST);
    assert_in_range(move(&p, 10 << 20, 20000), 1, 7);
    assert_int_equal(move(&p, 100 << 20, 100 << 20), 0);
    assert_int_equal(p.bytes, MOST);
}

UNIT_TEST(small_statements_tell_nothing)
{
    struct pg_pace p;

    pg_pace_init(&p, MOST);
    for (int i = 0; i < 100; i++)
        pg_pace_see(&p, true, 1000, 100);
    assert_int_equal(p.bytes, PG_PACE_FIRST);
}

/* It is slow for a reason of its own. */
UNIT_TEST(a_slow_server_does_not_make_pages_smaller)
{
    struct pg_pace p;

    pg_pace_init(&p, MOST);
    assert_int_equal(move(&p, 100 << 20, 100 << 20), 0);
    for (int i = 0; i < 100; i++)
        pg_pace_see(&p, true, 2000000, MOST);
    assert_int_equal(p.bytes, MOST);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_statement_fails_over_a_slow_link),
        cmocka_unit_test(a_link_that_slows_down_costs_a_few_statements),
        cmocka_unit_test(small_statements_tell_nothing),
        cmocka_unit_test(a_slow_server_does_not_make_pages_smaller),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
