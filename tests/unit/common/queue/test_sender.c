/* The sender against the receiver: the real journal, the real sockets, one process. The alerter's
 * store is a list in memory with transactions; that of ingest is a file. */
#include "tests/unit/unit.h"

#include "common/app/clock.h"
#include "common/base/time.h"
#include "common/queue/carrier_queue.h"
#include "common/queue/source_queue.h"

/* The tests look at both from inside. */
#include "common/queue/receiver.c"
#include "common/queue/sender.c"

#include <poll.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zmq.h>

/* Real sockets take real time; nothing here waits longer than this for them. */
#define DEADLINE_US (60 * TIME_S)

enum { TAKEN_MAX = 60000, SENDERS = 4 };

/* ---- The alerter's store ---- */

struct row {
    int sender;
    uint64_t sequence;
    uint64_t lines; /* tells the records apart */
};

struct rows {
    struct row rows[TAKEN_MAX];
    size_t n;
    uint8_t senders[SENDERS][WIRE_SENDER_BYTES];
    uint64_t taken[SENDERS];
    int n_senders;
    size_t n_aside;
    char why[256];
};

struct store {
    struct rows now;       /* with what the open transaction did */
    struct rows committed; /* without */
    int fail_after;        /* takes until one fails; -1: none does */
    size_t turn_most;      /* takes in a turn; 0: no bound */
    size_t turn_takes;
};

static int sender_index(struct rows *r, const uint8_t id[WIRE_SENDER_BYTES])
{
    for (int i = 0; i < r->n_senders; i++)
        if (memcmp(r->senders[i], id, WIRE_SENDER_BYTES) == 0)
            return i;
    assert_true(r->n_senders < SENDERS);
    memcpy(r->senders[r->n_senders], id, WIRE_SENDER_BYTES);
    r->taken[r->n_senders] = 0;
    return r->n_senders++;
}

static int store_last_taken(void *ctx, const uint8_t *sender, uint64_t *taken, struct err *err)
{
    struct store *s = ctx;

    (void)err;
    *taken = s->committed.taken[sender_index(&s->now, sender)];
    return 0;
}

static int store_take(void *ctx, struct wire_bytes bytes, const struct wire_record *record,
                      struct err *err)
{
    struct store *s = ctx;

    if (s->turn_most > 0 && s->turn_takes++ == s->turn_most)
        return RECEIVER_NOT_NOW;
    if (s->fail_after >= 0 && s->fail_after-- == 0)
        return err_set(err, ERR_FULL, "no space");
    assert_true(bytes.len > 0 && s->now.n < TAKEN_MAX);
    s->now.rows[s->now.n++] =
        (struct row){sender_index(&s->now, record->sender), record->sequence, record->lines};
    return 0;
}

static int store_set_aside(void *ctx, const uint8_t *sender, uint64_t sequence,
                           struct wire_bytes bytes, const char *why, struct err *err)
{
    struct store *s = ctx;

    (void)sender;
    (void)sequence;
    (void)bytes;
    (void)err;
    s->now.n_aside++;
    snprintf(s->now.why, sizeof s->now.why, "%s", why);
    return 0;
}

static int store_set_taken(void *ctx, const uint8_t *sender, uint64_t taken, struct err *err)
{
    struct store *s = ctx;

    (void)err;
    s->now.taken[sender_index(&s->now, sender)] = taken;
    return 0;
}

/* Only what differs is copied, for the lists are long and turns are many. */
static void copy_rows(struct rows *to, const struct rows *from)
{
    size_t same = to->n < from->n ? to->n : from->n;

    memcpy(to->rows + same, from->rows + same, (from->n - same) * sizeof *from->rows);
    to->n = from->n;
    memcpy(to->senders, from->senders, sizeof to->senders);
    memcpy(to->taken, from->taken, sizeof to->taken);
    to->n_senders = from->n_senders;
    to->n_aside = from->n_aside;
    memcpy(to->why, from->why, sizeof to->why);
}

/* ---- Both ends ---- */

struct world {
    char folder[64];
    char endpoint[128];
    struct secret secrets[2];
    size_t n_secrets;
    struct store store;
    struct receiver *receiver; /* NULL while the alerter is away */
    struct journal *journal;
    struct sender *sender; /* NULL while ingest is away */
    int64_t skipped_us;    /* how far the tests' clock is ahead */
    uint64_t appended;     /* the lines of the next record */
    const char *trouble;   /* that the alerter tells; NULL: none */
    long allocations;      /* of receiver_receive that succeed; -1: all */
    struct err err;
};

static size_t records_sent; /* by all senders of a test, those sent again included */

/* The carrier's functions, and the same with a send that counts. */
static const struct carrier_ops *real_ops;
static struct carrier_ops counting_ops;

static int count_send(struct carrier *c, const struct wire_push *push, struct wire_bytes packed)
{
    int rc = real_ops->send(c, push, packed);

    if (rc == 0)
        records_sent += push->n_records;
    return rc;
}

/* How many records of the store do not follow on the record before. */
static size_t count_holes(const struct rows *r)
{
    size_t n = 0;

    for (size_t i = 1; i < r->n; i++)
        n += position_of(r->rows[i].sequence) != position_of(r->rows[i - 1].sequence) + 1;
    return n;
}

static int64_t now_us(const struct world *w)
{
    return clock_boot_us() + w->skipped_us;
}

#define OK(w, call) ok((w), (call), #call)

static void ok(struct world *w, int rc, const char *call)
{
    if (rc != 0)
        fail_msg("%s: %d, %s", call, rc, w->err.text);
}

static struct queue_options queue_of(struct world *w)
{
    return (struct queue_options){w->endpoint, w->secrets, w->n_secrets};
}

static struct carrier *open_carrier(struct world *w, int64_t at_us)
{
    struct queue_options options = queue_of(w);
    struct carrier *c;

    OK(w, carrier_queue_open(&options, at_us, &c, &w->err));
    real_ops = c->ops;
    counting_ops = *real_ops;
    counting_ops.send = count_send;
    c->ops = &counting_ops;
    return c;
}

static bool can_send(struct sender *s)
{
    return s->carrier->ops->writable(s->carrier);
}

/* Returns 0, or an error if the endpoint is in use. */
static int open_receiver(struct world *w, const struct receiver_calls *calls)
{
    struct queue_options options = queue_of(w);
    struct source *source;
    int rc = source_queue_open(&options, &source, &w->err);

    if (rc == 0)
        OK(w, receiver_open(source, calls, &w->receiver, &w->err));
    return rc;
}

