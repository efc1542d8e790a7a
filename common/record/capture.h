/* The event stream as a file: what `export` writes and `replay` reads. Pure.
 *
 * A sequence of protobuf messages, each behind its length as a varint: a CaptureHeader, then one
 * Captured for each entry, with a checksum (proto/drainwatch.proto). So any protobuf implementation
 * reads it, and a damaged or cut-off file is noticed where it is damaged. */
#ifndef DRAINWATCH_COMMON_RECORD_CAPTURE_H
#define DRAINWATCH_COMMON_RECORD_CAPTURE_H

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/record/wire.h"

#include <stddef.h>
#include <stdint.h>

enum {
    CAPTURE_VERSION = 1,
    CAPTURE_ENTRY_MAX = WIRE_ENTRY_MAX, /* a longer one is damage */
    CAPTURE_OVERHEAD_MAX = 32,          /* bytes that the form adds to an entry */
};

/* Append to `out`. Return 0, ERR_FULL or ERR_NOMEM; after either of these `out` is as it was. */
int capture_write_header(struct buf *out);
int capture_write(struct buf *out, struct wire_bytes entry);

/* Reads a capture piece by piece. All zeros before the first call. */
struct capture_reader {
    uint64_t offset; /* of the next message in the file */
    int has_header;
};

/* Reads one message from the beginning of `bytes`. Returns 1 with the entry, which points into
 * `bytes`; 0 where there is no whole message yet; ERR_DAMAGED or ERR_VERSION with the offset in the
 * message. `used` bytes are done with and are not to be given again (the header is done with before
 * the first entry). */
int capture_read(struct capture_reader *r, const void *bytes, size_t n, size_t *used,
                 struct wire_bytes *entry, struct err *err);

/* At the end of the file, with `left` bytes that capture_read did not take: 0, or ERR_DAMAGED where
 * they are the beginning of a message that was cut off, or not even a header was there. */
int capture_end(const struct capture_reader *r, size_t left, struct err *err);

#endif
