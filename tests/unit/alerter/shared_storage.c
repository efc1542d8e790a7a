/* Keeps the shared contents in one SQLite database in memory, and a copy of it for each alerter,
 * which is read anew by restore and written back by a commit. Called by the tests of roles. */
#include "tests/unit/alerter/shared_storage.h"

#include "common/base/buf.h"
#include "common/record/source.h"
#include "common/storage/tables.h"
#include "tests/unit/unit.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct push {
    uint8_t sender[WIRE_SENDER_BYTES];
    uint64_t last;
    struct buf packed;
    struct push *next;
};

struct side {
    struct tables tables; /* first */
    struct source source;
    int64_t epoch; /* of the lease that it has, 0: none */
    int64_t last;  /* position of the newest entry that it knows */
    bool is_cut_off;
    enum shared_fate fate;
    int restores;
    struct storage_term term;
    const struct push *next; /* the next three: reading of the inbox */
    bool is_read;
    size_t appended; /* in the open transaction */
};

static struct {
    sqlite3 *db;
    sqlite3 *replica; /* NULL: none */
    int64_t epoch;
    struct side *holder;
    bool is_released;
    bool is_unreadable;
    bool refuses_snapshots;
    int refused;
    const char *moved;
    int64_t now_us;
    int64_t shift_us;
    struct push *inbox;
} shared;

static struct side *side_of(struct storage *s)
{
    return (struct side *)s;
}

static const struct side *side_at(const struct storage *s)
{
    return (const struct side *)s;
}

static void run(sqlite3 *db, const char *sql)
{
    char *why = NULL;

    if (sqlite3_exec(db, sql, NULL, NULL, &why) != SQLITE_OK)
        fail_msg("%s: %s", sql, why);
}

static int64_t ask(sqlite3 *db, const char *sql)
{
    sqlite3_stmt *stmt;
    int64_t n = 0;

    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &stmt, NULL), SQLITE_OK);
    if (sqlite3_step(stmt) == SQLITE_ROW)
        n = sqlite3_column_int64(stmt, 0);
    sqlite3_finalize(stmt);
    return n;
}

static void copy(sqlite3 *from, sqlite3 *to)
{
    sqlite3_backup *backup = sqlite3_backup_init(to, "main", from, "main");

    assert_non_null(backup);
    assert_int_equal(sqlite3_backup_step(backup, -1), SQLITE_DONE);
    assert_int_equal(sqlite3_backup_finish(backup), SQLITE_OK);
}

void shared_begin(void)
{
    assert_int_equal(sqlite3_open(":memory:", &shared.db), SQLITE_OK);
    run(shared.db, tables_create);
    run(shared.db, "CREATE TABLE entries (position INTEGER PRIMARY KEY, bytes BLOB NOT NULL);"
                   "CREATE TABLE start (position INTEGER NOT NULL); INSERT INTO start VALUES (0);");
}

void shared_end(void)
{
    for (struct push *p = shared.inbox, *next; p != NULL; p = next) {
        next = p->next;
        buf_close(&p->packed);
        free(p);
    }
    sqlite3_close(shared.db);
    sqlite3_close(shared.replica);
    memset(&shared, 0, sizeof shared);
}

void shared_replicate(void)
{
    assert_null(shared.replica);
    assert_int_equal(sqlite3_open(":memory:", &shared.replica), SQLITE_OK);
    copy(shared.db, shared.replica);
}

void shared_fail_over(void)
{
    copy(shared.replica, shared.db);
}

void shared_push(const struct wire_push *push, const struct wire_bytes *records)
{
    struct push *p = calloc(1, sizeof *p), **at = &shared.inbox;
    struct wire_push whole = *push;

    whole.records = records;
    memcpy(p->sender, push->sender, sizeof p->sender);
    p->last = push->first + push->n_records - 1;
    buf_init(&p->packed, WIRE_MESSAGE_MAX);
    assert_int_equal(wire_pack_push(&whole, &p->packed), 0);
    while (*at != NULL)
        at = &(*at)->next;
    *at = p;
}

void shared_give_lease(struct storage *s)
{
    shared.holder = s != NULL ? side_of(s) : NULL;
    shared.epoch += s != NULL;
    shared.is_released = s == NULL;
}

void shared_cut_off(struct storage *s, bool is_cut_off)
{
    side_of(s)->is_cut_off = is_cut_off;
}

