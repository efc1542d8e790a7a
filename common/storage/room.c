/* Keeps a journal within its bound, and room on the disk ahead of it. Called by journal.c. */
#include "common/storage/room.h"

#include <sqlite3.h>
#include <stdio.h>

enum {
    UNIT_MOST = 1 << 20,
    UNIT_LEAST = 16 << 10,
    UNITS_OF_BOUND = 64,
    /* The WAL is copied into the file when it holds this. A commit that waits for it waits 5 to
     * 15 ms, so the fewer the better. */
    CHECKPOINT_MOST = 8 << 20,
    CHECKPOINT_OF_BOUND = 8,
    WAL_LEAST = 64 << 10, /* of the WAL is left for the commit that comes when one is due */
    /* For what an append changes besides the pages of its record. */
    SIDE_PAGES = 8,
    FRAME_HEAD = 24, /* SQLite file format, 4.1: the WAL's header and each frame's */
    WAL_HEAD = 32,
    RECORD_HEAD = 64,
};

static int64_t clamp(int64_t value, int64_t least, int64_t most)
{
    return value < least ? least : value > most ? most : value;
}

void room_init(struct room *r, int64_t max_bytes)
{
    *r = (struct room){.unit_bytes = UNIT_MOST, .checkpoint_bytes = CHECKPOINT_MOST};
    if (max_bytes == 0)
        return;
    r->max_bytes = max_bytes;
    r->unit_bytes = clamp(r->max_bytes / UNITS_OF_BOUND, UNIT_LEAST, UNIT_MOST);
    r->checkpoint_bytes =
        clamp(r->max_bytes / CHECKPOINT_OF_BOUND, 2 * r->unit_bytes, CHECKPOINT_MOST);
}

int64_t room_wal_limit(const struct room *r)
{
    return r->checkpoint_bytes + (r->unit_bytes > WAL_LEAST ? r->unit_bytes : WAL_LEAST);
}

/* ---- The files ---- */

/* The file or its WAL in SQLite's file layer; NULL if it is not open. */
static sqlite3_file *file_of(const struct room *r, int which)
{
    sqlite3_file *file = NULL;

    if (sqlite3_file_control(r->db, "main", which, &file) != SQLITE_OK || file == NULL ||
        file->pMethods == NULL)
        return NULL;
    return file;
}

static int64_t size_of(const struct room *r, int which)
{
    sqlite3_file *file = file_of(r, which);
    sqlite3_int64 size = 0;

    return file != NULL && file->pMethods->xFileSize(file, &size) == SQLITE_OK ? size : 0;
}

/* Makes a file at least `bytes` long, with room on the disk behind each byte. Returns its size. */
static int64_t grow(const struct room *r, int which, int64_t bytes)
{
    sqlite3_file *file = file_of(r, which);
    int unit = (int)r->unit_bytes;
    sqlite3_int64 want = bytes;

    if (file == NULL)
        return 0;
    /* SQLite takes room ahead, and keeps it in a checkpoint, only for a file that grows in chunks.
     */
    file->pMethods->xFileControl(file, SQLITE_FCNTL_CHUNK_SIZE, &unit);
    if (size_of(r, which) < bytes)
        file->pMethods->xFileControl(file, SQLITE_FCNTL_SIZE_HINT, &want);
    return size_of(r, which);
}

static void set_file_bytes(struct room *r, int64_t bytes)
{
    char limit[64];

    r->file_bytes = bytes;
    snprintf(limit, sizeof limit, "PRAGMA max_page_count=%lld", (long long)(bytes / r->page_bytes));
    sqlite3_exec(r->db, limit, NULL, NULL, NULL); /* if it fails, the next growth sets it */
}

/* ---- Free room ---- */

static int64_t number(struct sqlite3_stmt *stmt, int64_t before)
{
    int64_t n = sqlite3_step(stmt) == SQLITE_ROW ? sqlite3_column_int64(stmt, 0) : before;

    sqlite3_reset(stmt);
    return n;
}

static void count(struct room *r)
{
    r->pages = number(r->count_pages, r->pages);
    r->free_pages = number(r->count_free, r->free_pages);
    if (r->free_pages < 0 || r->free_pages > r->pages) /* a damaged head */
        r->free_pages = 0;
    r->uncounted = 0;
}

void room_end(struct room *r, bool committed)
{
    r->appended = 0;
    if (!committed) /* its pages may have been counted */
        count(r);
}

static int64_t most_used(const struct room *r)
{
    return (r->pages - r->free_pages) * r->page_bytes + r->uncounted;
}

static void count_changes(struct room *r)
{
    if (r->uncounted > 0)
        count(r);
}

int64_t room_bytes(struct room *r)
{
    count_changes(r);
    return most_used(r);
}

bool room_is_larger(struct room *r, int64_t max_bytes)
{
    return most_used(r) > max_bytes && room_bytes(r) > max_bytes;
}

/* How long the file must be for this. Half a unit stays for trims and for the owner's tables. */
static int64_t file_need(const struct room *r, int64_t bytes)
{
    int64_t used = most_used(r) + bytes + r->unit_bytes / 2, pages = r->pages * r->page_bytes;

    return used > pages ? used : pages;
}

/* The longest that the file may get, in whole units. */
static int64_t file_most(const struct room *r)
{
    int64_t wal = r->wal_bytes > room_wal_limit(r) ? r->wal_bytes : room_wal_limit(r);

    return r->max_bytes == 0 ? INT64_MAX : (r->max_bytes - wal) / r->unit_bytes * r->unit_bytes;
}

