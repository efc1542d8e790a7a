/* Where the keys stand: a table of open addresses, from a hash to an entry. Pure. */
#ifndef DRAINWATCH_ALERTER_ENGINE_KEYS_TABLE_H
#define DRAINWATCH_ALERTER_ENGINE_KEYS_TABLE_H

#include "common/base/err.h"

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

struct entry;

struct place {
    uint32_t hash;
    struct entry *entry; /* NULL: free */
};

struct keys_table {
    struct place *places;
    size_t n_places; /* a power of two, at most three quarters taken */
};

enum { KEYS_TABLE_FIRST = 16 }; /* places */

static inline int keys_table_open(struct keys_table *t)
{
    t->places = calloc(KEYS_TABLE_FIRST, sizeof *t->places);
    t->n_places = KEYS_TABLE_FIRST;
    return t->places == NULL ? ERR_NOMEM : 0;
}

/* The first place from `from` on whose entry has this hash, or else the free one where it would
 * go. One looks from the hash on, and further from the place behind one whose entry is not it. */
static inline struct place *keys_table_find(const struct keys_table *t, size_t from, uint32_t hash)
{
    const size_t mask = t->n_places - 1;

    while (t->places[from & mask].entry != NULL && t->places[from & mask].hash != hash)
        from++;
    return &t->places[from & mask];
}

/* Makes room for one more than `n`. */
static inline int keys_table_reserve(struct keys_table *t, size_t n)
{
    struct keys_table larger = {.n_places = 2 * t->n_places};

    if (n < t->n_places / 4 * 3)
        return 0;
    larger.places = calloc(larger.n_places, sizeof *larger.places);
    if (larger.places == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < t->n_places; i++) {
        size_t to = t->places[i].hash & (larger.n_places - 1);

        while (t->places[i].entry != NULL && larger.places[to].entry != NULL)
            to = (to + 1) & (larger.n_places - 1);
        if (t->places[i].entry != NULL)
            larger.places[to] = t->places[i];
    }
    free(t->places);
    *t = larger;
    return 0;
}

/* The place of an entry that is there. */
static inline struct place *keys_table_place(const struct keys_table *t, uint32_t hash,
                                             const struct entry *e)
{
    const size_t mask = t->n_places - 1;
    size_t place = hash & mask;

    while (t->places[place].entry != e)
        place = (place + 1) & mask;
    return &t->places[place];
}

/* Frees the entry's place and moves up those behind it that probing would no longer reach, so that
 * the table needs no tombstones. */
static inline void keys_table_remove(struct keys_table *t, uint32_t hash, const struct entry *e)
{
    const size_t mask = t->n_places - 1;
    size_t place = (size_t)(keys_table_place(t, hash, e) - t->places);

    for (size_t at = (place + 1) & mask; t->places[at].entry != NULL; at = (at + 1) & mask) {
        size_t home = t->places[at].hash & mask;

        if (((at - home) & mask) >= ((at - place) & mask)) {
            t->places[place] = t->places[at];
            place = at;
        }
    }
    t->places[place].entry = NULL;
}

#endif
