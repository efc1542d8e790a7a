/* The carrier's decisions in virtual time, over jobs whose outcomes the test makes up. */
#include "tests/unit/unit.h"

#include "common/queue/carrier_pg.h"

#include <string.h>

/* ---- pg_jobs.h without a thread ---- */

struct pg_jobs {
    struct pg_job job; /* the last one begun */
    size_t n_begun;
    bool runs;
    bool is_done;
    struct pg_outcome outcome;
    int refuses; /* that pg_jobs_begin returns */
    int closed;  /* 1: without a goodbye, 2: with one */
    int64_t left;
};

static struct pg_jobs jobs;

int pg_jobs_open(const struct pg_jobs_options *options, struct pg_jobs **out, struct err *err)
{
    (void)options, (void)err;
    *out = &jobs;
    return 0;
}

void pg_jobs_close(struct pg_jobs *j, bool says_goodbye, int64_t left)
{
    j->closed = says_goodbye ? 2 : 1;
    j->left = left;
}

int pg_jobs_fd(const struct pg_jobs *j)
{
    (void)j;
    return -1;
}

int pg_jobs_begin(struct pg_jobs *j, const struct pg_job *job)
{
    assert_false(j->runs);
    if (j->refuses != 0)
        return j->refuses;
    j->job = *job;
    j->n_begun++;
    j->runs = true;
    return 0;
}

const struct pg_outcome *pg_jobs_take(struct pg_jobs *j)
{
    if (!j->is_done)
        return NULL;
    assert_true(j->runs);
    j->runs = j->is_done = false;
    return &j->outcome;
}

/* ---- a carrier ---- */

static const uint8_t id[WIRE_SENDER_BYTES] = "a sender's bytes";

struct world {
    struct carrier *c;
    int64_t now_us;
    int64_t beat;
};

static int setup(void **state)
{
    static struct world w;
    struct err err;

    jobs = (struct pg_jobs){.n_begun = 0};
    w = (struct world){.now_us = 1000 * TIME_S};
    assert_int_equal(carrier_pg_open(&(struct pg_jobs_options){.url = "postgres://"}, &w.c, &err),
                     0);
    memcpy(w.c->sender, id, sizeof id);
    *state = &w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;

    if (jobs.closed == 0)
        w->c->ops->close(w->c);
    return 0;
}

static void tend_after(struct world *w, int64_t us)
{
    w->now_us += us;
    w->c->ops->tend(w->c, w->now_us);
}

static void end_job(struct world *w, struct pg_outcome outcome)
{
    assert_true(jobs.runs);
    jobs.outcome = outcome;
    jobs.is_done = true;
    tend_after(w, TIME_MS);
}

static void succeed(struct world *w, struct pg_known known)
{
    end_job(w, (struct pg_outcome){.is_open = true, .known = known});
}

static void fail_job(struct world *w, int rc, bool is_open)
{
    struct pg_outcome o = {.rc = rc, .is_open = is_open};

    err_set(&o.err, rc, "PostgreSQL on db: a reason");
    end_job(w, o);
}

/* The database has all up to `have`, and an alerter is active. */
static struct pg_known alive(struct world *w, int64_t have)
{
    return (struct pg_known){.have = have, .epoch = 1, .beat = ++w->beat};
}

static void connect_carrier(struct world *w)
{
    tend_after(w, 0);
    assert_int_equal(jobs.job.kind, PG_JOB_CONNECT);
    succeed(w, alive(w, 0));
}

static int push_records(struct world *w, uint64_t first, size_t n)
{
    struct wire_push push = {.oldest = first, .first = first, .n_records = n};

    memcpy(push.sender, id, sizeof id);
    return w->c->ops->send(w->c, &push, (struct wire_bytes){(const uint8_t *)"body", 4});
}

static bool take_ack(struct world *w, struct wire_ack *ack)
{
    bool has = w->c->ops->receive(w->c, ack) == 1;

    assert_int_equal(w->c->ops->receive(w->c, ack), 0);
    return has;
}

