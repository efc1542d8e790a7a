/* Opens the kind of carrier that the settings ask for; called by ingest's spool. */
#include "common/queue/carrier.h"

#include "common/queue/carrier_pg.h"
#include "common/queue/carrier_queue.h"

int carrier_open(const struct queue_options *queue, const struct pg_jobs_options *database,
                 int64_t now_us, struct carrier **out, struct err *err)
{
    int rc;

    if (queue->endpoint == NULL)
        return carrier_pg_open(database, out, err);
    rc = carrier_queue_open(queue, now_us, out, err);
    if (rc == 0) /* the alerter keeps its records there */
        (*out)->may_lose = (*out)->tells_acked = database->url != NULL;
    return rc;
}
