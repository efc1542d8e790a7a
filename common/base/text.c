/* Text from outside made fit to show; called by all that logs, posts or reads lines. */
#include "common/base/text.h"

#include "common/base/err.h"

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* The length of the well-formed UTF-8 character at `s`, 0 if there is none. The bounds of the
 * second byte (RFC 3629 section 4) leave out overlong forms, surrogates and numbers above U+10FFFF.
 */
static size_t char_len(const uint8_t *s, size_t n)
{
    uint8_t low = 0x80, high = 0xbf;
    size_t len;

    if (n == 0)
        return 0;
    if (s[0] < 0x80)
        return 1;
    if (s[0] < 0xc2 || s[0] > 0xf4)
        return 0;
    len = s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
    if (s[0] == 0xe0)
        low = 0xa0;
    else if (s[0] == 0xed)
        high = 0x9f;
    else if (s[0] == 0xf0)
        low = 0x90;
    else if (s[0] == 0xf4)
        high = 0x8f;
    if (n < len || s[1] < low || s[1] > high)
        return 0;
    for (size_t i = 2; i < len; i++) {
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    }
    return len;
}

/* The number of the well-formed UTF-8 character of `len` bytes at `s`. */
static uint32_t char_number(const uint8_t *s, size_t len)
{
    uint32_t number = len == 1 ? s[0] : s[0] & (0xffU >> (len + 1));

    for (size_t i = 1; i < len; i++)
        number = number << 6 | (s[i] & 0x3f);
    return number;
}

/* Characters that cannot be seen or that mislead the eye, sorted: Default_Ignorable_Code_Point,
 * format characters (Cf), separators (Z*) except the plain space, private use (Co) and
 * noncharacters of Unicode 15.0, and U+2800, which looks like a space. All above U+EFFFD are
 * private or noncharacters, and so are the last two of each plane. */
static bool misleads(uint32_t c)
{
    static const uint32_t ranges[][2] = {
        {0x00a0, 0x00a0},   {0x00ad, 0x00ad},   {0x034f, 0x034f},   {0x0600, 0x0605},
        {0x061c, 0x061c},   {0x06dd, 0x06dd},   {0x070f, 0x070f},   {0x0890, 0x0891},
        {0x08e2, 0x08e2},   {0x115f, 0x1160},   {0x1680, 0x1680},   {0x17b4, 0x17b5},
        {0x180b, 0x180f},   {0x2000, 0x200f},   {0x2028, 0x202f},   {0x205f, 0x206f},
        {0x2800, 0x2800},   {0x3000, 0x3000},   {0x3164, 0x3164},   {0xe000, 0xf8ff},
        {0xfdd0, 0xfdef},   {0xfe00, 0xfe0f},   {0xfeff, 0xfeff},   {0xffa0, 0xffa0},
        {0xfff0, 0xfffb},   {0x110bd, 0x110bd}, {0x110cd, 0x110cd}, {0x13430, 0x1343f},
        {0x1bca0, 0x1bca3}, {0x1d173, 0x1d17a}, {0xe0000, 0xe0fff}, {0xefffe, 0x10ffff},
    };
    const size_t n = sizeof ranges / sizeof ranges[0];
    size_t low = 0, high = n;

    while (low < high) {
        size_t middle = (low + high) / 2;

        if (c > ranges[middle][1])
            low = middle + 1;
        else
            high = middle;
    }
    return (low < n && c >= ranges[low][0]) || (c & 0xfffe) == 0xfffe;
}

/* How many bytes at `s` may be shown as they are: a whole character that is not a control, or 0.
 * U+0080 to U+009F are controls too: a terminal may take them for the start of a sequence. */
static size_t printable_len(const uint8_t *s, size_t n)
{
    size_t len = char_len(s, n);

    if (len == 1 && (s[0] < 0x20 || s[0] == 0x7f))
        return 0;
    if (len == 2 && s[0] == 0xc2 && s[1] < 0xa0)
        return 0;
    return len > 1 && misleads(char_number(s, len)) ? 0 : len;
}

