/* Room for the journal: the bound, and disk space taken ahead.
 *
 * A transaction goes to the WAL first and is copied into the file by a checkpoint. On a full disk
 * that can lock itself up: the checkpoint cannot make the file longer, so the WAL cannot begin
 * anew, so not even a trim can be written. Therefore the file is made longer before a record may be
 * appended that will need it, and the WAL is made as long as it gets between two checkpoints when
 * the journal is opened. */
#include "common/storage/journal_impl.h"

#include <assert.h>

enum {
    UNIT_MOST = 1 << 20,
    UNIT_LEAST = 16 << 10,
    UNITS_OF_BOUND = 64,
    /* The WAL is copied into the file when it holds this. That waits for the disk, and what waits
     * for its commit waits, too: measured 5 to 15 ms, so the fewer the better. */
    CHECKPOINT_MOST = 8 << 20,
    CHECKPOINT_OF_BOUND = 32,
    /* Between two counts of the pages, whose statements SQLite compiles anew each time: counting
     * after each commit took 2 % of a delivery with matches. Of records it is known what they take;
     * the rest fits what is left to it (tail_for). */
    COUNT_COMMITS = 16,
    /* For what an append touches besides its own pages: the tree above them, the list of free ones,
     * named values, the owner's tables. */
    SIDE_PAGES = 8,
    FRAME_HEAD = 24, /* SQLite file format, 4.1: the WAL's header and each frame's */
    WAL_HEAD = 32,
    CELL_HEAD = 16, /* a row's length, position and column types, and its place on the page */
};

void journal_room_bound(struct journal_room *room, int64_t max_bytes)
{
    int64_t unit = UNIT_MOST;

    if (max_bytes > 0 && max_bytes < JOURNAL_MAX_BYTES_LEAST)
        max_bytes = JOURNAL_MAX_BYTES_LEAST;
    if (max_bytes > 0 && max_bytes / UNITS_OF_BOUND < unit)
        unit = max_bytes / UNITS_OF_BOUND;
    if (unit < UNIT_LEAST)
        unit = UNIT_LEAST;
    room->max_bytes = max_bytes;
    room->unit_bytes = unit;
    room->checkpoint_bytes = CHECKPOINT_MOST;
    if (max_bytes > 0 && max_bytes / CHECKPOINT_OF_BOUND < CHECKPOINT_MOST)
        room->checkpoint_bytes = max_bytes / CHECKPOINT_OF_BOUND;
    if (room->checkpoint_bytes < 2 * unit)
        room->checkpoint_bytes = 2 * unit;
}

/* A unit is for the commit that comes when it is due. */
int64_t journal_room_wal_limit(const struct journal_room *room)
{
    return room->checkpoint_bytes + room->unit_bytes;
}

/* The file or its WAL as SQLite's file layer sees it; NULL where it is not open. */
static sqlite3_file *file_of(const struct journal *j, int which)
{
    sqlite3_file *file = NULL;

    if (sqlite3_file_control(j->db, "main", which, &file) != SQLITE_OK || file == NULL ||
        file->pMethods == NULL)
        return NULL;
    return file;
}

static int64_t size_of(sqlite3_file *file)
{
    sqlite3_int64 size = 0;

    return file != NULL && file->pMethods->xFileSize(file, &size) == SQLITE_OK ? size : 0;
}

/* Makes a file at least `bytes` long, with room on the disk behind each byte. Answers its size. */
static int64_t grow(struct journal *j, int which, int64_t bytes)
{
    sqlite3_file *file = file_of(j, which);
    int unit = (int)j->room.unit_bytes;
    sqlite3_int64 want = bytes;

    if (file != NULL && size_of(file) < bytes) {
        /* SQLite takes room ahead only for a file that grows in chunks. */
        file->pMethods->xFileControl(file, SQLITE_FCNTL_CHUNK_SIZE, &unit);
        file->pMethods->xFileControl(file, SQLITE_FCNTL_SIZE_HINT, &want);
    }
    return size_of(file);
}

static int on_wal(void *ctx, sqlite3 *db, const char *name, int frames)
{
    struct journal *j = ctx;

    (void)db;
    (void)name;
    j->room.wal_used = WAL_HEAD + frames * (j->room.page_bytes + FRAME_HEAD);
    return SQLITE_OK;
}

/* Copies the WAL into the file. This never fails a commit, which is safe in the WAL: what could not
 * be copied now is copied after the next one. */
static void checkpoint(struct journal *j)
{
    int frames = 0, copied = 0;

    if (sqlite3_wal_checkpoint_v2(j->db, "main", SQLITE_CHECKPOINT_PASSIVE, &frames, &copied) ==
            SQLITE_OK &&
        frames == copied)
        j->room.wal_used = 0;
}

/* Bytes at the file's end that no page uses yet. */
static int64_t tail(const struct journal_room *room)
{
    return room->file_bytes - room->pages * room->page_bytes;
}

static void count_pages(struct journal *j)
{
    struct journal_room *room = &j->room;
    struct err ignored; /* a number that cannot be had stays as it was */

    journal_number(j, JOURNAL_PAGES, &room->pages, &ignored);
    journal_number(j, JOURNAL_FREE_PAGES, &room->free_pages, &ignored);
    room->uncounted = 0;
    room->trimmed = false;
    room->commits = 0;
}

