/* The sender over a carrier whose peer may lose records: a list in memory, and virtual time. */
#include "tests/unit/scratch.h"
#include "tests/unit/unit.h"

#include "common/base/time.h"

/* The tests look at it from inside. */
#include "common/queue/sender.c"

/* ---- a carrier ---- */

struct memory {
    struct carrier base;
    uint64_t have; /* the last sequence that the peer holds */
    size_t n_sent; /* records */
    bool is_acked;
    bool is_away;
    uint64_t epoch;
};

static struct memory memory;

static int no_fd(const struct carrier *c)
{
    (void)c;
    return -1;
}

static bool is_pending(struct carrier *c)
{
    (void)c;
    return !memory.is_acked;
}

static int64_t never(const struct carrier *c)
{
    (void)c;
    return INT64_MAX;
}

static void tend(struct carrier *c, int64_t now_us)
{
    (void)c, (void)now_us;
}

/* The peer's rule: the next record, or the sender's oldest. */
static int take(struct carrier *c, const struct wire_push *push, struct wire_bytes packed)
{
    uint64_t last = push->first + push->n_records - 1;

    (void)c, (void)packed;
    if (memory.is_away)
        return ERR_FULL;
    memory.n_sent += push->n_records;
    if (push->n_records > 0 && last > memory.have) {
        assert_true(push->first <= memory.have + 1 || push->first == push->oldest);
        memory.have = last;
    }
    memory.is_acked = false;
    return 0;
}

static bool writable(struct carrier *c)
{
    (void)c;
    return !memory.is_away;
}

static int give_ack(struct carrier *c, struct wire_ack *ack)
{
    if (memory.is_acked || memory.is_away)
        return 0;
    memory.is_acked = true;
    *ack = (struct wire_ack){.taken = memory.have, .refused = "", .trouble = ""};
    memcpy(ack->sender, c->sender, sizeof ack->sender);
    return 1;
}

static uint64_t epoch(const struct carrier *c)
{
    (void)c;
    return memory.epoch;
}

static bool is_away(const struct carrier *c)
{
    (void)c;
    return memory.is_away;
}

static const char *no_fault(const struct carrier *c)
{
    (void)c;
    return "";
}

static int64_t never_idle(const struct carrier *c, int64_t now_us)
{
    (void)c, (void)now_us;
    return 0;
}

static void close_memory(struct carrier *c)
{
    (void)c;
}

static const struct carrier_ops memory_ops = {
    .fd = no_fd,
    .pending = is_pending,
    .wake_us = never,
    .tend = tend,
    .send = take,
    .writable = writable,
    .receive = give_ack,
    .epoch = epoch,
    .is_away = is_away,
    .fault = no_fault,
    .idle_us = never_idle,
    .close = close_memory,
};

/* ---- ingest ---- */

struct world {
    struct scratch scratch;
    struct journal *journal;
    struct sender *sender;
    int64_t now_us;
    int64_t keep_bytes;
    struct err err;
};

static void start(struct world *w)
{
    struct journal_options options = {.exclusive = true, .max_bytes = 8 << 20};
    char path[512], set_aside[512];

    options.path = scratch_path(&w->scratch, "spool", path);
    OK(w, journal_open(&options, &w->journal, set_aside, &w->err));
    OK(w, sender_open(&memory.base, w->journal, w->keep_bytes, w->now_us, &w->sender, &w->err));
}

static void stop(struct world *w)
{
    sender_close(w->sender);
    journal_close(w->journal);
    w->sender = NULL;
    w->journal = NULL;
}

static int setup(void **state)
{
    static struct world w;

    w = (struct world){.now_us = 1000 * TIME_S, .keep_bytes = 2 << 20};
    memory = (struct memory){.base = {.ops = &memory_ops,
                                      .alerter = "the alerter",
                                      .peer = "the database",
                                      .may_lose = true}};
    OK(&w, scratch_make(&w.scratch));
    start(&w);
    *state = &w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;

    stop(w);
    scratch_remove(&w->scratch);
    return 0;
}

static int append_one(struct world *w)
{
    struct wire_record record = {.received_us = 1, .drain = "a drain", .frame_id = "", .lines = 1};

    return sender_append(w->sender, &record, &w->err);
}

