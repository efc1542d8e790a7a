/* Error messages: cut to fit, and fit to show. */
#include "common/base/err.h"

#include "tests/unit/unit.h"

#include <string.h>

UNIT_TEST(a_message_from_outside_stays_one_line_of_text)
{
    struct err err;

    assert_int_equal(err_set(&err, ERR_DAMAGED, "bad: %s (é)", "\x01\n\x7f\xff\xc3"), ERR_DAMAGED);
    assert_string_equal(err.text, "bad: ????? (é)");
}

UNIT_TEST(a_long_message_is_cut_and_stays_text)
{
    char text[2 * sizeof(struct err)];
    struct err err;

    for (size_t i = 0; i + 2 < sizeof text; i += 2)
        memcpy(text + i, "é", 3);
    err_set(&err, ERR_INPUT, "x%s", text);
    assert_int_equal(strlen(err.text), sizeof err.text - 1);
    err_set(&err, ERR_INPUT, "%s", text);
    assert_string_equal(err.text + sizeof err.text - 4, "é?");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_message_from_outside_stays_one_line_of_text),
        cmocka_unit_test(a_long_message_is_cut_and_stays_text),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
