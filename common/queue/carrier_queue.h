/* Carries a sender's pushes over the queue: a DEALER that connects to the alerter. */
#ifndef DRAINWATCH_COMMON_QUEUE_CARRIER_QUEUE_H
#define DRAINWATCH_COMMON_QUEUE_CARRIER_QUEUE_H

#include "common/base/err.h"
#include "common/queue/carrier.h"
#include "common/queue/queue.h"

#include <stdint.h>

/* Connects in the background. Returns 0 or an error of queue_connect. */
int carrier_queue_open(const struct queue_options *options, int64_t now_us, struct carrier **out,
                       struct err *err);

#endif