static int open_alerter(struct world *w)
{
    struct receiver_calls calls = {&w->store, store_last_taken, store_take, store_set_aside,
                                   store_set_taken};

    copy_rows(&w->store.now, &w->store.committed);
    return open_receiver(w, &calls);
}

static void start_alerter(struct world *w)
{
    OK(w, open_alerter(w));
}

/* As a SIGKILL would end it: an open transaction is gone, and nobody is told. */
static void kill_alerter(struct world *w)
{
    receiver_close(w->receiver);
    w->receiver = NULL;
}

static void open_journal(struct world *w)
{
    char path[128], set_aside[512];
    struct journal_options options = {.path = path, .exclusive = true};

    snprintf(path, sizeof path, "%s/spool", w->folder);
    OK(w, journal_open(&options, &w->journal, set_aside, &w->err));
    assert_string_equal(set_aside, "");
}

static void start_ingest(struct world *w)
{
    open_journal(w);
    OK(w, sender_open(open_carrier(w, now_us(w)), w->journal, 0, now_us(w), &w->sender, &w->err));
}

static void kill_ingest(struct world *w)
{
    sender_close(w->sender);
    journal_close(w->journal);
    w->sender = NULL;
    w->journal = NULL;
}

static int setup(void **state)
{
    struct world *w = calloc(1, sizeof *w);

    strcpy(w->folder, "/tmp/test_courier.XXXXXX");
    assert_non_null(mkdtemp(w->folder));
    snprintf(w->endpoint, sizeof w->endpoint, "ipc://%s/q", w->folder);
    w->store.fail_after = -1;
    w->allocations = -1;
    records_sent = 0;
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    static const char *const files[] = {"q", "spool", "spool-wal", "spool-shm", "spool.lock"};
    struct world *w = *state;
    char path[128];

    kill_ingest(w);
    kill_alerter(w);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        snprintf(path, sizeof path, "%s/%s", w->folder, files[i]);
        unlink(path);
    }
    rmdir(w->folder);
    free(w);
    return 0;
}

static int append_one(struct world *w, const char *drain)
{
    struct wire_record record = {
        .received_us = 1, .drain = drain, .frame_id = "", .lines = w->appended + 1};
    int rc = sender_append(w->sender, &record, &w->err);

    w->appended += rc == 0;
    return rc;
}

/* A turn of ingest that has `n` deliveries. */
static void deliver(struct world *w, size_t n)
{
    OK(w, journal_begin(w->journal, &w->err));
    for (size_t i = 0; i < n; i++)
        OK(w, append_one(w, "d"));
    OK(w, sender_trim(w->sender, &w->err));
    OK(w, journal_commit(w->journal, &w->err));
    OK(w, sender_push(w->sender, now_us(w), &w->err));
}

static void ingest_turn(struct world *w)
{
    OK(w, sender_receive(w->sender, now_us(w), &w->err));
    if (sender_trim_due(w->sender, now_us(w)))
        deliver(w, 0);
    OK(w, sender_timer(w->sender, now_us(w), &w->err));
}

/* Linked with -Wl,--wrap=malloc,--wrap=calloc: how many allocations of the alerter still succeed;
 * -1: all. */
static long until_failure = -1;

static bool allocation_fails(void)
{
    return until_failure >= 0 && until_failure-- == 0;
}

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);

void *__wrap_malloc(size_t n)
{
    return allocation_fails() ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t size)
{
    return allocation_fails() ? NULL : __real_calloc(n, size);
}

static int alerter_receive(struct world *w)
{
    int rc;

    w->store.turn_takes = 0;
    until_failure = w->allocations;
    rc = receiver_receive(w->receiver, now_us(w), &w->err);
    until_failure = -1;
    if (rc != 0) {
        receiver_rollback(w->receiver);
        copy_rows(&w->store.now, &w->store.committed);
    }
    return rc;
}

static void alerter_turn(struct world *w)
{
    if (alerter_receive(w) != 0)
        return;
    copy_rows(&w->store.committed, &w->store.now);
    receiver_ack(w->receiver, w->trouble);
}

/* Waits as the programs do, and for at most 20 ms, so that the tests see their clock move. */
static void wait_a_little(struct world *w)
{
    struct pollfd fds[2] = {
        {.fd = w->sender == NULL ? -1 : sender_fd(w->sender), .events = POLLIN},
        {.fd = w->receiver == NULL ? -1 : receiver_fd(w->receiver), .events = POLLIN}};
    int64_t wait_us = 20 * TIME_MS;

    if (w->sender != NULL) {
        int64_t due_us = sender_wake_us(w->sender) - now_us(w);

        wait_us = sender_pending(w->sender) || due_us < 0 ? 0 : due_us < wait_us ? due_us : wait_us;
    }
    if (w->receiver != NULL && receiver_pending(w->receiver))
        wait_us = 0;
    poll(fds, 2, (int)((wait_us + 999) / 1000));
}

static void turn(struct world *w)
{
    wait_a_little(w);
    if (w->receiver != NULL)
        alerter_turn(w);
    if (w->sender != NULL)
        ingest_turn(w);
}

#define UNTIL(w, condition)                                                                        \
    do {                                                                                           \
        int64_t end_us_ = clock_boot_us() + DEADLINE_US;                                           \
        while (!(condition) && clock_boot_us() < end_us_)                                          \
            turn(w);                                                                               \
        assert_true(condition);                                                                    \
    } while (0)

/* All that was delivered is taken: each record once, in order, and the journal is empty. */
static void assert_all_taken(struct world *w)
{
    const struct rows *r = &w->store.committed;

    UNTIL(w, sender_waiting(w->sender) == 0);
    assert_int_equal(r->n + r->n_aside, w->appended);
    for (size_t i = 0, line = 0; i < r->n; i++) {
        assert_true(r->rows[i].lines > line);
        line = r->rows[i].lines;
        if (i > 0)
            assert_true(r->rows[i].sequence > r->rows[i - 1].sequence);
    }
    w->skipped_us += SENDER_TRIM_US;
    UNTIL(w, journal_first(w->journal) == 0);
}

/* ---- Tests ---- */

