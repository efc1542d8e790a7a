/* Splits the matches of a delivery into parts that fit a record each.
 *
 * Nearly always there is one part. A large delivery needs several, as the queue refuses a record
 * over WIRE_RECORD_MAX bytes. Pure. */
#ifndef DRAINWATCH_INGEST_COLLECT_PARTS_H
#define DRAINWATCH_INGEST_COLLECT_PARTS_H

#include "common/record/wire.h"

#include <stddef.h>
#include <stdint.h>

/* Bytes of the matches in one part: half of the queue's limit, as a time of one byte on the wire
 * takes eight bytes of memory when it is unpacked (WIRE_MEMORY_MAX). */
enum { PARTS_RECORD_BYTES = WIRE_MESSAGE_MAX / 2 };

/* The matches of one record. */
struct part {
    const struct wire_matches *matches;
    size_t n;
};

/* Zero it to begin. It keeps its memory for the next split. */
struct parts {
    struct part *parts;
    size_t n_parts;
    size_t cap_parts;
    struct wire_matches *matches; /* of all parts, one after the other */
    size_t n_matches;
    size_t cap_matches;
};

/* Splits the matches. Times are packed as differences, the first one from `received_us`. The parts
 * point to the matches and to their times, and are valid until the next call. Returns 0 or
 * ERR_NOMEM. */
int parts_split(struct parts *p, const struct wire_matches *matches, size_t n, int64_t received_us);
void parts_close(struct parts *p);

#endif
