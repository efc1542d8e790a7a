/* The table of input formats. */
#include "ingest/input/input.h"
#include "tests/unit/unit.h"

UNIT_TEST(http_finds_a_format_by_its_path)
{
    assert_ptr_equal(input_at("/api/internal/heroku-log-drain"), &input_logplex);
    assert_null(input_at("/"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(http_finds_a_format_by_its_path),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
