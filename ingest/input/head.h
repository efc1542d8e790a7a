/* The octet count before a frame (RFC 6587 section 3.4.1) and the beginning of the frame's header,
 * by which it is known. The grammar stands in logplex.c. Pure. */
#ifndef DRAINWATCH_INGEST_INPUT_HEAD_H
#define DRAINWATCH_INGEST_INPUT_HEAD_H

#include "ingest/input/line.h"
#include "ingest/input/logplex.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    HEAD_DIGITS_MAX = 20,
    HEAD_DIGITS_GOOD = 5, /* of LOGPLEX_LINE_MAX */
    /* A head reaches so far before its '<': sign (or the digit too many), digits, space. */
    HEAD_BEFORE = 1 + HEAD_DIGITS_MAX + 1,
    HEAD_MAX = HEAD_BEFORE + LINE_PRI_MAX,
};

struct head {
    size_t len;    /* up to "<" */
    size_t length; /* 0: of no good form */
};

/* Is a head at `s`? */
static inline enum line_known head_at(const char *s, size_t n, struct head *head)
{
    size_t sign = n > 0 && (s[0] == '+' || s[0] == '-');
    size_t most = n < sign + HEAD_DIGITS_MAX + 1 ? n : sign + HEAD_DIGITS_MAX + 1;
    size_t i = sign, length = 0, pri;
    enum line_known known;

    for (; i < most && line_is_digit(s[i]); i++)
        length = length * 10 + (size_t)(s[i] - '0'); /* what wraps has too many digits below */
    if (i > sign + HEAD_DIGITS_MAX)
        return LINE_NO;
    if (i == n)
        return LINE_MORE;
    if (i == sign || s[i] != ' ')
        return LINE_NO;
    known = line_pri(s + i + 1, n - i - 1, &pri);
    if (known == LINE_YES) {
        bool good = sign == 0 && s[0] != '0' && i <= HEAD_DIGITS_GOOD;

        head->len = i + 1;
        head->length = good && length <= LOGPLEX_LINE_MAX ? length : 0;
    }
    return known;
}

#endif
