/* What the halves of sender share: sender.c is a turn of ingest, sender_send.c the traffic with
 * the alerter. */
#ifndef DRAINWATCH_COMMON_QUEUE_SENDER_IMPL_H
#define DRAINWATCH_COMMON_QUEUE_SENDER_IMPL_H

#include "common/base/buf.h"
#include "common/queue/batch.h"
#include "common/queue/sender.h"

/* A sequence is the start's number and, below it, the record's position in the journal. Positions
 * are never used twice in a file, and no start's number is, so no sequence is; and either can be
 * told from it. */
#define POSITION_MAX ((INT64_C(1) << WIRE_SEQUENCE_BITS) - 1)

enum { REFUSED_SIZE = 300 };

/* A message sent and not acked: its last record, and how much it is. */
struct flight {
    int64_t last;
    size_t bytes;
};

/* Positions, each of which never goes back but `sent`:
 * trimmed <= acked <= sent <= last, and sent <= sent_ever. */
struct sender {
    struct journal *journal;
    struct queue *queue;
    struct wire *wire;
    uint8_t sender[WIRE_SENDER_BYTES];
    uint64_t starts;
    int64_t start_position; /* of the first record of this start */
    int64_t last;           /* the newest committed */
    int64_t sent;
    int64_t sent_ever;
    int64_t acked;
    int64_t trimmed;
    int64_t trimming;       /* by the open transaction; 0: nothing */
    uint64_t base;          /* the sequence behind `acked` */
    uint64_t sent_sequence; /* of `sent`; meaningless while nothing is in flight */
    struct flight flights[SENDER_FLIGHT_PUSHES]; /* the oldest first */
    size_t n_flights;
    size_t flight_bytes;
    struct batch turn; /* the first records of this turn, so that they need not be read back */
    struct batch read; /* records read back */
    struct buf packed; /* one record or one message */
    uint64_t epoch;
    bool writable;     /* when last looked at */
    int64_t sent_us;   /* when anything was last sent */
    int64_t resend_us; /* when what is in flight is given up */
    int64_t patience_us;
    int64_t answer_us;   /* of the last good ack, or of the opening */
    bool answered;       /* ever */
    int64_t progress_us; /* since when what waits has waited without any being acked */
    int64_t acked_us;    /* since when acked records wait to be trimmed */
    int64_t again_us;    /* when it was last gone back on request */
    int64_t again_acked; /* and what was acked then */
    bool said_goodbye;
    char refused[REFUSED_SIZE];
    struct sender_counts counts;
};

uint64_t sender_sequence_of(uint64_t starts, int64_t position);

/* The sequence of the record at `position`, or of the one that will stand there. Records of earlier
 * starts tell it themselves. One that cannot be read counts to the start of the next that can: then
 * it follows on nothing, is sent once all before it is acked, and is set aside by the alerter. */
int sender_sequence_at(struct sender *c, int64_t position, uint64_t *sequence, struct err *err);

/* Sends one message. False where it must wait; then its records are read back in time. */
bool sender_send_batch(struct sender *c, const struct batch *b, int64_t now_us);
/* Sends from the journal what the window has room for. */
int sender_send_stored(struct sender *c, int64_t now_us, struct err *err);
/* A message without records, to ask or to say goodbye. False: not now. */
bool sender_send_empty(struct sender *c, bool goodbye, int64_t now_us);
/* Everything in flight counts as lost. */
void sender_go_back(struct sender *c);
int sender_take_ack(struct sender *c, const void *bytes, size_t n, int64_t now_us, struct err *err);

#endif