/* Appends bytes that may be shown as they are; if not all fit, as many whole characters as fit. */
static int append_plain(struct buf *out, const char *bytes, size_t n)
{
    int rc = buf_append(out, bytes, n);

    if (rc == ERR_FULL) {
        size_t fits = text_cut(bytes, n, out->max_bytes - out->len);
        int cut_rc = buf_append(out, bytes, fits);

        return cut_rc != 0 ? cut_rc : ERR_FULL;
    }
    return rc;
}

static int append_escaped(struct buf *out, uint8_t byte)
{
    static const char hex[] = "0123456789abcdef";
    const char escaped[] = {'\\', 'x', hex[byte >> 4], hex[byte & 15]};

    return buf_append(out, escaped, sizeof escaped);
}

int text_append_printable(struct buf *out, const char *bytes, size_t n)
{
    const uint8_t *s = (const uint8_t *)bytes;
    size_t i = 0;
    int rc = 0;

    while (rc == 0 && i < n) {
        size_t start = i, len;

        do { /* nearly all text is plain ASCII */
            while (i < n && s[i] >= 0x20 && s[i] < 0x7f)
                i++;
            len = printable_len(s + i, n - i);
            i += len;
        } while (len > 0);
        if (i > start)
            rc = append_plain(out, bytes + start, i - start);
        else
            rc = append_escaped(out, s[i++]);
    }
    return rc;
}

void text_copy_printable(char *out, size_t size, const char *text)
{
    struct buf shown;

    buf_init(&shown, size - 1);
    (void)text_append_printable(&shown, text, strlen(text));
    memcpy(out, buf_text(&shown), shown.len + 1);
    buf_close(&shown);
}

/* White space or a control byte, which no secret in a log holds. */
static bool ends_word(char c)
{
    return (uint8_t)c <= ' ' || c == 0x7f;
}

static bool is_quote(char c)
{
    return c == '"' || c == '\'';
}

/* Whether the quote at `at` ends a quotation: within a password other text follows. */
static bool is_closing(const char *bytes, size_t at, size_t n)
{
    if (!is_quote(bytes[at]))
        return false;
    return at + 1 == n || ends_word(bytes[at + 1]) || strchr(",;:)]}>\\", bytes[at + 1]) != NULL;
}

static bool begins(const char *bytes, size_t at, size_t n, const char *with)
{
    const size_t len = strlen(with);

    return at <= n && n - at >= len && strncasecmp(bytes + at, with, len) == 0;
}

static bool ends_before(const char *bytes, size_t from, size_t at, const char *with)
{
    const size_t len = strlen(with);

    return at - from >= len && begins(bytes, at - len, at, with);
}

/* Writes the mark for a value of `n` bytes and returns the mark's length, which is at most `n`. A
 * value that was redacted before stays as it is. */
static size_t write_redacted(char *to, size_t n)
{
    static const char ellipsis[] = "\xe2\x80\xa6";

    if (n >= sizeof ellipsis - 1) {
        memcpy(to, ellipsis, sizeof ellipsis - 1);
        return sizeof ellipsis - 1;
    }
    memset(to, '*', n);
    return n;
}

struct span {
    size_t begin, end;
};

/* Finds the next secret that has `sign` before it or in it; false: there is none. */
typedef bool find_fn(const char *bytes, size_t from, size_t n, char sign, struct span *found);

static size_t skip_range(const uint8_t *s, size_t from, size_t n, uint8_t low, uint8_t high)
{
    while (from < n && s[from] >= low && s[from] <= high)
        from++;
    return from;
}

/* ---- values of keys ---- */

struct name {
    const char *text;
    size_t len;
};
#define NAME(text)                                                                                 \
    {                                                                                              \
        text, sizeof(text) - 1                                                                     \
    }

static const struct name token_keys[] = {NAME("drain_token"), {0}};
static const struct name secret_keys[] = {
    NAME("password"),
    NAME("passwd"),
    NAME("passphrase"),
    NAME("pass"),
    NAME("pwd"),
    NAME("secret"),
    NAME("token"),
    NAME("access_key"),
    NAME("accesskey"),
    NAME("api_key"),
    NAME("apikey"),
    NAME("api-key"),
    NAME("secret_key"),
    NAME("private_key"),
    NAME("credential"),
    NAME("authorization"),
    {0},
};
static const struct name schemes[] = {NAME("basic"), NAME("bearer"), {0}};

