/* The storage backing on a local disk: one SQLite file, whose journal is the event stream. Called
 * by storage.c through the table at the end. */
#include "common/base/text.h"
#include "common/storage/journal.h"
#include "common/storage/storage.h"

#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

enum {
    FORMAT = 1,
    LIST_ROWS = 256, /* in one short transaction */
};

/* The rules of a channel take turns. A waiting row is due after the rows with a lower place; of the
 * same place the oldest comes first. A new row's place is one behind the last of its rule. A row
 * that was tried is the next one of its channel (-1), so that its Retry-After holds for all. */
#define TURN_COLUMNS ", rule TEXT NOT NULL DEFAULT '', place INTEGER NOT NULL DEFAULT 0"
#define TURN_INDEXES                                                                               \
    "CREATE INDEX outbox_turns ON outbox (channel, place, row) WHERE state = 0;"                   \
    "CREATE INDEX outbox_places ON outbox (channel, rule, place) WHERE state = 0;"

static const char tables[] =
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
    " ended_us INTEGER NOT NULL, last_answer TEXT NOT NULL" TURN_COLUMNS ");" TURN_INDEXES
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

#define NEXT_CHANNEL                                                                               \
    OUTBOX_COLUMNS "WHERE state = 0 AND outbox.channel > ?1 ORDER BY outbox.channel, "

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
                   "retry_after_us, next_try_us, ended_us, last_answer, rule, place) "
                   "SELECT ?1, 0, ?2, ?3, 0, 0, 0, 0, 0, '', ?4, coalesce(max(place) + 1, 0) "
                   "FROM outbox WHERE state = 0 AND channel = ?1 AND rule = ?4",
    /* From channel to channel by the index, however much waits in each. */
    [OUTBOX_NEXT_CHANNEL] = OUTBOX_COLUMNS "WHERE state = 0 AND outbox.channel > ?1 "
                                           "ORDER BY outbox.channel, place, row LIMIT 1",
    [OUTBOX_OLDEST] = "SELECT min(decided_us) FROM outbox WHERE state < 2",
    /* SQLite takes last_answer from the row with the maximum. */
    [OUTBOX_COUNT] = "SELECT count(*), last_answer, max(last_try_us) FROM outbox "
                     "WHERE state < 2 AND state = ?1",
    [OUTBOX_LOAD] = OUTBOX_COLUMNS "WHERE row = ?1",
    [OUTBOX_LIST] = OUTBOX_COLUMNS_AND(", rule, place") LIST_ALL,
    [OUTBOX_EXPIRABLE] =
        OUTBOX_COLUMNS "WHERE state < 2 AND decided_us <= ?1 ORDER BY decided_us LIMIT ?2",
    [OUTBOX_MARK] = "UPDATE outbox SET state = ?2, tries = tries + 1, last_try_us = ?3, "
                    "retry_after_us = ?4, next_try_us = ?5, ended_us = ?6, last_answer = ?7, "
                    "place = -1 WHERE row = ?1",
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
                       "retry_after_us, next_try_us, ended_us, last_answer, rule, place) "
                       "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
    [OUTBOX_RESTORE_CHANNEL] = "INSERT INTO channels (channel, last_try_us) VALUES (?1, ?2) "
                               "ON CONFLICT (channel) DO NOTHING",
};

struct store {
    struct storage storage; /* first: one is the other */
    struct journal *journal;
    sqlite3_stmt *stmts[STATEMENTS];
};

static struct store *store_of(struct storage *s)
{
    return (struct store *)s;
}

static struct journal *journal_of(const struct storage *s)
{
    return ((const struct store *)s)->journal;
}

/* Steps a bound statement that changes something and returns no row. */
static int run(struct storage *s, enum statement which, const char *doing, struct err *err)
{
    return journal_run(journal_of(s), store_of(s)->stmts[which], doing, err);
}

