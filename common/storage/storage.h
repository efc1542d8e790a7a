/* Everything that the alerter keeps durably: the event stream, the last sequence of each sender,
 * refused records, and the outbox's rows. All that one turn changes is one transaction. The stream
 * begins at its very start or with a snapshot, at every commit, also while a long trim is under
 * way.
 *
 * A backing is one file that fills a struct storage_ops, and one line in the table of storage.c;
 * today that is SQLite on a local disk. Callers use the storage_ functions for transactions and the
 * stream, and the table for the rest: s->ops->outbox_put(s, …). */
#ifndef DRAINWATCH_COMMON_STORAGE_STORAGE_H
#define DRAINWATCH_COMMON_STORAGE_STORAGE_H

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/record/wire.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct source; /* of common/record/source.h */
struct storage;

enum { STORAGE_PLACE_SIZE = 512 };

struct storage_options {
    const char *location; /* a path of SQLite's file, or the URL of a database: a secret then */
    const char *schema;   /* of a database */
    const char *program;  /* for a database's list of its connections: "alerter", "export" */
    const char *holder;   /* the name by which other alerters know this one */
    bool read_only;       /* beside the running alerter, for export and outbox */
    bool sync_full;       /* every commit waits for the disk (DRAINWATCH_SYNC=full) */
    const struct storage_ops *backing; /* NULL: the one of the location's scheme */
};

/* ---- The outbox's rows ---- */

/* Stored; a number keeps its meaning. */
enum outbox_state {
    OUTBOX_WAITING = 0,
    OUTBOX_FAILED = 1, /* parked until outbox_unpark */
    OUTBOX_DELIVERED = 2,
    OUTBOX_EXPIRED = 3,
};

/* The pointers are valid during the call that the row is handed to. */
struct storage_outbox_row {
    int64_t row; /* rises in the order of decision, never used twice */
    enum outbox_state state;
    const char *channel;
    struct wire_bytes alert; /* packed */
    int64_t decided_us;
    int tries;
    int64_t last_try_us;
    int64_t retry_after_us;
    int64_t next_try_us;
    int64_t ended_us;
    const char *last_answer;
    int64_t channel_last_us; /* the last try of any row of this channel */
    /* The rest decides the order of turns, and comes from outbox_list alone: else NULL and 0. */
    const char *app;
    const char *rule;
    int64_t turn;  /* of the row among its app's */
    int64_t place; /* likewise among its rule's */
};

/* A value other than 0 ends the walk and is returned. `fn` must not change the outbox's rows. */
typedef int storage_outbox_fn(void *ctx, const struct storage_outbox_row *row);

/* With whom a new row takes turns. */
struct storage_turn {
    const char *channel;
    const char *app;
    const char *rule;
};

struct storage_outbox_mark {
    enum outbox_state state;
    int64_t now_us;
    int64_t retry_after_us;
    int64_t next_try_us;
    int64_t ended_us;
    const char *answer;
};

/* ---- Rows that a move into another storage lists ---- */

struct storage_sender {
    uint8_t id[WIRE_SENDER_BYTES];
    uint64_t taken;
    int64_t seen_us;
};

struct storage_refused {
    uint8_t sender[WIRE_SENDER_BYTES];
    uint64_t sequence;
    struct wire_bytes bytes;
    const char *why;
    int64_t at_us;
};

/* As storage_outbox_fn. */
typedef int storage_sender_fn(void *ctx, const struct storage_sender *sender);
typedef int storage_refused_fn(void *ctx, const struct storage_refused *refused);

/* ---- Several alerters on one storage ----
 *
 * One of them holds the lease: it is active, and it alone changes the storage. The others stand by.
 */

enum storage_role {
    STORAGE_ACTIVE,
    STORAGE_STANDBY, /* may read */
    STORAGE_AWAY,    /* the storage cannot be reached, so nobody knows */
};

