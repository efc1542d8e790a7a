/* Carries what ingest journals to the alerter, however often it takes.
 *
 * Each record gets its place in the sender's sequence as it is appended, is sent after the commit,
 * and stays in the journal until the alerter acked it. What is in flight is bounded; all else waits
 * in the journal, so memory does not grow while the alerter is away. A turn of ingest:
 *
 *     sender_receive                      acks; opens the window for what waits
 *     journal_begin, sender_append…       the matches of all deliveries of the turn
 *     sender_trim, journal_commit         or journal_rollback and sender_rollback
 *     sender_push                         after the commit
 *     sender_timer                        resends, pings
 *
 * All times are microseconds of one clock that never goes back (clock_boot_us). */
#ifndef DRAINWATCH_COMMON_QUEUE_SENDER_H
#define DRAINWATCH_COMMON_QUEUE_SENDER_H

#include "common/base/err.h"
#include "common/queue/queue.h"
#include "common/record/wire.h"
#include "common/storage/journal.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    SENDER_PUSH_RECORDS = 1000,    /* in one message */
    SENDER_PUSH_BYTES = 1 << 20,   /* and so many, unless one record alone is larger */
    SENDER_FLIGHT_PUSHES = 64,     /* messages sent and not acked */
    SENDER_FLIGHT_RECORDS = 4096,  /* records, as well */
    SENDER_FLIGHT_BYTES = 4 << 20, /* bytes, as well; one message more may begin below it */
    SENDER_REASON_SIZE = 512,
    SENDER_TEXT_SIZE = 300, /* of a text of the alerter's */
};
#define SENDER_PING_US INT64_C(1000000)       /* between questions while there is nothing to send */
#define SENDER_RESEND_US INT64_C(1000000)     /* without an ack; doubles */
#define SENDER_RESEND_MAX_US INT64_C(5000000) /* up to here */
#define SENDER_SILENCE_US                                                                          \
    INT64_C(10000000)                  /* without an answer: the alerter is said to be away        \
                                        */
#define SENDER_TRIM_US INT64_C(100000) /* an ack waits so long for a turn to trim in */

struct sender;

struct sender_counts {
    uint64_t appended; /* since this start */
    uint64_t acked;
    uint64_t resent;       /* records sent once more */
    uint64_t silences;     /* times that no ack came in time */
    uint64_t ignored_acks; /* that were malformed, for another sender, or for what was never sent */
};

struct sender_health {
    bool ok;                         /* the alerter answers, and takes what it is sent */
    uint64_t waiting;                /* records without an ack */
    int64_t waiting_us;              /* for so long none of them was acked; 0 where none waits */
    char reason[SENDER_REASON_SIZE]; /* one line, "" if ok */
    char trouble[SENDER_TEXT_SIZE];  /* if ok: why alerts are not delivered, one line, or "" */
};

/* Connects, and makes this start the sender's newest: a synced transaction of its own. Both
 * pointers are borrowed; the journal must outlive the sender, and nobody else may append to it.
 * Returns 0 or an error of queue_connect or of the journal. */
int sender_open(const struct queue_options *options, struct journal *journal, int64_t now_us,
                struct sender **out, struct err *err);
void sender_close(struct sender *c); /* NULL is fine */

/* What to wait for: the descriptor to be readable, until sender_wake_us at the latest; not at all
 * if sender_pending. Then sender_receive and sender_timer. */
int sender_fd(const struct sender *c);
bool sender_pending(struct sender *c);
int64_t sender_wake_us(const struct sender *c);

/* Within a transaction. append fills in sender and sequence. Returns 0; ERR_FULL (no room in the
 * journal, or the record is larger than WIRE_RECORD_MAX), after which the transaction goes on; or
 * an error of journal_append. */
int sender_append(struct sender *c, struct wire_record *record, struct err *err);
/* Forgets what the alerter has, in a transaction that is open anyway, or in one of its own as soon
 * as sender_trim_due says so. */
int sender_trim(struct sender *c, struct err *err);
bool sender_trim_due(const struct sender *c, int64_t now_us);

/* After each commit: sends what is new. */
int sender_push(struct sender *c, int64_t now_us, struct err *err);
/* After each rollback. */
void sender_rollback(struct sender *c);

/* Takes all acks that wait, outside of a transaction, and sends what they made room for. These
 * three return 0 or an error of journal_read, after which all goes on at the next call. */
int sender_receive(struct sender *c, int64_t now_us, struct err *err);
int sender_timer(struct sender *c, int64_t now_us, struct err *err);

/* Says that nothing more will come. sender_close then waits for up to half a second until it has
 * left. To be called once nothing waits, or once there is no more time. */
void sender_goodbye(struct sender *c);

uint64_t sender_waiting(const struct sender *c); /* records that were committed and not acked */
void sender_health(const struct sender *c, int64_t now_us, struct sender_health *out);
/* Why the alerter does not take the oldest record, as it says; "" where it does. */
const char *sender_refused(const struct sender *c);
struct sender_counts sender_counts(const struct sender *c);

#endif
