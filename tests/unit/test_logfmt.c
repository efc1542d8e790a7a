#include "tests/unit/unit.h"

#include "ingest/logfmt.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static bool has(const char *message, const char *key, const char *value)
{
    /* An exact copy on the heap, so that a byte read too many is seen. */
    size_t n = strlen(message);
    char *copy = malloc(n + (n == 0));
    bool found;

    assert_non_null(copy);
    memcpy(copy, message, n);
    found = logfmt_has(copy, n, key, value);
    free(copy);
    return found;
}

static void test_found(void **state)
{
    static const char *const messages[] = {
        "code=H12",
        "at=error code=H12 desc=\"Request timeout\" method=GET",
        "code=H12\n",
        "code=H12\r\n",
        "\tcode=H12\tstatus=503",
        "  code=H12",
        "first line\ncode=H12 second",
        "code=H13 code=H12",
        "code=\"H12\"",
        "path=\"/?code=H13\" code=H12",
        "path=\"/a\\\" b\" code=H12",
        "path=\"\" code=H12",
        "path=\"a\\\\\" code=H12",
        "5\" disk code=H12", /* an inch is no quotation */
        "(\"x y\") code=H12",
        "a=\"b c\"d code=H12",
        "\"quoted\" code=H12",
        "= code=H12",
        "=x code=H12",
    };

    (void)state;
    for (size_t i = 0; i < sizeof messages / sizeof messages[0]; i++) {
        if (!has(messages[i], "code", "H12"))
            fail_msg("not found in: %s", messages[i]);
    }
}

static void test_not_found(void **state)
{
    static const char *const messages[] = {
        "",
        "\"",
        "code",
        "code=",
        "code=H1",
        "code=H123",
        "code=H12,",
        "xcode=H12",
        "x=code=H12",
        "error:code=H12",
        "code =H12",
        "code= H12",
        "code=\"H12\"x",
        "code=\"H12 \"",
        "code=\"H12", /* who knows what was cut off */
        "Code=H12",
        "path=\"/?code=H12\"",
        "path=\"/? code=H12\"",
        "path=\"/? code=H12 \" at=info",
        "fwd=\"a code=H12 b\"",
        "fwd=\"a\\\" code=H12 b\"",
        "fwd=\"a\\\\\\\" code=H12 b\"",
        "path=\"/ code=H12 and never closed",
        "path=\"/\\",
        "\"GET /? code=H12 HTTP/1.1\" 200",
        "[\"GET /? code=H12 HTTP/1.1\"] 200",
        "a=b\"c\" d=\"x code=H12\"",
        "\"code=H12\"",
        "\"code\"=H12",
        "path=/\"? code=H12\"",
    };

    (void)state;
    for (size_t i = 0; i < sizeof messages / sizeof messages[0]; i++) {
        if (has(messages[i], "code", "H12"))
            fail_msg("found in: %s", messages[i]);
    }
}

static void test_values_of_other_kinds(void **state)
{
    (void)state;
    assert_true(has("msg=\"hello world\" a=b", "msg", "hello world"));
    assert_false(has("msg=hello world a=b", "msg", "hello world"));
    assert_true(has("path=\"/x\" a=b", "path", "/x"));
    assert_true(has("path=\"/x\" a=b", "path", "\"/x\"")); /* as it is written */
    assert_false(has("path=\"/x", "path", "\"/x"));
    assert_true(has("q=a=b", "q", "a=b"));
    assert_true(has("empty= a=b", "empty", ""));
    assert_true(has("empty=\"\"", "empty", ""));
    assert_true(has("a=\"x\\\"y\"", "a", "x\\\"y"));
}

static void test_pairs_in_order(void **state)
{
    static const char text[] = "at=info word path=\"/a b\" fwd=\"cut";
    struct logfmt_pair pair;
    size_t at = 0;

    (void)state;
    assert_true(logfmt_next(text, sizeof text - 1, &at, &pair));
    assert_memory_equal(pair.key, "at", pair.key_len);
    assert_int_equal(pair.content_len, 4);
    assert_true(logfmt_next(text, sizeof text - 1, &at, &pair));
    assert_int_equal(pair.key_len, 4);
    assert_memory_equal(pair.content, "/a b", 4);
    assert_int_equal(pair.content_len, 4);
    assert_int_equal(pair.value_len, 6);
    assert_false(pair.cut);
    assert_true(logfmt_next(text, sizeof text - 1, &at, &pair));
    assert_true(pair.cut);
    assert_memory_equal(pair.content, "cut", 3);
    assert_int_equal(pair.content_len, 3);
    assert_false(logfmt_next(text, sizeof text - 1, &at, &pair));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_found),
        cmocka_unit_test(test_not_found),
        cmocka_unit_test(test_values_of_other_kinds),
        cmocka_unit_test(test_pairs_in_order),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
