/* The form of a saved engine: numbers and texts in a row, in a checked and versioned envelope.
 *
 * Small numbers take one byte, so that a hundred thousand keys stay a few megabytes. The envelope
 * (magic, version, body, checksum) is the same in every version; what the body holds is known to
 * the modules that write it. Pure. */
#ifndef DRAINWATCH_ALERTER_ENGINE_SNAPSHOT_H
#define DRAINWATCH_ALERTER_ENGINE_SNAPSHOT_H

#include "common/base/buf.h"
#include "common/base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    SNAPSHOT_VERSION = 3,        /* written */
    SNAPSHOT_VERSION_OLDEST = 2, /* that is still read; 2 tells less of a key */
};

/* Appends to a buffer. The first failure sticks and is what finish returns, so that the writers in
 * between need no checks. */
struct snapshot_writer {
    struct buf *out;
    size_t start; /* where the envelope begins in the buffer */
    int rc;
};

void snapshot_begin(struct snapshot_writer *w, struct buf *out);
void snapshot_put_u64(struct snapshot_writer *w, uint64_t number); /* 1 to 10 bytes */
void snapshot_put_i64(struct snapshot_writer *w, int64_t number);  /* the same, near 0 is short */
void snapshot_put_fixed64(struct snapshot_writer *w, uint64_t number); /* 8 bytes */
void snapshot_put_bytes(struct snapshot_writer *w, const void *bytes, size_t n);
/* Closes the envelope. Returns 0, ERR_FULL or ERR_NOMEM; if it is not 0, the buffer holds what it
 * held before begin. */
int snapshot_finish(struct snapshot_writer *w);

/* Reads a body. The first fault sticks: all that is read from there on is 0, "" or NULL. */
struct snapshot_reader {
    const uint8_t *next;
    const uint8_t *end;
    int version;
    bool bad;
};

/* Checks the envelope. Returns 0, ERR_DAMAGED or ERR_VERSION. */
int snapshot_open(struct snapshot_reader *r, const void *bytes, size_t n, struct err *err);
uint64_t snapshot_get_u64(struct snapshot_reader *r);
/* A number that must not be above `max`, else it is a fault. */
uint64_t snapshot_get_max(struct snapshot_reader *r, uint64_t max);
int64_t snapshot_get_i64(struct snapshot_reader *r);
uint64_t snapshot_get_fixed64(struct snapshot_reader *r);
/* Bytes where they lie. */
const uint8_t *snapshot_get_bytes(struct snapshot_reader *r, size_t *n);
/* The number of items that follow; a fault if they could not fit, each taking `item_min` bytes or
 * more, in what is left. So memory that is taken for them is bounded by what was read. */
size_t snapshot_get_count(struct snapshot_reader *r, size_t item_min);
/* Whether all was read and nothing was wrong. */
bool snapshot_complete(const struct snapshot_reader *r);

#endif
