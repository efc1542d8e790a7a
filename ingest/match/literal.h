/* The bytes that every match of a regular expression holds, read off its text.
 *
 * A search for such a stretch compiles much faster than the expression and finds a superset. Only
 * plain patterns are understood; others yield no stretch. Pure. */
#ifndef DRAINWATCH_INGEST_MATCH_LITERAL_H
#define DRAINWATCH_INGEST_MATCH_LITERAL_H

#include "common/base/buf.h"

#include <stdbool.h>

struct literal_facts {
    bool any_case; /* letters of the stretches stand for both cases */
    bool whole;    /* the pattern is one stretch and nothing else */
};

/* Appends each stretch and a zero byte after each; a stretch holds none. Returns 0, ERR_FULL or
 * ERR_NOMEM. */
int literal_stretches(const char *pattern, struct buf *out, struct literal_facts *facts);

#endif
