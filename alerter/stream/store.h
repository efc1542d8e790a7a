/* What the alerter keeps, in one SQLite file: the event stream, the outbox, what was taken from
 * whom, and what could not be read. One transaction a turn covers all of it.
 *
 * The stream is a journal of packed entries (wire.h). It always begins at its very start or with a
 * snapshot, and a fold may begin at any snapshot; both are true at every commit, also while a trim
 * of many steps is under way. */
#ifndef DRAINWATCH_ALERTER_STREAM_STORE_H
#define DRAINWATCH_ALERTER_STREAM_STORE_H

#include "alerter/deliver/outbox.h"
#include "common/base/err.h"
#include "common/record/wire.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct store;

struct store_options {
    const char *path;
    bool read_only; /* beside the running alerter, for export and outbox */
    bool sync_full;
};

/* Returns as journal_open does; a reader gets ERR_IO where no alerter has made the file yet. */
int store_open(const struct store_options *options, struct store **out, char set_aside[512],
               struct err *err);
void store_close(struct store *s);         /* rolls back what is not committed; NULL is fine */
bool store_is_gone(const struct store *s); /* as journal_is_gone */
/* What it keeps turned out to be wrong: the next store_open sets the file aside. */
void store_suspect(struct store *s);

/* As the journal's. commit also stores the outbox's marks; after a commit that failed, or a
 * rollback, they wait for the next one. */
int store_begin(struct store *s, struct err *err);
int store_commit(struct store *s, struct err *err);
void store_rollback(struct store *s);
/* Once nobody waits for what was committed: does what the commit left (journal_settle). */
void store_settle(struct store *s);
/* For a moment in which nobody waits: does the disk's part of later commits (journal_rest). */
void store_rest(struct store *s);

struct outbox *store_outbox(struct store *s);

/* The last sequence taken from a sender, 0 where none ever was. It outlives what was taken. */
int store_taken(struct store *s, const uint8_t sender[WIRE_SENDER_BYTES], uint64_t *taken,
                struct err *err);
int store_take(struct store *s, const uint8_t sender[WIRE_SENDER_BYTES], uint64_t sequence,
               int64_t now_us, struct err *err);

/* Keeps a record that can never be read. */
int store_refuse(struct store *s, const uint8_t sender[WIRE_SENDER_BYTES], uint64_t sequence,
                 struct wire_bytes bytes, const char *why, int64_t now_us, struct err *err);
/* How many are kept; they go with the history. */
int store_refused(struct store *s, int64_t *n, struct err *err);

/* Within a transaction. Step times must not fall. Returns as journal_append does; ERR_FULL means
 * that the disk is full, and store_free_room may help. `position` may be NULL. */
int store_append_entry(struct store *s, const struct wire_entry *entry, int64_t *position,
                       struct err *err);

/* The newest snapshot taken at `at_us` or earlier that lies before the position `before`; 0 where
 * there is none. INT64_MAX for both: the newest of all. A snapshot that this build cannot load is
 * no loss: fold from the one before it. */
int store_snapshot(struct store *s, int64_t at_us, int64_t before, int64_t *position,
                   struct err *err);

/* Calls `fn` for each entry from position `from` on (0: from where the stream begins), in order. A
 * value other than 0 ends it, and is returned. `raw` is the entry as it lies there, which keeps
 * what only a newer build knows. ERR_VERSION: an entry that this build must not read. ERR_BUSY: the
 * owner trimmed what this reader had not read yet. Short transactions, as journal_read. `fn` may
 * append, and must not fold. */
typedef int store_entry_fn(void *ctx, int64_t position, const struct wire_entry *entry,
                           struct wire_bytes raw);
int store_fold(struct store *s, int64_t from, store_entry_fn *fn, void *ctx, struct err *err);

enum store_next {
    STORE_DONE,
    STORE_MORE, /* call again in the next turn */
    /* It is larger than `max_bytes`, and what lies before the newest snapshot is gone: append a
     * snapshot, so that there is something to trim. */
    STORE_SNAPSHOT,
};

/* Within a transaction, once a turn: forgets what is older than `keep_us` or more than `max_bytes`,
 * up to a snapshot, in steps so small that no delivery notices (STORE_STEP_RECORDS; but a snapshot
 * is one record, however large). Delivered and expired messages and refused records go with the
 * history. Where there is nothing to do it costs no query; store_history_due tells that without a
 * transaction. */
enum { STORE_STEP_RECORDS = 500 };
int store_history(struct store *s, int64_t now_us, int64_t keep_us, int64_t max_bytes,
                  enum store_next *next, struct err *err);
bool store_history_due(const struct store *s, int64_t now_us, int64_t keep_us, int64_t max_bytes);

/* After ERR_FULL, with the transaction rolled back: forgets the oldest history, some megabytes of
 * it, in transactions of its own, so that alerting goes on. ERR_FULL where there is nothing before
 * the newest snapshot. */
int store_free_room(struct store *s, struct err *err);

int64_t store_bytes(const struct store *s); /* as journal_bytes */
int64_t store_last(const struct store *s);  /* position of the newest entry, 0: none ever was */

#endif
