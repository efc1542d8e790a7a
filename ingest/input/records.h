/* What formats with one record in each line of text share: exported logs such as JSON lines.
 *
 * A format of this kind only says how to read one such line (`struct records_format`). Its lines
 * are decoded into memory of their own. Pure. */
#ifndef DRAINWATCH_INGEST_INPUT_RECORDS_H
#define DRAINWATCH_INGEST_INPUT_RECORDS_H

#include "ingest/input/input.h"

enum { RECORDS_TEXT_MAX = 1 << 20 }; /* bytes of one line of text; a longer one is malformed */

struct records;

/* Reads one line of text, without its end, and adds its log lines. Returns false if the text is no
 * record; it is then read as a plain line. */
typedef bool records_read_fn(struct records *r, const char *text, size_t len);

/* NULL: no memory. */
struct input *records_new(records_read_fn *read);
void records_free(struct input *in);
void records_begin(struct input *in);
int records_push(struct input *in, const char *bytes, size_t n, const struct input_points *points);
int records_finish(struct input *in);

/* Adds a log line; its texts are copied, without terminal colours. `program` may hold source and
 * process ("heroku/router"). A line of no source whose message has a head of its own is read from
 * the message. With `r` NULL nothing is added. */
struct record {
    bool has_time;
    int64_t time_us;
    struct line_text program;
    struct line_text process; /* empty: the program holds it */
    struct line_text message;
};
void records_add(struct records *r, const struct record *given);

/* Reads a time as exporters write it: RFC 3339, also without a zone (then UTC), and seconds,
 * milli-, micro- or nanoseconds since the epoch. */
bool records_time(const char *text, size_t len, int64_t *us);

/* Whether one of the first lines is a record and none before it is a frame or a line of `heroku
 * logs`. */
bool records_recognise(const char *bytes, size_t n, records_read_fn *read);

#endif
