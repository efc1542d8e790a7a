/* Rules and lines made of the input's bytes: the pass over all lines misses none that the exact
 * look at each finds, and names each at most once and in order.
 *
 * The first bytes choose the rules' expressions from a small grammar, in which assertions, classes,
 * comments and quotations meet; the others are the lines, in a small alphabet, so that they match
 * now and then. */
#include "ingest/match.h"

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { RULES = 3, PATTERN_MAX = 400, DEPTH_MAX = 3, INPUT_MAX = 4096 };

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
};

static void put(struct pattern *p, const char *text)
{
    size_t n = strlen(text);

    if (p->len + n > PATTERN_MAX) /* what is cut is not well-formed and gets refused */
        return;
    memcpy(p->text + p->len, text, n);
    p->len += n;
    p->text[p->len] = 0;
}

static const char *const atoms[] = {
    "a",        "b",          "a",       "b",     "c",      "ab",           "code=H12", " ",
    "\\n",      ".",          "[^a]",    "[ab]",  "[]b^$]", "[[:alpha:]$]", "\\w",      "\\s",
    "\\Qa^\\E", "[\\Q]$\\E]", "(?#^ [)", "\\x61", "\\$",    "\\^",          "\\c[",     "\"",
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

/* Lines of up to 31 bytes, with up to 3 bytes between them that belong to none. */
static size_t cut_lines(struct input *in, size_t n, struct logplex_span *lines, size_t *n_lines)
{
    size_t at = 0;

    for (*n_lines = 0; *n_lines < LOGPLEX_BATCH_MAX;) {
        uint8_t byte = in->n > *n_lines ? in->data[*n_lines] : 0;
        size_t start = at + byte / 64, len = 1 + byte % 31;

        if (start + len > n)
            break;
        lines[(*n_lines)++] = (struct logplex_span){(uint32_t)start, (uint32_t)len};
        at = start + len;
    }
    return at;
}

static void check_lines(struct match *m, struct input *in)
{
    static const char alphabet[] = "aabbccA  \n\n^$\"\"\\#[]=xH12";
    static const char code[] = "code=H12";
    static struct logplex_span lines[LOGPLEX_BATCH_MAX];
    static uint32_t found[LOGPLEX_BATCH_MAX];
    char *region = malloc(in->n * 8 + 1);
    size_t n = 0, n_lines, next = 0;
    int n_found;

    assert(region != NULL);
    for (size_t i = 0; i < in->n; i++) {
        if (in->data[i] % 32 == 31) {
            memcpy(region + n, code, sizeof code - 1);
            n += sizeof code - 1;
        } else {
            region[n++] = alphabet[in->data[i] % (sizeof alphabet - 1)];
        }
    }
    n = cut_lines(in, n, lines, &n_lines);
    n_found = match_candidates(m, region, n, lines, n_lines, found);
    assert(n_found >= 0 && (size_t)n_found <= n_lines);
    for (uint32_t i = 0; i < n_lines; i++) {
        bool named = next < (size_t)n_found && found[next] == i;
        size_t header = lines[i].len % 4 < lines[i].len ? lines[i].len % 4 : 0;
        struct logplex_line line = {
            .form = LOGPLEX_BARE,
            .source = {"", 0},
            .process = {"", 0},
            .message = {region + lines[i].start + header, lines[i].len - header}};
        struct match_result result;

        assert(match_line(m, &line, &result) == 0);
        assert(named || (result.n_rules == 0 && result.lost == 0 && !result.own));
        next += named;
    }
    assert(next == (size_t)n_found);
    free(region);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct rules_field field = {"code", "H12"};
    struct input in = {data, size < INPUT_MAX ? size : INPUT_MAX};
    struct pattern patterns[RULES];
    const char *texts[RULES];
    struct rule rule[RULES] = {{0}};
    struct rules rules = {.app = "app", .rules = rule};
    struct match *m;
    struct err err;

    rules.n = 1 + take(&in, RULES);
    for (size_t i = 0; i < rules.n; i++) {
        patterns[i].len = 0;
        put_sequence(&in, &patterns[i], 0);
        texts[i] = patterns[i].text;
        rule[i] = (struct rule){.name = "r", .matches = {&texts[i], 1}};
        if (take(&in, 8) == 7) {
            rule[i].fields = &field;
            rule[i].n_fields = 1;
        }
    }
    if (match_new(&rules, &m, &err) != 0) /* Hyperscan does not take each of them */
        return 0;
    check_lines(m, &in);
    match_free(m);
    return 0;
}
