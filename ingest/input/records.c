/* Cuts text into lines and collects the log lines that a format reads in them; used by json_lines.c
 * and papertrail.c. */
#include "ingest/input/records.h"

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/time.h"
#include "ingest/input/colours.h"
#include "ingest/input/head.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    NAME_MAX_BYTES = 256, /* of a source or process; the rest is cut */
    TIME_TEXT_MAX = 40,
    RECOGNISE_LINES = 20,
};

struct records {
    struct input in; /* first: the seam sees this part */
    records_read_fn *read;
    int rc;           /* the error that stopped the parser */
    bool is_too_long; /* the rest of an overlong line of text is skipped */
    struct buf text;  /* a line of text that the chunks so far did not end */
    size_t n;
    size_t region_len; /* used bytes of `region` */
    struct line_span spans[LINE_BATCH_MAX];
    struct line lines[LINE_BATCH_MAX];
    char region[LINE_REGION_MAX];
};

struct input *records_new(records_read_fn *read)
{
    struct records *r = malloc(sizeof *r);

    if (r == NULL)
        return NULL;
    r->read = read;
    buf_init(&r->text, RECORDS_TEXT_MAX);
    return &r->in;
}

void records_free(struct input *in)
{
    struct records *r = (struct records *)in;

    buf_close(&r->text);
    free(r);
}

void records_begin(struct input *in)
{
    struct records *r = (struct records *)in;

    buf_clear(&r->text);
    r->rc = 0;
    r->is_too_long = false;
    r->n = r->region_len = 0;
}

/* --- adding a line ---------------------------------------------------------------------------- */

static void flush(struct records *r)
{
    const struct line_span *last;
    struct input_lines lines = {
        .region = r->region, .spans = r->spans, .n = r->n, .read = r->lines};

    if (r->n > 0 && r->rc == 0) {
        last = &r->spans[r->n - 1];
        lines.region_len = last->start + last->len;
        r->rc = r->in.on_lines(r->in.ctx, &lines);
    }
    r->n = r->region_len = 0;
}

static struct line_text copy(struct records *r, struct line_text text)
{
    char *to = r->region + r->region_len;

    if (text.len > 0)
        memcpy(to, text.data, text.len);
    r->region_len += text.len;
    return (struct line_text){to, text.len};
}

static struct line_text copy_name(struct records *r, struct line_text name)
{
    name.len = name.len < NAME_MAX_BYTES ? name.len : NAME_MAX_BYTES;
    return copy(r, name);
}

static struct line_text copy_message(struct records *r, struct line_text message)
{
    struct colours none = {0};
    struct line_text text;

    if (message.len > LINE_BYTES_MAX) {
        message.len = LINE_BYTES_MAX;
        r->in.counts.malformed++;
    }
    text = copy(r, message);
    text.len = colours_strip(&none, r->region + r->region_len - text.len, text.len);
    while (text.len > 0 && (text.data[text.len - 1] == '\n' || text.data[text.len - 1] == '\r'))
        text.len--;
    return text;
}

/* "heroku/router" is source and process. */
static void split_program(struct record *record)
{
    const char *slash = record->process.len > 0 || record->program.len == 0
                            ? NULL
                            : memchr(record->program.data, '/', record->program.len);
    size_t n;

    if (slash == NULL)
        return;
    n = (size_t)(slash - record->program.data);
    record->process = (struct line_text){slash + 1, record->program.len - n - 1};
    record->program.len = n;
}

/* A message that holds a whole line with its head, as Docker and Splunk wrap it. */
static void unwrap(struct record *record)
{
    struct line line;

    line_read(record->message.data, record->message.len, &line);
    if (line.form == LINE_BARE)
        return;
    if (line.has_time) {
        record->has_time = true;
        record->time_us = line.time_us;
    }
    record->program = line.source;
    record->process = line.process;
    record->message = line.message;
}

void records_add(struct records *r, const struct record *given)
{
    struct record record = *given;
    struct line *line;
    size_t start;

    if (r == NULL)
        return;
    if (record.program.len == 0)
        unwrap(&record);
    else
        split_program(&record);
    if (r->n == LINE_BATCH_MAX ||
        LINE_REGION_MAX - r->region_len < LINE_BYTES_MAX + 2 * NAME_MAX_BYTES)
        flush(r);
    r->in.counts.lines++;
    start = r->region_len;
    line = &r->lines[r->n];
    *line = (struct line){.has_time = record.has_time, .time_us = record.time_us};
    line->message = copy_message(r, record.message);
    if (line->message.len == 0) { /* no rule can match it */
        r->region_len = start;
        return;
    }
    line->source = copy_name(r, record.program);
    line->process = copy_name(r, record.process);
    line->form = line->source.len > 0 ? LINE_SYSLOG : LINE_BARE;
    r->spans[r->n++] = (struct line_span){(uint32_t)start, (uint32_t)line->message.len};
}

