/* What the files of the PostgreSQL backing share; nobody else includes it.
 *
 * Rows that are needed often (open alerts, senders, the index of snapshots) have a copy in memory,
 * in the SQLite tables that the other backing keeps on the disk. A transaction changes the copy and
 * gathers new entries. Its commit sends all changes as one statement, which changes nothing unless
 * the lease still has the epoch and the beat that this alerter knows. Each such fenced statement
 * raises the beat, so a late copy of an earlier one can never act. */
#ifndef DRAINWATCH_COMMON_STORAGE_STORAGE_PG_H
#define DRAINWATCH_COMMON_STORAGE_STORAGE_PG_H

#include "common/lease/lease.h"
#include "common/pg/pace.h"
#include "common/pg/pg.h"
#include "common/record/arena.h"
#include "common/record/source.h"
#include "common/storage/tables.h"

enum {
    STORAGE_PG_PACE_BYTES = 4 << 20,
    STORAGE_PG_PART_BYTES = 1 << 20, /* of a snapshot, at most, in a row of `part` */
    STORAGE_PG_LENGTH_MAX = 10,      /* bytes of an entry's length */
    STORAGE_PG_COPY_STATEMENTS = 24,
    STORAGE_PG_NAME_SIZE = 256,
    STORAGE_PG_TROUBLE_SIZE = 512,
};

/* What the lease and the stream hold. */
struct storage_pg_state {
    int64_t first; /* position of the oldest stored entry, 0: none */
    int64_t last;  /* of the newest that was ever stored */
    int64_t start; /* where the stream begins */
    int64_t bytes; /* of all entries */
};

/* A row of the stream: entries one behind the other, each with its length before it, or a snapshot.
 */
struct storage_pg_row {
    int64_t position; /* of its last entry */
    int64_t n;
    int64_t at_us;
    bool is_snapshot;
    size_t begin; /* of its bytes */
    size_t end;
};

/* Tables with many deleted rows, whose room a VACUUM makes usable. */
enum storage_pg_waste {
    STORAGE_PG_INBOX,
    STORAGE_PG_HISTORY,
    STORAGE_PG_WASTES,
};

/* Pushes from the table inbox. */
struct storage_pg_inbox {
    struct source base; /* first: one is the other */
    struct storage_pg *st;
    bool is_open;         /* the receiver takes pushes from here */
    struct pg_rows *rows; /* the page that was read last, NULL: none */
    size_t next;          /* row to hand over */
    bool is_handed;       /* the receiver's last push lies in `rows` */
    struct pg_rows *held; /* it lies in this page, NULL: it does not */
    struct buf whole;     /* or here, because it was too large for a page */
    bool is_read; /* this turn has got pushes, and until its end the same would come again */
    bool is_due;  /* there may be new ones */
    int64_t poll_us;
    int64_t found_us; /* when a read last found pushes */
};

struct storage_pg {
    struct tables tables; /* first: one is the other */
    struct pg_options options;
    char *url;
    char *schema;
    char *program;
    char holder[STORAGE_PG_NAME_SIZE]; /* this alerter's name */
    struct pg_args *args;
    struct sqlite3_stmt *copy[STORAGE_PG_COPY_STATEMENTS];

    struct pg *pg;        /* NULL: away */
    struct pg_dial *dial; /* NULL: none is under way */
    int64_t dial_us;      /* when the next one may begin */
    int64_t backoff_us;
    struct err why;      /* it is away */
    struct pg_pace pace; /* of reads, and of turns */
    int64_t unproved_us; /* time in statements since the last fenced one */
    int unproved;        /* their number */

    int64_t now_us; /* of the last tend */
    enum storage_role role;
    int64_t epoch; /* of the lease that we hold, 0: none */
    int64_t beat;
    struct lease_hold hold;
    struct lease_watch watch;
    struct lease_seen seen; /* the last poll, which lease_watch_see has yet to judge */
    bool is_seen;
    int64_t polled_us; /* when it was */
    int64_t poll_us;   /* when the next one is due */
    int64_t beat_us;   /* no beat before this */
    int64_t alive_us;  /* when to tell the others that this alerter lives */
    bool beat_refused; /* a right to it is missing */
    bool alive_refused;
    int64_t house_us;
    struct storage_term term;
    char term_holder[STORAGE_PG_NAME_SIZE];
    char trouble[STORAGE_PG_TROUBLE_SIZE]; /* why alerts are not delivered; ingest shows it */

