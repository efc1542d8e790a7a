/* The lease in virtual time: when a standby takes it, and that no two alerters may ever post, held
 * against a random run of paused processes, slow statements and broken connections. */
#include "tests/unit/unit.h"

#include "common/lease/lease.h"

#include <stdlib.h>
#include <string.h>

/* ---- One standby ---- */

/* Polls each LEASE_POLL_US, answered after `wait_us`, until it may take the lease or `end_us`.
 * Returns the time of the last answer. */
static int64_t watch_until(struct lease_watch *w, struct lease_seen seen, int64_t from_us,
                           int64_t wait_us, int64_t end_us, bool *takes)
{
    *takes = false;
    for (int64_t t = from_us; t < end_us && !*takes; t += LEASE_POLL_US + wait_us) {
        seen.sent_us = t;
        seen.answered_us = t + wait_us;
        *takes = lease_watch_see(w, &seen);
        from_us = seen.answered_us;
    }
    return from_us;
}

UNIT_TEST(a_released_lease_is_taken_at_once)
{
    const struct lease_seen seen = {.sent_us = 5, .answered_us = 6, .epoch = 3, .is_held = false};
    struct lease_watch w;

    lease_watch_begin(&w);
    assert_true(lease_watch_see(&w, &seen));
}

UNIT_TEST(a_closed_connection_is_waited_for_a_second)
{
    struct lease_watch w;
    bool takes;
    int64_t at;

    lease_watch_begin(&w);
    at = watch_until(&w, (struct lease_seen){.epoch = 1, .is_held = true, .is_gone = true}, 0,
                     TIME_MS, TIME_MINUTE, &takes);
    assert_true(takes);
    assert_true(at > LEASE_GONE_US && at < LEASE_GONE_US + 2 * LEASE_POLL_US);
}

UNIT_TEST(a_holder_that_connects_again_keeps_its_lease)
{
    struct lease_seen seen = {.epoch = 1, .beat = 7, .is_held = true, .is_gone = true};
    struct lease_watch w;
    bool takes;
    int64_t at;

    lease_watch_begin(&w);
    at = watch_until(&w, seen, 0, TIME_MS, 900 * TIME_MS, &takes);
    assert_false(takes);
    seen.is_gone = false;
    seen.beat = 8;
    at = watch_until(&w, seen, at, TIME_MS, at + TIME_S, &takes);
    assert_false(takes);
    seen.is_gone = true; /* counts anew */
    at = watch_until(&w, seen, at, TIME_MS, at + 900 * TIME_MS, &takes);
    assert_false(takes);
}

UNIT_TEST(a_silent_holder_is_waited_for_five_seconds)
{
    struct lease_watch w;
    bool takes;
    int64_t at;

    lease_watch_begin(&w);
    at = watch_until(&w, (struct lease_seen){.epoch = 1, .is_held = true}, 0, TIME_MS, TIME_MINUTE,
                     &takes);
    assert_true(takes);
    assert_true(at > LEASE_SILENT_US && at < LEASE_SILENT_US + 2 * LEASE_POLL_US);
}

UNIT_TEST(a_standby_that_slept_asks_ten_times_again)
{
    struct lease_seen seen = {.epoch = 1, .is_held = true};
    struct lease_watch w;
    bool takes;

    lease_watch_begin(&w);
    assert_false(lease_watch_see(&w, &seen));
    seen.sent_us = seen.answered_us = TIME_MINUTE;
    for (int i = 2; i < LEASE_SILENT_POLLS; i++)
        assert_false(lease_watch_see(&w, &seen));
    takes = lease_watch_see(&w, &seen);
    assert_true(takes);
}

/* With a database that needs `wait_us` for each statement a holder is silent for a few of them. */
static int64_t taken_after(int64_t wait_us)
{
    struct lease_watch w;
    bool takes;
    int64_t at;

    lease_watch_begin(&w);
    at = watch_until(&w, (struct lease_seen){.epoch = 1, .is_held = true}, 0, wait_us, TIME_MINUTE,
                     &takes);
    assert_true(takes);
    return at;
}

UNIT_TEST(a_slow_database_is_not_a_dead_holder)
{
    assert_in_range(taken_after(500 * TIME_MS), 5 * TIME_S, 8500 * TIME_MS);
    assert_in_range(taken_after(TIME_S), 10 * TIME_S, 15 * TIME_S);
    assert_in_range(taken_after(4 * TIME_S), 40 * TIME_S, 51 * TIME_S);
}

UNIT_TEST(one_slow_answer_counts_for_ten_polls)
{
    struct lease_seen seen = {.epoch = 1, .is_held = true};
    struct lease_watch w;
    bool takes;
    int64_t at;

    lease_watch_begin(&w);
    at = watch_until(&w, seen, 0, TIME_MS, 4 * TIME_S, &takes);
    at = watch_until(&w, seen, at, 4 * TIME_S, at + 1, &takes);
    assert_false(takes);
    at = watch_until(&w, seen, at, TIME_MS, TIME_MINUTE, &takes);
    assert_true(takes);
    assert_in_range(at, 10 * TIME_S, 11 * TIME_S);
}

