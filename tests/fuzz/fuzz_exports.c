/* Any bytes, in any chunks, read as each exported format: every chunking gives the same lines, and
 * the lines lie as the seam promises. */
#include "ingest/input/input.h"

#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct seen {
    uint64_t lines;
    uint32_t hash;
};

static void hash_text(struct seen *seen, struct line_text text)
{
    for (size_t i = 0; i < text.len; i++)
        seen->hash = (seen->hash ^ (uint8_t)text.data[i]) * 16777619u;
    seen->hash = (seen->hash ^ 0x100u) * 16777619u;
}

static int on_lines(void *ctx, const struct input_lines *lines)
{
    struct seen *seen = ctx;
    size_t at = 0;

    assert(lines->n >= 1 && lines->n <= LINE_BATCH_MAX && lines->region_len <= LINE_REGION_MAX);
    assert(lines->spans[0].start == 0);
    for (size_t i = 0; i < lines->n; i++) {
        struct line_span span = lines->spans[i];
        struct line line;

        input_line(lines, i, &line);
        assert(span.start >= at && span.len >= 1 && span.len <= LINE_BYTES_MAX);
        at = span.start + span.len;
        assert(line.message.data == lines->region + span.start && line.message.len == span.len);
        assert(line.form != LINE_BARE || line.source.len == 0);
        hash_text(seen, line.source);
        hash_text(seen, line.process);
        hash_text(seen, line.message);
        if (line.has_time)
            hash_text(seen, (struct line_text){(const char *)&line.time_us, sizeof line.time_us});
        seen->lines++;
    }
    assert(at == lines->region_len);
    return 0;
}

static struct seen read_all(const struct input_format *format, const char *body, size_t n,
                            size_t chunk)
{
    struct seen seen = {.hash = 2166136261u};
    struct input *in = input_new(format, on_lines, &seen);

    assert(in != NULL);
    for (size_t at = 0; at < n; at += chunk) {
        size_t len = n - at < chunk ? n - at : chunk;
        char *copy = malloc(len); /* so that the sanitizer sees a read beyond it */

        assert(copy != NULL);
        memcpy(copy, body + at, len);
        assert(input_push(in, copy, len, NULL) == 0);
        free(copy);
    }
    assert(input_finish(in) == 0);
    assert(seen.lines <= input_counts(in).lines && input_counts(in).bytes == n);
    input_free(in);
    return seen;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct input_format *const formats[] = {&input_papertrail, &input_json_lines};
    const char *body = (const char *)data;

    assert(input_recognise(body, size) != NULL);
    for (size_t i = 0; i < 2; i++) {
        struct seen whole = read_all(formats[i], body, size, size + 1);

        for (size_t chunk = 1; chunk <= 1000; chunk = chunk * 31 + 1) {
            struct seen cut = read_all(formats[i], body, size, chunk);

            assert(cut.lines == whole.lines && cut.hash == whole.hash);
        }
    }
    return 0;
}
