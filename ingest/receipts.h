/* Words the receipts of deliveries: the first at once, those that follow within a second summed up
 * at its end. So one delivery shows as it arrives, and a storm costs a line a second. Pure. */
#ifndef DRAINWATCH_INGEST_RECEIPTS_H
#define DRAINWATCH_INGEST_RECEIPTS_H

#include "common/app/throttle.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    RECEIPTS_SIZE = 256,
    RECEIPTS_FRAMES = 256, /* so many at most are remembered, for an hour, to tell a repeat */
};

struct receipts_frame {
    uint64_t id;
    int64_t at_us;
};

struct receipts {
    struct throttle throttle;
    uint64_t lines; /* of the deliveries that are held back */
    uint64_t repeats;
    struct receipts_frame frames[RECEIPTS_FRAMES]; /* each takes the place that its id names */
};

void receipts_init(struct receipts *r);

/* Counts a delivery. `frame` tells it from others (a hash of drain and Frame-Id; 0: it has none): a
 * delivery with the same frame as one before is called a repeat. That is for people only; whether a
 * repeat counts is the alerter's decision. True: `out` is the line to print now. */
bool receipts_add(struct receipts *r, uint64_t lines, uint64_t frame, int64_t now_us,
                  char out[RECEIPTS_SIZE]);

/* True if a sum is due (or, with `all`, if any is held back): `out` is the line. */
bool receipts_due(struct receipts *r, int64_t now_us, bool all, char out[RECEIPTS_SIZE]);

#endif
