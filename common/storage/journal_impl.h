/* What the journal's own files share, and nobody else includes. */
#ifndef DRAINWATCH_COMMON_STORAGE_JOURNAL_IMPL_H
#define DRAINWATCH_COMMON_STORAGE_JOURNAL_IMPL_H

#include "common/storage/journal.h"

#include "common/base/buf.h"

#include <sqlite3.h>

/* Small records that one transaction appends share a row, because a row costs SQLite several times
 * what their bytes do. Such a row is found by the position of its last record; `bytes` holds them
 * one behind the other, and `lens` their lengths, 16 bits each, the lower byte first. A row of one
 * record has no `lens`. */
enum {
    /* With lengths. Two such rows fill a page. With rows of half the size a record costs the
     * alerter a tenth more; larger ones would leave much of a page empty behind a small one. */
    JOURNAL_ROW_BYTES = 2000,
    JOURNAL_SHARE_BYTES = 500, /* a larger record is by itself: little would be left to save, and
                                  much of a row be empty where the next one does not fit */
};

/* The row that the open transaction has not written yet: it ends with the newest record. */
struct journal_row {
    struct buf bytes;
    size_t n;
    uint8_t lens[JOURNAL_ROW_BYTES];
};

enum journal_stmt {
    JOURNAL_BEGIN,
    JOURNAL_COMMIT,
    JOURNAL_ROLLBACK,
    JOURNAL_APPEND,
    JOURNAL_TRIM,
    JOURNAL_LAST,
    JOURNAL_READ,
    JOURNAL_GET,
    JOURNAL_PUT,
    JOURNAL_PAGES,
    JOURNAL_FREE_PAGES,
    JOURNAL_STMTS,
};

/* All columns: a file of the first format has one less. */
#define JOURNAL_READ_SQL "SELECT * FROM records WHERE position >= ? ORDER BY position"

/* Where there is room, and how much of it is taken. All in bytes but the pages. */
struct journal_room {
    int64_t max_bytes;  /* 0: no bound */
    int64_t unit_bytes; /* file and WAL grow in these */
    int64_t checkpoint_bytes;
    int64_t page_bytes;
    int64_t pages;      /* of the file when they were last counted, taken or free */
    int64_t free_pages; /* of them, those that the next records will use */
    int64_t uncounted;  /* what records cost that were appended since then */
    bool trimmed;       /* since then */
    int commits;        /* since then */
    int64_t file_bytes; /* on the disk, with what was taken ahead */
    int64_t wal_bytes;  /* likewise */
    int64_t wal_used;   /* what of the WAL the next commit will not overwrite */
    int64_t appended;   /* what the open transaction's records cost */
};

struct journal_ends {
    int64_t first;
    int64_t last;
    int64_t trimmed; /* up to here, though a row may be kept for others in it */
};

struct journal {
    sqlite3 *db;
    sqlite3_stmt *stmts[JOURNAL_STMTS];
    char *path;
    int lock_fd; /* -1: none */
    bool read_only;
    bool sync_full;
    bool in_transaction; /* as the owner sees it; SQLite may have ended it on a failure */
    bool suspect;        /* stored bytes turned out to be wrong */
    bool synced;         /* the open transaction is of journal_begin_synced */
    bool unsettled;      /* since a commit or a rollback */
    int lost;            /* why it cannot be committed: the code that commit answers */
    struct journal_ends ends;
    struct journal_ends committed;
    struct journal_room room;
    struct journal_row row;
};

/* Takes note that the open transaction cannot be committed. Returns `code`. */
int journal_lose(struct journal *j, int code);
/* Turns SQLite's last failure into a code and a message that names file and remedy. */
int journal_fail(struct journal *j, int sqlite_code, const char *doing, struct err *err);
/* The one number that a prepared statement answers; 0 for NULL. */
int journal_number(struct journal *j, enum journal_stmt which, int64_t *out, struct err *err);

/* journal_row.c. What a record of `n` bytes adds to what the open transaction costs. */
int64_t journal_row_cost(const struct journal *j, size_t n);
/* Takes the record behind ends.last, for which there is room. */
int journal_row_append(struct journal *j, const void *bytes, size_t n, struct err *err);
/* Writes the row that the transaction has not written yet. */
int journal_row_flush(struct journal *j, struct err *err);
/* Calls `fn` for the records from *position on of the row that the statement stands at, and moves
 * *position behind what was read. Returns 0, what `fn` returned, ERR_DAMAGED or ERR_NOMEM. */
int journal_row_read(struct journal *j, struct sqlite3_stmt *stmt, int64_t *position,
                     journal_read_fn *fn, void *ctx, struct err *err);

/* journal_open.c */
void journal_mark_suspect(const struct journal *j);

/* journal_room.c: the units are set before the file is opened, and room is looked at after open and
 * between two transactions. */
void journal_room_bound(struct journal_room *room, int64_t max_bytes);
int64_t journal_room_wal_limit(const struct journal_room *room);
void journal_room_begin(struct journal *j);
/* Before a transaction: settles, and near the bound gives room that the WAL takes to records. */
void journal_room_prepare(struct journal *j);
/* 0 where what costs so much fits, or ERR_FULL. */
int journal_room_fits(struct journal *j, int64_t bytes, struct err *err);
int64_t journal_room_cost(const struct journal_room *room, size_t n); /* of a row of `n` bytes */

#endif