/* Steps a bound statement for its one row of at most two numbers, and resets it. Zeros: no row. */
static int ask(struct storage *s, enum statement which, int64_t *first, int64_t *second,
               const char *doing, struct err *err)
{
    sqlite3_stmt *stmt = store_of(s)->stmts[which];
    int rc = journal_step(journal_of(s), stmt, doing, err);

    *first = rc == 1 ? sqlite3_column_int64(stmt, 0) : 0;
    if (second != NULL)
        *second = rc == 1 ? sqlite3_column_int64(stmt, 1) : 0;
    sqlite3_reset(stmt);
    return rc < 0 ? rc : 0;
}

static int changes(const struct storage *s)
{
    return sqlite3_changes(journal_db(journal_of(s)));
}

/* ---- Open and close ---- */

static int make_tables(struct journal *j, struct err *err)
{
    int64_t format = FORMAT;
    int rc = journal_begin(j, err);

    if (rc != 0)
        return rc;
    if (sqlite3_exec(journal_db(j), tables, NULL, NULL, NULL) != SQLITE_OK)
        rc = err_set(err, ERR_IO, "cannot make the store's tables: %s (check its disk)",
                     sqlite3_errmsg(journal_db(j)));
    if (rc == 0)
        rc = journal_put(j, "store.format", &format, sizeof format, err);
    if (rc == 0)
        return journal_commit(j, err);
    journal_rollback(j);
    return rc;
}

static int check_format(struct journal *j, const struct storage_options *options, struct err *err)
{
    int64_t format = 0;
    bool found;
    int rc = journal_get(j, "store.format", &format, sizeof format, &found, err);

    if (rc != 0)
        return rc;
    if (!found && options->read_only)
        return err_set(err, ERR_IO, "%s: no alerter has kept anything here yet (start it)",
                       options->location);
    if (!found)
        return make_tables(j, err);
    if (format > FORMAT)
        return err_set(err, ERR_VERSION,
                       "%s: was written by a newer build, in format %lld (this build reads up to "
                       "%d: use the newer build, or move the file away)",
                       options->location, (long long)format, FORMAT);
    return 0;
}

static bool has_column(sqlite3 *db, const char *column)
{
    return sqlite3_table_column_metadata(db, NULL, "outbox", column, NULL, NULL, NULL, NULL,
                                         NULL) == SQLITE_OK;
}

/* Whether an older build made the file. */
static bool lacks_turns(struct journal *j)
{
    return has_column(journal_db(j), "channel") && !has_column(journal_db(j), "place");
}

/* An older build can still use the file: the new columns have defaults. */
static int add_turns(struct journal *j, struct err *err)
{
    int rc = journal_begin(j, err);

    if (rc != 0)
        return rc;
    if (sqlite3_exec(journal_db(j),
                     "ALTER TABLE outbox ADD COLUMN rule TEXT NOT NULL DEFAULT '';"
                     "ALTER TABLE outbox ADD COLUMN place INTEGER NOT NULL DEFAULT 0;"
                     "DROP INDEX IF EXISTS outbox_waiting;" TURN_INDEXES,
                     NULL, NULL, NULL) == SQLITE_OK)
        return journal_commit(j, err);
    rc = err_set(err, ERR_IO, "cannot change the store's tables: %s (check its disk)",
                 sqlite3_errmsg(journal_db(j)));
    journal_rollback(j);
    return rc;
}

/* A reader may meet an older file; it never writes. */
static const char *sql_of(enum statement which, bool without_turns)
{
    if (!without_turns)
        return sql[which];
    if (which == OUTBOX_NEXT_CHANNEL)
        return NEXT_CHANNEL "row LIMIT 1";
    if (which == OUTBOX_LIST)
        return OUTBOX_COLUMNS LIST_ALL;
    return which == OUTBOX_PUT || which == OUTBOX_MARK || which == OUTBOX_RESTORE ? NULL
                                                                                  : sql[which];
}

