/* When to say that deliveries came in: the first at once, those that follow within a second summed
 * up at its end. So one delivery is seen as it arrives, and a storm costs a line a second. Pure. */
#ifndef DRAINWATCH_INGEST_RECEIPT_H
#define DRAINWATCH_INGEST_RECEIPT_H

#include <stdbool.h>
#include <stdint.h>

enum { RECEIPT_SIZE = 160 };

struct receipt {
    int64_t window_ends_us; /* 0: no second is running */
    uint64_t lines;         /* of the deliveries that wait for its end */
    uint64_t deliveries;
};

/* Counts a delivery. True: `out` is the line to print now, without its newline. */
bool receipt_add(struct receipt *r, uint64_t lines, int64_t now_us, char out[RECEIPT_SIZE]);

/* True where a sum is due (or, with `all`, where any is held back): `out` is the line. */
bool receipt_due(struct receipt *r, int64_t now_us, bool all, char out[RECEIPT_SIZE]);

/* When receipt_due is to be asked again; INT64_MAX: not before the next delivery. */
int64_t receipt_next_us(const struct receipt *r);

#endif
