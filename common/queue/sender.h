/* Sends ingest's journal to the alerter and resends each record until it is acked.
 *
 * A record gets its sequence number when it is appended, is sent after the commit, and stays in the
 * journal until the alerter acked it. The records in flight are bounded and all others wait in the
 * journal, so memory does not grow while the alerter is away. A turn of ingest:
 *
 *     sender_receive                      takes acks, sends waiting records
 *     journal_begin, sender_append…       the records of all deliveries of the turn
 *     sender_trim, journal_commit         or journal_rollback and sender_rollback
 *     sender_push                         after the commit
 *     sender_timer                        resends, pings
 *
 * All times are microseconds of one clock that never goes back (clock_boot_us). */
#ifndef DRAINWATCH_COMMON_QUEUE_SENDER_H
#define DRAINWATCH_COMMON_QUEUE_SENDER_H

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/queue/carrier.h"
#include "common/record/wire.h"
#include "common/storage/journal.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    SENDER_PUSH_RECORDS = 1000,    /* in one message */
    SENDER_FLIGHT_PUSHES = 64,     /* messages sent and not acked */
    SENDER_FLIGHT_RECORDS = 4096,  /* records sent and not acked */
    SENDER_FLIGHT_BYTES = 4 << 20, /* bytes; the message that reaches this is still sent */
    SENDER_REASON_SIZE = 512,
    SENDER_TEXT_SIZE = 300, /* of a text from the alerter */
};
#define SENDER_PING_US INT64_C(1000000)       /* between pings while nothing is sent */
#define SENDER_RESEND_US INT64_C(1000000)     /* without an ack; doubles */
#define SENDER_RESEND_MAX_US INT64_C(5000000) /* up to here */
#define SENDER_SILENCE_US INT64_C(10000000)   /* without an answer: the alerter is away */
#define SENDER_TRIM_US INT64_C(100000)        /* acked records wait this long for a transaction */
#define SENDER_KEEP_US INT64_C(600000000)     /* see sender_open; up to twice as long */
#define SENDER_LATE_US INT64_C(250000)        /* a record without an ack for so long is late */

struct sender;

enum sender_state {
    SENDER_WELL,
    SENDER_REFUSED, /* the alerter takes no records of this journal */
    SENDER_IDLE,    /* the peer answers, but no alerter is active */
    SENDER_BLOCKED, /* the peer takes no records */
    SENDER_SILENT,  /* the peer does not answer */
};

struct sender_health {
    bool ok; /* the alerter answers and takes the records: SENDER_WELL */
    enum sender_state state;
    bool is_new;                     /* there was no answer yet, and none is overdue */
    const char *peer;                /* it acks the records: "the alerter", "the database" */
    const char *fault;               /* why it takes none, for anybody; "": it does, or unknown */
    uint64_t waiting;                /* records without an ack */
    uint64_t taken_back;             /* acks so far that did not hold: the peer lost the records */
    uint64_t lost;                   /* likewise, and the records were not kept any more */
    bool is_pooled;                  /* the carrier's */
    int64_t waiting_us;              /* time since the last ack; 0 if none waits */
    char reason[SENDER_REASON_SIZE]; /* one line for anybody, "" if ok */
    const char *detail;  /* the error behind it, for the log alone; may be ""; the sender's */
    const char *address; /* of the one that does not answer, for the log alone; may be NULL */
    char trouble[SENDER_TEXT_SIZE]; /* if ok: why alerts are not delivered, one line, or "" */
};

/* Counts this start in a synced transaction of its own. Takes `carrier` over, also if it fails. The
 * journal must outlive the sender, and nobody else may append to it. If the carrier's peer may lose
 * records, acked ones stay in the journal until an ack that comes SENDER_KEEP_US later, or until it
 * is larger than `keep_bytes`. Returns 0, ERR_NOMEM or an error of the journal. */
int sender_open(struct carrier *carrier, struct journal *journal, int64_t keep_bytes,
                int64_t now_us, struct sender **out, struct err *err);
