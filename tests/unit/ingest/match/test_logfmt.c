#include "tests/unit/unit.h"

#include "ingest/match/logfmt.h"

#include <stdbool.h>
#include <stdint.h>
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

static bool is_white(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Where the token at `i` ends, a byte at a time, as the header says; `equals` is its first '='
 * outside of quotes. */
static size_t plain_token_end(const char *s, size_t n, size_t i, size_t *equals, bool *cut)
{
    bool quoted = false, escaped = false;

    *equals = SIZE_MAX;
    for (size_t start = i; i < n && (quoted || !is_white(s[i])); i++) {
        if (quoted) {
            quoted = escaped || s[i] != '"';
            escaped = !escaped && s[i] == '\\';
        } else if (s[i] == '"') {
            quoted = i == start || strchr("Xc1", s[i - 1]) == NULL;
        } else if (s[i] == '=' && *equals == SIZE_MAX) {
            *equals = i;
        }
    }
    *cut = quoted;
    return i;
}

/* Random texts of few letters: the tokens are those that a look at each byte finds. */
static void test_tokens_are_those_of_a_plain_walk(void **state)
{
    static const char letters[] = "Xc1=\"\\ \n\t\v-=\" c";
    uint64_t seed = 4711;

    (void)state;
    for (int round = 0; round < 300000; round++) {
        char *s = malloc(24);
        size_t n = (size_t)round % 25, at = 0, plain_at = 0;
        struct logfmt_pair pair;

        assert_non_null(s);
        for (size_t i = 0; i < n; i++) {
            seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
            s[i] = letters[(seed >> 33) % (sizeof letters - 1)];
        }
        while (plain_at < n) {
            size_t start = plain_at, equals;
            bool cut;

            plain_at = plain_token_end(s, n, start, &equals, &cut);
            if (plain_at == start) {
                plain_at++; /* white space */
                continue;
            }
            if (equals == SIZE_MAX || equals == start || s[start] == '"')
                continue;
            assert_true(logfmt_next(s, n, &at, &pair));
            assert_ptr_equal(pair.key, s + start);
            assert_int_equal(pair.key_len, equals - start);
            assert_ptr_equal(pair.value, s + equals + 1);
            assert_int_equal(pair.value_len, plain_at - equals - 1);
            assert_int_equal(pair.cut, cut);
        }
        assert_false(logfmt_next(s, n, &at, &pair));
        free(s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_found),
        cmocka_unit_test(test_not_found),
        cmocka_unit_test(test_values_of_other_kinds),
        cmocka_unit_test(test_pairs_in_order),
        cmocka_unit_test(test_tokens_are_those_of_a_plain_walk),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