void shared_set_fate(struct storage *s, enum shared_fate fate)
{
    side_of(s)->fate = fate;
}

void shared_lose(struct storage *s)
{
    side_of(s)->term.must_reread = true;
}

void shared_move(const char *place)
{
    shared.moved = place;
}

void shared_shift_clock(int64_t us)
{
    shared.shift_us += us;
}

void shared_set_unreadable(bool is_unreadable)
{
    shared.is_unreadable = is_unreadable;
}

void shared_trim(void)
{
    run(shared.db, "UPDATE start SET position = (SELECT max(position) FROM snapshots);"
                   "DELETE FROM snapshots WHERE position < (SELECT position FROM start);"
                   "DELETE FROM entries WHERE position < (SELECT position FROM start);");
}

int64_t shared_last(void)
{
    return ask(shared.db, "SELECT max(position) FROM entries");
}

void shared_refuse_snapshots(bool is_refused)
{
    shared.refuses_snapshots = is_refused;
}

int shared_refused(void)
{
    return shared.refused;
}

size_t shared_rows(void)
{
    return (size_t)ask(shared.db, "SELECT count(*) FROM outbox");
}

bool shared_is_released(void)
{
    return shared.is_released;
}

int shared_restores(const struct storage *s)
{
    return side_at(s)->restores;
}

static int away(struct err *err)
{
    return err_set(err, ERR_AWAY, "the test cut the connection");
}

/* ---- The inbox as a source ---- */

static struct side *side_of_source(struct source *s)
{
    return (struct side *)((char *)s - offsetof(struct side, source));
}

static int source_fd(const struct source *s)
{
    (void)s;
    return -1;
}

static bool source_pending(struct source *s)
{
    (void)s;
    return false;
}

static void source_tend(struct source *s, int64_t now_us)
{
    (void)s, (void)now_us;
}

/* All pushes once in a turn; the fence holds for reading, too. */
static int source_receive(struct source *s, struct source_peer *peer, struct wire_bytes *push)
{
    struct side *side = side_of_source(s);

    if (!side->is_read)
        side->next = shared.inbox;
    side->is_read = true;
    if (side->next == NULL || side->is_cut_off || side->epoch != shared.epoch) {
        side->is_read = false;
        return 0;
    }
    peer->len = 0;
    *push = (struct wire_bytes){side->next->packed.data, side->next->packed.len};
    side->next = side->next->next;
    return 1;
}

static void source_ack(struct source *s, const struct source_peer *peer, const struct wire_ack *ack)
{
    (void)s, (void)peer, (void)ack;
}

static uint64_t source_strangers(const struct source *s)
{
    (void)s;
    return 0;
}

static void source_close(struct source *s)
{
    (void)s;
}

static const struct source_ops inbox_ops = {
    .fd = source_fd,
    .pending = source_pending,
    .tend = source_tend,
    .receive = source_receive,
    .ack = source_ack,
    .strangers = source_strangers,
    .close = source_close,
};

/* ---- Roles ---- */

static int shared_open(const struct storage_options *options, struct storage **out,
                       char set_aside[512], struct err *err)
{
    struct side *side = calloc(1, sizeof *side);

    (void)options, (void)set_aside;
    assert_non_null(side);
    side->source.ops = &inbox_ops;
    side->term.holder = "";
    *out = &side->tables.storage;
    assert_int_equal(sqlite3_open(":memory:", &side->tables.db), SQLITE_OK);
    copy(shared.db, side->tables.db);
    return tables_prepare(&side->tables, err);
}

static void shared_close(struct storage *s)
{
    struct side *side = side_of(s);

    tables_finalize(&side->tables);
    sqlite3_close(side->tables.db);
    if (shared.holder == side)
        shared.holder = NULL;
    free(side);
}

static int shared_tend(struct storage *s, int64_t now_us, enum storage_role *role, struct err *err)
{
    struct side *side = side_of(s);

    shared.now_us = SHARED_EPOCH_US + shared.shift_us + now_us;
    if (side->is_cut_off) {
        *role = STORAGE_AWAY;
        away(err);
        return 0;
    }
    *role = shared.holder == side && !s->stands_by ? STORAGE_ACTIVE : STORAGE_STANDBY;
    if (*role == STORAGE_ACTIVE && side->epoch != shared.epoch) {
        side->epoch = shared.epoch;
        side->term.taken_at_us = shared.now_us;
    }
    side->term.epoch = shared.epoch;
    side->term.holder = shared.holder == NULL ? "" : "another one";
    side->term.is_heard = shared.holder != NULL;
    side->term.last = shared_last();
    snprintf(side->tables.storage.moved, sizeof side->tables.storage.moved, "%s",
             shared.moved == NULL ? "" : shared.moved);
    return 0;
}

