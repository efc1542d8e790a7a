/* Pushes over the queue and from a database's inbox, for ingests that do not have the queue's
 * address yet. At the start the inbox comes first: a sender's pushes there are older than its ones
 * over the queue. */
#ifndef DRAINWATCH_COMMON_QUEUE_SOURCE_BOTH_H
#define DRAINWATCH_COMMON_QUEUE_SOURCE_BOTH_H

#include "common/base/err.h"
#include "common/record/source.h"

/* Takes both over, also if it fails. The inbox's descriptor is the storage's, for which the caller
 * waits anyway. Returns 0 or ERR_NOMEM. */
int source_both_open(struct source *inbox, struct source *queue, struct source **out,
                     struct err *err);

#endif