static void deliver(struct world *w, size_t n)
{
    OK(w, journal_begin(w->journal, &w->err));
    for (size_t i = 0; i < n; i++)
        OK(w, append_one(w));
    OK(w, sender_trim(w->sender, &w->err));
    OK(w, journal_commit(w->journal, &w->err));
    OK(w, sender_push(w->sender, w->now_us, &w->err));
}

/* The peer answers pings. */
static void turn_after(struct world *w, int64_t us)
{
    w->now_us += us;
    memory.is_acked = memory.is_acked && us < TIME_S;
    OK(w, sender_receive(w->sender, w->now_us, &w->err));
    if (sender_trim_due(w->sender, w->now_us))
        deliver(w, 0);
    OK(w, sender_timer(w->sender, w->now_us, &w->err));
}

/* A failover: the peer comes back with less. */
static void lose(struct world *w, uint64_t have)
{
    memory.have = have;
    memory.is_acked = false;
    memory.epoch++;
    turn_after(w, 0);
}

static uint64_t sequence(int64_t position)
{
    return (1ull << WIRE_SEQUENCE_BITS) + (uint64_t)position;
}

/* ---- tests ---- */

UNIT_TEST(acked_records_are_kept_for_ten_minutes)
{
    struct world *w = *state;

    deliver(w, 50);
    turn_after(w, TIME_MS);
    assert_int_equal(sender_waiting(w->sender), 0);
    assert_int_equal(journal_first(w->journal), 1);
    turn_after(w, SENDER_KEEP_US); /* the mark is set */
    deliver(w, 1);
    assert_int_equal(journal_first(w->journal), 1);
    turn_after(w, SENDER_KEEP_US - 1);
    assert_int_equal(journal_first(w->journal), 1);
    assert_true(sender_wake_us(w->sender) > w->now_us);
    turn_after(w, 1);
    turn_after(w, SENDER_TRIM_US);
    assert_int_equal(journal_first(w->journal), 51);
}

/* The peer that answers again may be a replica that never had them. */
UNIT_TEST(acked_records_are_kept_in_an_outage)
{
    struct world *w = *state;

    deliver(w, 50);
    turn_after(w, TIME_MS);
    turn_after(w, SENDER_KEEP_US); /* the mark is set */
    memory.is_away = true;
    for (int i = 0; i < 5; i++)
        turn_after(w, SENDER_KEEP_US);
    memory.is_away = false;
    memory.n_sent = 0;
    lose(w, sequence(20));
    turn_after(w, 0);
    assert_int_equal(memory.n_sent, 30);
    assert_int_equal(memory.have, sequence(50));
}

UNIT_TEST(a_peer_that_does_not_lose_lets_them_go_at_once)
{
    struct world *w = *state;

    memory.base.may_lose = false;
    deliver(w, 50);
    turn_after(w, TIME_MS);
    turn_after(w, SENDER_TRIM_US);
    assert_int_equal(journal_first(w->journal), 0);
    lose(w, 0);
    assert_int_equal(sender_waiting(w->sender), 0);
    assert_int_equal(memory.n_sent, 50);
}

UNIT_TEST(what_the_peer_lost_is_sent_again)
{
    struct world *w = *state;
    struct sender_health health;

    deliver(w, 2500);
    turn_after(w, TIME_MS);
    turn_after(w, TIME_MS);
    turn_after(w, TIME_MS);
    assert_int_equal(sender_waiting(w->sender), 0);
    memory.n_sent = 0;
    lose(w, sequence(700));
    assert_int_equal(memory.n_sent, 1800);
    turn_after(w, 0);
    assert_int_equal(sender_waiting(w->sender), 0);
    assert_int_equal(memory.have, sequence(2500));
    sender_health(w->sender, w->now_us, &health);
    assert_int_equal(health.taken_back, 1800);
    lose(w, 0); /* all of it: another database */
    turn_after(w, 0);
    assert_int_equal(memory.have, sequence(2500));
    assert_int_equal(sender_waiting(w->sender), 0);
}

UNIT_TEST(what_is_not_kept_any_more_stays_lost)
{
    struct world *w = *state;
    struct sender_health health;

    deliver(w, 10);
    turn_after(w, 0);
    turn_after(w, SENDER_KEEP_US);
    deliver(w, 10);
    turn_after(w, 0);
    turn_after(w, SENDER_KEEP_US);
    turn_after(w, SENDER_TRIM_US);
    assert_int_equal(journal_first(w->journal), 11);
    memory.n_sent = 0;
    lose(w, sequence(5));
    turn_after(w, 0);
    assert_int_equal(memory.n_sent, 10);
    sender_health(w->sender, w->now_us, &health);
    assert_int_equal(health.taken_back, 10);
    assert_int_equal(health.lost, 5);
    turn_after(w, TIME_S);
    sender_health(w->sender, w->now_us, &health);
    assert_int_equal(health.lost, 5);
    assert_int_equal(memory.have, sequence(20));
    assert_int_equal(sender_waiting(w->sender), 0);
}

