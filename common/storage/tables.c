/* The rows of senders, refused records, snapshots, outbox and channels in SQLite tables, and all
 * queries on them. Called by storage.c through the tables of both backings. */
#include "common/storage/tables.h"

#include "common/base/text.h"
#include "common/storage/journal.h"

#include <assert.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

enum { LIST_ROWS = 256 }; /* in one short transaction */

/* The apps of a channel take turns, and so do the rules of an app. The app that is next has the row
 * with the lowest turn, and of its rows the one with the lowest place is due. A new row's turn is
 * one behind the last of its app, its place one behind the last of its rule. A row that was tried
 * is the next one of its channel (both are -1), so that its Retry-After holds for all. Then its app
 * has had its lowest turn: another row of the app takes the turn of the row that was tried. */
#define TURN_COLUMNS                                                                               \
    ", app TEXT NOT NULL DEFAULT '', rule TEXT NOT NULL DEFAULT '',"                               \
    " turn INTEGER NOT NULL DEFAULT 0, place INTEGER NOT NULL DEFAULT 0"

const char tables_create[] =
    "CREATE TABLE senders (sender BLOB PRIMARY KEY, taken INTEGER NOT NULL,"
    " seen_us INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE refused (row INTEGER PRIMARY KEY, sender BLOB NOT NULL,"
    " sequence INTEGER NOT NULL, bytes BLOB NOT NULL, reason TEXT NOT NULL,"
    " at_us INTEGER NOT NULL);"
    "CREATE TABLE snapshots (position INTEGER PRIMARY KEY, step_us INTEGER NOT NULL);"
    "CREATE TABLE outbox ("
    " row INTEGER PRIMARY KEY AUTOINCREMENT, channel TEXT NOT NULL, state INTEGER NOT NULL,"
    " alert BLOB NOT NULL, decided_us INTEGER NOT NULL, tries INTEGER NOT NULL,"
    " last_try_us INTEGER NOT NULL, retry_after_us INTEGER NOT NULL, next_try_us INTEGER NOT NULL,"
    " ended_us INTEGER NOT NULL, last_answer TEXT NOT NULL" TURN_COLUMNS ");" TABLES_TURN_INDEXES
    "CREATE INDEX outbox_pending ON outbox (decided_us) WHERE state < 2;"
    "CREATE INDEX outbox_over ON outbox (decided_us) WHERE state >= 2;"
    "CREATE TABLE channels (channel TEXT PRIMARY KEY, last_try_us INTEGER NOT NULL) WITHOUT ROWID;";

enum statement {
    GET_SEQUENCE,
    PUT_SEQUENCE,
    PUT_REFUSED,
    TRIM_REFUSED,
    PUT_SNAPSHOT,
    FIND_SNAPSHOT,
    NEXT_SNAPSHOT,
    TRIM_SNAPSHOTS,
    OUTBOX_PUT,
    OUTBOX_NEXT_CHANNEL,
    OUTBOX_OLDEST,
    OUTBOX_COUNT,
    OUTBOX_LOAD,
    OUTBOX_LIST,
    OUTBOX_EXPIRABLE,
    OUTBOX_PASS_TURN,
    OUTBOX_MARK,
    OUTBOX_MARK_EXPIRED,
    OUTBOX_MARK_CHANNEL,
    OUTBOX_UNPARK,
    OUTBOX_TRIM,
    LIST_SENDERS,
    LIST_REFUSED,
    OUTBOX_RESTORE,
    OUTBOX_RESTORE_CHANNEL,
    STATEMENTS,
};

/* One order of columns for all that read a whole row. */
#define OUTBOX_COLUMNS_AND(more)                                                                   \
    "SELECT row, state, outbox.channel, alert, decided_us, tries, outbox.last_try_us,"             \
    " retry_after_us, next_try_us, ended_us, last_answer, channels.last_try_us" more               \
    " FROM outbox LEFT JOIN channels ON channels.channel = outbox.channel "
#define OUTBOX_COLUMNS OUTBOX_COLUMNS_AND("")
#define LIST_ALL "WHERE row > ?1 ORDER BY row"

