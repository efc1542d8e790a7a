/* Sends the records of ingest's spool to the alerter and resends them until it acked them. Called
 * by ingest's loop. */
#include "common/queue/sender.h"

#include "common/base/buf.h"
#include "common/base/text.h"
#include "common/base/time.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum {
    ACKS_PER_CALL = 1000,
    TRIM_RECORDS =
        1000, /* so many acked records are trimmed at once, in a transaction of their own */
};

/* Each push in flight after a gap asks to resend; one resend is enough. */
#define AGAIN_US INT64_C(200000)

/* This happens if an older copy of the journal was restored. The alerter would drop new records as
 * repeats. */
#define AHEAD_OF_US                                                                                \
    "it has taken more from this journal than was ever in it (is the file an old copy? move it "   \
    "away, and a new one is made)"

/* A sequence is the start's number followed by the record's position in the journal. Neither is
 * ever used twice, so no sequence is. */
#define POSITION_MAX ((INT64_C(1) << WIRE_SEQUENCE_BITS) - 1)

/* A message sent and not acked: the position of its last record, and its size. */
struct flight {
    int64_t last;
    size_t bytes;
};

/* Consecutive records, gathered for one message. */
struct batch {
    int64_t position;  /* of the first record in the journal */
    uint64_t sequence; /* of the first record; each further one is one more */
    size_t n;
    size_t lens[SENDER_PUSH_RECORDS];
    struct buf bytes;
};

/* Positions; only `sent` ever goes back, and `acked` if the peer lost records:
 * trimmed <= old <= acked <= sent <= last, and sent <= sent_ever. */
struct sender {
    struct journal *journal;
    struct carrier *carrier;
    struct wire *wire; /* of a record read back */
    uint8_t sender[WIRE_SENDER_BYTES];
    uint64_t starts;
    int64_t start_position; /* of the first record of this start */
    int64_t last;           /* the newest committed */
    int64_t sent;
    int64_t sent_ever;
    int64_t acked;
    int64_t old; /* acked ones up to here need not be kept */
    int64_t trimmed;
    int64_t trimming;       /* by the open transaction; 0: nothing */
    int64_t advance_us;     /* when `acked` last rose */
    int64_t noted;          /* `acked` as the journal tells it to the next start */
    int64_t noting;         /* by the open transaction; -1: nothing */
    bool cannot_note;       /* until the next ack */
    uint64_t oldest;        /* the sequence after `acked` */
    uint64_t sent_sequence; /* of `sent`; meaningless while nothing is in flight */
    struct flight flights[SENDER_FLIGHT_PUSHES]; /* the oldest first */
    size_t n_flights;
    size_t push_limit; /* bytes, 0: none */
    size_t flight_bytes;
    struct batch turn; /* the first records of this turn, kept so that they need not be read back */
    struct batch read; /* records read back from the journal */
    struct buf packed; /* one record or one message */
    uint64_t epoch;
    bool writable;     /* at the last check */
    int64_t sent_us;   /* when anything was last sent */
    int64_t resend_us; /* when to resend the records in flight */
    int64_t patience_us;
    int64_t answer_us;   /* of the last good ack, or of the opening */
    bool answered;       /* ever */
    int64_t progress_us; /* of the last ack while records wait */
    int64_t mark;        /* a position, and a time at which it had no ack: while it has none, */
    int64_t mark_us;     /* a record has waited at least since then */
    int64_t keep_bytes;  /* acked records are kept in a journal up to this size */
    int64_t kept;        /* `acked` at kept_us: the next `old` */
    int64_t kept_us;
    uint64_t taken_back; /* acks */
    uint64_t lost;       /* records that the peer lost and that were not kept any more */
    uint64_t heard;      /* the sequence in the last ack; at the start that of `acked`, if kept */
    int64_t acked_us;    /* since when acked records wait to be trimmed */
    int64_t again_us;    /* of the last resend on request */
    int64_t again_acked; /* `acked` at that time */
    bool said_goodbye;
    char refused[SENDER_TEXT_SIZE]; /* as the last ack said */
    char trouble[SENDER_TEXT_SIZE]; /* likewise */
};

/* ---- positions and sequences ---- */

