/* Takes records from the ingests and acks them; called by the alerter's loop. */
#include "common/queue/receiver.h"

#include "common/base/table.h"
#include "common/base/text.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct known_sender {
    uint8_t id[WIRE_SENDER_BYTES];
    uint64_t taken;     /* the last sequence, with this turn */
    uint64_t committed; /* without this turn */
    bool heard;         /* in this turn: an ack is due */
    bool again;         /* in this turn: a record did not follow */
    bool goodbye;
    int64_t heard_us;
    struct source_peer peer; /* its last connection */
    char refused[RECEIVER_REFUSED_SIZE];
    UT_hash_handle hh;
};

struct receiver {
    struct source *source;
    struct receiver_calls calls;
    struct wire *push_wire;
    struct wire *record_wire;     /* apart from push_wire: records lie in the push */
    struct known_sender *senders; /* by id */
    size_t turn_records;
    size_t turn_bytes;
    struct source_peer peer; /* the next two: the message in hand */
    struct wire_bytes push;
    bool is_unfinished; /* the turn ended within it; the next one goes on */
};

enum verdict {
    VERDICT_TAKE,
    VERDICT_SEEN,
    VERDICT_GAP,
};

/* A record is taken if it follows the last one taken from its sender, or is the sender's oldest
 * beyond that. If the sender has heard of more, it may still hold the records in between. */
static enum verdict judge(uint64_t taken, const struct wire_push *push, uint64_t sequence)
{
    if (sequence <= taken)
        return VERDICT_SEEN;
    return sequence == taken + 1 || (sequence == push->oldest && push->acked <= taken)
               ? VERDICT_TAKE
               : VERDICT_GAP;
}

int receiver_open(struct source *source, const struct receiver_calls *calls, struct receiver **out,
                  struct err *err)
{
    struct receiver *r = calloc(1, sizeof *r);

    if (r == NULL) {
        source->ops->close(source);
        return err_set(err, ERR_NOMEM, "no memory for the receiver");
    }
    r->source = source;
    r->calls = *calls;
    r->push_wire = wire_new();
    r->record_wire = wire_new();
    if (r->push_wire == NULL || r->record_wire == NULL) {
        receiver_close(r);
        return err_set(err, ERR_NOMEM, "no memory for the receiver");
    }
    *out = r;
    return 0;
}

void receiver_forget(struct receiver *r)
{
    struct known_sender *s, *next;

    HASH_ITER(hh, r->senders, s, next)
    {
        HASH_DEL(r->senders, s);
        free(s);
    }
    r->is_unfinished = false;
}

void receiver_close(struct receiver *r)
{
    if (r == NULL)
        return;
    receiver_forget(r);
    r->source->ops->close(r->source);
    wire_free(r->record_wire);
    wire_free(r->push_wire);
    free(r);
}

/* ---- Senders ---- */

/* Makes room for one more. A sender that was heard in this turn stays, because its ack is due. */
static void forget_stalest(struct receiver *r)
{
    struct known_sender *s, *next, *stalest = NULL;

    if (HASH_COUNT(r->senders) < RECEIVER_SENDERS_MAX)
        return;
    HASH_ITER(hh, r->senders, s, next)
    if (!s->heard && (stalest == NULL || s->heard_us < stalest->heard_us))
        stalest = s;
    if (stalest == NULL)
        return;
    HASH_DEL(r->senders, stalest);
    free(stalest);
}

static int add_sender(struct receiver *r, const uint8_t id[WIRE_SENDER_BYTES],
                      struct known_sender **out, struct err *err)
{
    struct known_sender *s;
    uint64_t taken = 0;
    int rc = r->calls.last_taken(r->calls.ctx, id, &taken, err);

    if (rc != 0)
        return rc;
    forget_stalest(r);
    s = calloc(1, sizeof *s);
    if (s == NULL)
        return err_set(err, ERR_NOMEM, "no memory for a sender");
    memcpy(s->id, id, sizeof s->id);
    s->taken = s->committed = taken;
    HASH_ADD(hh, r->senders, id, WIRE_SENDER_BYTES, s);
    if (s->hh.tbl == NULL) {
        free(s);
        return err_set(err, ERR_NOMEM, "no memory for a sender");
    }
    *out = s;
    return 0;
}

/* The sender of a message that just came. */
static int hear(struct receiver *r, const uint8_t id[WIRE_SENDER_BYTES],
                const struct source_peer *peer, int64_t now_us, struct known_sender **out,
                struct err *err)
{
    struct known_sender *s;
    int rc = 0;

    HASH_FIND(hh, r->senders, id, WIRE_SENDER_BYTES, s);
    if (s == NULL)
        rc = add_sender(r, id, &s, err);
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
static int read_record(struct receiver *r, const struct known_sender *s, uint64_t sequence,
                       struct wire_bytes bytes, struct wire_record *record, struct err *why)
{
    int rc = wire_unpack_record(r->record_wire, bytes.data, bytes.len, record, why);

    if (rc == 0 &&
        (record->sequence != sequence || memcmp(record->sender, s->id, sizeof s->id) != 0))
        rc = err_set(why, ERR_INPUT, "record: names another sender or sequence than its message");
    return rc;
}

/* Takes one record whose turn it is. False in *taken: it must stay with its sender. */
static int take(struct receiver *r, struct known_sender *s, uint64_t sequence,
                struct wire_bytes bytes, bool *taken, struct err *err)
{
    struct wire_record record;
    struct err why;
    int rc = read_record(r, s, sequence, bytes, &record, &why);

