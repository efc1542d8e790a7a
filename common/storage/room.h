/* Room on the disk for one SQLite database in WAL mode: its bound, and room taken ahead.
 *
 * On a full disk SQLite can lock itself up: a checkpoint cannot make the file longer, so the WAL
 * cannot begin anew, so not even a trim can be written. Therefore the file never holds more pages
 * than it has room for on the disk (PRAGMA max_page_count), it grows before a record is appended,
 * and the WAL has its full length from the start. */
#ifndef DRAINWATCH_COMMON_STORAGE_ROOM_H
#define DRAINWATCH_COMMON_STORAGE_ROOM_H

#include "common/base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sqlite3;
struct sqlite3_stmt;

/* All in bytes but the pages. It holds at all times that
 *   the contents <= (pages - free_pages) * page_bytes + uncounted
 *   pages * page_bytes <= file_bytes, which is also the limit that SQLite keeps
 * and an append is refused unless after it
 *   (pages - free_pages) * page_bytes + uncounted + unit_bytes / 2 <= file_bytes
 *   wal_used + the pages of `appended` <= wal_bytes
 * So `uncounted` is for the file, until the pages are next counted, and `appended` for the WAL,
 * until the transaction ends. */
struct room {
    struct sqlite3 *db;
    struct sqlite3_stmt *count_pages;
    struct sqlite3_stmt *count_free;
    int64_t max_bytes;  /* of file and WAL together, 0: no bound */
    int64_t unit_bytes; /* file and WAL grow in these */
    int64_t checkpoint_bytes;
    int64_t page_bytes;
    int64_t pages;      /* of the file, taken or free, when they were last counted */
    int64_t free_pages; /* of them, free for the next records */
    int64_t uncounted;  /* at most this much came since: appended records, pages in the WAL */
    int64_t appended;   /* at most this much came in the open transaction */
    int64_t file_bytes; /* on the disk */
    int64_t wal_bytes;  /* likewise */
    int64_t wal_used;   /* bytes of the WAL that the next commit will not overwrite */
    bool is_wal_short; /* an append was refused because the WAL was full; a checkpoint empties it */
};

/* Before the database is opened: sets the sizes from the bound (0: none). */
void room_init(struct room *r, int64_t max_bytes);
int64_t room_wal_limit(const struct room *r); /* the WAL's full length */

/* Once the database is open: counts its pages. Returns 0 or ERR_IO. room_close is for any room that
 * room_init has set. */
int room_open(struct room *r, struct sqlite3 *db, struct err *err);
void room_close(struct room *r);
/* Once the owner found the database sound: takes room ahead, from now on. */
void room_take_ahead(struct room *r);

/* Before an append of `n` bytes: 0, or ERR_FULL (with a message that begins with `path`) and
 * nothing was changed. */
int room_reserve(struct room *r, size_t n, const char *path, struct err *err);

/* Whether the file has room for `n` more bytes, on the disk, too. The WAL may still be full. */
bool room_has(struct room *r, size_t n);

/* After a transaction. */
void room_end(struct room *r, bool committed);

/* Between transactions: takes room ahead, and copies the WAL into the file if it holds much, or, if
 * there is time to wait for the disk, if it holds anything worth it. */
void room_maintain(struct room *r, bool is_idle);

/* That the database's contents take. Counts its pages if anything has changed. */
int64_t room_bytes(struct room *r);
/* True if they take more. Counts the pages only if an upper estimate is more, too. */
bool room_is_larger(struct room *r, int64_t max_bytes);

#endif