/* A file of our format without one of our tables or columns is damaged. */
static int prepare_all(struct store *st, const struct storage_options *options, struct err *err)
{
    const bool without_turns = lacks_turns(st->journal);
    struct err why;

    for (int i = 0; i < STATEMENTS; i++) {
        const char *text = sql_of((enum statement)i, without_turns);
        int rc = text == NULL ? 0 : journal_prepare(st->journal, text, &st->stmts[i], &why);

        if (rc == 0)
            continue;
        if (sqlite3_errcode(journal_db(st->journal)) != SQLITE_ERROR) {
            *err = why;
            return rc;
        }
        journal_suspect(st->journal);
        return err_set(err, ERR_DAMAGED, "%s: damaged (start again: it is then set aside): %.600s",
                       options->location, why.text);
    }
    return 0;
}

static int sqlite_open(const struct storage_options *options, struct storage **out,
                       char set_aside[512], struct err *err)
{
    struct store *st = calloc(1, sizeof *st);
    int rc;

    if (st == NULL)
        return ERR_NOMEM;
    *out = &st->storage;
    rc = journal_open(&(struct journal_options){.path = options->location,
                                                .read_only = options->read_only,
                                                .sync_full = options->sync_full},
                      &st->journal, set_aside, err);
    if (rc == 0)
        rc = check_format(st->journal, options, err);
    if (rc == 0 && !options->read_only && lacks_turns(st->journal))
        rc = add_turns(st->journal, err);
    return rc != 0 ? rc : prepare_all(st, options, err);
}

static void sqlite_close(struct storage *s)
{
    for (int i = 0; i < STATEMENTS; i++)
        sqlite3_finalize(store_of(s)->stmts[i]);
    journal_close(journal_of(s));
    free(store_of(s));
}

static bool sqlite_is_gone(const struct storage *s)
{
    return journal_is_gone(journal_of(s));
}

static void sqlite_mark_damaged(struct storage *s)
{
    journal_suspect(journal_of(s));
}

/* ---- Transactions ---- */

static int sqlite_begin(struct storage *s, struct err *err)
{
    return journal_begin(journal_of(s), err);
}

static int sqlite_commit(struct storage *s, struct err *err)
{
    return journal_commit(journal_of(s), err);
}

static void sqlite_rollback(struct storage *s)
{
    journal_rollback(journal_of(s));
}

static void sqlite_maintain(struct storage *s, bool is_idle)
{
    journal_maintain(journal_of(s), is_idle);
}

/* ---- Senders ---- */

/* SQLite's integers have a sign. Sequences are only stored and never compared there, so those
 * beyond 2^63 come back unchanged. */
static int sqlite_get_sequence(struct storage *s, const uint8_t sender[WIRE_SENDER_BYTES],
                               uint64_t *sequence, struct err *err)
{
    int64_t stored;
    int rc;

    sqlite3_bind_blob(store_of(s)->stmts[GET_SEQUENCE], 1, sender, WIRE_SENDER_BYTES,
                      SQLITE_STATIC);
    rc = ask(s, GET_SEQUENCE, &stored, NULL, "cannot read what was taken", err);
    *sequence = (uint64_t)stored;
    return rc;
}

static int sqlite_put_sequence(struct storage *s, const uint8_t sender[WIRE_SENDER_BYTES],
                               uint64_t sequence, int64_t now_us, struct err *err)
{
    sqlite3_stmt *stmt = store_of(s)->stmts[PUT_SEQUENCE];

    sqlite3_bind_blob(stmt, 1, sender, WIRE_SENDER_BYTES, SQLITE_STATIC);
    sqlite3_bind_int64(stmt, 2, (int64_t)sequence);
    sqlite3_bind_int64(stmt, 3, now_us);
    return run(s, PUT_SEQUENCE, "cannot note what was taken", err);
}