static void assert_acked(struct world *w, uint64_t sequence)
{
    struct wire_ack ack;

    assert_true(take_ack(w, &ack));
    assert_int_equal(ack.taken, sequence);
    assert_memory_equal(ack.sender, id, sizeof id);
}

static const char *fault(struct world *w)
{
    return w->c->ops->fault(w->c);
}

static int64_t idle_us(struct world *w)
{
    return w->c->ops->idle_us(w->c, w->now_us);
}

static bool is_writable(struct world *w)
{
    return w->c->ops->writable(w->c);
}

static bool is_away(struct world *w)
{
    return w->c->ops->is_away(w->c);
}

/* ---- tests ---- */

UNIT_TEST(it_registers_before_it_sends)
{
    struct world *w = *state;

    assert_true(w->c->ops->wake_us(w->c) <= w->now_us);
    assert_false(is_writable(w));
    w->c->waiting = 7;
    tend_after(w, 0);
    assert_int_equal(jobs.job.kind, PG_JOB_CONNECT);
    assert_memory_equal(jobs.job.sender, id, sizeof id);
    assert_int_equal(jobs.job.waiting, 7);
    assert_true(is_away(w));
    assert_int_equal(push_records(w, 1, 1), ERR_FULL);
    assert_int_equal(w->c->ops->wake_us(w->c), INT64_MAX);
    succeed(w, alive(w, 41));
    assert_int_equal(w->c->ops->epoch(w->c), 1);
    assert_false(is_away(w));
    assert_true(w->c->ops->pending(w->c));
    assert_acked(w, 41);
    assert_false(w->c->ops->pending(w->c));
    assert_true(is_writable(w));
    assert_string_equal(fault(w), "");
}

UNIT_TEST(one_push_is_in_flight_and_its_commit_is_the_ack)
{
    struct world *w = *state;
    struct wire_ack ack;

    connect_carrier(w);
    assert_acked(w, 0);
    assert_int_equal(push_records(w, 5, 3), 0);
    assert_int_equal(jobs.job.kind, PG_JOB_PUSH);
    assert_int_equal(jobs.job.first, 5);
    assert_int_equal(jobs.job.last, 7);
    assert_int_equal(jobs.job.oldest, 5);
    assert_int_equal(jobs.job.body.len, 4);
    assert_memory_equal(jobs.job.sender, id, sizeof id);
    assert_false(is_writable(w));
    assert_false(is_away(w));
    assert_int_equal(push_records(w, 8, 1), ERR_FULL);
    tend_after(w, TIME_MINUTE);
    assert_false(take_ack(w, &ack));
    end_job(w, (struct pg_outcome){.is_open = true});
    assert_acked(w, 7);
    assert_int_equal(jobs.n_begun, 3); /* the registration that was due meanwhile */
    assert_int_equal(jobs.job.kind, PG_JOB_REGISTER);
}

UNIT_TEST(a_push_without_records_costs_the_database_nothing)
{
    struct world *w = *state;

    connect_carrier(w);
    assert_int_equal(push_records(w, 1, 0), 0);
    assert_int_equal(jobs.n_begun, 1);
}

UNIT_TEST(it_registers_every_five_seconds)
{
    struct world *w = *state;

    connect_carrier(w);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(w->c->ops->wake_us(w->c), w->now_us + CARRIER_PG_PING_US);
        tend_after(w, CARRIER_PG_PING_US - 1);
        assert_false(jobs.runs);
        tend_after(w, 1);
        assert_int_equal(jobs.job.kind, PG_JOB_REGISTER);
        assert_false(is_writable(w));
        succeed(w, alive(w, i));
        assert_acked(w, (uint64_t)i);
        assert_true(is_writable(w));
    }
    assert_int_equal(w->c->ops->epoch(w->c), 1);
}