#define OLDER_NEXT_CHANNEL                                                                         \
    OUTBOX_COLUMNS "WHERE state = 0 AND outbox.channel > ?1 ORDER BY outbox.channel, row LIMIT 1"

static const char *const sql[STATEMENTS] = {
    [GET_SEQUENCE] = "SELECT taken FROM senders WHERE sender = ?1",
    [PUT_SEQUENCE] = "INSERT INTO senders (sender, taken, seen_us) VALUES (?1, ?2, ?3) "
                     "ON CONFLICT (sender) DO UPDATE SET taken = ?2, seen_us = ?3",
    [PUT_REFUSED] = "INSERT INTO refused (sender, sequence, bytes, reason, at_us) "
                    "VALUES (?1, ?2, ?3, ?4, ?5)",
    [TRIM_REFUSED] = "DELETE FROM refused WHERE row IN "
                     "(SELECT row FROM refused WHERE at_us < ?1 ORDER BY row LIMIT ?2)",
    [PUT_SNAPSHOT] = "INSERT INTO snapshots (position, step_us) VALUES (?1, ?2)",
    [FIND_SNAPSHOT] = "SELECT position FROM snapshots WHERE step_us <= ?1 AND position < ?2 "
                      "ORDER BY position DESC LIMIT 1",
    [NEXT_SNAPSHOT] = "SELECT position, step_us FROM snapshots WHERE position > ?1 "
                      "ORDER BY position LIMIT 1",
    [TRIM_SNAPSHOTS] = "DELETE FROM snapshots WHERE position < ?1",
    [OUTBOX_PUT] = "INSERT INTO outbox (channel, state, alert, decided_us, tries, last_try_us, "
                   "retry_after_us, next_try_us, ended_us, last_answer, app, rule, turn, place) "
                   "VALUES (?1, 0, ?2, ?3, 0, 0, 0, 0, 0, '', ?4, ?5, "
                   "(SELECT coalesce(max(turn) + 1, 0) FROM outbox "
                   "WHERE state = 0 AND channel = ?1 AND app = ?4), "
                   "(SELECT coalesce(max(place) + 1, 0) FROM outbox "
                   "WHERE state = 0 AND channel = ?1 AND app = ?4 AND rule = ?5))",
    /* From channel to channel by the index, however much waits in each. */
    [OUTBOX_NEXT_CHANNEL] =
        OUTBOX_COLUMNS "WHERE row = (SELECT row FROM outbox WHERE state = 0 AND (channel, app) = "
                       "(SELECT channel, app FROM outbox WHERE state = 0 AND channel > ?1 "
                       "ORDER BY channel, turn, row LIMIT 1) ORDER BY place, row LIMIT 1)",
    [OUTBOX_OLDEST] = "SELECT min(decided_us) FROM outbox WHERE state < 2",
    /* SQLite takes last_answer from the row with the maximum. */
    [OUTBOX_COUNT] = "SELECT count(*), last_answer, max(last_try_us) FROM outbox "
                     "WHERE state < 2 AND state = ?1",
    [OUTBOX_LOAD] = OUTBOX_COLUMNS "WHERE row = ?1",
    [OUTBOX_LIST] = OUTBOX_COLUMNS_AND(", app, rule, turn, place") LIST_ALL,
    [OUTBOX_EXPIRABLE] =
        OUTBOX_COLUMNS "WHERE state < 2 AND decided_us <= ?1 ORDER BY decided_us LIMIT ?2",
    [OUTBOX_PASS_TURN] = "UPDATE outbox SET turn = (SELECT turn FROM outbox WHERE row = ?1) "
                         "WHERE row = (SELECT row FROM outbox WHERE state = 0 AND turn >= 0 "
                         "AND (channel, app) = (SELECT channel, app FROM outbox "
                         "WHERE row = ?1 AND turn >= 0) ORDER BY turn, row LIMIT 1)",
    [OUTBOX_MARK] = "UPDATE outbox SET state = ?2, tries = tries + 1, last_try_us = ?3, "
                    "retry_after_us = ?4, next_try_us = ?5, ended_us = ?6, last_answer = ?7, "
                    "turn = -1, place = -1 WHERE row = ?1",
    [OUTBOX_MARK_EXPIRED] = "UPDATE outbox SET state = 3, next_try_us = 0, ended_us = ?2, "
                            "last_answer = coalesce(nullif(?3, ''), last_answer) WHERE row = ?1",
    [OUTBOX_MARK_CHANNEL] = "INSERT INTO channels (channel, last_try_us) "
                            "SELECT channel, ?2 FROM outbox WHERE row = ?1 "
                            "ON CONFLICT (channel) DO UPDATE SET last_try_us = "
                            "excluded.last_try_us",
    [OUTBOX_UNPARK] = "UPDATE outbox SET state = 0, tries = 0, retry_after_us = 0, next_try_us = 0 "
                      "WHERE state < 2 AND state = 1",
    [OUTBOX_TRIM] = "DELETE FROM outbox WHERE row IN (SELECT row FROM outbox "
                    "WHERE state >= 2 AND decided_us < ?1 ORDER BY decided_us LIMIT ?2)",
    [LIST_SENDERS] = "SELECT sender, taken, seen_us FROM senders ORDER BY sender",
    [LIST_REFUSED] = "SELECT sender, sequence, bytes, reason, at_us FROM refused ORDER BY row",
    [OUTBOX_RESTORE] = "INSERT INTO outbox (channel, state, alert, decided_us, tries, last_try_us, "
                       "retry_after_us, next_try_us, ended_us, last_answer, app, rule, turn, "
                       "place) "
                       "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
    [OUTBOX_RESTORE_CHANNEL] = "INSERT INTO channels (channel, last_try_us) VALUES (?1, ?2) "
                               "ON CONFLICT (channel) DO NOTHING",
};

