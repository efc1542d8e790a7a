/* How many bytes one statement should move, so that it ends within its deadline over a link of any
 * speed. It begins small, doubles after large statements that were quick, and halves after a slow
 * one. Pure. */
#ifndef DRAINWATCH_COMMON_PG_PACE_H
#define DRAINWATCH_COMMON_PG_PACE_H

#include <stdbool.h>
#include <stdint.h>

enum { PG_PACE_LEAST = 16 << 10, PG_PACE_FIRST = 64 << 10 };
/* Also over a link on which an answer takes a second. Twice as much is not slow. */
#define PG_PACE_QUICK_US INT64_C(1500000)
/* Well before PG_DEADLINE_US, and before the server gives a statement up. */
#define PG_PACE_SLOW_US INT64_C(3500000)

struct pg_pace {
    int64_t bytes;
    int64_t most;
};

void pg_pace_init(struct pg_pace *p, int64_t most);
/* Takes in a statement: its time until the answer or its failure, and the bytes of parameters and
 * rows. */
void pg_pace_see(struct pg_pace *p, bool succeeded, int64_t took_us, int64_t bytes);

#endif
