/* The alerter's pushes from the queue: a ROUTER that each ingest connects to. */
#ifndef DRAINWATCH_COMMON_QUEUE_SOURCE_QUEUE_H
#define DRAINWATCH_COMMON_QUEUE_SOURCE_QUEUE_H

#include "common/base/err.h"
#include "common/queue/queue.h"
#include "common/record/source.h"

/* Binds. Returns 0 or an error of queue_bind. */
int source_queue_open(const struct queue_options *options, struct source **out, struct err *err);

#endif