struct tables *tables_of(struct storage *s)
{
    return (struct tables *)s;
}

/* In memory nothing can fail but memory itself. */
static int step_in_memory(sqlite3_stmt *stmt, const char *doing, struct err *err)
{
    int rc = sqlite3_step(stmt);

    if (rc == SQLITE_ROW)
        return 1;
    sqlite3_reset(stmt);
    return rc == SQLITE_DONE ? 0 : err_set(err, ERR_NOMEM, "%s: %s", doing, sqlite3_errstr(rc));
}

static int step(struct storage *s, sqlite3_stmt *stmt, const char *doing, struct err *err)
{
    struct journal *journal = tables_of(s)->journal;

    return journal != NULL ? journal_step(journal, stmt, doing, err)
                           : step_in_memory(stmt, doing, err);
}

/* Steps a bound statement that changes something and returns no row. */
static int run(struct storage *s, enum statement which, const char *doing, struct err *err)
{
    struct tables *t = tables_of(s);

    return t->journal != NULL ? journal_run(t->journal, t->stmts[which], doing, err)
                              : step_in_memory(t->stmts[which], doing, err);
}

/* Steps a bound statement for its one row of at most two numbers, and resets it. Zeros: no row. */
static int ask(struct storage *s, enum statement which, int64_t *first, int64_t *second,
               const char *doing, struct err *err)
{
    sqlite3_stmt *stmt = tables_of(s)->stmts[which];
    int rc = step(s, stmt, doing, err);

    *first = rc == 1 ? sqlite3_column_int64(stmt, 0) : 0;
    if (second != NULL)
        *second = rc == 1 ? sqlite3_column_int64(stmt, 1) : 0;
    sqlite3_reset(stmt);
    return rc < 0 ? rc : 0;
}

static int changes(struct storage *s)
{
    return sqlite3_changes(tables_of(s)->db);
}

/* ---- Open and close ---- */

static bool has_column(sqlite3 *db, const char *column)
{
    return sqlite3_table_column_metadata(db, NULL, "outbox", column, NULL, NULL, NULL, NULL,
                                         NULL) == SQLITE_OK;
}

bool tables_lack_turns(struct sqlite3 *db)
{
    return has_column(db, "channel") && !has_column(db, "turn");
}

