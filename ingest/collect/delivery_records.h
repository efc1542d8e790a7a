/* The wire records of one delivery, made from its parts. Pure. */
#ifndef DRAINWATCH_INGEST_COLLECT_DELIVERY_RECORDS_H
#define DRAINWATCH_INGEST_COLLECT_DELIVERY_RECORDS_H

#include "common/record/wire.h"
#include "ingest/collect/parts.h"

#include <stddef.h>

enum { DELIVERY_RECORDS_ID_SIZE = 160 }; /* of a Frame-Id with "#" and a number */

/* Zero it to begin. It keeps its memory for the next delivery. */
struct delivery_records {
    struct wire_record *items;
    size_t n;
    char (*ids)[DELIVERY_RECORDS_ID_SIZE]; /* Frame-Ids of all records but the first */
    size_t cap;
};

/* Makes a record of each part. The first has everything that `whole` has. The others have its time
 * and drain, a Frame-Id of their own ("ID#2") and counts of 0: so a repeat is still known as one,
 * and sums stay right. Without parts there is one record if `whole` reports a loss, else none. The
 * records point to the parts' matches and to the names of `whole`. Returns 0 or ERR_NOMEM. */
int delivery_records_make(struct delivery_records *r, const struct wire_record *whole,
                          const struct part *parts, size_t n_parts);
void delivery_records_close(struct delivery_records *r);

#endif