/* The lease as this alerter knows it. */
struct storage_term {
    int64_t epoch;       /* rises with each take-over */
    const char *holder;  /* name of the alerter that holds it; while active the one before us */
    bool is_heard;       /* while standing by: it changed the lease after our first look */
    bool was_released;   /* the one before us gave it up by itself */
    bool has_lost;       /* while active: the storage lost commits of ours, so a new term began */
    bool is_cut;         /* somebody deleted the beginning of the stream, or all of it */
    bool must_reread;    /* the stream: entries that were read may be lost, until a restore */
    int64_t last;        /* position of the newest entry */
    int64_t taken_at_us; /* while active: the storage's own clock when we took it, UTC */
    bool is_pooled;      /* a connection pool lies between, which makes everything slower */
};

/* What `status` shows of the programs at a shared storage. Ages are by the storage's clock. */
struct storage_alerter {
    const char *name;
    const char *build;
    bool has_lease;
    bool is_gone;    /* it has the lease, and its connection is closed */
    int64_t held_us; /* for how long it has had the lease */
    int64_t seen_us; /* ago: it last told that it can do its work */
    int64_t behind;  /* entries that it has not read yet */
};

struct storage_ingest {
    const char *name;
    const char *build;
    int64_t seen_us; /* ago */
    int64_t waiting; /* records in its journal */
    bool has_left;   /* it said goodbye */
};

struct storage_sizes {
    int64_t history_bytes;
    int64_t inbox_rows; /* pushes that no alerter has taken yet */
    int64_t inbox_bytes;
    int64_t inbox_left;  /* of its rows, of which no alerter has taken all records */
    int64_t total_bytes; /* of all tables, on the disk */
};

struct storage_peer_calls {
    void *ctx;
    int (*alerter)(void *ctx, const struct storage_alerter *alerter);
    int (*ingest)(void *ctx, const struct storage_ingest *ingest);
};

/* ---- What a backing provides ---- */

typedef int storage_bytes_fn(void *ctx, int64_t position, const void *bytes, size_t n);

struct storage_ops {
    const char *mend; /* the remedy for damaged contents */

    /* True if the files were removed or replaced under their owner: nobody can read new commits. */
    bool (*is_gone)(const struct storage *s);
    /* The caller found wrong contents: the next storage_open sets them aside. */
    void (*mark_damaged)(struct storage *s);
    /* Between transactions, when nobody waits for a commit: prepares the disk for later commits.
     * `is_idle` says that there is time to wait for the disk. */
    void (*maintain)(struct storage *s, bool is_idle);

    /* The last sequence taken from a sender, 0 if there is none. It outlives the record. */
    int (*get_sequence)(struct storage *s, const uint8_t sender[WIRE_SENDER_BYTES],
                        uint64_t *sequence, struct err *err);
    int (*put_sequence)(struct storage *s, const uint8_t sender[WIRE_SENDER_BYTES],
                        uint64_t sequence, int64_t now_us, struct err *err);
    /* Keeps a record that cannot be read, until the history of its time is trimmed. */
    int (*put_refused)(struct storage *s, const uint8_t sender[WIRE_SENDER_BYTES],
                       uint64_t sequence, struct wire_bytes bytes, const char *why, int64_t now_us,
                       struct err *err);

    /* The position of the newest snapshot with a step time of at most `at_us` and a position below
     * `before`, 0 if there is none. INT64_MAX for both: the newest of all. */
    int (*find_snapshot)(struct storage *s, int64_t at_us, int64_t before, int64_t *position,
                         struct err *err);
    int64_t (*bytes)(const struct storage *s); /* that the contents take */
    /* True if they take more; cheaper than `bytes`. */
    bool (*is_larger)(const struct storage *s, int64_t max_bytes);

