/* A durable, ordered list of records in one SQLite file (WAL). Ingest keeps its spool in one, and
 * the SQLite storage its event stream.
 *
 * Appended records are safe once journal_commit has returned 0. One process owns a journal at a
 * time; other processes may read it meanwhile. Room on the disk is taken ahead (room.h), so that an
 * append returns ERR_FULL on a full disk while trims still work. Beside PATH lie PATH-wal,
 * PATH-shm, PATH.lock and sometimes PATH.suspect (journal_files.h). */
#ifndef DRAINWATCH_COMMON_STORAGE_JOURNAL_H
#define DRAINWATCH_COMMON_STORAGE_JOURNAL_H

#include "common/base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sqlite3;
struct sqlite3_stmt;
struct journal;

enum { JOURNAL_MAX_BYTES_LEAST = 256 << 10 }; /* a smaller max_bytes counts as this */

struct journal_options {
    const char *path;
    bool read_only;    /* beside the owner: no lock, no repair, no append */
    bool sync_full;    /* every commit waits for the disk (DRAINWATCH_SYNC=full) */
    bool exclusive;    /* no other process reads: saves 5 µs a commit */
    int64_t max_bytes; /* of file and WAL together; an append beyond it is ERR_FULL. 0: no bound */
};

/* Opens or makes the file. Returns 0; ERR_BUSY (another process owns it), ERR_VERSION (a newer
 * build's file, which is left alone), ERR_INPUT (a symbolic link), ERR_IO or ERR_NOMEM. A damaged
 * file is renamed, a fresh one is made, and `set_aside` gets the new name of the old one (""
 * otherwise); a reader gets ERR_DAMAGED instead. If the damage only shows in a later read, that
 * read returns ERR_DAMAGED, and the next open sets the file aside. */
int journal_open(const struct journal_options *options, struct journal **out, char set_aside[512],
                 struct err *err);
void journal_close(struct journal *j); /* rolls back what is not committed; NULL is fine */

/* begin returns ERR_IO, or ERR_BUSY if another program holds the file. commit returns ERR_FULL
 * (disk or bound) or ERR_IO; then nothing of the transaction was kept. (With sync_full, if the wait
 * for the disk failed, a crash right after it may bring back the whole transaction.) rollback
 * cannot fail, and does nothing without a transaction. */
int journal_begin(struct journal *j, struct err *err);
/* Like begin, but the commit waits for the disk even without sync_full. */
int journal_begin_synced(struct journal *j, struct err *err);
int journal_commit(struct journal *j, struct err *err);
void journal_rollback(struct journal *j);
bool journal_in_transaction(const struct journal *j);

/* Between transactions, when nobody waits for a commit: takes room on the disk ahead, and copies
 * the WAL into the file if it holds much, which waits for the disk. With `is_idle` it also copies a
 * WAL that holds less. The next begin does what is overdue. */
void journal_maintain(struct journal *j, bool is_idle);

/* Within a transaction. append returns the record's position: positions rise and are never used
 * twice. trim deletes all records up to and with `position`. After a restart a trimmed record may
 * be back if it shared a row with a later one.
 *
 * append returns ERR_FULL if the bound or the disk leaves no room; nothing was changed, and the
 * transaction goes on. Any other failure of a call in a transaction may have ended it; then all
 * further calls and the commit fail. */
int journal_append(struct journal *j, const void *bytes, size_t n, int64_t *position,
                   struct err *err);
int journal_trim(struct journal *j, int64_t position, struct err *err);

/* Calls `fn` for each record from `position` on, in order. A value other than 0 from `fn` ends the
 * walk and is returned. Reads in short transactions, so that a long read does not keep the WAL
 * growing; `bytes` is valid during the call. `fn` may append and trim, and must not read. */
typedef int journal_read_fn(void *ctx, int64_t position, const void *bytes, size_t n);
int journal_read(struct journal *j, int64_t position, journal_read_fn *fn, void *ctx,
                 struct err *err);

/* A reader gets these as they were when it opened. */
int64_t journal_first(const struct journal *j); /* position of the oldest record, 0: none */
int64_t journal_last(const struct journal *j);  /* of the newest that was ever appended, 0: none */
/* What the contents take in the file, without pages that are free for the next records. Counts the
 * pages, which costs as much as a small transaction. */
int64_t journal_bytes(struct journal *j);
/* True if they take more than that. Costs nothing as long as they take much less. */
bool journal_is_larger(struct journal *j, int64_t max_bytes);

/* Whether there is room for a record of `n` bytes, which is then taken on the disk. */
bool journal_has_room(struct journal *j, size_t n);

/* Small named values in the same file, committed with the records. put needs a transaction. A value
 * of another size than `n` is ERR_DAMAGED. */
int journal_get(struct journal *j, const char *name, void *bytes, size_t n, bool *found,
                struct err *err);
int journal_put(struct journal *j, const char *name, const void *bytes, size_t n, struct err *err);

/* For an owner with tables of its own in the same file and transactions. It finalizes its
 * statements before journal_close. */
struct sqlite3 *journal_db(struct journal *j);
int journal_prepare(struct journal *j, const char *sql, struct sqlite3_stmt **out, struct err *err);
/* Within a transaction: runs a bound statement that changes something and returns no row, and
 * resets it. `doing` is for the message: "cannot note a try". */
int journal_run(struct journal *j, struct sqlite3_stmt *stmt, const char *doing, struct err *err);
/* Steps a bound statement: 1 for a row, 0 (and reset) at the end, or an error code (likewise). */
int journal_step(struct journal *j, struct sqlite3_stmt *stmt, const char *doing, struct err *err);
/* The owner found stored bytes that are wrong: the next open sets the file aside. */
void journal_suspect(struct journal *j);
/* True if wrong bytes were found, by the owner or here. Later commits are lost with the file, so
 * the owner should open it anew. */
bool journal_is_suspect(const struct journal *j);
/* True if PATH.lock was removed or replaced under the owner: nobody can read new commits. */
bool journal_is_gone(const struct journal *j);

#endif
