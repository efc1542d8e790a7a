/* The storage on PostgreSQL: the fence, lost answers, roles, the inbox, and the rows in the tables.
 */
#include "tests/unit/database.h"

#include "common/base/time.h"
#include "common/lease/lease.h"
#include "common/record/source.h"
#include "common/storage/storage.h"

#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define SCHEMA "test_storage_pg"
#define TABLE(name) SCHEMA "." name

/* An alerter, which never releases the lease by itself. Its time goes on only if a test says so. */
struct alerter {
    struct storage *s;
    int64_t now_us;
    enum storage_role role;
};

static struct err err;
static char set_aside[512];
static const uint8_t sender[WIRE_SENDER_BYTES] = "sender number 1";

#define OK(call)                                                                                   \
    do {                                                                                           \
        if ((call) != 0)                                                                           \
            fail_msg("%s: %s", #call, err.text);                                                   \
    } while (0)

static int setup(void **state)
{
    (void)state;
    database_drop_schema(SCHEMA);
    return 0;
}

static int open_at(const char *url, bool read_only, const char *holder, struct alerter *a)
{
    *a = (struct alerter){.now_us = TIME_HOUR};
    return storage_open(&(struct storage_options){.location = url,
                                                  .schema = SCHEMA,
                                                  .program = "test",
                                                  .holder = holder,
                                                  .read_only = read_only},
                        &a->s, set_aside, &err);
}

static struct alerter open_it(const char *holder)
{
    struct alerter a;

    OK(open_at(database_url(), false, holder, &a));
    return a;
}

static void tend(struct alerter *a, int64_t us)
{
    a->now_us += us;
    OK(storage_tend(a->s, a->now_us, &a->role, &err));
}

/* Lets its time go on in short steps. Real time passes only while it connects. */
static void live(struct alerter *a, int64_t us)
{
    const int64_t end_us = a->now_us + us;

    while (a->now_us < end_us) {
        struct pollfd p = {.fd = storage_fd(a->s), .events = POLLIN};

        tend(a, 10 * TIME_MS);
        if (a->role == STORAGE_AWAY)
            poll(&p, 1, 20);
    }
}

/* Returns how long it took, in its own time. */
static int64_t live_until(struct alerter *a, enum storage_role role)
{
    const int64_t begin_us = a->now_us;

    while (a->role != role && a->now_us - begin_us < 20 * TIME_S)
        live(a, 10 * TIME_MS);
    if (a->role != role)
        fail_msg("the role is %d: %s", (int)a->role, err.text);
    return a->now_us - begin_us;
}

static int64_t become_active(struct alerter *a)
{
    int64_t took_us;

    tend(a, 0);
    took_us = live_until(a, STORAGE_ACTIVE);
    OK(storage_restore(a->s, &err));
    return took_us;
}

static struct alerter open_active(const char *holder)
{
    struct alerter a = open_it(holder);

    become_active(&a);
    return a;
}

static struct alerter open_standby(const char *holder)
{
    struct alerter a = open_it(holder);

    tend(&a, 0);
    live_until(&a, STORAGE_STANDBY);
    OK(storage_restore(a.s, &err));
    return a;
}

static void begin(struct alerter *a)
{
    OK(storage_begin(a->s, &err));
}

static void commit(struct alerter *a)
{
    OK(storage_commit(a->s, &err));
}

static int append(struct alerter *a, enum wire_input input, int64_t step_us, const void *bytes,
                  size_t n)
{
    struct wire_entry entry = {.step_us = step_us, .input = input, .bytes = {bytes, n}};

    return storage_append(a->s, &entry, NULL, &err);
}

static void put_alert(struct alerter *a, const char *channel, int64_t decided_us)
{
    int64_t row;

    OK(a->s->ops->outbox_put(a->s, &(struct storage_turn){channel, "app", "rule"},
                             (struct wire_bytes){(const uint8_t *)"alert", 5}, decided_us, &row,
                             &err));
}

/* All that a turn stores. */
static int turn(struct alerter *a, int64_t n)
{
    int64_t row;
    int rc = storage_begin(a->s, &err);

    if (rc != 0)
        return rc;
    rc = append(a, WIRE_INPUT_RECORD, n, "turn", 4);
    if (rc == 0)
        rc = a->s->ops->put_sequence(a->s, sender, (uint64_t)n, n, &err);
    if (rc == 0)
        rc = a->s->ops->outbox_put(a->s, &(struct storage_turn){"C", "app", "rule"},
                                   (struct wire_bytes){(const uint8_t *)"alert", 5}, n, &row, &err);
    if (rc == 0)
        return storage_commit(a->s, &err);
    storage_rollback(a->s);
    return rc;
}

static int64_t number(const char *expression)
{
    return atoll(database_sql("SELECT %s", expression));
}

static int64_t n_rows(const char *table)
{
    return atoll(database_sql("SELECT count(*) FROM " TABLE("%s"), table));
}

static void assert_stored(int64_t turns)
{
    assert_int_equal(number("max(position) FROM " TABLE("stream")), turns);
    assert_int_equal(number("sum(n) FROM " TABLE("stream")), turns);
    assert_int_equal(number("last FROM " TABLE("lease")), turns);
    assert_int_equal(number("max(taken) FROM " TABLE("senders")), turns);
    assert_int_equal(n_rows("outbox"), turns);
}

struct listing {
    int64_t n;
    int64_t last;
    size_t bytes;
};

static int note_entry(void *ctx, int64_t position, const struct wire_entry *entry,
                      struct wire_bytes raw)
{
    struct listing *l = ctx;

    (void)raw;
    l->n++;
    l->last = position;
    l->bytes += entry->bytes.len;
    for (size_t i = 0; entry->input == WIRE_INPUT_SNAPSHOT && i < entry->bytes.len; i++)
        assert_int_equal(entry->bytes.data[i], (uint8_t)(i * 31 / 7));
    return 0;
}

static struct listing read_from(struct storage *s, int64_t from)
{
    struct listing l = {.n = 0};

    OK(storage_read(s, from, note_entry, &l, &err));
    return l;
}

static void terminate_holder(void)
{
    assert_string_equal(database_sql("SELECT pg_terminate_backend(pid) FROM " TABLE("lease")), "t");
    while (number("count(*) FROM pg_stat_activity a JOIN " TABLE("lease") " l USING (pid)") > 0)
        usleep(1000);
}

/* ---- One active alerter ---- */

UNIT_TEST(a_free_lease_is_taken_at_once)
{
    struct alerter a = open_it("one");

    assert_in_range(become_active(&a), 0, 30 * TIME_MS);
    OK(turn(&a, 1));
    assert_stored(1);
    assert_string_equal(database_sql("SELECT holder || epoch FROM " TABLE("lease")), "one1");
    assert_int_equal(storage_term(a.s)->epoch, 1);
    assert_true(storage_term(a.s)->was_released);
    assert_in_range(storage_term(a.s)->taken_at_us, INT64_C(1700000000) * TIME_S, INT64_MAX);
    storage_close(a.s);
}

UNIT_TEST(an_idle_alerter_beats_once_a_second)
{
    struct alerter a = open_active("one");
    int64_t before = number("beat FROM " TABLE("lease"));

    live(&a, 10 * TIME_S);
    assert_in_range(number("beat FROM " TABLE("lease")) - before, 9, 11);
    storage_close(a.s);
}

/* Sums of what lies in the tables; the lease keeps them as the alerter counted. */
static void assert_sizes(struct alerter *a)
{
    assert_int_equal(a->s->ops->bytes(a->s), number("bytes FROM " TABLE("lease")));
    assert_int_equal(
        number("(SELECT coalesce(sum(octet_length(body)), 0) FROM " TABLE(
            "stream") ")"
                      " + (SELECT coalesce(sum(octet_length(body)), 0) FROM " TABLE("part") ")"),
        a->s->ops->bytes(a->s));
}

static uint8_t *make_snapshot(size_t n)
{
    uint8_t *bytes = malloc(n);

    assert_non_null(bytes);
    for (size_t i = 0; i < n; i++)
        bytes[i] = (uint8_t)(i * 31 / 7);
    return bytes;
}

UNIT_TEST(a_snapshot_lies_in_parts)
{
    const size_t n = (7 << 20) / 2;
    struct alerter a = open_active("one"), reader;
    uint8_t *bytes = make_snapshot(n);
    enum storage_trimmed next = STORAGE_TRIM_MORE;
    int64_t parts;

    for (int k = 1; k <= 2; k++) {
        begin(&a);
        OK(append(&a, WIRE_INPUT_RECORD, k, "before", 6));
        OK(append(&a, WIRE_INPUT_SNAPSHOT, k, bytes, n / (size_t)k));
        OK(append(&a, WIRE_INPUT_RECORD, k, "after", 5));
        commit(&a);
        assert_sizes(&a);
    }
    parts = n_rows("part");
    assert_true(parts > 4 + 2); /* the first ones are small */
    assert_true(number("max(octet_length(body)) FROM " TABLE("part")) <= 1 << 20);
    assert_int_equal(read_from(a.s, 0).bytes, 2 * 11 + n + n / 2);
    OK(open_at(database_url(), true, NULL, &reader));
    assert_int_equal(read_from(reader.s, 0).bytes, 2 * 11 + n + n / 2);
    storage_close(reader.s);
    while (next == STORAGE_TRIM_MORE) {
        begin(&a);
        OK(storage_trim(a.s, TIME_DAY, TIME_MINUTE, INT64_MAX, &next, &err));
        commit(&a);
        assert_sizes(&a);
    }
    assert_in_range(n_rows("part"), 2, parts - 1);
    assert_int_equal(read_from(a.s, 0).bytes, 5 + n / 2);
    free(bytes);
    storage_close(a.s);
}

/* A turn that is rolled back leaves parts behind; the next snapshot may be smaller. */
UNIT_TEST(parts_that_nobody_needs_do_not_count)
{
    const size_t n = 3 << 20;
    struct alerter a = open_active("one");
    uint8_t *bytes = make_snapshot(n);

    begin(&a);
    OK(append(&a, WIRE_INPUT_SNAPSHOT, 1, bytes, n));
    storage_rollback(a.s);
    assert_int_equal(a.s->ops->bytes(a.s), 0);
    assert_true(n_rows("part") > 3);
    OK(storage_restore(a.s, &err));
    assert_int_equal(n_rows("part"), 0);
    begin(&a);
    OK(append(&a, WIRE_INPUT_SNAPSHOT, 1, bytes, n));
    storage_rollback(a.s);
    begin(&a);
    OK(append(&a, WIRE_INPUT_SNAPSHOT, 1, bytes, n / 2));
    commit(&a);
    assert_sizes(&a);
    assert_int_equal(read_from(a.s, 0).bytes, n / 2);
    free(bytes);
    storage_close(a.s);
}

/* Rows of one entry, of many, and larger ones than a page. */
UNIT_TEST(rows_of_all_sizes_are_read_from_any_position)
{
    static uint8_t large[1500000];
    struct alerter a = open_active("one");
    int64_t n = 0;

    for (int k = 0; k < 5; k++) {
        begin(&a);
        for (int i = 0; i < 1 << k; i++, n++)
            OK(append(&a, WIRE_INPUT_RECORD, n, large, k == 4 ? 200000 : 300));
        OK(append(&a, WIRE_INPUT_RECORD, n++, large, sizeof large));
        commit(&a);
    }
    assert_sizes(&a);
    assert_true(n_rows("stream") > 10);
    for (int64_t from = 1; from <= n + 1; from++) {
        struct listing l = read_from(a.s, from);

        assert_int_equal(l.n, n + 1 - from);
        assert_int_equal(l.last, from > n ? 0 : n);
    }
    storage_close(a.s);
}

/* ---- The fence ---- */

UNIT_TEST(an_older_alerter_is_fenced)
{
    struct alerter a = open_active("one"), b = open_standby("two");

    OK(turn(&a, 1));
    begin(&a);
    put_alert(&a, "C", 2);
    become_active(&b);
    OK(append(&a, WIRE_INPUT_RECORD, 2, "turn", 4));
    assert_int_equal(storage_commit(a.s, &err), ERR_AWAY);
    assert_non_null(strstr(err.text, "another alerter"));
    assert_stored(1);
    assert_int_equal(storage_begin(a.s, &err), ERR_AWAY);
    assert_false(storage_may_post(a.s, a.now_us));
    OK(turn(&b, 2));
    tend(&a, 0);
    assert_int_equal(a.role, STORAGE_STANDBY);
    OK(storage_restore(a.s, &err));
    assert_stored(2);
    assert_string_equal(database_sql("SELECT holder || epoch FROM " TABLE("lease")), "two2");
    assert_int_equal(storage_term(a.s)->last, 2);
    storage_close(a.s);
    storage_close(b.s);
}

UNIT_TEST(a_part_of_a_fenced_alerter_is_not_stored)
{
    struct alerter a = open_active("one"), b = open_standby("two");

    begin(&a);
    become_active(&b);
    assert_int_equal(append(&a, WIRE_INPUT_SNAPSHOT, 2, "x", 1), ERR_AWAY);
    storage_rollback(a.s);
    assert_int_equal(n_rows("part"), 0);
    storage_close(a.s);
    storage_close(b.s);
}

UNIT_TEST(a_post_needs_a_fresh_proof)
{
    struct alerter a = open_active("one"), b = open_standby("two");
    int64_t before = number("beat FROM " TABLE("lease"));

    assert_true(storage_may_post(a.s, a.now_us + LEASE_POST_US - 1));
    assert_int_equal(number("beat FROM " TABLE("lease")), before);
    assert_true(storage_may_post(a.s, a.now_us + LEASE_POST_US));
    assert_int_equal(number("beat FROM " TABLE("lease")), before + 1);
    become_active(&b);
    assert_false(storage_may_post(a.s, a.now_us + 2 * LEASE_POST_US));
    assert_false(storage_may_post(a.s, a.now_us));
    storage_close(a.s);
    storage_close(b.s);
}

/* ---- Take-over ---- */

UNIT_TEST(a_released_lease_is_taken_at_once)
{
    struct alerter a = open_active("one"), b = open_standby("two");

    OK(turn(&a, 1));
    live(&b, 3 * TIME_S);
    assert_int_equal(b.role, STORAGE_STANDBY);
    assert_string_equal(storage_term(b.s)->holder, "one");
    storage_release(a.s);
    assert_string_equal(database_sql("SELECT string_agg(name, ' ') FROM " TABLE("alerters")),
                        "two");
    assert_in_range(become_active(&b), 0, 50 * TIME_MS);
    assert_true(storage_term(b.s)->was_released);
    assert_string_equal(storage_term(b.s)->holder, "one");
    OK(turn(&b, 2));
    assert_stored(2);
    storage_close(a.s);
    storage_close(b.s);
}

UNIT_TEST(a_killed_holder_is_followed_after_a_second)
{
    struct alerter a = open_active("one"), b = open_standby("two");

    live(&b, TIME_S);
    terminate_holder();
    assert_in_range(become_active(&b), TIME_S, TIME_S + 600 * TIME_MS);
    assert_false(storage_term(b.s)->was_released);
    assert_int_equal(turn(&a, 1), ERR_AWAY);
    live_until(&a, STORAGE_STANDBY);
    storage_close(a.s);
    storage_close(b.s);
}

UNIT_TEST(a_silent_holder_is_followed_after_five_seconds)
{
    struct alerter a = open_active("one"), b = open_standby("two");

    assert_in_range(become_active(&b), 5 * TIME_S, 5 * TIME_S + 600 * TIME_MS);
    storage_close(a.s);
    storage_close(b.s);
}

/* The pool's sessions come and go, and say nothing about a holder. */
UNIT_TEST(a_holder_behind_a_pool_is_followed_for_its_silence_alone)
{
    const char *url = database_pool_url();
    struct alerter a, b = open_it("two");

    OK(open_at(url, false, "one", &a));
    assert_true(become_active(&a) < 30 * TIME_MS);
    assert_true(storage_term(a.s)->is_pooled);
    tend(&b, 0);
    live_until(&b, STORAGE_STANDBY);
    database_sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                 " WHERE application_name = 'drainwatch-test' AND client_addr IS NULL");
    live(&b, 3 * TIME_S);
    assert_int_equal(b.role, STORAGE_STANDBY);
    assert_in_range(become_active(&b), TIME_S, 3 * TIME_S);
    storage_close(a.s);
    storage_close(b.s);
}

