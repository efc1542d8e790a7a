#include "common/storage/journal_impl.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <string.h>

/* A read is cut into transactions of this size: while one lasts, the WAL cannot begin anew. */
enum { READ_ROWS = 256, READ_BYTES = 1 << 20 };

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

int journal_lose(struct journal *j, int code)
{
    if (j->lost == 0)
        j->lost = code;
    return code;
}

int journal_fail(struct journal *j, int sqlite_code, const char *doing, struct err *err)
{
    int code = code_of(j, sqlite_code);
    int system = j->db != NULL ? sqlite3_system_errno(j->db) : 0;
    const char *what = j->db != NULL ? sqlite3_errmsg(j->db) : sqlite3_errstr(sqlite_code);

    if (code == ERR_DAMAGED)
        journal_suspect(j);
    if (j->in_transaction && sqlite3_get_autocommit(j->db))
        journal_lose(j, code);
    if ((sqlite_code & 0xff) != SQLITE_IOERR && (sqlite_code & 0xff) != SQLITE_CANTOPEN)
        system = 0;
    return err_set(err, code, "%s: %s: %s%s%s (%s)", j->path, doing, what, system != 0 ? ": " : "",
                   system != 0 ? strerror(system) : "", remedy(code));
}

/* Whether SQLite ended the open transaction by itself, as it does on some failures. From then on a
 * statement would be committed by itself. */
static bool is_lost(struct journal *j)
{
    if (sqlite3_get_autocommit(j->db))
        journal_lose(j, ERR_IO);
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

    return rc == SQLITE_OK ? 0 : journal_fail(j, rc, "cannot prepare a statement", err);
}

int journal_step(struct journal *j, struct sqlite3_stmt *stmt, const char *doing, struct err *err)
{
    int rc = sqlite3_step(stmt);

    if (rc == SQLITE_ROW)
        return 1;
    rc = rc == SQLITE_DONE ? 0 : journal_fail(j, rc, doing, err);
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

int journal_number(struct journal *j, enum journal_stmt which, int64_t *out, struct err *err)
{
    sqlite3_stmt *stmt = j->stmts[which];
    int rc = journal_step(j, stmt, "cannot read", err);

    if (rc == 1) {
        *out = sqlite3_column_int64(stmt, 0);
        sqlite3_reset(stmt);
    }
    return rc < 0 ? rc : 0;
}

/* SQLite refuses to change this within a transaction. */
static int set_synchronous(struct journal *j, bool full, struct err *err)
{
    int rc = sqlite3_exec(j->db, full ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=NORMAL",
                          NULL, NULL, NULL);

    return rc == SQLITE_OK ? 0 : journal_fail(j, rc, "cannot set how to wait for the disk", err);
}

int journal_begin(struct journal *j, struct err *err)
{
    int rc;

    assert(!j->in_transaction && !j->read_only);
    journal_room_prepare(j);
    rc = journal_step(j, j->stmts[JOURNAL_BEGIN], "cannot begin a transaction", err);
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

/* What follows a transaction, however it ended. */
static void end(struct journal *j)
{
    j->in_transaction = false;
    if (j->synced && !j->sync_full)
        set_synchronous(j, false, &(struct err){0});
    j->synced = false;
    j->room.appended = 0;
    j->row.n = 0;
    buf_clear(&j->row.bytes);
}

int journal_commit(struct journal *j, struct err *err)
{
    int rc;

    assert(j->in_transaction);
    rc = is_lost(j) ? fail_lost(j, err) : journal_row_flush(j, err);
    if (rc == 0)
        rc = journal_step(j, j->stmts[JOURNAL_COMMIT], "cannot commit", err);
    if (rc != 0) {
        journal_rollback(j);
        return rc;
    }
    end(j);
    j->committed = j->ends;
    j->unsettled = true;
    return 0;
}

void journal_rollback(struct journal *j)
{
    if (!j->in_transaction)
        return;
    /* It fails only where there is nothing left to roll back. */
    if (!sqlite3_get_autocommit(j->db))
        sqlite3_step(j->stmts[JOURNAL_ROLLBACK]);
    sqlite3_reset(j->stmts[JOURNAL_ROLLBACK]);
    end(j);
    j->room.commits = INT_MAX - 1; /* the pages may have been counted with what is gone again */
    j->unsettled = true;
    j->ends = j->committed;
}

bool journal_in_transaction(const struct journal *j)
{
    return j->in_transaction;
}

int journal_append(struct journal *j, const void *bytes, size_t n, int64_t *position,
                   struct err *err)
{
    int64_t cost;
    int rc;

    assert(j->in_transaction);
    if (is_lost(j))
        return fail_lost(j, err);
    cost = journal_row_cost(j, n);
    rc = journal_room_fits(j, cost, err);
    if (rc == 0)
        rc = journal_row_append(j, bytes, n, err);
    if (rc != 0)
        return rc;
    j->room.appended += cost;
    j->room.uncounted += cost;
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
    rc = journal_row_flush(j, err);
    /* The newest record tells which position was given last; without it a named value must. */
    if (rc == 0 && position >= last)
        rc = journal_put(j, "last", &last, sizeof last, err);
    if (rc != 0)
        return rc;
    sqlite3_bind_int64(j->stmts[JOURNAL_TRIM], 1, position);
    j->room.trimmed = true;
    rc = journal_run(j, j->stmts[JOURNAL_TRIM], "cannot trim", err);
    if (rc != 0)
        return rc;
    j->ends.trimmed = position < last ? position : last;
    j->ends.first = position < last ? position + 1 : 0;
    return 0;
}

/* One short transaction's worth. Answers what `fn` did, and moves *position behind what was read;
 * *more is false once there was nothing further. */
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
        rc = journal_row_read(j, stmt, position, fn, ctx, err);
    }
    return rc;
}