    /* Within a transaction: adds a waiting row. */
    int (*outbox_put)(struct storage *s, const struct storage_turn *turn, struct wire_bytes alert,
                      int64_t decided_us, int64_t *row, struct err *err);
    /* The next row of each channel, in the order of the channels' names. A row that was tried comes
     * first. Else the apps take turns, and so do the rules of an app: the first waiting row of one
     * comes before the second one of another. Rows of one app and rule keep the order of decision.
     * The cost does not grow with the number of waiting rows. */
    int (*outbox_heads)(struct storage *s, storage_outbox_fn *fn, void *ctx, struct err *err);
    /* The earliest decision among waiting and parked rows, INT64_MAX if there is none. */
    int (*outbox_oldest)(struct storage *s, int64_t *decided_us, struct err *err);
    /* The number of rows in a state, waiting or parked, and the last answer of the one that was
     * tried last, cut to `size` bytes with the zero at its end; "" if there is none. */
    int (*outbox_count)(struct storage *s, enum outbox_state state, uint64_t *n, char *answer,
                        size_t size, struct err *err);
    /* Calls `fn` for one row, if it exists. */
    int (*outbox_load)(struct storage *s, int64_t row, storage_outbox_fn *fn, void *ctx,
                       struct err *err);
    /* All rows in the order of decision, in short transactions. */
    int (*outbox_list)(struct storage *s, storage_outbox_fn *fn, void *ctx, struct err *err);
    /* Waiting and parked rows decided at `before_us` or earlier, the oldest first, at most `n`. */
    int (*outbox_expirable)(struct storage *s, int64_t before_us, int n, storage_outbox_fn *fn,
                            void *ctx, struct err *err);
    /* Within a transaction: stores one more try of a row and of its channel, or that a row is given
     * up (which is no try; an empty answer keeps the last one). */
    int (*outbox_mark)(struct storage *s, int64_t row, const struct storage_outbox_mark *mark,
                       struct err *err);
    int (*outbox_mark_expired)(struct storage *s, int64_t row, int64_t now_us, const char *answer,
                               struct err *err);
    /* Within a transaction: parked rows wait again, as if never tried. */
    int (*outbox_unpark)(struct storage *s, size_t *n, struct err *err);

    /* For a move. outbox_restore adds, within a transaction, a row as outbox_list gave it, with a
     * number of its own behind all others, and notes the channel's last try. */
    int (*list_senders)(struct storage *s, storage_sender_fn *fn, void *ctx, struct err *err);
    int (*list_refused)(struct storage *s, storage_refused_fn *fn, void *ctx, struct err *err);
    int (*outbox_restore)(struct storage *s, const struct storage_outbox_row *row, struct err *err);
    /* All transactions between the two are kept together; without the second one storage_close
     * drops them. NULL: each is kept at once. */
    int (*begin_all)(struct storage *s, struct err *err);
    int (*commit_all)(struct storage *s, struct err *err);
    /* While active, on the storage that is moved away: notes the place, so that no alerter goes on
     * here, and that no ingest puts pushes here any more once it returned. "" takes the note back.
     */
    int (*note_move)(struct storage *s, const char *place, struct err *err);

    /* On a full disk, between transactions: makes the room of deleted rows usable for new ones.
     * NULL: it is usable at once. */
    int (*reclaim)(struct storage *s, struct err *err);

    /* For status; both NULL if the storage has one owner. */
    int (*list_peers)(struct storage *s, const struct storage_peer_calls *calls, struct err *err);
    int (*sizes)(struct storage *s, struct storage_sizes *sizes, struct err *err);

    /* A storage that several alerters share: behind the storage_ functions of these names, which
     * tell more. All are NULL if the storage has one owner. */
    int (*tend)(struct storage *s, int64_t now_us, enum storage_role *role, struct err *err);
    int (*restore)(struct storage *s, struct err *err);
    int (*fd)(const struct storage *s);
    int64_t (*wake_us)(const struct storage *s);
    bool (*may_post)(struct storage *s, int64_t now_us);
    void (*release)(struct storage *s);
    const struct storage_term *(*term)(const struct storage *s);
    struct source *(*source)(struct storage *s);