    bool is_stale;                 /* a restore must come before the next transaction */
    struct storage_pg_state state; /* with the open transaction */
    struct storage_pg_state committed;
    int64_t trim_from; /* entries that the open transaction deletes; 0: none */
    int64_t trim_to;
    struct buf entries; /* bytes of the rows that the open transaction adds */
    struct storage_pg_row *rows;
    size_t n_rows;
    size_t rows_cap;
    struct arena arena; /* arrays on their way to a statement */

    int64_t deleted_bytes[STORAGE_PG_WASTES]; /* since the last VACUUM */

    int64_t read_to; /* position of the newest entry that was read or written here */
    struct storage_pg_inbox inbox;
};

static inline struct storage_pg *storage_pg_of(const struct storage *s)
{
    return (struct storage_pg *)(uintptr_t)s;
}

/* ---- storage_pg_link.c: the connection ---- */

/* Runs a statement with st->args. Returns pg_run's code. Rows may be NULL. */
int storage_pg_run(struct storage_pg *st, const struct pg_statement *s, struct pg_rows **rows,
                   struct err *err);
/* Takes the answer to a statement that was sent. Rows may be NULL. */
int storage_pg_receive(struct storage_pg *st, struct pg_rows **rows, struct err *err);
/* Like storage_pg_run, for the statements of a long read. An active alerter beats in between, or a
 * standby would take over. */
int storage_pg_run_page(struct storage_pg *st, const struct pg_statement *s, struct pg_rows **rows,
                        struct err *err);
/* The first rows of a query, up to `most` bytes together, but at least one. */
#define STORAGE_PG_FITTING(columns, query, key, size, most)                                        \
    "SELECT " columns " FROM (SELECT q.*, " size " AS size, sum(" size ") OVER (ORDER BY " key     \
    ") AS upto FROM (" query ") q) w WHERE upto<=" most " OR upto=size ORDER BY " key
/* After a call of pg.h: notes that the connection ended, if it did. Returns `rc`, but ERR_AWAY for
 * a missing right. */
int storage_pg_note(struct storage_pg *st, int rc, const struct err *err);
/* ERR_AWAY, and why. */
int storage_pg_away(const struct storage_pg *st, struct err *err);
bool storage_pg_is_pooled(const struct storage_pg *st);
/* Connects in the background. True: there is a new connection. */
bool storage_pg_connect(struct storage_pg *st);
void storage_pg_disconnect(struct storage_pg *st);

/* ---- storage_pg_lease.c: the role ---- */

/* The condition of a fenced statement that the entry with which a restart would begin is still
 * stored; `position` is that of storage_pg_begin_position. */
#define STORAGE_PG_BEGINS(position)                                                                \
    "(" position "=0 OR EXISTS (SELECT FROM (SELECT position-n AS before FROM stream WHERE "       \
    "position>=" position " ORDER BY position LIMIT 1) b WHERE before<" position "))"
int64_t storage_pg_begin_position(struct storage_pg *st);

/* Begins the parameters of a fenced statement: $1 and $2. */
struct pg_args *storage_pg_fence(struct storage_pg *st);
/* Takes the answer of a fenced statement: its new beat, or that another alerter is active. */
int storage_pg_fenced(struct storage_pg *st, struct pg_rows *rows, struct err *err);
int storage_pg_run_fenced(struct storage_pg *st, const struct pg_statement *s, struct err *err);
int storage_pg_beat(struct storage_pg *st, struct err *err);
/* Reads the lease: the state, and the term. Renews it if we hold it. */
int storage_pg_read_lease(struct storage_pg *st, struct err *err);
int storage_pg_tend(struct storage *s, int64_t now_us, enum storage_role *role, struct err *err);
int64_t storage_pg_wake_us(const struct storage *s);
int storage_pg_fd(const struct storage *s);
bool storage_pg_may_post(struct storage *s, int64_t now_us);
void storage_pg_release(struct storage *s);
int storage_pg_note_move(struct storage *s, const char *place, struct err *err);
const struct storage_term *storage_pg_term(const struct storage *s);

