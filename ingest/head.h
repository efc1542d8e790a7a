/* The octet count before a frame (RFC 6587 section 3.4.1) and the beginning of the frame's header,
 * by which it is known. The grammar stands in logplex.c. Pure. */
#ifndef DRAINWATCH_INGEST_HEAD_H
#define DRAINWATCH_INGEST_HEAD_H

#include "common/word.h"
#include "ingest/line.h"
#include "ingest/logplex.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    HEAD_DIGITS_MAX = 20,
    HEAD_DIGITS_GOOD = 5, /* of LOGPLEX_LINE_MAX */
    /* A head reaches so far before its '<': sign (or the digit too many), digits, space. */
    HEAD_BEFORE = 1 + HEAD_DIGITS_MAX + 1,
    HEAD_MAX = HEAD_BEFORE + LINE_PRI_MAX,
    HEAD_USUAL_ROOM = 16, /* bytes that head_usual reads, whatever they are */
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

/* The high bit of the first byte that is no digit, and perhaps those of bytes behind it. */
static inline uint64_t head_no_digits(uint64_t word)
{
    uint64_t values = word ^ UINT64_C(0x3030303030303030);

    return ((values + UINT64_C(0x7676767676767676)) | values) & UINT64_C(0x8080808080808080);
}

/* Do these bytes begin with one to three digits and ">1 "? */
static inline bool head_is_pri(uint64_t word)
{
    unsigned end = (unsigned)__builtin_ctzll(head_no_digits(word) | UINT64_C(1) << 63);

    return end >= 8 && end < 32 && (word >> (end & 56) & 0xffffff) == 0x20313e;
}

/* Is a head with a good length of two or three digits at `s`? False where it cannot be told so
 * simply. Where a frame begins is known when the length before it is, so what a walk over frames
 * waits for is the length: it comes of the digits alone, and the checks run beside the next one. A
 * frame so takes 6 ns; digit by digit, with a jump for each, it took 11 to 17. */
static inline bool head_usual(const char s[HEAD_USUAL_ROOM], struct head *head)
{
    uint64_t word = word_load(s), wrong;
    bool two = (word >> 16 & 0xff) == ' ';
    size_t first_two = (word & 15) * 10 + (word >> 8 & 15);
    size_t all_three = first_two * 10 + (word >> 16 & 15);

    head->length = two ? first_two : all_three;
    head->len = two ? 3 : 4;
    word = two ? word << 8 | '0' : word;
    word ^= UINT64_C(0x3c20303030); /* "000 <" */
    wrong = (word + 0x767676) | word;
    return (wrong & UINT64_C(0xffff808080)) == 0 && s[0] != '0' &&
           head_is_pri(word_load(s + head->len + 1));
}

#endif
