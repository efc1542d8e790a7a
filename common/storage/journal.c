/* A durable list of records in one SQLite file. Called by ingest for its spool and by
 * storage_sqlite.c for the event stream. */
#include "common/storage/journal.h"

#include "common/base/buf.h"
#include "common/record/wire.h"
#include "common/storage/journal_files.h"
#include "common/storage/room.h"

#include <assert.h>
#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define APPLICATION_ID 0x4457414a /* "DWAJ" */
#define FORMAT 2
#define STR_(x) #x
#define STR(x) STR_(x)
/* No journal gets so far: a larger number in the file is damage. A sequence has room for this one.
 */
#define POSITION_MAX ((INT64_C(1) << WIRE_SEQUENCE_BITS) - 1)

enum {
    /* How long to wait for another program, such as a reader that recovers the WAL or the sqlite3
     * tool. */
    BUSY_MS = 1000,
    /* SQLite's check of all pages takes about 1 ms for each MiB, and start must be quick. */
    CHECK_WHOLE_BYTES = 16 << 20,
    /* A read is cut into transactions of this size: while one lasts, the WAL cannot begin anew. */
    READ_ROWS = 256,
    READ_BYTES = 1 << 20,
    ROW_BYTES = 2000,       /* of a shared row, with lengths: two rows fill a page */
    ROW_RECORD_BYTES = 500, /* a larger record has a row of its own */
    LEN_BYTES = 2,
};

enum statement {
    BEGIN,
    COMMIT,
    ROLLBACK,
    APPEND,
    TRIM,
    LAST,
    READ,
    GET,
    PUT,
    STATEMENTS,
};

static const char *const texts[STATEMENTS] = {
    [BEGIN] = "BEGIN IMMEDIATE",
    [COMMIT] = "COMMIT",
    [ROLLBACK] = "ROLLBACK",
    [APPEND] = "INSERT INTO records (position, bytes, lens) VALUES (?, ?, ?)",
    [TRIM] = "DELETE FROM records WHERE position <= ?",
    [LAST] = "SELECT max(position) FROM records",
    /* All columns: a file of format 1 has no lens. */
    [READ] = "SELECT * FROM records WHERE position >= ? ORDER BY position",
    [GET] = "SELECT bytes FROM named WHERE name = ?",
    [PUT] = ("INSERT INTO named (name, bytes) VALUES (?, ?) "
             "ON CONFLICT (name) DO UPDATE SET bytes = excluded.bytes"),
};

/* In one transaction, so that a file is recognised as ours only once it is complete. */
static const char make_tables[] =
    "BEGIN IMMEDIATE;"
    "CREATE TABLE records (position INTEGER PRIMARY KEY, bytes BLOB NOT NULL, lens BLOB);"
    "CREATE TABLE named (name TEXT PRIMARY KEY, bytes BLOB NOT NULL) WITHOUT ROWID;"
    "PRAGMA application_id=" STR(APPLICATION_ID) ";"
                                                 "PRAGMA user_version=" STR(FORMAT) ";"
                                                                                    "COMMIT";

/* Format 1 has a row for each record. */
static const char make_lens[] = "BEGIN IMMEDIATE;"
                                "ALTER TABLE records ADD COLUMN lens BLOB;"
                                "PRAGMA user_version=" STR(FORMAT) ";"
                                                                   "COMMIT";

struct ends {
    int64_t first;
    int64_t last;
    int64_t trimmed; /* up to here, though a shared row may be kept for later records in it */
};

/* Several small records in one row, because a row costs SQLite several times what their bytes do:
 * with rows of one record each the alerter needs a quarter more processor time a record.
 *
 * Stored, such a row is found by the position of its last record. One column holds the records one
 * behind the other, another their lengths, 16 bits each, the lower byte first. */
struct row {
    struct buf bytes;
    size_t n;
    uint8_t lens[ROW_BYTES];
};

struct journal {
    sqlite3 *db;
    sqlite3_stmt *stmts[STATEMENTS];
    char *path;
    int lock_fd; /* -1: none */
    bool read_only;
    bool sync_full;
    bool in_transaction; /* for the owner; SQLite may have ended it on a failure */
    bool suspect;        /* stored bytes turned out to be wrong */
    bool synced;         /* the open transaction is of journal_begin_synced */
    int lost;            /* why the open transaction cannot be committed, 0: it can */
    struct ends ends;
    struct ends committed;
    struct room room;
    struct row row; /* records of the open transaction that are not in the table yet */
};