static int shared_restore(struct storage *s, struct err *err)
{
    struct side *side = side_of(s);

    if (side->is_cut_off)
        return away(err);
    assert_false(s->in_transaction);
    side->restores++;
    side->term.must_reread = false;
    side->is_read = false;
    copy(shared.db, side->tables.db);
    side->last = shared_last();
    return 0;
}

static int shared_fd(const struct storage *s)
{
    (void)s;
    return -1;
}

static int64_t shared_wake_us(const struct storage *s)
{
    (void)s;
    return INT64_MAX;
}

static bool shared_may_post(struct storage *s, int64_t now_us)
{
    (void)now_us;
    return shared.holder == side_of(s) && !side_of(s)->is_cut_off;
}

static void shared_release(struct storage *s)
{
    if (shared.holder == side_of(s))
        shared_give_lease(NULL);
}

static const struct storage_term *shared_term(const struct storage *s)
{
    return &side_at(s)->term;
}

static struct source *shared_source(struct storage *s)
{
    return &side_of(s)->source;
}

/* ---- Transactions and the stream ---- */

static bool shared_is_gone(const struct storage *s)
{
    (void)s;
    return false;
}

static void shared_mark_damaged(struct storage *s)
{
    (void)s;
}

static void shared_maintain(struct storage *s, bool is_idle)
{
    (void)s, (void)is_idle;
}

static int shared_begin_turn(struct storage *s, struct err *err)
{
    if (side_of(s)->is_cut_off)
        return away(err);
    run(side_of(s)->tables.db, "BEGIN");
    side_of(s)->appended = 0;
    return 0;
}

static void shared_rollback(struct storage *s)
{
    run(side_of(s)->tables.db, "ROLLBACK");
}

/* Records that were taken leave the inbox in the same transaction. */
static void drop_taken(struct storage *s)
{
    struct push **at = &shared.inbox;
    struct err err;
    uint64_t taken;

    while (*at != NULL) {
        struct push *p = *at;

        assert_int_equal(tables_get_sequence(s, p->sender, &taken, &err), 0);
        if (p->last > taken) {
            at = &p->next;
            continue;
        }
        *at = p->next;
        buf_close(&p->packed);
        free(p);
    }
    side_of(s)->next = NULL;
}

static int shared_commit(struct storage *s, struct err *err)
{
    struct side *side = side_of(s);
    const enum shared_fate fate = side->fate;
    const bool is_fenced = side->epoch != shared.epoch || shared.holder != side ||
                           side->last != shared_last() || side->is_cut_off;

    side->fate = SHARED_COMMITS;
    if (fate == SHARED_LOST_BEFORE || fate == SHARED_LOST_AFTER)
        side->is_cut_off = true;
    if (is_fenced || fate == SHARED_LOST_BEFORE || fate == SHARED_FULL) {
        shared_rollback(s);
        return fate == SHARED_FULL ? err_set(err, ERR_FULL, "the test's disk is full") : away(err);
    }
    run(side->tables.db, "COMMIT");
    copy(side->tables.db, shared.db);
    drop_taken(s);
    if (fate == SHARED_LOST_AFTER)
        return away(err);
    side->last = shared_last();
    return 0;
}

static int shared_append(struct storage *s, const struct wire_entry *entry,
                         struct wire_bytes packed, int64_t *position, struct err *err)
{
    struct side *side = side_of(s);
    sqlite3_stmt *stmt;

    if (entry->input == WIRE_INPUT_SNAPSHOT && shared.refuses_snapshots) {
        shared.refused++;
        return err_set(err, ERR_FULL, "the test's disk is full");
    }
    *position = side->last + (int64_t)++side->appended;
    assert_int_equal(
        sqlite3_prepare_v2(side->tables.db, "INSERT INTO entries VALUES (?1, ?2)", -1, &stmt, NULL),
        SQLITE_OK);
    sqlite3_bind_int64(stmt, 1, *position);
    sqlite3_bind_blob64(stmt, 2, packed.data, packed.len, SQLITE_STATIC);
    assert_int_equal(sqlite3_step(stmt), SQLITE_DONE);
    sqlite3_finalize(stmt);
    return entry->input == WIRE_INPUT_SNAPSHOT
               ? tables_put_snapshot(s, *position, entry->step_us, err)
               : 0;
}