static uint64_t sequence_of(uint64_t starts, int64_t position)
{
    assert(position >= 0 && position <= POSITION_MAX);
    return starts << WIRE_SEQUENCE_BITS | (uint64_t)position;
}

static int64_t position_of(uint64_t sequence)
{
    return (int64_t)(sequence & (uint64_t)POSITION_MAX);
}

struct lookup {
    struct sender *sender;
    uint64_t starts; /* 0: not found yet */
};

static int lookup_starts(void *ctx, int64_t position, const void *bytes, size_t n)
{
    struct lookup *l = ctx;
    struct wire_record record;
    int rc = wire_unpack_record(l->sender->wire, bytes, n, &record, &(struct err){0});

    (void)position;
    if (rc != 0 && rc != ERR_VERSION)
        return 0;
    l->starts = record.sequence >> WIRE_SEQUENCE_BITS;
    return 1;
}

static int sequence_at(struct sender *s, int64_t position, uint64_t *sequence, struct err *err)
{
    struct lookup l = {.sender = s};
    int rc = 0;

    if (position < s->start_position)
        rc = journal_read(s->journal, position, lookup_starts, &l, err);
    *sequence = sequence_of(l.starts != 0 ? l.starts : s->starts, position);
    return rc < 0 ? rc : 0;
}

/* ---- batches ---- */

static void clear_batch(struct batch *b)
{
    b->n = 0;
    buf_clear(&b->bytes);
}

/* Adds a copy. Returns false if the record does not follow the last one or does not fit. */
static bool add_to_batch(struct batch *b, size_t most_bytes, int64_t position, uint64_t sequence,
                         const void *bytes, size_t n)
{
    if (b->n > 0 && (b->n == SENDER_PUSH_RECORDS || b->bytes.len + n > most_bytes ||
                     sequence != b->sequence + b->n))
        return false;
    if (buf_append(&b->bytes, bytes, n) != 0)
        return false;
    if (b->n == 0) {
        b->position = position;
        b->sequence = sequence;
    }
    b->lens[b->n++] = n;
    return true;
}

/* ---- sending ---- */

static size_t push_bytes(const struct sender *s)
{
    const int64_t link = s->carrier->push_bytes;
    const size_t most =
        link > 0 && link < CARRIER_PUSH_BYTES ? (size_t)link : (size_t)CARRIER_PUSH_BYTES;

    return s->push_limit > 0 && s->push_limit < most ? s->push_limit : most;
}

void sender_limit_push(struct sender *s, size_t bytes)
{
    s->push_limit = bytes;
}

static bool window_open(const struct sender *s)
{
    return s->n_flights < SENDER_FLIGHT_PUSHES && s->flight_bytes < SENDER_FLIGHT_BYTES &&
           s->sent - s->acked < SENDER_FLIGHT_RECORDS;
}

/* The alerter takes a record that follows the last one, or the sender's oldest. The first record of
 * a start therefore waits until all earlier ones are acked. */
static bool may_follow(const struct sender *s, uint64_t sequence)
{
    return s->sent == s->acked || sequence == s->sent_sequence + 1;
}

static bool send_push(struct sender *s, struct wire_push *push, int64_t now_us)
{
    struct carrier *c = s->carrier;

    memcpy(push->sender, s->sender, sizeof push->sender);
    push->acked = c->tells_acked ? s->heard : 0;
    buf_clear(&s->packed);
    if (wire_pack_push(push, &s->packed) != 0 ||
        c->ops->send(c, push, (struct wire_bytes){s->packed.data, s->packed.len}) != 0)
        return false;
    s->sent_us = now_us;
    return true;
}

static struct wire_push push_of(const struct sender *s, const struct batch *b,
                                struct wire_bytes records[SENDER_PUSH_RECORDS])
{
    const uint8_t *at = b->bytes.data;

    for (size_t i = 0; i < b->n; i++) {
        records[i] = (struct wire_bytes){.data = at, .len = b->lens[i]};
        at += b->lens[i];
    }
    return (struct wire_push){
        .oldest = s->oldest, .first = b->sequence, .records = records, .n_records = b->n};
}

