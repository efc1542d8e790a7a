/* When to say that a drain's deliveries are damaged: its first at once, those of the minute after
 * it summed up at its end. So a new fault is seen as it comes in, and a broken client costs a line
 * a minute. Pure. */
#ifndef DRAINWATCH_INGEST_DAMAGE_H
#define DRAINWATCH_INGEST_DAMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    DAMAGE_DRAINS_MAX =
        32,                /* at a time; what is damaged of further ones is told of them together */
    DAMAGE_NAME_MAX = 100, /* bytes of a drain's name; what is beyond is cut */
    DAMAGE_SIZE = 384,
};

struct damage_drain {
    char name[DAMAGE_NAME_MAX + 1];
    int64_t minute_ends_us; /* 0: not in use */
    uint64_t deliveries;    /* that wait for its end */
    uint64_t frames;
    uint64_t bodies;
};

/* All zeros at the beginning. */
struct damage {
    struct damage_drain drains[DAMAGE_DRAINS_MAX + 1]; /* the last: all that found no room */
    size_t n_used;
};

/* Counts a delivery with so many malformed frames, and perhaps a gzip body that was damaged. True:
 * `out` is what to say now. */
bool damage_add(struct damage *d, const char *drain, uint64_t frames, bool body, int64_t now_us,
                char out[DAMAGE_SIZE]);

/* True where a drain's sum is due (or, with `all`, where any is held back): `out` is what to say,
 * and there may be another one. */
bool damage_due(struct damage *d, int64_t now_us, bool all, char out[DAMAGE_SIZE]);

/* When damage_due is to be asked again; INT64_MAX: not before the next damage. */
int64_t damage_next_us(const struct damage *d);

#endif
