/* Gathers records for one message. Called by sender. */
#include "common/queue/batch.h"

#include <string.h>

void batch_init(struct batch *b)
{
    b->n = 0;
    buf_init(&b->bytes, SENDER_PUSH_BYTES + WIRE_RECORD_MAX);
}

void batch_close(struct batch *b)
{
    buf_close(&b->bytes);
}

void batch_clear(struct batch *b)
{
    b->n = 0;
    buf_clear(&b->bytes);
}

bool batch_add(struct batch *b, int64_t position, uint64_t sequence, const void *bytes, size_t n)
{
    if (b->n > 0 && (b->n == SENDER_PUSH_RECORDS || b->bytes.len + n > SENDER_PUSH_BYTES ||
                     sequence != b->sequence + b->n))
        return false;
    if (buf_append(&b->bytes, bytes, n) != 0)
        return false;
    if (b->n == 0) {
        b->position = position;
        b->sequence = sequence;
    }
    b->lens[b->n++] = n;
    return true;
}

int batch_pack(const struct batch *b, const uint8_t sender[WIRE_SENDER_BYTES], uint64_t base,
               struct buf *out)
{
    struct wire_bytes records[SENDER_PUSH_RECORDS];
    struct wire_push push = {
        .base = base, .first = b->sequence, .records = records, .n_records = b->n};
    const uint8_t *at = b->bytes.data;

    memcpy(push.sender, sender, sizeof push.sender);
    for (size_t i = 0; i < b->n; i++) {
        records[i] = (struct wire_bytes){.data = at, .len = b->lens[i]};
        at += b->lens[i];
    }
    return wire_pack_push(&push, out);
}
