/* Who may come in: answers the questions that ZeroMQ asks about each CURVE client (ZAP, ZeroMQ
 * RFC 27), on the caller's own thread. Part of queue. */
#ifndef DRAINWATCH_COMMON_QUEUE_QUEUE_ZAP_H
#define DRAINWATCH_COMMON_QUEUE_QUEUE_ZAP_H

#include "common/base/err.h"
#include "common/queue/queue_keys.h"

#include <stddef.h>
#include <stdint.h>

#define QUEUE_ZAP_DOMAIN "drainwatch"

/* Opens the socket on which questions come. Must be open before the server's is bound. NULL: it
 * cannot be opened. */
void *queue_zap_open(void *zmq_context);

/* Answers all questions that wait: yes to the client keys among `keys`. Returns how many were
 * answered with no. */
uint64_t queue_zap_answer(void *socket, const struct queue_keys *keys, size_t n_keys);

#endif