/* Always of the shared contents. */
static int shared_read(struct storage *s, int64_t from, storage_bytes_fn *fn, void *ctx,
                       struct err *err)
{
    sqlite3_stmt *stmt;
    int rc = 0;

    if (side_of(s)->is_cut_off)
        return away(err);
    assert_int_equal(sqlite3_prepare_v2(shared.db,
                                        "SELECT position, bytes FROM entries WHERE position >= ?1 "
                                        "ORDER BY position",
                                        -1, &stmt, NULL),
                     SQLITE_OK);
    sqlite3_bind_int64(stmt, 1, from);
    while (rc == 0 && sqlite3_step(stmt) == SQLITE_ROW) {
        if (shared.is_unreadable && sqlite3_column_int64(stmt, 0) == shared_last())
            rc = err_set(err, ERR_VERSION, "an entry of a newer build");
        else
            rc = fn(ctx, sqlite3_column_int64(stmt, 0), sqlite3_column_blob(stmt, 1),
                    (size_t)sqlite3_column_bytes(stmt, 1));
    }
    sqlite3_finalize(stmt);
    return rc;
}

static int64_t shared_bytes(const struct storage *s)
{
    return ask(side_at(s)->tables.db, "SELECT sum(length(bytes)) FROM entries");
}

static bool shared_is_larger(const struct storage *s, int64_t max_bytes)
{
    (void)s, (void)max_bytes;
    return false;
}

static int shared_trim_entries(struct storage *s, int64_t before, int n, struct err *err)
{
    char sql[160];

    (void)err;
    snprintf(sql, sizeof sql,
             "DELETE FROM entries WHERE position IN (SELECT position FROM entries WHERE "
             "position < %lld ORDER BY position LIMIT %d)",
             (long long)before, n);
    run(side_of(s)->tables.db, sql);
    return 0;
}

static int64_t shared_first(const struct storage *s)
{
    return ask(side_at(s)->tables.db, "SELECT min(position) FROM entries");
}

static int shared_get_start(struct storage *s, int64_t *position, struct err *err)
{
    (void)err;
    *position = ask(side_of(s)->tables.db, "SELECT position FROM start");
    return 0;
}

static int shared_put_start(struct storage *s, int64_t position, struct err *err)
{
    char sql[80];

    snprintf(sql, sizeof sql, "UPDATE start SET position = %lld", (long long)position);
    run(side_of(s)->tables.db, sql);
    return tables_trim_snapshots(s, position, err);
}

const struct storage_ops shared_storage = {
    .open = shared_open,
    .close = shared_close,
    .tend = shared_tend,
    .restore = shared_restore,
    .fd = shared_fd,
    .wake_us = shared_wake_us,
    .may_post = shared_may_post,
    .release = shared_release,
    .term = shared_term,
    .source = shared_source,
    .is_gone = shared_is_gone,
    .mark_damaged = shared_mark_damaged,
    .maintain = shared_maintain,
    .begin = shared_begin_turn,
    .commit = shared_commit,
    .rollback = shared_rollback,
    .append = shared_append,
    .read = shared_read,
    .trim = shared_trim_entries,
    .first = shared_first,
    .bytes = shared_bytes,
    .is_larger = shared_is_larger,
    .get_start = shared_get_start,
    .put_start = shared_put_start,
    .get_sequence = tables_get_sequence,
    .put_sequence = tables_put_sequence,
    .put_refused = tables_put_refused,
    .trim_refused = tables_trim_refused,
    .find_snapshot = tables_find_snapshot,
    .next_snapshot = tables_next_snapshot,
    .outbox_put = tables_outbox_put,
    .outbox_heads = tables_outbox_heads,
    .outbox_oldest = tables_outbox_oldest,
    .outbox_count = tables_outbox_count,
    .outbox_load = tables_outbox_load,
    .outbox_list = tables_outbox_list,
    .outbox_expirable = tables_outbox_expirable,
    .outbox_mark = tables_outbox_mark,
    .outbox_mark_expired = tables_outbox_mark_expired,
    .outbox_unpark = tables_outbox_unpark,
    .outbox_trim = tables_outbox_trim,
    .list_senders = tables_list_senders,
    .list_refused = tables_list_refused,
    .outbox_restore = tables_outbox_restore,
};
