/* Any body, in any chunks: the parser hands over what logplex_reference.h does, and each
 * line's parts lie within the line. Then the same with points, as a delivery pushes its chunks: all
 * lines are counted, and the lines that matter are handed over in their order.
 *
 * An input that begins with a byte 0x01 is a short form of a body with lines of 64 KiB and more
 * (see expand), which could not stay small otherwise. Any other is the body as it stands. */
#include "tests/fuzz/feed.h"

#include "ingest/input/input.h"
#include "tests/unit/ingest/input/logplex_reference.h"

enum {
    BODY_MAX = 512 << 10,
    SMALL_BODY = 16 << 10, /* larger ones are not pushed in tiny chunks, which is slow */
};

struct seen_line {
    uint32_t len;
    uint32_t hash;
};

/* Lines in the order they came; a line is compared by length and hash, wherever it lay. */
struct seen {
    struct seen_line *lines;
    size_t n;
    size_t cap;
};

static uint32_t hash_of(const char *bytes, size_t n)
{
    uint32_t h = 2166136261u;

    for (size_t i = 0; i < n; i++)
        h = (h ^ (uint8_t)bytes[i]) * 16777619u;
    return h;
}

static void add_line(struct seen *seen, struct seen_line line)
{
    if (seen->n == seen->cap) {
        seen->cap = seen->cap ? 2 * seen->cap : 64;
        seen->lines = realloc(seen->lines, seen->cap * sizeof *seen->lines);
        assert(seen->lines != NULL);
    }
    seen->lines[seen->n++] = line;
}

static void add(struct seen *seen, const char *line, size_t len)
{
    add_line(seen, (struct seen_line){.len = (uint32_t)len, .hash = hash_of(line, len)});
}

static void check_within(const struct line_text *part, const char *line, size_t len)
{
    assert(part->data >= line && part->data <= line + len);
    assert(part->len <= len - (size_t)(part->data - line));
}

static void check_parts(const char *line, size_t len)
{
    struct line parts;

    line_read(line, len, &parts);
    check_within(&parts.source, line, len);
    check_within(&parts.process, line, len);
    check_within(&parts.message, line, len);
    assert(parts.form != LINE_BARE || (parts.source.len == 0 && parts.process.len == 0));
    assert(parts.form != LINE_HEROKU || parts.has_time);
    /* The message ends at the end of the line. */
    assert(parts.message.data + parts.message.len == line + len);
}

static int on_lines(void *ctx, const struct input_lines *batch)
{
    const char *region = batch->region;
    const struct line_span *lines = batch->spans;
    size_t region_len = batch->region_len, n = batch->n, at = 0;

    assert(n >= 1 && n <= LINE_BATCH_MAX && region_len <= LINE_REGION_MAX);
    assert(lines[0].start == 0 && lines[n - 1].start + lines[n - 1].len == region_len);
    for (size_t i = 0; i < n; i++) {
        const char *line = region + lines[i].start;
        /* Its own block, so that the sanitizer sees a read beyond the line. */
        char *copy = malloc(lines[i].len);

        assert(copy != NULL);
        assert(lines[i].len >= 1 && lines[i].len <= LINE_BYTES_MAX);
        assert(lines[i].start >= at);
        at = lines[i].start + lines[i].len;
        assert(at <= region_len);
        assert(line[lines[i].len - 1] != '\n' && line[lines[i].len - 1] != '\r');
        memcpy(copy, line, lines[i].len);
        check_parts(copy, lines[i].len);
        free(copy);
        add(ctx, line, lines[i].len);
    }
    return 0;
}

enum { POINTS_MAX = 64 };

struct reference {
    const char *body;
    struct seen seen;
    uint32_t points[POINTS_MAX]; /* offsets into the body, ascending */
    size_t n_points;
    struct seen pointed; /* the lines that hold a point */
    struct seen timed;   /* each of them without a time after the last line with one; and the last
                            line of all with one */
    struct seen_line last_timed;
    size_t last_timed_at, put_timed_at; /* numbers of lines, from 1 */
};

static bool is_pointed(const struct reference *r, size_t start, size_t len)
{
    for (size_t i = 0; i < r->n_points; i++) {
        if (r->points[i] >= start && r->points[i] < start + len)
            return true;
    }
    return false;
}

static void put_last_timed(struct reference *r)
{
    if (r->last_timed_at > r->put_timed_at)
        add_line(&r->timed, r->last_timed);
    r->put_timed_at = r->last_timed_at;
}

static void on_reference_line(void *ctx, size_t start, size_t len)
{
    struct reference *r = ctx;
    struct seen_line line = {.len = (uint32_t)len, .hash = hash_of(r->body + start, len)};
    struct line parts;

    add(&r->seen, r->body + start, len);
    line_read(r->body + start, len, &parts);
    if (parts.has_time) {
        r->last_timed = line;
        r->last_timed_at = r->seen.n;
    }
    if (!is_pointed(r, start, len))
        return;
    add_line(&r->pointed, line);
    put_last_timed(r);
    if (!parts.has_time)
        add_line(&r->timed, line);
}

/* How the next chunk is sized: the whole, bytes, or drawn from a generator that the body seeds. */
struct chunks {
    size_t largest;
    uint32_t state; /* 0: each chunk is the largest */
};

static size_t next_chunk(struct chunks *c, size_t left)
{
    size_t n = c->largest;

    if (c->state != 0) {
        c->state ^= c->state << 13;
        c->state ^= c->state >> 17;
        c->state ^= c->state << 5;
        n = 1 + c->state % c->largest;
    }
    return n < left ? n : left;
}

