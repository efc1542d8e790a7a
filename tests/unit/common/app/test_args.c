/* How a command's options and operands are read. */
#include "common/app/args.h"

#include "tests/unit/unit.h"

static const struct startup_program program = {"drainwatch-test", ""};

struct read_args {
    const char *rules, *format;
    bool all;
    int n;
};

/* `argv` ends in NULL and may be permuted. */
static struct read_args read_args(char **argv, int operands_max)
{
    struct read_args r = {0};
    const struct args_option options[] = {
        {"rules", &r.rules, NULL}, {"format", &r.format, NULL}, {"all", NULL, &r.all}, {0}};
    int argc = 0;

    while (argv[argc] != NULL)
        argc++;
    r.n = args_read(&program, argc, argv, options, operands_max);
    return r;
}

#define ARGV(...) ((char *[]){(char[]){"cmd"}, __VA_ARGS__, NULL})
#define A(text) ((char[]){text})

UNIT_TEST(values_follow_or_stand_behind_an_equals_sign)
{
    struct read_args r = read_args(ARGV(A("--rules"), A("a=b"), A("--format=json")), 0);

    assert_int_equal(r.n, 0);
    assert_string_equal(r.rules, "a=b");
    assert_string_equal(r.format, "json");
    assert_false(r.all);
}

UNIT_TEST(operands_may_stand_between_options)
{
    char **argv = ARGV(A("one"), A("--all"), A("-"), A("--rules=r"));
    struct read_args r = read_args(argv, 2);

    assert_int_equal(r.n, 2);
    assert_true(r.all);
    assert_string_equal(argv[3], "one");
    assert_string_equal(argv[4], "-");
}

UNIT_TEST(two_dashes_end_the_options)
{
    char **argv = ARGV(A("--all"), A("--"), A("--rules"));
    struct read_args r = read_args(argv, 1);

    assert_int_equal(r.n, 1);
    assert_null(r.rules);
    assert_string_equal(argv[3], "--rules");
}

UNIT_TEST(wrong_arguments_are_refused)
{
    assert_int_equal(read_args(ARGV(A("--rules")), 9).n, -1);
    assert_int_equal(read_args(ARGV(A("--all=x")), 9).n, -1);
    assert_int_equal(read_args(ARGV(A("--none")), 9).n, -1);
    assert_int_equal(read_args(ARGV(A("-a")), 9).n, -1);
    assert_int_equal(read_args(ARGV(A("x"), A("y")), 1).n, -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_follow_or_stand_behind_an_equals_sign),
        cmocka_unit_test(operands_may_stand_between_options),
        cmocka_unit_test(two_dashes_end_the_options),
        cmocka_unit_test(wrong_arguments_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