static struct alerter open_pooled_standby(const char *name)
{
    struct alerter a;

    OK(open_at(database_pool_url(), false, name, &a));
    tend(&a, 0);
    live_until(&a, STORAGE_STANDBY);
    OK(storage_restore(a.s, &err));
    return a;
}

static void assert_stays_standby(struct alerter *a)
{
    live(a, TIME_S);
    assert_int_equal(a->role, STORAGE_STANDBY);
}

/* It gives up the entry that it has read, and stands by all the time. */
static void assert_reads_anew(struct alerter *a)
{
    for (int i = 0; i < 100 && !storage_term(a->s)->must_reread; i++) {
        live(a, 10 * TIME_MS);
        assert_int_equal(a->role, STORAGE_STANDBY);
    }
    live(a, 500 * TIME_MS);
    assert_true(storage_term(a->s)->must_reread);
    OK(storage_restore(a->s, &err));
    assert_int_equal(read_from(a->s, 1).n, 1);
    assert_stays_standby(a);
    assert_false(storage_term(a->s)->must_reread);
}

UNIT_TEST(behind_a_pool_a_standby_notices_that_commits_were_lost)
{
    struct alerter a = open_active("one"), b = open_pooled_standby("two");

    for (int i = 1; i <= 3; i++)
        OK(turn(&a, i));
    assert_int_equal(read_from(b.s, 1).n, 3);
    assert_stays_standby(&b);
    assert_false(storage_term(b.s)->must_reread);
    database_sql(
        "DELETE FROM " TABLE("stream") " WHERE position > 1; "
                                       "UPDATE " TABLE("lease") " SET last = 1, beat = beat - 1");
    assert_reads_anew(&b);
    storage_close(a.s);
    storage_close(b.s);
}