int journal_read(struct journal *j, int64_t position, journal_read_fn *fn, void *ctx,
                 struct err *err)
{
    sqlite3_stmt *stmt = j->stmts[JOURNAL_READ];
    bool more = true;
    int rc = j->in_transaction ? journal_row_flush(j, err) : 0;

    if (rc != 0)
        return rc;
    /* `fn` may read, too; then the inner one makes a statement of its own. */
    j->stmts[JOURNAL_READ] = NULL;
    if (stmt == NULL)
        rc = journal_prepare(j, JOURNAL_READ_SQL, &stmt, err);
    while (more && rc == 0) {
        rc = read_some(j, stmt, &position, &more, fn, ctx, err);
        sqlite3_reset(stmt);
    }
    if (j->stmts[JOURNAL_READ] == NULL)
        j->stmts[JOURNAL_READ] = stmt;
    else
        sqlite3_finalize(stmt);
    return rc;
}

int64_t journal_first(const struct journal *j)
{
    return j->ends.first;
}

int64_t journal_last(const struct journal *j)
{
    return j->ends.last;
}

int journal_get(struct journal *j, const char *name, void *bytes, size_t n, bool *found,
                struct err *err)
{
    sqlite3_stmt *stmt = j->stmts[JOURNAL_GET];
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
    sqlite3_stmt *stmt = j->stmts[JOURNAL_PUT];

    sqlite3_bind_text(stmt, 1, name, -1, SQLITE_STATIC);
    sqlite3_bind_blob64(stmt, 2, n > 0 ? bytes : "", n, SQLITE_STATIC);
    return journal_run(j, stmt, "cannot keep a named value", err);
}

void journal_suspect(struct journal *j)
{
    j->suspect = true;
    if (!j->read_only)
        journal_mark_suspect(j);
}

bool journal_is_suspect(const struct journal *j)
{
    return j->suspect;
}

struct sqlite3 *journal_db(struct journal *j)
{
    return j->db;
}