/* ---- Failures ---- */

static const char *remedy(int code)
{
    switch (code) {
    case ERR_FULL:
        return "free some space on its disk";
    case ERR_DAMAGED:
        return "start again: the file is then set aside and a fresh one made";
    case ERR_BUSY:
        return "close the other program that has it open";
    case ERR_NOMEM:
        return "give this process more memory";
    default:
        return "check its disk and the rights on its folder";
    }
}

static int code_of(const struct journal *j, int sqlite_code)
{
    int system = j->db != NULL ? sqlite3_system_errno(j->db) : 0;

    switch (sqlite_code & 0xff) {
    case SQLITE_FULL:
        return ERR_FULL;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return ERR_DAMAGED;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return ERR_BUSY;
    case SQLITE_NOMEM:
        return ERR_NOMEM;
    case SQLITE_IOERR:
        return system == ENOSPC || system == EDQUOT ? ERR_FULL : ERR_IO;
    default:
        return ERR_IO;
    }
}

/* Notes that the open transaction cannot be committed. Returns `code`. */
static int lose(struct journal *j, int code)
{
    if (j->lost == 0)
        j->lost = code;
    return code;
}

/* Turns SQLite's last failure into a code and a message that names file and remedy. */
static int fail(struct journal *j, int sqlite_code, const char *doing, struct err *err)
{
    int code = code_of(j, sqlite_code);
    int system = j->db != NULL ? sqlite3_system_errno(j->db) : 0;
    const char *what = j->db != NULL ? sqlite3_errmsg(j->db) : sqlite3_errstr(sqlite_code);

    if (code == ERR_DAMAGED)
        journal_suspect(j);
    if (j->in_transaction && sqlite3_get_autocommit(j->db))
        lose(j, code);
    if ((sqlite_code & 0xff) != SQLITE_IOERR && (sqlite_code & 0xff) != SQLITE_CANTOPEN)
        system = 0;
    return err_set(err, code, "%s: %s: %s%s%s (%s)", j->path, doing, what, system != 0 ? ": " : "",
                   system != 0 ? strerror(system) : "", remedy(code));
}

/* SQLite ends a transaction by itself on some failures; a later statement would then be committed
 * by itself. */
static bool is_lost(struct journal *j)
{
    if (sqlite3_get_autocommit(j->db))
        lose(j, ERR_IO);
    return j->lost != 0;
}

static int fail_lost(const struct journal *j, struct err *err)
{
    return err_set(err, j->lost, "%s: an earlier failure ended this transaction (%s)", j->path,
                   remedy(j->lost));
}

int journal_prepare(struct journal *j, const char *sql, struct sqlite3_stmt **out, struct err *err)
{
    int rc = sqlite3_prepare_v3(j->db, sql, -1, SQLITE_PREPARE_PERSISTENT, out, NULL);

    return rc == SQLITE_OK ? 0 : fail(j, rc, "cannot prepare a statement", err);
}

int journal_step(struct journal *j, struct sqlite3_stmt *stmt, const char *doing, struct err *err)
{
    int rc = sqlite3_step(stmt);

    if (rc == SQLITE_ROW)
        return 1;
    rc = rc == SQLITE_DONE ? 0 : fail(j, rc, doing, err);
    sqlite3_reset(stmt);
    return rc;
}

int journal_run(struct journal *j, struct sqlite3_stmt *stmt, const char *doing, struct err *err)
{
    int rc;

    assert(j->in_transaction && !j->read_only);
    if (is_lost(j))
        return fail_lost(j, err);
    rc = journal_step(j, stmt, doing, err);
    assert(rc <= 0);
    return rc;
}

/* The one number of a prepared statement; unchanged if it returns no row. */
static int number(struct journal *j, enum statement which, int64_t *out, struct err *err)
{
    int rc = journal_step(j, j->stmts[which], "cannot read", err);

    if (rc == 1) {
        *out = sqlite3_column_int64(j->stmts[which], 0);
        sqlite3_reset(j->stmts[which]);
    }
    return rc < 0 ? rc : 0;
}