/* A session that was cut off before the end of its transaction. */
static PGconn *open_stuck(void)
{
    PGconn *stuck = PQconnectdb(database_url());

    PQclear(PQexec(stuck, "BEGIN; UPDATE " TABLE("lease") " SET trouble = ''"));
    return stuck;
}

static void assert_ended(PGconn *stuck)
{
    PQclear(PQexec(stuck, "COMMIT"));
    assert_int_equal(PQstatus(stuck), CONNECTION_BAD);
    PQfinish(stuck);
}

UNIT_TEST(the_session_that_holds_the_lock_of_the_lease_is_ended)
{
    struct alerter a = open_active("one"), b = open_standby("two");
    PGconn *stuck = open_stuck();

    assert_in_range(become_active(&b), 5 * TIME_S, 6 * TIME_S);
    assert_ended(stuck);
    storage_close(a.s);
    storage_close(b.s);
}

/* Its session was cut off in the middle of a statement, and the server has not noticed. */
UNIT_TEST(a_lone_holder_ends_its_own_session_before)
{
    struct alerter a = open_active("one");
    PGconn *stuck;

    OK(turn(&a, 1));
    stuck = open_stuck();
    terminate_holder();
    tend(&a, 0);
    assert_int_equal(a.role, STORAGE_AWAY);
    live_until(&a, STORAGE_ACTIVE);
    assert_ended(stuck);
    OK(turn(&a, 2));
    assert_stored(2);
    storage_close(a.s);
}

/* It was frozen while the term before lost commits, and others have their positions by now. */
UNIT_TEST(behind_a_pool_a_standby_reads_anew_in_each_term)
{
    struct alerter a = open_active("one"), b = open_pooled_standby("two");

    OK(turn(&a, 1));
    assert_int_equal(read_from(b.s, 1).n, 1);
    assert_stays_standby(&b);
    assert_false(storage_term(b.s)->must_reread);
    database_sql("UPDATE " TABLE("lease") " SET epoch = epoch + 1, beat = 0");
    assert_reads_anew(&b);
    storage_close(a.s);
    storage_close(b.s);
}

/* The holder of before was frozen meanwhile. */
UNIT_TEST(a_move_is_noted_by_the_holder_alone_and_seen_by_all)
{
    struct alerter a = open_active("one"), b = open_standby("two"), c;

    become_active(&b);
    assert_int_equal(a.s->ops->note_move(a.s, "/srv/a", &err), ERR_AWAY);
    assert_string_equal(b.s->moved, "");
    OK(b.s->ops->note_move(b.s, "/srv/b", &err));
    OK(turn(&b, 1));
    live(&a, TIME_S);
    assert_string_equal(a.s->moved, "/srv/b");
    c = open_standby("three");
    assert_string_equal(c.s->moved, "/srv/b");
    OK(b.s->ops->note_move(b.s, "", &err));
    live(&a, TIME_S);
    assert_string_equal(a.s->moved, "");
    storage_close(a.s);
    storage_close(b.s);
    storage_close(c.s);
}