static bool send_records(struct sender *s, const struct batch *b, int64_t now_us)
{
    struct wire_bytes records[SENDER_PUSH_RECORDS];
    struct wire_push push = push_of(s, b, records);

    return send_push(s, &push, now_us);
}

static bool send_batch(struct sender *s, const struct batch *b, int64_t now_us)
{
    int64_t last = b->position + (int64_t)b->n - 1;

    if (b->n == 0 || !window_open(s) || !may_follow(s, b->sequence) || !send_records(s, b, now_us))
        return false;
    if (s->n_flights == 0)
        s->resend_us = now_us + s->patience_us;
    s->flights[s->n_flights++] = (struct flight){.last = last, .bytes = b->bytes.len};
    s->flight_bytes += b->bytes.len;
    s->sent = last;
    s->sent_sequence = b->sequence + b->n - 1;
    if (s->sent_ever < last)
        s->sent_ever = last;
    return true;
}

/* Adds a record to the batch, whose first sequence is known. An unreadable record of an earlier
 * start ends the batch: as the first of the next one it gets its sequence from the records behind
 * it. */
static int read_one(void *ctx, int64_t position, const void *bytes, size_t n)
{
    struct sender *s = ctx;
    struct lookup l = {.sender = s, .starts = s->starts};

    if (position > s->last) /* appended, and not committed */
        return 1;
    if (s->read.n == 0)
        l.starts = s->read.sequence >> WIRE_SEQUENCE_BITS;
    else if (position < s->start_position && lookup_starts(&l, position, bytes, n) == 0)
        return 1;
    return add_to_batch(&s->read, push_bytes(s), position, sequence_of(l.starts, position), bytes,
                        n)
               ? 0
               : 1;
}

static int read_batch(struct sender *s, int64_t from, struct err *err)
{
    int rc;

    clear_batch(&s->read);
    rc = sequence_at(s, from, &s->read.sequence, err);
    return rc == 0 ? journal_read(s->journal, from, read_one, s, err) : rc;
}

static int send_stored(struct sender *s, int64_t now_us, struct err *err)
{
    while (s->sent < s->last && window_open(s) && s->carrier->ops->writable(s->carrier)) {
        int rc = read_batch(s, s->sent + 1, err);

        if (rc < 0)
            return rc;
        if (!send_batch(s, &s->read, now_us))
            break;
    }
    return 0;
}

static void go_back(struct sender *s)
{
    s->sent = s->acked;
    s->n_flights = 0;
    s->flight_bytes = 0;
}

static bool send_empty(struct sender *s, bool goodbye, int64_t now_us)
{
    return send_push(s, &(struct wire_push){.oldest = s->oldest, .goodbye = goodbye}, now_us);
}

static void drop_flights(struct sender *s)
{
    size_t n = 0;

    while (n < s->n_flights && s->flights[n].last <= s->acked)
        s->flight_bytes -= s->flights[n++].bytes;
    s->n_flights -= n;
    memmove(s->flights, s->flights + n, s->n_flights * sizeof *s->flights);
}

/* The times of single positions are not kept: a new mark is set once the last one is acked. */
static void set_mark(struct sender *s, int64_t now_us)
{
    if (s->mark <= s->acked) {
        s->mark = s->last;
        s->mark_us = now_us;
    }
}

/* ---- acked records that are kept ---- */

static void set_old(struct sender *s, int64_t position, int64_t now_us)
{
    if (s->old == s->trimmed)
        s->acked_us = now_us;
    s->old = position;
}

/* Only an ack tells that the peer still has them: after a long outage it may be a replica that
 * never had them. */
static void age_kept(struct sender *s, int64_t now_us)
{
    if (!s->carrier->may_lose) {
        set_old(s, s->acked, now_us);
    } else if (now_us - s->kept_us >= SENDER_KEEP_US) {
        set_old(s, s->kept, now_us);
        s->kept = s->acked;
        s->kept_us = now_us;
    }
}

/* The room is needed: half of them go, so that the journal's size is not looked at all the time. */
static void halve_kept(struct sender *s)
{
    int64_t half = s->acked - (s->acked - s->trimmed) / 2;

    s->old = s->old > half ? s->old : half;
    s->kept = s->kept > half ? s->kept : half;
}

