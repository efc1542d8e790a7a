/* A durable, ordered list of opaque records in one SQLite file (WAL).
 *
 * Ingest keeps its spool in one, the alerter its event stream. Appends are grouped in transactions:
 * what was appended is safe once journal_commit returned 0, and not before. One process owns a
 * journal at a time; readers in other processes are welcome meanwhile.
 *
 * Room on the disk is taken ahead, in the file and in its WAL, so that a full disk is met by an
 * append, which says ERR_FULL and changes nothing, and not by the commit of what is needed to free
 * room. Beside PATH lie PATH-wal, PATH-shm, PATH.lock (never removed: its lock is what says who
 * owns the journal) and, once stored bytes turned out to be wrong, PATH.suspect until the next
 * open. */
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
    bool read_only;    /* a reader beside the owner: no lock, no repair, no append */
    bool sync_full;    /* every commit waits for the disk (DRAINWATCH_SYNC=full) */
    bool exclusive;    /* no other process reads: saves 5 µs a commit */
    int64_t max_bytes; /* of file and WAL together; an append beyond it is ERR_FULL. 0: no bound */
};

/* Opens or makes the file. Returns 0; ERR_BUSY (another process owns it), ERR_VERSION (a newer
 * build's file, which is left alone), ERR_IO or ERR_NOMEM. A damaged file is renamed to
 * PATH.damaged-N, a fresh one is made, and `set_aside` gets the new name of the old one (""
 * otherwise); a reader gets ERR_DAMAGED instead. Damage that only shows when a record is read is
 * ERR_DAMAGED there, and the next open sets the file aside. */
int journal_open(const struct journal_options *options, struct journal **out, char set_aside[512],
                 struct err *err);
void journal_close(struct journal *j); /* rolls back what is not committed; NULL is fine */

/* A transaction. begin: ERR_IO, or ERR_BUSY where some other program holds the file. commit:
 * ERR_FULL (disk or bound) or ERR_IO, after either of which nothing of the transaction was kept.
 * (With sync_full, and where it was the wait for the disk that failed, a crash right after may yet
 * bring it back, as a whole.) rollback cannot fail, and does nothing where there is no transaction.
 */
int journal_begin(struct journal *j, struct err *err);
/* As begin, for what must not be forgotten though the machine dies: its commit waits for the disk,
 * whatever sync_full says. */
int journal_begin_synced(struct journal *j, struct err *err);
int journal_commit(struct journal *j, struct err *err);
void journal_rollback(struct journal *j);
bool journal_in_transaction(const struct journal *j);

/* What each commit leaves to be done: room on the disk is counted and taken ahead, and now and then
 * the WAL is copied into the file, which waits for the disk. The next begin does it at the latest;
 * it is best done once nobody waits for what was committed. Between transactions. */
void journal_settle(struct journal *j);

/* For a moment in which nobody waits, between transactions: does what a commit would have to do
 * sooner or later, and does nothing where that is little. It takes as long as the disk does. */
void journal_rest(struct journal *j);

/* Within a transaction. append answers the record's position: positions rise and are never used
 * twice, trimmed or not. trim forgets all up to and with `position`.
 *
 * append: ERR_FULL where the bound or the disk leaves no room; nothing was changed, and the
 * transaction goes on. Any other failure of a call in a transaction may have ended it; then all
 * further calls fail, and commit says so. */
int journal_append(struct journal *j, const void *bytes, size_t n, int64_t *position,
                   struct err *err);
int journal_trim(struct journal *j, int64_t position, struct err *err);

/* Calls `fn` for each record from `position` on, in order, until there is none or it returns
 * something other than 0, which is returned. Reads in short transactions, so that a long read does
 * not keep the WAL growing; `bytes` is valid during the call. `fn` may append, trim and read. */
typedef int journal_read_fn(void *ctx, int64_t position, const void *bytes, size_t n);
int journal_read(struct journal *j, int64_t position, journal_read_fn *fn, void *ctx,
                 struct err *err);

/* For a reader these are as they were when it opened. */
int64_t journal_first(const struct journal *j); /* position of the oldest record, 0: none */
int64_t journal_last(const struct journal *j);  /* of the newest that was ever appended, 0: none */
/* Of the file, without what is free for the next records: records with what each costs, and the
 * little that else is kept. Appended in the open transaction counts, trimmed in it not yet. */
int64_t journal_bytes(struct journal *j);

/* Small named values in the same file, for what must be committed with the records. put is for
 * within a transaction. A value of another size than `n` is ERR_DAMAGED. */
int journal_get(struct journal *j, const char *name, void *bytes, size_t n, bool *found,
                struct err *err);
int journal_put(struct journal *j, const char *name, const void *bytes, size_t n, struct err *err);

/* For an owner that keeps tables of its own in the same file and transaction. Statements are the
 * caller's to finalize before journal_close. */
struct sqlite3 *journal_db(struct journal *j);
int journal_prepare(struct journal *j, const char *sql, struct sqlite3_stmt **out, struct err *err);
/* Runs a bound statement that changes something and answers no row, within a transaction, and
 * resets it. `doing` is for the message: "cannot note a try". */
int journal_run(struct journal *j, struct sqlite3_stmt *stmt, const char *doing, struct err *err);
/* Steps a bound statement: 1 for a row, 0 (and reset) at the end, or an error code (likewise). */
int journal_step(struct journal *j, struct sqlite3_stmt *stmt, const char *doing, struct err *err);
/* The owner found stored bytes that are wrong: the next open sets the file aside. */
void journal_suspect(struct journal *j);
/* Whether any were found, by the owner or here. What is committed from then on is lost with the
 * file, so the owner should open it anew. */
bool journal_is_suspect(const struct journal *j);
/* Whether the owner's files were removed or replaced under it, as PATH.lock tells: what is written
 * from then on nobody can read. */
bool journal_is_gone(const struct journal *j);

#endif
