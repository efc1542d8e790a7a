/* Which expressions are refused for which use, and with which remedy. */
#include "common/rules/expression.h"

#include "tests/unit/unit.h"

#include <hs/hs.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

struct row {
    const char *expression;
    const char *fault;
};

static void assert_refused(const struct row *rows, size_t n, enum expression_use use)
{
    for (size_t i = 0; i < n; i++) {
        struct err err;

        if (expression_check(rows[i].expression, use, &err) != ERR_INPUT)
            fail_msg("%s passes", rows[i].expression);
        if (strstr(err.text, rows[i].fault) == NULL)
            fail_msg("%s: %s", rows[i].expression, err.text);
    }
}

UNIT_TEST(bad_expressions_are_named_with_a_remedy)
{
    static const struct row rows[] = {
        {"a(?=b)", "lookahead and lookbehind are not supported"},
        {"(?<!a)b", "lookahead and lookbehind are not supported"},
        {"(a)\\1", "write the repeated text out"},
        {"a++b", "leave out the \"+\" behind the repeat"},
        {"(?>a)b", "use a plain group"},
        {"x^a", "\"^\" can only stand first"},
        {"x$a", "\"$\" can only stand last"},
        {"a\\bb", "no text meets them all"},
        {"(a", "write \"\\(\" or \"\\)\" for the character"},
        {"a)", "write \"\\(\" or \"\\)\" for the character"},
        {"[a", "write \"\\[\" for the character"},
        {"*a", "write \"\\*\""},
        {"a{70000}", "use smaller repeats"},
        {"\\x{100}", "expressions match bytes"},
        {"(*UTF8)a", "control verb"},
        {"a\\", "put a \"\\\" before"},
        {"a*", "at least one character"},
        {"^", "at least one character"},
        {"\\b|x", "at least one character"},
        {"(?:)", "at least one character"},
        {"^$", "at least one character"},
        {"(?x)a # b", "close the comment"},
    };

    assert_refused(rows, sizeof rows / sizeof rows[0], EXPRESSION_LINE);
    assert_refused(rows, sizeof rows / sizeof rows[0], EXPRESSION_REDACT);
    assert_refused(rows, sizeof rows / sizeof rows[0], EXPRESSION_VALUE);
}

/* Each use has its own message for an expression that can match an empty text. */
UNIT_TEST(the_use_is_named)
{
    static const struct row line = {"a*", "an empty text, and so every line (let"};
    static const struct row redact = {"a*", "an empty text (let"};
    static const struct row value = {".*", "an empty value (let it ask for at least one character, "
                                           "such as \".+\")"};

    assert_refused(&line, 1, EXPRESSION_LINE);
    assert_refused(&redact, 1, EXPRESSION_REDACT);
    assert_refused(&value, 1, EXPRESSION_VALUE);
}

/* Expressions that are well-formed only inside the group of the whole form, or only outside. */
UNIT_TEST(a_value_is_tried_alone_and_whole)
{
    static const struct row rows[] = {
        {"a)(b", "write \"\\(\""},       {")(", "write \"\\(\""},
        {"a\\c", "must be followed by"}, /* would take the group's first byte */
        {"?:a", "at least once"},        {"\\x{4", "Value in"},
        {"[\\Q]", "write \"\\[\""},
    };

    assert_refused(rows, sizeof rows / sizeof rows[0], EXPRESSION_VALUE);
}

/* Bytes, and no flags unless the expression sets them. */
UNIT_TEST(good_expressions_pass)
{
    static const char *const good[] = {
        "WORKER TIMEOUT",  "^start",   "end$",     "\\bword\\b",
        "(?i)error",       "a{1,9}b",  "\xc3\xa9", "[\\x80-\\xff]",
        "(?:[ab]{9}c){9}", "x|y",      "(?s)a.b",  "\\Qa(b\\E",
        "token=\\S+",      "a.*b|c+d", "(a|b)*c",  "(?x)a # b\n",
    };
    static const enum expression_use uses[] = {EXPRESSION_LINE, EXPRESSION_REDACT,
                                               EXPRESSION_VALUE};
    struct err err;

    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        for (size_t k = 0; k < sizeof uses / sizeof uses[0]; k++) {
            if (expression_check(good[i], uses[k], &err) != 0)
                fail_msg("%s: %s", good[i], err.text);
        }
    }
}

