/* Takes a body from bytes to records. The HTTP server, `scan` and rule tests call it. */
#include "ingest/collect/delivery.h"

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/text.h"
#include "ingest/collect/collect.h"
#include "ingest/collect/delivery_records.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static_assert((int)DELIVERY_FRAME_ID_MAX + 24 <= (int)DELIVERY_RECORDS_ID_SIZE,
              "a Frame-Id is cut");

struct delivery {
    const struct input_format *format;
    struct input *parser; /* of this format, in `parsers` */
    struct input *parsers[INPUT_FORMATS];
    struct collect *collect;
    const struct rulebook *book;
    struct match *match;        /* the book's */
    int64_t received_us;        /* in begin_lines: the line's */
    struct buf source, process; /* in begin_lines: of the last line with a head */
    struct buf drain;
    struct buf frame_id;
    bool has_msg_count;
    bool msg_count_read;
    uint64_t msg_count;
    struct delivery_counts counts; /* but for the parser's */
    delivery_record_fn *each_line; /* NULL: HTTP */
    void *ctx;
    struct delivery_records records;
};

static input_lines_fn on_lines;

/* Makes the parser of a format when a body first needs it. */
static int set_format(struct delivery *d, const struct input_format *format)
{
    size_t i = 0;

    while (input_formats[i] != format)
        i++;
    if (d->parsers[i] == NULL)
        d->parsers[i] = input_new(format, on_lines, d);
    if (d->parsers[i] == NULL)
        return ERR_NOMEM;
    d->format = format;
    d->parser = d->parsers[i];
    input_begin(d->parser);
    return 0;
}

struct delivery *delivery_new(void)
{
    struct delivery *d = calloc(1, sizeof *d);

    if (d == NULL)
        return NULL;
    buf_init(&d->drain, DELIVERY_DRAIN_MAX);
    buf_init(&d->source, LINE_BYTES_MAX);
    buf_init(&d->process, LINE_BYTES_MAX);
    buf_init(&d->frame_id, DELIVERY_FRAME_ID_MAX);
    d->collect = collect_new();
    if (d->collect == NULL || set_format(d, &input_logplex) != 0) {
        delivery_free(d);
        return NULL;
    }
    return d;
}

void delivery_free(struct delivery *d)
{
    if (d == NULL)
        return;
    delivery_records_close(&d->records);
    collect_free(d->collect);
    for (size_t i = 0; i < INPUT_FORMATS; i++)
        input_free(d->parsers[i]);
    buf_close(&d->process);
    buf_close(&d->source);
    buf_close(&d->frame_id);
    buf_close(&d->drain);
    free(d);
}

/* ---- beginning ---- */

