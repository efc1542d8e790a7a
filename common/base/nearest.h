/* Finds the known word that an unknown word was probably meant to be. Pure. */
#ifndef DRAINWATCH_COMMON_BASE_NEAREST_H
#define DRAINWATCH_COMMON_BASE_NEAREST_H

#include <stddef.h>

struct nearest {
    const char *word;
    size_t len;
    size_t least;     /* a word must be nearer than this */
    const char *best; /* the nearest so far; NULL: none is near */
};

/* The words are borrowed. */
void nearest_begin(struct nearest *n, const char *word, size_t len);
void nearest_offer(struct nearest *n, const char *known);

#endif
