/* An endpoint of the queue: ROUTER at the alerter, DEALER at each ingest, over ZeroMQ.
 *
 * Messages of one part, sent and received without ever waiting. What ZeroMQ takes it may still
 * lose: only an ack says that a message arrived. Over tcp:// both sides are authenticated and all
 * is encrypted (CURVE, RFC 26), with keys that both derive from the HMAC secret: the alerter's own
 * from its first secret; a client may use any of the alerter's, and tries each of its own. */
#ifndef DRAINWATCH_COMMON_QUEUE_QUEUE_H
#define DRAINWATCH_COMMON_QUEUE_QUEUE_H

#include "common/base/err.h"
#include "common/base/secret.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    QUEUE_PEER_MAX = 255,     /* bytes of a peer's identity */
    QUEUE_ENDPOINT_MAX = 255, /* of an endpoint's text */
    QUEUE_HWM = 64, /* messages in memory per peer and direction; then send says ERR_FULL */
};

struct queue;

struct queue_options {
    const char *endpoint;         /* as DRAINWATCH_QUEUE names it */
    const struct secret *secrets; /* used by tcp:// alone; read during the call */
    size_t n_secrets;
};

/* Whom a ROUTER heard and can answer: bytes of its own making, valid until that peer reconnects. */
struct queue_peer {
    uint8_t len;
    uint8_t id[QUEUE_PEER_MAX];
};

struct queue_counts {
    uint64_t connected; /* handshakes that ended well */
    uint64_t failed;    /* and that did not: another secret, another protocol, rubbish */
    uint64_t denied;    /* of these, clients that know our public key and hold no secret of ours */
    uint64_t malformed; /* messages of more parts than one */
};

/* Whether the text can name a queue: ipc://PATH or tcp://HOST:PORT, where the alerter's HOST may be
 * a star. Returns 0, or ERR_INPUT with what is wrong and what would be right. */
int queue_check_endpoint(const char *endpoint, struct err *err);

/* The alerter's end. Returns 0; ERR_BUSY (another process has the endpoint), ERR_INPUT (not an
 * endpoint, or tcp:// without a secret), ERR_IO or ERR_NOMEM. A socket file that a dead process
 * left is no obstacle; a new one is open to its owner alone. */
int queue_bind(const struct queue_options *options, struct queue **out, struct err *err);
/* An ingest's end. Connects in the background, for ever, whether anybody is there or not. */
int queue_connect(const struct queue_options *options, int64_t now_us, struct queue **out,
                  struct err *err);
void queue_close(struct queue *q); /* what is not sent yet is lost; NULL is fine */

/* The one descriptor to poll for reading. It is silent while something waits that was noticed on
 * the way: so before each wait ask queue_pending, and do not wait if it says yes. */
int queue_fd(const struct queue *q);
bool queue_pending(struct queue *q);

/* Does what handshakes need: answers who may come in, counts, redials, tries the next secret. To be
 * called after each wake-up, and at queue_wake_us at the latest. */
void queue_tend(struct queue *q, int64_t now_us);
int64_t queue_wake_us(const struct queue *q); /* INT64_MAX: nothing is due */

/* Sends, or not: 0, ERR_FULL (not now: nobody is connected or too much waits), or ERR_IO (that peer
 * is gone). `peer` is NULL at a DEALER. */
int queue_send(struct queue *q, const struct queue_peer *peer, const void *bytes, size_t n);
/* The next message: 1, 0 if there is none, or ERR_IO. The bytes are valid until the next call.
 * `peer` may be NULL at a DEALER. To be called until there is none. */
int queue_receive(struct queue *q, struct queue_peer *peer, const void **bytes, size_t *n);

/* Rises with each connection that came up; what was in flight before that may be lost. */
uint64_t queue_epoch(const struct queue *q);
bool queue_writable(struct queue *q); /* of a DEALER: whether a send would be taken now */
/* Lets queue_close wait for so long until what was sent has left this process. */
void queue_linger(struct queue *q, int ms);
struct queue_counts queue_counts(const struct queue *q);
const char *queue_endpoint(const struct queue *q);

#endif
