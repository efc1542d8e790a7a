/* Takes what the ingests send: each record once, in its sender's order.
 *
 * Holds the ROUTER socket and the rules of sequence; what is taken goes to the driver's calls,
 * which store it. A turn of the alerter:
 *
 *     inbox_receive     hands over what waits, by the calls below
 *     the commit
 *     inbox_ack         only now does any ingest hear of it; after a failed commit inbox_rollback
 *
 * All times are microseconds of one clock that never goes back. */
#ifndef DRAINWATCH_ALERTER_INBOX_H
#define DRAINWATCH_ALERTER_INBOX_H

#include "common/err.h"
#include "common/queue.h"
#include "common/wire.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    INBOX_TURN_MESSAGES = 256,  /* in one inbox_receive; what is more stays in the queue */
    INBOX_TURN_RECORDS = 4096,  /* as well; the message that reaches it is finished */
    INBOX_TURN_BYTES = 8 << 20, /* as well */
    INBOX_SENDERS_MAX = 4096,   /* remembered; the longest silent one is forgotten */
    INBOX_AHEAD = 8,            /* records of a message that are read before their turn */
    INBOX_AHEAD_BYTES = 4096,   /* of such a record; a larger one is read in its turn */
    INBOX_NOT_NOW = 1,
    INBOX_REFUSED_SIZE = 300,
};
#define INBOX_SILENCE_US INT64_C(2000000) /* a sender without a word for so long is gone */

struct inbox;

/* What the driver does for us. Each returns 0, or an error that inbox_receive then returns, unless
 * it returns nothing; nothing is called outside of inbox_receive. The pointers they get are valid
 * during the call. */
struct inbox_calls {
    void *ctx;
    /* The last sequence taken from a sender, as it was last committed; 0 where none ever was. */
    int (*last_taken)(void *ctx, const uint8_t sender[WIRE_SENDER_BYTES], uint64_t *taken,
                      struct err *err);
    /* A record to store and to decide on: as it came, and what it says. INBOX_NOT_NOW: there is no
     * room for it in this turn, what was taken before is to be committed; its sender will send it
     * again at once. */
    int (*take)(void *ctx, struct wire_bytes bytes, const struct wire_record *record,
                struct err *err);
    /* One that can never be read. `why` is one line. */
    int (*set_aside)(void *ctx, const uint8_t sender[WIRE_SENDER_BYTES], uint64_t sequence,
                     struct wire_bytes bytes, const char *why, struct err *err);
    /* To be stored in the same transaction: all up to here is taken. Once per sender and message,
     * after its records, and not at all where nothing of it was taken. */
    int (*set_taken)(void *ctx, const uint8_t sender[WIRE_SENDER_BYTES], uint64_t taken,
                     struct err *err);
    /* This record will be taken, if nothing comes between, INBOX_AHEAD records from now. It is not
     * said of those that are not read before their turn. */
    void (*expect)(void *ctx, const struct wire_record *record);
};

struct inbox_counts {
    uint64_t records;   /* taken */
    uint64_t seen;      /* sent once more, dropped */
    uint64_t gaps;      /* messages that did not follow on what was taken */
    uint64_t holes;     /* times that a sender no longer held what would have followed */
    uint64_t set_aside; /* can never be read */
    uint64_t refused;   /* times that a record or message of a newer build was not taken */
    uint64_t malformed; /* messages that were no push at all */
};

enum inbox_verdict {
    INBOX_TAKE,
    INBOX_SEEN,
    INBOX_GAP,
};

/* The rule: a record is taken if it follows the last one taken from its sender, or is the sender's
 * oldest (`base`) where that lies beyond. Pure. */
enum inbox_verdict inbox_judge(uint64_t taken, uint64_t base, uint64_t sequence);

/* Binds. `calls` is copied. Returns 0 or an error of queue_bind. */
int inbox_open(const struct queue_options *options, const struct inbox_calls *calls,
               struct inbox **out, struct err *err);
void inbox_close(struct inbox *i); /* NULL is fine */

/* What to wait for: the descriptor to be readable; not at all if inbox_pending. */
int inbox_fd(const struct inbox *i);
bool inbox_pending(struct inbox *i);

/* Takes what waits, up to a turn's worth. Returns 0, after which inbox_ack is due once all is
 * committed, or the error of a call or ERR_NOMEM, after which inbox_rollback is. Where no call was
 * made there is nothing to commit, and still a question to answer by inbox_ack. */
int inbox_receive(struct inbox *i, int64_t now_us, struct err *err);
/* After the commit: one ack to each sender heard in this turn. */
void inbox_ack(struct inbox *i);
/* The turn was not committed: nobody is acked, and each sender will send it again. */
void inbox_rollback(struct inbox *i);

/* Whether each sender that was ever heard has said goodbye or is silent for INBOX_SILENCE_US: an
 * ingest that lives asks at least each COURIER_PING_US. For the end, so that what is on its way is
 * still taken. */
bool inbox_all_gone(const struct inbox *i, int64_t now_us);

/* Why the records of some sender are not taken, to be said each minute; "" where none is refused.
 */
const char *inbox_refused(const struct inbox *i);
struct inbox_counts inbox_counts(const struct inbox *i);
struct queue_counts inbox_queue_counts(const struct inbox *i);

#endif
