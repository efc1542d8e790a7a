#include "alerter/stream/store_impl.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
    FORMAT = 1,
    RECORD_KEPT_MAX = 64 << 10, /* bytes of memory kept for packing from entry to entry */
};

static const char tables[] =
    "CREATE TABLE senders (sender BLOB PRIMARY KEY, taken INTEGER NOT NULL,"
    " seen_us INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE refused (row INTEGER PRIMARY KEY, sender BLOB NOT NULL, sequence INTEGER NOT "
    "NULL,"
    " bytes BLOB NOT NULL, reason TEXT NOT NULL, at_us INTEGER NOT NULL);"
    "CREATE TABLE snapshots (position INTEGER PRIMARY KEY, step_us INTEGER NOT NULL);";

static const char *const sql[STORE_STMTS] = {
    [STORE_STMT_TAKEN] = "SELECT taken FROM senders WHERE sender = ?1",
    [STORE_STMT_TAKE] = "INSERT INTO senders (sender, taken, seen_us) VALUES (?1, ?2, ?3) "
                        "ON CONFLICT (sender) DO UPDATE SET taken = ?2, seen_us = ?3",
    [STORE_STMT_REFUSE] = "INSERT INTO refused (sender, sequence, bytes, reason, at_us) "
                          "VALUES (?1, ?2, ?3, ?4, ?5)",
    [STORE_STMT_REFUSED] = "SELECT count(*) FROM refused",
    [STORE_STMT_TRIM_REFUSED] = "DELETE FROM refused WHERE row IN "
                                "(SELECT row FROM refused WHERE at_us < ?1 ORDER BY row LIMIT ?2)",
    [STORE_STMT_ADD_SNAPSHOT] = "INSERT INTO snapshots (position, step_us) VALUES (?1, ?2)",
    [STORE_STMT_FIND_SNAPSHOT] = "SELECT position FROM snapshots WHERE step_us <= ?1 AND "
                                 "position < ?2 ORDER BY position DESC LIMIT 1",
    [STORE_STMT_NEXT_SNAPSHOT] = "SELECT position, step_us FROM snapshots WHERE position > ?1 "
                                 "ORDER BY position LIMIT 1",
    [STORE_STMT_SNAPSHOT_TIME] = "SELECT step_us FROM snapshots WHERE position = ?1",
    [STORE_STMT_TRIM_SNAPSHOTS] = "DELETE FROM snapshots WHERE position < ?1",
};

static int no_memory(struct err *err)
{
    return err_set(err, ERR_NOMEM, "no memory for the store");
}

static int run_sql(struct store *s, const char *text, struct err *err)
{
    sqlite3 *db = journal_db(s->journal);

    if (sqlite3_exec(db, text, NULL, NULL, NULL) != SQLITE_OK)
        return err_set(err, ERR_IO, "cannot make the store's tables: %s (check its disk)",
                       sqlite3_errmsg(db));
    return 0;
}

static int make_tables(struct store *s, struct err *err)
{
    int64_t format = FORMAT;
    int rc = journal_begin(s->journal, err);

    if (rc == 0)
        rc = run_sql(s, tables, err);
    if (rc == 0)
        rc = run_sql(s, outbox_tables, err);
    if (rc == 0)
        rc = journal_put(s->journal, "store.format", &format, sizeof format, err);
    if (rc == 0)
        return journal_commit(s->journal, err);
    journal_rollback(s->journal);
    return rc;
}

static int check_format(struct store *s, const struct store_options *options, struct err *err)
{
    int64_t format = 0;
    bool found;
    int rc = journal_get(s->journal, "store.format", &format, sizeof format, &found, err);

    if (rc != 0)
        return rc;
    if (!found && options->read_only)
        return err_set(err, ERR_IO, "%s: no alerter has kept anything here yet (start it)",
                       options->path);
    if (!found)
        return make_tables(s, err);
    if (format > FORMAT)
        return err_set(err, ERR_VERSION,
                       "%s: was written by a newer build, in format %lld (this build reads up to "
                       "%d: use the newer build, or move the file away)",
                       options->path, (long long)format, FORMAT);
    return 0;
}

/* A file that says it has our tables and has not is damaged. */
static int damaged(struct store *s, const struct store_options *options, struct err *err)
{
    struct err why = *err;

    journal_suspect(s->journal);
    return err_set(err, ERR_DAMAGED, "%s: damaged (start again: it is then set aside): %.600s",
                   options->path, why.text);
}

static int open_once(struct store *s, const struct store_options *options, char set_aside[512],
                     struct err *err)
{
    const struct journal_options journal = {
        .path = options->path, .read_only = options->read_only, .sync_full = options->sync_full};
    bool is_missing = false;
    int rc = journal_open(&journal, &s->journal, set_aside, err);

