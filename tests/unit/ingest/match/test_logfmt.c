/* Tests of pairs, quotes and colours. */
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
    struct logfmt pairs;
    struct logfmt_pair pair;
    bool found = false;

    assert_non_null(copy);
    memcpy(copy, message, n);
    logfmt_begin(&pairs, copy, n);
    while (!found && logfmt_next(&pairs, &pair))
        found = line_text_is(pair.key, key) && logfmt_is(&pair, value);
    free(copy);
    return found;
}

UNIT_TEST(test_found)
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
        "5\" disk code=H12", /* an inch is no quotation */
        "a 5\" disk is not 3\" code=H12",
        "code=H12 ua=b\"x\" y",
        "ua=b\"x\" code=H12",
        "(\"x y\") code=H12",
        "a=\"b c\"d code=H12",
        "\"quoted\" code=H12",
        "= code=H12",
        "=x code=H12",
        "code='H12'",
        "code='H12'\tstatus=503",
        "code = H12",
        "at=error code  =   H12 status = 503",
        "code = \"H12\"",
        "code = 'H12'",
        "a = code=H12", /* a value that is a pair counts as that */
        "\033[36mcode=\033[0mH12",
        "\033[36mcode\033[0m=H12",
        "\033[1;36mcode\033[0m=\033[38:5:1mH12\033[m status=503",
        "\033[36mcode=\033[0m\"H12\"\033[0m",
        "\033[36mcode=\033[0m'H12'\033[0m",
        "\033[36mcode\033[0m = \033[31mH12\033[0m",
        "INFO\033[0m code=H12",
        "don't code=H12",
        "msg=don't code=H12 isn't", /* an apostrophe behind a letter opens nothing */
        "msg='tis code=H12",        /* nothing closes it */
        "msg='tis code=H12 isn't it",
        "msg='a\nb' code=H12",
        "msg='a \"b' c\" code=H12",        /* double quotes hide, whatever single ones do */
        "msg=\"say \\\"hi\\\"\" code=H12", /* an escaped quote is closed before the message is */
        "err=\"Get \\\"http://a/\\\": timeout (while waiting)\" code=H12",
        "body=\"{\\\"a\\\": [\\\"b\\\"]}\" code=H12",
        "path=\"a\\b\" code=H12",
        "code=H12 path=\"/\\\" fwd=\"1.2.3.4\"",
        "path=\"/\\\" host=a fwd=\"1.2.3.4\" code=H12",
        "code=H12 a=b\"c\" d=\"\\\"\"",
    };

    for (size_t i = 0; i < sizeof messages / sizeof messages[0]; i++) {
        if (!has(messages[i], "code", "H12"))
            fail_msg("not found in: %s", messages[i]);
    }
}

static const char *const without_the_pair[] = {
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
    "code=\"H12", /* the end may be cut off */
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
    "code= = H12",
    "code == H12",
    "\"code\" = H12",
    "code = = H12",
    "code =\nH12",
    "code =\tH12",
    "code\t= H12",
    "code = H12=",
    "code='H12",
    "code='H12'x",
    "code = 'H12",
    "msg='a code=H12 b'",
    "msg = 'a code=H12 b'",
    "msg=\033[0m'a code=H12 b'\033[0m",
    "msg=\033[0m\"a code=H12 b\"",
    "\033[31m\"a code=H12 b\"",
    "\033[36code=H12", /* no colour */
    "path=\"/\033[0m\" code=H13 fwd=\"\033[0m code=H12\"",
    "host='a fwd=\"' code=H12 \" dyno=web.1", /* a visitor's single quotes change nothing */
    "host='a' fwd=\"' code=H12 '\" dyno=web.1",
    "path=\"/ code = H12 \"",
    /* A quote behind a letter may open a quotation. */
    "ua=b\"x code=H12 \"",
    "ua=b\"x \" ref=\" code=H12 \"",
    "200\"GET /? code=H12 HTTP/1.1\"",
    "a 5\" disk code=H12 of 5\"",
    "5\" disk code=H12 path=\"/\"",
    "5\" disk ua=\"x code=H12 \"",
    "5\33[m\" disk code=H12 of 5\"",
    /* A quote behind a backslash can be read in several ways. */
    "path=\"a\\\\\" code=H12",
    "path=\"/\\\" host=a fwd=\" code=H12 , 1.2.3.4\" dyno=web.1",
    "\"-\" \"\\\\\" code=H12 \"",
    "\"x\\\" \"- code=H12 \"",
    "\"x\\\" \"\\\" \\\" \\\\\" code=H12 \"",
    "\"x\\\"\" , code=H12 ,\"",
    "\"\\\" x\\\"\"- code=H12 \"",
    "[x\\\"]\" code=H12 \"",
    "[x\\\"] code=H12 \\\"",
    "msg=\"say \\\"hi\\\"\" code=H12 user=\"x\"",
    "code=\"\\\" host=a fwd=\" code=H12 \"",
};