UNIT_TEST(test_rules_of_sequence)
{
    static const struct {
        uint64_t taken, oldest, sequence, acked;
        enum verdict verdict;
    } table[] = {
        {0, 1, 1, 0, VERDICT_TAKE},     /* the first of all */
        {0, 500, 500, 0, VERDICT_TAKE}, /* the first record is its oldest */
        {0, 500, 501, 0, VERDICT_GAP},  /* its oldest got lost on the way */
        {0, 1, 0, 0, VERDICT_SEEN},     /* no sequence is 0 */
        {7, 1, 8, 0, VERDICT_TAKE},     /* the next one, whatever is still held */
        {7, 8, 8, 0, VERDICT_TAKE},     /* */
        {7, 1, 7, 0, VERDICT_SEEN},     /* */
        {7, 7, 7, 0, VERDICT_SEEN},     /* its oldest, and taken already */
        {7, 1, 3, 0, VERDICT_SEEN},     /* */
        {7, 1, 9, 0, VERDICT_GAP},      /* 8 is missing, and the sender has it */
        {7, 8, 9, 0, VERDICT_GAP},      /* */
        {7, 12, 12, 0, VERDICT_TAKE},   /* 8 to 11 are nowhere any more */
        {7, 12, 13, 0, VERDICT_GAP},    /* */
        {7, 12, 11, 0, VERDICT_GAP},    /* below its own oldest: nonsense */
        {(1ull << 40) + 5, (2ull << 40) + 6, (2ull << 40) + 6, 0, VERDICT_TAKE}, /* a new start */
        {(1ull << 40) + 5, (1ull << 40) + 5, (2ull << 40) + 6, 0, VERDICT_GAP},
        {(2ull << 40) + 6, (1ull << 40) + 5, (1ull << 40) + 5, 0, VERDICT_SEEN},
        {7, 12, 12, 7, VERDICT_TAKE}, /* the sender knows that 7 is taken */
        {7, 12, 12, 3, VERDICT_TAKE}, /* an ack is still on its way */
        {7, 12, 12, 11, VERDICT_GAP}, /* 8 to 11 were taken and got lost again */
        {7, 8, 8, 11, VERDICT_TAKE},
        {UINT64_MAX, 0, UINT64_MAX, 0, VERDICT_SEEN},
        {UINT64_MAX, 0, 0, 0, VERDICT_SEEN},
    };

    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (judge(table[i].taken,
                  &(struct wire_push){.oldest = table[i].oldest, .acked = table[i].acked},
                  table[i].sequence) != table[i].verdict)
            fail_msg("row %zu", i);
}

UNIT_TEST(test_there_and_acked)
{
    struct world *w = *state;
    struct sender_health health;

    start_alerter(w);
    start_ingest(w);
    deliver(w, 1);
    deliver(w, 3000);
    deliver(w, 0);
    deliver(w, 5);
    assert_all_taken(w);
    assert_int_equal(w->store.committed.n, 3006);
    assert_int_equal(w->store.committed.rows[0].sequence, (1ull << 40) + 1);
    assert_int_equal(w->store.committed.rows[3005].sequence, (1ull << 40) + 3006);
    assert_int_equal(records_sent, 3006); /* none twice, so none was missed */
    sender_health(w->sender, now_us(w), &health);
    assert_true(health.ok && health.waiting == 0 && health.reason[0] == '\0');
}

UNIT_TEST(test_rolled_back_turn)
{
    struct world *w = *state;

    start_alerter(w);
    start_ingest(w);
    deliver(w, 3);
    OK(w, journal_begin(w->journal, &w->err));
    OK(w, append_one(w, "d"));
    OK(w, append_one(w, "d"));
    journal_rollback(w->journal);
    sender_rollback(w->sender);
    w->appended -= 2;
    deliver(w, 2);
    assert_all_taken(w);
    assert_int_equal(w->store.committed.rows[4].sequence, (1ull << 40) + 5);
    assert_int_equal(count_holes(&w->store.committed), 0);
}

UNIT_TEST(test_large_records_among_small_ones)
{
    struct world *w = *state;
    enum { N = 200, LARGE = 600 };
    int64_t times[LARGE] = {0};
    struct wire_matches m = {.rule = "r", .source = "", .process = "", .times_us = times};
    struct wire_record record = {.drain = "", .frame_id = "", .matches = &m, .n_matches = 1};

    for (size_t i = 0; i < LARGE; i++)
        times[i] = i % 2 ? INT64_MAX : 0; /* ten bytes each */
    start_alerter(w);
    start_ingest(w);
    OK(w, journal_begin(w->journal, &w->err));
    for (size_t i = 0; i < N; i++) {
        bool large = i % 5 == 0 || i / 10 == 5; /* one among small ones, and some in a row */

        record.lines = ++w->appended;
        m.n_times = large ? LARGE : 1;
        OK(w, sender_append(w->sender, &record, &w->err));
    }
    OK(w, journal_commit(w->journal, &w->err));
    OK(w, sender_push(w->sender, now_us(w), &w->err));
    assert_all_taken(w);
}

UNIT_TEST(test_record_too_large)
{
    struct world *w = *state;
    enum { N = 250000 };
    int64_t *times = malloc(N * sizeof *times);
    struct wire_matches m = {.rule = "r", .source = "", .process = "", .times_us = times};
    struct wire_record record = {.drain = "", .frame_id = "", .matches = &m, .n_matches = 1};

    for (size_t i = 0; i < N; i++)
        times[i] = i % 2 ? INT64_MAX : 0; /* ten bytes each */
    start_alerter(w);
    start_ingest(w);
    OK(w, journal_begin(w->journal, &w->err));
    m.n_times = N;
    assert_int_equal(sender_append(w->sender, &record, &w->err), ERR_FULL);
    m.n_times = 200000; /* just fits */
    for (int i = 0; i < 9; i++) {
        record.lines = ++w->appended;
        OK(w, sender_append(w->sender, &record, &w->err));
    }
    OK(w, append_one(w, "d"));
    OK(w, journal_commit(w->journal, &w->err));
    OK(w, sender_push(w->sender, now_us(w), &w->err));
    assert_true(w->sender->flight_bytes <= SENDER_FLIGHT_BYTES + WIRE_RECORD_MAX);
    assert_all_taken(w);
    free(times);
}

/* Records journalled while nobody was there, over several starts, arrive in the end. */
UNIT_TEST(test_starts_of_ingest)
{
    struct world *w = *state;

    for (int i = 0; i < 4; i++) {
        start_ingest(w);
        deliver(w, 1500);
        deliver(w, 1);
        kill_ingest(w);
    }
    start_ingest(w);
    deliver(w, 2);
    assert_int_equal(sender_waiting(w->sender), 4 * 1501 + 2);
    start_alerter(w);
    deliver(w, 2);
    assert_all_taken(w);
    assert_int_equal(w->store.committed.rows[0].sequence, (1ull << 40) + 1);
    assert_int_equal(w->store.committed.rows[4 * 1501].sequence, (5ull << 40) + 4 * 1501 + 1);
    assert_int_equal(w->store.committed.n_senders, 1);
    assert_int_equal(count_holes(&w->store.committed), 0);
}

