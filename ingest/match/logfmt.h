/* logfmt: KEY=VALUE pairs in a message, told apart from what stands in quotes.
 *
 * The router puts what a visitor controls in quotes (path="/?code=H12", fwd="a code=H12"), so a
 * pair counts only outside of them. Pure. */
#ifndef DRAINWATCH_INGEST_MATCH_LOGFMT_H
#define DRAINWATCH_INGEST_MATCH_LOGFMT_H

#include <stdbool.h>
#include <stddef.h>

/* A pair, pointing into the message. */
struct logfmt_pair {
    const char *key;
    size_t key_len;
    const char *value; /* as it stands there, quotes included */
    size_t value_len;
    const char *content; /* without the quotes around it */
    size_t content_len;
    bool cut; /* a quote was opened and never closed: the value's end is not known */
};

/* Finds the next pair at or behind `*at`, which the caller sets to 0 first, and moves `*at` behind
 * it. Tokens end at white space outside of quotes. A double quote opens a quotation at the start of
 * a token and behind punctuation (`=`, `[`, …), but not behind a letter or digit (5" disk); the
 * next one without a backslash before it closes it; where none does, all the rest is quoted. */
bool logfmt_next(const char *text, size_t len, size_t *at, struct logfmt_pair *out);

/* Whether a pair with this key stands in the message, whose value, or its content where the value
 * as a whole is quoted, is `value` byte for byte (escapes are not undone). */
bool logfmt_has(const char *text, size_t len, const char *key, const char *value);

#endif
