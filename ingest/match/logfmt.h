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
    bool cut; /* a quote was opened and never closed: the value's end is not known */
};

/* Finds the next pair at or behind `*at`, which the caller sets to 0 first, and moves `*at` behind
 * it.
 *
 * Tokens end at white space outside of quotes; a token with a '=' is a pair. So are three tokens
 * KEY, a lone '=', and a VALUE without a '=', with spaces between them.
 *
 * A double quote opens a quotation at the start of a token and behind punctuation (`=`, `[`, …),
 * but not behind a letter or digit (5" disk). The next one without a backslash before it closes it;
 * if none does, all the rest is quoted.
 *
 * A single quote opens a quotation only directly behind the '=' of a pair, and only if a single
 * quote before white space or the message's end closes it before any double quote and before the
 * line's end. Else it is an ordinary byte (don't, 'tis). */
bool logfmt_next(const char *text, size_t len, size_t *at, struct logfmt_pair *out);

/* Copies a message of `len` bytes to `out`, with \x01 in the place of each byte between double
 * quotes that open a quotation as above. So offsets stay, and no expression sees quoted text. */
void logfmt_hide_quoted(const char *text, size_t len, char *out);

/* Whether the pair's value is `value` byte for byte, with its quotes or without (escapes are not
 * undone). False if the value's end is not known. */
bool logfmt_is(const struct logfmt_pair *pair, const char *value);

#endif
