/* Papertrail's archives: ten columns a line, with tabs between them; a row of input_formats. */
#include "ingest/input/records.h"

#include <string.h>

/* The columns, in their order. */
enum {
    ID,
    GENERATED_AT,
    RECEIVED_AT,
    SOURCE_ID,
    SOURCE_NAME,
    SOURCE_IP,
    FACILITY,
    SEVERITY,
    PROGRAM,
    MESSAGE, /* may hold tabs */
    COLUMNS,
};

static bool cut_columns(const char *text, size_t len, struct line_text columns[COLUMNS])
{
    const char *end = text + len;

    for (size_t i = 0; i < MESSAGE; i++) {
        const char *tab = memchr(text, '\t', (size_t)(end - text));

        if (tab == NULL)
            return false;
        columns[i] = (struct line_text){text, (size_t)(tab - text)};
        text = tab + 1;
    }
    columns[MESSAGE] = (struct line_text){text, (size_t)(end - text)};
    return true;
}

static bool read_row(struct records *r, const char *text, size_t len)
{
    struct line_text columns[COLUMNS];
    struct record record = {0};

    if (!cut_columns(text, len, columns))
        return false;
    record.has_time =
        records_time(columns[GENERATED_AT].data, columns[GENERATED_AT].len, &record.time_us) ||
        records_time(columns[RECEIVED_AT].data, columns[RECEIVED_AT].len, &record.time_us);
    record.program = columns[PROGRAM];
    record.message = columns[MESSAGE];
    if (record.has_time)
        records_add(r, &record);
    return record.has_time;
}

static struct input *papertrail_new(void)
{
    return records_new(read_row);
}

static bool papertrail_recognises(const char *bytes, size_t n)
{
    return records_recognise(bytes, n, read_row);
}

const struct input_format input_papertrail = {
    .name = "a Papertrail archive",
    .recognises = papertrail_recognises,
    .new = papertrail_new,
    .free = records_free,
    .begin = records_begin,
    .push = records_push,
    .finish = records_finish,
};
