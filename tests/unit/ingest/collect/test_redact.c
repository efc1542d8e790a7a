/* Tests of redaction of messages. */
#include "tests/unit/unit.h"

#include "ingest/collect/redact.h"

#include <stdlib.h>
#include <string.h>

enum { ITEMS_MAX = 4, RULES_COUNT = 3, LONG_TEXT = 64 << 10 };

/* Of the current test. */
static struct fixture {
    struct rule rule[RULES_COUNT];
    struct rules rules;
    struct redact *redact;
    struct buf out;
} f;

static int teardown(void **state)
{
    (void)state;
    redact_free(f.redact);
    buf_close(&f.out);
    return 0;
}

static struct rules_list list(const char *const *items)
{
    size_t n = 0;

    while (n < ITEMS_MAX && items[n] != NULL)
        n++;
    return (struct rules_list){items, n};
}

/* The file's expressions and those of its rules; lists end with NULL. */
static void setup(const char *const file[ITEMS_MAX],
                  const char *const rules[RULES_COUNT][ITEMS_MAX])
{
    struct err err = {.text = ""};

    teardown(NULL);
    f = (struct fixture){0};
    for (size_t i = 0; i < RULES_COUNT; i++) {
        f.rule[i].name = "rule";
        f.rule[i].redacts = list(rules[i]);
    }
    f.rules = (struct rules){.redacts = list(file), .rules = f.rule, .n = RULES_COUNT};
    if (redact_new(&f.rules, &f.redact, &err) != 0)
        fail_msg("%s", err.text);
    buf_init(&f.out, 1 << 20);
}

/* With one expression for all. */
static void setup_one(const char *expression)
{
    static const char *const none[RULES_COUNT][ITEMS_MAX];
    static const char *file[ITEMS_MAX];

    file[0] = expression;
    setup(file, none);
}

static const char *shown_of(uint32_t rule, const char *text)
{
    buf_clear(&f.out);
    assert_int_equal(redact_append(f.redact, rule, text, strlen(text), &f.out), 0);
    return buf_text(&f.out);
}

static void check(const char *expression, const char *text, const char *expected)
{
    setup_one(expression);
    assert_string_equal(shown_of(0, text), expected);
}

UNIT_TEST(test_one_expression)
{
    check("[0-9]+", "a 12 b 345", "a … b …");
    check("[0-9]+", "12", "…");
    check("[0-9]+", "none", "none");
    check("[0-9]+", "", "");
    check("token=\\S+", "at=x token=abc.def end", "at=x … end");
    check("(?i)bearer [a-z0-9]+", "Authorization: BEARER aB3; q", "Authorization: …; q");
    check("^secret", "secret secret", "… secret");
    check("x", "a\xc3\xa9x\xff\x01", "a\xc3\xa9…\xff\x01");
}

/* Whatever end a match may have, and wherever it may begin. */
UNIT_TEST(test_the_longest_of_all_readings)
{
    check("a+?", "baaab", "b…b");
    check("ab|abcd", "xabcdx", "x…x");
    check("b|abc", "xabcx", "x…x");
    check("abcd|cdef", "xabcdefx", "x…x");
    check(".*x", "a x b x c", "… c");
    check("[a-z]+@[a-z.]+", "to joe@example.org now", "to … now");
}

UNIT_TEST(test_neighbours_are_one)
{
    check("ab", "ababab ab", "… …");
    check("[0-9]", "1234", "…");
}

UNIT_TEST(test_rules_of_their_own)
{
    static const char *const file[ITEMS_MAX] = {"[0-9]+"};
    static const char *const rules[RULES_COUNT][ITEMS_MAX] = {
        {"secret", "[0-9]+"}, {"secret", "hidden", "hidden"}, {NULL}};
    static const char text[] = "1 secret hidden";

    setup(file, rules);
    for (size_t round = 0; round < 2; round++) {
        assert_string_equal(shown_of(0, text), "… … hidden");
        assert_string_equal(shown_of(1, text), "… … …");
        assert_string_equal(shown_of(2, text), "… secret hidden");
    }
    assert_true(redact_is_needed(f.redact, 2));
}

