/* The wire records of one delivery, made from its matches.
 *
 * Nearly always there is one record. A large delivery needs several, as the queue refuses a record
 * over WIRE_RECORD_MAX bytes. Pure. */
#ifndef DRAINWATCH_INGEST_COLLECT_DELIVERY_RECORDS_H
#define DRAINWATCH_INGEST_COLLECT_DELIVERY_RECORDS_H

#include "common/record/wire.h"

#include <stddef.h>
#include <stdint.h>

enum {
    /* Bytes of the matches in one record: half of the queue's limit, as a time of one byte on the
     * wire takes eight bytes of memory when it is unpacked (WIRE_MEMORY_MAX). */
    DELIVERY_RECORDS_BYTES = WIRE_MESSAGE_MAX / 2,
    DELIVERY_RECORDS_ID_SIZE = 160, /* of a Frame-Id with "#" and a number */
};

/* Zero it to begin. It keeps its memory for the next delivery. */
struct delivery_records {
    struct wire_record *items;
    size_t n;
    size_t cap;
    char (*ids)[DELIVERY_RECORDS_ID_SIZE]; /* Frame-Ids of all records but the first */
    struct wire_matches *matches;          /* of all records, one after the other */
    size_t n_matches;
    size_t cap_matches;
};

/* Splits the matches into records. The first has everything that `whole` has. The others have its
 * time and drain, a Frame-Id of their own ("ID#2") and counts of 0: so a repeat is still known as
 * one, and sums stay right. Without matches there is one record if `whole` reports a loss, else
 * none. The records point to the matches, their times and the names of `whole`, and are valid until
 * the next call. Returns 0 or ERR_NOMEM. */
int delivery_records_make(struct delivery_records *r, const struct wire_record *whole,
                          const struct wire_matches *matches, size_t n);
void delivery_records_close(struct delivery_records *r);

#endif