/* It looked at the lease before the note. */
UNIT_TEST(a_note_of_a_move_waits_for_the_pushes_before_it)
{
    struct alerter a = open_active("one");
    PGconn *ingest = PQconnectdb(database_url());

    assert_int_equal(PQsendQuery(ingest, "INSERT INTO " TABLE(
                                             "inbox") " (sender, last, first, "
                                                      "oldest, body) SELECT 'x', 1, 1, 1, 'b' FROM "
                                                      "pg_sleep(1.5)"),
                     1);
    while (strcmp(database_sql("SELECT count(*) FROM pg_locks WHERE relation='" TABLE(
                      "inbox") "'::regclass AND mode='RowExclusiveLock'"),
                  "0") == 0)
        usleep(1000);
    OK(a.s->ops->note_move(a.s, "/srv/a", &err));
    assert_string_equal(database_sql("SELECT count(*) FROM " TABLE("inbox")), "1");
    PQfinish(ingest);
    storage_close(a.s);
}

UNIT_TEST(a_holder_that_connects_again_keeps_the_lease)
{
    struct alerter a = open_active("one"), b = open_standby("two");

    OK(turn(&a, 1));
    for (int i = 0; i < 3; i++) {
        terminate_holder();
        live(&b, 500 * TIME_MS);
        tend(&a, 0);
        assert_int_equal(a.role, STORAGE_AWAY);
        live_until(&a, STORAGE_ACTIVE);
        live(&b, 2 * TIME_S);
        assert_int_equal(b.role, STORAGE_STANDBY);
        OK(turn(&a, 2 + i)); /* without a restore: no turn was lost */
    }
    assert_int_equal(storage_term(a.s)->epoch, 1);
    assert_stored(4);
    storage_close(a.s);
    storage_close(b.s);
}

UNIT_TEST(a_standby_that_may_not_take_the_lease_does_not)
{
    struct alerter a = open_it("one");

    a.s->stands_by = true;
    live(&a, 10 * TIME_S);
    assert_int_equal(a.role, STORAGE_STANDBY);
    storage_close(a.s);
}

UNIT_TEST(a_standby_follows_the_stream)
{
    struct alerter a = open_active("one"), b = open_standby("two");
    int64_t position = 0;

    for (int64_t n = 1; n <= 20; n++) {
        OK(turn(&a, n));
        live(&a, 100 * TIME_MS);
        live(&b, 250 * TIME_MS);
        while (position < storage_term(b.s)->last)
            position = read_from(b.s, position + 1).last;
    }
    assert_int_equal(position, 20);
    live(&a, 5 * TIME_S);
    live(&b, 5 * TIME_S);
    assert_string_equal(database_sql("SELECT string_agg(name || position, ' ' ORDER BY name) "
                                     "FROM " TABLE("alerters")),
                        "one20 two20");
    storage_close(a.s);
    storage_close(b.s);
}

/* ---- Lost answers ---- */

/* Makes the commit of each turn last `s` seconds. */
static void doze(const char *s)
{
    database_sql("SET search_path = " SCHEMA ";"
                 "CREATE OR REPLACE FUNCTION doze() RETURNS trigger LANGUAGE plpgsql AS "
                 "'BEGIN PERFORM pg_sleep(%s); RETURN NEW; END';"
                 "DROP TRIGGER IF EXISTS doze ON stream;"
                 "CREATE TRIGGER doze AFTER INSERT ON stream EXECUTE FUNCTION doze()",
                 s);
}

static void *cut_socket(void *ctx)
{
    usleep(150000);
    shutdown(*(int *)ctx, SHUT_RDWR);
    return NULL;
}

static void *terminate(void *ctx)
{
    (void)ctx;
    usleep(150000);
    database_sql("SELECT pg_terminate_backend(pid) FROM " TABLE("lease"));
    return NULL;
}

static void lose_answer(struct alerter *a, int64_t n, void *(*accident)(void *))
{
    int fd = storage_fd(a->s);
    pthread_t thread;

    doze("0.4");
    assert_int_equal(pthread_create(&thread, NULL, accident, &fd), 0);
    assert_int_equal(turn(a, n), ERR_AWAY);
    pthread_join(thread, NULL);
    doze("0");
    tend(a, 0);
    assert_int_equal(a->role, STORAGE_AWAY);
    assert_int_equal(turn(a, n), ERR_AWAY);
    live_until(a, STORAGE_ACTIVE);
    assert_int_equal(storage_begin(a->s, &err), ERR_AWAY); /* nothing is read anew yet */
    OK(storage_restore(a->s, &err));
}

UNIT_TEST(a_turn_that_was_committed_without_an_answer_is_found)
{
    struct alerter a = open_active("one");
    uint64_t taken;

    OK(turn(&a, 1));
    lose_answer(&a, 2, cut_socket);
    OK(a.s->ops->get_sequence(a.s, sender, &taken, &err));
    assert_int_equal(taken, 2);
    assert_int_equal(read_from(a.s, 0).last, 2);
    assert_sizes(&a);
    OK(turn(&a, 3));
    assert_stored(3);
    storage_close(a.s);
}

UNIT_TEST(a_turn_that_ended_with_its_session_is_not_stored)
{
    struct alerter a = open_active("one");
    uint64_t taken;

    OK(turn(&a, 1));
    lose_answer(&a, 2, terminate);
    OK(a.s->ops->get_sequence(a.s, sender, &taken, &err));
    assert_int_equal(taken, 1);
    assert_int_equal(read_from(a.s, 0).last, 1);
    OK(turn(&a, 2));
    assert_stored(2);
    storage_close(a.s);
}

/* A failover to a server that did not get the last commits. */
UNIT_TEST(commits_that_a_failover_lost_are_missed)
{
    struct alerter a = open_active("one");

    OK(turn(&a, 1));
    database_sql("CREATE TABLE " TABLE("was") " AS SELECT * FROM " TABLE("lease"));
    OK(turn(&a, 2));
    database_sql("SET search_path = " SCHEMA ";"
                 "UPDATE lease SET beat = was.beat, last = was.last, bytes = was.bytes FROM was;"
                 "DELETE FROM stream WHERE position = 2; DELETE FROM outbox WHERE row = 2;"
                 "UPDATE senders SET taken = 1");
    terminate_holder();
    tend(&a, 0);
    live_until(&a, STORAGE_ACTIVE);
    assert_true(storage_term(a.s)->has_lost);
    assert_int_equal(storage_term(a.s)->epoch, 2); /* the owner forgets its acts of the first */
    assert_int_equal(turn(&a, 3), ERR_AWAY);
    OK(storage_restore(a.s, &err));
    OK(turn(&a, 2));
    assert_stored(2);
    storage_close(a.s);
}

