/* Consecutive records, gathered for one message. Part of sender. */
#ifndef DRAINWATCH_COMMON_QUEUE_BATCH_H
#define DRAINWATCH_COMMON_QUEUE_BATCH_H

#include "common/base/buf.h"
#include "common/queue/sender.h"
#include "common/record/wire.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct batch {
    int64_t position;  /* of the first record in the journal */
    uint64_t sequence; /* of the first record; each further one is one more */
    size_t n;
    size_t lens[SENDER_PUSH_RECORDS];
    struct buf bytes;
};

void batch_init(struct batch *b);
void batch_close(struct batch *b);
void batch_clear(struct batch *b);

/* Adds a copy. Returns false if the record does not follow the last one or does not fit. */
bool batch_add(struct batch *b, int64_t position, uint64_t sequence, const void *bytes, size_t n);

/* Appends the message to `out`. `base` is the oldest sequence that the sender holds. Returns as
 * wire_pack_push. */
int batch_pack(const struct batch *b, const uint8_t sender[WIRE_SENDER_BYTES], uint64_t base,
               struct buf *out);

#endif
