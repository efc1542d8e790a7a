/* Decides how long the answer to an accepted delivery waits for the database. The local journal has
 * its records by then. Pure. */
#ifndef DRAINWATCH_INGEST_HOLD_H
#define DRAINWATCH_INGEST_HOLD_H

#include "ingest/http/request.h"

#include <stdbool.h>
#include <stdint.h>

/* Logplex gives a request up after 5 s, and posts a drain's next delivery only after the answer. */
#define HOLD_US INT64_C(250000)

/* `is_safe`: the database has all its records. `is_late`: the database is away or slow, so that the
 * wait would be in vain. `age_us` counts from the commit. */
enum request_kept hold_judge(bool is_safe, bool is_late, int64_t age_us);

#endif
