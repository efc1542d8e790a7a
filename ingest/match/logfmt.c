/* Reads logfmt pairs out of messages. The matcher (`field`) and excerpts (`group_by`) call it. */
#include "ingest/match/logfmt.h"

#include "common/base/text.h"

#include <stdint.h>
#include <string.h>

#define NONE SIZE_MAX

/* A token, and the offsets that make it a pair. */
struct token {
    size_t start;
    size_t end;
    size_t equals;    /* the first '=' outside of quotes, or NONE */
    size_t value;     /* the beginning of the value, or NONE */
    size_t quote_end; /* the end of the quotation that begins the value; 0: there is none */
    bool cut;
};

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* ---- colours: ESC [ 1;36 m ---- */

static bool is_colour_number(char c)
{
    return text_is_digit(c) || c == ';' || c == ':';
}

/* The offset behind the colours that begin at `at`. */
static size_t behind_colours(const char *text, size_t end, size_t at)
{
    while (at + 1 < end && text[at] == '\033' && text[at + 1] == '[') {
        size_t i = at + 2;

        while (i < end && is_colour_number(text[i]))
            i++;
        if (i == end || text[i] != 'm')
            break;
        at = i + 1;
    }
    return at;
}

/* The offset of the colours that end at `at`, or `at` if there are none. */
static size_t before_colours(const char *text, size_t start, size_t at)
{
    while (at > start && text[at - 1] == 'm') {
        size_t i = at - 1;

        while (i > start && is_colour_number(text[i - 1]))
            i--;
        if (i < start + 2 || text[i - 1] != '[' || text[i - 2] != '\033')
            break;
        at = i - 2;
    }
    return at;
}

/* ---- quotes ---- */

/* The byte before the colours that end at `i`; a space at the message's beginning. */
static char byte_before(const char *text, size_t i)
{
    size_t before = before_colours(text, 0, i);

    return before > 0 ? text[before - 1] : ' ';
}

/* Whether the double quote at `i` opens a quotation if none is open. */
static bool opens_quotation(const char *text, size_t i)
{
    char before = byte_before(text, i);

    return !text_is_letter(before) && !text_is_digit(before);
}

/* The number of backslashes directly before `i`. */
static size_t backslashes(const char *text, size_t i)
{
    size_t n = 0;

    while (n < i && text[i - n - 1] == '\\')
        n++;
    return n;
}

/* Takes the double quote at `i` in each of the readings. A quote behind one of these bytes ends a
 * sentence or a bracket, so it closes a quotation that may be open. */
static void read_quote(struct logfmt_quotes *q, const char *text, size_t i)
{
    static const char closers[] = ")]}.!?\"";
    size_t n = backslashes(text, i);
    bool opens = opens_quotation(text, i);

    q->escapes = q->escapes ? n % 2 == 1 : opens;
    q->plain = !q->plain && opens;
    if (n > 0)
        q->any = LOGFMT_UNKNOWN;
    else if (q->any == LOGFMT_CLOSED)
        q->any = opens ? LOGFMT_OPEN : LOGFMT_CLOSED;
    else if (q->any == LOGFMT_OPEN || !opens ||
             memchr(closers, byte_before(text, i), sizeof closers - 1) != NULL)
        q->any = LOGFMT_CLOSED;
}

/* Whether no reading has a quotation open. */
static bool all_closed(const struct logfmt_quotes *q)
{
    return !q->escapes && !q->plain && q->any == LOGFMT_CLOSED;
}

/* Whether the offset, at which the walk has no quotation open, is outside of them in each reading.
 * The readings agree before the first quote behind a backslash. */
static bool is_outside(struct logfmt *l, size_t at)
{
    struct logfmt_quotes *q = &l->quotes;
    const char *quote;

    if (at <= l->first_unclear)
        return true;
    while (q->at < at && (quote = memchr(l->text + q->at, '"', at - q->at)) != NULL) {
        read_quote(q, l->text, (size_t)(quote - l->text));
        q->at = (size_t)(quote - l->text) + 1;
    }
    q->at = at;
    return all_closed(q);
}

/* The offset of the first double quote behind a backslash, or `len`. */
static size_t find_unclear(const char *text, size_t len)
{
    const char *at = memchr(text, '\\', len), *end = text + len;

    while (at != NULL && at + 1 < end && at[1] != '"')
        at = memchr(at + 1, '\\', (size_t)(end - at - 1));
    return at == NULL || at + 1 == end ? len : (size_t)(at + 1 - text);
}

/* The offset behind the quote that closes the one at `open`, or `len` + 1 if none does. */
static size_t quotation_end(const char *text, size_t len, size_t open)
{
    for (size_t i = open + 1; i < len; i++) {
        if (text[i] == '"')
            return i + 1;
        if (text[i] == '\\')
            i++;
    }
    return len + 1;
}

/* The same for a single quote, or 0 if it is an ordinary byte: a quotation ends before white space
 * or the message's end, and never holds a double quote or a line's end. So single quotes cannot
 * change what double quotes hide. A search that fails is not repeated for the quotes it passed. */
static size_t single_quotation_end(struct logfmt *l, size_t open)
{
    const char *text = l->text;
    size_t len = l->len, i;

    if (open < l->unclosed)
        return 0;
    for (i = open + 1; i < len && text[i] != '"' && text[i] != '\n'; i++) {
        size_t next;

        if (text[i] != '\'')
            continue;
        next = behind_colours(text, len, i + 1);
        if (next == len || is_space(text[next]))
            return i + 1;
    }
    l->unclosed = i;
    return 0;
}

/* ---- tokens ---- */

/* The bytes that are not simply a part of a token. */
static const bool stops[256] = {
    [' '] = true,  ['\t'] = true, ['\n'] = true, ['\v'] = true,  ['\f'] = true,
    ['\r'] = true, ['"'] = true,  ['='] = true,  ['\033'] = true};

static size_t next_stop(const char *text, size_t len, size_t i)
{
    while (i < len && !stops[(uint8_t)text[i]])
        i++;
    return i;
}

/* Begins the value at `at`. Returns the offset at which the token goes on. */
static size_t begin_value(struct logfmt *l, struct token *t, size_t at)
{
    t->value = behind_colours(l->text, l->len, at);
    if (t->value < l->len && l->text[t->value] == '\'')
        t->quote_end = single_quotation_end(l, t->value);
    return t->quote_end > 0 ? t->quote_end : at;
}

/* Passes the quotation that the double quote at `i` opens, if it opens one. */
static size_t pass_quote(const struct logfmt *l, struct token *t, size_t i)
{
    size_t end;

    if (!opens_quotation(l->text, i))
        return i + 1;
    end = quotation_end(l->text, l->len, i);
    if (i == t->value)
        t->quote_end = end;
    t->cut = end > l->len;
    return t->cut ? l->len : end;
}

/* Reads the token that begins at `i`, or goes on there. */
static void read_token(struct logfmt *l, size_t i, struct token *t)
{
    const char *text = l->text;

    i = next_stop(text, l->len, i);
    while (i < l->len && !is_space(text[i])) {
        if (text[i] == '"') {
            i = pass_quote(l, t, i);
        } else if (text[i] == '=' && t->equals == NONE) {
            t->equals = i++;
            if (t->value == NONE)
                i = begin_value(l, t, i);
        } else {
            i++;
        }
        i = next_stop(text, l->len, i);
    }
    t->end = i;
}

static size_t skip_spaces(const struct logfmt *l, size_t i)
{
    while (i < l->len && l->text[i] == ' ')
        i++;
    return i;
}

/* Reads " = VALUE" behind the token that ends at `at`. A VALUE that holds a '=' is a pair of its
 * own and so no value. */
static bool read_lone_value(struct logfmt *l, size_t at, struct token *value)
{
    const char *text = l->text;
    size_t equals = skip_spaces(l, at), start;

    if (equals == at || equals + 1 >= l->len || text[equals] != '=' || text[equals + 1] != ' ')
        return false;
    start = skip_spaces(l, equals + 1);
    if (start == l->len || is_space(text[start]))
        return false;
    *value = (struct token){.start = start, .equals = NONE};
    read_token(l, begin_value(l, value, start), value);
    return value->equals == NONE;
}

/* ---- pairs ---- */

/* Fills in a pair, unless the key is empty or begins with a quote. */
static bool fill_pair(const char *text, size_t key, size_t key_end, const struct token *value,
                      struct logfmt_pair *out)
{
    size_t end = before_colours(text, value->value, value->end);

    key = behind_colours(text, key_end, key);
    key_end = before_colours(text, key, key_end);
    if (key_end == key || text[key] == '"')
        return false;
    out->key = (struct line_text){text + key, key_end - key};
    out->value = out->content = (struct line_text){text + value->value, end - value->value};
    out->cut = value->cut;
    if (value->quote_end > 0 && (value->cut || value->quote_end == end)) {
        out->content.data++;
        out->content.len -= value->cut ? 1 : 2;
    }
    return true;
}

/* Reads KEY=VALUE without quotes and colours, the form of most pairs: half of the instructions. */
static bool read_plain(struct logfmt *l, struct logfmt_pair *out)
{
    const char *text = l->text;
    size_t at = l->at, len = l->len;
    size_t equals = next_stop(text, len, at), value = equals + 1, end;

    if (equals == at || value >= len || text[equals] != '=' || text[value] == '\'')
        return false;
    end = next_stop(text, len, value);
    if (end == value || (end < len && !is_space(text[end])))
        return false;
    *out = (struct logfmt_pair){.key = {text + at, equals - at},
                                .value = {text + value, end - value},
                                .content = {text + value, end - value}};
    l->at = end;
    return true;
}

/* Reads the next token, and the lone value behind it. Returns whether they are a pair. */
static bool read_pair(struct logfmt *l, struct logfmt_pair *out)
{
    struct token t = {.start = l->at, .equals = NONE, .value = NONE}, lone;

    read_token(l, t.start, &t);
    l->at = t.end;
    if (t.equals != NONE)
        return fill_pair(l->text, t.start, t.equals, &t, out);
    if (!read_lone_value(l, t.end, &lone) || !fill_pair(l->text, t.start, t.end, &lone, out))
        return false;
    l->at = lone.end;
    return true;
}

void logfmt_begin(struct logfmt *l, const char *text, size_t len)
{
    *l = (struct logfmt){.text = text, .len = len, .first_unclear = find_unclear(text, len)};
}

bool logfmt_next(struct logfmt *l, struct logfmt_pair *out)
{
    while (l->at < l->len) {
        size_t start = l->at;

        if (is_space(l->text[start])) {
            l->at++;
        } else if ((read_plain(l, out) || read_pair(l, out)) && is_outside(l, start)) {
            out->cut = out->cut || !is_outside(l, l->at);
            return true;
        }
    }
    return false;
}

void logfmt_hide_quoted(const char *text, size_t len, char *out)
{
    struct logfmt_quotes q = {0};
    bool shown = true;

    memcpy(out, text, len);
    for (size_t i = 0; i < len; i++) {
        bool was_shown = shown;

        if (text[i] == '"') {
            read_quote(&q, text, i);
            shown = all_closed(&q);
        }
        if (!was_shown && (text[i] != '"' || !shown))
            out[i] = 1;
    }
}

bool logfmt_is(const struct logfmt_pair *pair, const char *value)
{
    return !pair->cut && (line_text_is(pair->value, value) || line_text_is(pair->content, value));
}