    /* The rest is for storage.c. open fills *out even if it fails, unless there was no memory: the
     * caller closes it. */
    int (*open)(const struct storage_options *options, struct storage **out, char set_aside[512],
                struct err *err);
    void (*close)(struct storage *s);
    int (*begin)(struct storage *s, struct err *err);
    int (*commit)(struct storage *s, struct err *err);
    void (*rollback)(struct storage *s);
    bool (*is_long)(const struct storage *s); /* storage_is_long; NULL: never */
    /* Positions have no holes. append stores the packed form of an entry, and notes a snapshot in
     * the index of snapshots. read calls `fn` for packed entries. trim deletes the oldest entries
     * before `before`, at most `n` rows of them. */
    int (*append)(struct storage *s, const struct wire_entry *entry, struct wire_bytes packed,
                  int64_t *position, struct err *err);
    int (*read)(struct storage *s, int64_t from, storage_bytes_fn *fn, void *ctx, struct err *err);
    int (*trim)(struct storage *s, int64_t before, int n, struct err *err);
    int64_t (*first)(const struct storage *s); /* position of the oldest stored entry, 0: none */
    /* Finds the oldest snapshot behind `position`, 0 if there is none. */
    int (*next_snapshot)(struct storage *s, int64_t position, int64_t *next, int64_t *step_us,
                         struct err *err);
    /* Where the stream begins, 0 at first. put_start deletes snapshots before it from the index. */
    int (*get_start)(struct storage *s, int64_t *position, struct err *err);
    int (*put_start)(struct storage *s, int64_t position, struct err *err);
    /* Delete at most `n` rows older than `before_us`: refused records, delivered and expired
     * alerts. */
    int (*trim_refused)(struct storage *s, int64_t before_us, int n, int *trimmed, struct err *err);
    int (*outbox_trim)(struct storage *s, int64_t before_us, int n, int *trimmed, struct err *err);
};

extern const struct storage_ops storage_sqlite;
extern const struct storage_ops storage_pg;

/* The history's state, kept to save queries. */
struct storage_history {
    int64_t start;    /* position at which the stream begins; older entries may still be stored */
    int64_t start_us; /* step time of the snapshot there, 0: it begins at the very start */
    int64_t next;     /* the oldest snapshot after it, 0: none */
    int64_t next_us;
    bool has_old_rows;      /* there may be outbox rows or refused records older than the start */
    int64_t since_snapshot; /* bytes appended behind the newest one; INT64_MAX: unknown */
};

/* A backing's own struct begins with this one. Callers use `ops` alone. */
struct storage {
    const struct storage_ops *ops;
    bool stands_by;                 /* set by the owner: storage_tend must not take the lease */
    char moved[STORAGE_PLACE_SIZE]; /* the place to which all contents were moved, "": none */
    struct wire *wire;
    struct buf packed;
    bool in_transaction;
    struct storage_history history;
    struct storage_history committed;
};

/* ---- Open and close, transactions ---- */

/* The location of the storage of the alerter with this state folder. */
enum { STORAGE_LOCATION_SIZE = 4096 };
void storage_location(const char *state_dir, char location[STORAGE_LOCATION_SIZE]);

/* Returns 0; ERR_BUSY (another process owns it), ERR_VERSION (a newer build's, which is left
 * alone), ERR_IO (also for a reader if no alerter has kept anything yet) or ERR_NOMEM. Damaged
 * contents are renamed, `set_aside` gets the new name ("" otherwise), and the storage starts empty;
 * a reader gets ERR_DAMAGED instead. */
int storage_open(const struct storage_options *options, struct storage **out, char set_aside[512],
                 struct err *err);
void storage_close(struct storage *s); /* rolls back an open transaction; NULL is fine */

/* begin returns ERR_BUSY if another program holds the storage. After a commit that returns ERR_FULL
 * or ERR_IO nothing of the transaction was kept. A rollback cannot fail. */
int storage_begin(struct storage *s, struct err *err);
int storage_commit(struct storage *s, struct err *err);
void storage_rollback(struct storage *s);
/* Whether the open transaction holds so much that it should end before more is added: over a slow
 * link its commit would take too long. */
