/* Memory for many small pieces that end together.
 *
 * A bump allocator with a bound. All pieces are freed by one reset. Pure. */
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

/* Frees all pieces and sets the bound. Keeps one block, so that a stream of similar messages
 * allocates nothing. */
void arena_reset(struct arena *a, size_t max_bytes);

/* Returns `n` bytes, aligned for any type and not cleared, or NULL with the reason in the struct.
 */
void *arena_alloc(struct arena *a, size_t n);

#endif