/* An ack names fewer records than the one before. Those are lost that are not kept any more. */
static void count_lost(struct sender *s, uint64_t taken)
{
    const int64_t from = position_of(taken), to = position_of(s->heard);

    if (taken < s->heard && from < s->trimmed)
        s->lost += (uint64_t)((to < s->trimmed ? to : s->trimmed) - from);
}

/* The peer has lost records that it acked. The ones that are still here are sent again. */
static int take_back(struct sender *s, int64_t position, int64_t now_us, struct err *err)
{
    int64_t from = position > s->trimmed ? position : s->trimmed;
    uint64_t oldest;
    int rc = from < s->acked ? sequence_at(s, from + 1, &oldest, err) : 0;

    if (rc != 0 || from >= s->acked)
        return rc;
    s->taken_back += (uint64_t)(s->acked - from);
    s->acked = from;
    s->oldest = oldest;
    s->old = s->old < from ? s->old : from;
    s->kept = s->kept < from ? s->kept : from;
    s->mark = s->last;
    s->mark_us = s->progress_us = now_us;
    go_back(s);
    return 0;
}

/* ---- acks ---- */

static int advance(struct sender *s, int64_t position, int64_t now_us, struct err *err)
{
    uint64_t oldest;
    int rc = sequence_at(s, position + 1, &oldest, err);

    if (rc != 0)
        return rc;
    s->oldest = oldest;
    s->acked = position;
    s->advance_us = now_us;
    s->cannot_note = false;
    if (s->sent < position)
        s->sent = position;
    drop_flights(s);
    set_mark(s, now_us);
    s->progress_us = now_us;
    s->patience_us = SENDER_RESEND_US;
    s->resend_us = now_us + s->patience_us;
    return 0;
}

/* Returns 1 if the ack names a record of ours that was sent, in this start or an earlier one; 0 if
 * not; or an error. An ack before `acked` is old and fine. */
static int names_sent(struct sender *s, uint64_t taken, struct err *err)
{
    int64_t position = position_of(taken);
    uint64_t sequence;
    int rc;

    if (taken < s->oldest)
        return 1;
    if (position > s->last || (position >= s->start_position && position > s->sent_ever))
        return 0;
    rc = sequence_at(s, position, &sequence, err);
    return rc != 0 ? rc : sequence == taken;
}

/* The alerter got a record that does not follow its last one. Records in flight repeat that
 * request, so it is honoured once. */
static void send_again(struct sender *s, int64_t now_us)
{
    if (s->sent == s->acked || (s->again_acked == s->acked && now_us - s->again_us < AGAIN_US))
        return;
    s->again_acked = s->acked;
    s->again_us = now_us;
    go_back(s);
}

static int take_ack(struct sender *s, const struct wire_ack *ack, int64_t now_us, struct err *err)
{
    int rc;

    if (memcmp(ack->sender, s->sender, sizeof ack->sender) != 0)
        return 0;
    text_copy_printable(s->refused, sizeof s->refused, ack->refused);
    text_copy_printable(s->trouble, sizeof s->trouble, ack->trouble);
    rc = names_sent(s, ack->taken, err);
    if (rc < 0)
        return rc;
    if (rc == 0) {
        if (ack->taken >= sequence_of(s->starts, s->last + 1))
            snprintf(s->refused, sizeof s->refused, "%s", AHEAD_OF_US);
        return 0;
    }
    s->answered = true;
    s->answer_us = now_us;
    s->carrier->acked = ack->taken;
    if (s->carrier->may_lose)
        count_lost(s, ack->taken);
    s->heard = ack->taken;
    if (ack->taken >= s->oldest)
        rc = advance(s, position_of(ack->taken), now_us, err);
    else
        rc = s->carrier->may_lose ? take_back(s, position_of(ack->taken), now_us, err) : 0;
    if (rc == 0 && ack->again)
        send_again(s, now_us);
    if (rc == 0)
        age_kept(s, now_us);
    return rc;
}

/* ---- opening ---- */