/* Returns the time that passed until a CONNECT began. */
static int64_t wait_for_connect(struct world *w)
{
    int64_t wake_us = w->c->ops->wake_us(w->c), waited_us = wake_us - w->now_us;

    assert_true(wake_us > w->now_us);
    tend_after(w, waited_us - 1);
    assert_false(jobs.runs);
    tend_after(w, 1);
    assert_int_equal(jobs.job.kind, PG_JOB_CONNECT);
    return waited_us;
}

UNIT_TEST(it_connects_again_ever_more_slowly)
{
    struct world *w = *state;
    int64_t most_us = CARRIER_PG_RETRY_MIN_US;

    tend_after(w, 0);
    for (int i = 0; i < 10; i++) {
        int64_t waited_us;

        fail_job(w, ERR_AWAY, false);
        assert_true(is_away(w));
        waited_us = wait_for_connect(w);
        assert_true(waited_us >= most_us / 2 && waited_us < most_us);
        most_us = 2 * most_us < CARRIER_PG_RETRY_MAX_US ? 2 * most_us : CARRIER_PG_RETRY_MAX_US;
    }
    assert_string_equal(fault(w), ""); /* the sender tells that the peer is silent */
    assert_string_equal(w->c->last.text, "PostgreSQL on db: a reason");
    succeed(w, alive(w, 0));
    assert_string_equal(w->c->last.text, "");
    assert_int_equal(push_records(w, 1, 1), 0);
    fail_job(w, ERR_AWAY, false); /* a connection alone does not make it impatient again */
    assert_true(wait_for_connect(w) >= CARRIER_PG_RETRY_MAX_US / 2);
    succeed(w, alive(w, 0));
    assert_int_equal(w->c->ops->epoch(w->c), 2);
    assert_int_equal(push_records(w, 1, 1), 0);
    end_job(w, (struct pg_outcome){.is_open = true});
    assert_int_equal(push_records(w, 2, 1), 0);
    fail_job(w, ERR_AWAY, false);
    assert_true(wait_for_connect(w) < CARRIER_PG_RETRY_MIN_US);
}

UNIT_TEST(a_push_that_fails_on_an_open_connection_is_sent_again_later)
{
    struct world *w = *state;

    connect_carrier(w);
    assert_int_equal(push_records(w, 1, 1), 0);
    fail_job(w, ERR_FULL, true);
    assert_int_equal(w->c->ops->epoch(w->c), 2);
    assert_true(is_away(w));
    assert_false(is_writable(w));
    assert_string_equal(fault(w), "the database has no room");
    tend_after(w, w->c->ops->wake_us(w->c) - w->now_us);
    assert_false(jobs.runs);
    assert_true(is_writable(w));
    assert_string_equal(fault(w), "the database has no room"); /* it was not tried yet */
    tend_after(w, CARRIER_PG_PING_US);
    succeed(w, alive(w, 0));
    assert_string_equal(fault(w), "the database has no room");
    assert_int_equal(push_records(w, 1, 1), 0);
    end_job(w, (struct pg_outcome){.is_open = true});
    assert_string_equal(fault(w), "");
}

UNIT_TEST(a_registration_that_fails_is_tried_again)
{
    struct world *w = *state;

    connect_carrier(w);
    tend_after(w, CARRIER_PG_PING_US);
    fail_job(w, ERR_BUSY, true);
    assert_int_equal(w->c->ops->epoch(w->c), 1);
    assert_true(is_away(w));
    tend_after(w, CARRIER_PG_RETRY_MIN_US);
    assert_int_equal(jobs.job.kind, PG_JOB_REGISTER);
    succeed(w, alive(w, 0));
    assert_false(is_away(w));
    assert_int_equal(w->c->ops->wake_us(w->c), w->now_us + CARRIER_PG_PING_US);
}