/* ---- storage_pg_copy.c: the copy in memory ---- */

int storage_pg_copy_open(struct storage_pg *st, struct err *err);
void storage_pg_copy_close(struct storage_pg *st);
/* Fills it anew from the database. */
int storage_pg_copy_load(struct storage_pg *st, struct err *err);
int storage_pg_copy_begin(struct storage_pg *st, struct err *err);
/* Adds the changes of the open transaction to st->args, as arrays. */
int storage_pg_copy_gather(struct storage_pg *st, struct err *err);
/* Ends the transaction once PostgreSQL has committed it. */
int storage_pg_copy_commit(struct storage_pg *st, struct err *err);
void storage_pg_copy_rollback(struct storage_pg *st);
/* Within a transaction: rows of the database that its commit deletes. */
int storage_pg_copy_drop_outbox(struct storage_pg *st, int64_t row, struct err *err);
int storage_pg_copy_drop_refused(struct storage_pg *st, int64_t row, struct err *err);

/* ---- storage_pg_turn.c: transactions and the stream's end ---- */

int storage_pg_begin(struct storage *s, struct err *err);
int storage_pg_commit(struct storage *s, struct err *err);
void storage_pg_rollback(struct storage *s);
bool storage_pg_is_long(const struct storage *s);
int storage_pg_append(struct storage *s, const struct wire_entry *entry, struct wire_bytes packed,
                      int64_t *position, struct err *err);
/* Deletes the parts of snapshots whose turns failed. */
int storage_pg_drop_parts(struct storage_pg *st, struct err *err);
int storage_pg_trim(struct storage *s, int64_t before, int n, struct err *err);
int storage_pg_trim_refused(struct storage *s, int64_t before_us, int n, int *trimmed,
                            struct err *err);
int storage_pg_outbox_trim(struct storage *s, int64_t before_us, int n, int *trimmed,
                           struct err *err);
int storage_pg_begin_all(struct storage *s, struct err *err);
int storage_pg_commit_all(struct storage *s, struct err *err);
void storage_pg_turn_init(struct storage_pg *st);
void storage_pg_turn_close(struct storage_pg *st);

/* ---- storage_pg_read.c: reading beside the alerter, too ---- */

int storage_pg_read(struct storage *s, int64_t from, storage_bytes_fn *fn, void *ctx,
                    struct err *err);
int storage_pg_outbox_list(struct storage *s, storage_outbox_fn *fn, void *ctx, struct err *err);
int storage_pg_list_refused(struct storage *s, storage_refused_fn *fn, void *ctx, struct err *err);
int storage_pg_list_peers(struct storage *s, const struct storage_peer_calls *calls,
                          struct err *err);
int storage_pg_sizes(struct storage *s, struct storage_sizes *sizes, struct err *err);

/* ---- storage_pg_source.c: the inbox ---- */

struct source *storage_pg_source(struct storage *s);
/* Sends the statement that reads the inbox, if it is worth it, and takes its answer. */
int storage_pg_source_send(struct storage_pg *st, bool *sent, struct err *err);
void storage_pg_source_receive(struct storage_pg *st);
void storage_pg_source_notify(struct storage_pg *st); /* a notification came */
int64_t storage_pg_source_wake_us(const struct storage_pg *st);
/* Forgets the pushes that were read, because the role or the rows have changed. */
void storage_pg_source_drop(struct storage_pg *st);

/* ---- storage_pg_clean.c: the room of deleted rows ---- */

/* Makes it usable, if there is much. */
int storage_pg_clean(struct storage_pg *st, struct err *err);
/* The same for all tables, however little it is: the disk is full. */
int storage_pg_reclaim(struct storage *s, struct err *err);

#endif