static int random_bytes(void *out, size_t n, struct err *err)
{
    if (getrandom(out, n, 0) != (ssize_t)n) /* up to 256 bytes come whole, random(7) */
        return err_set(err, ERR_IO, "no random bytes: %s", strerror(errno));
    return 0;
}

/* The journal's names for these values. Files of earlier builds hold them, so they never change: a
 * sender with a new id could not hand over the records of the old one. */
#define NAME_OF_ID "courier.sender"
#define NAME_OF_STARTS "courier.starts"
#define NAME_OF_ACKED "courier.acked"

static int note_acked(struct sender *s, int64_t position, struct err *err)
{
    s->noting = position;
    return journal_put(s->journal, NAME_OF_ACKED, &position, sizeof position, err);
}

/* Acked records that are kept do not wait, also after a restart. */
static bool has_to_note(const struct sender *s)
{
    return s->carrier->may_lose && s->noted != s->acked;
}

static bool note_is_due(const struct sender *s)
{
    return has_to_note(s) && !s->cannot_note;
}

/* Reads the sender's id and counts this start. */
static int count_start(struct sender *s, struct err *err)
{
    bool found;
    int rc = journal_get(s->journal, NAME_OF_ID, s->sender, sizeof s->sender, &found, err);

    if (rc == 0 && !found)
        rc = random_bytes(s->sender, sizeof s->sender, err);
    if (rc == 0)
        rc = journal_put(s->journal, NAME_OF_ID, s->sender, sizeof s->sender, err);
    if (rc == 0)
        rc = journal_get(s->journal, NAME_OF_STARTS, &s->starts, sizeof s->starts, &found, err);
    s->starts++;
    if (rc == 0)
        rc = journal_put(s->journal, NAME_OF_STARTS, &s->starts, sizeof s->starts, err);
    if (rc == 0 && s->carrier->may_lose)
        rc = journal_get(s->journal, NAME_OF_ACKED, &s->noted, sizeof s->noted, &found, err);
    if (rc == 0 && s->carrier->may_lose) /* later notes need no more room in the file */
        rc = note_acked(s, s->noted, err);
    return rc;
}

/* This commit waits for the disk: if a start's number were used twice, the alerter would drop new
 * records as repeats. */
static int begin_start(struct sender *s, struct err *err)
{
    int rc = journal_begin_synced(s->journal, err);

    if (rc != 0)
        return rc;
    rc = count_start(s, err);
    if (rc != 0) {
        journal_rollback(s->journal);
        return rc;
    }
    return journal_commit(s->journal, err);
}

static int find_place(struct sender *s, struct err *err)
{
    int64_t first = journal_first(s->journal);
    int rc;

    s->last = journal_last(s->journal);
    s->start_position = s->last + 1;
    s->acked = first == 0 ? s->last : first - 1;
    s->trimmed = s->old = s->kept = s->acked;
    if (s->noted > s->acked && s->noted <= s->last)
        s->acked = s->noted;
    s->sent = s->sent_ever = s->acked;
    s->noting = -1;
    s->mark = s->last;
    rc = sender_acked_sequence(s, &s->heard, err);
    return rc == 0 ? sequence_at(s, s->acked + 1, &s->oldest, err) : rc;
}

int sender_open(struct carrier *carrier, struct journal *journal, int64_t keep_bytes,
                int64_t now_us, struct sender **out, struct err *err)
{
    struct sender *s = calloc(1, sizeof *s);
    int rc;

    if (s == NULL) {
        carrier->ops->close(carrier);
        return err_set(err, ERR_NOMEM, "no memory for the sender");
    }
    s->carrier = carrier;
    s->journal = journal;
    s->keep_bytes = keep_bytes;
    s->kept_us = now_us;
    s->patience_us = SENDER_RESEND_US;
    s->sent_us = now_us - SENDER_PING_US; /* ask at once */
    s->mark_us = s->answer_us = s->progress_us = s->again_us = now_us;
    buf_init(&s->turn.bytes, CARRIER_PUSH_BYTES + WIRE_RECORD_MAX);
    buf_init(&s->read.bytes, CARRIER_PUSH_BYTES + WIRE_RECORD_MAX);
    buf_init(&s->packed, WIRE_MESSAGE_MAX);
    s->wire = wire_new();
    rc = s->wire == NULL ? err_set(err, ERR_NOMEM, "no memory for the sender") : 0;
    if (rc == 0)
        rc = begin_start(s, err);
    if (rc == 0)
        rc = find_place(s, err);
    if (rc != 0) {
        sender_close(s);
        return rc;
    }
    memcpy(carrier->sender, s->sender, sizeof carrier->sender);
    *out = s;
    return 0;
}

