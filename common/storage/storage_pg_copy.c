/* The copy in memory of the rows that the PostgreSQL storage needs often, and its changes as
 * parameters of the turn's statement. Called by the other files of this backing. */
#include "common/base/text.h"
#include "common/storage/storage_pg.h"

#include <assert.h>
#include <sqlite3.h>
#include <string.h>

enum {
    LOAD_ROWS = 1000,            /* of the outbox, in one statement */
    GATHER_BYTES_MAX = 64 << 20, /* of the changes of one transaction */
};

/* Triggers note what a transaction changes. A rollback undoes the notes with the changes. */
#define NOTE(table, when, columns, key, values)                                                    \
    "CREATE TRIGGER " table "_" when " AFTER " when " ON " table                                   \
    " BEGIN INSERT INTO changed_" table " SELECT " values                                          \
    " WHERE NOT EXISTS (SELECT 1 FROM changed_" table " WHERE " key " = new." key "); END;"

static const char create_notes[] =
    "CREATE TABLE changed_outbox (row INTEGER PRIMARY KEY);"
    "CREATE TABLE changed_senders (sender BLOB PRIMARY KEY, before INTEGER NOT NULL)"
    " WITHOUT ROWID;"
    "CREATE TABLE changed_channels (channel TEXT PRIMARY KEY) WITHOUT ROWID;"
    /* Rows of the database that are to be deleted there. */
    "CREATE TABLE gone_outbox (row INTEGER PRIMARY KEY);"
    "CREATE TABLE gone_refused (row INTEGER PRIMARY KEY);" NOTE("outbox", "INSERT", "row", "row",
                                                                "new.row")
        NOTE("outbox", "UPDATE", "row", "row", "new.row")
            NOTE("senders", "INSERT", "sender, before", "sender", "new.sender, 0")
                NOTE("senders", "UPDATE", "sender, before", "sender", "new.sender, old.taken")
                    NOTE("channels", "INSERT", "channel", "channel", "new.channel")
                        NOTE("channels", "UPDATE", "channel", "channel", "new.channel");

enum statement {
    BEGIN,
    COMMIT,
    ROLLBACK,
    SET_LAST_ROW,
    PUT_SNAPSHOT,
    PUT_SENDER,
    PUT_OUTBOX,
    PUT_CHANNEL,
    DROP_OUTBOX,
    DROP_REFUSED,
    CLEAR_OUTBOX_NOTES, /* from here on: run in this order once all is committed */
    CLEAR_SENDER_NOTES,
    CLEAR_CHANNEL_NOTES,
    CLEAR_GONE_OUTBOX,
    CLEAR_GONE_REFUSED,
    CLEAR_REFUSED,
    CLEAR_OVER,
    CHANGED_SENDERS, /* from here on: gathered in this order */
    CHANGED_OUTBOX,
    CHANGED_CHANNELS,
    NEW_REFUSED,
    GONE_OUTBOX,
    GONE_REFUSED,
    STATEMENTS,
};

#define OUTBOX_COLUMNS                                                                             \
    "row, channel, state, alert, decided_us, tries, last_try_us, retry_after_us, next_try_us, "    \
    "ended_us, last_answer, app, rule, turn, place"
#define OUTBOX_KINDS "itibiiiiiitttii"

static const char *const texts[STATEMENTS] = {
    [BEGIN] = "BEGIN",
    [COMMIT] = "COMMIT",
    [ROLLBACK] = "ROLLBACK",
    [SET_LAST_ROW] = "INSERT INTO sqlite_sequence (name, seq) VALUES ('outbox', ?1)",
    [PUT_SNAPSHOT] = "INSERT INTO snapshots (position, step_us) VALUES (?, ?)",
    [PUT_SENDER] = "INSERT INTO senders (sender, taken, seen_us) VALUES (?, ?, ?)",
    [PUT_OUTBOX] = "INSERT INTO outbox (" OUTBOX_COLUMNS
                   ") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    [PUT_CHANNEL] = "INSERT INTO channels (channel, last_try_us) VALUES (?, ?)",
    [DROP_OUTBOX] = "INSERT INTO gone_outbox VALUES (?)",
    [DROP_REFUSED] = "INSERT INTO gone_refused VALUES (?)",
    [CLEAR_OUTBOX_NOTES] = "DELETE FROM changed_outbox",
    [CLEAR_SENDER_NOTES] = "DELETE FROM changed_senders",
    [CLEAR_CHANNEL_NOTES] = "DELETE FROM changed_channels",
    [CLEAR_GONE_OUTBOX] = "DELETE FROM gone_outbox",
    [CLEAR_GONE_REFUSED] = "DELETE FROM gone_refused",
    [CLEAR_REFUSED] = "DELETE FROM refused",
    /* Rows that are over are read from the database alone. */
    [CLEAR_OVER] = "DELETE FROM outbox WHERE state >= 2",
    [CHANGED_SENDERS] = "SELECT sender, taken, seen_us, before "
                        "FROM changed_senders JOIN senders USING (sender)",
    [CHANGED_OUTBOX] = "SELECT " OUTBOX_COLUMNS " FROM changed_outbox JOIN outbox USING (row)",
    [CHANGED_CHANNELS] = "SELECT channel, last_try_us "
                         "FROM changed_channels JOIN channels USING (channel)",
    [NEW_REFUSED] = "SELECT sender, sequence, bytes, reason, at_us FROM refused ORDER BY row",
    [GONE_OUTBOX] = "SELECT row FROM gone_outbox",
    [GONE_REFUSED] = "SELECT row FROM gone_refused",
};