/* The last byte is compared first, because this is asked for each "=" of a line. */
static bool is_one_of(const char *bytes, size_t from, size_t at, const struct name *names)
{
    const char last = at > from ? (char)(bytes[at - 1] | ' ') : '\0';

    for (; names->len > 0; names++) {
        if (last == names->text[names->len - 1] && at - from >= names->len &&
            strncasecmp(bytes + at - names->len, names->text, names->len) == 0)
            return true;
    }
    return false;
}

/* The end of a key whose separator is at `at`: a quote, and blanks, may stand between. */
static size_t find_key_end(const char *bytes, size_t from, size_t at)
{
    size_t end = at;

    while (end > from && at - end < 2 && bytes[end - 1] == ' ')
        end--;
    if (end == from || !is_quote(bytes[end - 1]))
        return end;
    for (end--; end > from && bytes[end - 1] == '\\' && at - end < 9; end--)
        ;
    return end;
}

/* The length of `=`, `:`, `=>` or `%3D` at `at`, with the blanks and brackets after it; 0 if there
 * is none. Behind a plain `=` a blank ends an empty value. */
static size_t separator_len(const char *bytes, size_t at, size_t n, bool has_blank)
{
    const bool is_arrow = begins(bytes, at, n, "=>");
    size_t len = is_arrow ? 2 : begins(bytes, at, n, "%3D") ? 3 : bytes[at] == '%' ? 0 : 1;

    if (len == 0 || !(has_blank || is_arrow || bytes[at] == ':'))
        return len;
    while (at + len < n &&
           (bytes[at + len] == ' ' || bytes[at + len] == '[' || bytes[at + len] == '('))
        len++;
    return len;
}

static size_t word_end(const char *bytes, size_t at, size_t n, bool is_json)
{
    while (at < n && !ends_word(bytes[at]) && !is_closing(bytes, at, n) &&
           !(is_json && strchr(",}]", bytes[at]) != NULL))
        at++;
    return at;
}

/* The rest of a quotation that begins at `at` behind `depth` backslashes and the quote. It goes on
 * to the end if no quote closes it. */
static struct span read_quoted(const char *bytes, size_t at, size_t n, size_t depth)
{
    const size_t begin = at;
    const char quote = bytes[at - 1];
    size_t escapes = 0;

    for (; at < n; at++) {
        if (bytes[at] == quote && escapes <= depth && is_closing(bytes, at, n))
            return (struct span){begin, at - escapes};
        escapes = bytes[at] == '\\' ? escapes + 1 : 0;
    }
    return (struct span){begin, n};
}

/* A quotation, a word, or the name of a scheme and a word. Behind a key without quotes, a quote may
 * also end the text in which the key stands: "/?token=", "status": … */
static struct span read_value(const char *bytes, size_t at, size_t n, bool is_json)
{
    const size_t open = skip_range((const uint8_t *)bytes, at, n, '\\', '\\');
    size_t end;

    if (open < n && !is_json && is_closing(bytes, open, n))
        return (struct span){at, at};
    if (open < n && is_quote(bytes[open]))
        return read_quoted(bytes, open + 1, n, open - at);
    end = word_end(bytes, at, n, is_json);
    if (end < n && bytes[end] == ' ' && is_one_of(bytes, at, end, schemes))
        end = word_end(bytes, end + 1, n, is_json);
    return (struct span){at, end};
}

static bool find_value(const char *bytes, size_t from, size_t n, char sign, const struct name *keys,
                       struct span *found)
{
    const char *next;

    for (size_t at = from; at < n && (next = memchr(bytes + at, sign, n - at)) != NULL; at++) {
        size_t end, len;

        at = (size_t)(next - bytes);
        end = find_key_end(bytes, from, at);
        if (!is_one_of(bytes, from, end, keys))
            continue;
        len = separator_len(bytes, at, n, at > from && bytes[at - 1] == ' ');
        if (len == 0)
            continue;
        *found = read_value(bytes, at + len, n, is_quote(bytes[end]) || bytes[end] == '\\');
        if (found->end > found->begin)
            return true;
    }
    return false;
}

bool text_is_secret_key(const char *key)
{
    return is_one_of(key, 0, strlen(key), secret_keys);
}

