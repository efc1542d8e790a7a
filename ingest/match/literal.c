/* Reads fixed bytes off expressions. The pass calls it for expressions that it does not hold whole.
 */
#include "ingest/match/literal.h"

#include "common/base/err.h"
#include "common/base/text.h"
#include "ingest/match/pattern.h"

#include <string.h>

struct reading {
    const char *at;
    struct buf *out;
    size_t start; /* of the stretch being read, in the output */
    bool broken;  /* more than plain bytes was read */
};

static int end_stretch(struct reading *r)
{
    int rc = r->out->len > r->start ? buf_append(r->out, "", 1) : 0;

    r->start = r->out->len;
    return rc;
}

/* Skips `n` bytes that do not stand for themselves. */
static int skip(struct reading *r, size_t n)
{
    r->at += n;
    r->broken = true;
    return end_stretch(r);
}

static int take(struct reading *r, size_t n)
{
    int rc = buf_append(r->out, r->at + n - 1, 1);

    r->at += n;
    return rc;
}

/* A match may lack the byte before, or repeat it. */
static void forget_last(struct reading *r)
{
    if (r->out->len > r->start)
        r->out->len--;
}

/* The length of a repeat in braces. A brace that opens none is a plain byte, and is skipped. */
static size_t braces_len(const char *s)
{
    size_t n = 1 + strspn(s + 1, "0123456789, ");

    return s[n] == '}' ? n + 1 : 1;
}

static int read_repeat(struct reading *r)
{
    /* A byte before "+" is there once, unless the "+" is repeated ("b+{0}"). */
    bool kept = r->at[0] == '+' && (r->at[1] == '\0' || strchr("*+?{", r->at[1]) == NULL);

    if (!kept)
        forget_last(r);
    return skip(r, r->at[0] == '{' ? braces_len(r->at) : 1);
}

/* Whether the escape with this letter takes no argument. */
static bool is_short_escape(char c)
{
    return c != '\0' && strchr("dDwWsSbBAzZhHvVnrtfae", c) != NULL;
}

static int read_escape(struct reading *r)
{
    char c = r->at[1];

    if (is_short_escape(c))
        return skip(r, 2);
    if (c <= ' ' || c > '~' || text_is_letter(c) || text_is_digit(c))
        return ERR_INPUT;
    return take(r, 2);
}

/* The length of the group at `s`, or 0 if it holds more than plain parts: modifiers could turn a
 * parenthesis into an ordinary byte. */
static size_t group_len(const char *s)
{
    size_t depth = 0, n = 0;

    do {
        size_t len = 1;

        if (s[n] == '(') {
            if (s[n + 1] == '*' || (s[n + 1] == '?' && s[n + 2] != ':'))
                return 0;
            depth++;
            len = s[n + 1] == '?' ? 3 : 1;
        } else if (s[n] == ')') {
            depth--;
        } else if (s[n] == '[') {
            len = pattern_class_len(s + n);
        } else if (s[n] == '\\') {
            len = s[n + 1] != '\0' && strchr("QEc", s[n + 1]) == NULL ? 2 : 0;
        }
        if (s[n] == '\0' || len == 0)
            return 0;
        n += len;
    } while (depth > 0);
    return n;
}

static int skip_part(struct reading *r, size_t len)
{
    return len > 0 ? skip(r, len) : ERR_INPUT;
}

static int read_token(struct reading *r)
{
    switch (r->at[0]) {
    case '\\':
        return read_escape(r);
    case '(':
        return skip_part(r, group_len(r->at));
    case '[':
        return skip_part(r, pattern_class_len(r->at));
    case '|':
    case ')':
        return ERR_INPUT;
    case '*':
    case '+':
    case '?':
    case '{':
        return read_repeat(r);
    case '.':
    case '^':
    case '$':
        return skip(r, 1);
    default:
        return take(r, 1);
    }
}

int literal_stretches(const char *pattern, struct buf *out, struct literal_facts *facts)
{
    static const char any_case[] = "(?i)";
    struct reading r = {.at = pattern, .out = out, .start = out->len};
    size_t before = out->len;
    int rc = 0;

    *facts = (struct literal_facts){0};
    if (strncmp(pattern, any_case, sizeof any_case - 1) == 0) {
        facts->any_case = true;
        r.at += sizeof any_case - 1;
    }
    while (rc == 0 && *r.at != '\0')
        rc = read_token(&r);
    if (rc == 0) {
        facts->whole = !r.broken && out->len > before;
        rc = end_stretch(&r);
    }
    if (rc != 0 && out->data != NULL) {
        out->len = before;
        out->data[before] = 0;
    }
    return rc == ERR_INPUT ? 0 : rc;
}
