/* Allocators for json_set_alloc_funcs that fail when told to, and count. */
#ifndef DRAINWATCH_TESTS_UNIT_SPARING_H
#define DRAINWATCH_TESTS_UNIT_SPARING_H

#include <stddef.h>
#include <stdlib.h>

static size_t sparing_left; /* allocations that still succeed */
static size_t sparing_held; /* less frees */

static inline void *sparing_malloc(size_t n)
{
    if (sparing_left == 0)
        return NULL;
    sparing_left--;
    sparing_held++;
    return malloc(n);
}

static inline void sparing_free(void *p)
{
    sparing_held -= p != NULL;
    free(p);
}

#endif
