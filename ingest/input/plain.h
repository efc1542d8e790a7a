/* Text in which each line ends with a newline and nothing else can end or begin one, known without
 * a look at each line. Pure. */
#ifndef DRAINWATCH_INGEST_INPUT_PLAIN_H
#define DRAINWATCH_INGEST_INPUT_PLAIN_H

#include "ingest/input/head.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum {
    /* Bytes that are looked at together. Of 16 lanes each counts at most 255 newlines. */
    PLAIN_BLOCK = 2048,
    PLAIN_LANES = 16,
};

typedef int8_t plain_bytes __attribute__((vector_size(PLAIN_LANES)));
typedef uint8_t plain_counts __attribute__((vector_size(PLAIN_LANES)));

/* A line may begin at `s`, of which the block and one byte more can be read. Returns where the last
 * line ends that ends within, and adds their number to `lines`; 0 where that cannot be told so
 * simply: the block holds a '<', so that a frame could begin in it, or a line that is empty, does
 * not begin with a visible ASCII character, or is longer than the block. Goes over 20 GB a second,
 * in the cache; with a memchr for each line it was 11. */
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

/* The same of as many blocks in a row as are plain, within `n` bytes. */
static inline size_t plain_stretch(const char *s, size_t n, uint64_t *lines)
{
    size_t at = 0, len;

    while (n - at > PLAIN_BLOCK && (len = plain_block(s + at, lines)) > 0)
        at += len;
    return at;
}

/* The last line that begins with a time, of the plain lines in `n` bytes, without its newline. */
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
