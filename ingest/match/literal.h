/* The bytes that every match of a regular expression holds, read off its text.
 *
 * To look for such a stretch is many times cheaper to prepare than the expression, and finds a
 * superset. Only plain patterns are understood; of others nothing is claimed. Pure. */
#ifndef DRAINWATCH_INGEST_MATCH_LITERAL_H
#define DRAINWATCH_INGEST_MATCH_LITERAL_H

#include "common/base/buf.h"

#include <stdbool.h>

struct literal_facts {
    bool any_case; /* letters of the stretches stand for both cases */
    bool whole;    /* the pattern is one stretch and nothing else */
};

/* Appends each stretch, which holds no zero byte, and a zero behind it; none where nothing is
 * known. Returns 0, ERR_FULL or ERR_NOMEM. */
int literal_stretches(const char *pattern, struct buf *out, struct literal_facts *facts);

#endif