static void push_all(struct input *p, const char *body, size_t n, struct chunks chunks)
{
    for (size_t at = 0; at < n;) {
        size_t len = next_chunk(&chunks, n - at);
        char *chunk = malloc(len);

        assert(chunk != NULL);
        memcpy(chunk, body + at, len);
        assert(input_push(p, chunk, len, NULL) == 0);
        free(chunk); /* nothing may be kept of it */
        at += len;
    }
    assert(input_finish(p) == 0);
}

/* Pushes the body in these chunks and compares the lines with the reference. */
static void check(struct input *p, struct seen *seen, const struct reference *want,
                  struct input_counts counts, struct chunks chunks)
{
    struct input_counts got;

    seen->n = 0;
    input_begin(p);
    push_all(p, want->body, (size_t)counts.bytes, chunks);
    got = input_counts(p);
    assert(got.bytes == counts.bytes);
    assert(got.lines == counts.lines && got.malformed == counts.malformed);
    assert(seen->n == want->seen.n && seen->n == got.lines);
    for (size_t i = 0; i < seen->n; i++)
        assert(seen->lines[i].len == want->seen.lines[i].len &&
               seen->lines[i].hash == want->seen.lines[i].hash);
}

/* The points of the chunk that begins at `at`, as offsets into it. */
static struct input_points points_of(const struct reference *r, size_t at, size_t len,
                                     uint32_t out[POINTS_MAX])
{
    struct input_points points = {.at = out};

    for (size_t i = 0; i < r->n_points; i++) {
        if (r->points[i] >= at && r->points[i] < at + len)
            out[points.n++] = (uint32_t)(r->points[i] - at);
    }
    return points;
}

/* Whether all lines of `part` stand in `all`, in their order. */
static bool holds(const struct seen *all, const struct seen *part)
{
    size_t next = 0;

    for (size_t i = 0; i < all->n && next < part->n; i++)
        next += all->lines[i].len == part->lines[next].len &&
                all->lines[i].hash == part->lines[next].hash;
    return next == part->n;
}

static void check_points(struct input *p, struct seen *seen, const struct reference *want,
                         struct input_counts counts, struct chunks chunks, bool times_matter)
{
    size_t n = (size_t)counts.bytes;
    uint32_t at_of[POINTS_MAX];

    seen->n = 0;
    input_begin(p);
    for (size_t at = 0; at < n;) {
        size_t len = next_chunk(&chunks, n - at);
        struct input_points points = points_of(want, at, len, at_of);
        char *chunk = feed_copy(want->body + at, len);

        points.times_matter = times_matter;
        assert(input_push(p, chunk, len, &points) == 0);
        free(chunk);
        at += len;
    }
    assert(input_finish(p) == 0);
    assert(input_counts(p).lines == counts.lines && input_counts(p).bytes == counts.bytes);
    assert(input_counts(p).malformed == counts.malformed);
    assert(holds(&want->seen, seen) && holds(seen, &want->pointed));
    assert(!times_matter || holds(seen, &want->timed));
}

/* Some points, which depend on the body alone. */
static void put_points(struct reference *r, size_t n, uint32_t state)
{
    size_t step = 1 + state % 97 * (n / 500 + 1);

    for (size_t at = state % 31; at < n && r->n_points < POINTS_MAX; at += 1 + step * (at % 3))
        r->points[r->n_points++] = (uint32_t)at;
}

/* The body that an input stands for. In one that begins with 0x01, each later 0x01 and the byte X
 * after it repeat the byte before them 4096 + X times; the first is dropped. */
static char *expand(const uint8_t *data, size_t size, size_t *n)
{
    char *body = malloc(BODY_MAX);

    assert(body != NULL);
    *n = 0;
    for (size_t i = 0; i < size && *n < BODY_MAX; i++) {
        size_t times = 1;

        if (data[0] == 1 && data[i] == 1) {
            if (*n == 0 || i + 1 == size)
                continue;
            times = 4096 + data[++i];
            times = times < BODY_MAX - *n ? times : BODY_MAX - *n;
            memset(body + *n, body[*n - 1], times);
        } else {
            body[*n] = (char)data[i];
        }
        *n += times;
    }
    return body;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t n;
    char *body = expand(data, size, &n);
    struct reference want = {.body = body};
    struct seen seen = {0};
    struct input *p = input_new(&input_logplex, on_lines, &seen);
    uint32_t seed = hash_of(body, n) | 1;
    struct input_counts counts;

    assert(p != NULL);
    put_points(&want, n, seed);
    counts = reference_parse(body, n, on_reference_line, &want);
    put_last_timed(&want);
    check(p, &seen, &want, counts, (struct chunks){.largest = n + 1});
    if (n <= SMALL_BODY) {
        check(p, &seen, &want, counts, (struct chunks){.largest = 1});
        check(p, &seen, &want, counts, (struct chunks){.largest = 48, .state = seed});
    }
    check(p, &seen, &want, counts, (struct chunks){.largest = 4096, .state = seed});
    check(p, &seen, &want, counts, (struct chunks){.largest = 100000, .state = seed});
    for (int times_matter = 0; times_matter < 2; times_matter++) {
        struct chunks whole = {.largest = n + 1}, cut = {.largest = 4096, .state = seed};

        check_points(p, &seen, &want, counts, whole, times_matter);
        check_points(p, &seen, &want, counts, cut, times_matter);
        if (n <= SMALL_BODY) {
            cut.largest = 48;
            check_points(p, &seen, &want, counts, cut, times_matter);
        }
    }
    input_free(p);
    free(seen.lines);
    free(want.seen.lines);
    free(want.pointed.lines);
    free(want.timed.lines);
    free(body);
    return 0;
}
