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

/* Whether the double quote at `i` opens a quotation in the token that begins at `start`. */
static bool opens_quotation(const char *text, size_t start, size_t i)
{
    size_t before = before_colours(text, start, i);

    return before == start ||
           !(text_is_letter(text[before - 1]) || text_is_digit(text[before - 1]));
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
 * change what double quotes hide. */
static size_t single_quotation_end(const char *text, size_t len, size_t open)
{
    for (size_t i = open + 1; i < len && text[i] != '"' && text[i] != '\n'; i++) {
        size_t next = behind_colours(text, len, i + 1);

        if (text[i] == '\'' && (next == len || is_space(text[next])))
            return i + 1;
    }
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
static size_t begin_value(const char *text, size_t len, struct token *t, size_t at)
{
    t->value = behind_colours(text, len, at);
    if (t->value < len && text[t->value] == '\'')
        t->quote_end = single_quotation_end(text, len, t->value);
    return t->quote_end > 0 ? t->quote_end : at;
}

/* Passes the quotation that the double quote at `i` opens, if it opens one. */
static size_t pass_quote(const char *text, size_t len, struct token *t, size_t i)
{
    size_t end;

    if (!opens_quotation(text, t->start, i))
        return i + 1;
    end = quotation_end(text, len, i);
    if (i == t->value)
        t->quote_end = end;
    t->cut = end > len;
    return t->cut ? len : end;
}

/* Reads the token that begins at `i`, or goes on there. */
static void read_token(const char *text, size_t len, size_t i, struct token *t)
{
    i = next_stop(text, len, i);
    while (i < len && !is_space(text[i])) {
        if (text[i] == '"') {
            i = pass_quote(text, len, t, i);
        } else if (text[i] == '=' && t->equals == NONE) {
            t->equals = i++;
            if (t->value == NONE)
                i = begin_value(text, len, t, i);
        } else {
            i++;
        }
        i = next_stop(text, len, i);
    }
    t->end = i;
}

static size_t skip_spaces(const char *text, size_t len, size_t i)
{
    while (i < len && text[i] == ' ')
        i++;
    return i;
}

/* Reads " = VALUE" behind the token that ends at `at`. A VALUE that holds a '=' is a pair of its
 * own and so no value. */
static bool read_lone_value(const char *text, size_t len, size_t at, struct token *value)
{
    size_t equals = skip_spaces(text, len, at), start;

    if (equals == at || equals + 1 >= len || text[equals] != '=' || text[equals + 1] != ' ')
        return false;
    start = skip_spaces(text, len, equals + 1);
    if (start == len || is_space(text[start]))
        return false;
    *value = (struct token){.start = start, .equals = NONE};
    read_token(text, len, begin_value(text, len, value, start), value);
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
static bool read_plain(const char *text, size_t len, size_t *at, struct logfmt_pair *out)
{
    size_t equals = next_stop(text, len, *at), value = equals + 1, end;

    if (equals == *at || value >= len || text[equals] != '=' || text[value] == '\'')
        return false;
    end = next_stop(text, len, value);
    if (end == value || (end < len && !is_space(text[end])))
        return false;
    *out = (struct logfmt_pair){.key = {text + *at, equals - *at},
                                .value = {text + value, end - value},
                                .content = {text + value, end - value}};
    *at = end;
    return true;
}

/* Reads the next token, and the lone value behind it. Returns whether they are a pair. */
static bool read_pair(const char *text, size_t len, size_t *at, struct logfmt_pair *out)
{
    struct token t = {.start = *at, .equals = NONE, .value = NONE}, lone;

    read_token(text, len, t.start, &t);
    *at = t.end;
    if (t.equals != NONE)
        return fill_pair(text, t.start, t.equals, &t, out);
    if (!read_lone_value(text, len, t.end, &lone) || !fill_pair(text, t.start, t.end, &lone, out))
        return false;
    *at = lone.end;
    return true;
}

bool logfmt_next(const char *text, size_t len, size_t *at, struct logfmt_pair *out)
{
    while (*at < len) {
        if (is_space(text[*at]))
            (*at)++;
        else if (read_plain(text, len, at, out) || read_pair(text, len, at, out))
            return true;
    }
    return false;
}

void logfmt_hide_quoted(const char *text, size_t len, char *out)
{
    size_t start = 0, i = 0;

    memcpy(out, text, len);
    while (i < len) {
        size_t open = i++, end;

        if (is_space(text[open]))
            start = i;
        if (text[open] != '"' || !opens_quotation(text, start, open))
            continue;
        end = quotation_end(text, len, open);
        i = end > len ? len : end;
        memset(out + open + 1, 1, end - open - 2);
    }
}

bool logfmt_is(const struct logfmt_pair *pair, const char *value)
{
    return !pair->cut && (line_text_is(pair->value, value) || line_text_is(pair->content, value));
}