/* A reader may meet an older file; it never writes. */
static const char *sql_of(enum statement which, bool without_turns)
{
    if (!without_turns)
        return sql[which];
    if (which == OUTBOX_NEXT_CHANNEL)
        return OLDER_NEXT_CHANNEL;
    if (which == OUTBOX_LIST)
        return OUTBOX_COLUMNS LIST_ALL;
    return which == OUTBOX_PUT || which == OUTBOX_PASS_TURN || which == OUTBOX_MARK ||
                   which == OUTBOX_RESTORE
               ? NULL
               : sql[which];
}

static int prepare(struct tables *t, const char *text, sqlite3_stmt **out, struct err *err)
{
    if (t->journal != NULL)
        return journal_prepare(t->journal, text, out, err);
    return sqlite3_prepare_v3(t->db, text, -1, SQLITE_PREPARE_PERSISTENT, out, NULL) == SQLITE_OK
               ? 0
               : err_set(err, ERR_NOMEM, "no memory for the storage");
}

int tables_prepare(struct tables *t, struct err *err)
{
    const bool without_turns = tables_lack_turns(t->db);
    int rc = 0;

    static_assert((int)STATEMENTS == (int)TABLES_STATEMENTS, "the header tells their number");
    for (int i = 0; i < STATEMENTS && rc == 0; i++) {
        const char *text = sql_of((enum statement)i, without_turns);

        rc = text == NULL ? 0 : prepare(t, text, &t->stmts[i], err);
    }
    return rc;
}

void tables_finalize(struct tables *t)
{
    for (int i = 0; i < STATEMENTS; i++)
        sqlite3_finalize(t->stmts[i]);
}

/* ---- Senders ---- */

/* SQLite's integers have a sign. Sequences are only stored and never compared there, so those
 * beyond 2^63 come back unchanged. */
int tables_get_sequence(struct storage *s, const uint8_t sender[WIRE_SENDER_BYTES],
                        uint64_t *sequence, struct err *err)
{
    int64_t stored;
    int rc;

    sqlite3_bind_blob(tables_of(s)->stmts[GET_SEQUENCE], 1, sender, WIRE_SENDER_BYTES,
                      SQLITE_STATIC);
    rc = ask(s, GET_SEQUENCE, &stored, NULL, "cannot read what was taken", err);
    *sequence = (uint64_t)stored;
    return rc;
}

int tables_put_sequence(struct storage *s, const uint8_t sender[WIRE_SENDER_BYTES],
                        uint64_t sequence, int64_t now_us, struct err *err)
{
    sqlite3_stmt *stmt = tables_of(s)->stmts[PUT_SEQUENCE];

    sqlite3_bind_blob(stmt, 1, sender, WIRE_SENDER_BYTES, SQLITE_STATIC);
    sqlite3_bind_int64(stmt, 2, (int64_t)sequence);
    sqlite3_bind_int64(stmt, 3, now_us);
    return run(s, PUT_SEQUENCE, "cannot note what was taken", err);
}

int tables_put_refused(struct storage *s, const uint8_t sender[WIRE_SENDER_BYTES],
                       uint64_t sequence, struct wire_bytes bytes, const char *why, int64_t now_us,
                       struct err *err)
{
    sqlite3_stmt *stmt = tables_of(s)->stmts[PUT_REFUSED];

    sqlite3_bind_blob(stmt, 1, sender, WIRE_SENDER_BYTES, SQLITE_STATIC);
    sqlite3_bind_int64(stmt, 2, (int64_t)sequence);
    sqlite3_bind_blob64(stmt, 3, bytes.len > 0 ? (const void *)bytes.data : "", bytes.len,
                        SQLITE_STATIC);
    sqlite3_bind_text(stmt, 4, why, -1, SQLITE_STATIC);
    sqlite3_bind_int64(stmt, 5, now_us);
    return run(s, PUT_REFUSED, "cannot set a record aside", err);
}

/* Runs a bound statement "older than ?1, at most ?2 rows". */
static int trim_older(struct storage *s, enum statement which, int64_t before_us, int n,
                      int *trimmed, const char *doing, struct err *err)
{
    int rc;

    sqlite3_bind_int64(tables_of(s)->stmts[which], 1, before_us);
    sqlite3_bind_int(tables_of(s)->stmts[which], 2, n);
    rc = run(s, which, doing, err);
    *trimmed = rc == 0 ? changes(s) : 0;
    return rc;
}