static int insert(struct journal *j, int64_t last, const void *bytes, size_t n_bytes,
                  const struct row *row, struct err *err)
{
    sqlite3_stmt *stmt = j->stmts[APPEND];

    sqlite3_bind_int64(stmt, 1, last);
    sqlite3_bind_blob64(stmt, 2, n_bytes > 0 ? bytes : "", n_bytes, SQLITE_STATIC);
    if (row != NULL && row->n > 1)
        sqlite3_bind_blob64(stmt, 3, row->lens, row->n * LEN_BYTES, SQLITE_STATIC);
    else
        sqlite3_bind_null(stmt, 3);
    return journal_run(j, stmt, "cannot append", err);
}

static void clear_row(struct row *row)
{
    row->n = 0;
    buf_clear(&row->bytes);
}

/* Whether a record of `n` bytes may be added to those in the row. */
static bool row_takes(const struct row *row, size_t n)
{
    return n <= ROW_RECORD_BYTES && row->bytes.len + n + (row->n + 1) * LEN_BYTES <= ROW_BYTES;
}

static int add_to_row(struct row *row, const void *bytes, size_t n)
{
    uint8_t *len = row->lens + row->n * LEN_BYTES;

    if (buf_append(&row->bytes, bytes, n) != 0)
        return ERR_NOMEM;
    len[0] = (uint8_t)n;
    len[1] = (uint8_t)(n >> 8);
    row->n++;
    return 0;
}

/* Of stored lengths: the i-th, and whether all of them make `n_bytes`. */
static size_t stored_len(const uint8_t *lens, size_t i)
{
    return (size_t)(lens[LEN_BYTES * i] | lens[LEN_BYTES * i + 1] << 8);
}

static bool lens_are_sound(const uint8_t *lens, size_t n, size_t n_bytes)
{
    size_t sum = 0;

    for (size_t i = 0; i < n; i++)
        sum += stored_len(lens, i);
    return n > 0 && sum == n_bytes;
}

/* Writes the row that the transaction has not written yet. */
static int flush_row(struct journal *j, struct err *err)
{
    struct row *row = &j->row;
    int rc = 0;

    if (row->n > 0)
        rc = insert(j, j->ends.last, row->bytes.data, row->bytes.len, row, err);
    clear_row(row);
    /* The caller has their positions, so nothing may be committed without them. */
    return rc == 0 ? 0 : lose(j, rc);
}

/* ---- Transactions ---- */

/* SQLite refuses to change this within a transaction. */
static int set_synchronous(struct journal *j, bool full, struct err *err)
{
    int rc = sqlite3_exec(j->db, full ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=NORMAL",
                          NULL, NULL, NULL);

    return rc == SQLITE_OK ? 0 : fail(j, rc, "cannot set how to wait for the disk", err);
}

int journal_begin(struct journal *j, struct err *err)
{
    int rc;

    assert(!j->in_transaction && !j->read_only);
    room_maintain(&j->room, false);
    rc = journal_step(j, j->stmts[BEGIN], "cannot begin a transaction", err);
    j->in_transaction = rc == 0;
    j->lost = 0;
    return rc;
}

int journal_begin_synced(struct journal *j, struct err *err)
{
    int rc = set_synchronous(j, true, err);

    if (rc == 0)
        rc = journal_begin(j, err);
    j->synced = rc == 0;
    if (rc != 0 && !j->sync_full)
        set_synchronous(j, false, &(struct err){0});
    return rc;
}

static void end(struct journal *j, bool committed)
{
    j->in_transaction = false;
    if (j->synced && !j->sync_full)
        set_synchronous(j, false, &(struct err){0});
    j->synced = false;
    clear_row(&j->row);
    room_end(&j->room, committed);
}

int journal_commit(struct journal *j, struct err *err)
{
    int rc;

    assert(j->in_transaction);
    rc = is_lost(j) ? fail_lost(j, err) : flush_row(j, err);
    if (rc == 0)
        rc = journal_step(j, j->stmts[COMMIT], "cannot commit", err);
    if (rc != 0) {
        journal_rollback(j);
        return rc;
    }
    end(j, true);
    j->committed = j->ends;
    return 0;
}

void journal_rollback(struct journal *j)
{
    if (!j->in_transaction)
        return;
    /* It fails only if there is nothing left to roll back. */
    if (!sqlite3_get_autocommit(j->db))
        sqlite3_step(j->stmts[ROLLBACK]);
    sqlite3_reset(j->stmts[ROLLBACK]);
    end(j, false);
    j->ends = j->committed;
}

bool journal_in_transaction(const struct journal *j)
{
    return j->in_transaction;
}

