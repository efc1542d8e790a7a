#include "ingest/match/logfmt.h"

#include <stdint.h>
#include <string.h>

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool is_word(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* The offset behind the quote that closes the one at `open`, or `len` + 1 where none does. */
static size_t quotation_end(const char *text, size_t len, size_t open)
{
    const char *first = text + open + 1, *quote = memchr(first, '"', len - open - 1);

    if (quote == NULL)
        return len + 1;
    if (memchr(first, '\\', (size_t)(quote - first)) == NULL) /* as nearly all are */
        return (size_t)(quote - text) + 1;
    for (size_t i = open + 1; i < len; i++) {
        if (text[i] == '"')
            return i + 1;
        if (text[i] == '\\')
            i++;
    }
    return len + 1;
}

/* A token: where it lies, and what is needed to read it as a pair. */
struct token {
    size_t start;
    size_t end;
    size_t equals;    /* the first '=' outside of quotes, SIZE_MAX where there is none */
    size_t quote_end; /* behind the quotation that the value begins with, 0 where it has none */
    bool cut;
};

/* What is not simply a part of a token: the rest is passed over with one look at each byte. */
static const bool stops[256] = {[' '] = true,  ['\t'] = true, ['\n'] = true, ['\v'] = true,
                                ['\f'] = true, ['\r'] = true, ['"'] = true,  ['='] = true};

static size_t next_stop(const char *text, size_t len, size_t i)
{
    while (i < len && !stops[(uint8_t)text[i]])
        i++;
    return i;
}

static void read_token(const char *text, size_t len, struct token *t)
{
    size_t i = next_stop(text, len, t->start);

    while (i < len && !is_space(text[i])) {
        if (text[i] == '"' && (i == t->start || !is_word(text[i - 1]))) {
            size_t end = quotation_end(text, len, i);

            if (t->equals != SIZE_MAX && i == t->equals + 1)
                t->quote_end = end;
            t->cut = end > len;
            i = t->cut ? len : end;
        } else {
            if (text[i] == '=' && t->equals == SIZE_MAX)
                t->equals = i;
            i++;
        }
        i = next_stop(text, len, i);
    }
    t->end = i;
}

static void fill_pair(const char *text, const struct token *t, struct logfmt_pair *out)
{
    size_t value = t->equals + 1;

    out->key = text + t->start;
    out->key_len = t->equals - t->start;
    out->value = out->content = text + value;
    out->value_len = out->content_len = t->end - value;
    out->cut = t->cut;
    if (t->quote_end == 0)
        return;
    if (t->cut || t->quote_end == t->end) {
        out->content++;
        out->content_len -= t->cut ? 1 : 2;
    }
}

bool logfmt_next(const char *text, size_t len, size_t *at, struct logfmt_pair *out)
{
    while (*at < len) {
        struct token t = {.start = *at, .equals = SIZE_MAX};

        if (is_space(text[*at])) {
            (*at)++;
            continue;
        }
        read_token(text, len, &t);
        *at = t.end;
        if (t.equals != SIZE_MAX && t.equals > t.start && text[t.start] != '"') {
            fill_pair(text, &t, out);
            return true;
        }
    }
    return false;
}

static bool equals(const char *bytes, size_t n, const char *text)
{
    return strlen(text) == n && memcmp(bytes, text, n) == 0;
}

bool logfmt_has(const char *text, size_t len, const char *key, const char *value)
{
    struct logfmt_pair pair;
    size_t at = 0;

    while (logfmt_next(text, len, &at, &pair)) {
        if (!pair.cut && equals(pair.key, pair.key_len, key) &&
            (equals(pair.value, pair.value_len, value) ||
             equals(pair.content, pair.content_len, value)))
            return true;
    }
    return false;
}