int tables_trim_refused(struct storage *s, int64_t before_us, int n, int *trimmed, struct err *err)
{
    return trim_older(s, TRIM_REFUSED, before_us, n, trimmed, "cannot forget refused records", err);
}

/* ---- The index of snapshots ---- */

int tables_put_snapshot(struct storage *s, int64_t position, int64_t step_us, struct err *err)
{
    sqlite3_bind_int64(tables_of(s)->stmts[PUT_SNAPSHOT], 1, position);
    sqlite3_bind_int64(tables_of(s)->stmts[PUT_SNAPSHOT], 2, step_us);
    return run(s, PUT_SNAPSHOT, "cannot note a snapshot", err);
}

int tables_find_snapshot(struct storage *s, int64_t at_us, int64_t before, int64_t *position,
                         struct err *err)
{
    sqlite3_bind_int64(tables_of(s)->stmts[FIND_SNAPSHOT], 1, at_us);
    sqlite3_bind_int64(tables_of(s)->stmts[FIND_SNAPSHOT], 2, before);
    return ask(s, FIND_SNAPSHOT, position, NULL, "cannot find a snapshot", err);
}

int tables_next_snapshot(struct storage *s, int64_t position, int64_t *next, int64_t *step_us,
                         struct err *err)
{
    sqlite3_bind_int64(tables_of(s)->stmts[NEXT_SNAPSHOT], 1, position);
    return ask(s, NEXT_SNAPSHOT, next, step_us, "cannot find a snapshot", err);
}

int tables_trim_snapshots(struct storage *s, int64_t position, struct err *err)
{
    sqlite3_bind_int64(tables_of(s)->stmts[TRIM_SNAPSHOTS], 1, position);
    return run(s, TRIM_SNAPSHOTS, "cannot trim snapshots", err);
}

/* ---- The outbox's rows ---- */

int tables_outbox_put(struct storage *s, const struct storage_turn *turn, struct wire_bytes alert,
                      int64_t decided_us, int64_t *row, struct err *err)
{
    sqlite3_stmt *stmt = tables_of(s)->stmts[OUTBOX_PUT];
    int rc;

    sqlite3_bind_text(stmt, 1, turn->channel, -1, SQLITE_STATIC);
    sqlite3_bind_blob64(stmt, 2, alert.data, alert.len, SQLITE_STATIC);
    sqlite3_bind_int64(stmt, 3, decided_us);
    sqlite3_bind_text(stmt, 4, turn->app, -1, SQLITE_STATIC);
    sqlite3_bind_text(stmt, 5, turn->rule, -1, SQLITE_STATIC);
    rc = run(s, OUTBOX_PUT, "cannot keep an alert", err);
    if (rc == 0)
        *row = sqlite3_last_insert_rowid(tables_of(s)->db);
    return rc;
}

static const char *text_at(sqlite3_stmt *stmt, int column)
{
    const unsigned char *text = sqlite3_column_text(stmt, column);

    return text != NULL ? (const char *)text : "";
}

/* The row that a statement of OUTBOX_COLUMNS stands on. */
static struct storage_outbox_row row_at(sqlite3_stmt *stmt)
{
    const bool is_whole = sqlite3_column_count(stmt) > 12;

    return (struct storage_outbox_row){
        .row = sqlite3_column_int64(stmt, 0),
        .state = (enum outbox_state)sqlite3_column_int(stmt, 1),
        .channel = text_at(stmt, 2),
        .alert = {sqlite3_column_blob(stmt, 3), (size_t)sqlite3_column_bytes(stmt, 3)},
        .decided_us = sqlite3_column_int64(stmt, 4),
        .tries = sqlite3_column_int(stmt, 5),
        .last_try_us = sqlite3_column_int64(stmt, 6),
        .retry_after_us = sqlite3_column_int64(stmt, 7),
        .next_try_us = sqlite3_column_int64(stmt, 8),
        .ended_us = sqlite3_column_int64(stmt, 9),
        .last_answer = text_at(stmt, 10),
        .channel_last_us = sqlite3_column_int64(stmt, 11),
        .app = is_whole ? text_at(stmt, 12) : NULL,
        .rule = is_whole ? text_at(stmt, 13) : NULL,
        .turn = is_whole ? sqlite3_column_int64(stmt, 14) : 0,
        .place = is_whole ? sqlite3_column_int64(stmt, 15) : 0,
    };
}

