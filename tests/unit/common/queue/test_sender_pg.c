/* The sender over a real PostgreSQL: the real journal, carrier and thread. The alerter's part is
 * SQL. */
#include "tests/unit/database.h"
#include "tests/unit/scratch.h"

#include "common/app/clock.h"
#include "common/base/time.h"
#include "common/pg/pg.h"
#include "common/queue/carrier_pg.h"
#include "common/queue/sender.h"

#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#define SCHEMA "test_sender_pg"
#define DEADLINE_US (60 * TIME_S)

struct world {
    struct scratch scratch;
    struct journal *journal;
    struct sender *sender;
    const char *url;
    int64_t inbox_max_bytes;
    struct err err;
};

static int64_t now_us(void)
{
    return clock_boot_us();
}

static void start_ingest(struct world *w)
{
    const struct pg_jobs_options options = {
        .url = w->url, .schema = SCHEMA, .name = "web.7", .inbox_max_bytes = w->inbox_max_bytes};
    struct journal_options journal = {.exclusive = true};
    char path[512], set_aside[512];
    struct carrier *c;

    journal.path = scratch_path(&w->scratch, "spool", path);
    OK(w, journal_open(&journal, &w->journal, set_aside, &w->err));
    OK(w, carrier_pg_open(&options, &c, &w->err));
    OK(w, sender_open(c, w->journal, 1 << 20, now_us(), &w->sender, &w->err));
}

static void stop_ingest(struct world *w)
{
    sender_close(w->sender);
    journal_close(w->journal);
    w->sender = NULL;
    w->journal = NULL;
}

static int setup(void **state)
{
    static struct world w;
    const struct pg_options options = {
        .url = database_url(), .schema = SCHEMA, .program = "test_sender_pg"};
    struct pg *p;

    database_drop_schema(SCHEMA);
    w = (struct world){.url = database_url(), .inbox_max_bytes = 64 << 20};
    OK(&w, scratch_make(&w.scratch));
    OK(&w, pg_open(&options, &p, &w.err));
    pg_close(p);
    *state = &w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;

    stop_ingest(w);
    scratch_remove(&w->scratch);
    database_drop_schema(SCHEMA);
    return 0;
}

static void deliver(struct world *w, size_t n)
{
    OK(w, journal_begin(w->journal, &w->err));
    for (size_t i = 0; i < n; i++) {
        struct wire_record record = {.received_us = 1, .drain = "d", .frame_id = "", .lines = 1};

        OK(w, sender_append(w->sender, &record, &w->err));
    }
    OK(w, sender_trim(w->sender, &w->err));
    OK(w, journal_commit(w->journal, &w->err));
    OK(w, sender_push(w->sender, now_us(), &w->err));
}

/* Waits as ingest does. */
static void turn(struct world *w)
{
    int64_t wait_us = sender_wake_us(w->sender) - now_us();
    struct pollfd fd = {.fd = sender_fd(w->sender), .events = POLLIN};

    wait_us = wait_us < 0 || sender_pending(w->sender) ? 0 : wait_us;
    wait_us = wait_us > 20 * TIME_MS ? 20 * TIME_MS : wait_us;
    poll(&fd, 1, (int)((wait_us + 999) / 1000));
    OK(w, sender_receive(w->sender, now_us(), &w->err));
    if (sender_trim_due(w->sender, now_us()))
        deliver(w, 0);
    OK(w, sender_timer(w->sender, now_us(), &w->err));
}

#define UNTIL(w, condition)                                                                        \
    do {                                                                                           \
        int64_t end_us_ = now_us() + DEADLINE_US;                                                  \
        while (!(condition) && now_us() < end_us_)                                                 \
            turn(w);                                                                               \
        assert_true(condition);                                                                    \
    } while (0)

static struct sender_health health(struct world *w)
{
    struct sender_health h;

    sender_health(w->sender, now_us(), &h);
    return h;
}

static bool says(struct world *w, const char *words)
{
    struct sender_health h = health(w);

    return strstr(h.reason, words) != NULL;
}

static long long count(const char *what)
{
    return atoll(database_sql("SELECT %s", what));
}

/* How many of the positions 1 … n no push in the inbox brings. */
static long long count_missing(int n)
{
    return atoll(database_sql("SELECT count(*) FROM generate_series(1, %d) p WHERE NOT EXISTS"
                              " (SELECT FROM " SCHEMA ".inbox WHERE p BETWEEN"
                              " first & (1::bigint << 40) - 1 AND last & (1::bigint << 40) - 1)",
                              n));
}

