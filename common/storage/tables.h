/* The rows of senders, refused records, snapshots, outbox and channels in SQLite tables. Both
 * backings use them: SQLite in its file, PostgreSQL in a copy in memory of the rows that are needed
 * often, so that the order of the outbox is the same on both.
 *
 * A backing's struct begins with a struct tables. All functions that take a struct storage fill
 * a struct storage_ops; storage.h has their contracts. */
#ifndef DRAINWATCH_COMMON_STORAGE_TABLES_H
#define DRAINWATCH_COMMON_STORAGE_TABLES_H

#include "common/storage/storage.h"

struct journal;
struct sqlite3;
struct sqlite3_stmt;

enum { TABLES_STATEMENTS = 25 };

struct tables {
    struct storage storage; /* first: one is the other */
    struct sqlite3 *db;
    struct journal *journal; /* whose file holds them; NULL: they lie in memory */
    struct sqlite3_stmt *stmts[TABLES_STATEMENTS];
};

struct tables *tables_of(struct storage *s);

extern const char tables_create[]; /* SQL */
#define TABLES_TURN_INDEXES                                                                        \
    "CREATE INDEX outbox_turns ON outbox (channel, turn, row) WHERE state = 0;"                    \
    "CREATE INDEX outbox_app_turns ON outbox (channel, app, turn, row) WHERE state = 0;"           \
    "CREATE INDEX outbox_places ON outbox (channel, app, place, row) WHERE state = 0;"             \
    "CREATE INDEX outbox_rule_places ON outbox (channel, app, rule, place) WHERE state = 0;"

/* True in a file of an older build: the outbox lacks columns of the turns. */
bool tables_lack_turns(struct sqlite3 *db);

int tables_prepare(struct tables *t, struct err *err);
void tables_finalize(struct tables *t);

int tables_get_sequence(struct storage *s, const uint8_t sender[WIRE_SENDER_BYTES],
                        uint64_t *sequence, struct err *err);
int tables_put_sequence(struct storage *s, const uint8_t sender[WIRE_SENDER_BYTES],
                        uint64_t sequence, int64_t now_us, struct err *err);
int tables_put_refused(struct storage *s, const uint8_t sender[WIRE_SENDER_BYTES],
                       uint64_t sequence, struct wire_bytes bytes, const char *why, int64_t now_us,
                       struct err *err);
int tables_trim_refused(struct storage *s, int64_t before_us, int n, int *trimmed, struct err *err);
int tables_put_snapshot(struct storage *s, int64_t position, int64_t step_us, struct err *err);
int tables_find_snapshot(struct storage *s, int64_t at_us, int64_t before, int64_t *position,
                         struct err *err);
int tables_next_snapshot(struct storage *s, int64_t position, int64_t *next, int64_t *step_us,
                         struct err *err);
int tables_trim_snapshots(struct storage *s, int64_t position, struct err *err);
int tables_outbox_put(struct storage *s, const struct storage_turn *turn, struct wire_bytes alert,
                      int64_t decided_us, int64_t *row, struct err *err);
int tables_outbox_heads(struct storage *s, storage_outbox_fn *fn, void *ctx, struct err *err);
int tables_outbox_oldest(struct storage *s, int64_t *decided_us, struct err *err);
int tables_outbox_count(struct storage *s, enum outbox_state state, uint64_t *n, char *answer,
                        size_t size, struct err *err);
int tables_outbox_load(struct storage *s, int64_t row, storage_outbox_fn *fn, void *ctx,
                       struct err *err);
int tables_outbox_list(struct storage *s, storage_outbox_fn *fn, void *ctx, struct err *err);
int tables_outbox_expirable(struct storage *s, int64_t before_us, int n, storage_outbox_fn *fn,
                            void *ctx, struct err *err);
int tables_outbox_mark(struct storage *s, int64_t row, const struct storage_outbox_mark *m,
                       struct err *err);
int tables_outbox_mark_expired(struct storage *s, int64_t row, int64_t now_us, const char *answer,
                               struct err *err);
int tables_outbox_unpark(struct storage *s, size_t *n, struct err *err);
int tables_outbox_trim(struct storage *s, int64_t before_us, int n, int *trimmed, struct err *err);
int tables_list_senders(struct storage *s, storage_sender_fn *fn, void *ctx, struct err *err);
int tables_list_refused(struct storage *s, storage_refused_fn *fn, void *ctx, struct err *err);
int tables_outbox_restore(struct storage *s, const struct storage_outbox_row *row, struct err *err);

#endif
