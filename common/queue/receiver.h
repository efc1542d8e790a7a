/* Takes what the ingests send: each record once, in its sender's order.
 *
 * Holds the ROUTER socket and the rules of sequence; what is taken goes to the driver's calls,
 * which store it. A turn of the alerter:
 *
 *     receiver_receive     hands over what waits, by the calls below
 *     the commit
 *     receiver_ack         only now does any ingest hear of it; after a failed commit
 * receiver_rollback
 *
 * All times are microseconds of one clock that never goes back. */
#ifndef DRAINWATCH_COMMON_QUEUE_RECEIVER_H
#define DRAINWATCH_COMMON_QUEUE_RECEIVER_H

#include "common/base/err.h"
#include "common/queue/queue.h"
#include "common/record/wire.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    RECEIVER_TURN_MESSAGES = 256,  /* in one receiver_receive; what is more stays in the queue */
    RECEIVER_TURN_RECORDS = 4096,  /* as well; the message that reaches it is finished */
    RECEIVER_TURN_BYTES = 8 << 20, /* as well */
    RECEIVER_SENDERS_MAX = 4096,   /* remembered; the longest silent one is forgotten */
    RECEIVER_NOT_NOW = 1,
    RECEIVER_REFUSED_SIZE = 300,
};
#define RECEIVER_SILENCE_US INT64_C(2000000) /* a sender without a word for so long is gone */

struct receiver;

/* What the driver does for us. Each returns 0, or an error that receiver_receive then returns,
 * unless it returns nothing; nothing is called outside of receiver_receive. The pointers they get
 * are valid during the call. */
struct receiver_calls {
    void *ctx;
    /* The last sequence taken from a sender, as it was last committed; 0 where none ever was. */
    int (*last_taken)(void *ctx, const uint8_t sender[WIRE_SENDER_BYTES], uint64_t *taken,
                      struct err *err);
    /* A record to store and to decide on: as it came, and what it says. RECEIVER_NOT_NOW: there is
     * no room for it in this turn, what was taken before is to be committed; its sender will send
     * it again at once. */
    int (*take)(void *ctx, struct wire_bytes bytes, const struct wire_record *record,
                struct err *err);
    /* One that can never be read. `why` is one line. */
    int (*set_aside)(void *ctx, const uint8_t sender[WIRE_SENDER_BYTES], uint64_t sequence,
                     struct wire_bytes bytes, const char *why, struct err *err);
    /* To be stored in the same transaction: all up to here is taken. Once per sender and message,
     * after its records, and not at all where nothing of it was taken. */
    int (*set_taken)(void *ctx, const uint8_t sender[WIRE_SENDER_BYTES], uint64_t taken,
                     struct err *err);
};

struct receiver_counts {
    uint64_t records;   /* taken */
    uint64_t seen;      /* sent once more, dropped */
    uint64_t gaps;      /* messages that did not follow on what was taken */
    uint64_t holes;     /* times that a sender no longer held what would have followed */
    uint64_t set_aside; /* can never be read */
    uint64_t refused;   /* times that a record or message of a newer build was not taken */
    uint64_t malformed; /* messages that were no push at all */
};

enum receiver_verdict {
    RECEIVER_TAKE,
    RECEIVER_SEEN,
    RECEIVER_GAP,
};

/* The rule: a record is taken if it follows the last one taken from its sender, or is the sender's
 * oldest (`base`) where that lies beyond. Pure. */
enum receiver_verdict receiver_judge(uint64_t taken, uint64_t base, uint64_t sequence);

/* Binds. `calls` is copied. Returns 0 or an error of queue_bind. */
int receiver_open(const struct queue_options *options, const struct receiver_calls *calls,
                  struct receiver **out, struct err *err);
void receiver_close(struct receiver *i); /* NULL is fine */

/* What to wait for: the descriptor to be readable; not at all if receiver_pending. */
int receiver_fd(const struct receiver *i);
bool receiver_pending(struct receiver *i);

/* Takes what waits, up to a turn's worth. Returns 0, after which receiver_ack is due once all is
 * committed, or the error of a call or ERR_NOMEM, after which receiver_rollback is. Where no call
 * was made there is nothing to commit, and still a question to answer by receiver_ack. */
int receiver_receive(struct receiver *i, int64_t now_us, struct err *err);
/* After the commit: one ack to each sender heard in this turn. `trouble` tells ingest's /healthz in
 * one line why alerts are not delivered; "" if they are. */
void receiver_ack(struct receiver *i, const char *trouble);
/* The turn was not committed: nobody is acked, and each sender will send it again. */
void receiver_rollback(struct receiver *i);

/* Whether each sender that was ever heard has said goodbye or is silent for RECEIVER_SILENCE_US: an
 * ingest that lives asks at least each SENDER_PING_US. For the end, so that what is on its way is
 * still taken. */
bool receiver_all_gone(const struct receiver *i, int64_t now_us);

/* Why the records of some sender are not taken, to be said each minute; "" where none is refused.
 */
const char *receiver_refused(const struct receiver *i);
struct receiver_counts receiver_counts(const struct receiver *i);
struct queue_counts receiver_queue_counts(const struct receiver *i);

#endif