/* A file of an earlier build must give this build the same id and count of starts. */
UNIT_TEST(test_names_of_stored_values)
{
    struct world *w = *state;
    uint8_t id[WIRE_SENDER_BYTES];
    uint64_t starts;
    bool found;

    start_ingest(w);
    OK(w, journal_get(w->journal, "courier.sender", id, sizeof id, &found, &w->err));
    assert_true(found);
    assert_memory_equal(id, w->sender->sender, sizeof id);
    OK(w, journal_get(w->journal, "courier.starts", &starts, sizeof starts, &found, &w->err));
    assert_true(found && starts == 1);
}

/* Acks were lost with ingest: the records that it held are sent again and dropped. */
UNIT_TEST(test_start_without_the_last_acks)
{
    struct world *w = *state;

    start_alerter(w);
    start_ingest(w);
    deliver(w, 100);
    UNTIL(w, w->store.committed.n == 100 && sender_waiting(w->sender) == 0);
    assert_int_equal(journal_first(w->journal), 1); /* acked, and not trimmed yet */
    kill_ingest(w);
    start_ingest(w);
    assert_int_equal(sender_waiting(w->sender), 100);
    deliver(w, 7);
    assert_all_taken(w);
}

/* The receiver is closed without an ack and a new one opened, as often as it takes to be somewhere
 * within each kind of step. */
UNIT_TEST(test_alerter_killed_mid_stream)
{
    struct world *w = *state;

    start_ingest(w);
    start_alerter(w);
    for (int round = 0; round < 12; round++) {
        for (int i = 0; i < 40; i++)
            deliver(w, 1 + (size_t)i % 9);
        for (int i = 0; i < round * 2; i++)
            turn(w);
        if (w->receiver != NULL && alerter_receive(w) == 0 && round % 3 == 0)
            copy_rows(&w->store.committed, &w->store.now); /* committed, and never acked */
        deliver(w, 3);
        kill_alerter(w);
        deliver(w, 3);
        start_alerter(w);
    }
    assert_all_taken(w);
    assert_int_equal(count_holes(&w->store.committed), 0);
}

/* As in a failover of the alerter's database: `n` commits of it are lost. */
static void take_and_lose(struct world *w, size_t n)
{
    struct rows *left = malloc(sizeof *left);

    assert_non_null(left);
    deliver(w, 300);
    UNTIL(w, sender_waiting(w->sender) == 0);
    copy_rows(left, &w->store.committed);
    deliver(w, n);
    UNTIL(w, sender_waiting(w->sender) == 0);
    copy_rows(&w->store.committed, left);
    copy_rows(&w->store.now, left);
    receiver_forget(w->receiver);
    free(left);
}

static void assert_has_all(struct world *w, size_t n)
{
    UNTIL(w, sender_waiting(w->sender) == 0);
    assert_int_equal(w->store.committed.n, n);
    assert_int_equal(count_holes(&w->store.committed), 0);
}

static void start_with_database(struct world *w)
{
    start_ingest(w);
    w->sender->carrier->may_lose = w->sender->carrier->tells_acked = true;
    w->sender->keep_bytes = 1 << 20;
}

UNIT_TEST(test_alerter_whose_database_lost_commits)
{
    struct world *w = *state;

    start_alerter(w);
    start_with_database(w);
    take_and_lose(w, 200);
    w->skipped_us += SENDER_PING_US;
    UNTIL(w, w->sender->taken_back == 200);
    deliver(w, 1);
    assert_has_all(w, 501);
}

/* The first that the alerter hears is a new record, and more are on their way. */
UNIT_TEST(test_records_before_the_ack_that_tells_of_lost_commits)
{
    struct world *w = *state;

    start_alerter(w);
    start_with_database(w);
    for (size_t n = 1; n < 4; n++) {
        const size_t before = w->store.committed.n;

        take_and_lose(w, 200);
        for (size_t i = 0; i < n; i++)
            deliver(w, 1);
        assert_has_all(w, before + 500 + n);
        assert_int_equal(w->sender->taken_back, 200 * n);
    }
}

/* The alerter commits and its ack gets lost: after a second it is asked again. */
UNIT_TEST(test_lost_ack)
{
    struct world *w = *state;

    start_alerter(w);
    start_ingest(w);
    UNTIL(w, w->sender->epoch == 1);
    deliver(w, 10);
    UNTIL(w, w->sender->sent == 10 || (deliver(w, 0), false));
    for (int64_t end_us = clock_boot_us() + DEADLINE_US;
         w->store.now.n < 10 && clock_boot_us() < end_us;) {
        wait_a_little(w);
        OK(w, alerter_receive(w));
    }
    copy_rows(&w->store.committed, &w->store.now);
    receiver_rollback(w->receiver); /* forgets the ack, and what it remembers of the sender */
    kill_alerter(w);
    start_alerter(w);
    w->skipped_us += SENDER_RESEND_US;
    assert_all_taken(w);
    assert_true(records_sent >= 20);
}

/* An alerter that is connected and does not answer: asked after 1, 2, 4, 5, 5 … seconds. */
UNIT_TEST(test_resend_times)
{
    static const int64_t waits_us[] = {1 * TIME_S, 2 * TIME_S, 4 * TIME_S, 5 * TIME_S, 5 * TIME_S};
    struct world *w = *state;
    struct sender *c;
    int64_t t = 1000 * TIME_S, end_us = clock_boot_us() + DEADLINE_US;

    start_alerter(w);
    open_journal(w);
    OK(w, sender_open(open_carrier(w, t), w->journal, 0, t, &w->sender, &w->err));
    c = w->sender;
    while (!can_send(c) && clock_boot_us() < end_us) {
        poll(&(struct pollfd){.fd = sender_fd(c), .events = POLLIN}, 1, 20);
        OK(w, sender_receive(c, t, &w->err));
    }
    OK(w, sender_receive(c, t, &w->err)); /* takes all that came with the connection */
    OK(w, journal_begin(w->journal, &w->err));
    OK(w, append_one(w, "d"));
    OK(w, journal_commit(w->journal, &w->err));
    OK(w, sender_push(c, t, &w->err));
    assert_int_equal(c->sent, 1);
    for (size_t i = 0; i < 5; i++) {
        OK(w, sender_timer(c, t + waits_us[i] - 1, &w->err));
        assert_int_equal(records_sent, 1 + i);
        assert_int_equal(sender_wake_us(c) <= t + waits_us[i], 1);
        t += waits_us[i];
        OK(w, sender_timer(c, t, &w->err));
    }
    assert_int_equal(records_sent, 6);
}