void sender_close(struct sender *s)
{
    if (s == NULL)
        return;
    s->carrier->ops->close(s->carrier);
    wire_free(s->wire);
    buf_close(&s->packed);
    buf_close(&s->read.bytes);
    buf_close(&s->turn.bytes);
    free(s);
}

/* ---- a turn ---- */

int sender_append(struct sender *s, struct wire_record *record, struct err *err)
{
    int64_t position = journal_last(s->journal) + 1, appended;
    int rc;

    memcpy(record->sender, s->sender, sizeof record->sender);
    record->sequence = sequence_of(s->starts, position);
    buf_clear(&s->packed);
    rc = wire_pack_record(record, &s->packed);
    if (rc == ERR_NOMEM)
        return err_set(err, rc, "no memory to pack a record");
    if (rc != 0 || s->packed.len > WIRE_RECORD_MAX)
        return err_set(err, ERR_FULL, "a record of more than %d bytes (nothing that large is sent)",
                       WIRE_RECORD_MAX);
    rc = journal_append(s->journal, s->packed.data, s->packed.len, &appended, err);
    if (rc == ERR_FULL) /* perhaps the disk's fault: nothing acked is kept at this price */
        s->old = s->kept = s->acked;
    if (rc != 0)
        return rc;
    assert(appended == position);
    /* The batch holds the turn's records from the first on, without a gap. */
    if (position == s->last + 1 + (int64_t)s->turn.n)
        (void)add_to_batch(&s->turn, push_bytes(s), position, record->sequence, s->packed.data,
                           s->packed.len);
    return 0;
}

int sender_trim(struct sender *s, struct err *err)
{
    int64_t to;
    int rc;

    if (s->carrier->may_lose && journal_is_larger(s->journal, s->keep_bytes))
        halve_kept(s);
    rc = has_to_note(s) ? note_acked(s, s->acked, err) : 0;
    if (rc != 0 || s->old == s->trimmed)
        return rc;
    /* Kept ones may be very many. */
    to = s->carrier->may_lose && s->old - s->trimmed > TRIM_RECORDS ? s->trimmed + TRIM_RECORDS
                                                                    : s->old;
    rc = journal_trim(s->journal, to, err);
    if (rc == 0)
        s->trimming = to;
    return rc;
}

bool sender_trim_due(const struct sender *s, int64_t now_us)
{
    return s->old - s->trimmed >= TRIM_RECORDS ||
           (s->old > s->trimmed && now_us - s->acked_us >= SENDER_TRIM_US) ||
           (note_is_due(s) && now_us - s->advance_us >= SENDER_TRIM_US);
}

int sender_push(struct sender *s, int64_t now_us, struct err *err)
{
    assert(!journal_in_transaction(s->journal));
    if (s->acked == s->last)
        s->progress_us = now_us;
    s->last = journal_last(s->journal);
    set_mark(s, now_us);
    if (s->trimming != 0)
        s->trimmed = s->trimming;
    s->trimming = 0;
    if (s->noting >= 0)
        s->noted = s->noting;
    s->noting = -1;
    if (s->turn.n > 0 && s->turn.position == s->sent + 1)
        (void)send_batch(s, &s->turn, now_us);
    clear_batch(&s->turn);
    return send_stored(s, now_us, err);
}

void sender_rollback(struct sender *s)
{
    clear_batch(&s->turn);
    s->trimming = 0;
    s->cannot_note = s->noting >= 0;
    s->noting = -1;
}