/* The other one took the same epoch, because the lease itself was lost. */
UNIT_TEST(nobody_goes_on_with_the_term_of_another_one)
{
    struct alerter a = open_active("one");

    OK(turn(&a, 1));
    database_sql("UPDATE " TABLE("lease") " SET holder = 'two', beat = beat + 100");
    terminate_holder();
    tend(&a, 0);
    live_until(&a, STORAGE_STANDBY);
    assert_string_equal(storage_term(a.s)->holder, "two");
    storage_close(a.s);
}

/* By an operator, to make room. */
UNIT_TEST(history_that_was_deleted_by_hand_is_not_missed)
{
    struct alerter a = open_active("one"), reader;

    for (int i = 1; i <= 4; i++)
        OK(turn(&a, i));
    database_sql("DELETE FROM " TABLE("stream") " WHERE position <= 2");
    OK(storage_restore(a.s, &err));
    assert_int_equal(read_from(a.s, 0).n, 2);
    assert_int_equal(a.s->ops->bytes(a.s), number("sum(octet_length(body)) FROM " TABLE("stream")));
    database_sql("TRUNCATE " TABLE("stream") ", " TABLE("part"));
    OK(storage_restore(a.s, &err));
    assert_int_equal(a.s->ops->bytes(a.s), 0);
    assert_int_equal(read_from(a.s, 0).n, 0);
    OK(turn(&a, 5));
    OK(turn(&a, 6));
    OK(open_at(database_url(), true, NULL, &reader));
    assert_int_equal(read_from(reader.s, 0).n, 2);
    assert_int_equal(read_from(reader.s, 0).last, 6);
    assert_sizes(&a);
    storage_close(reader.s);
    storage_close(a.s);
}

static void cut(struct alerter *a, int64_t epoch)
{
    assert_int_equal(storage_term(a->s)->epoch, epoch);
    assert_true(storage_term(a->s)->is_cut);
    assert_false(storage_term(a->s)->has_lost);
    OK(storage_restore(a->s, &err));
    assert_true(storage_term(a->s)->is_cut);
    assert_int_equal(read_from(a->s, 0).n, 0);
}

/* Else the owner would go on with its memory, and a restart would lack the deleted entries. */
UNIT_TEST(an_active_alerter_notices_that_its_history_was_deleted)
{
    struct alerter a = open_active("one");

    OK(turn(&a, 1));
    OK(turn(&a, 2));
    database_sql("TRUNCATE " TABLE("stream") ", " TABLE("part"));
    assert_int_equal(turn(&a, 3), ERR_AWAY);
    cut(&a, 2);
    OK(turn(&a, 3));
    OK(turn(&a, 4));
    assert_int_equal(read_from(a.s, 0).n, 2);
    database_sql("TRUNCATE " TABLE("stream") ", " TABLE("part"));
    live(&a, 2 * TIME_S); /* without a turn */
    cut(&a, 3);
    OK(turn(&a, 5));
    live(&a, 2 * TIME_S);
    assert_int_equal(storage_term(a.s)->epoch, 3);
    storage_close(a.s);
}

UNIT_TEST(a_standby_reads_anew_after_history_was_deleted)
{
    struct alerter a = open_active("one"), b = open_standby("two");

    OK(turn(&a, 1));
    OK(turn(&a, 2));
    live(&b, TIME_S);
    database_sql("TRUNCATE " TABLE("stream") ", " TABLE("part"));
    become_active(&b);
    OK(storage_restore(b.s, &err));
    assert_true(storage_term(b.s)->is_cut);
    OK(turn(&b, 3));
    live_until(&a, STORAGE_STANDBY);
    OK(storage_restore(a.s, &err));
    assert_false(storage_term(a.s)->is_cut);
    become_active(&a);
    database_sql("TRUNCATE " TABLE("stream") ", " TABLE("part"));
    OK(storage_restore(a.s, &err));
    live(&b, 2 * TIME_S);
    assert_true(storage_term(b.s)->must_reread);
    storage_close(a.s);
    storage_close(b.s);
}

UNIT_TEST(damage_is_told_with_its_remedy)
{
    struct alerter a = open_active("one");
    struct listing l = {.n = 0};

    OK(turn(&a, 1));
    OK(turn(&a, 2));
    for (int i = 0; i < 3; i++) {
        static const char *const bodies[] = {"\\xff", "\\x05ffff", "\\x02ffff"};

        database_sql("UPDATE " TABLE("stream") " SET body = '%s' WHERE position = 2", bodies[i]);
        assert_int_equal(storage_read(a.s, 0, note_entry, &l, &err), ERR_DAMAGED);
        assert_int_equal(l.n, i + 1);
        assert_non_null(strstr(err.text, "entry 2"));
        assert_non_null(strstr(err.text, "DRAINWATCH_SCHEMA"));
    }
    storage_close(a.s);
}

static void *run_turn(void *ctx)
{
    static int rc;

    rc = turn(ctx, 2);
    return &rc;
}

/* The holder's statement keeps the lease locked. */
UNIT_TEST(a_holder_that_is_stuck_in_a_statement_is_ended)
{
    struct alerter a = open_active("one"), b = open_standby("two");
    pthread_t thread;
    void *rc;

    OK(turn(&a, 1));
    doze("3");
    assert_int_equal(pthread_create(&thread, NULL, run_turn, &a), 0);
    usleep(200000);
    become_active(&b);
    pthread_join(thread, &rc);
    assert_int_equal(*(int *)rc, ERR_AWAY);
    doze("0");
    assert_stored(1);
    OK(turn(&b, 2));
    storage_close(a.s);
    storage_close(b.s);
}

/* ---- The inbox ---- */

/* Puts pushes of `n` records each. The receiver would unpack them; here a length is enough. */
static void put_pushes(int count, int64_t first, int n, int bytes)
{
    database_sql("SET search_path = " SCHEMA ";"
                 "INSERT INTO ingests VALUES (convert_to('%s', 'UTF8') || '\\x00', 'web', '1', "
                 "false, now(), 0) ON CONFLICT DO NOTHING;"
                 "INSERT INTO inbox (sender, last, first, oldest, body) SELECT sender, "
                 "%lld + %d * (k + 1) - 1, %lld + %d * k, 1, convert_to(repeat('x', %d), 'UTF8') "
                 "FROM ingests, generate_series(0, %d - 1) k;"
                 "SELECT pg_notify('" SCHEMA "', 'i')",
                 (const char *)sender, (long long)first, n, (long long)first, n, bytes, count);
}

static void put_push(int64_t first)
{
    put_pushes(1, first, 1, 10);
}

