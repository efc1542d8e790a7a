/* One end of the queue over ZeroMQ: a ROUTER at the alerter, a DEALER at each ingest.
 *
 * No call waits. ZeroMQ may lose a message that it took; only an ack tells that it arrived. Over
 * tcp:// both sides are authenticated and everything is encrypted (CURVE, ZeroMQ RFC 26). Both
 * derive the keys from the HMAC secret: the alerter from its first secret, an ingest from each of
 * its own in turn. A large message goes over tcp:// in several parts, because ZeroMQ holds a part
 * of each connection before it knows the peer's key. */
#ifndef DRAINWATCH_COMMON_QUEUE_QUEUE_H
#define DRAINWATCH_COMMON_QUEUE_QUEUE_H

#include "common/base/err.h"
#include "common/base/secret.h"
#include "common/record/source.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    QUEUE_ENDPOINT_MAX = 255, /* of an endpoint's text */
    QUEUE_HWM = 64, /* messages in memory per peer and direction; then send returns ERR_FULL */
};

struct queue;

struct queue_options {
    const char *endpoint;         /* as DRAINWATCH_QUEUE names it */
    const struct secret *secrets; /* used by tcp:// alone; read during the call */
    size_t n_secrets;
};

/* Checks an endpoint: ipc://PATH or tcp://HOST:PORT; the alerter's HOST may be a star. Returns 0,
 * or ERR_INPUT with the fault and the remedy. */
int queue_check_endpoint(const char *endpoint, struct err *err);

/* The alerter's end. Returns 0; ERR_BUSY (another process has the endpoint), ERR_INPUT (not an
 * endpoint, tcp:// without a secret, or ipc:// in a folder in which others can write), ERR_IO or
 * ERR_NOMEM. Replaces the socket file of a dead process; only the owner may connect to the new one.
 */
int queue_bind(const struct queue_options *options, struct queue **out, struct err *err);
/* An ingest's end. Connects in the background and keeps trying. It dials an ipc:// endpoint only
 * while no other user, except root, can put a socket there. */
int queue_connect(const struct queue_options *options, int64_t now_us, struct queue **out,
                  struct err *err);
void queue_close(struct queue *q); /* drops unsent messages; NULL is fine */

/* The descriptor to poll for reading. It is edge-triggered: call queue_pending before each wait,
 * and do not wait if it returns true. */
int queue_fd(const struct queue *q);
bool queue_pending(struct queue *q);

/* Serves handshakes: admits clients, reconnects, tries the next secret. Call it after each
 * wake-up and at queue_wake_us at the latest. */
void queue_tend(struct queue *q, int64_t now_us);
int64_t queue_wake_us(const struct queue *q); /* INT64_MAX: nothing is due */

/* Sends one message. Returns 0, ERR_FULL (not connected, or too many messages wait), or ERR_IO (the
 * peer is gone). `peer` is one that a ROUTER heard; NULL at a DEALER. */
int queue_send(struct queue *q, const struct source_peer *peer, const void *bytes, size_t n);
/* Receives one message. Returns 1, 0 if there is none, or ERR_IO. The bytes are valid until the
 * next call. `peer` may be NULL at a DEALER. Call it until there is none. */
int queue_receive(struct queue *q, struct source_peer *peer, const void **bytes, size_t *n);

/* Rises with each new connection. Messages sent before that may be lost. */
uint64_t queue_epoch(const struct queue *q);
bool queue_writable(struct queue *q);    /* of a DEALER: a send would succeed now */
bool queue_is_up(const struct queue *q); /* of a DEALER: connected */
/* Lets queue_close wait up to `ms` until sent messages have left this process. */
void queue_linger(struct queue *q, int ms);
/* How many handshakes failed: another secret, another protocol, rubbish. */
uint64_t queue_failed(const struct queue *q);
const char *queue_distrust(const struct queue *q); /* why it does not dial; "": it does */
const char *queue_endpoint(const struct queue *q);

#endif
