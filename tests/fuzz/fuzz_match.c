/* Rules and lines made of the input's bytes, and every answer held against the slowest obvious one.
 *
 * The pass over all lines misses none that the exact look at each finds, and names each at most
 * once and in order. The exact look finds what each expression by itself, tried on each message and
 * each value, says. Redaction hides the bytes that some match covers, and no others.
 *
 * An input that begins with FRESH chooses its rules' expressions from a small grammar, in which
 * assertions, classes, comments and quotations meet. Any other takes one of the fixed books, which
 * come from the same grammar. Compiling takes fifty times as long as matching, so the fuzzer gets
 * fresh rules for one in FRESH_EACH of such inputs. The other bytes are the lines, in a small
 * alphabet, so that they match now and then.
 */
#include "common/rules/expression.h"
#include "ingest/collect/redact.h"
#include "ingest/match/logfmt.h"
#include "ingest/match/match.h"
#include "ingest/match/pass.h"

#include <assert.h>
#include <hs/hs.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

enum {
    RULES = 3,
    PATTERN_MAX = 400,
    DEPTH_MAX = 3,
    INPUT_MAX = 1024,
    LINE_MAX_BYTES = 64,
    BOOKS = 40,
    BOOK_BYTES = 500, /* of the grammar's choices */
    FRESH = 255,
    FRESH_EACH = 1000,
};

struct input {
    const uint8_t *data;
    size_t n;
};

static unsigned take(struct input *in, unsigned choices)
{
    unsigned byte;

    if (in->n == 0)
        return 0;
    byte = *in->data++;
    in->n--;
    return byte % choices;
}

struct pattern {
    char text[PATTERN_MAX + 64];
    size_t len;
    bool looks_around; /* its matches may depend on their surroundings */
};

static void put(struct pattern *p, const char *text)
{
    size_t n = strlen(text);

    if (p->len + n > PATTERN_MAX) /* a cut expression is refused */
        return;
    memcpy(p->text + p->len, text, n);
    p->len += n;
    p->text[p->len] = 0;
}

static const char *const atoms[] = {
    "a",   "b",    "a",        "b",          "c",       "ab",     "code=H12",
    " ",   "\\n",  ".",        "[^a]",       "[ab]",    "[]b^$]", "[[:alpha:]$]",
    "\\w", "\\s",  "\\Qa^\\E", "[\\Q]$\\E]", "(?#^ [)", "\\x61",  "\\$",
    "\\^", "\\c[", "\"",       "abab",       "code=",   "\\.\\[",
};
static const char *const assertions[] = {"^", "$", "\\b", "\\B", "\\A", "\\z", "\\Z"};
static const char *const repeats[] = {"*", "+", "?", "{2}", "{1,3}", "*?", "+?"};
static const char *const opens[] = {"(", "(?:", "(?i:", "(?s:", "(?m:", "(?<n>", "(?x: # [^\n"};
static const char *const modes[] = {"(?i)", "(?s)", "(?m)", "(?x)# [$\n", "(?-s)"};

#define PICK(in, list) ((list)[take((in), sizeof(list) / sizeof *(list))])

static void put_sequence(struct input *in, struct pattern *p, int depth);

static void put_item(struct input *in, struct pattern *p, int depth)
{
    unsigned kind = take(in, 16);

    if (kind < 4) {
        put(p, PICK(in, assertions));
        p->looks_around = true;
        return;
    }
    if (kind < 6 && depth < DEPTH_MAX) {
        put(p, PICK(in, opens));
        put_sequence(in, p, depth + 1);
        put(p, ")");
    } else if (kind == 6) {
        put(p, PICK(in, modes));
        return;
    } else {
        put(p, PICK(in, atoms));
    }
    if (take(in, 4) == 3)
        put(p, PICK(in, repeats));
}

static void put_sequence(struct input *in, struct pattern *p, int depth)
{
    unsigned n = 1 + take(in, 4);

    for (unsigned i = 0; i < n; i++) {
        put_item(in, p, depth);
        if (i + 1 < n && take(in, 6) == 5)
            put(p, "|");
    }
}

/* ---------------------------------------------------------------------------------- the oracle */

/* An expression by itself. */
struct tried {
    struct pattern pattern;
    const char *text;
    hs_database_t *plain;
    hs_database_t *located; /* knows where matches begin */
    hs_database_t *whole;   /* of all of a text */
};

struct slow_rule {
    bool has_match, has_unless, has_value, has_field, outside_quotes;
    struct tried match, unless, value, redact;
};

