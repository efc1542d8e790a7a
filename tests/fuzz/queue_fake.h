/* A queue without sockets, for the targets of both of its ends: the functions of queue.h, which
 * hand over messages of the target and show it each message that is sent. */
#ifndef DRAINWATCH_TESTS_FUZZ_QUEUE_FAKE_H
#define DRAINWATCH_TESTS_FUZZ_QUEUE_FAKE_H

#include "common/queue/queue.h"

typedef void queue_fake_fn(void *ctx, const void *bytes, size_t n);

/* Every queue from here on begins empty and calls `on_sent`. Forgets all messages. */
void queue_fake_begin(queue_fake_fn *on_sent, void *ctx);
/* Adds a message that the next queue_receive returns; copies it. At most QUEUE_FAKE_MAX wait. */
void queue_fake_put(const void *bytes, size_t n);
enum { QUEUE_FAKE_MAX = 64 };
/* The message that queue_receive returned last. */
const void *queue_fake_last(size_t *n);
/* What queue_send returns from here on. */
void queue_fake_refuse(int rc);
void queue_fake_reconnect(void);

#endif
