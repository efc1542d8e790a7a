#include "common/base/text.h"
#include "common/queue/sender_impl.h"

#include <assert.h>
#include <string.h>

/* Pushes in flight behind a gap each say so; one answer to them is enough. */
#define AGAIN_US INT64_C(200000)

/* Only a restored copy of an older journal can come to this: new records would be dropped as seen.
 */
#define AHEAD_OF_US                                                                                \
    "it has taken more from this journal than was ever in it (is the file an old copy? move it "   \
    "away, and a new one is made)"

/* ---- Positions and sequences ------------------------------------------------------------------
 */

uint64_t sender_sequence_of(uint64_t starts, int64_t position)
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

int sender_sequence_at(struct sender *c, int64_t position, uint64_t *sequence, struct err *err)
{
    struct lookup l = {.sender = c};
    int rc = 0;

    if (position < c->start_position)
        rc = journal_read(c->journal, position, lookup_starts, &l, err);
    *sequence = sender_sequence_of(l.starts != 0 ? l.starts : c->starts, position);
    return rc < 0 ? rc : 0;
}

/* ---- Sending ----------------------------------------------------------------------------------
 */

static bool window_open(const struct sender *c)
{
    return c->n_flights < SENDER_FLIGHT_PUSHES && c->flight_bytes < SENDER_FLIGHT_BYTES &&
           c->sent - c->acked < SENDER_FLIGHT_RECORDS;
}

/* The alerter takes what follows, or what is the sender's oldest. So the first record of a start
 * waits until all before it are acked. */
static bool may_follow(const struct sender *c, uint64_t sequence)
{
    return c->sent == c->acked || sequence == c->sent_sequence + 1;
}

static int send_packed(struct sender *c, int64_t now_us)
{
    int rc = queue_send(c->queue, NULL, c->packed.data, c->packed.len);

    if (rc == 0)
        c->sent_us = now_us;
    return rc;
}

bool sender_send_batch(struct sender *c, const struct batch *b, int64_t now_us)
{
    int64_t last = b->position + (int64_t)b->n - 1;
    int64_t again = (last < c->sent_ever ? last : c->sent_ever) - b->position + 1;

    if (b->n == 0 || !window_open(c) || !may_follow(c, b->sequence))
        return false;
    buf_clear(&c->packed);
    if (batch_pack(b, c->sender, c->base, &c->packed) != 0 || send_packed(c, now_us) != 0)
        return false;
    if (c->n_flights == 0)
        c->resend_us = now_us + c->patience_us;
    c->flights[c->n_flights++] = (struct flight){.last = last, .bytes = b->bytes.len};
    c->flight_bytes += b->bytes.len;
    c->counts.resent += again > 0 ? (uint64_t)again : 0;
    c->sent = last;
    c->sent_sequence = b->sequence + b->n - 1;
    if (c->sent_ever < last)
        c->sent_ever = last;
    return true;
}

/* As sender_sequence_at, with the record at hand. */
static int sequence_here(struct sender *c, int64_t position, const void *bytes, size_t n,
                         uint64_t *sequence)
{
    struct lookup l = {.sender = c};

    if (position < c->start_position && lookup_starts(&l, position, bytes, n) == 0)
        return sender_sequence_at(c, position, sequence, &(struct err){0});
    *sequence = sender_sequence_of(l.starts != 0 ? l.starts : c->starts, position);
    return 0;
}

static int read_one(void *ctx, int64_t position, const void *bytes, size_t n)
{
    struct sender *c = ctx;
    uint64_t sequence;
    int rc;

    if (position > c->last) /* appended, and not committed */
        return 1;
    rc = sequence_here(c, position, bytes, n, &sequence);
    if (rc != 0)
        return rc;
    return batch_add(&c->read, position, sequence, bytes, n) ? 0 : 1;
}

int sender_send_stored(struct sender *c, int64_t now_us, struct err *err)
{
    while (c->sent < c->last && window_open(c) && queue_writable(c->queue)) {
        int rc;

        batch_clear(&c->read);
        rc = journal_read(c->journal, c->sent + 1, read_one, c, err);
        if (rc < 0)
            return rc;
        if (!sender_send_batch(c, &c->read, now_us))
            break;
    }
    return 0;
}

