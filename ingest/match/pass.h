/* The pass: one Hyperscan database that finds, in bytes that hold many lines, every place that some
 * criterion may match.
 *
 * It finds a superset: it may report a place that matches nothing, and never misses one. Pure. */
#ifndef DRAINWATCH_INGEST_MATCH_PASS_H
#define DRAINWATCH_INGEST_MATCH_PASS_H

#include "common/base/err.h"
#include "ingest/match/criteria.h"

#include <stddef.h>
#include <stdint.h>

struct hs_database;

/* The pass holds this many expressions whole. Of each further one it holds a stretch of bytes. */
enum { PASS_WHOLE_MAX = 48 };

struct pass {
    struct hs_database *db; /* NULL: Hyperscan refuses the sum of all expressions */
    uint32_t *always;       /* criteria that the pass does not hold: each line is tried for them */
    size_t n_always;
    size_t *settled; /* of each criterion: the length of the bytes that the pass reports, if such a
                        report is a match and leaves nothing to try; else 0 */
};

/* The database reports the index of a criterion, or pass_special or pass_odd_pair. All criteria
 * that do not only stand in `unless` are in the database or in `always`. Returns 0 or ERR_NOMEM;
 * close it in both cases. */
int pass_open(struct pass *p, const struct criteria *criteria, size_t whole_max, struct err *err);
void pass_close(struct pass *p);

/* Reported for a line that special.h may know. */
static inline uint32_t pass_special(const struct criteria *c)
{
    return (uint32_t)c->n;
}

/* Reported for a line that may hold a pair in another form than KEY=VALUE or KEY="VALUE": with
 * single quotes, colours, or spaces around the '='. It may meet any criterion on a pair. */
static inline uint32_t pass_odd_pair(const struct criteria *c)
{
    return (uint32_t)c->n + 1;
}

#endif
