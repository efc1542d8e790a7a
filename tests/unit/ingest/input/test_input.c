/* The table of input formats. */
#include "ingest/input/input.h"
#include "tests/unit/unit.h"

UNIT_TEST(http_finds_a_format_by_path_and_content_type)
{
    static const char path[] = "/api/internal/heroku-log-drain";

    assert_true(input_is_path(path));
    assert_ptr_equal(input_at(path, "application/logplex-1"), &input_logplex);
    assert_ptr_equal(input_at(path, NULL), &input_logplex);
    assert_false(input_is_path("/"));
    assert_null(input_at("/", "application/logplex-1"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(http_finds_a_format_by_path_and_content_type),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