enum fit { FITS, PAST_BOUND, DISK_FULL };

static enum fit fit_file(struct room *r, int64_t bytes)
{
    int64_t need, want, most = file_most(r);

    if (file_need(r, bytes) > r->file_bytes)
        count_changes(r);
    need = file_need(r, bytes);
    want = (need / r->unit_bytes + 1) * r->unit_bytes;
    if (need <= r->file_bytes)
        return FITS;
    if (need > most)
        return PAST_BOUND;
    set_file_bytes(r, grow(r, SQLITE_FCNTL_FILE_POINTER, want < most ? want : most));
    return need <= r->file_bytes ? FITS : DISK_FULL;
}

/* For a transaction that appends so much. */
static enum fit fit_wal(struct room *r, int64_t bytes)
{
    int64_t pages = (r->appended + bytes) / r->page_bytes + 1 + SIDE_PAGES;
    int64_t need = r->wal_used + pages * (r->page_bytes + FRAME_HEAD);

    r->is_wal_short = need > r->wal_bytes;
    if (!r->is_wal_short)
        return FITS;
    if (r->max_bytes != 0 && r->file_bytes + need + r->unit_bytes > r->max_bytes)
        return PAST_BOUND;
    r->wal_bytes = grow(r, SQLITE_FCNTL_JOURNAL_POINTER, need);
    r->is_wal_short = need > r->wal_bytes;
    return r->is_wal_short ? DISK_FULL : FITS;
}

/* An upper bound for a record of `n` bytes: less than half of its pages stays empty. */
static int64_t most_bytes(size_t n)
{
    return 2 * (int64_t)n + RECORD_HEAD;
}

int room_reserve(struct room *r, size_t n, const char *path, struct err *err)
{
    int64_t bytes = most_bytes(n);
    enum fit fit = fit_file(r, bytes);

    if (fit == FITS)
        fit = fit_wal(r, bytes);
    if (fit == PAST_BOUND)
        return err_set(err, ERR_FULL,
                       "%s: is full: with its WAL it may take %lld bytes (let the alerter take "
                       "what it holds, or raise DRAINWATCH_SPOOL_MAX_BYTES)",
                       path, (long long)r->max_bytes);
    if (fit == DISK_FULL)
        return err_set(err, ERR_FULL, "%s: its disk is full (free some space on it)", path);
    r->uncounted += bytes;
    r->appended += bytes;
    return 0;
}

bool room_has(struct room *r, size_t n)
{
    return fit_file(r, most_bytes(n)) == FITS;
}

/* ---- Between transactions ---- */

/* Copies the WAL into the file. This never fails a commit, which is safe in the WAL: the rest is
 * copied next time. The copy may cut the file to the unit of its last page. */
static void checkpoint(struct room *r)
{
    int frames = 0, copied = 0;

    if (sqlite3_wal_checkpoint_v2(r->db, "main", SQLITE_CHECKPOINT_PASSIVE, &frames, &copied) ==
            SQLITE_OK &&
        frames == copied) {
        r->wal_used = 0;
        r->is_wal_short = false;
    }
    r->wal_bytes = size_of(r, SQLITE_FCNTL_JOURNAL_POINTER);
    set_file_bytes(r, size_of(r, SQLITE_FCNTL_FILE_POINTER));
}

void room_maintain(struct room *r, bool is_idle)
{
    int64_t due = is_idle ? r->checkpoint_bytes / 8 : r->checkpoint_bytes;

    if (r->wal_used >= due || (r->is_wal_short && r->wal_used > 0))
        checkpoint(r);
    fit_file(r, r->unit_bytes / 2);
}

static int on_wal(void *ctx, sqlite3 *db, const char *name, int frames)
{
    struct room *r = ctx;
    int64_t used = WAL_HEAD + frames * (r->page_bytes + FRAME_HEAD);

    (void)db;
    (void)name;
    r->uncounted += used > r->wal_used ? used - r->wal_used : used;
    r->wal_used = used;
    return SQLITE_OK;
}

/* ---- Open and close ---- */

static bool prepare(struct room *r, const char *sql, sqlite3_stmt **out)
{
    return sqlite3_prepare_v3(r->db, sql, -1, SQLITE_PREPARE_PERSISTENT, out, NULL) == SQLITE_OK;
}

int room_open(struct room *r, struct sqlite3 *db, struct err *err)
{
    sqlite3_stmt *page_size = NULL;

    r->db = db;
    if (!prepare(r, "PRAGMA page_size", &page_size) ||
        !prepare(r, "PRAGMA page_count", &r->count_pages) ||
        !prepare(r, "PRAGMA freelist_count", &r->count_free)) {
        sqlite3_finalize(page_size);
        return err_set(err, ERR_IO, "cannot count the pages of a database: %s", sqlite3_errmsg(db));
    }
    r->page_bytes = number(page_size, 4096);
    sqlite3_finalize(page_size);
    count(r);
    return 0;
}

void room_take_ahead(struct room *r)
{
    sqlite3_wal_hook(r->db, on_wal, r);
    set_file_bytes(r, grow(r, SQLITE_FCNTL_FILE_POINTER, 0));
    r->wal_bytes = grow(r, SQLITE_FCNTL_JOURNAL_POINTER, room_wal_limit(r));
    fit_file(r, r->unit_bytes / 2);
}

void room_close(struct room *r)
{
    sqlite3_finalize(r->count_pages);
    sqlite3_finalize(r->count_free);
    r->count_pages = r->count_free = NULL;
}
