/* Makes text from outside fit to show: valid UTF-8 on one line, without secrets. Lines, headers and
 * answers of other programs may hold anything. Pure. */
#ifndef DRAINWATCH_COMMON_BASE_TEXT_H
#define DRAINWATCH_COMMON_BASE_TEXT_H

#include "common/base/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Appends `bytes`, and writes as \xNN the bytes of control characters (up to U+009F), spaces other
 * than " ", line separators, characters that cannot be seen or that turn the direction of text,
 * private characters, noncharacters (Unicode 15.0; text.c has the list), and bytes that are no
 * well-formed UTF-8 (RFC 3629). The joiners and selectors of emojis are invisible, too. Returns 0,
 * ERR_FULL (all that fits was appended, never half a character) or ERR_NOMEM. */
int text_append_printable(struct buf *out, const char *bytes, size_t n);
/* Writes a text so into `out`, of `size` bytes, and cuts it if it does not fit; "" without memory.
 */
void text_copy_printable(char *out, size_t size, const char *text);

/* Overwrites secrets in place with "…", and secrets shorter than that with "*": the value of each
 * `drain_token=`, of any case, up to white space or the quote that ends the text around it, and the
 * password of each "://NAME:PASSWORD@", up to the last "@" of the word. Returns the new length,
 * which is never larger. Takes a time in proportion to `n`. */
size_t text_redact_secrets(char *bytes, size_t n);
/* Likewise for a line of another program: also the value of each key that ends in a word such as
 * "password", "secret", "token", "api_key" or "authorization", in `key=value`, `"key":"value"`,
 * `key: value` and `'key' => 'value'`, and a long word behind "Basic" or "Bearer". It takes too
 * much rather than too little. */
size_t text_redact_line(char *bytes, size_t n);
bool text_is_secret_key(const char *key); /* such a key's value is a secret */

/* Turns a line as a terminal would get it into plain text, in place: control sequences (ESC [ … of
 * colours, ESC ] … of titles, ESC ( … of character sets) go, a tab becomes a blank, CR LF and CR
 * become LF. Other control bytes stay. Returns the new length, which is never larger. */
size_t text_strip_terminal(char *bytes, size_t n);

/* The words behind a number: `one` for 1, else `many`. */
const char *text_plural(uint64_t n, const char *one, const char *many);

enum { TEXT_COUNT_SIZE = 27 }; /* of the largest number, with its commas and a zero */
/* Writes 1204 as "1,204". */
void text_format_count(uint64_t n, char out[TEXT_COUNT_SIZE]);

/* ASCII, in every locale. */
static inline bool text_is_digit(char c)
{
    return (unsigned char)(c - '0') <= 9;
}

static inline bool text_is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* The length of the longest prefix of at most `max` bytes that does not end within a UTF-8
 * character. */
size_t text_cut(const char *bytes, size_t n, size_t max);

/* The length of the longest prefix that is well-formed UTF-8. */
size_t text_utf8_len(const char *bytes, size_t n);
bool text_is_utf8(const char *bytes, size_t n);

#endif