/* The types of the columns: i a number, t a text, b bytes. */
static const char *const kinds[STATEMENTS] = {
    [PUT_SNAPSHOT] = "ii",     [PUT_SENDER] = "bii",       [PUT_OUTBOX] = OUTBOX_KINDS,
    [PUT_CHANNEL] = "ti",      [CHANGED_SENDERS] = "biii", [CHANGED_OUTBOX] = OUTBOX_KINDS,
    [CHANGED_CHANNELS] = "ti", [NEW_REFUSED] = "bibti",    [GONE_OUTBOX] = "i",
    [GONE_REFUSED] = "i",
};

static const struct pg_statement select_snapshots = {
    "snapshots", "SELECT position, at_us FROM stream WHERE snapshot ORDER BY position"};
static const struct pg_statement select_senders = {"senders",
                                                   "SELECT sender, taken, seen_us FROM senders"};
static const struct pg_statement select_outbox = {
    "outbox", STORAGE_PG_FITTING(OUTBOX_COLUMNS,
                                 "SELECT * FROM outbox WHERE state < 2 AND row > $1 ORDER BY row "
                                 "LIMIT $2",
                                 "row", "octet_length(alert)", "$3")};
static const struct pg_statement select_channels = {"channels",
                                                    "SELECT channel, last_try_us FROM channels"};
static const struct pg_statement select_ends = {
    "ends", "SELECT (SELECT position-n+1 FROM stream ORDER BY position LIMIT 1), "
            "(SELECT max(row) FROM outbox)"};

static const struct pg_statement sum_bytes = {
    "bytes", "SELECT coalesce((SELECT sum(octet_length(body)) FROM stream), 0)::bigint + "
             "coalesce((SELECT sum(octet_length(body)) FROM part), 0)::bigint"};

static int no_memory(struct err *err)
{
    return err_set(err, ERR_NOMEM, "no memory for the storage");
}

static int execute(struct storage_pg *st, const char *text, struct err *err)
{
    return sqlite3_exec(st->tables.db, text, NULL, NULL, NULL) == SQLITE_OK ? 0 : no_memory(err);
}

/* Steps a statement that returns no row. */
static int run(struct storage_pg *st, enum statement which, struct err *err)
{
    int rc = sqlite3_step(st->copy[which]);

    sqlite3_reset(st->copy[which]);
    return rc == SQLITE_DONE ? 0 : no_memory(err);
}

static int run_with(struct storage_pg *st, enum statement which, int64_t value, struct err *err)
{
    sqlite3_bind_int64(st->copy[which], 1, value);
    return run(st, which, err);
}

/* ---- Open and close ---- */

int storage_pg_copy_open(struct storage_pg *st, struct err *err)
{
    int rc =
        sqlite3_open_v2(":memory:", &st->tables.db,
                        SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL);

    static_assert((int)STATEMENTS <= (int)STORAGE_PG_COPY_STATEMENTS, "the header has room");
    if (rc != SQLITE_OK || execute(st, tables_create, err) != 0 ||
        execute(st, create_notes, err) != 0)
        return no_memory(err);
    for (int i = 0; i < STATEMENTS; i++)
        if (sqlite3_prepare_v3(st->tables.db, texts[i], -1, SQLITE_PREPARE_PERSISTENT, &st->copy[i],
                               NULL) != SQLITE_OK)
            return no_memory(err);
    return tables_prepare(&st->tables, err);
}

void storage_pg_copy_close(struct storage_pg *st)
{
    for (int i = 0; i < STATEMENTS; i++)
        sqlite3_finalize(st->copy[i]);
    tables_finalize(&st->tables);
    sqlite3_close(st->tables.db);
}

/* ---- Loading ---- */

