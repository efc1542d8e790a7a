/* The memory of Frame-Ids: has this drain's frame been taken within the last hour?
 *
 * Logplex keeps a frame's id when it retries, though the bytes may differ (docs/facts.md). It keeps
 * a 64-bit hash of each id: two ids of one drain within an hour collide once in some 10^15 frames.
 * Pure; the time is the engine's step time.
 *
 * Memory: about 90 bytes a frame held, and about 750 a drain. */
#ifndef DRAINWATCH_ALERTER_ENGINE_REPEATS_H
#define DRAINWATCH_ALERTER_ENGINE_REPEATS_H

#include "alerter/engine/snapshot.h"

#include <stddef.h>
#include <stdint.h>

struct repeats_limits {
    size_t drains;    /* beyond it the drain that was longest without a new frame is forgotten */
    size_t per_drain; /* beyond it the drain's oldest frame is */
    size_t total;     /* of all drains; beyond it as with `drains` */
};

struct repeats_drain;

/* All zeros before its first use. */
struct repeats {
    struct repeats_drain *table;
    struct repeats_drain *stalest; /* a list in the order of the drains' newest frames */
    size_t n_drains;
    size_t total;
};

void repeats_close(struct repeats *f);

/* Takes a frame. Returns 1 if it was taken less than `memory_us` before `step_us`, which changes
 * nothing; else 0, and it is remembered; or ERR_NOMEM. Times must not fall from call to call. */
int repeats_take(struct repeats *f, const char *drain, const char *frame_id, int64_t step_us,
                 int64_t memory_us, const struct repeats_limits *limits);

void repeats_save(const struct repeats *f, struct snapshot_writer *out);
/* Into frames just made. No time may be beyond `step_us`. Returns 0, ERR_DAMAGED or ERR_NOMEM. */
int repeats_load(struct repeats *f, struct snapshot_reader *in, int64_t step_us,
                 const struct repeats_limits *limits);

#endif