struct slow {
    struct slow_rule rule[RULES];
    size_t n_rules;
    struct tried redact; /* of the file */
    hs_scratch_t *scratch;
    /* The same rules as the programs compile them. */
    struct rules_field fields[RULES][2];
    struct rule rules[RULES];
    struct rules file;
    struct match *match;
    struct redact *redactor;
};

struct heard {
    size_t len;
    bool any;
    bool all;      /* one match is the whole text */
    bool *covered; /* may be NULL */
};

static int on_heard(unsigned id, unsigned long long from, unsigned long long to, unsigned flags,
                    void *context)
{
    struct heard *h = context;

    (void)id, (void)flags;
    h->any = true;
    h->all = h->all || (from == 0 && to == h->len);
    for (size_t i = from; h->covered != NULL && i < to; i++)
        h->covered[i] = true;
    return 0;
}

static struct heard hear(struct slow *s, const hs_database_t *db, const char *text, size_t len,
                         bool *covered)
{
    struct heard h = {.len = len, .covered = covered};

    assert(hs_scan(db, text, (unsigned)len, 0, s->scratch, on_heard, &h) == HS_SUCCESS);
    return h;
}

static bool compile(struct slow *s, const char *text, unsigned flags, hs_database_t **db)
{
    hs_compile_error_t *complaint = NULL;

    if (hs_compile(text, flags, HS_MODE_BLOCK, NULL, db, &complaint) != HS_SUCCESS) {
        hs_free_compile_error(complaint);
        return false;
    }
    return hs_alloc_scratch(*db, &s->scratch) == HS_SUCCESS;
}

static bool compile_whole(struct slow *s, struct tried *t)
{
    struct buf whole;
    bool ok;

    buf_init(&whole, 1 << 16);
    assert(expression_append_whole(t->text, &whole) == 0);
    ok = compile(s, buf_text(&whole), 0, &t->whole);
    buf_close(&whole);
    return ok;
}

static void drop(struct tried *t)
{
    hs_free_database(t->plain);
    hs_free_database(t->located);
    hs_free_database(t->whole);
    t->plain = t->located = t->whole = NULL;
}

/* Whether Hyperscan takes it and, for some uses, the rules reader. */
static bool is_taken(struct slow *s, struct tried *t, enum expression_use use)
{
    struct err err;

    if (use == EXPRESSION_LINE)
        return compile(s, t->text, 0, &t->plain);
    return expression_check(t->text, use, &err) == 0 &&
           compile(s, t->text, HS_FLAG_SOM_LEFTMOST, &t->located) && compile_whole(s, t);
}

/* Most expressions of the grammar are refused, as many match an empty text. */
static void make(struct slow *s, struct tried *t, struct input *in, enum expression_use use)
{
    bool ok = false;

    t->text = t->pattern.text;
    for (int tries = 0; !ok && tries < 4; tries++) {
        t->pattern = (struct pattern){.len = 0};
        put_sequence(in, &t->pattern, 0);
        ok = is_taken(s, t, use);
        if (!ok)
            drop(t);
    }
    if (!ok) {
        t->pattern = (struct pattern){.len = 0};
        put(&t->pattern, "ab");
        assert(is_taken(s, t, use));
    }
}

static void slow_close(struct slow *s)
{
    for (size_t i = 0; i < RULES; i++) {
        drop(&s->rule[i].match);
        drop(&s->rule[i].unless);
        drop(&s->rule[i].value);
        drop(&s->rule[i].redact);
    }
    drop(&s->redact);
    hs_free_scratch(s->scratch);
    redact_free(s->redactor);
    match_free(s->match);
}

/* Without an expression the value is "H12". */
static bool has_value(struct slow *s, const struct tried *t, struct line_text message)
{
    struct logfmt_pair pair;
    struct logfmt pairs;

    logfmt_begin(&pairs, message.data, message.len);
    while (logfmt_next(&pairs, &pair)) {
        if (pair.cut || !line_text_is(pair.key, "code"))
            continue;
        if (t == NULL ? logfmt_is(&pair, "H12")
                      : hear(s, t->located, pair.content.data, pair.content.len, NULL).all)
            return true;
    }
    return false;
}

static bool slow_match(struct slow *s, const struct slow_rule *r, struct line_text message)
{
    char unquoted[LINE_MAX_BYTES];

    assert(message.len <= LINE_MAX_BYTES);
    logfmt_hide_quoted(message.data, message.len, unquoted);
    return hear(s, r->match.plain, message.data, message.len, NULL).any &&
           (!r->outside_quotes || hear(s, r->match.plain, unquoted, message.len, NULL).any);
}

