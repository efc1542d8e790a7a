/* Any acks, right, wrong or made up, while records are appended, sent and sent again: the sender
 * sends whole records in their order, says nothing unprintable, and hands everything over once the
 * alerter answers honestly. */
#include "tests/fuzz/feed.h"
#include "tests/fuzz/queue_fake.h"
#include "tests/unit/scratch.h"

#include "common/base/err.h"
#include "common/queue/carrier_queue.h"
#include "common/queue/sender.h"

enum { STEPS_MAX = 60, END_ROUNDS = 60 };

/* The honest alerter. */
static struct alerter {
    struct wire *push_wire, *record_wire;
    uint8_t sender[WIRE_SENDER_BYTES];
    uint64_t taken;
    bool knows, again;
} alerter;

struct world {
    struct journal *journal;
    struct sender *sender;
    int64_t now_us;
    uint64_t last_sequence; /* appended */
    struct err err;
};

static void on_sent(void *ctx, const void *bytes, size_t n)
{
    struct wire_record record;
    struct wire_push push;
    struct err err;

    (void)ctx;
    assert(wire_unpack_push(alerter.push_wire, bytes, n, &push, &err) == 0);
    assert(!alerter.knows || memcmp(push.sender, alerter.sender, sizeof push.sender) == 0);
    memcpy(alerter.sender, push.sender, sizeof push.sender);
    alerter.knows = true;
    assert(push.n_records <= SENDER_PUSH_RECORDS);
    for (size_t i = 0; i < push.n_records; i++) {
        uint64_t sequence = push.first + i;

        assert(wire_unpack_record(alerter.record_wire, push.records[i].data, push.records[i].len,
                                  &record, &err) == 0);
        assert(record.sequence == sequence && sequence >= push.oldest);
        assert(memcmp(record.sender, push.sender, sizeof push.sender) == 0);
        if (sequence == alerter.taken + 1 || (sequence == push.oldest && sequence > alerter.taken))
            alerter.taken = sequence;
        else if (sequence > alerter.taken)
            alerter.again = true;
    }
}

static void put_ack(const struct wire_ack *ack)
{
    struct buf out;

    buf_init(&out, 10000);
    assert(wire_pack_ack(ack, &out) == 0);
    queue_fake_put(out.data, out.len);
    buf_close(&out);
}

static struct wire_ack honest_ack(void)
{
    struct wire_ack ack = {.taken = alerter.taken, .refused = "", .again = alerter.again};

    memcpy(ack.sender, alerter.sender, sizeof ack.sender);
    alerter.again = false;
    return ack;
}

static void put_other_ack(struct feed *in)
{
    struct wire_ack ack = honest_ack();
    char *refused = feed_text(in), *trouble = feed_text(in);

    if (feed_choice(in, 4) == 3)
        ack.taken = feed_u64(in);
    else
        ack.taken += (uint64_t)feed_choice(in, 9) - 4;
    ack.again = feed_choice(in, 2);
    ack.sender[3] = (uint8_t)(ack.sender[3] + (feed_choice(in, 8) == 7));
    ack.refused = text_is_utf8(refused, strlen(refused)) ? refused : "";
    ack.trouble = text_is_utf8(trouble, strlen(trouble)) ? trouble : "";
    put_ack(&ack);
    free(refused);
    free(trouble);
}

static void append(struct world *w, struct feed *in)
{
    unsigned n = 1 + feed_choice(in, 5), end = feed_choice(in, 8);
    struct wire_record record = {.drain = "d", .frame_id = ""};

    assert(journal_begin(w->journal, &w->err) == 0);
    for (unsigned i = 0; i < n; i++) {
        record.received_us = w->now_us;
        record.lines = i;
        assert(sender_append(w->sender, &record, &w->err) == 0);
        assert(record.sequence > w->last_sequence);
        w->last_sequence = end == 7 ? w->last_sequence : record.sequence;
    }
    assert(sender_trim(w->sender, &w->err) == 0);
    if (end == 7) {
        journal_rollback(w->journal);
        sender_rollback(w->sender);
    } else {
        assert(journal_commit(w->journal, &w->err) == 0);
        assert(sender_push(w->sender, w->now_us, &w->err) == 0);
    }
}

static void look(struct world *w)
{
    struct sender_health health;

    assert(sender_receive(w->sender, w->now_us, &w->err) == 0);
    assert(sender_timer(w->sender, w->now_us, &w->err) == 0);
    sender_health(w->sender, w->now_us, &health);
    feed_check_line(health.reason);
    feed_check_line(health.trouble);
    assert(health.ok == (health.reason[0] == '\0'));
    assert(health.waiting == sender_waiting(w->sender));
}

static void open_sender(struct world *w)
{
    const struct queue_options options = {.endpoint = "ipc://fake"};
    struct carrier *carrier;

    assert(carrier_queue_open(&options, w->now_us, &carrier, &w->err) == 0);
    assert(sender_open(carrier, w->journal, 0, w->now_us, &w->sender, &w->err) == 0);
}

static void step(struct world *w, struct feed *in)
{
    struct wire_ack ack;
    struct feed raw;

    switch (feed_choice(in, 8)) {
    case 0:
        raw = feed_part(in, feed_choice(in, 64));
        queue_fake_put(raw.data, raw.n);
        break;
    case 1:
        put_other_ack(in);
        break;
    case 2:
        ack = honest_ack();
        put_ack(&ack);
        break;
    case 3:
        queue_fake_refuse(feed_choice(in, 3) == 0 ? ERR_FULL : 0);
        break;
    case 4:
        if (feed_choice(in, 2) == 0) {
            queue_fake_reconnect();
        } else {
            sender_close(w->sender);
            open_sender(w);
        }
        break;
    default:
        append(w, in);
    }
    w->now_us += (int64_t)feed_choice(in, 4) * 700000;
    look(w);
}

/* The alerter is back and honest. */
static void hand_over(struct world *w)
{
    queue_fake_refuse(0);
    for (int i = 0; i < END_ROUNDS; i++) {
        struct wire_ack ack = honest_ack();

        if (alerter.knows)
            put_ack(&ack);
        w->now_us += SENDER_RESEND_MAX_US;
        look(w);
    }
    assert(sender_waiting(w->sender) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct feed in = {data, size};
    struct world w = {.now_us = 1};
    struct scratch scratch;
    char path[512], set_aside[512];
    struct journal_options options = {.exclusive = true};

    queue_fake_begin(on_sent, NULL);
    alerter = (struct alerter){.push_wire = wire_new(), .record_wire = wire_new()};
    feed_use_memory();
    assert(scratch_make(&scratch) == 0);
    options.path = scratch_path(&scratch, "spool", path);
    assert(journal_open(&options, &w.journal, set_aside, &w.err) == 0);
    open_sender(&w);
    for (int i = 0; i < STEPS_MAX && in.n > 0; i++)
        step(&w, &in);
    hand_over(&w);
    sender_close(w.sender);
    journal_close(w.journal);
    scratch_remove(&scratch);
    wire_free(alerter.push_wire);
    wire_free(alerter.record_wire);
    return 0;
}