void sender_go_back(struct sender *c)
{
    c->sent = c->acked;
    c->n_flights = 0;
    c->flight_bytes = 0;
}

bool sender_send_empty(struct sender *c, bool goodbye, int64_t now_us)
{
    struct wire_push push = {.base = c->base, .goodbye = goodbye};

    memcpy(push.sender, c->sender, sizeof push.sender);
    buf_clear(&c->packed);
    return wire_pack_push(&push, &c->packed) == 0 && send_packed(c, now_us) == 0;
}

/* ---- Acks -------------------------------------------------------------------------------------
 */

static void drop_flights(struct sender *c)
{
    size_t n = 0;

    while (n < c->n_flights && c->flights[n].last <= c->acked)
        c->flight_bytes -= c->flights[n++].bytes;
    c->n_flights -= n;
    memmove(c->flights, c->flights + n, c->n_flights * sizeof *c->flights);
}

static int advance(struct sender *c, int64_t position, int64_t now_us, struct err *err)
{
    uint64_t base;
    int rc = sender_sequence_at(c, position + 1, &base, err);

    if (rc != 0)
        return rc;
    if (c->acked == c->trimmed)
        c->acked_us = now_us;
    c->base = base;
    c->counts.acked += (uint64_t)(position - c->acked);
    c->acked = position;
    if (c->sent < position)
        c->sent = position;
    drop_flights(c);
    c->progress_us = now_us;
    c->patience_us = SENDER_RESEND_US;
    c->resend_us = now_us + c->patience_us;
    return 0;
}

/* Whether the ack names a record that is ours and was sent, now or in an earlier start; 1, 0 or an
 * error. What is before `acked` says nothing new and is fine. */
static int names_sent(struct sender *c, uint64_t taken, struct err *err)
{
    int64_t position = position_of(taken);
    uint64_t sequence;
    int rc;

    if (taken < c->base)
        return 1;
    if (position > c->last || (position >= c->start_position && position > c->sent_ever))
        return 0;
    rc = sender_sequence_at(c, position, &sequence, err);
    return rc != 0 ? rc : sequence == taken;
}

/* The alerter got something that does not follow on what it has, or says so once more because more
 * of that was in flight. */
static void send_again(struct sender *c, int64_t now_us)
{
    if (c->sent == c->acked || (c->again_acked == c->acked && now_us - c->again_us < AGAIN_US))
        return;
    c->again_acked = c->acked;
    c->again_us = now_us;
    sender_go_back(c);
}

static void note_refusal(struct sender *c, const char *text)
{
    struct buf shown;

    buf_init(&shown, sizeof c->refused - 1);
    (void)text_append_printable(&shown, text, strlen(text));
    memcpy(c->refused, buf_text(&shown), shown.len);
    c->refused[shown.len] = '\0';
    buf_close(&shown);
}

int sender_take_ack(struct sender *c, const void *bytes, size_t n, int64_t now_us, struct err *err)
{
    struct wire_ack ack;
    int rc = wire_unpack_ack(c->wire, bytes, n, &ack, &(struct err){0});

    if (rc != 0 || memcmp(ack.sender, c->sender, sizeof ack.sender) != 0) {
        c->counts.ignored_acks++;
        return 0;
    }
    note_refusal(c, ack.refused); /* before the next unpack, which takes the text away */
    rc = names_sent(c, ack.taken, err);
    if (rc < 0)
        return rc;
    if (rc == 0) {
        c->counts.ignored_acks++;
        if (ack.taken >= sender_sequence_of(c->starts, c->last + 1))
            note_refusal(c, AHEAD_OF_US);
        return 0;
    }
    c->answered = true;
    c->answer_us = now_us;
    rc = ack.taken >= c->base ? advance(c, position_of(ack.taken), now_us, err) : 0;
    if (rc == 0 && ack.again)
        send_again(c, now_us);
    return rc;
}