/* Calls `fn` for at most `n` rows of a bound statement, and resets it. *last gets the last row's
 * number, or 0 if there was no further row. */
static int walk_rows(struct storage *s, enum statement which, int n, int64_t *last,
                     storage_outbox_fn *fn, void *ctx, struct err *err)
{
    sqlite3_stmt *stmt = tables_of(s)->stmts[which];
    int rc = 0;

    for (int i = 0; i < n && rc == 0; i++) {
        struct storage_outbox_row row;

        *last = 0;
        rc = step(s, stmt, "cannot read the outbox", err);
        if (rc != 1)
            break;
        row = row_at(stmt);
        *last = row.row;
        rc = fn(ctx, &row);
    }
    sqlite3_reset(stmt);
    return rc;
}

/* Hands over the head that the statement stands on; `*next` becomes its channel. One that does not
 * come after the last is no text that we wrote, and would be found again for ever. */
static int take_head(struct storage *s, sqlite3_stmt *stmt, const char *last, char **next,
                     storage_outbox_fn *fn, void *ctx, struct err *err)
{
    struct storage_outbox_row row = row_at(stmt);

    if (strcmp(row.channel, last) <= 0) {
        s->ops->mark_damaged(s);
        return err_set(err, ERR_DAMAGED, "the outbox is damaged (%s)", s->ops->mend);
    }
    *next = strdup(row.channel);
    return *next == NULL ? err_set(err, ERR_NOMEM, "no memory for the outbox") : fn(ctx, &row);
}

/* Each head's own channel leads to the next one. */
int tables_outbox_heads(struct storage *s, storage_outbox_fn *fn, void *ctx, struct err *err)
{
    sqlite3_stmt *stmt = tables_of(s)->stmts[OUTBOX_NEXT_CHANNEL];
    char *channel = NULL, *next;
    int rc;

    do { /* SQLITE_STATIC: a bind that copies fails without memory, and NULL then ends the walk */
        sqlite3_bind_text(stmt, 1, channel != NULL ? channel : "", -1, SQLITE_STATIC);
        next = NULL;
        rc = step(s, stmt, "cannot read the outbox", err);
        if (rc == 1)
            rc = take_head(s, stmt, channel != NULL ? channel : "", &next, fn, ctx, err);
        sqlite3_reset(stmt);
        free(channel);
        channel = next;
    } while (rc == 0 && channel != NULL);
    free(channel);
    return rc;
}

int tables_outbox_oldest(struct storage *s, int64_t *decided_us, struct err *err)
{
    sqlite3_stmt *stmt = tables_of(s)->stmts[OUTBOX_OLDEST];
    int rc = step(s, stmt, "cannot read the outbox", err);

    *decided_us = rc == 1 && sqlite3_column_type(stmt, 0) != SQLITE_NULL
                      ? sqlite3_column_int64(stmt, 0)
                      : INT64_MAX;
    sqlite3_reset(stmt);
    return rc < 0 ? rc : 0;
}

int tables_outbox_count(struct storage *s, enum outbox_state state, uint64_t *n, char *answer,
                        size_t size, struct err *err)
{
    sqlite3_stmt *stmt = tables_of(s)->stmts[OUTBOX_COUNT];
    const char *text;
    size_t len;
    int rc;

    sqlite3_bind_int(stmt, 1, (int)state);
    rc = step(s, stmt, "cannot read the outbox", err);
    text = rc == 1 ? text_at(stmt, 1) : "";
    len = text_cut(text, strlen(text), size - 1);
    *n = rc == 1 ? (uint64_t)sqlite3_column_int64(stmt, 0) : 0;
    memcpy(answer, text, len);
    answer[len] = '\0';
    sqlite3_reset(stmt);
    return rc < 0 ? rc : 0;
}