/* The alerter's state was lost or is an older copy: it goes on with the oldest record of ingest. */
UNIT_TEST(test_holes)
{
    static struct rows older;
    struct world *w = *state;

    start_alerter(w);
    start_ingest(w);
    deliver(w, 10);
    assert_all_taken(w);
    copy_rows(&older, &w->store.committed);
    deliver(w, 10);
    assert_all_taken(w);
    kill_alerter(w);
    copy_rows(&w->store.committed, &older); /* 11 to 20 are nowhere any more */
    start_alerter(w);
    deliver(w, 5);
    UNTIL(w, sender_waiting(w->sender) == 0);
    assert_int_equal(w->store.committed.n, 15);
    assert_int_equal(w->store.committed.rows[10].lines, 21);
    assert_int_equal(count_holes(&w->store.committed), 1);
    kill_alerter(w);
    memset(&w->store.committed, 0, sizeof w->store.committed);
    w->store.now.n = 0;
    start_alerter(w);
    deliver(w, 5);
    UNTIL(w, sender_waiting(w->sender) == 0);
    assert_int_equal(w->store.committed.n, 5);
    assert_int_equal(w->store.committed.rows[0].lines, 26);
    assert_int_equal(count_holes(&w->store.committed), 0);
}

/* Ingest's file is an older copy, so its new records would pass for repeats. Its health says so,
 * and no record is dropped. */
UNIT_TEST(test_ingest_is_an_older_copy)
{
    struct world *w = *state;
    struct sender_health health;

    start_alerter(w);
    start_ingest(w);
    deliver(w, 3);
    assert_all_taken(w);
    kill_alerter(w);
    w->store.committed.taken[0] = 9ull << 40;
    start_alerter(w);
    deliver(w, 2);
    UNTIL(w, w->sender->refused[0] != '\0');
    assert_int_equal(sender_waiting(w->sender), 2);
    sender_health(w->sender, now_us(w), &health);
    assert_false(health.ok);
    assert_non_null(strstr(health.reason, "is the file an old copy?"));
}

UNIT_TEST(test_alerter_cannot_commit)
{
    struct world *w = *state;

    start_alerter(w);
    start_ingest(w);
    w->store.fail_after = 25;
    for (int i = 0; i < 20; i++)
        deliver(w, 3);
    UNTIL(w, w->store.fail_after == -1);
    w->skipped_us += SENDER_RESEND_US;
    assert_all_taken(w);
}

UNIT_TEST(test_alerter_without_memory)
{
    struct world *w = *state;
    int rc = ERR_NOMEM;

    start_ingest(w);
    deliver(w, 3);
    for (w->allocations = 0; rc == ERR_NOMEM; w->allocations++) {
        start_alerter(w);
        for (int64_t end_us = clock_boot_us() + DEADLINE_US; clock_boot_us() < end_us;) {
            wait_a_little(w);
            rc = alerter_receive(w);
            if (rc != 0 || w->store.now.n == 3)
                break;
            ingest_turn(w);
        }
        kill_alerter(w);
    }
    assert_int_equal(rc, 0);
    assert_true(w->allocations > 3); /* a sender, its table and the table's buckets */
    w->allocations = -1;
    start_alerter(w);
    assert_all_taken(w);
}

UNIT_TEST(test_turns_that_end_within_a_message)
{
    struct world *w = *state;

    start_alerter(w);
    start_ingest(w);
    w->store.turn_most = 70;
    deliver(w, 1000);
    deliver(w, 100);
    assert_all_taken(w);
    assert_int_equal(records_sent, 1100); /* the rest of a message is not asked for again */
    w->store.fail_after = 90;             /* in the second turn of the next message */
    deliver(w, 1000);
    UNTIL(w, w->store.fail_after < 0);
    assert_int_equal(w->store.committed.n, 1170);
    w->skipped_us += SENDER_RESEND_US;
    assert_all_taken(w);
    assert_int_equal(count_holes(&w->store.committed), 0);
}

/* 50,000 records while nobody is there, then a peer that takes nothing: memory stays where it is.
 */
UNIT_TEST(test_bound_in_flight)
{
    struct world *w = *state;
    struct sender *c;
    int64_t end_us;

    start_ingest(w);
    c = w->sender;
    for (int i = 0; i < 50; i++)
        deliver(w, 1000);
    assert_int_equal(sender_waiting(c), 50000);
    assert_int_equal(c->n_flights, 0);
    start_alerter(w);
    end_us = clock_boot_us() + TIME_S;
    while (clock_boot_us() < end_us && c->n_flights < 4) { /* bound, and asleep */
        poll(&(struct pollfd){.fd = sender_fd(c), .events = POLLIN}, 1, 20);
        c->carrier->ops->tend(c->carrier, now_us(w));
        ingest_turn(w);
    }
    assert_true(c->sent - c->acked >= SENDER_FLIGHT_RECORDS);
    assert_true(c->sent - c->acked < SENDER_FLIGHT_RECORDS + SENDER_PUSH_RECORDS);
    for (int i = 0; i < 200; i++)
        deliver(w, 1);
    assert_true(c->n_flights <= SENDER_FLIGHT_PUSHES);
    assert_true(c->sent - c->acked < SENDER_FLIGHT_RECORDS + SENDER_PUSH_RECORDS);
    assert_true(c->turn.bytes.cap + c->read.bytes.cap + c->packed.cap < 8u << 20);
    assert_all_taken(w);
    assert_int_equal(w->store.committed.n, 50200);
}

UNIT_TEST(test_limited_pushes)
{
    struct world *w = *state;

    start_alerter(w);
    start_ingest(w);
    UNTIL(w, can_send(w->sender));
    sender_limit_push(w->sender, 2000);
    deliver(w, 300);
    assert_true(w->sender->n_flights > 5);
    for (size_t i = 0; i < w->sender->n_flights; i++)
        assert_in_range(w->sender->flights[i].bytes, 1, 2000);
    assert_all_taken(w);
    sender_limit_push(w->sender, 0);
    deliver(w, 300);
    assert_int_equal(w->sender->n_flights, 1);
    assert_all_taken(w);
}

UNIT_TEST(test_many_small_pushes)
{
    struct world *w = *state;

    start_alerter(w);
    start_ingest(w);
    UNTIL(w, can_send(w->sender));
    for (int i = 0; i < 1000; i++) {
        deliver(w, 1);
        assert_true(w->sender->n_flights <= SENDER_FLIGHT_PUSHES);
    }
    assert_all_taken(w);
}

