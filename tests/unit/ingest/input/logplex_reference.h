/* The grammar of ingest/input/logplex.c over a whole body, as the slowest obvious loop. The parser
 * is compared with it; the two share no code but the reading of a time. */
#ifndef DRAINWATCH_TESTS_UNIT_INGEST_INPUT_LOGPLEX_REFERENCE_H
#define DRAINWATCH_TESTS_UNIT_INGEST_INPUT_LOGPLEX_REFERENCE_H

#include "common/base/time.h"
#include "ingest/input/input.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Gets each line, and where in the body it begins. */
typedef void reference_line_fn(void *ctx, size_t start, size_t len);

struct reference_head {
    size_t message; /* offset of '<' in the body */
    uint64_t length;
    bool plain; /* no sign, no leading zero, and it fits */
};

static inline bool reference_digit(const char *body, size_t n, size_t i)
{
    return i < n && body[i] >= '0' && body[i] <= '9';
}

/* head = [sign] 1*20DIGIT SP "<" 1*3DIGIT ">1 " */
static inline bool reference_head(const char *body, size_t n, size_t at, struct reference_head *out)
{
    size_t i = at, digits = 0, pri = 0;

    *out = (struct reference_head){.plain = true};
    if (i < n && (body[i] == '+' || body[i] == '-')) {
        out->plain = false;
        i++;
    }
    if (i < n && body[i] == '0')
        out->plain = false;
    for (; reference_digit(body, n, i); i++, digits++) {
        out->length = out->length * 10 + (uint64_t)(body[i] - '0');
        if (out->length > LINE_BYTES_MAX)
            out->plain = false, out->length = LINE_BYTES_MAX + 1;
    }
    if (digits < 1 || digits > 20 || i >= n || body[i] != ' ')
        return false;
    out->message = ++i;
    if (i >= n || body[i] != '<')
        return false;
    for (i++; reference_digit(body, n, i); i++)
        pri++;
    return pri >= 1 && pri <= 3 && n - i >= 3 && memcmp(body + i, ">1 ", 3) == 0;
}

static inline bool reference_good(const char *body, size_t n, const struct reference_head *head)
{
    struct reference_head next;
    size_t end;

    if (!head->plain || head->length > n - head->message)
        return false;
    end = head->message + (size_t)head->length;
    return body[end - 1] == '\n' || end == n || body[end] == '\n' || body[end] == '\r' ||
           reference_head(body, n, end, &next);
}

/* An RFC 3339 time and a space, 40 bytes at most with it. */
static inline bool reference_timed(const char *body, size_t n, size_t at)
{
    int64_t us;

    for (size_t len = 1; len < 40 && at + len < n; len++) {
        if (body[at + len] == ' ' && time_parse_rfc3339(body + at, len, &us))
            return true;
    }
    return false;
}

/* Where the text that begins at `at` ends. */
static inline size_t reference_text_end(const char *body, size_t n, size_t at, bool timed)
{
    struct reference_head head;

    for (size_t i = at; i < n; i++) {
        if (body[i] == '\n')
            return i;
        if (timed || (i > at && reference_digit(body, n, i) && reference_digit(body, n, i - 1)))
            continue;
        if (i > at && reference_head(body, n, i, &head))
            return i;
    }
    return n;
}

static inline struct input_counts reference_parse(const char *body, size_t n,
                                                  reference_line_fn *on_line, void *ctx)
{
    struct input_counts counts = {.bytes = n};
    size_t at = 0;

    for (;;) {
        struct reference_head head;
        size_t start, end, len;

        while (at < n && strchr("\n\r ", body[at]) != NULL && body[at] != 0)
            at++;
        if (at == n)
            return counts;
        start = at;
        if (reference_head(body, n, at, &head) && reference_good(body, n, &head)) {
            start = head.message;
            end = start + (size_t)head.length;
        } else if (reference_head(body, n, at, &head)) {
            counts.malformed++;
            start = head.message;
            end = reference_text_end(body, n, start, false);
        } else {
            end = reference_text_end(body, n, start, reference_timed(body, n, start));
        }
        len = end - start;
        if (len > LINE_BYTES_MAX) {
            counts.malformed++;
            len = LINE_BYTES_MAX;
        }
        while (body[start + len - 1] == '\n' || body[start + len - 1] == '\r')
            len--;
        on_line(ctx, start, len);
        counts.lines++;
        at = end;
    }
}

#endif