int tables_outbox_load(struct storage *s, int64_t row, storage_outbox_fn *fn, void *ctx,
                       struct err *err)
{
    int64_t last;

    sqlite3_bind_int64(tables_of(s)->stmts[OUTBOX_LOAD], 1, row);
    return walk_rows(s, OUTBOX_LOAD, 1, &last, fn, ctx, err);
}

int tables_outbox_list(struct storage *s, storage_outbox_fn *fn, void *ctx, struct err *err)
{
    int64_t last = 0;
    int rc;

    do {
        sqlite3_bind_int64(tables_of(s)->stmts[OUTBOX_LIST], 1, last);
        rc = walk_rows(s, OUTBOX_LIST, LIST_ROWS, &last, fn, ctx, err);
    } while (rc == 0 && last != 0);
    return rc;
}

int tables_outbox_expirable(struct storage *s, int64_t before_us, int n, storage_outbox_fn *fn,
                            void *ctx, struct err *err)
{
    int64_t last;

    sqlite3_bind_int64(tables_of(s)->stmts[OUTBOX_EXPIRABLE], 1, before_us);
    sqlite3_bind_int(tables_of(s)->stmts[OUTBOX_EXPIRABLE], 2, n);
    return walk_rows(s, OUTBOX_EXPIRABLE, n, &last, fn, ctx, err);
}

int tables_outbox_mark(struct storage *s, int64_t row, const struct storage_outbox_mark *m,
                       struct err *err)
{
    sqlite3_stmt *stmt = tables_of(s)->stmts[OUTBOX_MARK];
    int rc;

    sqlite3_bind_int64(tables_of(s)->stmts[OUTBOX_PASS_TURN], 1, row);
    rc = run(s, OUTBOX_PASS_TURN, "cannot pass a turn on", err);
    if (rc != 0)
        return rc;

    sqlite3_bind_int64(stmt, 1, row);
    sqlite3_bind_int(stmt, 2, (int)m->state);
    sqlite3_bind_int64(stmt, 3, m->now_us);
    sqlite3_bind_int64(stmt, 4, m->retry_after_us);
    sqlite3_bind_int64(stmt, 5, m->next_try_us);
    sqlite3_bind_int64(stmt, 6, m->ended_us);
    sqlite3_bind_text(stmt, 7, m->answer, -1, SQLITE_STATIC);
    rc = run(s, OUTBOX_MARK, "cannot note a try", err);
    sqlite3_bind_int64(tables_of(s)->stmts[OUTBOX_MARK_CHANNEL], 1, row);
    sqlite3_bind_int64(tables_of(s)->stmts[OUTBOX_MARK_CHANNEL], 2, m->now_us);
    return rc != 0 ? rc : run(s, OUTBOX_MARK_CHANNEL, "cannot note a try", err);
}

int tables_outbox_mark_expired(struct storage *s, int64_t row, int64_t now_us, const char *answer,
                               struct err *err)
{
    sqlite3_stmt *stmt = tables_of(s)->stmts[OUTBOX_MARK_EXPIRED];

    sqlite3_bind_int64(stmt, 1, row);
    sqlite3_bind_int64(stmt, 2, now_us);
    sqlite3_bind_text(stmt, 3, answer, -1, SQLITE_STATIC);
    return run(s, OUTBOX_MARK_EXPIRED, "cannot note that an alert expired", err);
}

int tables_outbox_unpark(struct storage *s, size_t *n, struct err *err)
{
    int rc = run(s, OUTBOX_UNPARK, "cannot unpark alerts", err);

    *n = rc == 0 ? (size_t)changes(s) : 0;
    return rc;
}

int tables_outbox_trim(struct storage *s, int64_t before_us, int n, int *trimmed, struct err *err)
{
    return trim_older(s, OUTBOX_TRIM, before_us, n, trimmed, "cannot trim the outbox", err);
}

/* ---- For a move ---- */

/* Steps a list; 1: it stands on a row. */
static int next_of(struct storage *s, enum statement which, struct err *err)
{
    return step(s, tables_of(s)->stmts[which], "cannot list rows", err);
}

