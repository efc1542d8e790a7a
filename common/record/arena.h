/* Memory for many small things that all end at once.
 *
 * A bump allocator with a bound: pieces are handed out until the bound is reached and are given
 * back together. Pure. */
#ifndef DRAINWATCH_COMMON_RECORD_ARENA_H
#define DRAINWATCH_COMMON_RECORD_ARENA_H

#include <stdbool.h>
#include <stddef.h>

struct arena_block;

struct arena {
    struct arena_block *blocks; /* the newest first; pieces come from it */
    size_t used;                /* of the newest block */
    size_t total;               /* bytes handed out since the last reset */
    size_t max_bytes;
    bool over;      /* a piece was refused for the bound */
    bool no_memory; /* a piece was refused for lack of memory */
};

/* An arena is empty when its struct is all zero. */
void arena_close(struct arena *a);

/* Takes back all pieces and sets the bound. One block is kept, so that a stream of like messages
 * allocates nothing. */
void arena_reset(struct arena *a, size_t max_bytes);

/* A piece of `n` bytes, aligned for any type, not cleared; NULL where it cannot be had, with the
 * reason noted in the struct. */
void *arena_alloc(struct arena *a, size_t n);

#endif
