/* The storage: senders, the stream and its history, outbox rows; on SQLite damage and full disks,
 * too. */
#include "tests/unit/unit.h"

#include "common/base/time.h"
#include "common/storage/storage.h"
#include "tests/unit/common/storage/backing.h"
#include "tests/unit/common/storage/failing_vfs.h"
#include "tests/unit/common/storage/statements.h"
#include "tests/unit/scratch.h"

#include <sqlite3.h>

struct test {
    struct scratch scratch;
    char path[512];
    struct storage *s;
    struct err err;
    char set_aside[512];
};

static const uint8_t sender[WIRE_SENDER_BYTES] = "sender number 1";
static const uint8_t other_sender[WIRE_SENDER_BYTES] = "sender number 2";

static int setup(void **state)
{
    struct test *t = calloc(1, sizeof *t);

    failing_vfs_install();
    if (t == NULL || scratch_make(&t->scratch) != 0)
        return -1;
    scratch_path(&t->scratch, "alerter.db", t->path);
    backing_begin();
    *state = t;
    return 0;
}

static int teardown(void **state)
{
    struct test *t = *state;

    backing_close(t->s);
    scratch_remove(&t->scratch);
    free(t);
    return 0;
}

static void open_it(struct test *t)
{
    OK(t, backing_open(t->path, false, &t->s, t->set_aside, &t->err));
}