UNIT_TEST(a_lost_record_is_not_safe)
{
    struct world *w = *state;

    deliver(w, 3);
    turn_after(w, 0);
    assert_true(sender_is_safe(w->sender, 3));
    memory.is_away = true;
    memory.have = 0;
    turn_after(w, TIME_S);
    assert_true(sender_is_late(w->sender, w->now_us));
    memory.is_away = false;
    memory.is_acked = false;
    OK(w, sender_receive(w->sender, w->now_us, &w->err));
    assert_false(sender_is_safe(w->sender, 3));
    assert_false(sender_is_late(w->sender, w->now_us));
    assert_true(sender_is_late(w->sender, w->now_us + SENDER_LATE_US));
    turn_after(w, 0);
    assert_true(sender_is_safe(w->sender, 3));
}

UNIT_TEST(a_journal_that_grows_keeps_less)
{
    struct world *w = *state;

    for (int i = 0; i < 300; i++) {
        deliver(w, 400);
        turn_after(w, TIME_MS);
        assert_int_equal(sender_waiting(w->sender), 0);
        assert_true(journal_bytes(w->journal) < w->keep_bytes + (256 << 10));
    }
    assert_true(sender_last(w->sender) - journal_first(w->journal) > 5000);
    assert_true(journal_first(w->journal) > 1);
}

/* With the peer away the journal fills up with records that have no ack. */
UNIT_TEST(what_is_kept_makes_room_for_what_waits)
{
    struct world *w = *state;
    size_t n = 0;

    deliver(w, 4000);
    turn_after(w, TIME_MS);
    memory.is_away = true;
    for (int rc = 0; rc == 0; n += rc == 0) {
        OK(w, journal_begin(w->journal, &w->err));
        for (int i = 0; i < 400 && rc == 0; i++)
            rc = append_one(w);
        OK(w, sender_trim(w->sender, &w->err));
        OK(w, journal_commit(w->journal, &w->err));
        OK(w, sender_push(w->sender, w->now_us, &w->err));
    }
    for (int i = 0; i < 20; i++)
        turn_after(w, SENDER_TRIM_US);
    assert_true(n > 50);
    assert_int_equal(journal_first(w->journal), w->sender->acked + 1);
}

UNIT_TEST(a_start_asks_before_it_sends_what_was_kept)
{
    struct world *w = *state;

    deliver(w, 100);
    turn_after(w, 0);
    stop(w);
    memory.n_sent = 0;
    memory.is_acked = false;
    memory.epoch++;
    start(w);
    turn_after(w, 0);
    assert_int_equal(memory.n_sent, 0);
    assert_int_equal(sender_waiting(w->sender), 0);
    deliver(w, 1);
    turn_after(w, 0);
    assert_int_equal(memory.n_sent, 1);
    lose(w, sequence(40)); /* records of the start before */
    turn_after(w, 0);
    turn_after(w, 0);
    assert_int_equal(memory.n_sent, 1 + 60 + 1);
    assert_int_equal(sender_waiting(w->sender), 0);
}