/* How many pushes follow neither the one before nor are their sender's oldest. */
static long long count_holes(void)
{
    return count("count(*) FROM (SELECT first, oldest, lag(last) OVER (PARTITION BY sender ORDER BY"
                 " last) AS before FROM " SCHEMA ".inbox) i WHERE first > before + 1"
                 " AND first <> oldest");
}

static void end_backends(void)
{
    database_sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                 " WHERE application_name = 'drainwatch-ingest'");
}

/* ---- tests ---- */

UNIT_TEST(the_commit_is_the_ack)
{
    const struct pg_options listener = {
        .url = database_url(), .schema = SCHEMA, .program = "test_sender_pg", .listen = true};
    struct world *w = *state;
    struct pg *p;

    OK(w, pg_open(&listener, &p, &w->err));
    start_ingest(w);
    assert_true(sender_is_late(w->sender, now_us()));
    deliver(w, 3);
    UNTIL(w, sender_is_safe(w->sender, 3));
    assert_false(sender_is_late(w->sender, now_us()));
    assert_true(health(w).ok);
    assert_int_equal(count_missing(3), 0);
    assert_int_equal(count("count(*) FROM " SCHEMA ".inbox"), 1);
    assert_true(poll(&(struct pollfd){.fd = pg_fd(p), .events = POLLIN}, 1, 10000) == 1);
    assert_true(pg_notified(p));
    assert_string_equal(database_sql("SELECT name || goodbye FROM " SCHEMA ".ingests"),
                        "web.7false");
    pg_close(p);
}

UNIT_TEST(what_comes_meanwhile_makes_the_next_push_larger)
{
    struct world *w = *state;

    start_ingest(w);
    UNTIL(w, health(w).ok);
    for (int i = 0; i < 2000; i++)
        deliver(w, 5);
    UNTIL(w, sender_waiting(w->sender) == 0);
    assert_int_equal(count_missing(10000), 0);
    assert_int_equal(count_holes(), 0);
    assert_in_range(count("count(*) FROM " SCHEMA ".inbox"), 10, 1900);
}

UNIT_TEST(connections_that_end_lose_nothing)
{
    struct world *w = *state;

    start_ingest(w);
    for (int i = 0; i < 15; i++) {
        for (int k = 0; k < 40; k++) {
            deliver(w, 1 + (size_t)(k % 7));
            if (k % 8 == i % 8)
                turn(w);
        }
        end_backends();
    }
    UNTIL(w, sender_waiting(w->sender) == 0);
    assert_int_equal(count_missing((int)sender_last(w->sender)), 0);
    assert_int_equal(count_holes(), 0);
}

UNIT_TEST(starts_of_ingest_follow_each_other)
{
    struct world *w = *state;

    for (int i = 0; i < 5; i++) {
        start_ingest(w);
        deliver(w, 30);
        for (int k = 0; k < i; k++)
            turn(w);
        stop_ingest(w);
    }
    start_ingest(w);
    deliver(w, 1);
    UNTIL(w, sender_waiting(w->sender) == 0);
    assert_int_equal(count_missing(151), 0);
    assert_int_equal(count_holes(), 0);
    assert_int_equal(count("count(*) FROM " SCHEMA ".ingests"), 1);
}

UNIT_TEST(it_hears_what_the_alerter_took)
{
    struct world *w = *state;

    start_ingest(w);
    deliver(w, 50);
    UNTIL(w, sender_waiting(w->sender) == 0);
    stop_ingest(w);
    database_sql("INSERT INTO " SCHEMA ".senders SELECT sender, max(last), 1, 'no such version'"
                 " FROM " SCHEMA ".inbox GROUP BY sender;"
                 "DELETE FROM " SCHEMA ".inbox;"
                 "UPDATE " SCHEMA ".lease SET trouble = '3 alerts kept'");
    start_ingest(w);
    UNTIL(w, says(w, "the alerter refuses: no such version"));
    database_sql("UPDATE " SCHEMA ".senders SET refused = ''");
    end_backends(); /* sooner than the next registration */
    deliver(w, 1);
    UNTIL(w, health(w).ok);
    assert_string_equal(health(w).trouble, "3 alerts kept");
    UNTIL(w, sender_waiting(w->sender) == 0);
    assert_int_equal(count("count(*) FROM " SCHEMA ".inbox"), 1);
}

