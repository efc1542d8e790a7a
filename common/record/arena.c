/* Bump allocator with a bound. Called by wire. */
#include "common/record/arena.h"

#include <stdalign.h>
#include <stdint.h>
#include <stdlib.h>

enum {
    BLOCK_FIRST = 64 << 10, /* bytes of the first block */
    BLOCK_KEEP = 4 << 20, /* blocks double up to this size, and one of at most this size is kept */
};

struct arena_block {
    struct arena_block *next;
    size_t size;
    alignas(max_align_t) uint8_t bytes[];
};

static bool add_block(struct arena *a, size_t size)
{
    struct arena_block *b = malloc(sizeof *b + size);

    if (b == NULL)
        return false;
    b->next = a->blocks;
    b->size = size;
    a->blocks = b;
    a->used = 0;
    return true;
}

void arena_close(struct arena *a)
{
    while (a->blocks != NULL) {
        struct arena_block *next = a->blocks->next;

        free(a->blocks);
        a->blocks = next;
    }
    *a = (struct arena){0};
}

/* Keeps the newest block: blocks double, so it is the largest. */
void arena_reset(struct arena *a, size_t max_bytes)
{
    struct arena_block *kept = a->blocks;
    struct arena old = {.blocks = kept};

    if (kept != NULL && kept->size <= BLOCK_KEEP) {
        old.blocks = kept->next;
        kept->next = NULL;
    } else {
        kept = NULL;
    }
    arena_close(&old);
    *a = (struct arena){.blocks = kept, .max_bytes = max_bytes};
}

static bool make_room(struct arena *a, size_t n)
{
    size_t size = BLOCK_FIRST;

    if (a->blocks != NULL && n <= a->blocks->size - a->used)
        return true;
    if (a->blocks != NULL)
        size = a->blocks->size < BLOCK_KEEP / 2 ? 2 * a->blocks->size : BLOCK_KEEP;
    return add_block(a, n > size ? n : size);
}

void *arena_alloc(struct arena *a, size_t n)
{
    const size_t grain = alignof(max_align_t);
    void *piece;

    if (n > a->max_bytes || a->total > a->max_bytes - n) {
        a->over = true;
        return NULL;
    }
    n = (n + grain - 1) / grain * grain;
    if (!make_room(a, n)) {
        a->no_memory = true;
        return NULL;
    }
    piece = a->blocks->bytes + a->used;
    a->used += n;
    a->total += n;
    return piece;
}
