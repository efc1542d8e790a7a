/* The event stream as a file: what `export` writes and `replay` reads. Pure.
 *
 * A sequence of protobuf messages, each after its length as a varint: a CaptureHeader, then one
 * Captured for each entry, with a checksum (proto/drainwatch.proto). Any protobuf library reads it,
 * and a reader finds the offset of any damage. */
#ifndef DRAINWATCH_COMMON_RECORD_CAPTURE_H
#define DRAINWATCH_COMMON_RECORD_CAPTURE_H

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/record/wire.h"

#include <stddef.h>
#include <stdint.h>

enum {
    CAPTURE_VERSION = 1,
    CAPTURE_HEADER_MAX = 64,            /* bytes; a file with a longer one is no capture */
    CAPTURE_ENTRY_MAX = WIRE_ENTRY_MAX, /* a longer one is damage */
    CAPTURE_OVERHEAD_MAX = 32,          /* bytes that the form adds to an entry */
};

/* Each appends to `out`. They return 0, ERR_FULL or ERR_NOMEM; on failure `out` is unchanged. */
int capture_write_header(struct buf *out);
int capture_write(struct buf *out, struct wire_bytes entry);

/* Reads a capture piece by piece. All zeros before the first call. */
struct capture_reader {
    uint64_t offset; /* of the next message in the file */
    int has_header;
};

/* Reads one message from the beginning of `bytes`. Returns 1 with the entry, which points into
 * `bytes`; 0 if the message is incomplete; ERR_DAMAGED or ERR_VERSION with the offset in the error.
 * The caller drops `used` bytes before the next call, also after a 0 (the header). */
int capture_read(struct capture_reader *r, const void *bytes, size_t n, size_t *used,
                 struct wire_bytes *entry, struct err *err);

/* At the end of the file, with `left` bytes that capture_read did not take. Returns 0, or
 * ERR_DAMAGED if a message is cut off or the header is missing. */
int capture_end(const struct capture_reader *r, size_t left, struct err *err);

#endif