static bool slow_matches(struct slow *s, const struct slow_rule *r, struct line_text message)
{
    bool field = (r->has_field && has_value(s, NULL, message)) ||
                 (r->has_value && has_value(s, &r->value, message));

    if ((r->has_field || r->has_value) && !field)
        return false;
    if (r->has_match && !slow_match(s, r, message))
        return false;
    return !r->has_unless || !hear(s, r->unless.plain, message.data, message.len, NULL).any;
}

/* The bytes that matches of one expression cover: each stretch of the text tried by itself where
 * nothing but the stretch matters to it. */
static void cover(struct slow *s, const struct tried *t, struct line_text text, bool *covered)
{
    if (t->pattern.looks_around || !hear(s, t->located, text.data, text.len, NULL).any) {
        hear(s, t->located, text.data, text.len, covered);
        return;
    }
    for (size_t i = 0; i < text.len; i++) {
        for (size_t j = i + 1; j <= text.len; j++) {
            if (hear(s, t->whole, text.data + i, j - i, NULL).any)
                memset(covered + i, true, j - i);
        }
    }
}

/* ---------------------------------------------------------------------------------- the checks */

static void check_redact(struct redact *r, struct slow *s, uint32_t rule, struct line_text text)
{
    static const char mark[] = "…";
    bool covered[LINE_MAX_BYTES] = {false};
    struct buf expected, out;

    assert(text.len <= LINE_MAX_BYTES);
    cover(s, &s->redact, text, covered);
    cover(s, &s->rule[rule].redact, text, covered);
    buf_init(&expected, 1 << 10);
    buf_init(&out, 1 << 10);
    for (size_t i = 0; i < text.len; i++) {
        if (!covered[i])
            assert(buf_append(&expected, text.data + i, 1) == 0);
        else if (i == 0 || !covered[i - 1])
            assert(buf_puts(&expected, mark) == 0);
    }
    assert(redact_append(r, rule, text.data, text.len, &out) == 0);
    assert(out.len == expected.len);
    assert(out.len == 0 || memcmp(out.data, expected.data, out.len) == 0);
    buf_close(&expected);
    buf_close(&out);
}

/* What the line matches, which is what the slow way says. */
static struct match_result judge(struct match *m, struct slow *s, size_t n_rules,
                                 struct line_text message, const struct candidate *candidate)
{
    struct line line = {
        .form = LINE_BARE, .source = {"", 0}, .process = {"", 0}, .message = message};
    struct match_result result;
    size_t next = 0;

    assert(match_line(m, &line, candidate, &result) == 0);
    for (uint32_t i = 0; i < n_rules; i++) {
        bool found = next < result.n_rules && result.rules[next] == i;

        assert(found == slow_matches(s, &s->rule[i], message));
        next += found;
    }
    assert(next == result.n_rules);
    return result;
}

/* `candidate` is NULL where the look found nothing. */
static void check_line(struct match *m, struct slow *s, size_t n_rules, struct line_text message,
                       const struct candidate *candidate)
{
    struct match_result alone = judge(m, s, n_rules, message, NULL), result;

    assert(candidate != NULL || (alone.n_rules == 0 && alone.lost == 0 && !alone.own));
    result = judge(m, s, n_rules, message, candidate);
    assert(result.lost == alone.lost && result.own == alone.own);
}

/* Lines of up to 31 bytes, with up to 3 bytes between them that belong to none. */
static size_t cut_lines(struct input *in, size_t n, struct line_span *lines, size_t *n_lines)
{
    size_t at = 0;

    for (*n_lines = 0; *n_lines < LINE_BATCH_MAX;) {
        uint8_t byte = in->n > *n_lines ? in->data[*n_lines] : 0;
        size_t start = at + byte / 64, len = 1 + byte % 31;

        if (start + len > n)
            break;
        lines[(*n_lines)++] = (struct line_span){(uint32_t)start, (uint32_t)len};
        at = start + len;
    }
    return at;
}

/* Returns the length of the text, at most 8 bytes for one of the input's. */
static size_t write_text(const struct input *in, char *region)
{
    static const char alphabet[] = "aabbccA  \n\n^$\"\"\\#[]=xH12";
    static const char *const words[] = {"code=H12", "code=", "abab",      "code=\"ab", " code=a",
                                        "code='",   "' ",    "\33[mcode", "= H12"};
    const size_t n_words = sizeof words / sizeof *words;
    size_t n = 0;

    for (size_t i = 0; i < in->n; i++) {
        size_t word = in->data[i] % 32;

        if (word >= 32 - n_words) {
            memcpy(region + n, words[31 - word], strlen(words[31 - word]));
            n += strlen(words[31 - word]);
        } else {
            region[n++] = alphabet[in->data[i] % (sizeof alphabet - 1)];
        }
    }
    return n;
}