/* Takes all pushes of a turn, each with `n` records from taken + 1 on. Returns how many. */
static int take_pushes(struct alerter *a, struct source *source, uint64_t *taken, uint64_t n)
{
    struct source_peer peer;
    struct wire_bytes push;
    int pushes = 0;

    source->ops->tend(source, 0);
    while (source->ops->receive(source, &peer, &push) == 1) {
        if (!storage_in_transaction(a->s))
            begin(a);
        *taken += n;
        pushes++;
        assert_int_equal(push.data[0], 'x');
        OK(append(a, WIRE_INPUT_RECORD, (int64_t)*taken, "x", 1));
        OK(a->s->ops->put_sequence(a->s, sender, *taken, 1, &err));
    }
    if (storage_in_transaction(a->s))
        commit(a);
    return pushes;
}

/* Until the notification of a push is here. */
static void wait_for_push(struct alerter *a, struct source *source)
{
    for (int i = 0; i < 200 && !source->ops->pending(source); i++)
        usleep(5000);
    assert_true(source->ops->pending(source));
    tend(a, 0);
}

UNIT_TEST(behind_a_pool_pushes_are_looked_for_often_while_there_are_some)
{
    struct alerter a;
    struct source *source;
    uint64_t taken = 0;

    OK(open_at(database_pool_url(), false, "one", &a));
    become_active(&a);
    source = storage_source(a.s);
    assert_int_equal(take_pushes(&a, source, &taken, 1), 0);
    for (int64_t n = 1; n <= 3; n++) {
        put_push(n);
        tend(&a, (n == 1 ? 250 : 20) * TIME_MS);
        assert_int_equal(take_pushes(&a, source, &taken, 1), 1);
        assert_true(storage_wake_us(a.s) <= a.now_us + 20 * TIME_MS);
    }
    for (int i = 0; i < 20; i++) {
        tend(&a, 250 * TIME_MS);
        assert_int_equal(take_pushes(&a, source, &taken, 1), 0);
    }
    assert_in_range(storage_wake_us(a.s), a.now_us + 200 * TIME_MS, a.now_us + 250 * TIME_MS);
    source->ops->close(source);
    storage_close(a.s);
}

UNIT_TEST(pushes_come_by_notification_and_go_with_the_turn)
{
    struct alerter a = open_active("one");
    struct source *source = storage_source(a.s);
    uint64_t taken = 0;

    assert_int_equal(take_pushes(&a, source, &taken, 1), 0);
    assert_false(source->ops->pending(source));
    for (int64_t n = 1; n <= 5; n++) {
        put_push(n);
        wait_for_push(&a, source);
        assert_int_equal(take_pushes(&a, source, &taken, 1), 1);
        assert_false(source->ops->pending(source));
        assert_int_equal(n_rows("inbox"), 0);
    }
    assert_int_equal(read_from(a.s, 0).n, 5);
    source->ops->close(source);
    storage_close(a.s);
}

/* Each turn's statement brings the next pushes along. */
UNIT_TEST(a_backlog_comes_in_pages)
{
    struct alerter a = open_active("one");
    struct source *source = storage_source(a.s);
    uint64_t taken = 0;
    int turns = 0, pushes = 0;

    put_pushes(150, 1, 64, 64000);
    while (pushes < 150 && turns < 100) {
        pushes += take_pushes(&a, source, &taken, 64);
        turns++;
    }
    assert_int_equal(pushes, 150);
    assert_in_range(turns, 3, 20);
    (void)source->ops->pending(source); /* hears of all pushes */
    assert_int_equal(take_pushes(&a, source, &taken, 64), 0);
    assert_false(source->ops->pending(source));
    assert_int_equal(n_rows("inbox"), 0);
    assert_int_equal(number("taken FROM " TABLE("senders")), 150 * 64);
    source->ops->close(source);
    storage_close(a.s);
}

UNIT_TEST(pushes_that_were_not_taken_come_again)
{
    struct alerter a = open_active("one");
    struct source *source = storage_source(a.s);
    struct source_peer peer;
    struct wire_bytes push;
    uint64_t taken = 0;

    put_push(1);
    put_push(2);
    wait_for_push(&a, source);
    source->ops->tend(source, 0);
    assert_int_equal(source->ops->receive(source, &peer, &push), 1);
    OK(storage_restore(a.s, &err));
    assert_int_equal(push.data[0], 'x'); /* the receiver may still look at it */
    assert_true(source->ops->pending(source));
    assert_int_equal(take_pushes(&a, source, &taken, 1), 2);
    source->ops->close(source);
    storage_close(a.s);
}

UNIT_TEST(a_fenced_alerter_reads_no_pushes)
{
    struct alerter a = open_active("one"), b = open_standby("two");
    struct source *source = storage_source(a.s);
    struct source_peer peer;
    struct wire_bytes push;

    put_push(1);
    wait_for_push(&a, source);
    become_active(&b);
    source->ops->tend(source, 0);
    assert_int_equal(source->ops->receive(source, &peer, &push), 0);
    source->ops->close(source);
    storage_close(a.s);
    storage_close(b.s);
}

UNIT_TEST(a_push_without_a_notification_is_found_within_a_second)
{
    struct alerter a = open_active("one");
    struct source *source = storage_source(a.s);
    uint64_t taken = 0;

    take_pushes(&a, source, &taken, 1);
    put_push(1);
    database_sql("UPDATE " TABLE("inbox") " SET last = last");
    usleep(20000);
    OK(storage_tend(a.s, a.now_us, &a.role, &err));
    (void)source->ops->pending(source); /* it is heard here */
    take_pushes(&a, source, &taken, 1);
    put_push(2);
    taken = 1;
    assert_in_range(storage_wake_us(a.s), 1, a.now_us + TIME_S);
    a.now_us += TIME_S;
    tend(&a, 0);
    assert_int_equal(take_pushes(&a, source, &taken, 1), 1);
    source->ops->close(source);
    storage_close(a.s);
}

UNIT_TEST(ingests_read_refusals_and_trouble)
{
    struct alerter a = open_active("one");
    struct source *source = storage_source(a.s);
    struct source_peer peer = {.len = 0};
    struct wire_ack ack = {.refused = "of a newer build \xff"};

    memcpy(ack.sender, sender, sizeof ack.sender);
    put_push(9); /* this ingest lives */
    source->ops->ack(source, &peer, &ack);
    source->ops->tell(source, "3 alerts kept \xff");
    live(&a, 2 * TIME_S);
    assert_string_equal(database_sql("SELECT refused FROM " TABLE("senders")),
                        "of a newer build \\xff");
    assert_string_equal(database_sql("SELECT trouble FROM " TABLE("lease")), "3 alerts kept \\xff");
    ack.refused = "";
    source->ops->ack(source, &peer, &ack);
    source->ops->tell(source, "");
    OK(turn(&a, 7));
    assert_string_equal(database_sql("SELECT refused || taken FROM " TABLE("senders")), "7");
    assert_string_equal(database_sql("SELECT trouble FROM " TABLE("lease")), "");
    source->ops->close(source);
    storage_close(a.s);
}

/* ---- Failures ---- */