/* Cuts the only TCP connection of this process; the server does not notice before it answers. */
static void cut(void)
{
    for (int fd = 3; fd < 256; fd++) {
        struct sockaddr_in peer;
        socklen_t size = sizeof peer;

        if (getpeername(fd, (struct sockaddr *)&peer, &size) == 0 && peer.sin_family == AF_INET)
            shutdown(fd, SHUT_RDWR);
    }
}

/* The push is committed while it is sent again. */
UNIT_TEST(a_commit_after_a_lost_answer)
{
    struct world *w = *state;

    start_ingest(w);
    UNTIL(w, health(w).ok);
    database_sql("SET search_path = " SCHEMA ";"
                 "CREATE SEQUENCE pushes; GRANT ALL ON pushes TO drainwatch;"
                 "CREATE FUNCTION doze() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN"
                 " IF nextval(''pushes'') = 1 THEN PERFORM pg_sleep(2); END IF; RETURN NEW; END';"
                 "CREATE TRIGGER doze AFTER INSERT ON inbox FOR EACH ROW EXECUTE FUNCTION doze()");
    deliver(w, 3);
    UNTIL(w, count("last_value FROM " SCHEMA ".pushes WHERE is_called") == 1);
    cut();
    UNTIL(w, sender_is_late(w->sender, now_us()));
    UNTIL(w, sender_waiting(w->sender) == 0);
    assert_int_equal(count("last_value FROM " SCHEMA ".pushes"), 1); /* the first one came there */
    assert_int_equal(count_missing(3), 0);
    assert_int_equal(count("count(*) FROM " SCHEMA ".inbox"), 1);
}

UNIT_TEST(a_locked_inbox_delays_only)
{
    struct world *w = *state;
    PGconn *other = PQconnectdb(getenv("DRAINWATCH_TEST_SUPERUSER_URL"));
    int64_t end_us = now_us() + 3 * TIME_S;

    start_ingest(w);
    UNTIL(w, health(w).ok);
    PQclear(PQexec(other, "BEGIN; LOCK TABLE " SCHEMA ".inbox"));
    deliver(w, 3);
    UNTIL(w, now_us() > end_us);
    assert_int_equal(sender_waiting(w->sender), 3);
    PQfinish(other);
    UNTIL(w, sender_waiting(w->sender) == 0);
    assert_int_equal(count_missing(3), 0);
}

UNIT_TEST(a_full_inbox_waits_for_the_alerter)
{
    struct world *w = *state;

    w->inbox_max_bytes = 100 << 10;
    start_ingest(w);
    for (int i = 0; i < 40; i++) {
        deliver(w, 1000);
        UNTIL(w, sender_waiting(w->sender) == 0);
    }
    end_backends(); /* sooner than the next registration */
    deliver(w, 1);
    UNTIL(w, says(w, "the database's inbox is full"));
    deliver(w, 10);
    assert_true(sender_is_late(w->sender, now_us()));
    for (int i = 0; i < 50; i++)
        turn(w);
    assert_in_range(sender_waiting(w->sender), 10, 11);
    database_sql("DELETE FROM " SCHEMA ".inbox");
    UNTIL(w, sender_waiting(w->sender) == 0);
    assert_true(health(w).ok);
}

/* As the alerter does, by index. */
static void take_push(void)
{
    database_sql("SET search_path = " SCHEMA "; SET enable_seqscan = off;"
                 "SET enable_bitmapscan = off; SET enable_hashjoin = off;"
                 "SET enable_mergejoin = off;"
                 "WITH d AS (DELETE FROM inbox i USING senders s WHERE i.sender = s.sender"
                 " AND i.last > s.taken RETURNING i.sender, i.last)"
                 "UPDATE senders s SET taken = d.last FROM d WHERE d.sender = s.sender");
}

/* Pages read so far, of the inbox and its index. A session counts its own a second later, or at its
 * end. */
#define PAGES                                                                                      \
    "pg_stat_get_blocks_fetched('" SCHEMA ".inbox'::regclass)"                                     \
    " + pg_stat_get_blocks_fetched('" SCHEMA ".inbox_pkey'::regclass)"

/* The pages that pushes and registrations read. */
static long long pages_read(struct world *w)
{
    long long before = count(PAGES);

    for (int i = 0; i < 20; i++) {
        if (i % 10 == 5)
            end_backends(); /* registers anew */
        if (i == 19)
            usleep(1100000);
        deliver(w, 1);
        UNTIL(w, sender_waiting(w->sender) == 0);
        take_push();
    }
    return count(PAGES) - before;
}

