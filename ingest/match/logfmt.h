/* logfmt: KEY=VALUE pairs in a message, told apart from quoted text.
 *
 * The router puts text that a visitor controls in double quotes (path="/?code=H12", fwd="a
 * code=H12"), so a pair counts only outside of them. Pure. */
#ifndef DRAINWATCH_INGEST_MATCH_LOGFMT_H
#define DRAINWATCH_INGEST_MATCH_LOGFMT_H

#include "ingest/input/line.h"

#include <stdbool.h>
#include <stddef.h>

/* A pair, pointing into the message. Terminal colours around key and value do not belong to them.
 */
struct logfmt_pair {
    struct line_text key;
    struct line_text value;   /* with its quotes */
    struct line_text content; /* without the quotes around it */
    bool cut;                 /* the value's end is not known */
};

/* A walk over the pairs of one message, in a time that grows with its length. */
struct logfmt {
    const char *text;
    size_t len;
    size_t at;       /* the next token */
    size_t unclosed; /* no single quote before this offset opens a quotation that ends */
};

/* Begins a walk. The text is the caller's and must outlive it. */
void logfmt_begin(struct logfmt *l, const char *text, size_t len);

/* Finds the next pair. Returns whether there is one.
 *
 * Tokens end at white space outside of quotes; a token with a '=' is a pair. So are three tokens
 * KEY, a lone '=', and a VALUE without a '=', with spaces between them.
 *
 * A double quote opens a quotation, and the next one closes it. If there is none, all the rest is
 * quoted. A quote is unclear behind a backslash, because loggers disagree on its meaning, and if it
 * opens a quotation directly behind a letter or digit (b"x", 5" disk). From an unclear quote up to
 * the message's last one all text may be quoted. So may the rest, if the last quote stands behind a
 * backslash, or the message is so long that Logplex may have split it. A pair counts only if it
 * begins outside of such text. It is cut if its value may end in several places.
 *
 * A single quote opens a quotation only directly behind the '=' of a pair, and only if a single
 * quote before white space or the message's end closes it before any double quote and before the
 * line's end. Else it is an ordinary byte (don't, 'tis). */
bool logfmt_next(struct logfmt *l, struct logfmt_pair *out);

/* Copies a message of `len` bytes to `out`, with \x01 in the place of each byte that may be quoted
 * by double quotes as above, and of each byte of a word behind "request_id=", which is a visitor's,
 * too. So offsets stay, and no expression sees such text. */
void logfmt_hide_quoted(const char *text, size_t len, char *out);

/* Whether the pair's value is `value` byte for byte, with its quotes or without (escapes are not
 * undone). False if the value's end is not known. */
bool logfmt_is(const struct logfmt_pair *pair, const char *value);

#endif