UNIT_TEST(an_alerter_starts_while_the_database_is_away)
{
    struct alerter a;
    const int64_t begin_us = TIME_HOUR;
    int dials = 0;

    OK(open_at("postgres://user:hush@127.0.0.1:1/db", false, "one", &a));
    for (int i = 0; i < 800; i++) {
        int64_t wake_us = storage_wake_us(a.s);

        tend(&a, 50 * TIME_MS);
        assert_int_equal(a.role, STORAGE_AWAY);
        assert_non_null(strstr(err.text, "127.0.0.1"));
        assert_null(strstr(err.text, "hush"));
        dials += storage_wake_us(a.s) != wake_us;
        if (storage_fd(a.s) >= 0)
            usleep(2000);
    }
    assert_int_equal(storage_begin(a.s, &err), ERR_AWAY);
    assert_int_equal(storage_restore(a.s, &err), ERR_AWAY);
    assert_int_equal(storage_read(a.s, 0, note_entry, NULL, &err), ERR_AWAY);
    assert_in_range(dials, 16, 50); /* in 40 s, of which the last waits take 5 */
    assert_true(a.now_us > begin_us);
    storage_close(a.s);
    assert_int_equal(open_at("postgres://user:hush@127.0.0.1:1/db", true, "one", &a), ERR_AWAY);
}

/* Its log would else call it a standby for ever. */
UNIT_TEST(a_standby_that_may_not_write_is_none)
{
    struct alerter a = open_active("one");
    struct alerter b = open_standby("two");

    database_sql("REVOKE INSERT ON " TABLE("alerters") " FROM drainwatch");
    live_until(&b, STORAGE_AWAY);
    assert_non_null(strstr(err.text, "lacks a right"));
    live(&b, TIME_S);
    assert_int_equal(b.role, STORAGE_AWAY);
    database_sql("GRANT INSERT ON " TABLE("alerters") " TO drainwatch");
    live_until(&b, STORAGE_STANDBY);
    storage_close(b.s);
    storage_close(a.s);
}

/* Nor may it look active in the list of programs. */
UNIT_TEST(a_holder_that_may_not_beat_is_not_active)
{
    struct alerter a = open_active("one");

    live(&a, 6 * TIME_S);
    database_sql("REVOKE UPDATE ON " TABLE("lease") " FROM drainwatch;"
                                                    "DELETE FROM " TABLE("alerters"));
    live_until(&a, STORAGE_AWAY);
    assert_non_null(strstr(err.text, "lacks a right"));
    live(&a, 7 * TIME_S);
    assert_int_equal(a.role, STORAGE_AWAY);
    assert_string_equal(database_sql("SELECT count(*) FROM " TABLE("alerters")), "0");
    database_sql("GRANT UPDATE ON " TABLE("lease") " TO drainwatch");
    live_until(&a, STORAGE_ACTIVE);
    OK(turn(&a, 1));
    storage_close(a.s);
}

UNIT_TEST(a_full_database_keeps_the_turn_out_and_nothing_else)
{
    struct alerter a = open_active("one");

    OK(turn(&a, 1));
    database_sql("CREATE OR REPLACE FUNCTION " TABLE(
        "fill") "() RETURNS trigger LANGUAGE plpgsql "
                "AS $$ BEGIN RAISE EXCEPTION 'full' USING ERRCODE = '53100'; END $$;"
                "CREATE TRIGGER fill BEFORE INSERT ON " TABLE(
                    "stream") " FOR EACH ROW EXECUTE FUNCTION " TABLE("fill") "()");
    assert_int_equal(turn(&a, 2), ERR_FULL);
    tend(&a, 2 * TIME_S);
    assert_int_equal(a.role, STORAGE_ACTIVE);
    database_sql("DROP TRIGGER fill ON " TABLE("stream"));
    OK(turn(&a, 2));
    assert_stored(2);
    storage_close(a.s);
}

/* A right may be granted again, and no history need go for it. */
UNIT_TEST(a_right_that_is_missing_keeps_the_turn_out_and_nothing_else)
{
    struct alerter a = open_active("one");

    OK(turn(&a, 1));
    database_sql("REVOKE INSERT ON " TABLE("stream") " FROM drainwatch");
    assert_int_equal(turn(&a, 2), ERR_AWAY);
    assert_non_null(strstr(err.text, "lacks a right"));
    database_sql("GRANT INSERT ON " TABLE("stream") " TO drainwatch");
    tend(&a, 2 * TIME_S);
    assert_int_equal(a.role, STORAGE_ACTIVE);
    OK(storage_restore(a.s, &err));
    OK(turn(&a, 2));
    assert_stored(2);
    storage_close(a.s);
}

UNIT_TEST(a_schema_that_is_gone_ends_the_alerter)
{
    struct alerter a = open_active("one");

    OK(turn(&a, 1));
    database_drop_schema(SCHEMA);
    assert_int_equal(turn(&a, 2), ERR_IO);
    a.now_us += 2 * TIME_S;
    assert_int_equal(storage_tend(a.s, a.now_us, &a.role, &err), ERR_IO);
    assert_non_null(strstr(err.text, SCHEMA));
    storage_close(a.s);
}

UNIT_TEST(texts_that_are_no_utf8_are_stored_printable)
{
    struct alerter a = open_active("one");
    struct storage_outbox_mark mark = {
        .state = OUTBOX_FAILED, .now_us = 5, .answer = "bad \xc3( answer"};

    begin(&a);
    put_alert(&a, "C", 1);
    OK(a.s->ops->outbox_mark(a.s, 1, &mark, &err));
    OK(a.s->ops->put_refused(a.s, sender, 1, (struct wire_bytes){NULL, 0}, "why \xff", 1, &err));
    commit(&a);
    assert_string_equal(database_sql("SELECT last_answer FROM " TABLE("outbox")),
                        "bad \\xc3( answer");
    assert_string_equal(database_sql("SELECT reason FROM " TABLE("refused")), "why \\xff");
    storage_close(a.s);
}

/* ---- Beside the alerter ---- */

static int count_row(void *ctx, const struct storage_outbox_row *row)
{
    assert_int_equal(row->row, ++*(int64_t *)ctx);
    return 0;
}

UNIT_TEST(a_reader_lists_all_alerts_in_pages)
{
    struct alerter a = open_active("one"), reader;
    int64_t n = 0;
    uint64_t waiting;
    char answer[64];

    begin(&a);
    for (int64_t i = 1; i <= 600; i++)
        put_alert(&a, i % 2 != 0 ? "A" : "B", i);
    for (int64_t i = 1; i <= 300; i++)
        OK(a.s->ops->outbox_mark_expired(a.s, i, 9, "too old", &err));
    commit(&a);
    OK(open_at(database_url(), true, NULL, &reader));
    OK(reader.s->ops->outbox_list(reader.s, count_row, &n, &err));
    assert_int_equal(n, 600);
    OK(reader.s->ops->outbox_count(reader.s, OUTBOX_WAITING, &waiting, answer, sizeof answer,
                                   &err));
    assert_int_equal(waiting, 300);
    storage_close(reader.s);
    storage_close(a.s);
}

static int note_alerter(void *ctx, const struct storage_alerter *alerter)
{
    if (alerter->has_lease && !alerter->is_gone)
        snprintf(ctx, 64, "%s behind %lld", alerter->name, (long long)alerter->behind);
    return 0;
}

