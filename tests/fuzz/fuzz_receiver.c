/* Any messages of several senders, in any order, with commits and failed commits between them: the
 * receiver takes each record once and in its sender's order, leaves none out that the sender still
 * holds, and acks committed records and no others. */
#include "tests/fuzz/feed.h"
#include "tests/fuzz/queue_fake.h"

#include "common/base/err.h"
#include "common/queue/receiver.h"
#include "common/queue/source_queue.h"

enum { SENDERS = 3, KNOWN_MAX = 4096, RECORDS_MAX = 6, TURNS_MAX = 40 };

struct store {
    uint8_t ids[KNOWN_MAX][WIRE_SENDER_BYTES];
    size_t n_ids;
    uint64_t now[KNOWN_MAX], committed[KNOWN_MAX]; /* the last record stored */
    uint64_t told[KNOWN_MAX];                      /* by set_taken, in this turn */
    size_t turn_takes;
    unsigned fails_after, stops_after; /* takes in a turn */
    struct wire *wire;
    struct err err;
};

static struct store store;

static size_t sender_of(const uint8_t id[WIRE_SENDER_BYTES])
{
    size_t i = 0;

    while (i < store.n_ids && memcmp(store.ids[i], id, WIRE_SENDER_BYTES) != 0)
        i++;
    if (i == store.n_ids) {
        assert(store.n_ids++ < KNOWN_MAX);
        memcpy(store.ids[i], id, WIRE_SENDER_BYTES);
    }
    return i;
}

static int last_taken(void *ctx, const uint8_t *sender, uint64_t *taken, struct err *err)
{
    (void)ctx, (void)err;
    *taken = store.committed[sender_of(sender)];
    return 0;
}

/* A record follows the one before it, or is the oldest that its sender holds. */
static void store_one(const uint8_t *sender, uint64_t sequence)
{
    size_t n, s = sender_of(sender);
    const void *bytes = queue_fake_last(&n);
    struct wire_push push;

    assert(wire_unpack_push(store.wire, bytes, n, &push, &store.err) == 0);
    assert(sender_of(push.sender) == s && sequence > store.now[s]);
    assert(sequence == store.now[s] + 1 || sequence == push.oldest);
    assert(sequence - push.first < push.n_records);
    store.now[s] = sequence;
}

static int take(void *ctx, struct wire_bytes bytes, const struct wire_record *record,
                struct err *err)
{
    (void)ctx, (void)bytes;
    if (store.turn_takes == store.stops_after)
        return RECEIVER_NOT_NOW;
    if (store.turn_takes++ == store.fails_after)
        return err_set(err, ERR_FULL, "no space");
    store_one(record->sender, record->sequence);
    return 0;
}

static int set_aside(void *ctx, const uint8_t *sender, uint64_t sequence, struct wire_bytes bytes,
                     const char *why, struct err *err)
{
    (void)ctx, (void)bytes, (void)err;
    feed_check_line(why);
    store_one(sender, sequence);
    return 0;
}

static int set_taken(void *ctx, const uint8_t *sender, uint64_t taken, struct err *err)
{
    size_t s = sender_of(sender);

    (void)ctx, (void)err;
    assert(taken == store.now[s]);
    store.told[s] = taken;
    return 0;
}

static void on_sent(void *ctx, const void *bytes, size_t n)
{
    struct wire_ack ack;

    (void)ctx;
    assert(wire_unpack_ack(store.wire, bytes, n, &ack, &store.err) == 0);
    assert(ack.taken == store.committed[sender_of(ack.sender)]);
    feed_check_line(ack.refused);
}

/* Small sequences, so that messages overlap; now and then any. */
static uint64_t sequence(struct feed *in)
{
    unsigned kind = feed_choice(in, 32);

    return kind == 31 ? feed_u64(in) : kind;
}

