/* Takes records from the ingests and acks them; called by the alerter's loop. */
#include "common/queue/receiver.h"

#include "common/base/buf.h"
#include "common/base/text.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

struct known_sender {
    uint8_t id[WIRE_SENDER_BYTES];
    uint64_t taken;     /* the last sequence, with this turn */
    uint64_t committed; /* without this turn */
    bool heard;         /* in this turn: an ack is due */
    bool again;         /* in this turn: a record did not follow */
    bool goodbye;
    int64_t heard_us;
    struct queue_peer peer; /* its last connection */
    char refused[RECEIVER_REFUSED_SIZE];
    UT_hash_handle hh;
};

struct receiver {
    struct queue *queue;
    struct receiver_calls calls;
    struct wire *push_wire;
    struct wire *record_wire;     /* apart from push_wire: records lie in the push */
    struct known_sender *senders; /* by id */
    struct buf ack;
    size_t turn_records;
    size_t turn_bytes;
    struct queue_peer peer; /* the next three: the message in hand */
    const void *bytes;
    size_t n;
    bool is_unfinished; /* the turn ended within it; the next one goes on */
};

enum verdict {
    VERDICT_TAKE,
    VERDICT_SEEN,
    VERDICT_GAP,
};

/* A record is taken if it follows the last one taken from its sender, or is the sender's oldest
 * (`base`) beyond that. */
static enum verdict judge(uint64_t taken, uint64_t base, uint64_t sequence)
{
    if (sequence <= taken)
        return VERDICT_SEEN;
    return sequence == taken + 1 || sequence == base ? VERDICT_TAKE : VERDICT_GAP;
}

int receiver_open(const struct queue_options *options, const struct receiver_calls *calls,
                  struct receiver **out, struct err *err)
{
    struct receiver *i = calloc(1, sizeof *i);
    int rc;

    if (i == NULL)
        return err_set(err, ERR_NOMEM, "no memory for the receiver");
    i->calls = *calls;
    buf_init(&i->ack, WIRE_MESSAGE_MAX);
    i->push_wire = wire_new();
    i->record_wire = wire_new();
    rc = i->push_wire != NULL && i->record_wire != NULL
             ? queue_bind(options, &i->queue, err)
             : err_set(err, ERR_NOMEM, "no memory for the receiver");
    if (rc != 0) {
        receiver_close(i);
        return rc;
    }
    *out = i;
    return 0;
}

void receiver_close(struct receiver *i)
{
    struct known_sender *s, *next;

    if (i == NULL)
        return;
    HASH_ITER(hh, i->senders, s, next)
    {
        HASH_DEL(i->senders, s);
        free(s);
    }
    queue_close(i->queue);
    wire_free(i->record_wire);
    wire_free(i->push_wire);
    buf_close(&i->ack);
    free(i);
}

/* ---- Senders ---- */

/* Makes room for one more. A sender that was heard in this turn stays, because its ack is due. */
static void forget_stalest(struct receiver *i)
{
    struct known_sender *s, *next, *stalest = NULL;

    if (HASH_COUNT(i->senders) < RECEIVER_SENDERS_MAX)
        return;
    HASH_ITER(hh, i->senders, s, next)
    if (!s->heard && (stalest == NULL || s->heard_us < stalest->heard_us))
        stalest = s;
    if (stalest == NULL)
        return;
    HASH_DEL(i->senders, stalest);
    free(stalest);
}

static int add_sender(struct receiver *i, const uint8_t id[WIRE_SENDER_BYTES],
                      struct known_sender **out, struct err *err)
{
    struct known_sender *s;
    uint64_t taken = 0;
    int rc = i->calls.last_taken(i->calls.ctx, id, &taken, err);

    if (rc != 0)
        return rc;
    forget_stalest(i);
    s = calloc(1, sizeof *s);
    if (s == NULL)
        return err_set(err, ERR_NOMEM, "no memory for a sender");
    memcpy(s->id, id, sizeof s->id);
    s->taken = s->committed = taken;
    HASH_ADD(hh, i->senders, id, WIRE_SENDER_BYTES, s);
    *out = s;
    return 0;
}