static int sqlite_put_refused(struct storage *s, const uint8_t sender[WIRE_SENDER_BYTES],
                              uint64_t sequence, struct wire_bytes bytes, const char *why,
                              int64_t now_us, struct err *err)
{
    sqlite3_stmt *stmt = store_of(s)->stmts[PUT_REFUSED];

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

    sqlite3_bind_int64(store_of(s)->stmts[which], 1, before_us);
    sqlite3_bind_int(store_of(s)->stmts[which], 2, n);
    rc = run(s, which, doing, err);
    *trimmed = rc == 0 ? changes(s) : 0;
    return rc;
}

static int sqlite_trim_refused(struct storage *s, int64_t before_us, int n, int *trimmed,
                               struct err *err)
{
    return trim_older(s, TRIM_REFUSED, before_us, n, trimmed, "cannot forget refused records", err);
}

/* ---- The event stream ---- */

static int sqlite_append(struct storage *s, struct wire_bytes packed, int64_t *position,
                         struct err *err)
{
    return journal_append(journal_of(s), packed.data, packed.len, position, err);
}

static int sqlite_read(struct storage *s, int64_t from, storage_bytes_fn *fn, void *ctx,
                       struct err *err)
{
    return journal_read(journal_of(s), from, fn, ctx, err);
}

static int sqlite_trim(struct storage *s, int64_t position, struct err *err)
{
    return journal_trim(journal_of(s), position, err);
}

static int64_t sqlite_first(const struct storage *s)
{
    return journal_first(journal_of(s));
}

static int64_t sqlite_bytes(const struct storage *s)
{
    return journal_bytes(journal_of(s));
}

static bool sqlite_is_larger(const struct storage *s, int64_t max_bytes)
{
    return journal_is_larger(journal_of(s), max_bytes);
}

static int sqlite_put_snapshot(struct storage *s, int64_t position, int64_t step_us,
                               struct err *err)
{
    sqlite3_bind_int64(store_of(s)->stmts[PUT_SNAPSHOT], 1, position);
    sqlite3_bind_int64(store_of(s)->stmts[PUT_SNAPSHOT], 2, step_us);
    return run(s, PUT_SNAPSHOT, "cannot note a snapshot", err);
}

static int sqlite_find_snapshot(struct storage *s, int64_t at_us, int64_t before, int64_t *position,
                                struct err *err)
{
    sqlite3_bind_int64(store_of(s)->stmts[FIND_SNAPSHOT], 1, at_us);
    sqlite3_bind_int64(store_of(s)->stmts[FIND_SNAPSHOT], 2, before);
    return ask(s, FIND_SNAPSHOT, position, NULL, "cannot find a snapshot", err);
}

static int sqlite_next_snapshot(struct storage *s, int64_t position, int64_t *next,
                                int64_t *step_us, struct err *err)
{
    sqlite3_bind_int64(store_of(s)->stmts[NEXT_SNAPSHOT], 1, position);
    return ask(s, NEXT_SNAPSHOT, next, step_us, "cannot find a snapshot", err);
}

static int sqlite_get_start(struct storage *s, int64_t *position, struct err *err)
{
    bool found;

    return journal_get(journal_of(s), "store.start", position, sizeof *position, &found, err);
}

static int sqlite_put_start(struct storage *s, int64_t position, struct err *err)
{
    int rc = journal_put(journal_of(s), "store.start", &position, sizeof position, err);

    sqlite3_bind_int64(store_of(s)->stmts[TRIM_SNAPSHOTS], 1, position);
    return rc != 0 ? rc : run(s, TRIM_SNAPSHOTS, "cannot trim snapshots", err);
}

/* ---- The outbox's rows ---- */

static int sqlite_outbox_put(struct storage *s, const char *channel, const char *rule,
                             struct wire_bytes alert, int64_t decided_us, int64_t *row,
                             struct err *err)
{
    sqlite3_stmt *stmt = store_of(s)->stmts[OUTBOX_PUT];
    int rc;