UNIT_TEST(test_not_found)
{
    for (size_t i = 0; i < sizeof without_the_pair / sizeof without_the_pair[0]; i++) {
        if (has(without_the_pair[i], "code", "H12"))
            fail_msg("found in: %s", without_the_pair[i]);
    }
}

UNIT_TEST(test_values_of_other_kinds)
{
    assert_true(has("msg=\"hello world\" a=b", "msg", "hello world"));
    assert_false(has("msg=hello world a=b", "msg", "hello world"));
    assert_true(has("path=\"/x\" a=b", "path", "/x"));
    assert_true(has("path=\"/x\" a=b", "path", "\"/x\"")); /* as it is written */
    assert_false(has("path=\"/x", "path", "\"/x"));
    assert_true(has("q=a=b", "q", "a=b"));
    assert_true(has("empty= a=b", "empty", ""));
    assert_true(has("empty=\"\"", "empty", ""));
    assert_true(has("a=\"x\\\"y\"", "a", "x\\\"y"));
    assert_true(has("msg='hello world' a=b", "msg", "hello world"));
    assert_true(has("msg='hello world' a=b", "msg", "'hello world'"));
    assert_true(has("msg='it's fine' a=b", "msg", "it's fine"));
    assert_true(has("msg='' a=b", "msg", ""));
    assert_true(has("msg = \"hello world\" a=b", "msg", "hello world"));
    assert_true(has("msg = hello world", "msg", "hello"));
    assert_true(has("\033[32mprogram\033[0m=\033[1mtom\033[0m", "program", "tom"));
}

UNIT_TEST(test_pairs_in_order)
{
    static const char text[] = "at=info word path=\"/a b\" fwd=\"cut";
    struct logfmt_pair pair;
    struct logfmt pairs;

    logfmt_begin(&pairs, text, sizeof text - 1);
    assert_true(logfmt_next(&pairs, &pair));
    assert_memory_equal(pair.key.data, "at", pair.key.len);
    assert_int_equal(pair.content.len, 4);
    assert_true(logfmt_next(&pairs, &pair));
    assert_int_equal(pair.key.len, 4);
    assert_memory_equal(pair.content.data, "/a b", 4);
    assert_int_equal(pair.content.len, 4);
    assert_int_equal(pair.value.len, 6);
    assert_false(pair.cut);
    assert_true(logfmt_next(&pairs, &pair));
    assert_true(pair.cut);
    assert_memory_equal(pair.content.data, "cut", 3);
    assert_int_equal(pair.content.len, 3);
    assert_false(logfmt_next(&pairs, &pair));
}