/* ---- Records ---- */

int journal_append(struct journal *j, const void *bytes, size_t n, int64_t *position,
                   struct err *err)
{
    int rc;

    assert(j->in_transaction);
    rc = is_lost(j) ? fail_lost(j, err) : room_reserve(&j->room, n, j->path, err);
    if (rc == 0 && !row_takes(&j->row, n))
        rc = flush_row(j, err);
    if (rc == 0 && n > ROW_RECORD_BYTES)
        rc = insert(j, j->ends.last + 1, bytes, n, NULL, err);
    else if (rc == 0 && add_to_row(&j->row, bytes, n) != 0)
        rc = err_set(err, ERR_NOMEM, "%s: out of memory", j->path);
    if (rc != 0)
        return rc;
    j->ends.last++;
    if (j->ends.first == 0)
        j->ends.first = j->ends.last;
    if (position != NULL)
        *position = j->ends.last;
    return 0;
}

int journal_trim(struct journal *j, int64_t position, struct err *err)
{
    int64_t last = j->ends.last;
    int rc;

    assert(j->in_transaction);
    if (j->ends.first == 0 || position < j->ends.first)
        return 0;
    rc = flush_row(j, err);
    /* The newest record tells which position was given last; without it a named value must. */
    if (rc == 0 && position >= last)
        rc = journal_put(j, "last", &last, sizeof last, err);
    if (rc != 0)
        return rc;
    sqlite3_bind_int64(j->stmts[TRIM], 1, position);
    rc = journal_run(j, j->stmts[TRIM], "cannot trim", err);
    if (rc != 0)
        return rc;
    j->ends.trimmed = position < last ? position : last;
    j->ends.first = position < last ? position + 1 : 0;
    return 0;
}

/* Calls `fn` for the records from *position on of the row that the statement stands on, and moves
 * *position behind them. */
static int read_row(struct journal *j, sqlite3_stmt *stmt, int64_t *position, journal_read_fn *fn,
                    void *ctx, struct err *err)
{
    const uint8_t *bytes = sqlite3_column_blob(stmt, 1), *lens = NULL;
    size_t n_bytes = (size_t)sqlite3_column_bytes(stmt, 1), n = 1;
    int64_t at = sqlite3_column_int64(stmt, 0);
    int rc = 0;

    if (bytes == NULL && n_bytes > 0)
        return fail(j, SQLITE_NOMEM, "cannot read a record", err);
    if (at < 0 || at > POSITION_MAX)
        return fail(j, SQLITE_CORRUPT, "cannot read a record", err);
    if (bytes == NULL) /* SQLite's form of an empty blob */
        bytes = (const uint8_t *)"";
    if (sqlite3_column_count(stmt) > 2 && sqlite3_column_type(stmt, 2) != SQLITE_NULL) {
        lens = sqlite3_column_blob(stmt, 2);
        n = (size_t)sqlite3_column_bytes(stmt, 2) / LEN_BYTES;
        if (!lens_are_sound(lens, n, n_bytes))
            return fail(j, SQLITE_CORRUPT, "cannot read a record", err);
        at -= (int64_t)n - 1;
    }
    for (size_t i = 0; i < n && rc == 0; i++, at++) {
        size_t len = lens != NULL ? stored_len(lens, i) : n_bytes;

        if (at >= *position && at > j->ends.trimmed) {
            *position = at + 1;
            rc = fn(ctx, at, bytes, len);
        }
        bytes += len;
    }
    return rc;
}

/* Reads one short transaction's worth. Moves *position behind what was read; *more is false at the
 * end. */
static int read_some(struct journal *j, sqlite3_stmt *stmt, int64_t *position, bool *more,
                     journal_read_fn *fn, void *ctx, struct err *err)
{
    int64_t n_bytes = 0;
    int rc = 0;

    *more = false;
    sqlite3_bind_int64(stmt, 1, *position);
    for (int i = 0; i < READ_ROWS && n_bytes < READ_BYTES && rc == 0; i++) {
        rc = journal_step(j, stmt, "cannot read a record", err);
        *more = rc == 1;
        if (rc != 1)
            return rc;
        n_bytes += sqlite3_column_bytes(stmt, 1);
        rc = read_row(j, stmt, position, fn, ctx, err);
    }
    return rc;
}