static void bind(sqlite3_stmt *stmt, int column, char kind, const struct pg_rows *rows, size_t row)
{
    struct wire_bytes bytes;

    switch (kind) {
    case 'i':
        sqlite3_bind_int64(stmt, column + 1, pg_i64(rows, row, column));
        break;
    case 't':
        sqlite3_bind_text(stmt, column + 1, pg_text(rows, row, column), -1, SQLITE_STATIC);
        break;
    default:
        bytes = pg_bytes(rows, row, column);
        sqlite3_bind_blob64(stmt, column + 1, bytes.len > 0 ? (const void *)bytes.data : "",
                            bytes.len, SQLITE_STATIC);
    }
}

static int put_all(struct storage_pg *st, const struct pg_rows *rows, enum statement into,
                   struct err *err)
{
    int rc = 0;

    for (size_t row = 0; row < pg_n_rows(rows) && rc == 0; row++) {
        for (int column = 0; kinds[into][column] != '\0'; column++)
            bind(st->copy[into], column, kinds[into][column], rows, row);
        rc = run(st, into, err);
    }
    return rc;
}

/* Puts all rows of a statement of PostgreSQL into the copy. */
static int load(struct storage_pg *st, const struct pg_statement *from, enum statement into,
                struct err *err)
{
    struct pg_rows *rows;
    int rc;

    pg_args_clear(st->args);
    rc = storage_pg_run(st, from, &rows, err);
    if (rc == 0)
        rc = put_all(st, rows, into, err);
    pg_rows_free(rows);
    return rc;
}

static int load_outbox(struct storage_pg *st, struct err *err)
{
    int64_t last = 0;
    size_t n = 1;
    int rc = 0;

    while (rc == 0 && n > 0) {
        struct pg_rows *rows;

        pg_args_clear(st->args);
        pg_put_i64(st->args, last);
        pg_put_i64(st->args, LOAD_ROWS);
        pg_put_i64(st->args, st->pace.bytes);
        rc = storage_pg_run_page(st, &select_outbox, &rows, err);
        if (rc == 0)
            rc = put_all(st, rows, PUT_OUTBOX, err);
        n = rc == 0 ? pg_n_rows(rows) : 0;
        last = n > 0 ? pg_i64(rows, n - 1, 0) : 0;
        pg_rows_free(rows);
    }
    return rc;
}

/* To make room in a full database somebody may have deleted old entries, or all. */
static int check_start(struct storage_pg *st, struct err *err)
{
    struct storage_pg_state *c = &st->committed;
    const int64_t oldest = c->first != 0 ? c->first : c->last + 1;
    struct pg_rows *rows;
    int rc;

    st->term.is_cut = oldest > 1 && c->start < oldest;
    if (!st->term.is_cut)
        return 0;
    pg_args_clear(st->args);
    rc = storage_pg_run(st, &sum_bytes, &rows, err);
    if (rc == 0) {
        c->start = oldest;
        c->bytes = pg_i64(rows, 0, 0);
    }
    pg_rows_free(rows);
    return rc;
}

/* The oldest entry, and the newest row of the outbox, whose number is never used again. */
static int load_ends(struct storage_pg *st, struct err *err)
{
    struct pg_rows *rows;
    int rc;

    pg_args_clear(st->args);
    rc = storage_pg_run(st, &select_ends, &rows, err);
    if (rc != 0)
        return rc;
    st->committed.first = pg_i64(rows, 0, 0);
    rc = run_with(st, SET_LAST_ROW, pg_i64(rows, 0, 1), err);
    pg_rows_free(rows);
    if (rc == 0)
        rc = check_start(st, err);
    st->state = st->committed;
    return rc;
}

static int clear(struct storage_pg *st, struct err *err)
{
    int rc = 0;

    for (int i = CLEAR_OUTBOX_NOTES; i <= CLEAR_OVER && rc == 0; i++)
        rc = run(st, (enum statement)i, err);
    return rc;
}

static int load_tables(struct storage_pg *st, struct err *err)
{
    int rc = execute(st,
                     "DELETE FROM snapshots; DELETE FROM senders; DELETE FROM outbox; "
                     "DELETE FROM channels; DELETE FROM sqlite_sequence",
                     err);

    if (rc == 0)
        rc = load_ends(st, err);
    if (rc == 0)
        rc = load(st, &select_snapshots, PUT_SNAPSHOT, err);
    if (rc == 0)
        rc = load(st, &select_senders, PUT_SENDER, err);
    if (rc == 0)
        rc = load_outbox(st, err);
    if (rc == 0)
        rc = load(st, &select_channels, PUT_CHANNEL, err);
    return rc != 0 ? rc : clear(st, err);
}

int storage_pg_copy_load(struct storage_pg *st, struct err *err)
{
    int rc = run(st, BEGIN, err);

    if (rc == 0)
        rc = load_tables(st, err);
    if (rc == 0)
        return run(st, COMMIT, err);
    storage_pg_copy_rollback(st);
    return rc;
}

