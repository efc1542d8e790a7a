/* Log lines out of a body: RFC 6587 octet-counted frames as Logplex and log-shuttle send them,
 * lines as `heroku logs` prints them, and bare lines, all mixed.
 *
 * A push parser that holds no body: of each chunk the complete lines are handed on where they lie,
 * and only an unfinished one at its end is kept, at most LOGPLEX_LINE_MAX bytes and a few, in a
 * block of three times that. Chunks of any size give the same lines. The grammar stands in
 * logplex.c. Pure. */
#ifndef DRAINWATCH_INGEST_INPUT_LOGPLEX_H
#define DRAINWATCH_INGEST_INPUT_LOGPLEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    /* Logplex cuts a line at 10,000 bytes (logplex.app.src) and its header is under 600. A length
     * beyond this one is a bad length; a longer line is cut here and counted as malformed. */
    LOGPLEX_LINE_MAX = 64 << 10,
    LOGPLEX_BATCH_MAX = 512,      /* lines in one callback */
    LOGPLEX_REGION_MAX = 1 << 20, /* bytes of the region of one callback */
};

/* A line within a region: with its header, without frame length and trailing line ends. Never
 * empty. */
struct logplex_span {
    uint32_t start;
    uint32_t len;
};

/* Gets 1 to LOGPLEX_BATCH_MAX complete lines, in order, that lie in `region` without overlapping.
 * The region begins with the first and ends with the last; between lines there may be bytes that
 * belong to none. The bytes are valid during the call. A return value other than 0 stops the push,
 * which returns it. */
typedef int logplex_lines_fn(void *ctx, const char *region, size_t region_len,
                             const struct logplex_span *lines, size_t n);

struct logplex;

struct logplex_counts {
    uint64_t lines;
    uint64_t bytes;
    uint64_t malformed; /* frames with a bad length, and lines that were cut */
};

struct logplex *logplex_new(logplex_lines_fn *on_lines, void *ctx); /* NULL: no memory */
void logplex_free(struct logplex *p);
/* Makes the parser new for the next body, keeping its memory. */
void logplex_reset(struct logplex *p);

/* Takes the next chunk. Returns 0, ERR_NOMEM, or what the callback returned; after anything but 0
 * only reset and free are allowed. */
int logplex_push(struct logplex *p, const char *bytes, size_t n);
/* The same where it is known which lines matter: those that hold one of the bytes at `points`,
 * offsets into the chunk in ascending order. Of the others some may be counted and not handed over;
 * but where times matter, what was the last line with a time is, before a line without one and
 * before the end. */
int logplex_push_points(struct logplex *p, const char *bytes, size_t n, const uint32_t *points,
                        size_t n_points, bool times_matter);
/* The body is complete: hands over what is left. Returns as logplex_push does. */
int logplex_finish(struct logplex *p);
struct logplex_counts logplex_counts(const struct logplex *p);

enum logplex_form {
    LOGPLEX_SYSLOG, /* RFC 5424, with or without STRUCTURED-DATA */
    LOGPLEX_HEROKU, /* `2026-05-07T08:06:12Z heroku[router]: message` */
    LOGPLEX_BARE,   /* a message and nothing else, or with a time before it */
};

struct logplex_text {
    const char *data;
    size_t len;
};

/* A line's parts, pointing into it. */
struct logplex_line {
    enum logplex_form form;
    bool has_time; /* a time was there and could be read */
    int64_t time_us;
    struct logplex_text source;  /* APP-NAME; empty for a bare line */
    struct logplex_text process; /* PROCID; empty for a bare line */
    struct logplex_text message;
};

/* Reads the header of one line. Cannot fail: what has no header that can be read is a bare line. */
void logplex_read_line(const char *text, size_t len, struct logplex_line *out);

#endif