/* The sender of a message that just came. */
static int hear(struct receiver *i, const uint8_t id[WIRE_SENDER_BYTES],
                const struct queue_peer *peer, int64_t now_us, struct known_sender **out,
                struct err *err)
{
    struct known_sender *s;
    int rc = 0;

    HASH_FIND(hh, i->senders, id, WIRE_SENDER_BYTES, s);
    if (s == NULL)
        rc = add_sender(i, id, &s, err);
    if (rc != 0)
        return rc;
    s->heard = true;
    s->heard_us = now_us;
    s->goodbye = false;
    s->peer = *peer;
    *out = s;
    return 0;
}

/* ---- Records ---- */

/* Unpacks the record and checks that its message may bring it. */
static int read_record(struct receiver *i, const struct known_sender *s, uint64_t sequence,
                       struct wire_bytes bytes, struct wire_record *record, struct err *why)
{
    int rc = wire_unpack_record(i->record_wire, bytes.data, bytes.len, record, why);

    if (rc == 0 &&
        (record->sequence != sequence || memcmp(record->sender, s->id, sizeof s->id) != 0))
        rc = err_set(why, ERR_INPUT, "record: names another sender or sequence than its message");
    return rc;
}

/* Takes one record whose turn it is. False in *taken: it must stay with its sender. */
static int take(struct receiver *i, struct known_sender *s, uint64_t sequence,
                struct wire_bytes bytes, bool *taken, struct err *err)
{
    struct wire_record record;
    struct err why;
    int rc = read_record(i, s, sequence, bytes, &record, &why);

    *taken = false;
    switch (rc) {
    case 0:
        rc = i->calls.take(i->calls.ctx, bytes, &record, err);
        if (rc == RECEIVER_NOT_NOW) {
            i->is_unfinished = true;
            return 0;
        }
        break;
    case ERR_INPUT:
        rc = i->calls.set_aside(i->calls.ctx, s->id, sequence, bytes, why.text, err);
        break;
    case ERR_VERSION:
        text_copy_printable(s->refused, sizeof s->refused, why.text);
        return 0;
    default:
        return err_set(err, rc, "%s", why.text);
    }
    *taken = rc == 0;
    if (rc == 0) {
        s->taken = sequence;
        s->refused[0] = '\0';
    }
    return rc;
}

/* Takes the records from `k` on, of which each follows on the one before. */
static int take_run(struct receiver *i, struct known_sender *s, const struct wire_push *push,
                    size_t k, struct err *err)
{
    bool taken = true;
    int rc = 0;

    for (; k < push->n_records && taken && rc == 0; k++)
        rc = take(i, s, push->first + k, push->records[k], &taken, err);
    return rc;
}

static int take_records(struct receiver *i, struct known_sender *s, const struct wire_push *push,
                        struct err *err)
{
    enum verdict verdict = VERDICT_TAKE;
    uint64_t before = s->taken;
    size_t k = 0;
    int rc = 0;

    while (k < push->n_records &&
           (verdict = judge(s->taken, push->base, push->first + k)) == VERDICT_SEEN)
        k++;
    if (k < push->n_records && verdict == VERDICT_GAP) {
        s->again = true;
        return 0;
    }
    rc = take_run(i, s, push, k, err);
    if (rc == 0 && s->taken != before)
        rc = i->calls.set_taken(i->calls.ctx, s->id, s->taken, err);
    return rc;
}

/* ---- A turn ---- */

static bool is_nobody(const uint8_t id[WIRE_SENDER_BYTES])
{
    static const uint8_t nobody[WIRE_SENDER_BYTES];

    return memcmp(id, nobody, sizeof nobody) == 0;
}