UNIT_TEST(it_tells_at_once_that_nothing_waits_any_more)
{
    struct world *w = *state;

    w->c->waiting = 7;
    connect_carrier(w);
    tend_after(w, 0);
    assert_false(jobs.runs);
    w->c->waiting = 0;
    tend_after(w, 0);
    assert_int_equal(jobs.job.kind, PG_JOB_REGISTER);
    assert_int_equal(jobs.job.waiting, 0);
    succeed(w, alive(w, 0));
    tend_after(w, 0);
    assert_false(jobs.runs);
}

UNIT_TEST(it_says_why_the_database_is_of_no_use)
{
    static const struct {
        int rc;
        const char *text;
    } table[] = {
        {ERR_VERSION, "the database has the tables of a newer drainwatch"},
        {ERR_INPUT, "the database refuses this program"},
        {ERR_IO, "the database takes no records"},
        {ERR_NOMEM, ""},
    };
    struct world *w = *state;

    tend_after(w, 0);
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        fail_job(w, table[i].rc, false);
        assert_string_equal(fault(w), table[i].text);
        wait_for_connect(w);
    }
}

UNIT_TEST(it_says_that_no_alerter_is_active)
{
    struct world *w = *state;
    struct pg_known same;

    connect_carrier(w);
    same = alive(w, 0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(idle_us(w), 0);
        tend_after(w, CARRIER_PG_PING_US);
        succeed(w, same);
    }
    assert_int_equal(idle_us(w) / TIME_S, 10);
    assert_true(is_writable(w)); /* one that comes finds the records in the database */
    tend_after(w, CARRIER_PG_PING_US);
    succeed(w, alive(w, 0));
    assert_int_equal(idle_us(w), 0);
    w->now_us += TIME_MINUTE;
    tend_after(w, 0);
    fail_job(w, ERR_AWAY, false); /* the alerter could not beat meanwhile, either */
    wait_for_connect(w);
    succeed(w, same);
    assert_int_equal(idle_us(w), 0);
}

UNIT_TEST(it_sends_nothing_while_the_inbox_is_full)
{
    struct world *w = *state;
    struct pg_known full;

    connect_carrier(w);
    full = alive(w, 9);
    full.is_full = true;
    tend_after(w, CARRIER_PG_PING_US);
    succeed(w, full);
    assert_acked(w, 9);
    assert_true(is_away(w));
    assert_int_equal(push_records(w, 10, 1), ERR_FULL);
    assert_string_equal(fault(w), "the database's inbox is full, because the alerter is behind");
    assert_int_equal(w->c->ops->wake_us(w->c), w->now_us + CARRIER_PG_FULL_US);
    tend_after(w, CARRIER_PG_FULL_US);
    succeed(w, alive(w, 9));
    assert_true(is_writable(w));
    assert_string_equal(fault(w), "");
}

/* Another ingest has put records 4 … 9 into the database. */
UNIT_TEST(it_sends_nothing_to_a_database_that_was_moved)
{
    struct world *w = *state;
    struct pg_known moved;

    connect_carrier(w);
    moved = alive(w, 9);
    moved.is_moved = true;
    for (int i = 0; i < 3; i++) { /* no alerter is active there any more */
        tend_after(w, CARRIER_PG_PING_US);
        succeed(w, moved);
    }
    assert_true(is_away(w));
    assert_int_equal(push_records(w, 10, 1), ERR_FULL);
    assert_string_equal(fault(w), "what the database kept was moved to another place");
    assert_int_equal(idle_us(w), 0);
}

UNIT_TEST(a_push_that_comes_after_the_move_is_kept)
{
    struct world *w = *state;
    struct pg_known moved;
    uint64_t epoch;

    connect_carrier(w);
    assert_acked(w, 0);
    epoch = w->c->ops->epoch(w->c);
    assert_int_equal(push_records(w, 1, 3), 0);
    moved = alive(w, 0);
    moved.is_moved = true;
    succeed(w, moved);
    assert_acked(w, 0);
    assert_true(w->c->ops->epoch(w->c) > epoch);
    assert_true(is_away(w));
    assert_string_equal(fault(w), "what the database kept was moved to another place");
    tend_after(w, CARRIER_PG_PING_US); /* the move broke off */
    succeed(w, alive(w, 0));
    assert_false(is_away(w));
}

