/* Words that a drain's deliveries are damaged: its first at once, those of the minute after it
 * summed up at its end. So a new fault shows as it comes in, and a broken client costs a line a
 * minute. Pure. */
#ifndef DRAINWATCH_INGEST_DAMAGE_H
#define DRAINWATCH_INGEST_DAMAGE_H

#include "common/app/throttle.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    DAMAGE_DRAINS_MAX = 32, /* at a time; further ones are counted together */
    DAMAGE_NAME_MAX = 100,  /* bytes of a drain's name; a longer one is cut */
    DAMAGE_SIZE = 384,
};

struct damage_drain {
    char name[DAMAGE_NAME_MAX + 1];
    struct throttle throttle; /* idle: the place is free */
    uint64_t frames;          /* of the deliveries that are held back */
    uint64_t bodies;
};

/* All zeros at the beginning. */
struct damage {
    struct damage_drain drains[DAMAGE_DRAINS_MAX + 1]; /* the last: all that found no room */
};

/* Counts a delivery with so many malformed frames, and perhaps a damaged gzip body. True: `out` is
 * the text to log now. */
bool damage_add(struct damage *d, const char *drain, uint64_t frames, bool body, int64_t now_us,
                char out[DAMAGE_SIZE]);

/* True if a drain's sum is due (or, with `all`, if any is held back): `out` is the text, and there
 * may be another one. */
bool damage_due(struct damage *d, int64_t now_us, bool all, char out[DAMAGE_SIZE]);

#endif