UNIT_TEST(test_only_where_needed)
{
    static const char *const file[ITEMS_MAX] = {NULL};
    static const char *const rules[RULES_COUNT][ITEMS_MAX] = {{"a"}, {NULL}, {"b"}};

    setup(file, rules);
    assert_true(redact_is_needed(f.redact, 0));
    assert_false(redact_is_needed(f.redact, 1));
    assert_true(redact_is_needed(f.redact, 2));
    assert_string_equal(shown_of(0, "ab"), "…b");
    assert_string_equal(shown_of(1, "ab"), "ab");
    assert_string_equal(shown_of(2, "ab"), "a…");
}

UNIT_TEST(test_no_expression_at_all)
{
    static const char *const file[ITEMS_MAX] = {NULL};
    static const char *const rules[RULES_COUNT][ITEMS_MAX] = {{NULL}};

    setup(file, rules);
    assert_false(redact_is_needed(f.redact, 0));
    assert_string_equal(shown_of(0, "as it is"), "as it is");
    redact_free(NULL);
}

UNIT_TEST(test_appends)
{
    setup_one("x");
    assert_int_equal(buf_puts(&f.out, "before "), 0);
    assert_int_equal(redact_append(f.redact, 1, "axb", 3, &f.out), 0);
    assert_int_equal(redact_append(f.redact, 1, " x", 2, &f.out), 0);
    assert_string_equal(buf_text(&f.out), "before a…b …");
}

/* Half of the text must not stay behind. */
UNIT_TEST(test_full)
{
    setup_one("x");
    buf_init(&f.out, 8);
    assert_int_equal(buf_puts(&f.out, "1234"), 0);
    assert_int_equal(redact_append(f.redact, 0, "abxcd", 5, &f.out), ERR_FULL);
    assert_string_equal(buf_text(&f.out), "1234");
    assert_int_equal(redact_append(f.redact, 0, "ax", 2, &f.out), 0);
    assert_string_equal(buf_text(&f.out), "1234a…");
}

/* As many reports as there are bytes, each of a stretch from the first byte on: were each walked or
 * kept, this would take two thousand million steps. */
UNIT_TEST(test_reports_without_number)
{
    static const char *const expressions[] = {".*x", "x+", "x.*", "x[^y]*x"};
    char *text = malloc(LONG_TEXT);

    assert_non_null(text);
    memset(text, 'x', LONG_TEXT);
    for (size_t i = 0; i < sizeof expressions / sizeof expressions[0]; i++) {
        setup_one(expressions[i]);
        assert_int_equal(redact_append(f.redact, 0, text, LONG_TEXT, &f.out), 0);
        assert_string_equal(buf_text(&f.out), "…");
    }
    setup_one("xx");
    for (size_t i = 0; i < LONG_TEXT; i += 3)
        text[i] = 'y';
    assert_int_equal(redact_append(f.redact, 0, text, LONG_TEXT, &f.out), 0);
    assert_int_equal(f.out.len, LONG_TEXT / 3 * (1 + strlen("…")) + 1);
    free(text);
}

UNIT_TEST(test_text_of_any_length)
{
    char text[256];

    setup_one("b$");
    memset(text, 'a', sizeof text);
    for (size_t n = 1; n < sizeof text; n++) {
        size_t len = n * 97 % sizeof text; /* up and down */

        if (len == 0)
            continue;
        text[len - 1] = 'b';
        buf_clear(&f.out);
        assert_int_equal(redact_append(f.redact, 0, text, len, &f.out), 0);
        assert_int_equal(f.out.len, len - 1 + strlen("…"));
        text[len - 1] = 'a';
    }
}

UNIT_TEST(test_what_cannot_be_compiled)
{
    static const char *const items[] = {"a{2,1}"};
    const struct rules rules = {.redacts = {items, 1}};
    struct err err = {.text = ""};
    struct redact *r;

    assert_int_equal(redact_new(&rules, &r, &err), ERR_INPUT);
    assert_null(r);
    assert_non_null(strstr(err.text, "a{2,1}"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_expression),
        cmocka_unit_test(test_the_longest_of_all_readings),
        cmocka_unit_test(test_neighbours_are_one),
        cmocka_unit_test(test_rules_of_their_own),
        cmocka_unit_test(test_only_where_needed),
        cmocka_unit_test(test_no_expression_at_all),
        cmocka_unit_test(test_appends),
        cmocka_unit_test(test_full),
        cmocka_unit_test(test_reports_without_number),
        cmocka_unit_test(test_text_of_any_length),
        cmocka_unit_test(test_what_cannot_be_compiled),
    };

    return cmocka_run_group_tests(tests, NULL, teardown);
}