    *taken = false;
    switch (rc) {
    case 0:
        rc = r->calls.take(r->calls.ctx, bytes, &record, err);
        if (rc == RECEIVER_NOT_NOW) {
            r->is_unfinished = true;
            return 0;
        }
        break;
    case ERR_INPUT:
        rc = r->calls.set_aside(r->calls.ctx, s->id, sequence, bytes, why.text, err);
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
static int take_run(struct receiver *r, struct known_sender *s, const struct wire_push *push,
                    size_t k, struct err *err)
{
    bool taken = true;
    int rc = 0;

    for (; k < push->n_records && taken && rc == 0; k++)
        rc = take(r, s, push->first + k, push->records[k], &taken, err);
    return rc;
}

static int take_records(struct receiver *r, struct known_sender *s, const struct wire_push *push,
                        struct err *err)
{
    enum verdict verdict = VERDICT_TAKE;
    uint64_t before = s->taken;
    size_t k = 0;
    int rc = 0;

    while (k < push->n_records &&
           (verdict = judge(s->taken, push, push->first + k)) == VERDICT_SEEN)
        k++;
    if (k < push->n_records && verdict == VERDICT_GAP) {
        s->again = true;
        return 0;
    }
    rc = take_run(r, s, push, k, err);
    if (rc == 0 && s->taken != before)
        rc = r->calls.set_taken(r->calls.ctx, s->id, s->taken, err);
    return rc;
}

/* ---- A turn ---- */

static bool is_nobody(const uint8_t id[WIRE_SENDER_BYTES])
{
    static const uint8_t nobody[WIRE_SENDER_BYTES];

    return memcmp(id, nobody, sizeof nobody) == 0;
}

/* A message of a newer build: its sender is told, if it can be made out. */
static int refuse_push(struct receiver *r, const struct wire_push *push,
                       const struct source_peer *peer, int64_t now_us, const char *why,
                       struct err *err)
{
    struct known_sender *s;
    int rc;

    if (is_nobody(push->sender))
        return 0;
    rc = hear(r, push->sender, peer, now_us, &s, err);
    if (rc == 0)
        text_copy_printable(s->refused, sizeof s->refused, why);
    return rc;
}

/* Takes the message in hand. Records of it that an earlier turn took are seen, and skipped. */
static int take_push(struct receiver *r, int64_t now_us, struct err *err)
{
    struct wire_push push;
    struct known_sender *s;
    struct err why;
    int rc = wire_unpack_push(r->push_wire, r->push.data, r->push.len, &push, &why);

    if (rc == ERR_VERSION)
        return refuse_push(r, &push, &r->peer, now_us, why.text, err);
    if (rc == ERR_NOMEM)
        return err_set(err, rc, "%s", why.text);
    if (rc != 0 || push.first > UINT64_MAX - push.n_records)
        return 0;
    rc = hear(r, push.sender, &r->peer, now_us, &s, err);
    if (rc != 0)
        return rc;
    s->goodbye = push.goodbye;
    r->turn_records += push.n_records;
    r->turn_bytes += r->push.len;
    return take_records(r, s, &push, err);
}

int receiver_receive(struct receiver *r, int64_t now_us, struct err *err)
{
    struct source *source = r->source;
    int rc = 0;

    r->turn_records = r->turn_bytes = 0;
    source->ops->tend(source, now_us);
    for (int k = 0; k < RECEIVER_TURN_MESSAGES && rc == 0; k++) {
        if (r->turn_records >= RECEIVER_TURN_RECORDS || r->turn_bytes >= RECEIVER_TURN_BYTES)
            break;
        if (!r->is_unfinished && source->ops->receive(source, &r->peer, &r->push) <= 0)
            break;
        r->is_unfinished = false;
        rc = take_push(r, now_us, err);
        if (r->is_unfinished)
            break;
    }
    return rc;
}

static void send_ack(struct receiver *r, const struct known_sender *s, const char *trouble)
{
    struct wire_ack ack = {
        .taken = s->taken, .refused = s->refused, .again = s->again, .trouble = trouble};

    memcpy(ack.sender, s->id, sizeof ack.sender);
    r->source->ops->ack(r->source, &s->peer, &ack);
}

void receiver_ack(struct receiver *r, const char *trouble)
{
    struct known_sender *s, *next;

    if (r->source->ops->tell != NULL)
        r->source->ops->tell(r->source, trouble);
    HASH_ITER(hh, r->senders, s, next)
    {
        if (!s->heard)
            continue;
        s->committed = s->taken;
        send_ack(r, s, trouble);
        s->heard = s->again = false;
    }
}

void receiver_rollback(struct receiver *r)
{
    struct known_sender *s, *next;

    HASH_ITER(hh, r->senders, s, next)
    {
        s->taken = s->committed;
        s->heard = s->again = false;
    }
}

int receiver_fd(const struct receiver *r)
{
    return r->source->ops->fd(r->source);
}

bool receiver_pending(struct receiver *r)
{
    return r->is_unfinished || r->source->ops->pending(r->source);
}

bool receiver_all_gone(const struct receiver *r, int64_t now_us)
{
    for (const struct known_sender *s = r->senders; s != NULL; s = s->hh.next)
        if (!s->goodbye && now_us - s->heard_us < RECEIVER_SILENCE_US)
            return false;
    return true;
}

const char *receiver_refused(const struct receiver *r)
{
    for (const struct known_sender *s = r->senders; s != NULL; s = s->hh.next)
        if (s->refused[0] != '\0')
            return s->refused;
    return "";
}

uint64_t receiver_strangers(const struct receiver *r)
{
    return r->source->ops->strangers(r->source);
}