static uint64_t add(uint64_t a, uint64_t b)
{
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

/* A header's number: digits and nothing else. One that is too large is no number. */
static bool read_count(const char *text, uint64_t *out)
{
    if (text == NULL || *text == '\0' || text[strspn(text, "0123456789")] != '\0')
        return false;
    errno = 0;
    *out = strtoull(text, NULL, 10);
    return errno == 0;
}

static int show(struct buf *out, const char *text)
{
    buf_clear(out);
    return text_append_printable(out, text, strlen(text));
}

bool delivery_takes_name(const char *drain)
{
    struct buf shown;
    int rc;

    if (strlen(drain) <= DELIVERY_DRAIN_MAX / 4) /* a byte is shown by four at most */
        return true;
    buf_init(&shown, DELIVERY_DRAIN_MAX);
    rc = show(&shown, drain);
    buf_close(&shown);
    return rc == 0;
}

static int set_names(struct delivery *d, const char *drain, const char *frame_id)
{
    int rc = show(&d->drain, drain);

    if (rc == 0 || rc == ERR_FULL) {
        rc = show(&d->frame_id, frame_id != NULL ? frame_id : "");
        if (rc == ERR_FULL) {
            buf_clear(&d->frame_id);
            rc = 0;
        }
    }
    return rc;
}

static int begin(struct delivery *d, const struct input_format *format, const struct rulebook *book,
                 int64_t received_us, const char *drain, const char *frame_id)
{
    int rc = set_format(d, format != NULL ? format : &input_logplex);

    if (rc != 0)
        return rc;
    collect_begin(d->collect, book);
    d->book = book;
    d->match = rulebook_match(book);
    d->received_us = received_us;
    d->counts = (struct delivery_counts){0};
    d->has_msg_count = d->msg_count_read = false;
    d->each_line = NULL;
    buf_clear(&d->source);
    buf_clear(&d->process);
    return set_names(d, drain, frame_id);
}

int delivery_begin(struct delivery *d, const struct rulebook *book,
                   const struct delivery_head *head)
{
    const char *const dropped[] = {head->drop_count, head->lost_count};
    int rc = begin(d, head->format, book, head->received_us, head->drain, head->frame_id);

    d->has_msg_count = head->msg_count != NULL;
    d->msg_count_read = read_count(head->msg_count, &d->msg_count);
    for (size_t i = 0; i < sizeof dropped / sizeof dropped[0]; i++) {
        uint64_t n;

        if (read_count(dropped[i], &n))
            d->counts.lost = add(d->counts.lost, n);
    }
    return rc;
}

static int64_t since_epoch(int64_t us)
{
    return us > 0 ? us : 0;
}

int delivery_begin_lines(struct delivery *d, const struct input_format *format,
                         const struct rulebook *book, const char *drain, int64_t start_us,
                         delivery_record_fn *fn, void *ctx)
{
    int rc = begin(d, format, book, since_epoch(start_us), drain, NULL);

    d->each_line = fn;
    d->ctx = ctx;
    return rc;
}

/* ---- lines ---- */

/* A line's own time goes into the record even if it is absurd. The engine decides whether to
 * believe it, as it knows one clock more. */
static int64_t event_time(const struct delivery *d, const struct line *line)
{
    return line->has_time ? line->time_us : d->received_us;
}

/* Judges a candidate and collects its matches. */
static int take_line(struct delivery *d, const struct line *line, const struct candidate *candidate)
{
    struct match_result result;
    int rc = match_line(d->match, line, candidate, &result);

    if (rc != 0)
        return rc;
    d->counts.own_lines += result.own;
    d->counts.lost = add(d->counts.lost, result.lost);
    if (result.n_rules == 0)
        return 0;
    return collect_add(d->collect, line, event_time(d, line), result.rules, result.n_rules);
}

static int take_candidates(struct delivery *d, const struct input_lines *lines,
                           const struct candidate *found, size_t n_found)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < n_found; i++) {
        struct line line;

        input_line(lines, found[i].line, &line);
        rc = take_line(d, &line, &found[i]);
    }
    return rc == 0 ? collect_keep_samples(d->collect) : rc;
}

/* One line as a record of its own. */
static int emit_line(struct delivery *d, const struct line *line, const struct candidate *candidate,
                     size_t len)
{
    uint64_t lost_before = d->counts.lost;
    struct wire_record whole = {
        .received_us = d->received_us,
        .drain = buf_text(&d->drain),
        .frame_id = "",
        .lines = 1,
        .bytes = len,
    };
    const struct wire_matches *matches;
    size_t n;
    int rc;

    collect_begin(d->collect, d->book);
    rc = take_line(d, line, candidate);
    whole.lost = d->counts.lost - lost_before;
    if (rc == 0)
        rc = collect_matches(d->collect, &matches, &n);
    if (rc == 0)
        rc = delivery_records_make(&d->records, &whole, matches, n);
    for (size_t i = 0; rc == 0 && i < d->records.n; i++)
        rc = d->each_line(d->ctx, &d->records.items[i]);
    return rc;
}

/* A line that continues the one before: it has neither time nor source. */
static bool is_continuation(const struct line *line)
{
    return line->form == LINE_BARE && !line->has_time;
}

/* Remembers what a continuation of this line takes from it. */
static int remember(struct delivery *d, const struct line *line)
{
    int rc;

    if (line->has_time) {
        d->counts.has_time = true;
        d->received_us = since_epoch(line->time_us);
    }
    buf_clear(&d->source);
    buf_clear(&d->process);
    rc = buf_append(&d->source, line->source.data, line->source.len);
    return rc == 0 ? buf_append(&d->process, line->process.data, line->process.len) : rc;
}

/* Remembers the last line with a head of those from `known` to `end`, whose heads were not read,
 * and the last time. It searches from the end because nearly all lines have both. */
static int catch_up(struct delivery *d, const struct input_lines *lines, size_t known, size_t end)
{
    bool has_head = false;
    struct line line = {.has_time = false};
    int rc = 0;

    while (rc == 0 && end > known && !line.has_time) {
        input_line(lines, --end, &line);
        if (!is_continuation(&line) && !has_head)
            rc = remember(d, &line);
        else if (line.has_time)
            d->received_us = since_epoch(line.time_us);
        has_head = has_head || !is_continuation(&line);
        d->counts.has_time = d->counts.has_time || line.has_time;
    }
    return rc;
}

