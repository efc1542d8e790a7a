/* Rewrites expressions for the pass, which sees many lines at once. */
#include "ingest/match/pattern.h"

#include "common/base/err.h"
#include "common/base/text.h"

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum { DEPTH_MAX = 256 }; /* nested groups; a deeper pattern is not rewritten */
#define NO_TAIL SIZE_MAX  /* the output so far does not end in a dot, or a repeated one */

struct rewrite {
    const char *at;
    struct buf *out;
    /* Whether (?x) holds, at each depth: white space and # comments mean nothing then. */
    bool extended[DEPTH_MAX + 1];
    size_t depth;
    size_t dot;  /* the offset of a dot that is the output's last token */
    size_t tail; /* the offset of a `.*` or `.+` at the output's end; empty groups may follow it */
};

/* Copies `n` bytes that are one token, or a part of one, of no further interest. */
static int copy(struct rewrite *r, size_t n)
{
    int rc = buf_append(r->out, r->at, n);

    r->at += n;
    r->dot = r->tail = NO_TAIL;
    return rc;
}

/* Copies up to the end of `stop`, or of the pattern if there is no `stop`. */
static int copy_through(struct rewrite *r, size_t skip, const char *stop)
{
    const char *end = strstr(r->at + skip, stop);

    return copy(r, end != NULL ? (size_t)(end - r->at) + strlen(stop) : strlen(r->at));
}

/* Replaces a token by an empty group, so that a quantifier after it still has an operand. */
static int drop(struct rewrite *r, size_t n)
{
    r->at += n;
    r->dot = NO_TAIL;
    return buf_puts(r->out, "(?:)");
}

/* The length of the escape at `s`, without the braces that may follow it. */
static size_t escape_len(const char *s)
{
    if (s[1] == '\0')
        return 1;
    return s[1] == 'c' && s[2] != '\0' ? 3 : 2; /* \c[ is a control byte and opens no class */
}

static int rewrite_escape(struct rewrite *r)
{
    char kind = r->at[1];

    if (kind == 'Q')
        return copy_through(r, 2, "\\E");
    if (kind != '\0' && strchr("bBAzZ", kind) != NULL)
        return drop(r, 2);
    if ((kind == 'p' || kind == 'P') && r->at[2] == '{')
        return copy_through(r, 3, "}"); /* \p{^Lu} */
    if (kind != '\0' && strchr("GKR", kind) != NULL)
        return ERR_INPUT;
    return copy(r, escape_len(r->at));
}

/* The length of `[:alpha:]` at `s`, or 0 if there is none. */
static size_t posix_class_len(const char *s)
{
    size_t n = 2;

    if (s[0] != '[' || s[1] != ':')
        return 0;
    if (s[n] == '^')
        n++;
    while (text_is_letter(s[n]))
        n++;
    return s[n] == ':' && s[n + 1] == ']' ? n + 2 : 0;
}

/* The length of the item at `s` in a class. `early` says whether a ']' there is a literal; every
 * item but an empty quotation clears it. */
static size_t class_item_len(const char *s, bool *early)
{
    if (s[0] == '\\' && s[1] == 'E')
        return 2;
    if (s[0] == '\\' && s[1] == 'Q') {
        const char *end = strstr(s + 2, "\\E");

        *early = *early && end == s + 2;
        return end != NULL ? (size_t)(end - s) + 2 : strlen(s);
    }
    *early = false;
    if (s[0] == '\\')
        return escape_len(s);
    return posix_class_len(s) > 0 ? posix_class_len(s) : 1;
}

size_t pattern_class_len(const char *class)
{
    const char *s = class + 1;
    bool early = true;

    if (*s == '^')
        s++;
    while (*s != '\0' && (*s != ']' || early))
        s += class_item_len(s, &early);
    return *s == '\0' ? 0 : (size_t)(s + 1 - class);
}

/* Within a class nothing is an assertion. */
static int rewrite_class(struct rewrite *r)
{
    size_t len = pattern_class_len(r->at);

    return len > 0 ? copy(r, len) : ERR_INPUT;
}

static int open_group(struct rewrite *r, size_t n, bool extended)
{
    if (r->depth == DEPTH_MAX)
        return ERR_INPUT;
    r->extended[++r->depth] = extended;
    return copy(r, n);
}

/* (?i), (?x-s:…): letters that hold up to the end of this group or for a new one. */
static int rewrite_modifiers(struct rewrite *r)
{
    bool extended = r->extended[r->depth], on = true;
    size_t n = 2;

    for (; r->at[n] != '\0' && strchr("imsx-", r->at[n]) != NULL; n++) {
        if (r->at[n] == '-')
            on = false;
        else if (r->at[n] == 'x')
            extended = on;
    }
    if (r->at[n] == ':')
        return open_group(r, n + 1, extended);
    if (r->at[n] != ')')
        return ERR_INPUT;
    r->extended[r->depth] = extended;
    return copy(r, n + 1);
}

static int rewrite_group(struct rewrite *r)
{
    const char *s = r->at;

    if (s[1] == '*')
        return ERR_INPUT; /* (*UTF8): invalid bytes in one line could then hide another's match */
    if (s[1] != '?')
        return open_group(r, 1, r->extended[r->depth]);
    if (s[2] == '#')
        return copy_through(r, 3, ")");
    if (strncmp(s + 2, "P<", 2) == 0)
        return open_group(r, 4, r->extended[r->depth]);
    if ((s[2] == '<' && s[3] != '=' && s[3] != '!') || s[2] == '\'')
        return open_group(r, 3, r->extended[r->depth]);
    return rewrite_modifiers(r);
}

static int close_group(struct rewrite *r)
{
    if (r->depth == 0)
        return ERR_INPUT;
    r->depth--;
    return copy(r, 1);
}

static int rewrite_dot(struct rewrite *r)
{
    size_t dot = r->out->len;
    int rc = copy(r, 1);

    r->dot = r->depth == 0 ? dot : NO_TAIL;
    return rc;
}

static int rewrite_repeat(struct rewrite *r)
{
    size_t tail = r->dot;
    int rc = copy(r, r->at[1] == '?' || r->at[1] == '+' ? 2 : 1);

    r->tail = tail;
    return rc;
}

static int rewrite_token(struct rewrite *r)
{
    switch (r->at[0]) {
    case '^':
    case '$':
        return drop(r, 1);
    case '\\':
        return rewrite_escape(r);
    case '[':
        return rewrite_class(r);
    case '(':
        return rewrite_group(r);
    case ')':
        return close_group(r);
    case '.':
        return rewrite_dot(r);
    case '*':
    case '+':
        return rewrite_repeat(r);
    case '#':
        return r->extended[r->depth] ? copy_through(r, 1, "\n") : copy(r, 1);
    default:
        return copy(r, 1);
    }
}

int pattern_superset(const char *pattern, struct buf *out)
{
    struct rewrite r = {.at = pattern, .out = out, .dot = NO_TAIL, .tail = NO_TAIL};
    int rc = 0;

    while (rc == 0 && *r.at != '\0')
        rc = rewrite_token(&r);
    if (rc == 0 && r.depth > 0)
        rc = ERR_INPUT;
    if (rc == 0 && r.tail != NO_TAIL) {
        assert(r.tail < out->len);
        out->len = r.tail;
        out->data[out->len] = 0;
    }
    return rc;
}