static void patch(struct world *w, int64_t position, const void *bytes, size_t n)
{
    sqlite3_stmt *stmt;

    assert_int_equal(sqlite3_prepare_v2(journal_db(w->journal),
                                        "UPDATE records SET bytes = ? WHERE position = ?", -1,
                                        &stmt, NULL),
                     SQLITE_OK);
    sqlite3_bind_blob64(stmt, 1, bytes, n, SQLITE_STATIC);
    sqlite3_bind_int64(stmt, 2, position);
    assert_int_equal(sqlite3_step(stmt), SQLITE_DONE);
    assert_int_equal(sqlite3_changes(journal_db(w->journal)), 1);
    sqlite3_finalize(stmt);
}

/* A record that no build can read does not hold up the others. */
UNIT_TEST(test_unreadable_records)
{
    struct world *w = *state;

    for (int i = 0; i < 3; i++) {
        start_ingest(w);
        for (int k = 0; k < 5; k++)
            deliver(w, 1);
        patch(w, 5 * i + 1, "rubbish", 7);
        patch(w, 5 * i + 3, "", 0);
        patch(w, 5 * i + 5, "\x08\x01", 2);
        kill_ingest(w);
    }
    start_ingest(w);
    start_alerter(w);
    assert_all_taken(w);
    assert_int_equal(w->store.committed.n, 6);
    assert_int_equal(w->store.committed.n_aside, 9);
    assert_non_null(strstr(w->store.committed.why, "record: sender: 0 bytes"));
}

/* A record of a newer build stays in the journal with all that follow, and both sides say so. */
UNIT_TEST(test_newer_record)
{
    struct world *w = *state;
    struct wire_record record = {
        .drain = "d", .frame_id = "", .lines = 3, .sequence = (1ull << 40) + 3};
    struct sender_health health;
    struct buf bytes;

    start_ingest(w);
    for (int i = 0; i < 5; i++)
        deliver(w, 1);
    memcpy(record.sender, w->sender->sender, sizeof record.sender);
    buf_init(&bytes, 1000);
    assert_int_equal(wire_pack_record(&record, &bytes), 0);
    assert_memory_equal(bytes.data, "\x08\x01", 2);
    bytes.data[1] = 2;
    patch(w, 3, bytes.data, bytes.len);
    start_alerter(w);
    UNTIL(w, w->sender->refused[0] != '\0');
    assert_int_equal(w->store.committed.n, 2);
    assert_int_equal(sender_waiting(w->sender), 3);
    assert_non_null(strstr(w->sender->refused, "version 2"));
    assert_non_null(strstr(receiver_refused(w->receiver), "version 2"));
    sender_health(w->sender, now_us(w), &health);
    assert_false(health.ok);
    assert_non_null(strstr(health.reason, "refuses: record: version 2"));
    assert_non_null(strstr(health.reason, "3 deliveries wait"));
    kill_alerter(w); /* an alerter that can read it comes */
    bytes.data[1] = 1;
    patch(w, 3, bytes.data, bytes.len);
    start_alerter(w);
    assert_all_taken(w);
    assert_string_equal(w->sender->refused, "");
    assert_string_equal(receiver_refused(w->receiver), "");
    buf_close(&bytes);
}

/* ---- Strangers ---- */

struct raw {
    void *context;
    void *socket;
};

static struct raw raw_open(int type)
{
    struct raw r = {.context = zmq_ctx_new()};
    int none = 0, patience_ms = 10000;

    r.socket = zmq_socket(r.context, type);
    zmq_setsockopt(r.socket, ZMQ_LINGER, &none, sizeof none);
    zmq_setsockopt(r.socket, ZMQ_RCVTIMEO, &patience_ms, sizeof patience_ms);
    return r;
}

static void raw_close(struct raw r)
{
    zmq_close(r.socket);
    zmq_ctx_term(r.context);
}

/* An alerter that acks records which were never sent: no such ack counts. */
UNIT_TEST(test_wrong_acks)
{
    struct world *w = *state;
    struct raw r = raw_open(ZMQ_ROUTER);
    uint8_t id[SOURCE_PEER_MAX];
    struct wire_ack acks[6];
    struct buf bytes;
    int n;

    assert_int_equal(zmq_bind(r.socket, w->endpoint), 0);
    start_ingest(w);
    deliver(w, 5);
    UNTIL(w, w->sender->sent == 5);
    n = zmq_recv(r.socket, id, sizeof id, 0);
    assert_true(n > 0);
    for (size_t i = 0; i < 6; i++) {
        acks[i] = (struct wire_ack){.refused = ""};
        memcpy(acks[i].sender, w->sender->sender, WIRE_SENDER_BYTES);
    }
    acks[0].taken = UINT64_MAX;
    acks[1].taken = (1ull << 40) + 6; /* was never sent */
    acks[2].taken = (2ull << 40) + 3; /* of a start to come */
    acks[3].taken = (1ull << 40) + 3; /* right, but for another */
    acks[3].sender[0] ^= 1;
    acks[4].taken = (1ull << 40) + (1ull << 39);
    acks[5].taken = (1ull << 40) + 2; /* and this is right */
    buf_init(&bytes, 1000);
    zmq_send(r.socket, id, (size_t)n, ZMQ_SNDMORE);
    zmq_send(r.socket, "rubbish", 7, 0);
    for (size_t i = 0; i < 6; i++) {
        buf_clear(&bytes);
        assert_int_equal(wire_pack_ack(&acks[i], &bytes), 0);
        zmq_send(r.socket, id, (size_t)n, ZMQ_SNDMORE);
        assert_int_equal(zmq_send(r.socket, bytes.data, bytes.len, 0), (int)bytes.len);
    }
    UNTIL(w, sender_waiting(w->sender) != 5);
    assert_int_equal(sender_waiting(w->sender), 3);
    buf_close(&bytes);
    raw_close(r);
}