int journal_read(struct journal *j, int64_t position, journal_read_fn *fn, void *ctx,
                 struct err *err)
{
    sqlite3_stmt *stmt = j->stmts[READ];
    bool more = true;
    int rc = j->in_transaction ? flush_row(j, err) : 0;

    assert(!sqlite3_stmt_busy(stmt)); /* `fn` does not read */
    while (more && rc == 0) {
        rc = read_some(j, stmt, &position, &more, fn, ctx, err);
        sqlite3_reset(stmt);
    }
    return rc;
}

int64_t journal_bytes(struct journal *j)
{
    return room_bytes(&j->room);
}

bool journal_has_room(struct journal *j, size_t n)
{
    return room_has(&j->room, n);
}

bool journal_is_larger(struct journal *j, int64_t max_bytes)
{
    return room_is_larger(&j->room, max_bytes);
}

void journal_maintain(struct journal *j, bool is_idle)
{
    assert(!j->in_transaction && !j->read_only);
    room_maintain(&j->room, is_idle);
}

bool journal_is_gone(const struct journal *j)
{
    return j->lock_fd >= 0 && journal_files_are_gone(j->path, j->lock_fd);
}

int64_t journal_first(const struct journal *j)
{
    return j->ends.first;
}

int64_t journal_last(const struct journal *j)
{
    return j->ends.last;
}

/* ---- Named values, tables of the owner ---- */

int journal_get(struct journal *j, const char *name, void *bytes, size_t n, bool *found,
                struct err *err)
{
    sqlite3_stmt *stmt = j->stmts[GET];
    int rc;

    sqlite3_bind_text(stmt, 1, name, -1, SQLITE_STATIC);
    rc = journal_step(j, stmt, "cannot read a named value", err);
    *found = rc == 1;
    if (rc == 1 && (size_t)sqlite3_column_bytes(stmt, 0) != n) {
        journal_suspect(j);
        rc = err_set(err, ERR_DAMAGED, "%s: the value \"%s\" is not of %zu bytes (%s)", j->path,
                     name, n, remedy(ERR_DAMAGED));
    } else if (rc == 1 && n > 0) {
        memcpy(bytes, sqlite3_column_blob(stmt, 0), n);
    }
    sqlite3_reset(stmt);
    return rc < 0 ? rc : 0;
}

int journal_put(struct journal *j, const char *name, const void *bytes, size_t n, struct err *err)
{
    sqlite3_stmt *stmt = j->stmts[PUT];

    sqlite3_bind_text(stmt, 1, name, -1, SQLITE_STATIC);
    sqlite3_bind_blob64(stmt, 2, n > 0 ? bytes : "", n, SQLITE_STATIC);
    return journal_run(j, stmt, "cannot keep a named value", err);
}

void journal_suspect(struct journal *j)
{
    j->suspect = true;
    if (!j->read_only)
        journal_files_mark_suspect(j->path);
}

bool journal_is_suspect(const struct journal *j)
{
    return j->suspect;
}

struct sqlite3 *journal_db(struct journal *j)
{
    return j->db;
}

/* ---- Open and close ---- */

static int run_sql(struct journal *j, const char *text, struct err *err)
{
    int rc = sqlite3_exec(j->db, text, NULL, NULL, NULL);

    return rc == SQLITE_OK ? 0 : fail(j, rc, "cannot open", err);
}

/* Runs `text`, which returns one value: as a number, or whether it is `expected`. */
static int ask(struct journal *j, const char *text, const char *expected, int64_t *out,
               struct err *err)
{
    sqlite3_stmt *stmt = NULL;
    int rc = journal_prepare(j, text, &stmt, err);

    if (rc == 0)
        rc = journal_step(j, stmt, "cannot open", err);
    if (rc == 1 && expected == NULL) {
        *out = sqlite3_column_int64(stmt, 0);
    } else if (rc == 1) {
        const char *value = (const char *)sqlite3_column_text(stmt, 0);

        *out = value != NULL && strcmp(value, expected) == 0;
    }
    sqlite3_finalize(stmt);
    return rc < 0 ? rc : 0;
}

/* Reads the file's format, 0 if it is empty, and changes nothing in it. Fails if the file is no
 * journal, or one of a newer build. */
