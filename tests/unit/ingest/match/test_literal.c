/* Tests of the bytes that all matches of an expression hold. */
#include "tests/unit/unit.h"

#include "common/base/err.h"
#include "ingest/match/literal.h"

#include <string.h>

/* The stretches as one string, each with a ';' after it. */
static const char *stretches(const char *pattern, struct literal_facts *facts)
{
    static char shown[4096];
    struct buf out;

    buf_init(&out, sizeof shown - 1);
    assert_int_equal(literal_stretches(pattern, &out, facts), 0);
    for (size_t i = 0; i < out.len; i++)
        shown[i] = out.data[i] == 0 ? ';' : (char)out.data[i];
    shown[out.len] = 0;
    buf_close(&out);
    return shown;
}

static void check(const char *pattern, const char *expected)
{
    struct literal_facts facts;

    assert_string_equal(stretches(pattern, &facts), expected);
    assert_false(facts.any_case);
    assert_false(facts.whole);
}

UNIT_TEST(test_what_is_there_once)
{
    check("timeout after \\d+ms", "timeout after ;ms;");
    check("user_id=[0-9a-f]{8,32} .*failed", "user_id=; ;failed;");
    check("connection (refused|reset) by", "connection ; by;");
    check("^start$", "start;");
    check("\\bword\\b", "word;");
    check("a.b", "a;b;");
    check("a\\.b.", "a.b;");
    check("\\[x\\] \\\\.", "[x] \\;");
    check("[]x]a[^]]b[[:alpha:]]c[\\]]d", "a;b;c;d;");
    check("a((b(c)[)]\\))|d)e", "a;e;");
    check("a(?:b|(?:c))d", "a;d;");
    check("caf\xc3\xa9.", "caf\xc3\xa9;");
}

UNIT_TEST(test_what_may_be_missing)
{
    check("abc?d", "ab;d;");
    check("abc*d", "ab;d;");
    check("abc*?d", "ab;d;");
    check("abc{0,2}d", "ab;d;");
    check("abc{3}d", "ab;d;");
    check("abc{3}{0}d", "ab;d;");
    check("abc+d", "abc;d;");
    check("abc+?d", "ab;d;"); /* less than could be said */
    check("abc+{0}d", "ab;d;");
    check("ab(cd)?e", "ab;e;");
    check("ab[c]*d", "ab;d;");
    check("ab\\d*c", "ab;c;");
    check("a\\.?b", "a;b;");
    check("a{x}b", "x}b;"); /* no repeat, but not understood */
    check("ab{,2}c", "a;c;");
    check("ab{2", "a;2;");
    check("x?", "");
}

UNIT_TEST(test_all_of_it)
{
    struct literal_facts facts;

    assert_string_equal(stretches("Error R14", &facts), "Error R14;");
    assert_true(facts.whole && !facts.any_case);
    assert_string_equal(stretches("(?i)out\\.of memory", &facts), "out.of memory;");
    assert_true(facts.whole && facts.any_case);
    assert_string_equal(stretches("(?i)ab.c", &facts), "ab;c;");
    assert_true(!facts.whole && facts.any_case);
    assert_string_equal(stretches("", &facts), "");
    assert_false(facts.whole);
    assert_string_equal(stretches("(?i)", &facts), "");
    assert_false(facts.whole);
}

UNIT_TEST(test_nothing_is_claimed)
{
    static const char *const patterns[] = {
        "a|b",       "(*UTF8)ab", "(?x)ab",  "ab(?i)c",     "ab(?x: # (\n)", "ab(?#()",
        "a(?<n>b)",  "ab)",       "(ab",     "a[b",         "ab\\",          "ab\\x41",
        "\\Qa.b\\E", "ab\\1",     "ab\\cA",  "(a\\Q)\\E)",  "[\\c]x",        "a\\p{L}",
        "ab\\K",     "a\\\xc3",   "(?s)a.b", "ab\\E",       "(a\\c))b",      "(?-i)ab",
        "(",         "(?",        "(\\",     "ab\\N{U+41}",
    };
    struct literal_facts facts;

    for (size_t i = 0; i < sizeof patterns / sizeof patterns[0]; i++) {
        const char *shown = stretches(patterns[i], &facts);

        if (shown[0] != '\0')
            fail_msg("%s: %s", patterns[i], shown);
        assert_false(facts.whole);
    }
}

UNIT_TEST(test_appends)
{
    struct literal_facts facts;
    struct buf out;

    buf_init(&out, 8);
    assert_int_equal(buf_append(&out, "x", 2), 0);
    assert_int_equal(literal_stretches("a|b", &out, &facts), 0);
    assert_int_equal(out.len, 2);
    assert_int_equal(literal_stretches("a.b", &out, &facts), 0);
    assert_memory_equal(out.data, "x\0a\0b\0", 6);
    assert_int_equal(literal_stretches("abc.d", &out, &facts), ERR_FULL);
    assert_int_equal(out.len, 6);
    buf_close(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_there_once),
        cmocka_unit_test(test_what_may_be_missing),
        cmocka_unit_test(test_all_of_it),
        cmocka_unit_test(test_nothing_is_claimed),
        cmocka_unit_test(test_appends),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