int sender_receive(struct sender *s, int64_t now_us, struct err *err)
{
    struct carrier *c = s->carrier;
    struct wire_ack ack;
    int rc = 0;

    assert(!journal_in_transaction(s->journal));
    c->waiting = sender_waiting(s);
    c->ops->tend(c, now_us);
    for (int i = 0; i < ACKS_PER_CALL && rc == 0; i++) {
        int got = c->ops->receive(c, &ack);

        if (got == 0)
            break;
        if (got > 0)
            rc = take_ack(s, &ack, now_us, err);
    }
    if (s->epoch != c->ops->epoch(c)) {
        s->epoch = c->ops->epoch(c);
        s->sent_us = now_us - SENDER_PING_US;
        go_back(s);
    }
    return rc != 0 ? rc : send_stored(s, now_us, err);
}

int sender_timer(struct sender *s, int64_t now_us, struct err *err)
{
    int rc;

    if (s->n_flights > 0 && now_us >= s->resend_us) {
        s->patience_us = 2 * s->patience_us;
        if (s->patience_us > SENDER_RESEND_MAX_US)
            s->patience_us = SENDER_RESEND_MAX_US;
        go_back(s);
    }
    rc = send_stored(s, now_us, err);
    s->writable = s->carrier->ops->writable(s->carrier);
    if (rc == 0 && s->writable && s->n_flights == 0 && now_us - s->sent_us >= SENDER_PING_US) {
        (void)send_empty(s, false, now_us);
        s->sent_us = now_us; /* after a failure, too: the next ping waits as long */
    }
    return rc;
}

void sender_goodbye(struct sender *s)
{
    s->carrier->waiting = sender_waiting(s);
    s->said_goodbye = s->said_goodbye || send_empty(s, true, s->sent_us);
}

/* ---- another way ---- */

static int pack(const struct sender *s, struct wire_push *push, struct buf *out, struct err *err)
{
    int rc;

    memcpy(push->sender, s->sender, sizeof push->sender);
    buf_clear(out);
    rc = wire_pack_push(push, out);
    return rc == 0 ? 0 : err_set(err, rc, "no memory to pack records");
}

int sender_pack_next(struct sender *s, struct buf *out, uint64_t *last, struct err *err)
{
    struct wire_bytes records[SENDER_PUSH_RECORDS];
    struct wire_push push;
    int64_t to;
    int rc = read_batch(s, s->acked + 1, err);

    if (rc < 0)
        return rc;
    push = push_of(s, &s->read, records);
    *last = push.first + push.n_records - 1;
    to = s->acked + (int64_t)push.n_records;
    if (s->sent_ever < to)
        s->sent_ever = to;
    return pack(s, &push, out, err);
}

int sender_pack_empty(const struct sender *s, bool goodbye, struct buf *out, struct err *err)
{
    return pack(s, &(struct wire_push){.oldest = s->oldest, .goodbye = goodbye}, out, err);
}

int sender_take_ack(struct sender *s, uint64_t taken, bool lacks_more, int64_t now_us,
                    struct err *err)
{
    struct wire_ack ack = {.taken = taken, .refused = "", .trouble = ""};

    memcpy(ack.sender, s->sender, sizeof ack.sender);
    if (taken < s->oldest && !lacks_more) /* the carrier was first */
        return 0;
    return take_ack(s, &ack, now_us, err);
}

bool sender_has_kept(const struct sender *s)
{
    return s->acked > s->trimmed;
}

void sender_ask(struct sender *s, int64_t now_us)
{
    s->carrier->wants_ack = true;
    (void)send_empty(s, false, now_us);
}

bool sender_is_sure(const struct sender *s, int64_t since_us)
{
    return !sender_has_kept(s) || s->answer_us >= since_us;
}

int sender_acked_sequence(struct sender *s, uint64_t *sequence, struct err *err)
{
    *sequence = 0;
    return sender_has_kept(s) ? sequence_at(s, s->acked, sequence, err) : 0;
}

uint64_t sender_taken_back(const struct sender *s)
{
    return s->taken_back;
}

int sender_fd(const struct sender *s)
{
    return s->carrier->ops->fd(s->carrier);
}

bool sender_pending(struct sender *s)
{
    return s->carrier->ops->pending(s->carrier);
}

