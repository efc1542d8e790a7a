/* Counts lines of plain text by blocks, without finding each line: text without '<', in which only
 * newlines end lines. With it `scan` needs 0.26 instead of 0.41 s of processor time for 600 MB of
 * `heroku logs`. Pure. */
#ifndef DRAINWATCH_INGEST_INPUT_PLAIN_H
#define DRAINWATCH_INGEST_INPUT_PLAIN_H

#include "ingest/input/head.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum {
    /* Bytes of a block. Each of 16 lanes counts at most 255 newlines. */
    PLAIN_BLOCK = 2048,
    PLAIN_LANES = 16,
};

typedef int8_t plain_bytes __attribute__((vector_size(PLAIN_LANES)));
typedef uint8_t plain_counts __attribute__((vector_size(PLAIN_LANES)));

/* A line may begin at `s`; the block and one byte more can be read. Returns the end of the last
 * line that ends in the block and adds the number of lines to `lines`. Returns 0 if the block is
 * not plain: it holds a '<', which may belong to a frame, or a line that is empty, does not begin
 * with a visible ASCII character, or is longer than the block. */
static inline size_t plain_block(const char *s, uint64_t *lines)
{
    plain_counts newlines = {0};
    plain_bytes bad = {0};
    size_t n_newlines = 0, n_bad = (int8_t)s[0] <= ' ';
    const char *last;

    for (size_t i = 0; i < PLAIN_BLOCK; i += PLAIN_LANES) {
        plain_bytes here, next, is_newline;

        memcpy(&here, s + i, sizeof here);
        memcpy(&next, s + i + 1, sizeof next);
        is_newline = here == '\n'; /* a lane that is true is -1 */
        newlines -= (plain_counts)is_newline;
        bad |= (is_newline & ~(next > ' ')) | (here == '<');
    }
    for (size_t i = 0; i < PLAIN_LANES; i++) {
        n_newlines += newlines[i];
        n_bad += bad[i] != 0;
    }
    last = n_bad == 0 ? memrchr(s, '\n', PLAIN_BLOCK) : NULL;
    if (last == NULL)
        return 0;
    *lines += n_newlines;
    return (size_t)(last - s) + 1;
}

/* The same for all plain blocks in a row within `n` bytes. */
static inline size_t plain_stretch(const char *s, size_t n, uint64_t *lines)
{
    size_t at = 0, len;

    while (n - at > PLAIN_BLOCK && (len = plain_block(s + at, lines)) > 0)
        at += len;
    return at;
}

/* Finds the last line that begins with a time among the plain lines in `n` bytes; its length does
 * not include the newline. */
static inline bool plain_last_timed(const char *s, size_t n, size_t *start, size_t *len)
{
    size_t end = n, time_len;
    int64_t us;

    while (end > 0) {
        const char *newline = memrchr(s, '\n', end - 1);

        *start = newline != NULL ? (size_t)(newline - s) + 1 : 0;
        *len = end - 1 - *start;
        if (line_time(s + *start, end - *start, &us, &time_len) == LINE_YES)
            return true;
        end = *start;
    }
    return false;
}

#endif