static void put_record(struct feed *in, const uint8_t *sender, uint64_t number, struct buf *out)
{
    struct wire_record record = {.drain = "d", .frame_id = "", .received_us = 1};
    unsigned kind = feed_choice(in, 16);

    memcpy(record.sender, sender, sizeof record.sender);
    record.sequence = number + (kind == 15);
    record.sender[1] = (uint8_t)(record.sender[1] + (kind == 14));
    assert(wire_pack_record(&record, out) == 0);
    if (kind == 13) /* a record that cannot be read */
        out->len--;
    if (kind == 12) /* a newer build's: the version comes first */
        out->data[1] = WIRE_VERSION + 1;
}

static void put_push(struct feed *in)
{
    struct wire_push push = {.sender = {0}};
    struct wire_bytes records[RECORDS_MAX];
    struct buf packed[RECORDS_MAX], out;

    push.sender[0] = (uint8_t)feed_choice(in, SENDERS);
    push.sender[15] = 1;
    push.oldest = sequence(in);
    push.first = sequence(in);
    push.n_records = feed_choice(in, RECORDS_MAX + 1);
    push.goodbye = feed_choice(in, 8) == 7;
    push.acked = feed_choice(in, 2) == 0 ? 0 : push.oldest - 1;
    push.records = records;
    for (size_t i = 0; i < push.n_records; i++) {
        buf_init(&packed[i], 1000);
        put_record(in, push.sender, push.first + i, &packed[i]);
        records[i] = (struct wire_bytes){packed[i].data, packed[i].len};
    }
    buf_init(&out, 10000);
    assert(wire_pack_push(&push, &out) == 0);
    queue_fake_put(out.data, out.len);
    buf_close(&out);
    for (size_t i = 0; i < push.n_records; i++)
        buf_close(&packed[i]);
}

static void run_turn(struct receiver *r, struct feed *in, int64_t now_us)
{
    unsigned end = feed_choice(in, 4);
    struct err err;

    store.turn_takes = 0;
    store.fails_after = end == 1 ? feed_choice(in, 8) : UINT32_MAX;
    store.stops_after = end == 2 ? feed_choice(in, 8) : UINT32_MAX;
    memcpy(store.told, store.now, sizeof store.told);
    if (receiver_receive(r, now_us, &err) != 0 || end == 3) {
        receiver_rollback(r);
        memcpy(store.now, store.committed, sizeof store.now);
    } else {
        assert(memcmp(store.told, store.now, sizeof store.now) == 0);
        memcpy(store.committed, store.now, sizeof store.now);
        receiver_ack(r, "");
    }
    feed_check_line(receiver_refused(r));
    (void)receiver_all_gone(r, now_us);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct receiver_calls calls = {NULL, last_taken, take, set_aside, set_taken};
    const struct queue_options options = {.endpoint = "ipc://fake"};
    struct feed in = {data, size}, message;
    struct source *source;
    struct receiver *r;

    queue_fake_begin(on_sent, NULL);
    store = (struct store){.wire = wire_new()};
    assert(store.wire != NULL && source_queue_open(&options, &source, &store.err) == 0);
    assert(receiver_open(source, &calls, &r, &store.err) == 0);
    for (int i = 0; i < TURNS_MAX && in.n > 0;) {
        switch (feed_choice(&in, 4)) {
        case 0:
            i++;
            run_turn(r, &in, 1 + (int64_t)i * RECEIVER_SILENCE_US / 3);
            break;
        case 1:
            message = feed_part(&in, feed_choice(&in, 64));
            queue_fake_put(message.data, message.n);
            break;
        default:
            put_push(&in);
        }
    }
    /* Whatever waits after a turn that ended early is taken in further ones. */
    in.n = 0;
    for (int i = 0; i < TURNS_MAX && receiver_pending(r); i++)
        run_turn(r, &in, INT64_MAX / 2);
    assert(!receiver_pending(r));
    receiver_close(r);
    wire_free(store.wire);
    return 0;
}