/* --- lines of text ------------------------------------------------------------------------------
 */

static void take_text(struct records *r, const char *text, size_t len)
{
    const struct record plain = {.message = {text, len}};

    size_t blanks = 0;

    while (blanks < len && (text[blanks] == '\r' || text[blanks] == ' '))
        blanks++;
    if (blanks < len && !r->read(r, text, len))
        records_add(r, &plain);
}

/* Takes a piece of a line of text. An overlong line is given up as malformed. */
static void take_piece(struct records *r, const char *bytes, size_t n, bool is_end)
{
    int rc = 0;

    if (!r->is_too_long && is_end && r->text.len == 0) {
        take_text(r, bytes, n);
        return;
    }
    if (!r->is_too_long)
        rc = buf_append(&r->text, bytes, n);
    if (rc == ERR_NOMEM)
        r->rc = rc;
    if (rc == ERR_FULL) {
        r->is_too_long = true;
        r->in.counts.malformed++;
        r->in.counts.lines++;
    }
    if (!is_end)
        return;
    if (!r->is_too_long)
        take_text(r, buf_text(&r->text), r->text.len);
    r->is_too_long = false;
    buf_clear(&r->text);
}

int records_push(struct input *in, const char *bytes, size_t n, const struct input_points *points)
{
    struct records *r = (struct records *)in;

    (void)points;
    while (n > 0 && r->rc == 0) {
        const char *newline = memchr(bytes, '\n', n);
        size_t len = newline != NULL ? (size_t)(newline - bytes) : n;

        take_piece(r, bytes, len, newline != NULL);
        len += newline != NULL;
        bytes += len;
        n -= len;
    }
    flush(r);
    return r->rc;
}

int records_finish(struct input *in)
{
    struct records *r = (struct records *)in;

    take_piece(r, "", 0, true);
    flush(r);
    return r->rc;
}

/* --- for the formats -------------------------------------------------------------------------
 */

/* Digits with or without a fraction, scaled by their size: seconds have 10 digits until 2286. A
 * number under 1973 is no time. */
static bool read_epoch(const char *text, int64_t *us)
{
    char *end;
    double value = strtod(text, &end);

    if (end == text || *end != '\0' || !(value >= 1e8) || value > 9e18)
        return false;
    if (value < 1e11)
        *us = (int64_t)(value * 1e6);
    else if (value < 1e14)
        *us = (int64_t)(value * 1e3);
    else if (value < 1e17)
        *us = (int64_t)value;
    else
        *us = (int64_t)(value / 1e3);
    return true;
}

bool records_time(const char *text, size_t len, int64_t *us)
{
    char copied[TIME_TEXT_MAX + 4];

    if (len == 0 || len > TIME_TEXT_MAX)
        return false;
    if (time_parse_rfc3339(text, len, us))
        return true;
    memcpy(copied, text, len);
    copied[len] = '\0';
    if (memchr(text, '-', len) == NULL && read_epoch(copied, us))
        return true;
    if (len > 4 && memcmp(copied + len - 4, " UTC", 4) == 0)
        len -= 4;
    if (len > 20 && copied[19] == ',') /* a fraction as Python's logging writes it */
        copied[19] = '.';
    if (len > 5 && strchr("+-", copied[len - 5]) != NULL) { /* +0000 */
        memmove(copied + len - 1, copied + len - 2, 2);
        copied[len - 2] = ':';
        return time_parse_rfc3339(copied, len + 1, us);
    }
    copied[len] = 'Z';
    return time_parse_rfc3339(copied, len + 1, us);
}

/* Whether the text begins as a frame or as a line of `heroku logs` does. */
static bool has_head(const char *text, size_t len)
{
    struct head head;
    struct line line;

    line_read(text, len, &line);
    return line.form != LINE_BARE || line.has_time || head_at(text, len, &head) == LINE_YES;
}

bool records_recognise(const char *bytes, size_t n, records_read_fn *read)
{
    for (int i = 0; n > 0 && i < RECOGNISE_LINES; i++) {
        const char *newline = memchr(bytes, '\n', n);
        size_t len = newline != NULL ? (size_t)(newline - bytes) : n;

        if (has_head(bytes, len))
            return false;
        if (read(NULL, bytes, len))
            return true;
        len += newline != NULL;
        bytes += len;
        n -= len;
    }
    return false;
}
