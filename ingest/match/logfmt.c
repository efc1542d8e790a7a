/* Reads logfmt pairs out of messages. The matcher (`field`) and excerpts (`group_by`) call it. */
#include "ingest/match/logfmt.h"

#include "common/base/text.h"

#include <stdint.h>
#include <string.h>

#define NONE SIZE_MAX

/* Logplex splits lines of over 10,000 bytes. A shorter message than this one has its own end. */
enum { WHOLE_MAX = 8000 };

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

/* Whether the double quote at `i` may be an ordinary byte if no quotation is open: 5" disk. */
static bool may_be_inches(const char *text, size_t i)
{
    char before = byte_before(text, i);

    return text_is_letter(before) || text_is_digit(before);
}

static bool is_behind_backslash(const char *text, size_t i)
{
    return i > 0 && text[i - 1] == '\\';
}

/* The offset of the first double quote from `at` on that is not behind a backslash, or `len`. */
static size_t find_plain_quote(const char *text, size_t len, size_t at)
{
    const char *quote;

    while (at < len && (quote = memchr(text + at, '"', len - at)) != NULL) {
        at = (size_t)(quote - text);
        if (!is_behind_backslash(text, at))
            return at;
        at++;
    }
    return len;
}

/* The offset behind the message's last quote, to which text may be quoted from the unclear quote at
 * `at` on, or `len` + 1 if the rest may be quoted, too. */
static size_t unclear_end(const char *text, size_t len, size_t at, bool *cut)
{
    size_t last = (size_t)((const char *)memrchr(text, '"', len) - text);
    bool ends = len < WHOLE_MAX && !is_behind_backslash(text, last);

    *cut = !ends || find_plain_quote(text, last, at) < last;
    return ends ? last + 1 : len + 1;
}

/* The offset behind the quotation that the quote at `open` opens, or `len` + 1 if nothing closes
 * it. It is cut if it may end elsewhere. No quotation follows a cut one. */
static size_t quotation_end(const char *text, size_t len, size_t open, bool *cut)
{
    const char *close = memchr(text + open + 1, '"', len - open - 1);

    if (is_behind_backslash(text, open) || may_be_inches(text, open))
        return unclear_end(text, len, open, cut);
    if (close != NULL && close[-1] == '\\')
        return unclear_end(text, len, (size_t)(close - text), cut);
    *cut = close == NULL;
    return *cut ? len + 1 : (size_t)(close - text) + 1;
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

/* Passes the quotation that the double quote at `i` opens. */
static size_t pass_quote(const struct logfmt *l, struct token *t, size_t i)
{
    size_t end = quotation_end(l->text, l->len, i, &t->cut);

    if (i == t->value)
        t->quote_end = end;
    return end < l->len ? end : l->len;
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
    *l = (struct logfmt){.text = text, .len = len};
}

bool logfmt_next(struct logfmt *l, struct logfmt_pair *out)
{
    while (l->at < l->len) {
        if (is_space(l->text[l->at]))
            l->at++;
        else if (read_plain(l, out) || read_pair(l, out))
            return true;
    }
    return false;
}

/* Hides each word behind "request_id=": Heroku's router takes it from a visitor's header, and writes
 * it without quotes. */
static void hide_request_ids(char *text, size_t len)
{
    static const char key[] = "request_id=";
    char *end = text + len, *at = text;

    while ((at = memmem(at, (size_t)(end - at), key, sizeof key - 1)) != NULL) {
        for (at += sizeof key - 1; at < end && !is_space(*at) && *at != '"'; at++)
            *at = 1;
    }
}

void logfmt_hide_quoted(const char *text, size_t len, char *out)
{
    size_t at = 0, end;
    const char *quote;
    bool cut;

    memcpy(out, text, len);
    for (; at < len && (quote = memchr(text + at, '"', len - at)) != NULL; at = end) {
        at = (size_t)(quote - text) + 1;
        end = quotation_end(text, len, at - 1, &cut);
        if (end > at)
            memset(out + at, 1, end - 1 - at);
    }
    hide_request_ids(out, len);
}

bool logfmt_is(const struct logfmt_pair *pair, const char *value)
{
    return !pair->cut && (line_text_is(pair->value, value) || line_text_is(pair->content, value));
}