UNIT_TEST(a_holder_posts_until_its_time_is_over)
{
    struct lease_hold h;

    lease_prove(&h, 100);
    assert_true(lease_may_post(&h, 100 + LEASE_POST_US - 1));
    assert_false(lease_may_post(&h, 100 + LEASE_POST_US));
    assert_int_equal(lease_beat_due_us(&h), 100 + LEASE_BEAT_US);
}

/* ---- Several alerters, one database ----
 *
 * A millisecond at a time. A statement reaches the server after a while and its answer comes after
 * another one; the server goes on while a process is paused. Which process may post is asked after
 * each millisecond. */

enum { ALERTERS = 3, RUN_MS = 90 * 1000, RUNS = 150 };

enum kind { NOTHING, POLL, TAKE, BEAT, CONNECT };

struct alerter {
    int64_t clock_us; /* its own */
    int64_t paused_until;
    int64_t stalled_until; /* its clock stands, while it is a standby */
    int connection;        /* 0: none */
    int64_t closed_at;     /* when it hears that the server closed it, 0: open */
    struct lease_watch watch;
    struct lease_hold hold;
    int64_t epoch; /* 0: stands by */
    int64_t poll_at;
    enum kind doing; /* the statement under way */
    int64_t sent_us;
    int64_t runs_at;
    int64_t answers_at;
    bool has_run;
    bool succeeded;
    struct lease_seen seen;
};

struct world {
    unsigned seed;
    unsigned slow_ms; /* that each statement needs at the server */
    int64_t now;      /* ms */
    struct alerter alerters[ALERTERS];
    int connections;    /* so far */
    int live[ALERTERS]; /* the open connection of each */
    int64_t epoch;
    int64_t beat;
    bool is_held;
    int holder; /* its connection */
    int takes;
    int64_t posts; /* milliseconds in which somebody might post */
};

static unsigned below(struct world *w, unsigned n)
{
    w->seed = w->seed * 1664525u + 1013904223u;
    return (w->seed >> 8) % n;
}

static bool once_in(struct world *w, unsigned ms)
{
    return below(w, ms) == 0;
}

/* Mostly quick, at times up to several seconds. */
static int64_t some_delay(struct world *w)
{
    if (once_in(w, 40))
        return 1 + below(w, 6000);
    return 1 + below(w, once_in(w, 10) ? 400 : 4);
}

static bool is_live(const struct world *w, int connection)
{
    for (int i = 0; i < ALERTERS; i++)
        if (connection != 0 && w->live[i] == connection)
            return true;
    return false;
}

static void send(struct world *w, struct alerter *a, enum kind kind)
{
    a->doing = kind;
    a->sent_us = a->clock_us;
    a->runs_at = w->now + some_delay(w) + (w->slow_ms == 0 ? 0 : below(w, w->slow_ms));
    a->answers_at = a->runs_at + some_delay(w);
    a->has_run = a->succeeded = false;
    a->poll_at = w->now + LEASE_POLL_US / TIME_MS;
}

/* What the server does with the statement. */
static void run(struct world *w, struct alerter *a, int index)
{
    a->has_run = true;
    if (a->doing == CONNECT) {
        w->live[index] = a->connection = ++w->connections;
        a->closed_at = 0;
    } else if (!is_live(w, a->connection)) {
        return;
    }
    switch (a->doing) {
    case POLL:
        a->seen = (struct lease_seen){.epoch = w->epoch,
                                      .beat = w->beat,
                                      .is_held = w->is_held,
                                      .is_gone = !is_live(w, w->holder)};
        a->succeeded = true;
        break;
    case TAKE:
        a->succeeded = w->epoch == a->watch.epoch && w->beat == a->watch.beat;
        if (!a->succeeded)
            break;
        w->epoch++;
        w->beat = 0;
        w->is_held = true;
        w->holder = a->connection;
        w->takes++;
        break;
    case BEAT:
        a->succeeded = w->epoch == a->epoch;
        if (a->succeeded) {
            w->beat++;
            w->holder = a->connection;
        }
        break;
    case CONNECT:
    case NOTHING:
        a->succeeded = true;
    }
}

static void stand_by(struct alerter *a)
{
    a->epoch = 0;
    lease_watch_begin(&a->watch);
}

