/* One log line and its parts: time, source, process, message.
 *
 * The same structure for every input format. Pure. */
#ifndef DRAINWATCH_INGEST_INPUT_LINE_H
#define DRAINWATCH_INGEST_INPUT_LINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum {
    /* Logplex cuts a line at 10,000 bytes (logplex.app.src) and its header is under 600. A longer
     * line is cut here and counted as malformed. */
    LINE_BYTES_MAX = 64 << 10,
    LINE_BATCH_MAX = 512,      /* lines that are handed over together */
    LINE_REGION_MAX = 1 << 20, /* bytes of the region in which they lie */
};

enum line_form {
    LINE_SYSLOG, /* RFC 5424, with or without STRUCTURED-DATA */
    LINE_HEROKU, /* `2026-05-07T08:06:12Z heroku[router]: message`, or `… heroku router - message`
                  */
    LINE_BARE,   /* a message and nothing else, or with a time before it */
};

/* Bytes that somebody else owns, without a zero behind them. */
struct line_text {
    const char *data;
    size_t len;
};

static inline bool line_text_is(struct line_text text, const char *other)
{
    return text.len == strlen(other) && memcmp(text.data, other, text.len) == 0;
}

struct line {
    enum line_form form;
    bool has_time; /* the line has a time that can be read */
    int64_t time_us;
    struct line_text source;  /* APP-NAME; empty for a bare line */
    struct line_text process; /* PROCID; empty for a bare line */
    struct line_text message;
};

/* A line within a region: with its header, without frame length and trailing line ends. Never
 * empty. */
struct line_span {
    uint32_t start;
    uint32_t len;
};

/* Reads the header of one line; the parts point into `text`. Cannot fail: a line without a readable
 * header is a bare line. */
void line_read(const char *text, size_t len, struct line *out);

#endif