static int recognise(struct journal *j, int64_t *format, struct err *err)
{
    int64_t id = 0, tables = 0;
    int rc = ask(j, "PRAGMA application_id", NULL, &id, err);

    if (rc == 0)
        rc = ask(j, "PRAGMA user_version", NULL, format, err);
    if (rc == 0)
        rc = ask(j, "SELECT count(*) FROM sqlite_schema", NULL, &tables, err);
    if (rc != 0 || (id == 0 && *format == 0 && tables == 0))
        return rc;
    if (id != APPLICATION_ID)
        return err_set(err, ERR_DAMAGED, "%s: is no journal of drainwatch", j->path);
    if (*format > FORMAT)
        return err_set(err, ERR_VERSION,
                       "%s: was written by a newer build, in format %lld (this build reads up to "
                       "%d: use the newer build, or move the file away)",
                       j->path, (long long)*format, FORMAT);
    return 0;
}

static int prepare_all(struct journal *j, int64_t format, struct err *err)
{
    for (int i = 0; i < STATEMENTS; i++) {
        if (i == APPEND && j->read_only && format < FORMAT)
            continue; /* a reader needs no column lens */
        if (sqlite3_prepare_v3(j->db, texts[i], -1, SQLITE_PREPARE_PERSISTENT, &j->stmts[i],
                               NULL) != SQLITE_OK) {
            int code = sqlite3_extended_errcode(j->db);

            if (code == SQLITE_ERROR) /* no such table, no such column */
                return err_set(err, ERR_DAMAGED, "%s: %s", j->path, sqlite3_errmsg(j->db));
            return fail(j, code, "cannot open", err);
        }
    }
    return 0;
}

static int see_record(void *ctx, int64_t position, const void *bytes, size_t n)
{
    *(int64_t *)ctx = position;
    (void)bytes;
    (void)n;
    return 1; /* one is enough */
}

/* Finds the first and the last record. A killed process cannot damage the file, and SQLite checks
 * the WAL by checksums, so of a large file only both ends are read; SQLite notices on the way if it
 * was cut short. */
static int look_over(struct journal *j, struct err *err)
{
    int64_t stored = 0, sound = true, seen;
    bool found = false;
    int rc = number(j, LAST, &j->ends.last, err);

    if (rc == 0)
        rc = journal_get(j, "last", &stored, sizeof stored, &found, err);
    if (rc == 0 && !j->read_only && room_bytes(&j->room) <= CHECK_WHOLE_BYTES)
        rc = ask(j, "PRAGMA quick_check(1)", "ok", &sound, err);
    if (rc == 0 && !sound)
        rc = err_set(err, ERR_DAMAGED, "%s: SQLite's check found it damaged", j->path);
    if (rc == 0)
        rc = journal_read(j, 0, see_record, &j->ends.first, err);
    if (rc >= 0)
        rc = journal_read(j, j->ends.last, see_record, &seen, err);
    if (found && stored > j->ends.last)
        j->ends.last = stored;
    if (rc >= 0 && (j->ends.last < 0 || j->ends.last > POSITION_MAX))
        rc = err_set(err, ERR_DAMAGED, "%s: holds a record at the impossible position %lld",
                     j->path, (long long)j->ends.last);
    j->committed = j->ends;
    return rc < 0 ? rc : 0;
}

/* secure_delete, on in Debian's SQLite, would overwrite every page that a trim frees. */
static int become_owner(struct journal *j, const struct journal_options *options, int64_t format,
                        struct err *err)
{
    char limit[64];
    int64_t wal = false;
    int rc;

