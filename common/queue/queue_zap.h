/* Decides which CURVE clients may connect: answers ZeroMQ's questions (ZAP, ZeroMQ RFC 27) on the
 * caller's thread. Part of queue. */
#ifndef DRAINWATCH_COMMON_QUEUE_QUEUE_ZAP_H
#define DRAINWATCH_COMMON_QUEUE_QUEUE_ZAP_H

#include "common/base/err.h"
#include "common/queue/queue_keys.h"

#include <stddef.h>
#include <stdint.h>

#define QUEUE_ZAP_DOMAIN "drainwatch"

/* Opens the socket for the questions. Call it before the server binds. Returns NULL on failure. */
void *queue_zap_open(void *zmq_context);

/* Answers all waiting questions: yes to the client keys in `keys`. Returns the number of refusals.
 */
uint64_t queue_zap_answer(void *socket, const struct queue_keys *keys, size_t n_keys);

#endif