static int note_ingest(void *ctx, const struct storage_ingest *ingest)
{
    strcat(ctx, " ");
    strcat(ctx, ingest->name);
    return 0;
}

UNIT_TEST(status_shows_the_programs_and_the_sizes)
{
    struct alerter a = open_active("one"), b = open_standby("two"), reader;
    struct storage_sizes sizes;
    char text[256] = "";
    const struct storage_peer_calls calls = {text, note_alerter, note_ingest};

    OK(turn(&a, 1));
    put_push(2);
    live(&a, 6 * TIME_S);
    tend(&b, 0);
    OK(open_at(database_url(), true, NULL, &reader));
    OK(reader.s->ops->list_peers(reader.s, &calls, &err));
    assert_string_equal(text, "one behind 0 web");
    OK(reader.s->ops->sizes(reader.s, &sizes, &err));
    assert_int_equal(sizes.history_bytes, a.s->ops->bytes(a.s));
    assert_int_equal(sizes.inbox_rows, 1);
    assert_in_range(sizes.inbox_bytes, 10, 100);
    assert_in_range(sizes.total_bytes, 8192, 1 << 20);
    storage_close(reader.s);
    storage_close(a.s);
    storage_close(b.s);
}

UNIT_TEST(the_house_is_kept)
{
    struct alerter a = open_active("one");

    begin(&a);
    OK(a.s->ops->put_sequence(a.s, sender, 5, 1, &err));
    commit(&a);
    database_sql("SET search_path = " SCHEMA ";"
                 "INSERT INTO ingests VALUES ('old', 'web', '1', false, now() - interval '2 h', 0),"
                 " ('full', 'web', '1', false, now() - interval '2 h', 0);"
                 "INSERT INTO senders VALUES ('old', 5, 1, ''), ('full', 5, 1, '');"
                 "INSERT INTO inbox (sender, last, first, oldest, body) VALUES"
                 " ('full', 5, 1, 1, 'x'), ('full', 9, 6, 1, 'x'), ('lost', 2, 1, 1, 'x');"
                 "INSERT INTO alerters VALUES ('old', '1', 1, now() - interval '2 h')");
    live(&a, 61 * TIME_S);
    assert_string_equal(database_sql("SELECT string_agg(sender || last::text, ' ') "
                                     "FROM " TABLE("inbox")),
                        "\\x66756c6c9 \\x6c6f73742");
    live(&a, 61 * TIME_S);
    assert_string_equal(database_sql("SELECT string_agg(name, ' ') FROM " TABLE("alerters")),
                        "one");
    assert_string_equal(
        database_sql("SELECT string_agg(encode(sender, 'escape'), ' ') FROM " TABLE("ingests")),
        "full lost");
    assert_string_equal(database_sql("SELECT count(*) FROM " TABLE("senders")), "3");
    storage_close(a.s);
}

/* An ingest that was off for long keeps its place. */
UNIT_TEST(the_rows_of_senders_are_bounded_by_number_and_not_by_age)
{
    struct alerter a = open_active("one");

    database_sql("SET search_path = " SCHEMA ";"
                 "INSERT INTO senders SELECT decode(lpad(to_hex(i), 32, '0'), 'hex'), 5, i, '' "
                 "FROM generate_series(1, 10002) i;"
                 "INSERT INTO ingests SELECT sender, 'lives', '1', false, now(), 0 FROM senders "
                 "WHERE seen_us = 1");
    live(&a, 61 * TIME_S);
    assert_string_equal(
        database_sql("SELECT string_agg(i::text, ' ') FROM "
                     "generate_series(1, 10002) i WHERE NOT EXISTS (SELECT FROM " TABLE(
                         "senders") " WHERE seen_us = i)"),
        "2");
    storage_close(a.s);
}

#define TEST(f) cmocka_unit_test_setup(f, setup)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_free_lease_is_taken_at_once),
        TEST(an_idle_alerter_beats_once_a_second),
        TEST(a_snapshot_lies_in_parts),
        TEST(parts_that_nobody_needs_do_not_count),
        TEST(rows_of_all_sizes_are_read_from_any_position),
        TEST(an_older_alerter_is_fenced),
        TEST(a_part_of_a_fenced_alerter_is_not_stored),
        TEST(a_post_needs_a_fresh_proof),
        TEST(a_released_lease_is_taken_at_once),
        TEST(a_killed_holder_is_followed_after_a_second),
        TEST(a_silent_holder_is_followed_after_five_seconds),
        TEST(a_holder_behind_a_pool_is_followed_for_its_silence_alone),
        TEST(behind_a_pool_a_standby_notices_that_commits_were_lost),
        TEST(behind_a_pool_a_standby_reads_anew_in_each_term),
        TEST(the_session_that_holds_the_lock_of_the_lease_is_ended),
        TEST(a_lone_holder_ends_its_own_session_before),
        TEST(a_move_is_noted_by_the_holder_alone_and_seen_by_all),
        TEST(a_note_of_a_move_waits_for_the_pushes_before_it),
        TEST(a_holder_that_connects_again_keeps_the_lease),
        TEST(a_standby_that_may_not_take_the_lease_does_not),
        TEST(a_standby_follows_the_stream),
        TEST(a_turn_that_was_committed_without_an_answer_is_found),
        TEST(a_turn_that_ended_with_its_session_is_not_stored),
        TEST(commits_that_a_failover_lost_are_missed),
        TEST(nobody_goes_on_with_the_term_of_another_one),
        TEST(history_that_was_deleted_by_hand_is_not_missed),
        TEST(an_active_alerter_notices_that_its_history_was_deleted),
        TEST(a_standby_reads_anew_after_history_was_deleted),
        TEST(damage_is_told_with_its_remedy),
        TEST(a_holder_that_is_stuck_in_a_statement_is_ended),
        TEST(pushes_come_by_notification_and_go_with_the_turn),
        TEST(behind_a_pool_pushes_are_looked_for_often_while_there_are_some),
        TEST(a_backlog_comes_in_pages),
        TEST(pushes_that_were_not_taken_come_again),
        TEST(a_fenced_alerter_reads_no_pushes),
        TEST(a_push_without_a_notification_is_found_within_a_second),
        TEST(ingests_read_refusals_and_trouble),
        TEST(an_alerter_starts_while_the_database_is_away),
        TEST(a_standby_that_may_not_write_is_none),
        TEST(a_holder_that_may_not_beat_is_not_active),
        TEST(a_right_that_is_missing_keeps_the_turn_out_and_nothing_else),
        TEST(a_full_database_keeps_the_turn_out_and_nothing_else),
        TEST(a_schema_that_is_gone_ends_the_alerter),
        TEST(texts_that_are_no_utf8_are_stored_printable),
        TEST(a_reader_lists_all_alerts_in_pages),
        TEST(status_shows_the_programs_and_the_sizes),
        TEST(the_house_is_kept),
        TEST(the_rows_of_senders_are_bounded_by_number_and_not_by_age),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
