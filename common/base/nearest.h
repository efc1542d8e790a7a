/* Which of some known words was most likely meant by one that is unknown. Pure. */
#ifndef DRAINWATCH_COMMON_BASE_NEAREST_H
#define DRAINWATCH_COMMON_BASE_NEAREST_H

#include <stddef.h>

struct nearest {
    const char *word;
    size_t len;
    size_t least;     /* only a word that is nearer than this is taken */
    const char *best; /* the nearest so far, of several the first; NULL: none is near */
};

/* The words are borrowed. */
void nearest_begin(struct nearest *n, const char *word, size_t len);
void nearest_offer(struct nearest *n, const char *known);

#endif