/* As a dump does. */
UNIT_TEST(a_session_that_keeps_deleted_rows_makes_no_push_slow)
{
    struct world *w = *state;
    PGconn *other = PQconnectdb(getenv("DRAINWATCH_TEST_SUPERUSER_URL"));

    start_ingest(w);
    deliver(w, 1);
    UNTIL(w, sender_waiting(w->sender) == 0);
    PQclear(PQexec(other, "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT"));
    database_sql("ALTER TABLE " SCHEMA ".inbox SET (autovacuum_enabled = off);"
                 "INSERT INTO " SCHEMA ".senders SELECT sender, last, 1 FROM " SCHEMA ".inbox;"
                 "INSERT INTO " SCHEMA ".inbox SELECT sender, last - k, last - k, 1, now(), body"
                 " FROM " SCHEMA ".inbox, generate_series(1, 20000) k;"
                 "DELETE FROM " SCHEMA ".inbox");
    UNTIL(w, count(PAGES) > 20000); /* of the rows above */
    assert_in_range(pages_read(w), 1, 1000);
    PQfinish(other);
}

UNIT_TEST(a_database_over_its_plan_takes_nothing)
{
    struct world *w = *state;

    start_ingest(w);
    UNTIL(w, health(w).ok);
    database_sql("REVOKE INSERT ON " SCHEMA ".inbox FROM drainwatch");
    deliver(w, 2);
    UNTIL(w, says(w, "the database refuses this program, 2 deliveries wait"));
    assert_non_null(strstr(health(w).detail, "outgrown its plan"));
    database_sql("GRANT INSERT ON " SCHEMA ".inbox TO drainwatch");
    UNTIL(w, sender_waiting(w->sender) == 0);
    assert_true(health(w).ok);
}

UNIT_TEST(a_new_password_is_said)
{
    struct world *w = *state;

    start_ingest(w);
    UNTIL(w, health(w).ok);
    database_sql("ALTER ROLE drainwatch PASSWORD 'another'");
    end_backends();
    deliver(w, 1);
    UNTIL(w, says(w, "the database refuses this program, 1 delivery waits"));
    assert_non_null(strstr(health(w).detail, "password"));
    database_sql("ALTER ROLE drainwatch PASSWORD 'hush-p@ss/word'");
    UNTIL(w, sender_waiting(w->sender) == 0);
    assert_true(health(w).ok);
}

UNIT_TEST(a_newer_schema_is_said)
{
    struct world *w = *state;

    database_sql("UPDATE " SCHEMA ".about SET version = 9, oldest_build = 9");
    start_ingest(w);
    UNTIL(w, says(w, "the database has the tables of a newer drainwatch"));
    database_sql("UPDATE " SCHEMA ".about SET version = 3, oldest_build = 1");
    UNTIL(w, health(w).ok);
}

UNIT_TEST(a_dropped_schema_is_made_anew)
{
    struct world *w = *state;

    start_ingest(w);
    deliver(w, 5);
    UNTIL(w, sender_waiting(w->sender) == 0);
    database_drop_schema(SCHEMA);
    deliver(w, 5);
    UNTIL(w, health(w).taken_back == 5 && sender_waiting(w->sender) == 0);
    assert_int_equal(count_missing(10), 0);
}

/* `ends`: the failover ends the connection. */
static void lose_commits(struct world *w, bool ends)
{
    start_ingest(w);
    for (int i = 0; i < 20; i++) {
        deliver(w, 10);
        UNTIL(w, sender_waiting(w->sender) == 0);
    }
    database_sql("DELETE FROM " SCHEMA ".inbox WHERE last & (1::bigint << 40) - 1 > 120");
    if (ends)
        end_backends();
    deliver(w, 10);
    UNTIL(w, health(w).taken_back == 80 && sender_waiting(w->sender) == 0);
    assert_int_equal(count_missing(210), 0);
    assert_int_equal(count_holes(), 0);
}

UNIT_TEST(a_failover_that_lost_commits_loses_no_record)
{
    lose_commits(*state, true);
}

/* A pool connects anew by itself. */
UNIT_TEST(a_failover_behind_a_pool_loses_no_record)
{
    struct world *w = *state;

    w->url = database_pool_url();
    lose_commits(w, false);
    assert_true(health(w).is_pooled);
}

/* The next ingest puts the records that wait into the database. */
static void hand_over(struct world *w)
{
    struct buf packed;
    uint64_t last;

    buf_init(&packed, WIRE_MESSAGE_MAX);
    OK(w, sender_pack_next(w->sender, &packed, &last, &w->err));
    OK(w, sender_take_ack(w->sender, last, false, now_us(), &w->err));
    buf_close(&packed);
}