UNIT_TEST(test_strange_pushes)
{
    struct world *w = *state;
    struct raw r = raw_open(ZMQ_DEALER);
    struct wire_push push = {.oldest = 1,
                             .first = UINT64_MAX,
                             .n_records = 1,
                             .records = &(struct wire_bytes){(const uint8_t *)"x", 1}};
    struct wire *wire = wire_new();
    struct wire_ack ack;
    struct buf bytes;
    char answer[1000];
    int n;

    start_alerter(w);
    assert_int_equal(zmq_connect(r.socket, w->endpoint), 0);
    buf_init(&bytes, 1000);
    zmq_send(r.socket, "rubbish", 7, 0);
    zmq_send(r.socket, "", 0, 0);
    memset(push.sender, 7, sizeof push.sender);
    assert_int_equal(wire_pack_push(&push, &bytes), 0);
    zmq_send(r.socket, bytes.data, bytes.len, 0); /* sequences that wrap */
    bytes.data[1] = 2;                            /* of a newer build */
    zmq_send(r.socket, bytes.data, bytes.len, 0);
    UNTIL(w, receiver_refused(w->receiver)[0] != '\0');
    assert_int_equal(w->store.committed.n + w->store.committed.n_aside, 0);
    n = zmq_recv(r.socket, answer, sizeof answer, 0);
    assert_true(n > 0);
    OK(w, wire_unpack_ack(wire, answer, (size_t)n, &ack, &w->err));
    assert_int_equal(ack.taken, 0);
    assert_memory_equal(ack.sender, push.sender, sizeof ack.sender);
    assert_non_null(strstr(ack.refused, "push: version 2"));
    start_ingest(w);
    deliver(w, 3);
    UNTIL(w, sender_waiting(w->sender) == 0);
    wire_free(wire);
    buf_close(&bytes);
    raw_close(r);
}

/* More senders than are remembered: the stalest is forgotten, and known again from the store. */
static int any_last_taken(void *ctx, const uint8_t *sender, uint64_t *taken, struct err *err)
{
    (void)sender;
    (void)err;
    ++*(size_t *)ctx;
    *taken = 41;
    return 0;
}

UNIT_TEST(test_bound_of_senders)
{
    struct world *w = *state;
    size_t asked = 0;
    struct receiver_calls calls = {&asked, any_last_taken, store_take, store_set_aside,
                                   store_set_taken};
    struct raw r = raw_open(ZMQ_DEALER);
    struct wire_push push = {.oldest = 1};
    uint64_t answered = 0;
    struct buf bytes;
    char answer[100];

    OK(w, open_receiver(w, &calls));
    assert_int_equal(zmq_connect(r.socket, w->endpoint), 0);
    buf_init(&bytes, 100);
    for (uint32_t i = 0; i < RECEIVER_SENDERS_MAX + 50; i++) {
        int64_t end_us = clock_boot_us() + DEADLINE_US;

        memcpy(push.sender, &i, sizeof i);
        push.sender[15] = 1;
        buf_clear(&bytes);
        assert_int_equal(wire_pack_push(&push, &bytes), 0);
        zmq_send(r.socket, bytes.data, bytes.len, 0);
        while (asked <= i && clock_boot_us() < end_us) {
            poll(&(struct pollfd){.fd = receiver_fd(w->receiver), .events = POLLIN}, 1, 1);
            OK(w, receiver_receive(w->receiver, i, &w->err));
            receiver_ack(w->receiver, w->trouble);
        }
        answered += zmq_recv(r.socket, answer, sizeof answer, 0) > 0;
    }
    assert_int_equal(asked, RECEIVER_SENDERS_MAX + 50);
    assert_int_equal(answered, RECEIVER_SENDERS_MAX + 50);
    buf_close(&bytes);
    raw_close(r);
}

/* ---- Health and the end ---- */

UNIT_TEST(test_health)
{
    struct world *w = *state;
    struct sender_health health;

    start_ingest(w);
    sender_health(w->sender, now_us(w), &health);
    assert_true(!health.ok && health.is_new);
    w->skipped_us += 34 * TIME_S + 500 * TIME_MS;
    for (int i = 0; i < 4; i++)
        deliver(w, 301);
    w->skipped_us += 2 * TIME_S;
    sender_health(w->sender, now_us(w), &health);
    assert_false(health.ok || health.is_new);
    assert_string_equal(health.reason,
                        "no answer from the alerter for 36 seconds, 1,204 deliveries wait");
    assert_string_equal(health.address, w->endpoint);
    assert_int_equal(health.waiting, 1204);
    assert_true(health.waiting_us >= 2 * TIME_S && health.waiting_us < 3 * TIME_S);
    start_alerter(w);
    assert_all_taken(w);
    sender_health(w->sender, now_us(w), &health);
    assert_true(health.ok && health.waiting_us == 0);
    w->skipped_us += SENDER_SILENCE_US - TIME_S; /* nothing to send: a ping asks */
    for (int i = 0; i < 5; i++)
        turn(w);
    w->skipped_us += TIME_S;
    sender_health(w->sender, now_us(w), &health);
    assert_true(health.ok);
    assert_string_equal(health.trouble, "");
    kill_alerter(w);
    w->skipped_us += SENDER_SILENCE_US;
    sender_health(w->sender, now_us(w), &health);
    assert_false(health.ok);
    assert_non_null(strstr(health.reason, "no answer from the alerter for "));
    assert_null(strchr(health.reason, ',')); /* none waits */
}

UNIT_TEST(test_safe_and_late)
{
    struct world *w = *state;
    int64_t t;

    start_ingest(w);
    assert_int_equal(sender_last(w->sender), 0);
    assert_true(sender_is_late(w->sender, now_us(w))); /* nobody is there */
    start_alerter(w);
    UNTIL(w, w->sender->answered);
    assert_false(sender_is_late(w->sender, now_us(w)));
    deliver(w, 3);
    t = now_us(w);
    assert_int_equal(sender_last(w->sender), 3);
    assert_true(sender_is_safe(w->sender, 0));
    assert_false(sender_is_safe(w->sender, 1));
    assert_true(sender_is_late(w->sender, t + SENDER_LATE_US));
    UNTIL(w, sender_is_safe(w->sender, 3));
    assert_false(sender_is_late(w->sender, t + 10 * SENDER_LATE_US));
    deliver(w, 1); /* late counts from here, not from the last ack */
    assert_false(sender_is_late(w->sender, now_us(w) + SENDER_LATE_US / 2));
    assert_true(sender_is_late(w->sender, now_us(w) + SENDER_LATE_US));
    kill_ingest(w);
    w->skipped_us += TIME_MINUTE;
    start_ingest(w);
    UNTIL(w, !w->sender->carrier->ops->is_away(w->sender->carrier));
    assert_false(sender_is_late(w->sender, now_us(w)));
}

UNIT_TEST(test_the_alerters_trouble_comes_with_its_acks)
{
    struct world *w = *state;
    struct sender_health health;

    start_ingest(w);
    start_alerter(w);
    w->trouble = "3 alerts kept: invalid_auth\n";
    deliver(w, 1);
    assert_all_taken(w);
    sender_health(w->sender, now_us(w), &health);
    assert_true(health.ok);
    assert_string_equal(health.trouble, "3 alerts kept: invalid_auth\\x0a");
    w->trouble = "";
    deliver(w, 1);
    assert_all_taken(w);
    sender_health(w->sender, now_us(w), &health);
    assert_string_equal(health.trouble, "");
}