    sqlite3_bind_text(stmt, 1, channel, -1, SQLITE_STATIC);
    sqlite3_bind_blob64(stmt, 2, alert.data, alert.len, SQLITE_STATIC);
    sqlite3_bind_int64(stmt, 3, decided_us);
    sqlite3_bind_text(stmt, 4, rule, -1, SQLITE_STATIC);
    rc = run(s, OUTBOX_PUT, "cannot keep an alert", err);
    if (rc == 0)
        *row = sqlite3_last_insert_rowid(journal_db(journal_of(s)));
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
        .rule = is_whole ? text_at(stmt, 12) : NULL,
        .place = is_whole ? sqlite3_column_int64(stmt, 13) : 0,
    };
}

/* Calls `fn` for at most `n` rows of a bound statement, and resets it. *last gets the last row's
 * number, or 0 if there was no further row. */
static int walk_rows(struct storage *s, enum statement which, int n, int64_t *last,
                     storage_outbox_fn *fn, void *ctx, struct err *err)
{
    sqlite3_stmt *stmt = store_of(s)->stmts[which];
    int rc = 0;

    for (int i = 0; i < n && rc == 0; i++) {
        struct storage_outbox_row row;

        *last = 0;
        rc = journal_step(journal_of(s), stmt, "cannot read the outbox", err);
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
        sqlite_mark_damaged(s);
        return err_set(err, ERR_DAMAGED,
                       "the outbox is damaged (start again: the file is then set aside)");
    }
    *next = strdup(row.channel);
    return *next == NULL ? err_set(err, ERR_NOMEM, "no memory for the outbox") : fn(ctx, &row);
}

/* Each head's own channel leads to the next one. */
static int sqlite_outbox_heads(struct storage *s, storage_outbox_fn *fn, void *ctx, struct err *err)
{
    sqlite3_stmt *stmt = store_of(s)->stmts[OUTBOX_NEXT_CHANNEL];
    char *channel = NULL, *next;
    int rc;

    do { /* SQLITE_STATIC: a bind that copies fails without memory, and NULL then ends the walk */
        sqlite3_bind_text(stmt, 1, channel != NULL ? channel : "", -1, SQLITE_STATIC);
        next = NULL;
        rc = journal_step(journal_of(s), stmt, "cannot read the outbox", err);
        if (rc == 1)
            rc = take_head(s, stmt, channel != NULL ? channel : "", &next, fn, ctx, err);
        sqlite3_reset(stmt);
        free(channel);
        channel = next;
    } while (rc == 0 && channel != NULL);
    free(channel);
    return rc;
}

static int sqlite_outbox_oldest(struct storage *s, int64_t *decided_us, struct err *err)
{
    sqlite3_stmt *stmt = store_of(s)->stmts[OUTBOX_OLDEST];
    int rc = journal_step(journal_of(s), stmt, "cannot read the outbox", err);

    *decided_us = rc == 1 && sqlite3_column_type(stmt, 0) != SQLITE_NULL
                      ? sqlite3_column_int64(stmt, 0)
                      : INT64_MAX;
    sqlite3_reset(stmt);
    return rc < 0 ? rc : 0;
}

static int sqlite_outbox_count(struct storage *s, enum outbox_state state, uint64_t *n,
                               char *answer, size_t size, struct err *err)
{
    sqlite3_stmt *stmt = store_of(s)->stmts[OUTBOX_COUNT];
    const char *text;
    size_t len;
    int rc;

    sqlite3_bind_int(stmt, 1, (int)state);
    rc = journal_step(journal_of(s), stmt, "cannot read the outbox", err);
    text = rc == 1 ? text_at(stmt, 1) : "";
    len = text_cut(text, strlen(text), size - 1);
    *n = rc == 1 ? (uint64_t)sqlite3_column_int64(stmt, 0) : 0;
    memcpy(answer, text, len);
    answer[len] = '\0';
    sqlite3_reset(stmt);
    return rc < 0 ? rc : 0;
}