static bool is_white(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Where the single quotation at `i` ends, a byte at a time, or `i` if it is none. */
static size_t plain_single_end(const char *s, size_t n, size_t i)
{
    for (size_t j = i + 1; j < n && s[j] != '"' && s[j] != '\n'; j++) {
        if (s[j] == '\'' && (j + 1 == n || is_white(s[j + 1])))
            return j;
    }
    return i;
}

/* A message, and for each byte whether it may be quoted. */
struct plain {
    const char *s;
    size_t n;
    bool quoted[25];
    bool open;      /* a quotation may be open at the end */
    size_t unclear; /* the first unclear quote */
    bool cut;       /* a quotation with that quote may end in several places */
};

static bool plain_is_unclear(const struct plain *p, size_t i, bool open)
{
    char before = i > 0 ? p->s[i - 1] : ' ';

    return before == '\\' || (!open && memchr("Xc1", before, 3) != NULL);
}

static void plain_read_unclear(struct plain *p, size_t unclear, size_t last)
{
    p->unclear = unclear;
    p->open = last > 0 && p->s[last - 1] == '\\';
    for (size_t i = unclear; i < p->n; i++) {
        p->quoted[i] = i <= last || p->open;
        p->cut |= p->s[i] == '"' && i < last && (i == 0 || p->s[i - 1] != '\\');
    }
}

/* Reads the quotes a byte at a time, as the header says. */
static struct plain plain_read(const char *s, size_t n)
{
    struct plain p = {.s = s, .n = n, .unclear = SIZE_MAX};
    size_t last = 0;

    for (size_t i = 0; i < n; i++)
        last = s[i] == '"' ? i : last;
    for (size_t i = 0; i < n; i++) {
        if (s[i] == '"' && plain_is_unclear(&p, i, p.open)) {
            plain_read_unclear(&p, i, last);
            break;
        }
        p.quoted[i] = p.open || s[i] == '"';
        p.open ^= s[i] == '"';
    }
    return p;
}

/* Where the token at `i` ends. `equals` is its first '=' outside of quotes. A `value` may begin
 * with a single quotation. */
static size_t plain_token_end(const struct plain *p, size_t i, bool value, size_t *equals,
                              bool *cut)
{
    size_t start = i;

    *equals = SIZE_MAX;
    for (; i < p->n && (p->quoted[i] || !is_white(p->s[i])); i++) {
        if (p->quoted[i])
            continue;
        if (p->s[i] == '\'' && (value ? i == start : i > 0 && i - 1 == *equals))
            i = plain_single_end(p->s, p->n, i);
        else if (p->s[i] == '=' && *equals == SIZE_MAX)
            *equals = i;
    }
    *cut = i == p->n && p->open;
    *cut |= p->cut && start <= p->unclear && p->unclear < i;
    return i;
}

static size_t plain_spaces(const struct plain *p, size_t i)
{
    while (i < p->n && p->s[i] == ' ')
        i++;
    return i;
}

/* Where the VALUE of " = VALUE" behind the token that ends at `i` begins, or SIZE_MAX. */
static size_t plain_lone_value(const struct plain *p, size_t i)
{
    size_t at = plain_spaces(p, i), value, equals;
    bool cut;

    if (at == i || at == p->n || p->s[at] != '=')
        return SIZE_MAX;
    value = plain_spaces(p, at + 1);
    if (value == at + 1 || value == p->n || is_white(p->s[value]))
        return SIZE_MAX;
    plain_token_end(p, value, true, &equals, &cut);
    return equals == SIZE_MAX ? value : SIZE_MAX;
}

/* Finds the next pair the plain way. */
static bool plain_next(const struct plain *p, size_t *at, struct logfmt_pair *out)
{
    while (*at < p->n) {
        size_t start = *at, equals, value, none, end;

        *at = plain_token_end(p, start, false, &equals, &out->cut);
        if (*at == start) {
            ++*at; /* white space */
            continue;
        }
        value = equals != SIZE_MAX ? equals + 1 : plain_lone_value(p, *at);
        end = equals != SIZE_MAX ? equals : *at;
        if (value == SIZE_MAX || end == start || p->s[start] == '"')
            continue;
        if (equals == SIZE_MAX)
            *at = plain_token_end(p, value, true, &none, &out->cut);
        out->key = (struct line_text){p->s + start, end - start};
        out->value = (struct line_text){p->s + value, *at - value};
        return true;
    }
    return false;
}

/* Random texts of few letters: logfmt_next finds the same pairs as a walk over each byte. */
UNIT_TEST(test_pairs_are_those_of_a_plain_walk)
{
    static const char letters[] = "Xc1=\"\\ \n\t\v-=\" c' '\\\".";
    uint64_t seed = 4711;

    for (int round = 0; round < 300000; round++) {
        char *s = malloc(24);
        size_t n = (size_t)round % 25, plain_at = 0;
        struct logfmt_pair pair, plain;
        struct logfmt pairs;
        struct plain read;

        assert_non_null(s);
        for (size_t i = 0; i < n; i++) {
            seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
            s[i] = letters[(seed >> 33) % (sizeof letters - 1)];
        }
        read = plain_read(s, n);
        logfmt_begin(&pairs, s, n);
        while (plain_next(&read, &plain_at, &plain)) {
            assert_true(logfmt_next(&pairs, &pair));
            assert_ptr_equal(pair.key.data, plain.key.data);
            assert_int_equal(pair.key.len, plain.key.len);
            assert_ptr_equal(pair.value.data, plain.value.data);
            assert_int_equal(pair.value.len, plain.value.len);
            assert_int_equal(pair.cut, plain.cut);
        }
        assert_false(logfmt_next(&pairs, &pair));
        free(s);
    }
}

UNIT_TEST(quoted_text_is_hidden)
{
    static const struct {
        const char *text, *hidden; /* with "." for each hidden byte */
    } rows[] = {
        {"", ""},
        {"a=b c", "a=b c"},
        {"a=\"b c\" d", "a=\"...\" d"},
        {"\"\"", "\"\""},
        {"\"a\"\"b\"", "\".\"\".\""},
        {"x[\"a\"]", "x[\".\"]"},
        {"5\" a", "5\" a"},
        {"5\" \"a\" b", "5\"...\" b"},
        {"\"a\\\"b\" c", "\"....\" c"},
        {"a \"b c", "a \"..."},
        {"\"", "\""},
        {"\"\\", "\"."},
        {"'a \"b\"'", "'a \".\"'"},
        {"x\33[1m\"a\"", "x\33[1m\".\""},
        {"x\33[1m\"a", "x\33[1m\"a"},
        {"b\"a\" c \"d\" e", "b\".......\" e"},
        {"\"a\"b\"c\" d", "\".\"b\".\" d"},
        {"k=\33[1m\"a\"", "k=\33[1m\".\""},
        {"\"say \\\"hi\\\"\" b", "\"..........\" b"},
        {"\"x\\\" \"- a\" b", "\"........\" b"},
        {"\"\\\\\" a\" b", "\".....\" b"},
        {"\"\\\" a\\\"\" b \" c", "\"..........\" c"},
        {"\"x\\\" a", "\"....."},
        {"request_id=ab-1 c", "request_id=.... c"},
        {"request_id=a=b+/ request_id=c", "request_id=..... request_id=."},
        {"request_id= a", "request_id= a"},
        {"request_id=\"a b\" c", "request_id=\"...\" c"},
        {"request_id=a\"b c\" d", "request_id=.\"...\" d"},
        {"p=\"request_id=\" a", "p=\"...........\" a"},
        {"request_id a", "request_id a"},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        size_t n = strlen(rows[i].text);
        char *out = malloc(n + 1);

        assert_non_null(out);
        logfmt_hide_quoted(rows[i].text, n, out);
        for (size_t j = 0; j < n; j++)
            out[j] = out[j] == 1 ? '.' : out[j];
        out[n] = 0;
        assert_string_equal(out, rows[i].hidden);
        free(out);
    }
}

/* Logplex may have split a long line within a quotation. */
UNIT_TEST(a_long_message_does_not_end_an_unclear_quotation)
{
    enum { MAX = 8000 };
    static const char begin[] = "a=\"\\\" b\" c=d";

    for (size_t n = MAX - 1; n <= MAX; n++) {
        char *text = malloc(n), *hidden = malloc(n);
        struct logfmt_pair pair;
        struct logfmt pairs;

        assert_non_null(text);
        assert_non_null(hidden);
        memset(text, ' ', n);
        memcpy(text, begin, sizeof begin - 1);
        logfmt_begin(&pairs, text, n);
        assert_true(logfmt_next(&pairs, &pair));
        assert_int_equal(pair.cut, n == MAX);
        assert_int_equal(logfmt_next(&pairs, &pair), n < MAX);
        logfmt_hide_quoted(text, n, hidden);
        assert_int_equal(hidden[n - 1], n < MAX ? ' ' : 1);
        free(hidden);
        free(text);
    }
}

/* With work in the square of the length each of these texts takes minutes. */
UNIT_TEST(a_long_message_takes_linear_work)
{
    static const char *const parts[] = {
        "a='x ",   "a = 'x ", "='",        "a='",    "=\33[m",   "'\33[m", "\33[1",
        "\"\33[m", "\\\"",    "a\"",       "a=b\" ", "\\\"a\" ", "\"",     "a = ",
        "a=b ",    "\\",      "a='x\33[m", " =",     "\33[m\" ", "\33[m",
        "request_id=", "request_id=a ",
    };
    enum { N = 2 << 20, PARTS = sizeof parts / sizeof *parts };
    char *text = malloc(N), *hidden = malloc(N);

    assert_non_null(text);
    assert_non_null(hidden);
    for (size_t i = 0; i < 2 * PARTS; i++) {
        const char *begin = parts[i / 2], *end = i % 2 == 0 ? begin : "\33[m";
        struct logfmt_pair pair;
        struct logfmt pairs;

        for (size_t k = 0; k < N; k++)
            text[k] = k < N / 2 ? begin[k % strlen(begin)] : end[k % strlen(end)];
        logfmt_begin(&pairs, text, N);
        while (logfmt_next(&pairs, &pair))
            ;
        assert_int_equal(pairs.at, N);
        logfmt_hide_quoted(text, N, hidden);
    }
    free(hidden);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_found),
        cmocka_unit_test(test_not_found),
        cmocka_unit_test(test_values_of_other_kinds),
        cmocka_unit_test(test_pairs_in_order),
        cmocka_unit_test(test_pairs_are_those_of_a_plain_walk),
        cmocka_unit_test(quoted_text_is_hidden),
        cmocka_unit_test(a_long_message_does_not_end_an_unclear_quotation),
        cmocka_unit_test(a_long_message_takes_linear_work),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
