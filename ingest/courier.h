/* Carries what ingest journals to the alerter, however often it takes.
 *
 * Each record gets its place in the sender's sequence as it is appended, is sent after the commit,
 * and stays in the journal until the alerter acked it. What is in flight is bounded; all else waits
 * in the journal, so memory does not grow while the alerter is away. A turn of ingest:
 *
 *     courier_receive                      acks; opens the window for what waits
 *     journal_begin, courier_append…       the matches of all deliveries of the turn
 *     courier_trim, journal_commit         or journal_rollback and courier_rollback
 *     courier_push                         after the commit
 *     courier_timer                        resends, pings
 *
 * All times are microseconds of one clock that never goes back (clock_boot_us). */
#ifndef DRAINWATCH_INGEST_COURIER_H
#define DRAINWATCH_INGEST_COURIER_H

#include "common/err.h"
#include "common/journal.h"
#include "common/queue.h"
#include "common/wire.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    COURIER_PUSH_RECORDS = 1000,    /* in one message */
    COURIER_PUSH_BYTES = 1 << 20,   /* and so many, unless one record alone is larger */
    COURIER_FLIGHT_PUSHES = 64,     /* messages sent and not acked */
    COURIER_FLIGHT_RECORDS = 4096,  /* records, as well */
    COURIER_FLIGHT_BYTES = 4 << 20, /* bytes, as well; one message more may begin below it */
    COURIER_REASON_SIZE = 512,
};
#define COURIER_PING_US INT64_C(1000000)   /* between questions while there is nothing to send */
#define COURIER_RESEND_US INT64_C(1000000) /* without an ack; doubles */
#define COURIER_RESEND_MAX_US INT64_C(5000000) /* up to here */
#define COURIER_SILENCE_US                                                                         \
    INT64_C(10000000)                   /* without an answer: the alerter is said to be away       \
                                         */
#define COURIER_TRIM_US INT64_C(100000) /* an ack waits so long for a turn to trim in */

struct courier;

struct courier_counts {
    uint64_t appended; /* since this start */
    uint64_t acked;
    uint64_t resent;       /* records sent once more */
    uint64_t silences;     /* times that no ack came in time */
    uint64_t ignored_acks; /* that were malformed, for another sender, or for what was never sent */
};

struct courier_health {
    bool ok;                          /* the alerter answers, and takes what it is sent */
    uint64_t waiting;                 /* records without an ack */
    int64_t waiting_us;               /* for so long none of them was acked; 0 where none waits */
    char reason[COURIER_REASON_SIZE]; /* one line, "" where ok */
};

/* Connects, and makes this start the sender's newest: a synced transaction of its own. Both
 * pointers are borrowed; the journal must outlive the courier, and nobody else may append to it.
 * Returns 0 or an error of queue_connect or of the journal. */
int courier_open(const struct queue_options *options, struct journal *journal, int64_t now_us,
                 struct courier **out, struct err *err);
void courier_close(struct courier *c); /* NULL is fine */

/* What to wait for: the descriptor to be readable, until courier_wake_us at the latest; not at all
 * if courier_pending. Then courier_receive and courier_timer. */
int courier_fd(const struct courier *c);
bool courier_pending(struct courier *c);
int64_t courier_wake_us(const struct courier *c);

/* Within a transaction. append fills in sender and sequence. Returns 0; ERR_FULL (no room in the
 * journal, or the record is larger than WIRE_RECORD_MAX), after which the transaction goes on; or
 * an error of journal_append. */
int courier_append(struct courier *c, struct wire_record *record, struct err *err);
/* Forgets what the alerter has, in a transaction that is open anyway, or in one of its own as soon
 * as courier_trim_due says so. */
int courier_trim(struct courier *c, struct err *err);
bool courier_trim_due(const struct courier *c, int64_t now_us);

/* After each commit: sends what is new. */
int courier_push(struct courier *c, int64_t now_us, struct err *err);
/* After each rollback. */
void courier_rollback(struct courier *c);

/* Takes all acks that wait, outside of a transaction, and sends what they made room for. These
 * three return 0 or an error of journal_read, after which all goes on at the next call. */
int courier_receive(struct courier *c, int64_t now_us, struct err *err);
int courier_timer(struct courier *c, int64_t now_us, struct err *err);

/* Says that nothing more will come. courier_close then waits for up to half a second until it has
 * left. To be called once nothing waits, or once there is no more time. */
void courier_goodbye(struct courier *c);

uint64_t courier_waiting(const struct courier *c); /* records that were committed and not acked */
void courier_health(const struct courier *c, int64_t now_us, struct courier_health *out);
/* Why the alerter does not take the oldest record, as it says; "" where it does. */
const char *courier_refused(const struct courier *c);
struct courier_counts courier_counts(const struct courier *c);

#endif