static void measure(struct journal *j)
{
    struct journal_room *room = &j->room;

    count_pages(j);
    /* A checkpoint cuts the file to the unit that its last page is in. */
    room->file_bytes = size_of(file_of(j, SQLITE_FCNTL_FILE_POINTER));
    room->wal_bytes = size_of(file_of(j, SQLITE_FCNTL_JOURNAL_POINTER));
    if (tail(room) < room->unit_bytes / 4)
        room->file_bytes = grow(j, SQLITE_FCNTL_FILE_POINTER,
                                room->pages * room->page_bytes + room->unit_bytes / 4);
}

void journal_room_begin(struct journal *j)
{
    if (j->read_only) {
        count_pages(j);
        return;
    }
    sqlite3_wal_hook(j->db, on_wal, j);
    j->room.wal_bytes = grow(j, SQLITE_FCNTL_JOURNAL_POINTER, journal_room_wal_limit(&j->room));
    measure(j);
}

void journal_settle(struct journal *j)
{
    struct journal_room *room = &j->room;
    bool is_due = room->wal_used >= room->checkpoint_bytes;

    assert(!j->in_transaction);
    if (!j->unsettled)
        return;
    j->unsettled = false;
    if (is_due)
        checkpoint(j);
    if (is_due || ++room->commits >= COUNT_COMMITS)
        measure(j);
}

/* What a row adds to the file. Rows lie in order, so pages are filled to their end. Of one
 * that does not fit on a page the rest goes on in pages of its own (SQLite file format, 1.6). */
int64_t journal_room_cost(const struct journal_room *room, size_t n)
{
    int64_t page = room->page_bytes, least = (page - 12) * 32 / 255 - 23, rest_page = page - 4;
    int64_t cell = (int64_t)n + CELL_HEAD, rest = 0;

    if (cell > page - 35) {
        int64_t local = least + (cell - least) % rest_page;

        local = local <= page - 35 ? local : least;
        rest = (cell - local + rest_page - 1) / rest_page;
        cell = local + CELL_HEAD;
    }
    return rest * page + page / ((page - 8) / cell > 0 ? (page - 8) / cell : 1);
}

/* What the WAL takes for a transaction whose records cost this. */
static int64_t wal_cost(const struct journal_room *room, int64_t bytes)
{
    int64_t pages = bytes / room->page_bytes + 1 + SIDE_PAGES;

    return pages * (room->page_bytes + FRAME_HEAD);
}

static int64_t taken(const struct journal_room *room)
{
    return (room->pages - room->free_pages) * room->page_bytes;
}

/* Whether what costs this fits. */
static bool within_bound(const struct journal_room *room, int64_t bytes)
{
    int64_t wal = room->wal_used + wal_cost(room, room->appended + bytes);

    if (room->max_bytes == 0)
        return true;
    if (wal > room->wal_bytes && room->file_bytes + wal > room->max_bytes)
        return false; /* the file keeps its length when records are trimmed, so the WAL must not
                         grow */
    if (wal < room->wal_bytes)
        wal = room->wal_bytes;
    /* The last two are what the file may be longer than its pages. */
    return taken(room) + room->uncounted + bytes + wal + 2 * room->unit_bytes <= room->max_bytes;
}

/* How much longer than its pages the file must be. A quarter of a unit stays for trims and the
 * owner's tables. */
static int64_t tail_for(const struct journal_room *room, int64_t bytes)
{
    return room->uncounted + bytes - room->free_pages * room->page_bytes + room->unit_bytes / 4;
}

static bool has_disk(struct journal *j, int64_t bytes)
{
    struct journal_room *room = &j->room;
    int64_t more = tail_for(room, bytes);
    int64_t wal = room->wal_used + wal_cost(room, room->appended + bytes);

    if (more > tail(room))
        room->file_bytes =
            grow(j, SQLITE_FCNTL_FILE_POINTER, room->pages * room->page_bytes + more);
    if (wal > room->wal_bytes)
        room->wal_bytes = grow(j, SQLITE_FCNTL_JOURNAL_POINTER, wal);
    return more <= tail(room) && wal <= room->wal_bytes;
}

int journal_room_fits(struct journal *j, int64_t bytes, struct err *err)
{
    struct journal_room *room = &j->room;

    /* Before it is refused, or the file made longer: what was trimmed has made room. */
    if (!within_bound(room, bytes) || tail_for(room, bytes) > tail(room))
        count_pages(j);
    if (!within_bound(room, bytes))
        return err_set(
            err, ERR_FULL,
            "%s: is full: with its WAL it may take %lld bytes (let the alerter take what "
            "it holds, or raise DRAINWATCH_SPOOL_MAX_BYTES)",
            j->path, (long long)j->room.max_bytes);
    if (!has_disk(j, bytes))
        return err_set(err, ERR_FULL, "%s: its disk is full (free some space on it)", j->path);
    return 0;
}

int64_t journal_bytes(struct journal *j)
{
    if (!j->in_transaction && j->room.trimmed)
        count_pages(j);
    return taken(&j->room) + j->room.uncounted;
}

void journal_rest(struct journal *j)
{
    assert(!j->in_transaction && !j->read_only);
    journal_settle(j);
    if (j->room.wal_used < j->room.checkpoint_bytes / 8)
        return;
    checkpoint(j);
    measure(j);
}

void journal_room_prepare(struct journal *j)
{
    journal_settle(j);
    if (within_bound(&j->room, j->room.checkpoint_bytes))
        return;
    count_pages(j); /* what was trimmed may be room enough */
    if (!within_bound(&j->room, j->room.checkpoint_bytes))
        journal_rest(j);
}
