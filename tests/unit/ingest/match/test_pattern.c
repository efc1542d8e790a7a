/* Tests of supersets of expressions. */
#include "tests/unit/unit.h"

#include "common/base/err.h"
#include "ingest/match/pattern.h"

#include <hs/hs.h>
#include <string.h>

static void check(const char *pattern, const char *expected)
{
    struct buf out;

    buf_init(&out, 4096);
    assert_int_equal(pattern_superset(pattern, &out), 0);
    assert_string_equal(buf_text(&out), expected);
    buf_close(&out);
}

static void check_refused(const char *pattern)
{
    struct buf out;

    buf_init(&out, 4096);
    if (pattern_superset(pattern, &out) != ERR_INPUT)
        fail_msg("%s is taken", pattern);
    buf_close(&out);
}

UNIT_TEST(test_assertions_go)
{
    check("code=H12$", "code=H12(?:)");
    check("^start", "(?:)start");
    check("\\bword\\b", "(?:)word(?:)");
    check("\\Aa\\Bb\\z|c\\Z", "(?:)a(?:)b(?:)|c(?:)");
    check("(^a|b$)+", "((?:)a|b(?:))+");
    check("a\\b+b", "a(?:)+b"); /* a quantifier keeps its operand */
    check("plain", "plain");
}

UNIT_TEST(test_what_only_looks_like_one_stays)
{
    check("a\\$\\^b", "a\\$\\^b");
    check("a\\\\$", "a\\\\(?:)");
    check("[^a$]x[$^]", "[^a$]x[$^]");
    check("[]$^]$", "[]$^](?:)");
    check("[^]$]$", "[^]$](?:)");
    check("[a\\]$]$", "[a\\]$](?:)");
    check("[\\b]\\b", "[\\b](?:)");
    check("[[:alpha:]$][[:^digit:]]^", "[[:alpha:]$][[:^digit:]](?:)");
    check("[[a]$", "[[a](?:)");
    check("[\\Q]$\\E$]$", "[\\Q]$\\E$](?:)");
    check("[\\Q\\E]$]$", "[\\Q\\E]$](?:)"); /* an empty quotation leaves the class at its begin */
    check("[\\E]$]$", "[\\E]$](?:)");
    check("[\\c]$]$", "[\\c]$](?:)");
    check("\\Q^$\\b\\E^", "\\Q^$\\b\\E(?:)");
    check("\\Q^$", "\\Q^$");
    check("\\c[$", "\\c[(?:)");
    check("\\x{24}\\p{^Lu}$", "\\x{24}\\p{^Lu}(?:)");
}

UNIT_TEST(test_comments)
{
    check("a(?#^ [ ( )$", "a(?#^ [ ( )(?:)");
    check("(?x)a # it's [ a ( $\n ^b", "(?x)a # it's [ a ( $\n (?:)b");
    check("(?x)a # to the end [ $", "(?x)a # to the end [ $");
    check("a # [$]^", "a # [$](?:)");
    /* (?x) ends with its group, and (?-x) ends it */
    check("(?:(?x) # [\n)#$", "(?:(?x) # [\n)#(?:)");
    check("(?x:a # [\n)#$", "(?x:a # [\n)#(?:)");
    check("(?x)(?-x)#$", "(?x)(?-x)#(?:)");
    check("(?i-x:#$)", "(?i-x:#(?:))");
    check("(?x)(a # (\n)# [", "(?x)(a # (\n)# [");
}

UNIT_TEST(test_groups)
{
    check("(?:^a)(?i)^(?<n>b$)(?P<m>c$)(?'o'd$)",
          "(?:(?:)a)(?i)(?:)(?<n>b(?:))(?P<m>c(?:))(?'o'd(?:))");
}

UNIT_TEST(test_repeated_dot_at_the_end_goes)
{
    check("code=H12.*", "code=H12");
    check("code=H12.*?$", "code=H12");
    check("code=H12.+", "code=H12");
    check("a|b.*", "a|b");
    check("a.*b", "a.*b");
    check("a\\.*", "a\\.*");
    check("a[.]*", "a[.]*");
    check("a.*{2}", "a.*{2}");
    check("a.^*", "a.(?:)*");
    check("(a.*)", "(a.*)"); /* only at the top level: here ")+" could follow */
    check("a.\\Q*", "a.\\Q*");
}

UNIT_TEST(test_what_is_not_understood_is_refused)
{
    static const char *const patterns[] = {
        "(*UTF8)a", "(*UCP)a", "(?=a)b", "(?!a)b", "(?<=a)b", "(?<!a)b", "(?>a)", "(?|a)",
        "(?(1)a)",  "(?P=n)",  "(?P>n)", "(?R)",   "a\\Gb",   "a\\Kb",   "a\\R",  "(a",
        "a)",       "[a",      "[]",     "(?",     "(?i",     "(?^:a)",  "[\\Q]",
    };

    for (size_t i = 0; i < sizeof patterns / sizeof patterns[0]; i++)
        check_refused(patterns[i]);
}

UNIT_TEST(test_depth_is_bounded)
{
    char pattern[2002];

    memset(pattern, '(', 1000);
    pattern[1000] = 'a';
    memset(pattern + 1001, ')', 1000);
    pattern[2001] = 0;
    check_refused(pattern);
}

UNIT_TEST(test_ceiling)
{
    struct buf out;

    buf_init(&out, 8);
    assert_int_equal(pattern_superset("$$$", &out), ERR_FULL);
    buf_close(&out);
}

/* Hyperscan takes the superset of each expression that it takes, unless that can be empty. */
UNIT_TEST(test_hyperscan_takes_the_supersets)
{
    static const char *const patterns[] = {
        "^a$",          "a\\b",           "(?:^|;)a(?:$|;)", "\\Aa\\z",
        "(?x)a # [\n$", "[[:alpha:]]\\b", "^(?i)abc\\Z",     "(\\bab|cd$)",
    };

    for (size_t i = 0; i < sizeof patterns / sizeof patterns[0]; i++) {
        hs_compile_error_t *complaint = NULL;
        hs_database_t *db = NULL;
        struct buf out;

        buf_init(&out, 4096);
        assert_int_equal(pattern_superset(patterns[i], &out), 0);
        if (hs_compile(buf_text(&out), 0, HS_MODE_BLOCK, NULL, &db, &complaint) != HS_SUCCESS)
            fail_msg("%s became %s: %s", patterns[i], buf_text(&out), complaint->message);
        hs_free_database(db);
        buf_close(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_assertions_go),
        cmocka_unit_test(test_what_only_looks_like_one_stays),
        cmocka_unit_test(test_comments),
        cmocka_unit_test(test_groups),
        cmocka_unit_test(test_repeated_dot_at_the_end_goes),
        cmocka_unit_test(test_what_is_not_understood_is_refused),
        cmocka_unit_test(test_depth_is_bounded),
        cmocka_unit_test(test_ceiling),
        cmocka_unit_test(test_hyperscan_takes_the_supersets),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
