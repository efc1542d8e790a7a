/* The form of a saved engine: numbers and texts in a row, in a checked and versioned envelope.
 *
 * Small numbers take one byte, so that a hundred thousand keys stay a few megabytes. The envelope
 * (magic, version, body, checksum) is the same in every version; the body is up to the modules that
 * write it. Pure. */
#ifndef DRAINWATCH_ALERTER_ENGINE_SNAPSHOT_H
#define DRAINWATCH_ALERTER_ENGINE_SNAPSHOT_H

#include "common/base/buf.h"
#include "common/base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    SNAPSHOT_VERSION = 7, /* written */
    /* That is still read. 2 tells less of a key, 3 no budgets, 4 no apps of budgets; 5 takes more
     * bytes for a window, 6 no number of an app's alerts. */
    SNAPSHOT_VERSION_OLDEST = 2,
    SNAPSHOT_U64_BYTES = 10, /* of an encoded number at most */
};

/* Appends to a buffer. finish returns the first failure, so that the writers in between need no
 * checks. */
struct snapshot_writer {
    struct buf *out;
    size_t start; /* where the envelope begins in the buffer */
    int rc;
};

void snapshot_begin(struct snapshot_writer *w, struct buf *out);
void snapshot_put_u64(struct snapshot_writer *w, uint64_t number); /* 1 to 10 bytes */
/* The same for many numbers, which are encoded first and then put at once: this saves a third of
 * the time that a large snapshot takes. */
void snapshot_put_encoded(struct snapshot_writer *w, const uint8_t *bytes, size_t n);
static inline size_t snapshot_encode_u64(uint8_t out[SNAPSHOT_U64_BYTES], uint64_t number)
{
    size_t n = 0;

    for (; number >= 0x80; number >>= 7)
        out[n++] = (uint8_t)(number | 0x80);
    out[n++] = (uint8_t)number;
    return n;
}
void snapshot_put_i64(struct snapshot_writer *w, int64_t number); /* the same, near 0 is short */
void snapshot_put_fixed64(struct snapshot_writer *w, uint64_t number); /* 8 bytes */
void snapshot_put_bytes(struct snapshot_writer *w, const void *bytes, size_t n);
/* Closes the envelope. Returns 0, ERR_FULL or ERR_NOMEM; on an error the buffer is as it was before
 * begin. */
int snapshot_finish(struct snapshot_writer *w);

/* Reads a body. After the first fault every read returns 0, "" or NULL. */
struct snapshot_reader {
    const uint8_t *next;
    const uint8_t *end;
    int version;
    bool bad;
};

/* Checks the envelope. Returns 0, ERR_DAMAGED or ERR_VERSION. */
int snapshot_open(struct snapshot_reader *r, const void *bytes, size_t n, struct err *err);
uint64_t snapshot_get_u64(struct snapshot_reader *r);
/* A number; above `max` it is a fault. */
uint64_t snapshot_get_max(struct snapshot_reader *r, uint64_t max);
int64_t snapshot_get_i64(struct snapshot_reader *r);
uint64_t snapshot_get_fixed64(struct snapshot_reader *r);
/* Bytes in place. */
const uint8_t *snapshot_get_bytes(struct snapshot_reader *r, size_t *n);
/* The number of items that follow; a fault if that many, of at least `item_min` bytes each, do not
 * fit in the rest. So the memory for them is bounded by the size of the input. */
size_t snapshot_get_count(struct snapshot_reader *r, size_t item_min);
/* Whether everything was read without a fault. */
bool snapshot_complete(const struct snapshot_reader *r);

#endif