/* hs_expression_info finds no fault in an automaton that is too large; only compiling does. */
UNIT_TEST(an_expression_too_large_is_found)
{
    char text[3000] = "(";
    struct row rows[] = {{text, "too large"}, {"(([ab][bc]){300})+c", "too large"}};
    /* The begin of a match takes more states than its end. */
    const struct row counted = {"a{1,300}b", "too large (use smaller repeats"};
    struct err err;

    for (int i = 0; i < 300; i++)
        strcat(text, "[ab][bc]");
    strcat(text, ")+c");
    assert_refused(rows, 2, EXPRESSION_LINE);
    assert_refused(rows, 2, EXPRESSION_REDACT);
    assert_refused(&counted, 1, EXPRESSION_REDACT);
    assert_int_equal(expression_check(counted.expression, EXPRESSION_LINE, &err), 0);
    assert_int_equal(expression_check(counted.expression, EXPRESSION_VALUE, &err), 0);
}

static int on_match(unsigned id, unsigned long long from, unsigned long long to, unsigned flags,
                    void *found)
{
    (void)id, (void)from, (void)to, (void)flags;
    *(bool *)found = true;
    return 0;
}

static bool is_found(const char *expression, const char *text, size_t n)
{
    hs_compile_error_t *complaint;
    hs_scratch_t *scratch = NULL;
    hs_database_t *db;
    bool found = false;

    if (hs_compile(expression, 0, HS_MODE_BLOCK, NULL, &db, &complaint) != HS_SUCCESS)
        fail_msg("%s: %s", expression, complaint->message);
    assert_int_equal(hs_alloc_scratch(db, &scratch), HS_SUCCESS);
    assert_int_equal(hs_scan(db, text, (unsigned)n, 0, scratch, on_match, &found), HS_SUCCESS);
    hs_free_scratch(scratch);
    hs_free_database(db);
    return found;
}

/* An expression may leave a quotation or comment open: its whole form still matches just the value.
 */
UNIT_TEST(the_whole_form_matches_all_of_a_value)
{
    static const struct {
        const char *expression;
        const char *value; /* matches; with a byte more at either end it does not */
    } rows[] = {
        {"5..", "503"},
        {"a|b", "a"},
        {"a|bc", "bc"},
        {"^5..$", "500"},
        {"(?i)ab", "aB"},
        {"(?x) a b", "ab"},
        {"(?x)a#c\n", "a"},
        {"\\Qa.b", "a.b"},
        {"\\Qa\\", "a\\"},
        {"\\Qa#b", "a#b"},
        {"a\\E", "a"},
        {"a{2", "a{2"},
        {"a\\x4", "a\x04"},
        {"(?#c)a(?#)", "a"},
        {"a#", "a#"},
        {"\\bfoo\\b", "foo"},
        {"(?m)^a$", "a"},
        {"(?s)a.b", "a\nb"},
        {"a\\z", "a"},
        {"[(]", "("},
        {"\\(", "("},
        {"a(?x)b", "ab"},
        {"a(?x) b#(?#\n", "ab"},
        {"a\\Q", "a"},
        {"[#]+", "##"},
        {"(?x)[ #]\\ ", "# "},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *value = rows[i].value;
        struct buf whole;
        struct err err;
        char more[64];
        int n = snprintf(more, sizeof more, "~%s~", value);

        buf_init(&whole, 1000);
        if (expression_check(rows[i].expression, EXPRESSION_VALUE, &err) != 0)
            fail_msg("%s: %s", rows[i].expression, err.text);
        assert_int_equal(expression_append_whole(rows[i].expression, &whole), 0);
        if (!is_found(buf_text(&whole), value, strlen(value)))
            fail_msg("%s does not match", rows[i].expression);
        more[n - 1] = '\n'; /* "$" would let one follow */
        if (is_found(buf_text(&whole), more, (size_t)n - 1) ||
            is_found(buf_text(&whole), more + 1, (size_t)n - 1))
            fail_msg("%s matches with more around it", rows[i].expression);
        buf_close(&whole);
    }
}

UNIT_TEST(what_does_not_fit_changes_nothing)
{
    struct buf out;

    buf_init(&out, 20);
    assert_int_equal(buf_puts(&out, "12345678"), 0);
    for (int n = 0; n < 2; n++) {
        assert_int_equal(expression_append_whole("a", &out), ERR_FULL);
        assert_string_equal(buf_text(&out), "12345678");
        assert_int_equal(out.len, 8);
    }
    buf_close(&out);
    buf_init(&out, 1);
    assert_int_equal(expression_append_whole("a", &out), ERR_FULL);
    assert_string_equal(buf_text(&out), "");
    buf_close(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_expressions_are_named_with_a_remedy),
        cmocka_unit_test(the_use_is_named),
        cmocka_unit_test(a_value_is_tried_alone_and_whole),
        cmocka_unit_test(good_expressions_pass),
        cmocka_unit_test(an_expression_too_large_is_found),
        cmocka_unit_test(the_whole_form_matches_all_of_a_value),
        cmocka_unit_test(what_does_not_fit_changes_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