UNIT_TEST(a_push_builds_on_what_came_another_way)
{
    struct world *w = *state;

    tend_after(w, 0);
    succeed(w, alive(w, 3));
    assert_acked(w, 3);
    w->c->acked = 9;
    assert_int_equal(push_records(w, 10, 1), 0);
    assert_int_equal(jobs.job.acked, 9);
    succeed(w, alive(w, 3)); /* a failover has lost them */
    assert_acked(w, 3);
    assert_int_equal(push_records(w, 4, 7), 0);
    assert_int_equal(jobs.job.acked, 3);
    succeed(w, alive(w, 3));
    assert_acked(w, 10);
}

UNIT_TEST(what_comes_another_way_meanwhile_is_not_lost)
{
    struct world *w = *state;

    connect_carrier(w);
    assert_acked(w, 0);
    assert_int_equal(push_records(w, 1, 3), 0);
    w->c->acked = 9;
    succeed(w, alive(w, 0));
    assert_acked(w, 9);
    tend_after(w, CARRIER_PG_PING_US);
    w->c->acked = 12;
    succeed(w, alive(w, 9));
    assert_acked(w, 12);
    tend_after(w, CARRIER_PG_PING_US);
    succeed(w, alive(w, 9));
    assert_acked(w, 9);
}

UNIT_TEST(acks_bring_the_alerters_words)
{
    struct world *w = *state;
    struct pg_known known = {.have = 3, .refused = "too new", .trouble = "2 alerts kept"};
    struct wire_ack ack;

    tend_after(w, 0);
    succeed(w, known);
    assert_true(take_ack(w, &ack));
    assert_string_equal(ack.refused, "too new");
    assert_string_equal(ack.trouble, "2 alerts kept");
}

UNIT_TEST(without_memory_it_waits)
{
    struct world *w = *state;

    jobs.refuses = ERR_NOMEM;
    tend_after(w, 0);
    assert_true(w->c->ops->wake_us(w->c) > w->now_us);
    jobs.refuses = 0;
    tend_after(w, CARRIER_PG_RETRY_MIN_US);
    succeed(w, alive(w, 0));
    jobs.refuses = ERR_NOMEM;
    assert_int_equal(push_records(w, 1, 1), ERR_NOMEM);
    assert_true(is_writable(w));
}

UNIT_TEST(a_goodbye_says_at_the_end_what_is_left)
{
    struct world *w = *state;
    struct wire_push push = {.goodbye = true};

    connect_carrier(w);
    assert_int_equal(w->c->ops->send(w->c, &push, (struct wire_bytes){NULL, 0}), 0);
    w->c->waiting = 3;
    w->c->ops->close(w->c);
    assert_int_equal(jobs.closed, 2);
    assert_int_equal(jobs.left, 3);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(it_registers_before_it_sends),
        TEST(one_push_is_in_flight_and_its_commit_is_the_ack),
        TEST(a_push_without_records_costs_the_database_nothing),
        TEST(it_registers_every_five_seconds),
        TEST(it_connects_again_ever_more_slowly),
        TEST(a_push_that_fails_on_an_open_connection_is_sent_again_later),
        TEST(a_registration_that_fails_is_tried_again),
        TEST(it_tells_at_once_that_nothing_waits_any_more),
        TEST(it_says_why_the_database_is_of_no_use),
        TEST(it_says_that_no_alerter_is_active),
        TEST(it_sends_nothing_while_the_inbox_is_full),
        TEST(it_sends_nothing_to_a_database_that_was_moved),
        TEST(a_push_that_comes_after_the_move_is_kept),
        TEST(a_push_builds_on_what_came_another_way),
        TEST(what_comes_another_way_meanwhile_is_not_lost),
        TEST(acks_bring_the_alerters_words),
        TEST(without_memory_it_waits),
        TEST(a_goodbye_says_at_the_end_what_is_left),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
