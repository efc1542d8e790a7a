/* Where a log line's own header begins and ends.
 *
 * What framing (logplex.c) and header reading (line.c) must agree on, or a line would be cut at one
 * place and read at another. Pure. */
#ifndef DRAINWATCH_INGEST_INPUT_LINE_H
#define DRAINWATCH_INGEST_INPUT_LINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* A body comes in chunks, so a question about bytes at a chunk's end may have no answer yet. Once
 * an answer is yes or no, further bytes never change it. */
enum line_known {
    LINE_NO,
    LINE_YES,
    LINE_MORE, /* the bytes end too early to tell */
};

enum {
    LINE_PRI_MAX = 7,   /* "<191>1 " */
    LINE_TIME_MAX = 40, /* a time with up to 14 digits of a fraction, and the space behind it */
};

static inline bool line_is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Is "<PRI>1 " at `s` (RFC 5424 section 6.2, 1 to 3 digits of any value)? */
static inline enum line_known line_pri(const char *s, size_t n, size_t *len)
{
    static const char tail[] = ">1 ";
    size_t i = 1, end;

    if (n == 0)
        return LINE_MORE;
    if (s[0] != '<')
        return LINE_NO;
    while (i < n && i < 4 && line_is_digit(s[i]))
        i++;
    if (i == 1 && n > 1)
        return LINE_NO;
    end = i + 3;
    if (n < end) /* is it right so far? */
        return memcmp(s + i, tail, n - i) == 0 ? LINE_MORE : LINE_NO;
    *len = end;
    return memcmp(s + i, tail, 3) == 0 ? LINE_YES : LINE_NO;
}

/* Is an RFC 3339 time and a space at `s`? `len` becomes the length of both. */
enum line_known line_time(const char *s, size_t n, int64_t *us, size_t *len);

#endif