UNIT_TEST(test_goodbye)
{
    struct world *w = *state;

    start_alerter(w);
    assert_true(receiver_all_gone(w->receiver, now_us(w)));
    start_ingest(w);
    deliver(w, 3);
    assert_all_taken(w);
    assert_false(receiver_all_gone(w->receiver, now_us(w)));
    sender_goodbye(w->sender);
    kill_ingest(w);
    for (int i = 0; i < 100 && !receiver_all_gone(w->receiver, 0); i++)
        turn(w);
    assert_true(receiver_all_gone(w->receiver, 0)); /* said, not only silent */
    start_ingest(w);
    deliver(w, 1);
    assert_all_taken(w);
    kill_ingest(w); /* without a word */
    assert_false(receiver_all_gone(w->receiver, now_us(w)));
    assert_true(receiver_all_gone(w->receiver, now_us(w) + RECEIVER_SILENCE_US));
}

/* A goodbye to nobody does not hold the end up. */
UNIT_TEST(test_goodbye_to_nobody)
{
    struct world *w = *state;
    int64_t began_us = clock_boot_us();

    start_ingest(w);
    deliver(w, 3);
    sender_goodbye(w->sender);
    kill_ingest(w);
    assert_true(clock_boot_us() - began_us < 5 * TIME_S);
}

/* ---- Two of them, encryption, and chance ---- */

UNIT_TEST(test_two_ingests)
{
    struct world *w = *state, *other;
    void *other_state;

    assert_int_equal(setup(&other_state), 0);
    other = other_state;
    strcpy(other->endpoint, w->endpoint);
    start_alerter(w);
    start_ingest(w);
    start_ingest(other);
    for (int i = 0; i < 50; i++) {
        deliver(w, 3);
        deliver(other, 5);
        ingest_turn(other);
        turn(w);
    }
    for (int64_t end_us = clock_boot_us() + DEADLINE_US;
         sender_waiting(w->sender) + sender_waiting(other->sender) > 0 &&
         clock_boot_us() < end_us;) {
        ingest_turn(other);
        turn(w);
    }
    assert_int_equal(sender_waiting(w->sender) + sender_waiting(other->sender), 0);
    assert_int_equal(w->store.committed.n, 400);
    assert_int_equal(w->store.committed.n_senders, 2);
    for (int sender = 0; sender < 2; sender++) {
        uint64_t expected = (1ull << 40) + 1;

        for (size_t i = 0; i < 400; i++)
            if (w->store.committed.rows[i].sender == sender)
                assert_int_equal(w->store.committed.rows[i].sequence, expected++);
    }
    teardown(&other_state);
}

UNIT_TEST(test_over_tcp)
{
    struct world *w = *state;
    const struct secret old = {"an-old-secret-an-old-secret-an-o", 32};
    const struct secret new = {"a-new-secret-a-new-secret-a-new-", 32};

    for (int port = 20000 + getpid() % 20000, tries = 0; w->receiver == NULL; port++) {
        w->n_secrets = 2;
        w->secrets[0] = old;
        w->secrets[1] = new;
        snprintf(w->endpoint, sizeof w->endpoint, "tcp://127.0.0.1:%d", port);
        if (open_alerter(w) != 0)
            assert_true(++tries < 100);
    }
    w->secrets[0] = new; /* ingest has them in the other order, as in a rotation */
    w->secrets[1] = old;
    start_ingest(w);
    deliver(w, 2500);
    assert_all_taken(w);
    kill_alerter(w); /* and the alerter turns to the new one while ingest runs */
    deliver(w, 10);
    w->secrets[0] = new;
    start_alerter(w);
    assert_all_taken(w);
}

static uint64_t seed = 88172645463325252u;

static uint64_t chance(uint64_t n) /* xorshift64: the same in every run */
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed % n;
}

static void something_happens(struct world *w)
{
    switch (chance(40)) {
    case 0: /* the alerter dies, sometimes between its commit and its ack */
        if (w->receiver != NULL && alerter_receive(w) == 0 && chance(2))
            copy_rows(&w->store.committed, &w->store.now);
        kill_alerter(w);
        break;
    case 1:
        kill_ingest(w);
        start_ingest(w);
        break;
    case 2:
        w->store.fail_after = (int)chance(20);
        break;
    case 3:
        w->skipped_us += (int64_t)chance(3) * TIME_S;
        break;
    default:
        if (w->receiver == NULL && chance(3) == 0)
            start_alerter(w);
        deliver(w, chance(6) == 0 ? chance(1500) : chance(4));
        turn(w);
        break;
    }
}

UNIT_TEST(test_chance)
{
    struct world *w = *state;

    start_ingest(w);
    start_alerter(w);
    for (int i = 0; i < 1200 && w->appended < TAKEN_MAX - 2000; i++)
        something_happens(w);
    w->store.fail_after = -1;
    if (w->receiver == NULL)
        start_alerter(w);
    w->skipped_us += SENDER_RESEND_MAX_US;
    assert_all_taken(w);
    assert_int_equal(w->store.committed.n_senders, 1);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rules_of_sequence),
        TEST(test_there_and_acked),
        TEST(test_rolled_back_turn),
        TEST(test_large_records_among_small_ones),
        TEST(test_record_too_large),
        TEST(test_starts_of_ingest),
        TEST(test_names_of_stored_values),
        TEST(test_start_without_the_last_acks),
        TEST(test_alerter_killed_mid_stream),
        TEST(test_alerter_whose_database_lost_commits),
        TEST(test_records_before_the_ack_that_tells_of_lost_commits),
        TEST(test_lost_ack),
        TEST(test_resend_times),
        TEST(test_holes),
        TEST(test_ingest_is_an_older_copy),
        TEST(test_alerter_cannot_commit),
        TEST(test_alerter_without_memory),
        TEST(test_turns_that_end_within_a_message),
        TEST(test_bound_in_flight),
        TEST(test_many_small_pushes),
        TEST(test_limited_pushes),
        TEST(test_unreadable_records),
        TEST(test_newer_record),
        TEST(test_wrong_acks),
        TEST(test_strange_pushes),
        TEST(test_bound_of_senders),
        TEST(test_health),
        TEST(test_safe_and_late),
        TEST(test_the_alerters_trouble_comes_with_its_acks),
        TEST(test_goodbye),
        TEST(test_goodbye_to_nobody),
        TEST(test_two_ingests),
        TEST(test_over_tcp),
        TEST(test_chance),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
