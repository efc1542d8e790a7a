/* Brings a sender's pushes to the alerter, and acks back. A sender owns one, and no other code asks
 * which kind it is: a kind is one file that fills a struct carrier_ops. No call waits. */
#ifndef DRAINWATCH_COMMON_QUEUE_CARRIER_H
#define DRAINWATCH_COMMON_QUEUE_CARRIER_H

#include "common/base/err.h"
#include "common/record/wire.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct carrier;

enum { CARRIER_PUSH_BYTES = 256 << 10 }; /* of records in one push, unless one is larger */

struct carrier_ops {
    /* Wait until the descriptor is readable, or until wake_us (INT64_MAX: nothing is due); do not
     * wait if `pending`. Then call `tend`. */
    int (*fd)(const struct carrier *c);
    bool (*pending)(struct carrier *c);
    int64_t (*wake_us)(const struct carrier *c);
    void (*tend)(struct carrier *c, int64_t now_us);

    /* Sends a push; `packed` holds its bytes. Returns 0, or an error, and nothing was sent. A push
     * that was sent may be lost: only an ack tells that it arrived. */
    int (*send)(struct carrier *c, const struct wire_push *push, struct wire_bytes packed);
    bool (*writable)(struct carrier *c); /* a send would succeed now */
    /* Takes one ack, whose texts are valid until the next call. Returns 1, 0 if there is none, or
     * ERR_INPUT for one that cannot be read. */
    int (*receive)(struct carrier *c, struct wire_ack *ack);
    /* Rises with each new connection. Pushes sent before that may be lost. */
    uint64_t (*epoch)(const struct carrier *c);
    bool (*is_away)(const struct carrier *c); /* nothing can be sent, and it may take a while */
    /* Why the peer takes no records, one line for anybody; "" if it does, or that is not known. */
    const char *(*fault)(const struct carrier *c);
    /* For how long no alerter has been active although the peer answers; 0 if one is. */
    int64_t (*idle_us)(const struct carrier *c, int64_t now_us);

    /* After a push with `goodbye` it waits for up to half a second until that has left. */
    void (*close)(struct carrier *c);
};

/* A kind's own struct begins with this one. */
struct carrier {
    const struct carrier_ops *ops;
    /* Names for messages that strangers may read, such as "the alerter". */
    const char *alerter; /* it decides on the records */
    const char *peer;    /* it acks them */
    const char *address; /* of the peer, for the log; NULL: it is not to be shown */
    /* The peer may lose records that it acked, as a failover of the database can. It then acks
     * fewer than before, and the sender sends those again that it still holds. */
    bool may_lose;
    bool tells_acked;   /* pushes name the last ack, so that the peer notices lost records */
    bool is_pooled;     /* a connection pool lies between, which makes everything slower */
    struct err last;    /* the last error, for the log alone; "" if all is well */
    int64_t push_bytes; /* what this link takes of CARRIER_PUSH_BYTES; 0: all */
    /* The sender keeps these two up to date before each `tend` and each goodbye. */
    uint8_t sender[WIRE_SENDER_BYTES];
    uint64_t waiting; /* records without an ack */
    bool wants_ack;   /* an ack as soon as possible; the carrier takes it back once it asks */
    /* The sequence in the last ack. The carrier sets it for its own acks, and the sender for the
     * ones that came another way. */
    uint64_t acked;
};

struct queue_options;
struct pg_jobs_options;

/* Over the queue, or over the database if the queue has no endpoint. Neither need be there yet.
 * Returns 0 or an error of carrier_queue_open or carrier_pg_open. */
int carrier_open(const struct queue_options *queue, const struct pg_jobs_options *database,
                 int64_t now_us, struct carrier **out, struct err *err);

#endif