/* A message of a newer build: its sender is told, if it can be made out. */
static int refuse_push(struct receiver *i, const struct wire_push *push,
                       const struct queue_peer *peer, int64_t now_us, const char *why,
                       struct err *err)
{
    struct known_sender *s;
    int rc;

    if (is_nobody(push->sender))
        return 0;
    rc = hear(i, push->sender, peer, now_us, &s, err);
    if (rc == 0)
        text_copy_printable(s->refused, sizeof s->refused, why);
    return rc;
}

/* Takes the message in hand. Records of it that an earlier turn took are seen, and skipped. */
static int take_push(struct receiver *i, int64_t now_us, struct err *err)
{
    struct wire_push push;
    struct known_sender *s;
    struct err why;
    int rc = wire_unpack_push(i->push_wire, i->bytes, i->n, &push, &why);

    if (rc == ERR_VERSION)
        return refuse_push(i, &push, &i->peer, now_us, why.text, err);
    if (rc == ERR_NOMEM)
        return err_set(err, rc, "%s", why.text);
    if (rc != 0 || push.first > UINT64_MAX - push.n_records)
        return 0;
    rc = hear(i, push.sender, &i->peer, now_us, &s, err);
    if (rc != 0)
        return rc;
    s->goodbye = push.goodbye;
    i->turn_records += push.n_records;
    i->turn_bytes += i->n;
    return take_records(i, s, &push, err);
}

int receiver_receive(struct receiver *i, int64_t now_us, struct err *err)
{
    int rc = 0;

    i->turn_records = i->turn_bytes = 0;
    queue_tend(i->queue, now_us);
    for (int k = 0; k < RECEIVER_TURN_MESSAGES && rc == 0; k++) {
        if (i->turn_records >= RECEIVER_TURN_RECORDS || i->turn_bytes >= RECEIVER_TURN_BYTES)
            break;
        if (!i->is_unfinished && queue_receive(i->queue, &i->peer, &i->bytes, &i->n) <= 0)
            break;
        i->is_unfinished = false;
        rc = take_push(i, now_us, err);
        if (i->is_unfinished)
            break;
    }
    return rc;
}

/* An ack that cannot be sent is not missed: its sender asks again. */
static void send_ack(struct receiver *i, const struct known_sender *s, const char *trouble)
{
    struct wire_ack ack = {
        .taken = s->taken, .refused = s->refused, .again = s->again, .trouble = trouble};

    memcpy(ack.sender, s->id, sizeof ack.sender);
    buf_clear(&i->ack);
    if (wire_pack_ack(&ack, &i->ack) == 0)
        (void)queue_send(i->queue, &s->peer, i->ack.data, i->ack.len);
}

void receiver_ack(struct receiver *i, const char *trouble)
{
    struct known_sender *s, *next;

    HASH_ITER(hh, i->senders, s, next)
    {
        if (!s->heard)
            continue;
        s->committed = s->taken;
        send_ack(i, s, trouble);
        s->heard = s->again = false;
    }
}

void receiver_rollback(struct receiver *i)
{
    struct known_sender *s, *next;

    HASH_ITER(hh, i->senders, s, next)
    {
        s->taken = s->committed;
        s->heard = s->again = false;
    }
}

int receiver_fd(const struct receiver *i)
{
    return queue_fd(i->queue);
}

bool receiver_pending(struct receiver *i)
{
    return i->is_unfinished || queue_pending(i->queue);
}

bool receiver_all_gone(const struct receiver *i, int64_t now_us)
{
    for (const struct known_sender *s = i->senders; s != NULL; s = s->hh.next)
        if (!s->goodbye && now_us - s->heard_us < RECEIVER_SILENCE_US)
            return false;
    return true;
}

const char *receiver_refused(const struct receiver *i)
{
    for (const struct known_sender *s = i->senders; s != NULL; s = s->hh.next)
        if (s->refused[0] != '\0')
            return s->refused;
    return "";
}

uint64_t receiver_strangers(const struct receiver *i)
{
    return queue_failed(i->queue);
}
