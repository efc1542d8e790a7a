/* Random access-log lines: no byte that a visitor chose counts as text outside of quotes.
 *
 * Each line has fields that a visitor fills, between double quotes and escaped as a server escapes
 * them. The bytes around the quotes are random, too. `test_visitor N` tries N lines. */
#include "tests/unit/unit.h"

#include "ingest/match/logfmt.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { LINE_MAX_BYTES = 1024, FIELDS_MAX = 4, ROUTER = 0 };

static unsigned long rounds = 300000;
static uint64_t seed;

static size_t any_of(size_t n)
{
    seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
    return (size_t)(seed >> 33) % n;
}

#define ANY(list) ((list)[any_of(sizeof(list) / sizeof *(list))])

struct text {
    char bytes[LINE_MAX_BYTES];
    bool visitor[LINE_MAX_BYTES]; /* the bytes that the visitor chose, or their escapes */
    size_t n;
};

static void put(struct text *t, const char *bytes, bool visitor)
{
    size_t n = strlen(bytes);

    assert_true(t->n + n < sizeof t->bytes);
    memcpy(t->bytes + t->n, bytes, n);
    memset(t->visitor + t->n, visitor, n);
    t->n += n;
    t->bytes[t->n] = 0;
}

/* ---- what servers write for a visitor's byte ---- */

/* Gunicorn, and others that leave a backslash alone. */
static const char *escape_quotes(char c)
{
    return c == '"' ? "\\\"" : NULL;
}

/* Apache, JSON, Go's %q, Rust's Debug. */
static const char *escape_both(char c)
{
    return c == '\\' ? "\\\\" : escape_quotes(c);
}

/* nginx. */
static const char *write_hex(char c)
{
    return c == '"' ? "\\x22" : c == '\\' ? "\\x5C" : NULL;
}

/* The same, if a backslash is left alone. */
static const char *write_hex_quotes(char c)
{
    return c == '"' ? "\\x22" : NULL;
}

/* Clients of Heroku's router. */
static const char *percent_quotes(char c)
{
    return c == '"' ? "%22" : NULL;
}

/* CSV. */
static const char *double_quotes(char c)
{
    return c == '"' ? "\"\"" : NULL;
}

/* JSON within JSON. */
static const char *escape_twice(char c)
{
    return c == '"' ? "\\\\\\\"" : c == '\\' ? "\\\\\\\\" : NULL;
}

typedef const char *escape_fn(char c);

static escape_fn *const escapes[] = {
    escape_quotes,  escape_both,   write_hex,    write_hex_quotes,
    percent_quotes, double_quotes, escape_twice,
};

/* ---- lines ---- */

static const char *const words[] = {
    "\"",
    "\"",
    "\\",
    "\\",
    "\\\\",
    " ",
    "  ",
    "\t",
    ")",
    "]",
    "}",
    ".",
    "!",
    ",",
    ":",
    "=",
    "'",
    "a",
    "7",
    "\33[m",
    "\33[1;31m",
    "code",
    "=H12",
    " code=H12 ",
    "WORKER TIMEOUT",
    " = ",
    "code = H12",
    "- ",
    "\\x22",
    "\xc3\xa9",
    "' code=H12 '",
    "\"\"",
    "\\\" ",
};

static void put_visitor(struct text *t, escape_fn *escape)
{
    for (size_t n = any_of(7); n > 0; n--) {
        for (const char *c = ANY(words); *c != '\0'; c++) {
            const char plain[] = {*c, '\0'}, *escaped = escape(*c);

            put(t, escaped != NULL ? escaped : plain, true);
        }
    }
}

/* As Heroku's router takes it from X-Request-ID. */
static void put_request_id(struct text *t)
{
    static const char *const parts[] = {"a", "7", "-", "+", "/", "=", "code=H12", "request_id="};

    for (size_t n = any_of(7); n > 0; n--)
        put(t, ANY(parts), true);
}

/* The app's own text before, between and behind the quotations. */
static const char *const own[] = {
    "",   " ",  "b",    "200", "]",     ")",           "[",      "=",        ": ",
    ", ", ",",  " ua=", ".",   "\33[m", "\33[1;31m",   "x\33[m", " 5 ",      "' ",
    "{",  "} ", " = ",  "-",   "\t",    " don't a=b ", "\\ ",    "\xc3\xa9", " k='v' ",
};

/* Quotes that are no quotations. */
static const char *const lone[] = {" 5\" disk ", " 5\33[m\" disk ", " C:\\\" ", "x\""};

static void put_own(struct text *t)
{
    for (size_t n = any_of(3); n > 0; n--)
        put(t, ANY(own), false);
    if (any_of(16) == 0)
        put(t, ANY(lone), false);
}

/* A format in which the bytes around each quotation are random. */
static void put_random_line(struct text *t, escape_fn *escape)
{
    const char *quote = escape == escape_twice ? "\\\"" : "\"";

    for (size_t n = 1 + any_of(FIELDS_MAX); n > 0; n--) {
        put_own(t);
        put(t, quote, false);
        put_visitor(t, escape);
        put(t, quote, false);
    }
    put_own(t);
}

