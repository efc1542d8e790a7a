/* The heads of frames: the fast case and the general function return the same. */
#include "ingest/input/head.h"
#include "tests/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DIGITS_20 "12345678901234567890"

enum { TEXT_MAX = 64 };

static const char *const signs[] = {"", "+", "-"};
static const char *const lengths[] = {
    "",     "0",    "9",     "01",    "10",    "99",    "010",    "100",     "999",        "0100",
    "1000", "9999", "01000", "10000", "65536", "65537", "100000", DIGITS_20, DIGITS_20 "1"};
static const char *const marks[] = {" <",  "  <", "<",   " ",      " ,",  "\t<",
                                    "/ <", ": <", "a <", "\xb1 <", " 2 <"};
static const char *const pris[] = {"",    "0",    "4", "13", "99",  "134", "191",
                                   "999", "1340", "a", "1a", "13a", "/1",  ":1"};
static const char *const tails[] = {">1 2026-05-07", ">1 ",      ">1",      ">2 2026",
                                    ">1\n2026",      ">10 2026", " >1 2026"};

#define COUNT(list) (sizeof(list) / sizeof((list)[0]))

static bool is_usual_length(const char *length)
{
    size_t n = strlen(length);

    return n >= 2 && n <= 4 && length[0] != '0' && strspn(length, "0123456789") == n;
}

/* Asks both about the first `n` bytes of a text. */
static void expect_agreement(const char *text, size_t n, bool may_be_usual)
{
    char *copy = malloc(n + (n == 0)); /* so that a sanitizer sees a read beyond it */
    struct head any = {0}, got = {0};
    enum line_known known;

    assert_non_null(copy);
    memcpy(copy, text, n);
    known = head_any_at(copy, n, &any);
    assert_int_equal(head_at(copy, n, &got), known);
    if (known == LINE_YES) {
        assert_int_equal(got.len, any.len);
        assert_int_equal(got.length, any.length);
    }
    if (n >= HEAD_USUAL_MAX)
        assert_int_equal(head_usual_at(copy, &got), known == LINE_YES && may_be_usual);
    free(copy);
}

/* Cuts a text after each byte. */
static void expect_agreement_when_cut(const char *text, bool may_be_usual)
{
    for (size_t n = 0; n <= strlen(text); n++)
        expect_agreement(text, n, may_be_usual);
}

UNIT_TEST(the_fast_case_agrees_with_the_general_function)
{
    char text[TEXT_MAX];

    for (size_t i = 0; i < COUNT(signs) * COUNT(lengths) * COUNT(marks); i++) {
        const char *sign = signs[i % COUNT(signs)];
        const char *length = lengths[i / COUNT(signs) % COUNT(lengths)];
        const char *mark = marks[i / COUNT(signs) / COUNT(lengths)];

        for (size_t k = 0; k < COUNT(pris) * COUNT(tails); k++) {
            snprintf(text, sizeof text, "%s%s%s%s%s", sign, length, mark, pris[k % COUNT(pris)],
                     tails[k / COUNT(pris)]);
            expect_agreement_when_cut(text, *sign == '\0' && is_usual_length(length));
        }
    }
}

UNIT_TEST(a_head_has_its_length)
{
    static const struct {
        const char *text;
        size_t len, length;
    } heads[] = {
        {"10 <1>1 2026", 3, 10},         {"99 <13>1 2026", 3, 99},
        {"100 <134>1 2026", 4, 100},     {"9999 <134>1 2026", 5, 9999},
        {"10000 <134>1 2026", 6, 10000}, {"65536 <134>1 2026", 6, 65536},
        {"9 <134>1 2026", 2, 9},         {"65537 <134>1 2026", 6, 0},
        {"099 <134>1 2026", 4, 0},       {"+99 <134>1 2026", 4, 0},
    };
    struct head head;

    for (size_t i = 0; i < COUNT(heads); i++) {
        assert_int_equal(head_at(heads[i].text, strlen(heads[i].text), &head), LINE_YES);
        assert_int_equal(head.len, heads[i].len);
        assert_int_equal(head.length, heads[i].length);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_fast_case_agrees_with_the_general_function),
        cmocka_unit_test(a_head_has_its_length),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
