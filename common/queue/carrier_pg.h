/* Carries a sender's pushes into PostgreSQL, from where the alerter takes them. Its commit is the
 * ack. One push is in flight; the records that come meanwhile make the next one larger. */
#ifndef DRAINWATCH_COMMON_QUEUE_CARRIER_PG_H
#define DRAINWATCH_COMMON_QUEUE_CARRIER_PG_H

#include "common/base/err.h"
#include "common/base/time.h"
#include "common/queue/carrier.h"
#include "common/queue/pg_jobs.h"

#include <stdint.h>

#define CARRIER_PG_PING_US (5 * TIME_S)         /* between looks at what the database knows */
#define CARRIER_PG_FULL_US TIME_S               /* likewise, while its inbox is full */
#define CARRIER_PG_RETRY_MIN_US (100 * TIME_MS) /* after a failure; doubles */
#define CARRIER_PG_RETRY_MAX_US (5 * TIME_S)    /* up to here */
#define CARRIER_PG_ALERTER_US (10 * TIME_S)     /* without a sign of life: no alerter is active */

/* Connects in the background, and again for as long as it takes. Returns 0 or an error of
 * pg_jobs_open. */
int carrier_pg_open(const struct pg_jobs_options *options, struct carrier **out, struct err *err);

#endif