/* A failover loses them at once. */
UNIT_TEST(what_another_ingest_handed_over_leaves_no_hole_behind_a_pool)
{
    struct world *w = *state;

    w->url = database_pool_url();
    start_ingest(w);
    deliver(w, 10);
    UNTIL(w, sender_waiting(w->sender) == 0);
    database_sql("REVOKE INSERT ON " SCHEMA ".inbox FROM drainwatch");
    deliver(w, 5);
    UNTIL(w, health(w).detail[0] != '\0');
    hand_over(w);
    assert_int_equal(sender_waiting(w->sender), 0);
    database_sql("GRANT INSERT ON " SCHEMA ".inbox TO drainwatch");
    deliver(w, 1);
    UNTIL(w, sender_waiting(w->sender) == 0);
    assert_int_equal(count_missing(16), 0);
    assert_int_equal(health(w).taken_back, 5);
}

static const char *count_pushes(void)
{
    return database_sql("SELECT count(*) FROM " SCHEMA ".inbox");
}

/* The push has begun when the move commits. The move takes all that was pushed before it. */
UNIT_TEST(a_database_that_was_moved_takes_no_push)
{
    struct world *w = *state;
    PGconn *mover = PQconnectdb(database_url());
    char pushes[16];

    start_ingest(w);
    deliver(w, 3);
    UNTIL(w, sender_waiting(w->sender) == 0);
    snprintf(pushes, sizeof pushes, "%s", count_pushes());
    PQclear(PQexec(mover, "BEGIN; LOCK TABLE " SCHEMA ".inbox IN SHARE MODE;"
                          "UPDATE " SCHEMA ".lease SET moved = '/srv/state'"));
    deliver(w, 1);
    UNTIL(w, strcmp(database_sql("SELECT count(*) FROM pg_locks WHERE NOT granted"), "1") == 0);
    PQclear(PQexec(mover, "COMMIT"));
    PQfinish(mover);
    UNTIL(w, says(w, "what the database kept was moved to another place, 1 delivery waits"));
    assert_int_equal(health(w).taken_back, 0);
    assert_string_equal(count_pushes(), pushes);
    database_sql("UPDATE " SCHEMA ".lease SET moved = ''");
    UNTIL(w, sender_waiting(w->sender) == 0);
    assert_int_equal(count_missing(4), 0);
}

UNIT_TEST(nobody_there)
{
    struct world *w = *state;
    int64_t start_us;

    w->url = "postgres://u:p@127.0.0.1:1/d";
    start_ingest(w);
    deliver(w, 2);
    UNTIL(w, health(w).detail[0] != '\0');
    assert_non_null(strstr(health(w).reason, "no answer from the database for "));
    assert_non_null(strstr(health(w).detail, "nothing listens there"));
    assert_null(strstr(health(w).reason, "127.0.0.1"));
    start_us = now_us();
    stop_ingest(w);
    assert_true(now_us() - start_us < TIME_S);
}

UNIT_TEST(a_goodbye_is_noted)
{
    struct world *w = *state;

    start_ingest(w);
    deliver(w, 1);
    UNTIL(w, sender_waiting(w->sender) == 0);
    sender_goodbye(w->sender);
    stop_ingest(w);
    assert_int_equal(count("count(*) FROM " SCHEMA ".ingests WHERE goodbye AND waiting = 0"), 1);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_commit_is_the_ack),
        TEST(what_comes_meanwhile_makes_the_next_push_larger),
        TEST(connections_that_end_lose_nothing),
        TEST(starts_of_ingest_follow_each_other),
        TEST(it_hears_what_the_alerter_took),
        TEST(a_commit_after_a_lost_answer),
        TEST(a_locked_inbox_delays_only),
        TEST(a_full_inbox_waits_for_the_alerter),
        TEST(a_session_that_keeps_deleted_rows_makes_no_push_slow),
        TEST(a_database_over_its_plan_takes_nothing),
        TEST(a_new_password_is_said),
        TEST(a_newer_schema_is_said),
        TEST(a_dropped_schema_is_made_anew),
        TEST(a_failover_that_lost_commits_loses_no_record),
        TEST(a_failover_behind_a_pool_loses_no_record),
        TEST(what_another_ingest_handed_over_leaves_no_hole_behind_a_pool),
        TEST(a_database_that_was_moved_takes_no_push),
        TEST(nobody_there),
        TEST(a_goodbye_is_noted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