static bool find_token(const char *bytes, size_t from, size_t n, char sign, struct span *found)
{
    return find_value(bytes, from, n, sign, token_keys, found);
}

static bool find_secret(const char *bytes, size_t from, size_t n, char sign, struct span *found)
{
    return find_value(bytes, from, n, sign, secret_keys, found);
}

/* "Bearer" or "Basic" and a word that is too long for prose. */
static bool find_credential(const char *bytes, size_t from, size_t n, char sign, struct span *found)
{
    enum { LEAST = 16 };
    const char *next;

    for (size_t at = from; at < n && (next = memchr(bytes + at, sign, n - at)) != NULL; at++) {
        at = (size_t)(next - bytes);
        if (!is_one_of(bytes, from, at, schemes))
            continue;
        *found = (struct span){at + 1, word_end(bytes, at + 1, n, false)};
        if (found->end - found->begin >= LEAST)
            return true;
    }
    return false;
}

/* ---- passwords of addresses ---- */

/* How "://" is written: plain, in PHP's JSON, and in a query. 0: no address begins here. */
static size_t start_len(const char *bytes, size_t at, size_t n)
{
    static const char *const starts[] = {"://", ":\\/\\/", "%3A%2F%2F"};

    for (size_t i = 0; i < 3; i++) {
        if (begins(bytes, at, n, starts[i]))
            return strlen(starts[i]);
    }
    return 0;
}

static size_t colon_len(const char *bytes, size_t at, size_t n)
{
    return begins(bytes, at, n, ":") ? 1 : begins(bytes, at, n, "%3A") ? 3 : 0;
}

/* Whether a port is at `at`: up to five digits and the end, or in a web address a path. In others a
 * slash may be part of a password. */
static bool is_port(const char *bytes, size_t at, size_t n, bool is_web)
{
    const size_t end = skip_range((const uint8_t *)bytes, at, n, '0', '9');

    if (end == at || end - at > 5)
        return false;
    return end == n || ends_word(bytes[end]) || is_closing(bytes, end, n) ||
           (is_web && strchr("/?#\\", bytes[end]) != NULL);
}

/* The last "@" of the word or quotation, else the last "%40"; 0 if there is none. `*end` becomes
 * the end of the bytes that were searched. */
static size_t last_at(const char *bytes, size_t at, size_t n, size_t *end)
{
    size_t plain = 0, encoded = 0;

    for (; at < n && !ends_word(bytes[at]); at++) {
        if (bytes[at] == '@')
            plain = at;
        else if (begins(bytes, at, n, "%40"))
            encoded = at;
        else if (plain + encoded > 0 && is_closing(bytes, at, n))
            break;
    }
    *end = at;
    return plain > 0 ? plain : encoded;
}

/* Reads NAME:PASSWORD@ at `at`. The password goes on to the last "@", because clients log it with
 * any characters in it. If there is none, `found->end` is the place to search on from, so that no
 * byte is read often. */
static bool read_userinfo(const char *bytes, size_t at, size_t n, bool is_web, struct span *found)
{
    size_t begin, end;

    while (at < n && !ends_word(bytes[at]) && strchr("/?#\"'`<>,;()[]{}\\|", bytes[at]) == NULL &&
           colon_len(bytes, at, n) == 0)
        at++;
    begin = at + colon_len(bytes, at, n);
    *found = (struct span){begin, begin};
    if (begin == at || is_port(bytes, begin, n, is_web))
        return false;
    found->end = last_at(bytes, begin, n, &end);
    if (found->end > 0)
        return true;
    found->end = end;
    return false;
}

static bool find_password(const char *bytes, size_t from, size_t n, char sign, struct span *found)
{
    size_t at = from;
    const char *next;

    while (at < n && (next = memchr(bytes + at, sign, n - at)) != NULL) {
        size_t len;
        bool is_web;

        at = (size_t)(next - bytes);
        len = start_len(bytes, at, n);
        is_web = len > 0 &&
                 (ends_before(bytes, from, at, "http") || ends_before(bytes, from, at, "https"));
        if (len > 0 && read_userinfo(bytes, at + len, n, is_web, found))
            return true;
        at = len > 0 ? found->end : at + 1;
    }
    return false;
}