    if (rc == 0)
        rc = check_format(s, options, err);
    for (int i = 0; i < STORE_STMTS && rc == 0; i++) {
        rc = journal_prepare(s->journal, sql[i], &s->stmts[i], err);
        is_missing = rc != 0;
    }
    if (rc == 0) {
        rc = outbox_open(s->journal, &s->outbox, err);
        is_missing = rc != 0;
    }
    /* SQLITE_ERROR: no such table or column. */
    if (is_missing && sqlite3_errcode(journal_db(s->journal)) == SQLITE_ERROR)
        rc = damaged(s, options, err);
    return rc != 0 ? rc : store_history_open(s, err);
}

static void close_parts(struct store *s)
{
    outbox_close(s->outbox);
    s->outbox = NULL;
    for (int i = 0; i < STORE_STMTS; i++) {
        sqlite3_finalize(s->stmts[i]);
        s->stmts[i] = NULL;
    }
    journal_close(s->journal);
    s->journal = NULL;
}

int store_open(const struct store_options *options, struct store **out, char set_aside[512],
               struct err *err)
{
    struct store *s = calloc(1, sizeof *s);
    int rc;

    *out = NULL;
    set_aside[0] = '\0';
    if (s == NULL || (s->wire = wire_new()) == NULL) {
        free(s);
        return no_memory(err);
    }
    buf_init(&s->packed, WIRE_ENTRY_MAX);
    rc = open_once(s, options, set_aside, err);
    if (rc == ERR_DAMAGED && !options->read_only) {
        close_parts(s); /* it is marked, so this time the journal sets it aside */
        rc = open_once(s, options, set_aside, err);
    }
    if (rc != 0)
        store_close(s);
    else
        *out = s;
    return rc;
}

void store_close(struct store *s)
{
    if (s == NULL)
        return;
    close_parts(s);
    wire_free(s->wire);
    buf_close(&s->packed);
    free(s);
}

bool store_is_gone(const struct store *s)
{
    return journal_is_gone(s->journal);
}

void store_suspect(struct store *s)
{
    journal_suspect(s->journal);
}

int store_begin(struct store *s, struct err *err)
{
    return journal_begin(s->journal, err);
}

static void ended(struct store *s, bool committed)
{
    outbox_ended(s->outbox, committed);
    if (committed)
        s->committed = s->history;
    else
        s->history = s->committed;
}

int store_commit(struct store *s, struct err *err)
{
    int rc = outbox_save(s->outbox, err);

    if (rc == 0)
        rc = journal_commit(s->journal, err);
    else
        journal_rollback(s->journal);
    ended(s, rc == 0);
    return rc;
}

void store_rollback(struct store *s)
{
    journal_rollback(s->journal);
    ended(s, false);
}

void store_settle(struct store *s)
{
    journal_settle(s->journal);
}

void store_rest(struct store *s)
{
    journal_rest(s->journal);
}

struct outbox *store_outbox(struct store *s)
{
    return s->outbox;
}

/* ---- Senders ----------------------------------------------------------------------------------
 */

/* SQLite's integers have a sign. The numbers are only stored and never compared there, so those
 * beyond 2^63 come back as they went in. */
int store_taken(struct store *s, const uint8_t sender[WIRE_SENDER_BYTES], uint64_t *taken,
                struct err *err)
{
    sqlite3_stmt *stmt = s->stmts[STORE_STMT_TAKEN];
    int rc;

    sqlite3_bind_blob(stmt, 1, sender, WIRE_SENDER_BYTES, SQLITE_STATIC);
    rc = journal_step(s->journal, stmt, "cannot read what was taken", err);
    *taken = rc == 1 ? (uint64_t)sqlite3_column_int64(stmt, 0) : 0;
    sqlite3_reset(stmt);
    return rc < 0 ? rc : 0;
}

int store_take(struct store *s, const uint8_t sender[WIRE_SENDER_BYTES], uint64_t sequence,
               int64_t now_us, struct err *err)
{
    sqlite3_stmt *stmt = s->stmts[STORE_STMT_TAKE];

    sqlite3_bind_blob(stmt, 1, sender, WIRE_SENDER_BYTES, SQLITE_STATIC);
    sqlite3_bind_int64(stmt, 2, (int64_t)sequence);
    sqlite3_bind_int64(stmt, 3, now_us);
    return journal_run(s->journal, stmt, "cannot note what was taken", err);
}

int store_refuse(struct store *s, const uint8_t sender[WIRE_SENDER_BYTES], uint64_t sequence,
                 struct wire_bytes bytes, const char *why, int64_t now_us, struct err *err)
{
    sqlite3_stmt *stmt = s->stmts[STORE_STMT_REFUSE];