    snprintf(limit, sizeof limit, "PRAGMA journal_size_limit=%lld",
             (long long)room_wal_limit(&j->room));
    rc = ask(j, "PRAGMA journal_mode=WAL", "wal", &wal, err);
    if (rc == 0 && !wal)
        rc = err_set(err, ERR_IO,
                     "%s: SQLite cannot keep a WAL here (use a folder on a local disk)", j->path);
    if (rc == 0)
        rc = run_sql(j, "PRAGMA secure_delete=OFF; PRAGMA wal_autocheckpoint=0", err);
    if (rc == 0)
        rc = run_sql(j, limit, err);
    if (rc == 0)
        rc = run_sql(
            j, options->sync_full ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=NORMAL", err);
    if (rc == 0 && format < FORMAT)
        rc = run_sql(j, format == 0 ? make_tables : make_lens, err);
    return rc;
}

static int connect_db(struct journal *j, const struct journal_options *options, struct err *err)
{
    int flags =
        options->read_only ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
    int64_t format = 0;
    int rc;

    rc =
        sqlite3_open_v2(j->path, &j->db, flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, NULL);
    if (rc != SQLITE_OK)
        return fail(j, rc, "cannot open", err);
    sqlite3_busy_timeout(j->db, BUSY_MS);
    /* Otherwise SQLite compiles some statements again when another value is bound: 7 % of what an
     * alert costs the alerter. */
    sqlite3_db_config(j->db, SQLITE_DBCONFIG_ENABLE_QPSG, 1, NULL);
    sqlite3_db_config(j->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    /* The file of a newer build stays exactly as it is. */
    sqlite3_db_config(j->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    /* Set before the file is read, this saves PATH-shm, for which a full disk may have no room. */
    if (options->exclusive)
        rc = run_sql(j, "PRAGMA locking_mode=EXCLUSIVE", err);
    if (rc == 0)
        rc = run_sql(j, "PRAGMA cell_size_check=ON; PRAGMA cache_size=-8000", err);
    if (rc == 0)
        rc = recognise(j, &format, err);
    if (rc == 0 && format == 0 && options->read_only)
        rc = err_set(err, ERR_IO, "%s: nothing was ever kept here (start the program that owns it)",
                     j->path);
    if (rc == 0 && !options->read_only)
        rc = become_owner(j, options, format, err);
    if (rc == 0)
        rc = room_open(&j->room, j->db, err);
    if (rc == 0)
        rc = prepare_all(j, format, err);
    if (rc == 0)
        rc = look_over(j, err);
    if (rc != 0)
        return rc;
    sqlite3_db_config(j->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0, NULL);
    if (!options->read_only)
        room_take_ahead(&j->room);
    return 0;
}

static void disconnect(struct journal *j)
{
    int rc;

    for (int i = 0; i < STATEMENTS; i++) {
        sqlite3_finalize(j->stmts[i]);
        j->stmts[i] = NULL;
    }
    room_close(&j->room);
    rc = sqlite3_close(j->db);
    assert(rc == SQLITE_OK); /* else the owner did not finalize a statement */
    (void)rc;
    j->db = NULL;
}

static int open_it(struct journal *j, const struct journal_options *options, char set_aside[512],
                   struct err *err)
{
    int rc = journal_files_refuse_links(j->path, err);

    if (rc == 0 && !options->read_only)
        rc = journal_files_lock(j->path, &j->lock_fd, err);
    if (rc != 0)
        return rc;
    if (!options->read_only && journal_files_are_suspect(j->path)) {
        rc = journal_files_set_aside(j->path, set_aside, err);
        return rc != 0 ? rc : connect_db(j, options, err);
    }
    rc = connect_db(j, options, err);
    if (rc != ERR_DAMAGED || options->read_only)
        return rc;
    disconnect(j);
    rc = journal_files_set_aside(j->path, set_aside, err);
    return rc != 0 ? rc : connect_db(j, options, err);
}

int journal_open(const struct journal_options *options, struct journal **out, char set_aside[512],
                 struct err *err)
{
    struct journal *j = calloc(1, sizeof *j);
    int rc;

    /* To count its memory SQLite takes a lock at each malloc and free: 6 % of a record's cost. The
     * call is refused, without harm, if SQLite is in use already. */
    (void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
    *out = NULL;
    set_aside[0] = '\0';
    if (j != NULL)
        j->path = strdup(options->path);
    if (j == NULL || j->path == NULL) {
        free(j);
        return err_set(err, ERR_NOMEM, "%s: out of memory", options->path);
    }
    j->lock_fd = -1;
    j->read_only = options->read_only;
    j->sync_full = options->sync_full;
    room_init(&j->room, options->max_bytes > 0 && options->max_bytes < JOURNAL_MAX_BYTES_LEAST
                            ? JOURNAL_MAX_BYTES_LEAST
                            : options->max_bytes);
    buf_init(&j->row.bytes, ROW_BYTES);
    rc = open_it(j, options, set_aside, err);
    if (rc != 0) {
        journal_close(j);
        return rc;
    }
    *out = j;
    return 0;
}

void journal_close(struct journal *j)
{
    if (j == NULL)
        return;
    if (j->in_transaction)
        journal_rollback(j);
    disconnect(j);
    buf_close(&j->row.bytes);
    if (j->lock_fd >= 0)
        close(j->lock_fd);
    free(j->path);
    free(j);
}