static int sqlite_outbox_load(struct storage *s, int64_t row, storage_outbox_fn *fn, void *ctx,
                              struct err *err)
{
    int64_t last;

    sqlite3_bind_int64(store_of(s)->stmts[OUTBOX_LOAD], 1, row);
    return walk_rows(s, OUTBOX_LOAD, 1, &last, fn, ctx, err);
}

static int sqlite_outbox_list(struct storage *s, storage_outbox_fn *fn, void *ctx, struct err *err)
{
    int64_t last = 0;
    int rc;

    do {
        sqlite3_bind_int64(store_of(s)->stmts[OUTBOX_LIST], 1, last);
        rc = walk_rows(s, OUTBOX_LIST, LIST_ROWS, &last, fn, ctx, err);
    } while (rc == 0 && last != 0);
    return rc;
}

static int sqlite_outbox_expirable(struct storage *s, int64_t before_us, int n,
                                   storage_outbox_fn *fn, void *ctx, struct err *err)
{
    int64_t last;

    sqlite3_bind_int64(store_of(s)->stmts[OUTBOX_EXPIRABLE], 1, before_us);
    sqlite3_bind_int(store_of(s)->stmts[OUTBOX_EXPIRABLE], 2, n);
    return walk_rows(s, OUTBOX_EXPIRABLE, n, &last, fn, ctx, err);
}

static int sqlite_outbox_mark(struct storage *s, int64_t row, const struct storage_outbox_mark *m,
                              struct err *err)
{
    sqlite3_stmt *stmt = store_of(s)->stmts[OUTBOX_MARK];
    int rc;

    sqlite3_bind_int64(stmt, 1, row);
    sqlite3_bind_int(stmt, 2, (int)m->state);
    sqlite3_bind_int64(stmt, 3, m->now_us);
    sqlite3_bind_int64(stmt, 4, m->retry_after_us);
    sqlite3_bind_int64(stmt, 5, m->next_try_us);
    sqlite3_bind_int64(stmt, 6, m->ended_us);
    sqlite3_bind_text(stmt, 7, m->answer, -1, SQLITE_STATIC);
    rc = run(s, OUTBOX_MARK, "cannot note a try", err);
    sqlite3_bind_int64(store_of(s)->stmts[OUTBOX_MARK_CHANNEL], 1, row);
    sqlite3_bind_int64(store_of(s)->stmts[OUTBOX_MARK_CHANNEL], 2, m->now_us);
    return rc != 0 ? rc : run(s, OUTBOX_MARK_CHANNEL, "cannot note a try", err);
}

static int sqlite_outbox_mark_expired(struct storage *s, int64_t row, int64_t now_us,
                                      const char *answer, struct err *err)
{
    sqlite3_stmt *stmt = store_of(s)->stmts[OUTBOX_MARK_EXPIRED];

    sqlite3_bind_int64(stmt, 1, row);
    sqlite3_bind_int64(stmt, 2, now_us);
    sqlite3_bind_text(stmt, 3, answer, -1, SQLITE_STATIC);
    return run(s, OUTBOX_MARK_EXPIRED, "cannot note that an alert expired", err);
}

static int sqlite_outbox_unpark(struct storage *s, size_t *n, struct err *err)
{
    int rc = run(s, OUTBOX_UNPARK, "cannot unpark alerts", err);

    *n = rc == 0 ? (size_t)changes(s) : 0;
    return rc;
}

static int sqlite_outbox_trim(struct storage *s, int64_t before_us, int n, int *trimmed,
                              struct err *err)
{
    return trim_older(s, OUTBOX_TRIM, before_us, n, trimmed, "cannot trim the outbox", err);
}

/* ---- For a move ---- */

