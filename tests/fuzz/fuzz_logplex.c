/* Any body, in any chunks: the parser hands over what logplex_reference.h does, and each
 * line's parts lie within the line.
 *
 * An input that begins with a byte 0x01 is a short form of a body with lines of 64 KiB and more
 * (see expand), which could not stay small otherwise. Any other is the body as it stands. */
#include "ingest/input/input.h"
#include "tests/unit/ingest/input/logplex_reference.h"

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

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

static void add(struct seen *seen, const char *line, size_t len)
{
    if (seen->n == seen->cap) {
        seen->cap = seen->cap ? 2 * seen->cap : 64;
        seen->lines = realloc(seen->lines, seen->cap * sizeof *seen->lines);
        assert(seen->lines != NULL);
    }
    seen->lines[seen->n++] = (struct seen_line){.len = (uint32_t)len, .hash = hash_of(line, len)};
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

struct reference {
    const char *body;
    struct seen seen;
};

static void on_reference_line(void *ctx, size_t start, size_t len)
{
    struct reference *r = ctx;

    add(&r->seen, r->body + start, len);
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
    struct input_counts counts = reference_parse(body, n, on_reference_line, &want);
    struct seen seen = {0};
    struct input *p = input_new(&input_logplex, on_lines, &seen);
    uint32_t seed = hash_of(body, n) | 1;

    assert(p != NULL);
    check(p, &seen, &want, counts, (struct chunks){.largest = n + 1});
    if (n <= SMALL_BODY) {
        check(p, &seen, &want, counts, (struct chunks){.largest = 1});
        check(p, &seen, &want, counts, (struct chunks){.largest = 48, .state = seed});
    }
    check(p, &seen, &want, counts, (struct chunks){.largest = 4096, .state = seed});
    check(p, &seen, &want, counts, (struct chunks){.largest = 100000, .state = seed});
    input_free(p);
    free(seen.lines);
    free(want.seen.lines);
    free(body);
    return 0;
}