void sender_close(struct sender *s); /* NULL is fine */

/* Wait until the descriptor is readable, or until sender_wake_us; do not wait if sender_pending.
 * Then call sender_receive and sender_timer. */
int sender_fd(const struct sender *s);
bool sender_pending(struct sender *s);
int64_t sender_wake_us(const struct sender *s);

/* Within a transaction. Fills in the record's sender and sequence. Returns 0; ERR_FULL (no room in
 * the journal, or the record is larger than WIRE_RECORD_MAX), after which the transaction goes on;
 * or an error of journal_append. */
int sender_append(struct sender *s, struct wire_record *record, struct err *err);
/* Within a transaction: removes acked records from the journal, or the ones kept long enough. Call
 * it in each transaction, and in one of its own once sender_trim_due returns true. */
int sender_trim(struct sender *s, struct err *err);
bool sender_trim_due(const struct sender *s, int64_t now_us);

/* At most so many bytes of records in a message, unless one is larger; 0: as many as usual. */
void sender_limit_push(struct sender *s, size_t bytes);

/* After each commit: sends the new records. */
int sender_push(struct sender *s, int64_t now_us, struct err *err);
/* After each rollback. */
void sender_rollback(struct sender *s);

/* Outside of a transaction: takes all waiting acks and sends waiting records. receive, timer and
 * push return 0 or an error of journal_read; the next call goes on. */
int sender_receive(struct sender *s, int64_t now_us, struct err *err);
int sender_timer(struct sender *s, int64_t now_us, struct err *err);

/* Tells the alerter that no more records will come; sender_close then waits up to half a second
 * until the message has left. Call it once nothing waits, or when time is up. */
void sender_goodbye(struct sender *s);

/* For a second way beside the carrier, at the end. The first packs a push of the oldest records
 * without an ack, and `last` becomes its last sequence. The other packs a push without records.
 * Each clears `out`. They return 0, an error of journal_read, or one of `out`. */
int sender_pack_next(struct sender *s, struct buf *out, uint64_t *last, struct err *err);
int sender_pack_empty(const struct sender *s, bool goodbye, struct buf *out, struct err *err);
/* The other side has all records up to `taken`. With `lacks_more` it has none after that: later
 * records then count as lost, even if they were acked. Outside of a transaction. Returns 0 or an
 * error of journal_read. */
int sender_take_ack(struct sender *s, uint64_t taken, bool lacks_more, int64_t now_us,
                    struct err *err);
bool sender_has_kept(const struct sender *s); /* acked records are still in the journal */
/* Asks for an ack now: the peer may have lost records since the last one. */
void sender_ask(struct sender *s, int64_t now_us);
/* Since then an ack told which records the peer has, or none are kept that it could have lost. */
bool sender_is_sure(const struct sender *s, int64_t since_us);
/* The sequence of the last acked record; 0: it is not kept. Returns 0 or an error of the journal.
 */
int sender_acked_sequence(struct sender *s, uint64_t *sequence, struct err *err);
uint64_t sender_taken_back(const struct sender *s); /* as in sender_health */

uint64_t sender_waiting(const struct sender *s); /* committed and not acked */
int64_t sender_acked(const struct sender *s);    /* the position up to which all are acked */
/* The position of the newest record appended, also in the open transaction; 0 if there is none. */
int64_t sender_last(const struct sender *s);
/* The record at this position is acked: it is safe even if this disk is lost. */
bool sender_is_safe(const struct sender *s, int64_t position);
/* It makes no sense to wait for an ack: there is no connection, or a committed record has waited
 * for SENDER_LATE_US. */
bool sender_is_late(const struct sender *s, int64_t now_us);
/* The time of the last ack, or since when records wait, if that is later. */
int64_t sender_progress_us(const struct sender *s);
void sender_health(const struct sender *s, int64_t now_us, struct sender_health *out);

#endif
