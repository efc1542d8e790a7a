/* Gathers the entries of a capture and writes them to standard output; used by scan. */
#include "ingest/commands/capture_out.h"

#include "common/record/capture.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

enum { GATHER_BYTES = 256 << 10 };

void capture_out_init(struct capture_out *o)
{
    *o = (struct capture_out){0};
    buf_init(&o->record, WIRE_RECORD_MAX);
    buf_init(&o->entry, WIRE_MESSAGE_MAX);
    buf_init(&o->out, GATHER_BYTES + WIRE_MESSAGE_MAX + CAPTURE_OVERHEAD_MAX);
}

void capture_out_close(struct capture_out *o)
{
    buf_close(&o->out);
    buf_close(&o->entry);
    buf_close(&o->record);
}

static int out_of_memory(struct err *err)
{
    return err_set(err, ERR_NOMEM, "out of memory");
}

int capture_out_flush(struct capture_out *o, struct err *err)
{
    const uint8_t *at = o->out.data;
    size_t left = o->out.len;

    while (left > 0) {
        ssize_t n = write(STDOUT_FILENO, at, left);

        if (n < 0 && errno != EINTR) {
            o->reader_gone = errno == EPIPE;
            return err_set(err, ERR_IO, "cannot write: %s", strerror(errno));
        }
        at += n > 0 ? n : 0;
        left -= n > 0 ? (size_t)n : 0;
    }
    buf_clear(&o->out);
    return 0;
}

static int put_entry(struct capture_out *o, const struct wire_entry *entry, struct err *err)
{
    buf_clear(&o->entry);
    if (wire_pack_entry(entry, &o->entry) != 0 ||
        capture_write(&o->out, (struct wire_bytes){o->entry.data, o->entry.len}) != 0)
        return out_of_memory(err);
    return o->out.len < GATHER_BYTES ? 0 : capture_out_flush(o, err);
}

int capture_out_rules(struct capture_out *o, const struct buf *text, struct err *err)
{
    if (capture_write_header(&o->out) != 0)
        return out_of_memory(err);
    return put_entry(o, &(struct wire_entry){0, WIRE_INPUT_RULES, {text->data, text->len}}, err);
}

int capture_out_record(struct capture_out *o, const struct wire_record *found, struct err *err)
{
    struct wire_record record = *found;

    record.sequence = ++o->sequence;
    buf_clear(&o->record);
    if (wire_pack_record(&record, &o->record) != 0)
        return out_of_memory(err);
    return put_entry(o,
                     &(struct wire_entry){
                         record.received_us, WIRE_INPUT_RECORD, {o->record.data, o->record.len}},
                     err);
}
