/* Takes the records that the ingests send: each once, in its sender's order.
 *
 * It hands the records to the caller's functions, which store them. A turn of the alerter:
 *
 *     receiver_receive     hands over the records that wait
 *     the commit
 *     receiver_ack         only now does any ingest hear of it
 *     receiver_rollback    instead, after a failed commit
 *
 * All times are microseconds of one clock that never goes back. */
#ifndef DRAINWATCH_COMMON_QUEUE_RECEIVER_H
#define DRAINWATCH_COMMON_QUEUE_RECEIVER_H

#include "common/base/err.h"
#include "common/record/source.h"
#include "common/record/wire.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    RECEIVER_TURN_MESSAGES = 256,  /* in one receiver_receive; further ones stay in the queue */
    RECEIVER_TURN_RECORDS = 4096,  /* as well; the message that reaches it is finished */
    RECEIVER_TURN_BYTES = 8 << 20, /* as well */
    RECEIVER_SENDERS_MAX = 4096,   /* remembered; the longest silent one is forgotten */
    RECEIVER_NOT_NOW = 1,
    RECEIVER_REFUSED_SIZE = 300,
};
#define RECEIVER_SILENCE_US INT64_C(2000000) /* a sender without a word for so long is gone */

struct receiver;

/* The caller's functions. Each returns 0, or an error that receiver_receive then returns; they are
 * called within receiver_receive alone. The pointers they get are valid during the call. */
struct receiver_calls {
    void *ctx;
    /* The last sequence taken from a sender, as it was last committed; 0 if none ever was. */
    int (*last_taken)(void *ctx, const uint8_t sender[WIRE_SENDER_BYTES], uint64_t *taken,
                      struct err *err);
    /* A record to store and to decide on, packed and unpacked. Returns RECEIVER_NOT_NOW to end the
     * turn before it: the records before it are to be committed, and the next turn begins with it.
     */
    int (*take)(void *ctx, struct wire_bytes bytes, const struct wire_record *record,
                struct err *err);
    /* A record that can never be read. `why` is one line. */
    int (*set_aside)(void *ctx, const uint8_t sender[WIRE_SENDER_BYTES], uint64_t sequence,
                     struct wire_bytes bytes, const char *why, struct err *err);
    /* Stores, in the same transaction, that all records up to `taken` are taken. Called once for
     * each message if a record of it was taken. */
    int (*set_taken)(void *ctx, const uint8_t sender[WIRE_SENDER_BYTES], uint64_t taken,
                     struct err *err);
};

/* Takes `source` over, also if it fails. `calls` is copied. Returns 0 or ERR_NOMEM. */
int receiver_open(struct source *source, const struct receiver_calls *calls, struct receiver **out,
                  struct err *err);
void receiver_close(struct receiver *r); /* NULL is fine */

/* Wait until the descriptor is readable; do not wait if receiver_pending. */
int receiver_fd(const struct receiver *r);
bool receiver_pending(struct receiver *r);

/* Takes the messages that wait, up to the bounds of a turn. Returns 0, and receiver_ack is due
 * after the commit, also if there was nothing to commit; or an error of the caller's functions or
 * ERR_NOMEM, and receiver_rollback is due. */
int receiver_receive(struct receiver *r, int64_t now_us, struct err *err);
/* After the commit: one ack to each sender heard in this turn. `trouble` tells ingest's /healthz in
 * one line why alerts are not delivered; "" if they are. */
void receiver_ack(struct receiver *r, const char *trouble);
/* The turn was not committed: nobody is acked, and each sender will send it again. */
void receiver_rollback(struct receiver *r);

/* Forgets all senders and the message in hand: another alerter may have taken their records, so the
 * last sequences taken are asked for anew. Call it between two turns. */
void receiver_forget(struct receiver *r);

/* Whether each sender that was ever heard has said goodbye or is silent for RECEIVER_SILENCE_US. An
 * ingest that lives sends something each SENDER_PING_US. The alerter waits for it before it ends,
 * so that records on their way are still taken. */
bool receiver_all_gone(const struct receiver *r, int64_t now_us);

/* Why the records of some sender are not taken; "" if none is refused. */
const char *receiver_refused(const struct receiver *r);
uint64_t receiver_strangers(const struct receiver *r); /* failed attempts to connect */

#endif