bool storage_is_long(const struct storage *s);
bool storage_in_transaction(const struct storage *s);

/* ---- Several alerters on one storage ----
 *
 * Times are clock_boot_us. If the storage has one owner, that one is always active. */

/* True if several alerters may share it. Such a storage opens also while it cannot be reached. Its
 * contents can be used from the first storage_restore on. */
bool storage_is_shared(const struct storage *s);
/* Once in a turn of the loop, outside of a transaction: connects, beats, watches the lease, takes
 * it. Any error is one after which the alerter cannot go on. With STORAGE_AWAY it returns 0, and
 * err->text is the reason. */
int storage_tend(struct storage *s, int64_t now_us, enum storage_role *role, struct err *err);
/* Reads the stored state again, after a transaction that failed and when the role changed. The
 * caller then builds its engine anew, or follows. ERR_AWAY: not now. */
int storage_restore(struct storage *s, struct err *err);
/* Readable if storage_tend has something to do, -1: never; and when it has without that. */
int storage_fd(const struct storage *s);
int64_t storage_wake_us(const struct storage *s);
/* Whether a post may begin now: false if another alerter may be active by now. It may ask the
 * storage. */
bool storage_may_post(struct storage *s, int64_t now_us);
/* At the end, after the last commit: another alerter takes over at once. */
void storage_release(struct storage *s);
/* NULL if the storage has one owner. */
const struct storage_term *storage_term(const struct storage *s);
/* Where pushes come from that lie in the storage itself; NULL: there are none. */
struct source *storage_source(struct storage *s);

/* ---- The event stream ---- */

/* Within a transaction; step times must not fall. ERR_FULL: the disk is full, nothing was changed,
 * and storage_free_room may help. ERR_INPUT: the entry is too large. `position` may be NULL. */
int storage_append(struct storage *s, const struct wire_entry *entry, int64_t *position,
                   struct err *err);

/* The same for an entry of another storage, whose bytes are kept as they are. */
int storage_copy(struct storage *s, const struct wire_entry *entry, struct wire_bytes raw,
                 struct err *err);

/* Calls `fn` for each entry from position `from` on (0: from the stream's beginning), in order and
 * in short transactions. A value other than 0 from `fn` ends the walk and is returned. `raw` is the
 * entry as stored, with fields of newer builds. `fn` may append, and must not read the stream.
 * ERR_VERSION: an entry that only a newer build can read. ERR_BUSY: the owner trimmed entries that
 * this reader had not reached. */
typedef int storage_entry_fn(void *ctx, int64_t position, const struct wire_entry *entry,
                             struct wire_bytes raw);
int storage_read(struct storage *s, int64_t from, storage_entry_fn *fn, void *ctx, struct err *err);

enum storage_trimmed {
    STORAGE_TRIM_DONE,
    STORAGE_TRIM_MORE, /* call again in the next turn */
    /* The stream is larger than `max_bytes` and already begins with its newest snapshot: append
     * another snapshot, then trim. */
    STORAGE_TRIM_NEEDS_SNAPSHOT,
};
enum { STORAGE_TRIM_ROWS = 500 }; /* at most, of each kind, in one storage_trim */

/* Within a transaction, once a turn: deletes history that is older than `keep_us` or beyond
 * `max_bytes`, up to a snapshot, in small steps. Finished outbox rows and refused records go with
 * the history of their time. storage_trim_due tells without a query if there is anything to do. */
int storage_trim(struct storage *s, int64_t now_us, int64_t keep_us, int64_t max_bytes,
                 enum storage_trimmed *next, struct err *err);
bool storage_trim_due(const struct storage *s, int64_t now_us, int64_t keep_us, int64_t max_bytes);

/* After ERR_FULL and a rollback: deletes some megabytes of the oldest history, in transactions of
 * its own. ERR_FULL if there is none before the newest snapshot. */
int storage_free_room(struct storage *s, struct err *err);

#endif