static void take_answer(struct world *w, struct alerter *a)
{
    const enum kind kind = a->doing;

    a->doing = NOTHING;
    if (kind == POLL) {
        a->seen.sent_us = a->sent_us;
        a->seen.answered_us = a->clock_us;
        if (lease_watch_see(&a->watch, &a->seen))
            send(w, a, TAKE);
    } else if (kind == TAKE && a->succeeded) {
        a->epoch = a->watch.epoch + 1;
        lease_prove(&a->hold, a->sent_us);
    } else if (kind == TAKE) {
        stand_by(a);
    } else if (kind == BEAT && a->succeeded) {
        lease_prove(&a->hold, a->sent_us);
    } else if (kind == BEAT) {
        stand_by(a);
    } else if (kind == CONNECT && a->epoch != 0) {
        send(w, a, BEAT);
    } else if (kind == CONNECT) {
        lease_watch_begin(&a->watch);
    }
}

/* One millisecond of a process that is not paused. */
static void act(struct world *w, struct alerter *a)
{
    if (a->closed_at != 0 && a->closed_at <= w->now) {
        a->connection = 0;
        a->closed_at = 0;
        a->doing = NOTHING;
    }
    if (a->doing != NOTHING) {
        if (a->has_run && a->answers_at <= w->now && (a->doing == CONNECT || a->closed_at == 0))
            take_answer(w, a);
    } else if (a->connection == 0) {
        send(w, a, CONNECT);
    } else if (a->epoch == 0 && a->poll_at <= w->now) {
        send(w, a, POLL);
    } else if (a->epoch != 0 && (a->clock_us >= lease_beat_due_us(&a->hold) ||
                                 (!lease_may_post(&a->hold, a->clock_us) && once_in(w, 200)))) {
        send(w, a, BEAT);
    }
}

static void trouble(struct world *w, struct alerter *a, int index)
{
    if (once_in(w, 15000))
        a->paused_until = w->now + below(w, once_in(w, 2) ? 2000 : 15000);
    if (once_in(w, 20000))
        a->stalled_until = w->now + below(w, 8000);
    if (once_in(w, 10000) &&
        w->live[index] != 0) { /* heard of at once, or late if the net is cut */
        w->live[index] = 0;
        a->closed_at = w->now + 1 + (once_in(w, 3) ? below(w, 10000) : 0);
    }
    if (a->epoch != 0 && a->doing == NOTHING && once_in(w, 30000)) {
        w->is_held = w->epoch == a->epoch ? false : w->is_held;
        stand_by(a);
    }
}

static int may_post(const struct world *w)
{
    int n = 0;

    for (int i = 0; i < ALERTERS; i++)
        n += w->alerters[i].epoch != 0 &&
             lease_may_post(&w->alerters[i].hold, w->alerters[i].clock_us);
    return n;
}

static void one_millisecond(struct world *w)
{
    w->now++;
    for (int i = 0; i < ALERTERS; i++) {
        struct alerter *a = &w->alerters[i];

        trouble(w, a, i);
        if (a->epoch != 0 || a->stalled_until <= w->now)
            a->clock_us += TIME_MS;
        if (a->doing != NOTHING && !a->has_run && a->runs_at <= w->now)
            run(w, a, i);
        if (a->paused_until <= w->now)
            act(w, a);
    }
}

static void run_world(struct world *w)
{
    const unsigned seed = w->seed;

    for (int i = 0; i < ALERTERS; i++)
        w->alerters[i].clock_us = below(w, 1000000) * TIME_MS;
    while (w->now < RUN_MS) {
        one_millisecond(w);
        if (may_post(w) > 1)
            fail_msg("seed %u: two may post after %lld ms", seed, (long long)w->now);
        w->posts += may_post(w);
    }
}

UNIT_TEST(never_two_may_post)
{
    int takes = 0;
    int64_t posts = 0;

    for (unsigned seed = 1; seed <= RUNS; seed++) {
        struct world w = {.seed = seed};

        run_world(&w);
        takes += w.takes;
        posts += w.posts;
    }
    assert_true(takes > 5 * RUNS);
    assert_true(posts > (int64_t)RUNS * RUN_MS / 3);
}

UNIT_TEST(never_two_may_post_over_a_slow_database)
{
    int takes = 0;

    for (unsigned seed = 1; seed <= RUNS; seed++) {
        struct world w = {.seed = seed, .slow_ms = 500 + 20 * seed};

        run_world(&w);
        takes += w.takes;
    }
    assert_true(takes > 2 * RUNS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_released_lease_is_taken_at_once),
        cmocka_unit_test(a_closed_connection_is_waited_for_a_second),
        cmocka_unit_test(a_holder_that_connects_again_keeps_its_lease),
        cmocka_unit_test(a_silent_holder_is_waited_for_five_seconds),
        cmocka_unit_test(a_standby_that_slept_asks_ten_times_again),
        cmocka_unit_test(a_slow_database_is_not_a_dead_holder),
        cmocka_unit_test(one_slow_answer_counts_for_ten_polls),
        cmocka_unit_test(a_holder_posts_until_its_time_is_over),
        cmocka_unit_test(never_two_may_post),
        cmocka_unit_test(never_two_may_post_over_a_slow_database),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