static int64_t count_refused(const struct test *t)
{
    sqlite3_stmt *stmt = NULL;
    sqlite3 *db = NULL;
    int64_t n;

    if (backing_is_database())
        return atoll(database_sql("SELECT count(*) FROM " BACKING_SCHEMA ".refused"));
    assert_int_equal(sqlite3_open_v2(t->path, &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
    sqlite3_prepare_v2(db, "SELECT count(*) FROM refused", -1, &stmt, NULL);
    assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
    n = sqlite3_column_int64(stmt, 0);
    sqlite3_finalize(stmt);
    sqlite3_close(db);
    return n;
}

static int see_position(void *ctx, int64_t position, const struct wire_entry *entry,
                        struct wire_bytes raw)
{
    (void)entry, (void)raw;
    *(int64_t *)ctx = position;
    return 0;
}

/* Of the newest entry, 0 if there is none. */
static int64_t last_position(struct test *t, struct storage *s)
{
    int64_t position = 0;

    OK(t, storage_read(s, 0, see_position, &position, &t->err));
    return position;
}

static void reopen(struct test *t)
{
    backing_close(t->s);
    open_it(t);
    assert_string_equal(t->set_aside, "");
}

static void begin(struct test *t)
{
    OK(t, storage_begin(t->s, &t->err));
}

static void commit(struct test *t)
{
    OK(t, storage_commit(t->s, &t->err));
}

/* ---- Senders ----------------------------------------------------------------------------------
 */

static void assert_taken(struct test *t, const uint8_t who[WIRE_SENDER_BYTES], uint64_t expected)
{
    uint64_t taken = 77;

    OK(t, t->s->ops->get_sequence(t->s, who, &taken, &t->err));
    assert_true(taken == expected);
}

static void test_what_was_taken_is_remembered(void **state)
{
    struct test *t = *state;

    open_it(t);
    assert_taken(t, sender, 0);
    begin(t);
    OK(t, t->s->ops->put_sequence(t->s, sender, 5, 1, &t->err));
    OK(t, t->s->ops->put_sequence(t->s, sender, 6, 2, &t->err));
    OK(t, t->s->ops->put_sequence(t->s, other_sender, UINT64_MAX, 2, &t->err));
    assert_taken(t, sender, 6);
    commit(t);
    begin(t);
    OK(t, t->s->ops->put_sequence(t->s, sender, 7, 3, &t->err));
    storage_rollback(t->s);
    reopen(t);
    assert_taken(t, sender, 6);
    assert_taken(t, other_sender, UINT64_MAX);
}

static void test_what_cannot_be_read_is_kept(void **state)
{
    struct test *t = *state;
    struct wire_bytes bytes = {(const uint8_t *)"junk", 4};

    open_it(t);
    assert_int_equal(count_refused(t), 0);
    begin(t);
    OK(t, t->s->ops->put_refused(t->s, sender, 1, bytes, "no record", 1, &t->err));
    OK(t, t->s->ops->put_refused(t->s, sender, 2, (struct wire_bytes){0}, "no record", 1, &t->err));
    commit(t);
    reopen(t);
    assert_int_equal(count_refused(t), 2);
}

/* ---- The stream -------------------------------------------------------------------------------
 */

static void append(struct test *t, enum wire_input input, int64_t step_us, const char *text)
{
    struct wire_entry entry = {
        .step_us = step_us, .input = input, .bytes = {(const uint8_t *)text, strlen(text)}};

    OK(t, storage_append(t->s, &entry, NULL, &t->err));
}

struct listing {
    char text[4096];
    size_t len;
    int64_t n;
    int64_t last_step_us;
    enum wire_input first;
    int64_t first_position;
};

static int list_entry(void *ctx, int64_t position, const struct wire_entry *entry,
                      struct wire_bytes raw)
{
    struct listing *l = ctx;
    static const char letters[] = "?rtS"; /* record, rules' text, snapshot */

    if (l->n++ == 0) {
        l->first = entry->input;
        l->first_position = position;
    }
    assert_true(raw.len > entry->bytes.len);
    assert_true(entry->step_us >= l->last_step_us);
    l->last_step_us = entry->step_us;
    if (l->len + 64 < sizeof l->text)
        l->len += (size_t)snprintf(
            l->text + l->len, sizeof l->text - l->len, "%lld:%c%lld=%.*s ", (long long)position,
            letters[entry->input], (long long)entry->step_us,
            (int)(entry->bytes.len < 20 ? entry->bytes.len : 20), (const char *)entry->bytes.data);
    return 0;
}

static struct listing fold(struct test *t, struct storage *s, int64_t from)
{
    struct listing l = {.n = 0};

    OK(t, storage_read(s, from, list_entry, &l, &t->err));
    return l;
}

static void test_the_stream_is_folded_from_a_snapshot(void **state)
{
    struct test *t = *state;
    int64_t position = 9;

    open_it(t);
    OK(t, t->s->ops->find_snapshot(t->s, INT64_MAX, INT64_MAX, &position, &t->err));
    assert_int_equal(position, 0);
    begin(t);
    append(t, WIRE_INPUT_RULES, 10, "rules");
    append(t, WIRE_INPUT_RECORD, 20, "a");
    append(t, WIRE_INPUT_SNAPSHOT, 20, "one");
    append(t, WIRE_INPUT_RECORD, 30, "b");
    append(t, WIRE_INPUT_SNAPSHOT, 40, "two");
    append(t, WIRE_INPUT_RECORD, 50, "c");
    commit(t);
    reopen(t);
    assert_string_equal(fold(t, t->s, 0).text,
                        "1:t10=rules 2:r20=a 3:S20=one 4:r30=b 5:S40=two 6:r50=c ");
    OK(t, t->s->ops->find_snapshot(t->s, INT64_MAX, INT64_MAX, &position, &t->err));
    assert_int_equal(position, 5);
    assert_string_equal(fold(t, t->s, position).text, "5:S40=two 6:r50=c ");
    OK(t, t->s->ops->find_snapshot(t->s, INT64_MAX, position, &position, &t->err));
    assert_int_equal(position, 3);
    OK(t, t->s->ops->find_snapshot(t->s, INT64_MAX, position, &position, &t->err));
    assert_int_equal(position, 0);
    OK(t, t->s->ops->find_snapshot(t->s, 39, INT64_MAX, &position, &t->err));
    assert_int_equal(position, 3);
    OK(t, t->s->ops->find_snapshot(t->s, 19, INT64_MAX, &position, &t->err));
    assert_int_equal(position, 0);
    assert_int_equal(last_position(t, t->s), 6);
}

/* A snapshot and `n` records each minute, a turn each. */
static void live(struct test *t, int minutes, int n, int64_t start_us)
{
    static char text[2001];

    memset(text, 'x', sizeof text - 1);
    for (int m = 0; m < minutes; m++) {
        begin(t);
        append(t, WIRE_INPUT_SNAPSHOT, start_us + m * TIME_MINUTE, text);
        for (int i = 0; i < n; i++)
            append(t, WIRE_INPUT_RECORD, start_us + m * TIME_MINUTE + i, text + 1500);
        commit(t);
    }
}

/* What a process that opens the file now would fold. */
static struct listing fold_beside(struct test *t)
{
    struct storage *reader;
    struct listing l;

    OK(t, backing_open(t->path, true, &reader, t->set_aside, &t->err));
    l = fold(t, reader, 0);
    storage_close(reader);
    return l;
}

/* Turns until the history is as short as it may be; answers how many. */
static int trim(struct test *t, int64_t now_us, int64_t keep_us, int64_t max_bytes,
                enum storage_trimmed *next)
{
    int turns = 0;

    do {
        begin(t);
        OK(t, storage_trim(t->s, now_us, keep_us, max_bytes, next, &t->err));
        commit(t);
        turns++;
        assert_int_equal(*next == STORAGE_TRIM_MORE || *next == STORAGE_TRIM_NEEDS_SNAPSHOT,
                         storage_trim_due(t->s, now_us, keep_us, max_bytes));
        assert_int_equal(fold_beside(t).first, WIRE_INPUT_SNAPSHOT);
    } while (*next == STORAGE_TRIM_MORE && turns < 1000);
    return turns;
}

static void test_history_goes_by_age(void **state)
{
    struct test *t = *state;
    enum storage_trimmed next;
    struct listing l;
    int64_t now_us;
    int turns;

    open_it(t);
    begin(t);
    append(t, WIRE_INPUT_RULES, 1, "rules");
    commit(t);
    live(t, 30, 200, TIME_HOUR);
    now_us = TIME_HOUR + 29 * TIME_MINUTE;
    assert_int_equal(fold(t, t->s, 0).first, WIRE_INPUT_RULES);
    /* Nothing is old enough. */
    begin(t);
    OK(t, storage_trim(t->s, now_us, TIME_HOUR, INT64_MAX, &next, &t->err));
    assert_int_equal(next, STORAGE_TRIM_DONE);
    commit(t);
    assert_int_equal(fold(t, t->s, 0).n, 1 + 30 * 201);
    /* The snapshot of minute 19 is the newest that is ten minutes old. */
    turns = trim(t, now_us, 10 * TIME_MINUTE, INT64_MAX, &next);
    assert_int_equal(next, STORAGE_TRIM_DONE);
    if (!backing_is_database()) /* which keeps many entries in a row */
        assert_in_range(turns, 19 * 201 / STORAGE_TRIM_ROWS, 19 * 201 / STORAGE_TRIM_ROWS + 4);
    l = fold(t, t->s, 0);
    assert_int_equal(l.n, 11 * 201);
    reopen(t);
    assert_int_equal(fold(t, t->s, 0).n, 11 * 201);
    assert_string_equal(fold(t, t->s, 0).text, fold_beside(t).text);
    /* All but the newest snapshot's minute goes at most. */
    trim(t, now_us + TIME_DAY, TIME_MINUTE, INT64_MAX, &next);
    assert_int_equal(fold(t, t->s, 0).n, 201);
}

static void test_history_goes_by_size(void **state)
{
    struct test *t = *state;
    enum storage_trimmed next;
    int64_t size, last;

    open_it(t);
    live(t, 30, 200, TIME_HOUR);
    size = t->s->ops->bytes(t->s);
    trim(t, TIME_HOUR, TIME_DAY, size / 2, &next);
    assert_int_equal(next, STORAGE_TRIM_DONE);
    assert_in_range(t->s->ops->bytes(t->s), size / 3, size / 2);
    assert_false(storage_trim_due(t->s, TIME_HOUR, TIME_DAY, size / 2));
    /* Much behind the last snapshot and nothing before it: a new one is asked for, once. */
    trim(t, TIME_HOUR, TIME_DAY, size / 30, &next);
    last = last_position(t, t->s);
    begin(t);
    for (int i = 0; i < 1000; i++)
        append(t, WIRE_INPUT_RECORD, 2 * TIME_HOUR, "some text to make it larger, and larger");
    commit(t);
    trim(t, TIME_HOUR, TIME_DAY, size / 30, &next);
    assert_int_equal(next, STORAGE_TRIM_NEEDS_SNAPSHOT);
    begin(t);
    append(t, WIRE_INPUT_SNAPSHOT, 2 * TIME_HOUR, "now");
    commit(t);
    trim(t, TIME_HOUR, TIME_DAY, size / 30, &next);
    assert_int_equal(next, STORAGE_TRIM_DONE);
    assert_string_equal(strrchr(fold(t, t->s, 0).text, ':'), ":S7200000000=now ");
    assert_int_equal(fold(t, t->s, 0).first_position, last + 1001);
}

static void test_a_rollback_undoes_a_trim(void **state)
{
    struct test *t = *state;
    enum storage_trimmed next;

    open_it(t);
    live(t, 3, 10, TIME_HOUR);
    begin(t);
    OK(t, storage_trim(t->s, 2 * TIME_HOUR, TIME_MINUTE, INT64_MAX, &next, &t->err));
    assert_int_equal(next, STORAGE_TRIM_MORE);
    storage_rollback(t->s);
    assert_int_equal(fold(t, t->s, 0).n, 33);
    trim(t, 2 * TIME_HOUR, TIME_MINUTE, INT64_MAX, &next);
    assert_int_equal(fold(t, t->s, 0).n, 11);
}

struct overtaken {
    struct test *t;
    int64_t n;
};

static int trim_meanwhile(void *ctx, int64_t position, const struct wire_entry *entry,
                          struct wire_bytes raw)
{
    struct overtaken *o = ctx;
    enum storage_trimmed next;

    (void)position;
    (void)entry;
    (void)raw;
    if (o->n++ == 0)
        trim(o->t, TIME_DAY, TIME_MINUTE, INT64_MAX, &next);
    return 0;
}

/* A capture with a hole in it would be a lie. */
static void test_a_reader_that_is_overtaken_says_so(void **state)
{
    struct test *t = *state;
    struct overtaken o = {.t = t};
    struct storage *reader;

    open_it(t);
    live(t, 10, 200, TIME_HOUR);
    OK(t, backing_open(t->path, true, &reader, t->set_aside, &t->err));
    assert_int_equal(storage_read(reader, 0, trim_meanwhile, &o, &t->err), ERR_BUSY);
    assert_in_range(o.n, 1, 1000);
    storage_close(reader);
}

/* ---- The outbox's rows ------------------------------------------------------------------------
 */

static int put_row(struct test *t, const char *channel, int64_t decided_us)
{
    int64_t row;
    struct wire_bytes alert = {(const uint8_t *)"alert", 5};
    const struct storage_turn turn = {channel, "app", "rule"};

    return t->s->ops->outbox_put(t->s, &turn, alert, decided_us, &row, &t->err);
}

/* One row as a line. */
static int note_row(void *ctx, const struct storage_outbox_row *m)
{
    struct listing *l = ctx;

    assert_memory_equal(m->alert.data, "alert", 5);
    l->n++;
    if (l->len + 100 < sizeof l->text)
        l->len +=
            (size_t)snprintf(l->text + l->len, sizeof l->text - l->len,
                             "%lld %s state %d tries %d next %lld ended %lld %s\n",
                             (long long)m->row, m->channel, (int)m->state, m->tries,
                             (long long)m->next_try_us, (long long)m->ended_us, m->last_answer);
    return 0;
}

static struct listing rows_of(struct test *t, struct storage *s)
{
    struct listing l = {.n = 0};

    OK(t, s->ops->outbox_list(s, note_row, &l, &t->err));
    return l;
}

static void mark(struct test *t, int64_t row, enum outbox_state state, int64_t now_us)
{
    struct storage_outbox_mark m = {.state = state,
                                    .now_us = now_us,
                                    .ended_us = state == OUTBOX_DELIVERED ? now_us : 0,
                                    .answer = "an answer"};

    OK(t, t->s->ops->outbox_mark(t->s, row, &m, &t->err));
}

static void test_what_is_over_goes_with_the_history(void **state)
{
    struct test *t = *state;
    struct wire_bytes bytes = {(const uint8_t *)"junk", 4};
    struct listing l;
    enum storage_trimmed next;

    open_it(t);
    live(t, 1, 1, TIME_HOUR);
    begin(t);
    OK(t, put_row(t, "A", TIME_HOUR + 1));
    OK(t, put_row(t, "A", TIME_HOUR + 2));
    OK(t, put_row(t, "A", TIME_HOUR + 3));
    OK(t, put_row(t, "A", 2 * TIME_HOUR + 3));
    OK(t, t->s->ops->put_refused(t->s, sender, 1, bytes, "no record", TIME_HOUR + 5, &t->err));
    OK(t, t->s->ops->put_refused(t->s, sender, 2, bytes, "no record", 2 * TIME_HOUR + 5, &t->err));
    OK(t, t->s->ops->put_sequence(t->s, sender, 3, TIME_HOUR, &t->err));
    mark(t, 1, OUTBOX_DELIVERED, 3 * TIME_HOUR);
    mark(t, 2, OUTBOX_FAILED, 3 * TIME_HOUR);
    mark(t, 4, OUTBOX_DELIVERED, 3 * TIME_HOUR);
    commit(t);
    live(t, 1, 1, 2 * TIME_HOUR);
    trim(t, 3 * TIME_HOUR, TIME_MINUTE, INT64_MAX, &next);
    l = rows_of(t, t->s);
    assert_string_equal(l.text, "2 A state 1 tries 1 next 0 ended 0 an answer\n"
                                "3 A state 0 tries 0 next 0 ended 0 \n"
                                "4 A state 2 tries 1 next 0 ended 10800000000 an answer\n");
    assert_int_equal(count_refused(t), 1);
    assert_taken(t, sender, 3);
    begin(t);
    OK(t, put_row(t, "A", 3 * TIME_HOUR));
    commit(t);
    l = rows_of(t, t->s);
    assert_non_null(strstr(l.text, "5 A")); /* no row is used twice */
}

/* ---- The file ---------------------------------------------------------------------------------
 */

static void test_an_idle_turn_costs_no_query(void **state)
{
    struct test *t = *state;
    enum storage_trimmed next;

    statements_watch(true);
    open_it(t);
    statements_watch(false);
    live(t, 3, 3, TIME_HOUR);
    trim(t, TIME_HOUR, TIME_DAY, INT64_MAX, &next);
    n_statements = 0;
    assert_false(storage_trim_due(t->s, TIME_HOUR, TIME_DAY, INT64_MAX));
    assert_int_equal(n_statements, 0);
    begin(t);
    commit(t);
    assert_in_range(n_statements, 2, 4);
}

static void change_file(struct test *t, const char *text)
{
    sqlite3 *db;

    assert_int_equal(sqlite3_open(t->path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, text, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

static void test_a_damaged_file_is_set_aside(void **state)
{
    static const char *const damages[] = {
        "DROP TABLE senders",
        "DROP TABLE outbox",
        "ALTER TABLE snapshots DROP COLUMN step_us",
        "DROP TABLE records",
        "UPDATE named SET bytes = x'00' WHERE name = 'store.format'",
    };
    struct test *t = *state;

    for (int i = 0; i < (int)(sizeof damages / sizeof *damages); i++) {
        char name[64], expected[512];
        struct storage_options reading = {.location = t->path, .read_only = true};

        open_it(t);
        live(t, 2, 2, TIME_HOUR);
        storage_close(t->s);
        change_file(t, damages[i]);
        assert_int_equal(storage_open(&reading, &t->s, t->set_aside, &t->err), ERR_DAMAGED);
        open_it(t);
        snprintf(name, sizeof name, "alerter.db.damaged-%d", i + 1);
        assert_string_equal(t->set_aside, scratch_path(&t->scratch, name, expected));
        assert_int_equal(last_position(t, t->s), 0);
        live(t, 1, 1, TIME_HOUR);
        reopen(t);
        storage_close(t->s);
        t->s = NULL;
    }
}

static void test_an_entry_that_is_none_is_damage(void **state)
{
    struct test *t = *state;
    struct listing l = {.n = 0};

    open_it(t);
    live(t, 5, 0, TIME_HOUR);
    storage_close(t->s);
    change_file(t, "UPDATE records SET bytes = x'ffff' WHERE position = 4");
    open_it(t);
    assert_int_equal(storage_read(t->s, 0, list_entry, &l, &t->err), ERR_DAMAGED);
    assert_int_equal(l.n, 3);
    assert_non_null(strstr(t->err.text, "entry 4"));
    storage_close(t->s);
    open_it(t);
    assert_string_not_equal(t->set_aside, "");
}

static void test_a_newer_file_is_left_alone(void **state)
{
    struct test *t = *state;
    struct storage_options options = {.location = t->path};

    open_it(t);
    storage_close(t->s);
    change_file(t, "UPDATE named SET bytes = x'0200000000000000' WHERE name = 'store.format'");
    assert_int_equal(storage_open(&options, &t->s, t->set_aside, &t->err), ERR_VERSION);
    assert_string_equal(t->set_aside, "");
    assert_non_null(strstr(t->err.text, "alerter.db"));
}

/* As an older build left it, with a waiting row. */
static void make_older(struct test *t)
{
    open_it(t);
    OK(t, storage_begin(t->s, &t->err));
    OK(t, put_row(t, "A", 10));
    OK(t, storage_commit(t->s, &t->err));
    storage_close(t->s);
    t->s = NULL;
    change_file(t, "DROP INDEX outbox_turns; DROP INDEX outbox_app_turns");
    change_file(t, "DROP INDEX outbox_places; DROP INDEX outbox_rule_places");
    change_file(t, "ALTER TABLE outbox DROP COLUMN app");
    change_file(t, "ALTER TABLE outbox DROP COLUMN turn");
}

/* As an even older one did. */
static void make_oldest(struct test *t)
{
    make_older(t);
    change_file(t, "ALTER TABLE outbox DROP COLUMN rule");
    change_file(t, "ALTER TABLE outbox DROP COLUMN place");
    change_file(t, "CREATE INDEX outbox_waiting ON outbox (channel, row) WHERE state = 0");
}

static void check_older(struct test *t)
{
    struct storage *reader;
    struct listing l = {.n = 0};

    OK(t, storage_open(&(struct storage_options){.location = t->path, .read_only = true}, &reader,
                       t->set_aside, &t->err));
    assert_int_equal(rows_of(t, reader).n, 1);
    OK(t, reader->ops->outbox_heads(reader, note_row, &l, &t->err));
    assert_int_equal(l.n, 1);
    l = (struct listing){.n = 0};
    storage_close(reader);
    open_it(t);
    assert_string_equal(t->set_aside, "");
    OK(t, storage_begin(t->s, &t->err));
    OK(t, put_row(t, "A", 20));
    OK(t, storage_commit(t->s, &t->err));
    OK(t, t->s->ops->outbox_heads(t->s, note_row, &l, &t->err));
    assert_int_equal(l.n, 1);
    assert_memory_equal(l.text, "1 A ", 4); /* the older row goes first */
    reopen(t);
    assert_int_equal(rows_of(t, t->s).n, 2);
}

static void test_an_older_file_gets_the_columns_of_turns(void **state)
{
    make_older(*state);
    check_older(*state);
}

static void test_the_oldest_file_gets_the_columns_of_turns(void **state)
{
    make_oldest(*state);
    check_older(*state);
}

static void test_one_owner(void **state)
{
    struct test *t = *state;
    struct storage_options options = {.location = t->path, .read_only = true};
    struct storage *second;

    assert_int_equal(storage_open(&options, &second, t->set_aside, &t->err), ERR_IO);
    open_it(t);
    options.read_only = false;
    assert_int_equal(storage_open(&options, &second, t->set_aside, &t->err), ERR_BUSY);
    assert_null(second);
}

/* ---- A disk that is full or fails -------------------------------------------------------------
 */

static int append_turn(struct test *t, int64_t step_us)
{
    static const uint8_t bytes[400];
    struct wire_entry entry = {
        .step_us = step_us, .input = WIRE_INPUT_RECORD, .bytes = {bytes, sizeof bytes}};
    int rc = storage_begin(t->s, &t->err);

    if (rc == 0)
        rc = storage_append(t->s, &entry, NULL, &t->err);
    if (rc == 0)
        rc = t->s->ops->put_sequence(t->s, sender, (uint64_t)step_us, step_us, &t->err);
    if (rc == 0)
        return storage_commit(t->s, &t->err);
    storage_rollback(t->s);
    return rc;
}

static void test_on_a_full_disk_history_goes_first(void **state)
{
    struct test *t = *state;
    int64_t step_us = TIME_DAY, first;
    int rc, freed = 0, turns = 0;

    open_it(t);
    live(t, 60, 300, TIME_HOUR);
    first = fold(t, t->s, 0).n;
    failing_vfs_disk_full(true);
    while (turns < 100000) {
        rc = append_turn(t, step_us++);
        turns += rc == 0;
        if (rc == 0)
            continue;
        assert_int_equal(rc, ERR_FULL);
        if (storage_free_room(t->s, &t->err) != 0)
            break;
        freed++;
    }
    /* All free room was used, and history was dropped only when it was needed. */
    assert_in_range(freed, 1, 10);
    assert_true(turns > first);
    assert_int_equal(storage_free_room(t->s, &t->err), ERR_FULL);
    assert_int_equal(fold(t, t->s, 0).first, WIRE_INPUT_SNAPSHOT);
    assert_int_equal(fold(t, t->s, 0).n, 301 + turns);
    failing_vfs_disk_full(false);
    assert_int_equal(append_turn(t, step_us++), 0);
    reopen(t);
    assert_int_equal(fold(t, t->s, 0).n, 302 + turns);
}

/* A turn stores these together: the entry, the sequence, the alert, the answer. */
static int whole_turn(struct test *t, int64_t n)
{
    struct wire_entry entry = {.step_us = n,
                               .input = n % 3 == 0 ? WIRE_INPUT_SNAPSHOT : WIRE_INPUT_RECORD,
                               .bytes = {(const uint8_t *)"turn", 4}};
    enum storage_trimmed next;
    int rc = storage_begin(t->s, &t->err);

    if (rc == 0)
        rc = storage_append(t->s, &entry, NULL, &t->err);
    if (rc == 0)
        rc = t->s->ops->put_sequence(t->s, sender, (uint64_t)n, n, &t->err);
    if (rc == 0)
        rc = put_row(t, "A", n);
    if (rc == 0)
        rc = storage_trim(t->s, n, 4, INT64_MAX, &next, &t->err);
    if (rc == 0)
        return storage_commit(t->s, &t->err);
    storage_rollback(t->s);
    return rc;
}

static void assert_belongs_together(struct test *t, struct storage *s, int64_t n)
{
    struct listing l = fold(t, s, 0), rows = rows_of(t, s);
    uint64_t taken;

    OK(t, s->ops->get_sequence(s, sender, &taken, &t->err));
    assert_int_equal(taken, n);
    assert_int_equal(l.last_step_us, n);
    assert_int_equal(rows.n, n);
    assert_int_equal(last_position(t, s), n);
    assert_true(n < 8 || l.first == WIRE_INPUT_SNAPSHOT);
}

static long run_turns(struct test *t, struct failing_plan plan)
{
    int64_t n = 0;
    long count;

    open_it(t);
    failing_vfs_plan(plan);
    for (int i = 0; i < 15; i++) {
        int rc = whole_turn(t, n + 1);

        assert_true(rc == 0 || rc == ERR_IO || rc == ERR_FULL);
        n += rc == 0;
        assert_belongs_together(t, t->s, n);
    }
    count = failing_vfs_count();
    failing_vfs_plan((struct failing_plan){0});
    assert_true(n >= 14);
    reopen(t);
    assert_belongs_together(t, t->s, n);
    storage_close(t->s);
    t->s = NULL;
    scratch_empty(&t->scratch);
    return count;
}

static void test_each_operation_fails_once(void **state)
{
    struct test *t = *state;
    long n = run_turns(t, (struct failing_plan){0});

    assert_true(n > 60);
    for (long nth = 1; nth <= n; nth++) {
        run_turns(t, (struct failing_plan){.nth = nth, .torn = true});
        run_turns(t, (struct failing_plan){.nth = nth, .full = true});
    }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_what_was_taken_is_remembered),
        TEST(test_what_cannot_be_read_is_kept),
        TEST(test_the_stream_is_folded_from_a_snapshot),
        TEST(test_history_goes_by_age),
        TEST(test_history_goes_by_size),
        TEST(test_a_rollback_undoes_a_trim),
        TEST(test_a_reader_that_is_overtaken_says_so),
        TEST(test_what_is_over_goes_with_the_history),
    };
    const struct CMUnitTest sqlite_tests[] = {
        TEST(test_an_idle_turn_costs_no_query),
        TEST(test_a_damaged_file_is_set_aside),
        TEST(test_an_entry_that_is_none_is_damage),
        TEST(test_a_newer_file_is_left_alone),
        TEST(test_an_older_file_gets_the_columns_of_turns),
        TEST(test_the_oldest_file_gets_the_columns_of_turns),
        TEST(test_one_owner),
        TEST(test_on_a_full_disk_history_goes_first),
        TEST(test_each_operation_fails_once),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);

    return backing_is_database() ? failed
                                 : failed + cmocka_run_group_tests(sqlite_tests, NULL, NULL);
}