int64_t sender_wake_us(const struct sender *s)
{
    /* Without a connection there is no ping: the descriptor wakes us. */
    int64_t ping_us = s->writable ? s->sent_us + SENDER_PING_US : INT64_MAX;
    int64_t wake_us = s->n_flights > 0 ? s->resend_us : ping_us;
    int64_t trim_us = s->old > s->trimmed ? s->acked_us + SENDER_TRIM_US : INT64_MAX;
    int64_t note_us = note_is_due(s) ? s->advance_us + SENDER_TRIM_US : INT64_MAX;
    int64_t carrier_us = s->carrier->ops->wake_us(s->carrier);

    wake_us = wake_us < trim_us ? wake_us : trim_us;
    wake_us = wake_us < note_us ? wake_us : note_us;
    return wake_us < carrier_us ? wake_us : carrier_us;
}

uint64_t sender_waiting(const struct sender *s)
{
    return (uint64_t)(s->last - s->acked);
}

int64_t sender_acked(const struct sender *s)
{
    return s->acked;
}

int64_t sender_last(const struct sender *s)
{
    return journal_last(s->journal);
}

bool sender_is_safe(const struct sender *s, int64_t position)
{
    return position <= s->acked;
}

bool sender_is_late(const struct sender *s, int64_t now_us)
{
    return s->carrier->ops->is_away(s->carrier) ||
           (s->mark > s->acked && now_us - s->mark_us >= SENDER_LATE_US);
}

int64_t sender_progress_us(const struct sender *s)
{
    return s->progress_us;
}

static enum sender_state state_of(const struct sender *s, int64_t now_us)
{
    const struct carrier_ops *ops = s->carrier->ops;

    if (s->refused[0] != '\0')
        return SENDER_REFUSED;
    if (ops->idle_us(s->carrier, now_us) > 0)
        return SENDER_IDLE;
    if (ops->fault(s->carrier)[0] != '\0')
        return SENDER_BLOCKED;
    return s->answered && now_us - s->answer_us < SENDER_SILENCE_US ? SENDER_WELL : SENDER_SILENT;
}

static void say_state(const struct sender *s, enum sender_state state, int64_t now_us,
                      char text[SENDER_REASON_SIZE])
{
    const struct carrier *c = s->carrier;
    const int64_t since_us =
        state == SENDER_IDLE ? c->ops->idle_us(c, now_us) : now_us - s->answer_us;
    char words[TIME_WORDS_SIZE];

    time_format_words(since_us / TIME_S * TIME_S, words);
    if (state == SENDER_REFUSED)
        snprintf(text, SENDER_REASON_SIZE, "%s refuses: %s", c->alerter, s->refused);
    else if (state == SENDER_IDLE)
        snprintf(text, SENDER_REASON_SIZE, "no alerter has been active for %s", words);
    else if (state == SENDER_BLOCKED)
        snprintf(text, SENDER_REASON_SIZE, "%s", c->ops->fault(c));
    else
        snprintf(text, SENDER_REASON_SIZE, "no answer from %s for %s", c->peer, words);
}

void sender_health(const struct sender *s, int64_t now_us, struct sender_health *out)
{
    char why[SENDER_REASON_SIZE], count[TEXT_COUNT_SIZE];

    *out =
        (struct sender_health){.state = state_of(s, now_us),
                               .is_new = !s->answered && now_us - s->answer_us < SENDER_SILENCE_US,
                               .peer = s->carrier->peer,
                               .fault = s->carrier->ops->fault(s->carrier),
                               .waiting = sender_waiting(s),
                               .taken_back = s->taken_back,
                               .lost = s->lost,
                               .is_pooled = s->carrier->is_pooled,
                               .detail = s->carrier->last.text,
                               .address = s->carrier->address};
    if (out->waiting > 0)
        out->waiting_us = now_us - s->progress_us;
    out->ok = out->state == SENDER_WELL;
    if (out->ok) {
        snprintf(out->trouble, sizeof out->trouble, "%s", s->trouble);
        return;
    }
    say_state(s, out->state, now_us, why);
    text_format_count(out->waiting, count);
    if (out->waiting > 0)
        snprintf(out->reason, sizeof out->reason, "%.400s, %s %s", why, count,
                 text_plural(out->waiting, "delivery waits", "deliveries wait"));
    else
        snprintf(out->reason, sizeof out->reason, "%s", why);
}