static size_t redact_each(char *bytes, size_t n, find_fn *find, char sign)
{
    struct span found;
    size_t from = 0, to = 0;

    while (find(bytes, from, n, sign, &found)) {
        size_t keep = found.begin - from;

        if (to != from)
            memmove(bytes + to, bytes + from, keep);
        to += keep;
        to += write_redacted(bytes + to, found.end - found.begin);
        from = found.end;
    }
    if (to != from)
        memmove(bytes + to, bytes + from, n - from);
    return to + (n - from);
}

/* `signs`: the bytes by which the secrets are found. */
static size_t redact(char *bytes, size_t n, find_fn *find, const char *signs)
{
    for (; *signs != '\0'; signs++)
        n = redact_each(bytes, n, find, *signs);
    return n;
}

size_t text_redact_secrets(char *bytes, size_t n)
{
    n = redact(bytes, n, find_token, "=:%");
    return redact(bytes, n, find_password, ":%");
}

size_t text_redact_line(char *bytes, size_t n)
{
    n = redact(bytes, n, find_password, ":%");
    n = redact(bytes, n, find_secret, "=:%");
    return redact(bytes, n, find_credential, " ");
}

/* The length of the operating system command at `s` (ECMA-48 8.3.89), 0 if its end is missing: one
 * that never ends must not hide the rest of a line. */
static size_t command_len(const uint8_t *s, size_t n)
{
    for (size_t i = 2; i < n; i++) {
        if (s[i] == '\a')
            return i + 1;
        if (s[i] == '\x1b')
            return i + 1 < n && s[i + 1] == '\\' ? i + 2 : 0;
    }
    return 0;
}

/* The length of the control sequence at `s`, which begins with ESC; 0 if it is none that is known.
 * A sequence that the end of the text cuts off counts. */
static size_t sequence_len(const uint8_t *s, size_t n)
{
    size_t last;

    if (n < 2)
        return 0;
    if (s[1] == ']')
        return command_len(s, n);
    if (s[1] == '[')
        last = skip_range(s, skip_range(s, 2, n, 0x30, 0x3f), n, 0x20, 0x2f);
    else if ((last = skip_range(s, 1, n, 0x20, 0x2f)) == 1)
        return 0;
    if (last == n)
        return n;
    return s[last] >= (s[1] == '[' ? 0x40 : 0x30) && s[last] <= 0x7e ? last + 1 : 0;
}

size_t text_strip_terminal(char *bytes, size_t n)
{
    const uint8_t *s = (const uint8_t *)bytes;
    size_t to = 0;

    for (size_t from = 0; from < n;) {
        size_t skip = s[from] == '\x1b' ? sequence_len(s + from, n - from) : 0;

        from += skip;
        if (skip > 0)
            continue;
        if (s[from] == '\r' && from + 1 < n && s[from + 1] == '\n')
            from++;
        bytes[to++] = s[from] == '\t' ? ' ' : s[from] == '\r' ? '\n' : bytes[from];
        from++;
    }
    return to;
}

const char *text_plural(uint64_t n, const char *one, const char *many)
{
    return n == 1 ? one : many;
}

void text_format_count(uint64_t n, char out[TEXT_COUNT_SIZE])
{
    char digits[24];
    int len = snprintf(digits, sizeof digits, "%" PRIu64, n);

    for (int i = 0; i < len; i++) {
        if (i > 0 && (len - i) % 3 == 0)
            *out++ = ',';
        *out++ = digits[i];
    }
    *out = '\0';
}

size_t text_cut(const char *bytes, size_t n, size_t max)
{
    const uint8_t *s = (const uint8_t *)bytes;

    if (n <= max)
        return n;
    for (size_t back = 1; back <= 3 && back <= max; back++) {
        if (char_len(s + max - back, n - max + back) > back)
            return max - back;
    }
    return max;
}

size_t text_utf8_len(const char *bytes, size_t n)
{
    const uint8_t *s = (const uint8_t *)bytes;
    size_t i = 0, len;

    while ((len = char_len(s + i, n - i)) > 0)
        i += len;
    return i;
}

bool text_is_utf8(const char *bytes, size_t n)
{
    return text_utf8_len(bytes, n) == n;
}
