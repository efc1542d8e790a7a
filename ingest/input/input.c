/* The table of input formats and the calls through it; used by ingest/http, ingest/collect, scan.
 */
#include "ingest/input/input.h"

#include <string.h>

const struct input_format *const input_formats[INPUT_FORMATS] = {
    &input_logplex,
    &input_papertrail,
    &input_json_lines,
    &input_plain,
};

void input_line(const struct input_lines *lines, size_t i, struct line *out)
{
    if (lines->read != NULL)
        *out = lines->read[i];
    else
        line_read(lines->region + lines->spans[i].start, lines->spans[i].len, out);
}

const struct input_format *input_at(const char *path)
{
    for (size_t i = 0; i < INPUT_FORMATS; i++) {
        if (input_formats[i]->path != NULL && strcmp(input_formats[i]->path, path) == 0)
            return input_formats[i];
    }
    return NULL;
}

const struct input_format *input_recognise(const char *bytes, size_t n)
{
    size_t i = 0;

    while (i + 1 < INPUT_FORMATS && !input_formats[i]->recognises(bytes, n))
        i++;
    return input_formats[i];
}

struct input *input_new(const struct input_format *format, input_lines_fn *on_lines, void *ctx)
{
    struct input *in = format->new ();

    if (in == NULL)
        return NULL;
    in->format = format;
    in->on_lines = on_lines;
    in->ctx = ctx;
    in->kept_bytes = 0;
    input_begin(in);
    return in;
}

void input_free(struct input *in)
{
    if (in != NULL)
        in->format->free(in);
}

void input_begin(struct input *in)
{
    in->counts = (struct input_counts){0};
    in->format->begin(in);
}

int input_push(struct input *in, const char *bytes, size_t n, const struct input_points *points)
{
    in->counts.bytes += n;
    return in->format->push(in, bytes, n, points);
}

int input_finish(struct input *in)
{
    return in->format->finish(in);
}

struct input_counts input_counts(const struct input *in)
{
    return in->counts;
}