static void check_lines(struct slow *s, struct input *in)
{
    static struct line_span lines[LINE_BATCH_MAX];
    const struct candidate *found;
    char *region = malloc(in->n * 8 + 1);
    size_t n, n_lines, n_found, n_ends, next = 0;
    const uint32_t *ends;

    assert(region != NULL);
    n = cut_lines(in, write_text(in, region), lines, &n_lines);
    assert(match_scan(s->match, region, n, &ends, &n_ends) == 0);
    n_found = match_candidates(s->match, region, lines, n_lines, &found);
    assert(n_found <= n_lines && (ends != NULL || n_found == n_lines));
    for (uint32_t i = 0; i < n_lines; i++) {
        bool named = next < n_found && found[next].line == i;
        size_t header = lines[i].len % 4 < lines[i].len ? lines[i].len % 4 : 0;
        struct line_text message = {region + lines[i].start + header, lines[i].len - header};

        check_line(s->match, s, s->n_rules, message, named ? &found[next] : NULL);
        check_redact(s->redactor, s, i % (uint32_t)s->n_rules, message);
        next += named;
    }
    assert(next == n_found);
    match_forget(s->match);
    free(region);
}

static void make_rule(struct slow *s, struct slow_rule *r, struct input *in)
{
    unsigned fields = take(in, 8);

    r->has_field = fields & 1;
    r->has_value = fields & 2;
    r->has_match = (fields & 3) == 0 || (fields & 4) != 0;
    r->has_unless = take(in, 3) == 2;
    if (r->has_match)
        make(s, &r->match, in, EXPRESSION_LINE);
    if (r->has_unless)
        make(s, &r->unless, in, EXPRESSION_LINE);
    if (r->has_value)
        make(s, &r->value, in, EXPRESSION_VALUE);
    make(s, &r->redact, in, EXPRESSION_REDACT);
}

static void fill_rule(const struct slow_rule *r, struct rules_field fields[2], struct rule *rule)
{
    *rule = (struct rule){.name = "r", .fields = fields, .redacts = {&r->redact.text, 1}};
    if (r->has_match)
        rule->matches = (struct rules_list){&r->match.text, 1};
    if (r->has_unless)
        rule->unless = (struct rules_list){&r->unless.text, 1};
    if (r->has_field)
        fields[rule->n_fields++] = (struct rules_field){"code", "H12", false};
    if (r->has_value)
        fields[rule->n_fields++] = (struct rules_field){"code", r->value.text, true};
}

static void slow_open(struct slow *s, size_t n_rules, struct input *in)
{
    size_t whole_max = take(in, 2) ? 0 : PASS_WHOLE_MAX;
    struct err err;

    s->n_rules = n_rules;
    make(s, &s->redact, in, EXPRESSION_REDACT);
    for (size_t i = 0; i < n_rules; i++) {
        make_rule(s, &s->rule[i], in);
        fill_rule(&s->rule[i], s->fields[i], &s->rules[i]);
    }
    s->file = (struct rules){
        .app = "app", .rules = s->rules, .n = n_rules, .redacts = {&s->redact.text, 1}};
    assert(match_new_bounded(&s->file, whole_max, &s->match, &err) == 0);
    assert(redact_new(&s->file, &s->redactor, &err) == 0);
}

/* The same book each time, whatever came before. */
static struct slow *fixed_book(unsigned i)
{
    static struct slow books[BOOKS];
    uint8_t choices[BOOK_BYTES];
    struct input in = {choices, BOOK_BYTES};
    uint32_t state = 2654435769u * (i + 1);

    if (books[i].match == NULL) {
        for (size_t k = 0; k < BOOK_BYTES; k++) {
            state = state * 1664525u + 1013904223u;
            choices[k] = (uint8_t)(state >> 24);
        }
        slow_open(&books[i], 1 + i % RULES, &in);
    }
    return &books[i];
}

static unsigned fresh_each = 1;

/* Only the fuzzer calls it. The first input, as of a crash that is repeated, gets fresh rules. */
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    fresh_each = FRESH_EACH;
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct slow fresh;
    static unsigned n_fresh;
    struct input in = {data, size < INPUT_MAX ? size : INPUT_MAX};
    unsigned book = take(&in, 256);

    if (book != FRESH || n_fresh++ % fresh_each != 0) {
        check_lines(fixed_book(book % BOOKS), &in);
        return 0;
    }
    memset(&fresh, 0, sizeof fresh);
    slow_open(&fresh, 1 + take(&in, RULES), &in);
    check_lines(&fresh, &in);
    slow_close(&fresh);
    return 0;
}