    sqlite3_bind_blob(stmt, 1, sender, WIRE_SENDER_BYTES, SQLITE_STATIC);
    sqlite3_bind_int64(stmt, 2, (int64_t)sequence);
    sqlite3_bind_blob64(stmt, 3, bytes.len > 0 ? (const void *)bytes.data : "", bytes.len,
                        SQLITE_STATIC);
    sqlite3_bind_text(stmt, 4, why, -1, SQLITE_STATIC);
    sqlite3_bind_int64(stmt, 5, now_us);
    return journal_run(s->journal, stmt, "cannot set a record aside", err);
}

int store_refused(struct store *s, int64_t *n, struct err *err)
{
    sqlite3_stmt *stmt = s->stmts[STORE_STMT_REFUSED];
    int rc = journal_step(s->journal, stmt, "cannot count what was refused", err);

    *n = rc == 1 ? sqlite3_column_int64(stmt, 0) : 0;
    sqlite3_reset(stmt);
    return rc < 0 ? rc : 0;
}

/* ---- The stream -------------------------------------------------------------------------------
 */

static int add_snapshot(struct store *s, int64_t position, int64_t step_us, struct err *err)
{
    sqlite3_stmt *stmt = s->stmts[STORE_STMT_ADD_SNAPSHOT];

    sqlite3_bind_int64(stmt, 1, position);
    sqlite3_bind_int64(stmt, 2, step_us);
    return journal_run(s->journal, stmt, "cannot note a snapshot", err);
}

int store_append_entry(struct store *s, const struct wire_entry *entry, int64_t *position,
                       struct err *err)
{
    int64_t at = 0;
    int rc;

    buf_clear(&s->packed);
    rc = wire_pack_entry(entry, &s->packed);
    if (rc == ERR_FULL) /* not the disk: nothing that is freed would help */
        rc = err_set(err, ERR_INPUT, "an entry of %zu bytes (at most %d are kept)",
                     entry->bytes.len, WIRE_ENTRY_MAX);
    else if (rc != 0)
        rc = no_memory(err);
    if (rc == 0)
        rc = journal_append(s->journal, s->packed.data, s->packed.len, &at, err);
    if (rc == 0 && entry->input == WIRE_INPUT_SNAPSHOT)
        rc = add_snapshot(s, at, entry->step_us, err);
    if (rc == 0)
        store_history_appended(s, entry->input, at, entry->step_us, s->packed.len);
    if (s->packed.cap > RECORD_KEPT_MAX) /* a snapshot's */
        buf_close(&s->packed);
    if (position != NULL)
        *position = at;
    return rc;
}

int store_snapshot(struct store *s, int64_t at_us, int64_t before, int64_t *position,
                   struct err *err)
{
    sqlite3_stmt *stmt = s->stmts[STORE_STMT_FIND_SNAPSHOT];
    int rc;

    sqlite3_bind_int64(stmt, 1, at_us);
    sqlite3_bind_int64(stmt, 2, before);
    rc = journal_step(s->journal, stmt, "cannot find a snapshot", err);
    *position = rc == 1 ? sqlite3_column_int64(stmt, 0) : 0;
    sqlite3_reset(stmt);
    return rc < 0 ? rc : 0;
}

struct fold {
    struct store *s;
    int64_t next; /* position that must come, 0: any */
    store_entry_fn *fn;
    void *ctx;
    struct err *err;
};

static int fold_one(void *ctx, int64_t position, const void *bytes, size_t n)
{
    struct fold *f = ctx;
    struct wire_entry entry;
    struct err why;
    int rc;

    /* Positions have no holes, so one means that the owner trimmed what a reader was about to
     * read. */
    if (f->next != 0 && position != f->next)
        return err_set(f->err, ERR_BUSY, "the history was trimmed while it was read (try again)");
    f->next = position + 1;
    rc = wire_unpack_entry(f->s->wire, bytes, n, &entry, &why);
    if (rc == 0)
        return f->fn(f->ctx, position, &entry, (struct wire_bytes){bytes, n});
    if (rc == ERR_INPUT) {
        rc = ERR_DAMAGED;
        journal_suspect(f->s->journal);
    }
    return err_set(f->err, rc, "entry %lld of the event stream: %.600s%s", (long long)position,
                   why.text, rc == ERR_DAMAGED ? " (start again: the file is then set aside)" : "");
}

int store_fold(struct store *s, int64_t from, store_entry_fn *fn, void *ctx, struct err *err)
{
    int64_t start = s->history.start;
    struct fold f = {.s = s, .next = from > start ? from : start, .fn = fn, .ctx = ctx, .err = err};

    return journal_read(s->journal, f.next, fold_one, &f, err);
}

int64_t store_bytes(const struct store *s)
{
    return journal_bytes(s->journal);
}

int64_t store_last(const struct store *s)
{
    return journal_last(s->journal);
}