/* Usual formats. Each % is a visitor's field, # his request id. */
static const struct {
    const char *format;
    escape_fn *escape;
} servers[] = {
    {"at=error code=H13 desc=\"Connection closed\" method=GET path=\"/%\" host=a.example "
     "request_id=# fwd=\"%, 10.1.2.3\" dyno=web.1 connect=0ms service=12ms status=503 bytes=0",
     percent_quotes}, /* Heroku's router */
    {"10.1.2.3 - - [30/Nov/2026:16:00:00 +0000] \"GET /% HTTP/1.1\" 200 5 \"%\" \"%\"",
     escape_quotes}, /* Gunicorn */
    {"10.1.2.3 - - [30/Nov/2026:16:00:00 +0000] \"GET /% HTTP/1.1\" 200 5 \"%\" \"%\"",
     escape_both}, /* Apache */
    {"10.1.2.3 - - [30/Nov/2026:16:00:00 +0000] \"GET /% HTTP/1.1\" 200 5 \"%\" \"%\"",
     write_hex}, /* nginx */
    {"{\"ip\":\"10.1.2.3\",\"path\":\"/%\",\"ua\":\"%\",\"status\":200}", escape_both},
    {"time=2026-11-30T16:00:00Z level=INFO msg=\"get /%\" ua=\"%\" status=200", escape_both},
    {"request headers={\"user-agent\": b\"%\", \"referer\": b\"%\"}", escape_both},
    {"{\"log\":\"{\\\"path\\\":\\\"/%\\\",\\\"ua\\\":\\\"%\\\"}\",\"n\":1}", escape_twice},
    {"2026-11-30,10.1.2.3,\"/%\",200,\"%\",\"%\"", double_quotes},
};

static void put_server_line(struct text *t, size_t i)
{
    for (const char *c = servers[i].format; *c != '\0'; c++) {
        const char own_byte[] = {*c, '\0'};

        if (*c == '%')
            put_visitor(t, servers[i].escape);
        else if (*c == '#')
            put_request_id(t);
        else
            put(t, own_byte, false);
    }
}

/* ---- checks ---- */

static void check_hidden(const struct text *t)
{
    char hidden[LINE_MAX_BYTES];

    logfmt_hide_quoted(t->bytes, t->n, hidden);
    for (size_t i = 0; i < t->n; i++) {
        if (t->visitor[i] && hidden[i] != 1 && hidden[i] != '"')
            fail_msg("byte %zu counts in: %s", i, t->bytes);
    }
}

/* A key is the app's own, or it has a quote and so is no key of a rule. */
static void check_pairs(const struct text *t)
{
    struct logfmt_pair pair;
    struct logfmt pairs;

    logfmt_begin(&pairs, t->bytes, t->n);
    while (logfmt_next(&pairs, &pair)) {
        size_t key = (size_t)(pair.key.data - t->bytes);

        if (memchr(pair.key.data, '"', pair.key.len) == NULL &&
            memchr(t->visitor + key, true, pair.key.len) != NULL)
            fail_msg("%.*s is a key in: %s", (int)pair.key.len, pair.key.data, t->bytes);
    }
}

static void check(const struct text *t)
{
    check_hidden(t);
    check_pairs(t);
}

UNIT_TEST(no_visitor_writes_outside_of_the_quotes_of_a_usual_format)
{
    seed = 1;
    for (unsigned long i = 0; i < rounds; i++) {
        struct text t = {.n = 0};

        put_server_line(&t, i % (sizeof servers / sizeof *servers));
        check(&t);
    }
}

UNIT_TEST(no_visitor_writes_outside_of_the_quotes_of_a_random_format)
{
    seed = 2;
    for (unsigned long i = 0; i < rounds; i++) {
        struct text t = {.n = 0};

        put_random_line(&t, ANY(escapes));
        check(&t);
    }
}

static bool has(const struct text *t, const char *key, const char *value)
{
    struct logfmt_pair pair;
    struct logfmt pairs;

    logfmt_begin(&pairs, t->bytes, t->n);
    while (logfmt_next(&pairs, &pair)) {
        if (line_text_is(pair.key, key))
            return logfmt_is(&pair, value);
    }
    return false;
}

UNIT_TEST(no_visitor_hides_the_routers_own_pairs)
{
    seed = 3;
    for (unsigned long i = 0; i < rounds / 10; i++) {
        struct text t = {.n = 0};

        put_server_line(&t, ROUTER);
        if (!has(&t, "code", "H13") || !has(&t, "status", "503"))
            fail_msg("a pair is missing in: %s", t.bytes);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_visitor_writes_outside_of_the_quotes_of_a_usual_format),
        cmocka_unit_test(no_visitor_writes_outside_of_the_quotes_of_a_random_format),
        cmocka_unit_test(no_visitor_hides_the_routers_own_pairs),
    };

    if (argc > 1)
        rounds = strtoul(argv[1], NULL, 10);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