/* Steps a list; 1: it stands on a row. */
static int next_of(struct storage *s, enum statement which, struct err *err)
{
    return journal_step(journal_of(s), store_of(s)->stmts[which], "cannot list rows", err);
}

static void sender_at(sqlite3_stmt *stmt, uint8_t sender[WIRE_SENDER_BYTES])
{
    const void *bytes = sqlite3_column_blob(stmt, 0);

    memset(sender, 0, WIRE_SENDER_BYTES);
    if (bytes != NULL && sqlite3_column_bytes(stmt, 0) == WIRE_SENDER_BYTES)
        memcpy(sender, bytes, WIRE_SENDER_BYTES);
}

static int sqlite_list_senders(struct storage *s, storage_sender_fn *fn, void *ctx, struct err *err)
{
    sqlite3_stmt *stmt = store_of(s)->stmts[LIST_SENDERS];
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

static int sqlite_list_refused(struct storage *s, storage_refused_fn *fn, void *ctx,
                               struct err *err)
{
    sqlite3_stmt *stmt = store_of(s)->stmts[LIST_REFUSED];
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
    sqlite3_stmt *stmt = store_of(s)->stmts[OUTBOX_RESTORE_CHANNEL];

    if (row->channel_last_us == 0)
        return 0;
    sqlite3_bind_text(stmt, 1, row->channel, -1, SQLITE_STATIC);
    sqlite3_bind_int64(stmt, 2, row->channel_last_us);
    return run(s, OUTBOX_RESTORE_CHANNEL, "cannot note a try", err);
}

static int sqlite_outbox_restore(struct storage *s, const struct storage_outbox_row *row,
                                 struct err *err)
{
    sqlite3_stmt *stmt = store_of(s)->stmts[OUTBOX_RESTORE];
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
    sqlite3_bind_text(stmt, 11, row->rule, -1, SQLITE_STATIC);
    sqlite3_bind_int64(stmt, 12, row->place);
    rc = run(s, OUTBOX_RESTORE, "cannot keep an alert", err);
    return rc != 0 ? rc : restore_channel(s, row, err);
}

const struct storage_ops storage_sqlite = {
    .scheme = "",
    .open = sqlite_open,
    .close = sqlite_close,
    .is_gone = sqlite_is_gone,
    .mark_damaged = sqlite_mark_damaged,
    .begin = sqlite_begin,
    .commit = sqlite_commit,
    .rollback = sqlite_rollback,
    .maintain = sqlite_maintain,
    .get_sequence = sqlite_get_sequence,
    .put_sequence = sqlite_put_sequence,
    .put_refused = sqlite_put_refused,
    .trim_refused = sqlite_trim_refused,
    .append = sqlite_append,
    .read = sqlite_read,
    .trim = sqlite_trim,
    .first = sqlite_first,
    .bytes = sqlite_bytes,
    .is_larger = sqlite_is_larger,
    .put_snapshot = sqlite_put_snapshot,
    .find_snapshot = sqlite_find_snapshot,
    .next_snapshot = sqlite_next_snapshot,
    .get_start = sqlite_get_start,
    .put_start = sqlite_put_start,
    .outbox_put = sqlite_outbox_put,
    .outbox_heads = sqlite_outbox_heads,
    .outbox_oldest = sqlite_outbox_oldest,
    .outbox_count = sqlite_outbox_count,
    .outbox_load = sqlite_outbox_load,
    .outbox_list = sqlite_outbox_list,
    .outbox_expirable = sqlite_outbox_expirable,
    .outbox_mark = sqlite_outbox_mark,
    .outbox_mark_expired = sqlite_outbox_mark_expired,
    .outbox_unpark = sqlite_outbox_unpark,
    .outbox_trim = sqlite_outbox_trim,
    .list_senders = sqlite_list_senders,
    .list_refused = sqlite_list_refused,
    .outbox_restore = sqlite_outbox_restore,
};