/* ---- Transactions ---- */

int storage_pg_copy_begin(struct storage_pg *st, struct err *err)
{
    return run(st, BEGIN, err);
}

int storage_pg_copy_commit(struct storage_pg *st, struct err *err)
{
    int rc = clear(st, err);

    return rc != 0 ? rc : run(st, COMMIT, err);
}

void storage_pg_copy_rollback(struct storage_pg *st)
{
    struct err err;

    if (!sqlite3_get_autocommit(st->tables.db))
        (void)run(st, ROLLBACK, &err);
}

int storage_pg_copy_drop_outbox(struct storage_pg *st, int64_t row, struct err *err)
{
    return run_with(st, DROP_OUTBOX, row, err);
}

int storage_pg_copy_drop_refused(struct storage_pg *st, int64_t row, struct err *err)
{
    return run_with(st, DROP_REFUSED, row, err);
}

/* ---- Gathering ---- */

union column {
    int64_t *numbers;
    const char **texts;
    struct wire_bytes *bytes;
};

static size_t count_rows(sqlite3_stmt *stmt)
{
    size_t n = 0;

    while (sqlite3_step(stmt) == SQLITE_ROW)
        n++;
    sqlite3_reset(stmt);
    return n;
}

static void *keep(struct arena *a, const void *bytes, size_t n)
{
    void *kept = arena_alloc(a, n + 1);

    if (kept != NULL && n > 0)
        memcpy(kept, bytes, n);
    if (kept != NULL)
        ((char *)kept)[n] = '\0';
    return kept;
}

/* PostgreSQL refuses texts that are not UTF-8. */
static const char *keep_text(struct arena *a, const char *text)
{
    size_t n = strlen(text);
    struct buf printable;
    const char *kept = NULL;

    if (text_is_utf8(text, n))
        return keep(a, text, n);
    buf_init(&printable, GATHER_BYTES_MAX);
    if (text_append_printable(&printable, text, n) == 0)
        kept = keep(a, printable.data, printable.len);
    buf_close(&printable);
    return kept;
}

static size_t size_of(char kind)
{
    return kind == 'i'   ? sizeof(int64_t)
           : kind == 't' ? sizeof(const char *)
                         : sizeof(struct wire_bytes);
}

/* Copies a value of the row that the statement stands on. */
static bool keep_value(struct arena *a, sqlite3_stmt *stmt, int at, char kind, union column *column,
                       size_t row)
{
    const char *text;
    size_t n;

    switch (kind) {
    case 'i':
        column->numbers[row] = sqlite3_column_int64(stmt, at);
        return true;
    case 't':
        text = (const char *)sqlite3_column_text(stmt, at);
        column->texts[row] = text == NULL ? NULL : keep_text(a, text);
        return column->texts[row] != NULL;
    default:
        text = sqlite3_column_blob(stmt, at);
        n = (size_t)sqlite3_column_bytes(stmt, at);
        column->bytes[row] = (struct wire_bytes){keep(a, text, n), n};
        return column->bytes[row].data != NULL;
    }
}

static void put(struct pg_args *args, char kind, const union column *column, size_t n)
{
    if (kind == 'i')
        pg_put_i64s(args, column->numbers, n);
    else if (kind == 't')
        pg_put_texts(args, column->texts, n);
    else
        pg_put_bytess(args, column->bytes, n);
}

/* Adds each column of a statement's rows as an array. */
static int gather(struct storage_pg *st, enum statement which, struct err *err)
{
    union column columns[16];
    sqlite3_stmt *stmt = st->copy[which];
    const char *kind = kinds[which];
    size_t n = count_rows(stmt);
    bool ok = true;

    for (int c = 0; kind[c] != '\0' && ok; c++) {
        columns[c].numbers = arena_alloc(&st->arena, (n + 1) * size_of(kind[c]));
        ok = columns[c].numbers != NULL;
    }
    for (size_t row = 0; row < n && ok; row++) {
        ok = sqlite3_step(stmt) == SQLITE_ROW;
        for (int c = 0; kind[c] != '\0' && ok; c++)
            ok = keep_value(&st->arena, stmt, c, kind[c], &columns[c], row);
    }
    sqlite3_reset(stmt);
    for (int c = 0; kind[c] != '\0' && ok; c++)
        put(st->args, kind[c], &columns[c], n);
    return ok ? 0 : no_memory(err);
}

int storage_pg_copy_gather(struct storage_pg *st, struct err *err)
{
    int rc = 0;

    for (int i = CHANGED_SENDERS; i < STATEMENTS && rc == 0; i++)
        rc = gather(st, (enum statement)i, err);
    return rc;
}
