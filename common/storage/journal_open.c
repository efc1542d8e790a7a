/* How a journal is opened: owned, recognised, made, looked over, set aside. */
#include "common/storage/journal_impl.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define APPLICATION_ID 0x4457414a /* "DWAJ" */
#define FORMAT 2
#define STR_(x) #x
#define STR(x) STR_(x)

enum {
    /* How long another program (a reader that recovers the WAL, the sqlite3 tool) may stand in the
     * way. */
    BUSY_MS = 1000,
    /* SQLite's own check of all pages takes about 1 ms for each MiB, and start must be quick. */
    CHECK_WHOLE_BYTES = 16 << 20,
    SET_ASIDE_MOST = 10000,
    PATH_SIZE = 512,
};

static const char put_named[] = "INSERT INTO named (name, bytes) VALUES (?, ?) "
                                "ON CONFLICT (name) DO UPDATE SET bytes = excluded.bytes";

static const char *const sql[JOURNAL_STMTS] = {
    [JOURNAL_BEGIN] = "BEGIN IMMEDIATE",
    [JOURNAL_COMMIT] = "COMMIT",
    [JOURNAL_ROLLBACK] = "ROLLBACK",
    [JOURNAL_APPEND] = "INSERT INTO records (position, bytes, lens) VALUES (?, ?, ?)",
    [JOURNAL_TRIM] = "DELETE FROM records WHERE position <= ?",
    [JOURNAL_LAST] = "SELECT max(position) FROM records",
    [JOURNAL_READ] = JOURNAL_READ_SQL,
    [JOURNAL_GET] = "SELECT bytes FROM named WHERE name = ?",
    [JOURNAL_PUT] = put_named,
    [JOURNAL_PAGES] = "PRAGMA page_count",
    [JOURNAL_FREE_PAGES] = "PRAGMA freelist_count",
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

static int join(char out[PATH_SIZE], const char *path, const char *suffix, struct err *err)
{
    int n = snprintf(out, PATH_SIZE, "%s%s", path, suffix);

    if (n < 0 || n >= PATH_SIZE)
        return err_set(err, ERR_IO, "%.60s…: the path is too long (choose a shorter one)", path);
    return 0;
}

bool journal_is_gone(const struct journal *j)
{
    char name[PATH_SIZE];
    struct stat ours, there;
    struct err err;

    if (j->lock_fd < 0 || join(name, j->path, ".lock", &err) != 0)
        return false;
    return fstat(j->lock_fd, &ours) == 0 &&
           (stat(name, &there) != 0 || ours.st_ino != there.st_ino || ours.st_dev != there.st_dev);
}

static int lock(struct journal *j, struct err *err)
{
    char name[PATH_SIZE];
    int rc = join(name, j->path, ".lock", err);

    if (rc != 0)
        return rc;
    j->lock_fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (j->lock_fd < 0)
        return err_set(err, ERR_IO, "%s: %s (check the rights on its folder)", name,
                       strerror(errno));
    if (flock(j->lock_fd, LOCK_EX | LOCK_NB) == 0)
        return 0;
    if (errno != EWOULDBLOCK)
        return err_set(err, ERR_IO, "%s: cannot lock: %s (use a folder on a local disk)", name,
                       strerror(errno));
    return err_set(err, ERR_BUSY,
                   "%s: another process uses this journal (stop it, or set DRAINWATCH_STATE_DIR to "
                   "a folder of its own)",
                   name);
}

void journal_mark_suspect(const struct journal *j)
{
    char name[PATH_SIZE];
    struct err ignored; /* without the mark the next open looks the file over as always */
    int fd;

    if (join(name, j->path, ".suspect", &ignored) != 0)
        return;
    fd = open(name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd >= 0)
        close(fd);
}

static bool is_suspect(const struct journal *j)
{
    char name[PATH_SIZE];
    struct err ignored;

    return join(name, j->path, ".suspect", &ignored) == 0 && access(name, F_OK) == 0;
}

static void clear_suspect(const struct journal *j)
{
    char name[PATH_SIZE];
    struct err ignored;

    if (join(name, j->path, ".suspect", &ignored) == 0)
        unlink(name);
}

/* The -wal and -shm go along, so that SQLite's tools can still recover what is in them. */
static int rename_with(const char *from, const char *to, const char *suffix, struct err *err)
{
    char old[PATH_SIZE], new[PATH_SIZE];
    int rc = join(old, from, suffix, err);

    if (rc == 0)
        rc = join(new, to, suffix, err);
    if (rc == 0 && rename(old, new) != 0 && errno != ENOENT)
        rc = err_set(err, ERR_IO, "%s: damaged, and cannot be renamed: %s (move it away)", old,
                     strerror(errno));
    return rc;
}

static int put_aside(struct journal *j, char set_aside[512], struct err *err)
{
    char name[PATH_SIZE];
    int rc = 0, n = 0;

    do {
        char suffix[32];

        snprintf(suffix, sizeof suffix, ".damaged-%d", ++n);
        rc = join(name, j->path, suffix, err);
    } while (rc == 0 && n < SET_ASIDE_MOST && access(name, F_OK) == 0);
    /* The file itself comes last: if we die before, the next start finds it and this name again. */
    if (rc == 0)
        rc = rename_with(j->path, name, "-wal", err);
    if (rc == 0)
        rc = rename_with(j->path, name, "-shm", err);
    if (rc == 0)
        rc = rename_with(j->path, name, "", err);
    if (rc != 0)
        return rc;
    clear_suspect(j);
    memcpy(set_aside, name, sizeof name);
    return 0;
}

static int run_sql(struct journal *j, const char *text, struct err *err)
{
    int rc = sqlite3_exec(j->db, text, NULL, NULL, NULL);

    return rc == SQLITE_OK ? 0 : journal_fail(j, rc, "cannot open", err);
}

/* Sets *out to whether the one value that `text` answers is `expected`. */
static int answers(struct journal *j, const char *text, const char *expected, bool *out,
                   struct err *err)
{
    sqlite3_stmt *stmt = NULL;
    int rc = journal_prepare(j, text, &stmt, err);

    if (rc == 0)
        rc = journal_step(j, stmt, "cannot open", err);
    if (rc == 1) {
        const unsigned char *value = sqlite3_column_text(stmt, 0);

        *out = value != NULL && strcmp((const char *)value, expected) == 0;
    }
    sqlite3_finalize(stmt);
    return rc < 0 ? rc : 0;
}

static int ask_number(struct journal *j, const char *text, int64_t *out, struct err *err)
{
    sqlite3_stmt *stmt = NULL;
    int rc = journal_prepare(j, text, &stmt, err);

    if (rc == 0)
        rc = journal_step(j, stmt, "cannot open", err);
    if (rc == 1)
        *out = sqlite3_column_int64(stmt, 0);
    sqlite3_finalize(stmt);
    return rc < 0 ? rc : 0;
}

/* Whether the file is ours, and in which format: 0 where it is empty. Changes nothing in it. */
static int recognise(struct journal *j, int64_t *format, struct err *err)
{
    int64_t id = 0, tables = 0;
    int rc = ask_number(j, "PRAGMA application_id", &id, err);

    if (rc == 0)
        rc = ask_number(j, "PRAGMA user_version", format, err);
    if (rc == 0)
        rc = ask_number(j, "SELECT count(*) FROM sqlite_schema", &tables, err);
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
    for (int i = 0; i < JOURNAL_STMTS; i++) {
        if (i == JOURNAL_APPEND && j->read_only && format < FORMAT)
            continue; /* a column is missing that a reader can do without */
        if (sqlite3_prepare_v3(j->db, sql[i], -1, SQLITE_PREPARE_PERSISTENT, &j->stmts[i], NULL) !=
            SQLITE_OK) {
            int code = sqlite3_extended_errcode(j->db);

            if (code == SQLITE_ERROR) /* no such table, no such column */
                return err_set(err, ERR_DAMAGED, "%s: %s", j->path, sqlite3_errmsg(j->db));
            return journal_fail(j, code, "cannot open", err);
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

/* Where the list begins and ends. What kills a process cannot damage the file, and SQLite checks
 * the WAL by checksums, so a large file is only read at both ends; SQLite itself sees on the way
 * whether it was cut short. */
static int look_over(struct journal *j, struct err *err)
{
    int64_t stored = 0, pages = 0, seen;
    bool found = false, sound = true;
    int rc = journal_number(j, JOURNAL_LAST, &j->ends.last, err);

    if (rc == 0)
        rc = journal_get(j, "last", &stored, sizeof stored, &found, err);
    if (rc == 0)
        rc = journal_number(j, JOURNAL_PAGES, &pages, err);
    if (rc == 0 && !j->read_only && pages * j->room.page_bytes <= CHECK_WHOLE_BYTES)
        rc = answers(j, "PRAGMA quick_check(1)", "ok", &sound, err);
    if (rc == 0 && !sound)
        rc = err_set(err, ERR_DAMAGED, "%s: SQLite's check found it damaged", j->path);
    if (rc == 0)
        rc = journal_read(j, 0, see_record, &j->ends.first, err);
    if (rc >= 0)
        rc = journal_read(j, j->ends.last, see_record, &seen, err);
    if (found && stored > j->ends.last)
        j->ends.last = stored;
    j->committed = j->ends;
    return rc < 0 ? rc : 0;
}

/* Debian's SQLite overwrites what is deleted with zeros (SQLITE_SECURE_DELETE): each trim would
 * write every page that it frees. */
static int become_owner(struct journal *j, const struct journal_options *options, int64_t format,
                        struct err *err)
{
    char limit[64];
    bool wal = false;
    int rc;

    snprintf(limit, sizeof limit, "PRAGMA journal_size_limit=%lld",
             (long long)journal_room_wal_limit(&j->room));
    rc = answers(j, "PRAGMA journal_mode=WAL", "wal", &wal, err);
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
        return journal_fail(j, rc, "cannot open", err);
    sqlite3_busy_timeout(j->db, BUSY_MS);
    /* A file that turns out to be a newer build's is left exactly as it is. */
    sqlite3_db_config(j->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    /* Before all that reads the file: only then there is no PATH-shm, for which a full disk may
     * have no room. */
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
        rc = ask_number(j, "PRAGMA page_size", &j->room.page_bytes, err);
    if (rc == 0)
        rc = prepare_all(j, format, err);
    if (rc == 0)
        rc = look_over(j, err);
    if (rc == 0) {
        sqlite3_db_config(j->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0, NULL);
        journal_room_begin(j);
    }
    return rc;
}

static void disconnect(struct journal *j)
{
    int rc;

    for (int i = 0; i < JOURNAL_STMTS; i++) {
        sqlite3_finalize(j->stmts[i]);
        j->stmts[i] = NULL;
    }
    rc = sqlite3_close(j->db);
    assert(rc == SQLITE_OK); /* a statement of the owner's was not finalized */
    (void)rc;
    j->db = NULL;
}

static int open_it(struct journal *j, const struct journal_options *options, char set_aside[512],
                   struct err *err)
{
    int rc = options->read_only ? 0 : lock(j, err);

    if (rc != 0)
        return rc;
    if (!options->read_only && is_suspect(j)) {
        rc = put_aside(j, set_aside, err);
        return rc != 0 ? rc : connect_db(j, options, err);
    }
    rc = connect_db(j, options, err);
    if (rc != ERR_DAMAGED || options->read_only)
        return rc;
    disconnect(j);
    rc = put_aside(j, set_aside, err);
    return rc != 0 ? rc : connect_db(j, options, err);
}

int journal_open(const struct journal_options *options, struct journal **out, char set_aside[512],
                 struct err *err)
{
    struct journal *j = calloc(1, sizeof *j);
    int rc;

    /* Nobody asks how much memory SQLite has, and to count it takes a lock at each malloc and free:
     * 6 % of what a record costs. Refused where SQLite is in use already, and as well. */
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
    journal_room_bound(&j->room, options->max_bytes);
    buf_init(&j->row.bytes, JOURNAL_ROW_BYTES);
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