/* Gives a continuation the source and the process of the last line with a head. */
static void complete(const struct delivery *d, struct line *line)
{
    if (!d->format->has_continuations || d->source.len == 0)
        return;
    line->form = LINE_HEROKU;
    line->source = (struct line_text){buf_text(&d->source), d->source.len};
    line->process = (struct line_text){buf_text(&d->process), d->process.len};
}

/* Reads the headers of the other lines only if a matched line lacks a time. */
static int emit_lines(struct delivery *d, const struct input_lines *lines,
                      const struct candidate *found, size_t n_found)
{
    size_t known = 0;
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < n_found; i++) {
        size_t at = found[i].line;
        struct line line;

        input_line(lines, at, &line);
        if (!line.has_time)
            rc = catch_up(d, lines, known, at);
        if (rc == 0 && is_continuation(&line))
            complete(d, &line);
        else if (rc == 0)
            rc = remember(d, &line);
        known = at + 1;
        line.time_us = since_epoch(line.time_us);
        if (rc == 0)
            rc = emit_line(d, &line, &found[i], lines->spans[at].len);
    }
    return rc == 0 ? catch_up(d, lines, known, lines->n) : rc;
}

static int take_lines(struct delivery *d, const struct input_lines *lines)
{
    const struct candidate *found;
    size_t n_found = match_candidates(d->match, lines->region, lines->spans, lines->n, &found);

    if (d->each_line != NULL)
        return emit_lines(d, lines, found, n_found);
    return n_found == 0 ? 0 : take_candidates(d, lines, found, n_found);
}

/* A format that decodes its lines puts them into memory of its own, so they are scanned here. */
static int on_lines(void *ctx, const struct input_lines *lines)
{
    struct delivery *d = ctx;
    const uint32_t *ends;
    size_t n_ends;
    int rc;

    if (d->format->in_place)
        return take_lines(d, lines);
    rc = match_scan(d->match, lines->region, lines->region_len, &ends, &n_ends);
    if (rc == 0)
        rc = take_lines(d, lines);
    match_forget(d->match);
    return rc;
}

/* The bytes are scanned before they are cut into lines. So the headers are in the cache when the
 * parser reads them, and lines far from any report need only be counted. */
int delivery_push(struct delivery *d, const void *bytes, size_t n)
{
    struct input_points points = {.times_matter = d->each_line != NULL};
    int rc;

    if (!d->format->in_place)
        return input_push(d->parser, bytes, n, NULL);
    rc = match_scan(d->match, bytes, n, &points.at, &points.n);
    if (rc == 0)
        rc = input_push(d->parser, bytes, n, points.at != NULL ? &points : NULL);
    match_forget(d->match);
    return rc;
}

/* At least one line is missing, so the app's counts read "at least". */
void delivery_count_damage(struct delivery *d)
{
    d->counts.malformed++;
    d->counts.lost = add(d->counts.lost, 1);
}

/* ---- finishing ---- */

size_t delivery_held_bytes(const struct delivery *d)
{
    const struct delivery_records *r = &d->records;

    return collect_held_bytes(d->collect) + d->parser->kept_bytes +
           r->cap * (sizeof *r->items + sizeof *r->ids) + r->cap_matches * sizeof *r->matches;
}

struct delivery_counts delivery_counts(const struct delivery *d)
{
    struct input_counts parsed = input_counts(d->parser);
    struct delivery_counts counts = d->counts;

    counts.lines = parsed.lines;
    counts.bytes = parsed.bytes;
    counts.malformed = add(counts.malformed, parsed.malformed);
    counts.time_us = d->received_us;
    counts.count_differs = d->has_msg_count && !(d->msg_count_read && d->msg_count == parsed.lines);
    return counts;
}

int delivery_finish(struct delivery *d, const struct wire_record **records, size_t *n)
{
    struct delivery_counts counts;
    struct wire_record whole;
    const struct wire_matches *matches;
    size_t n_matches;
    int rc = input_finish(d->parser);

    *records = NULL;
    *n = 0;
    if (rc != 0 || d->each_line != NULL)
        return rc;
    counts = delivery_counts(d);
    whole = (struct wire_record){.received_us = d->received_us,
                                 .drain = buf_text(&d->drain),
                                 .frame_id = buf_text(&d->frame_id),
                                 .lines = counts.lines,
                                 .bytes = counts.bytes,
                                 .malformed = counts.malformed,
                                 .lost = counts.lost,
                                 .count_differs = counts.count_differs};
    rc = collect_matches(d->collect, &matches, &n_matches);
    if (rc == 0)
        rc = delivery_records_make(&d->records, &whole, matches, n_matches);
    if (rc == 0) {
        *records = d->records.items;
        *n = d->records.n;
    }
    return rc;
}