UNIT_TEST(what_was_acked_does_not_wait_after_a_restart)
{
    struct world *w = *state;

    deliver(w, 100);
    turn_after(w, TIME_MS);
    turn_after(w, SENDER_TRIM_US);
    assert_false(sender_trim_due(w->sender, w->now_us + TIME_S));
    stop(w);
    memory.is_away = true;
    start(w);
    assert_int_equal(sender_waiting(w->sender), 0);
    deliver(w, 2);
    turn_after(w, TIME_S);
    assert_int_equal(sender_waiting(w->sender), 2);
    assert_int_equal(journal_first(w->journal), 1);
    memory.is_away = false;
    memory.n_sent = 0;
    lose(w, sequence(40));
    turn_after(w, 0);
    turn_after(w, 0);
    assert_int_equal(memory.n_sent, 60 + 2);
    assert_int_equal(sender_waiting(w->sender), 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

/* ---- another way than the carrier ---- */

static void other_ack(struct world *w, uint64_t taken)
{
    OK(w, sender_take_ack(w->sender, taken, false, w->now_us, &w->err));
}

static void other_lacks(struct world *w, uint64_t taken)
{
    OK(w, sender_take_ack(w->sender, taken, true, w->now_us, &w->err));
}

/* What the other side would take. Returns the number of records. */
static size_t pack_next(struct world *w, uint64_t *last)
{
    struct wire *wire = wire_new();
    struct wire_push push;
    struct buf packed;
    size_t n;

    buf_init(&packed, WIRE_MESSAGE_MAX);
    OK(w, sender_pack_next(w->sender, &packed, last, &w->err));
    OK(w, wire_unpack_push(wire, packed.data, packed.len, &push, &w->err));
    assert_memory_equal(push.sender, memory.base.sender, sizeof push.sender);
    assert_int_equal(push.first, push.oldest);
    assert_int_equal(*last, push.first + push.n_records - 1);
    n = push.n_records;
    buf_close(&packed);
    wire_free(wire);
    return n;
}

UNIT_TEST(another_way_takes_all_while_the_peer_is_away)
{
    struct world *w = *state;
    uint64_t last;

    memory.is_away = true;
    deliver(w, SENDER_PUSH_RECORDS + 5);
    assert_int_equal(pack_next(w, &last), SENDER_PUSH_RECORDS);
    assert_int_equal(last, sequence(SENDER_PUSH_RECORDS));
    other_ack(w, last);
    assert_int_equal(memory.base.acked, last);
    assert_int_equal(pack_next(w, &last), 5);
    assert_int_equal(pack_next(w, &last), 5); /* the answer was lost */
    other_ack(w, last);
    assert_int_equal(sender_waiting(w->sender), 0);
    assert_true(sender_has_kept(w->sender));
}

UNIT_TEST(the_peer_goes_on_behind_another_way)
{
    struct world *w = *state;
    uint64_t last;

    memory.is_away = true;
    deliver(w, 10);
    assert_int_equal(pack_next(w, &last), 10);
    other_ack(w, last);
    deliver(w, 3);
    memory.have = sequence(10); /* it has come there by the same database */
    memory.is_away = false;
    memory.epoch++;
    turn_after(w, TIME_MS);
    turn_after(w, TIME_MS);
    assert_int_equal(memory.have, sequence(13));
    assert_int_equal(sender_waiting(w->sender), 0);
    other_ack(w, last); /* late */
    assert_int_equal(sender_acked(w->sender), 13);
    assert_int_equal(memory.base.acked, sequence(13));
}

UNIT_TEST(another_way_may_lack_records_that_the_peer_had)
{
    struct world *w = *state;
    uint64_t last;

    deliver(w, 10);
    turn_after(w, TIME_MS);
    assert_int_equal(sender_waiting(w->sender), 0);
    memory.is_away = true;
    other_lacks(w, sequence(4));
    assert_int_equal(sender_waiting(w->sender), 6);
    assert_int_equal(memory.base.acked, sequence(4));
    assert_int_equal(pack_next(w, &last), 6);
    other_ack(w, last);
    assert_int_equal(sender_waiting(w->sender), 0);
    other_lacks(w, 0);
    assert_int_equal(sender_waiting(w->sender), 10);
}

UNIT_TEST(an_ack_of_what_nobody_packed_is_ignored)
{
    struct world *w = *state;

    memory.is_away = true;
    deliver(w, 10);
    other_ack(w, sequence(10));
    assert_int_equal(sender_waiting(w->sender), 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(acked_records_are_kept_for_ten_minutes),
        TEST(acked_records_are_kept_in_an_outage),
        TEST(a_peer_that_does_not_lose_lets_them_go_at_once),
        TEST(what_the_peer_lost_is_sent_again),
        TEST(what_is_not_kept_any_more_stays_lost),
        TEST(a_lost_record_is_not_safe),
        TEST(a_journal_that_grows_keeps_less),
        TEST(what_is_kept_makes_room_for_what_waits),
        TEST(what_was_acked_does_not_wait_after_a_restart),
        TEST(a_start_asks_before_it_sends_what_was_kept),
        TEST(another_way_takes_all_while_the_peer_is_away),
        TEST(the_peer_goes_on_behind_another_way),
        TEST(another_way_may_lack_records_that_the_peer_had),
        TEST(an_ack_of_what_nobody_packed_is_ignored),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