static void sender_at(sqlite3_stmt *stmt, uint8_t sender[WIRE_SENDER_BYTES])
{
    const void *bytes = sqlite3_column_blob(stmt, 0);

    memset(sender, 0, WIRE_SENDER_BYTES);
    if (bytes != NULL && sqlite3_column_bytes(stmt, 0) == WIRE_SENDER_BYTES)
        memcpy(sender, bytes, WIRE_SENDER_BYTES);
}

int tables_list_senders(struct storage *s, storage_sender_fn *fn, void *ctx, struct err *err)
{
    sqlite3_stmt *stmt = tables_of(s)->stmts[LIST_SENDERS];
    struct storage_sender sender;
    int rc;

    while ((rc = next_of(s, LIST_SENDERS, err)) == 1) {
        sender.taken = (uint64_t)sqlite3_column_int64(stmt, 1);
        sender.seen_us = sqlite3_column_int64(stmt, 2);
        sender_at(stmt, sender.id);
        rc = fn(ctx, &sender);
        if (rc != 0)
            break;
    }
    sqlite3_reset(stmt);
    return rc;
}

int tables_list_refused(struct storage *s, storage_refused_fn *fn, void *ctx, struct err *err)
{
    sqlite3_stmt *stmt = tables_of(s)->stmts[LIST_REFUSED];
    struct storage_refused refused;
    int rc;

    while ((rc = next_of(s, LIST_REFUSED, err)) == 1) {
        sender_at(stmt, refused.sender);
        refused.sequence = (uint64_t)sqlite3_column_int64(stmt, 1);
        refused.bytes = (struct wire_bytes){sqlite3_column_blob(stmt, 2),
                                            (size_t)sqlite3_column_bytes(stmt, 2)};
        refused.why = text_at(stmt, 3);
        refused.at_us = sqlite3_column_int64(stmt, 4);
        rc = fn(ctx, &refused);
        if (rc != 0)
            break;
    }
    sqlite3_reset(stmt);
    return rc;
}

static int restore_channel(struct storage *s, const struct storage_outbox_row *row, struct err *err)
{
    sqlite3_stmt *stmt = tables_of(s)->stmts[OUTBOX_RESTORE_CHANNEL];

    if (row->channel_last_us == 0)
        return 0;
    sqlite3_bind_text(stmt, 1, row->channel, -1, SQLITE_STATIC);
    sqlite3_bind_int64(stmt, 2, row->channel_last_us);
    return run(s, OUTBOX_RESTORE_CHANNEL, "cannot note a try", err);
}

int tables_outbox_restore(struct storage *s, const struct storage_outbox_row *row, struct err *err)
{
    sqlite3_stmt *stmt = tables_of(s)->stmts[OUTBOX_RESTORE];
    int rc;

    sqlite3_bind_text(stmt, 1, row->channel, -1, SQLITE_STATIC);
    sqlite3_bind_int(stmt, 2, (int)row->state);
    sqlite3_bind_blob64(stmt, 3, row->alert.len > 0 ? (const void *)row->alert.data : "",
                        row->alert.len, SQLITE_STATIC);
    sqlite3_bind_int64(stmt, 4, row->decided_us);
    sqlite3_bind_int(stmt, 5, row->tries);
    sqlite3_bind_int64(stmt, 6, row->last_try_us);
    sqlite3_bind_int64(stmt, 7, row->retry_after_us);
    sqlite3_bind_int64(stmt, 8, row->next_try_us);
    sqlite3_bind_int64(stmt, 9, row->ended_us);
    sqlite3_bind_text(stmt, 10, row->last_answer, -1, SQLITE_STATIC);
    sqlite3_bind_text(stmt, 11, row->app, -1, SQLITE_STATIC);
    sqlite3_bind_text(stmt, 12, row->rule, -1, SQLITE_STATIC);
    sqlite3_bind_int64(stmt, 13, row->turn);
    sqlite3_bind_int64(stmt, 14, row->place);
    rc = run(s, OUTBOX_RESTORE, "cannot keep an alert", err);
    return rc != 0 ? rc : restore_channel(s, row, err);
}
