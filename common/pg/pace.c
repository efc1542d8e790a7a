/* Decides how many bytes one statement should move; called by the carrier's thread and the storage.
 */
#include "common/pg/pace.h"

void pg_pace_init(struct pg_pace *p, int64_t most)
{
    *p = (struct pg_pace){.bytes = PG_PACE_FIRST, .most = most};
}

void pg_pace_see(struct pg_pace *p, bool succeeded, int64_t took_us, int64_t bytes)
{
    if (took_us >= PG_PACE_SLOW_US)
        p->bytes = p->bytes / 2 > PG_PACE_LEAST ? p->bytes / 2 : PG_PACE_LEAST;
    else if (succeeded && took_us <= PG_PACE_QUICK_US && bytes >= p->bytes / 2)
        p->bytes = 2 * p->bytes < p->most ? 2 * p->bytes : p->most;
}
