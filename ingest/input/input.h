/* The input seam: one row and one file for each format in which log lines arrive.
 *
 * A format turns a body, pushed in chunks of any size, into batches of lines. The code that takes
 * these lines knows neither HTTP nor formats. Pure. */
#ifndef DRAINWATCH_INGEST_INPUT_INPUT_H
#define DRAINWATCH_INGEST_INPUT_INPUT_H

#include "ingest/input/line.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One to LINE_BATCH_MAX complete lines, in order, that lie in `region` without overlapping. The
 * region begins with the first line and ends with the last; bytes between lines belong to none. All
 * of it is valid during the callback. */
struct input_lines {
    const char *region;
    size_t region_len;
    const struct line_span *spans;
    size_t n;
    const struct line *read; /* the lines' parts; NULL: input_line reads them when asked */
};

/* A return value other than 0 stops the push or the finish, which returns it. */
typedef int input_lines_fn(void *ctx, const struct input_lines *lines);

/* The parts of line `i`. */
void input_line(const struct input_lines *lines, size_t i, struct line *out);

struct input_counts {
    uint64_t lines;
    uint64_t bytes;
    uint64_t malformed; /* frames with a bad length, lines that were cut, unreadable records */
};

/* Bytes of a chunk. Only the lines that hold one of them matter. */
struct input_points {
    const uint32_t *at; /* offsets into the chunk, ascending */
    size_t n;
    /* Also hand over the last line with a time before each line without one, and before the end. */
    bool times_matter;
};

struct input;

struct input_format {
    const char *name;       /* for people: "Logplex frames and plain lines" */
    const char *path;       /* where HTTP accepts it; NULL: only `scan` reads it */
    bool has_continuations; /* a line without time and source may continue the line before it */
    bool in_place; /* regions of a pushed chunk lie in the chunk, unless a line began before it */
    /* Whether a saved log that begins with these bytes has this format. */
    bool (*recognises)(const char *bytes, size_t n);
    /* The parser. `new` returns NULL without memory; the seam sets the fields of struct input. */
    struct input *(*new)(void);
    void (*free)(struct input *in);
    void (*begin)(struct input *in);
    int (*push)(struct input *in, const char *bytes, size_t n, const struct input_points *points);
    int (*finish)(struct input *in);
};

/* What every parser begins with. */
struct input {
    const struct input_format *format;
    input_lines_fn *on_lines;
    void *ctx;
    struct input_counts counts;
    size_t kept_bytes; /* of memory, for lines that a chunk did not end; 0 if only `scan` uses it */
};

/* Octet-counted frames, `heroku logs` lines and bare lines, mixed. A frame holds all lines of a
 * message, so a line outside of frames stands alone. */
extern const struct input_format input_logplex;
/* The same without a frame among the first lines: a saved log. */
extern const struct input_format input_plain;
/* Exported logs, which only `scan` reads. */
extern const struct input_format input_papertrail, input_json_lines;

/* All formats, in the order in which `recognises` is asked. input_plain is the last and takes
 * everything. */
enum { INPUT_FORMATS = 4 };
extern const struct input_format *const input_formats[INPUT_FORMATS];

/* The format that HTTP accepts at this path, NULL if there is none. */
const struct input_format *input_at(const char *path);
/* The format of a saved log that begins with these bytes. */
const struct input_format *input_recognise(const char *bytes, size_t n);

/* A parser, used for one body after the other; it keeps its memory. NULL: no memory. */
struct input *input_new(const struct input_format *format, input_lines_fn *on_lines, void *ctx);
void input_free(struct input *in); /* NULL is fine */
/* Forgets everything before the next body. */
void input_begin(struct input *in);
/* Takes the next chunk. Without points every line is handed over; with them the format may count
 * the others without handing them over. Returns 0, ERR_NOMEM, or the result of the callback; after
 * anything but 0 only begin and free are allowed. */
int input_push(struct input *in, const char *bytes, size_t n, const struct input_points *points);
/* The body is complete: hands over the rest. Returns as input_push does. */
int input_finish(struct input *in);
struct input_counts input_counts(const struct input *in);

#endif
