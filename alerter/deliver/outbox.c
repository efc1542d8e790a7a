#include "alerter/deliver/outbox_impl.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
    ALERT_MAX = WIRE_MESSAGE_MAX,
    LIST_ROWS = 256, /* in one short transaction */
};

const char outbox_tables[] =
    "CREATE TABLE outbox ("
    " row INTEGER PRIMARY KEY AUTOINCREMENT, channel TEXT NOT NULL, state INTEGER NOT NULL,"
    " alert BLOB NOT NULL, decided_us INTEGER NOT NULL, tries INTEGER NOT NULL,"
    " last_try_us INTEGER NOT NULL, retry_after_us INTEGER NOT NULL, next_try_us INTEGER NOT NULL,"
    " ended_us INTEGER NOT NULL, last_answer TEXT NOT NULL);"
    "CREATE INDEX outbox_waiting ON outbox (channel, row) WHERE state = 0;"
    "CREATE INDEX outbox_pending ON outbox (decided_us) WHERE state < 2;"
    "CREATE INDEX outbox_over ON outbox (decided_us) WHERE state >= 2;"
    "CREATE TABLE channels (channel TEXT PRIMARY KEY, last_try_us INTEGER NOT NULL) WITHOUT ROWID;";

/* One order of columns for all that read a whole row. */
#define COLUMNS                                                                                    \
    "SELECT row, state, outbox.channel, alert, decided_us, tries, outbox.last_try_us,"             \
    " retry_after_us, next_try_us, ended_us, last_answer, channels.last_try_us"                    \
    " FROM outbox LEFT JOIN channels ON channels.channel = outbox.channel "

enum column {
    COLUMN_ROW,
    COLUMN_STATE,
    COLUMN_CHANNEL,
    COLUMN_ALERT,
    COLUMN_DECIDED,
    COLUMN_TRIES,
    COLUMN_LAST_TRY,
    COLUMN_RETRY_AFTER,
    COLUMN_NEXT_TRY,
    COLUMN_ENDED,
    COLUMN_ANSWER,
    COLUMN_CHANNEL_LAST,
};

static const char *const sql[OUTBOX_STMTS] = {
    [OUTBOX_STMT_PUT] =
        "INSERT INTO outbox (channel, state, alert, decided_us, tries, last_try_us, "
        "retry_after_us, next_try_us, ended_us, last_answer) "
        "VALUES (?1, 0, ?2, ?3, 0, 0, 0, 0, 0, '')",
    /* From channel to channel by the index, however much waits in each. */
    [OUTBOX_STMT_NEXT_CHANNEL] = "SELECT channel, row, next_try_us FROM outbox WHERE state = 0 AND "
                                 "channel > ?1 ORDER BY channel, row LIMIT 1",
    [OUTBOX_STMT_OLDEST] = "SELECT min(decided_us) FROM outbox WHERE state < 2",
    [OUTBOX_STMT_LOAD] = COLUMNS "WHERE row = ?1",
    [OUTBOX_STMT_LIST] = COLUMNS "WHERE row > ?1 ORDER BY row",
    [OUTBOX_STMT_EXPIRABLE] =
        COLUMNS "WHERE state < 2 AND decided_us <= ?1 ORDER BY decided_us LIMIT ?2",
    [OUTBOX_STMT_MARK] = "UPDATE outbox SET state = ?2, tries = tries + 1, last_try_us = ?3, "
                         "retry_after_us = ?4, next_try_us = ?5, ended_us = ?6, last_answer = ?7 "
                         "WHERE row = ?1",
    /* Being given up is no try, and why the last one failed is worth keeping. */
    [OUTBOX_STMT_MARK_EXPIRED] = "UPDATE outbox SET state = ?2, next_try_us = 0, ended_us = ?3, "
                                 "last_answer = coalesce(nullif(?4, ''), last_answer) "
                                 "WHERE row = ?1",
    [OUTBOX_STMT_MARK_CHANNEL] =
        "INSERT INTO channels (channel, last_try_us) "
        "SELECT channel, ?2 FROM outbox WHERE row = ?1 "
        "ON CONFLICT (channel) DO UPDATE SET last_try_us = excluded.last_try_us",
    [OUTBOX_STMT_UNPARK] =
        "UPDATE outbox SET state = 0, tries = 0, retry_after_us = 0, next_try_us = 0 "
        "WHERE state < 2 AND state = 1",
    [OUTBOX_STMT_TRIM] = "DELETE FROM outbox WHERE row IN (SELECT row FROM outbox "
                         "WHERE state >= 2 AND decided_us < ?1 ORDER BY decided_us LIMIT ?2)",
};

int outbox_open(struct journal *j, struct outbox **out, struct err *err)
{
    struct outbox *o = calloc(1, sizeof *o);
    int rc = 0;

    *out = NULL;
    if (o == NULL || (o->wire = wire_new()) == NULL) {
        free(o);
        return err_set(err, ERR_NOMEM, "no memory for the outbox");
    }
    o->journal = j;
    o->stale = true;
    buf_init(&o->packed, ALERT_MAX);
    for (int i = 0; i < OUTBOX_STMTS && rc == 0; i++)
        rc = journal_prepare(j, sql[i], &o->stmts[i], err);
    if (rc != 0)
        outbox_close(o);
    else
        *out = o;
    return rc;
}

static void clear_heads(struct outbox *o)
{
    while (o->n_heads > 0)
        free(o->heads[--o->n_heads].channel);
}

void outbox_close(struct outbox *o)
{
    if (o == NULL)
        return;
    for (int i = 0; i < OUTBOX_STMTS; i++)
        sqlite3_finalize(o->stmts[i]);
    wire_free(o->wire);
    buf_close(&o->packed);
    clear_heads(o);
    free(o->heads);
    free(o->hand);
    free(o);
}

/* Takes over the channel, which may be NULL: there was no memory for it. */
static int add_head(struct outbox *o, struct outbox_head head, struct err *err)
{
    void *heads = o->heads;
    int rc = head.channel == NULL
                 ? err_set(err, ERR_NOMEM, "no memory for the outbox")
                 : outbox_make_room(&heads, o->n_heads, &o->heads_cap, sizeof head, err);

    o->heads = heads;
    if (rc == 0)
        o->heads[o->n_heads++] = head;
    else
        free(head.channel);
    return rc;
}

/* What refresh would find after this row was put, without asking: an alert waits for it. */
static void note_put(struct outbox *o, int64_t row, const char *channel, int64_t decided_us)
{
    size_t i = 0;

    if (o->stale)
        return;
    while (i < o->n_heads && strcmp(o->heads[i].channel, channel) != 0)
        i++;
    if (i == o->n_heads)
        o->stale = add_head(o, (struct outbox_head){.row = row, .channel = strdup(channel)},
                            &(struct err){0}) != 0;
    if (decided_us < o->oldest_us)
        o->oldest_us = decided_us;
}

int outbox_put(struct outbox *o, const struct wire_alert *alert, int64_t *row, struct err *err)
{
    sqlite3_stmt *stmt = o->stmts[OUTBOX_STMT_PUT];
    int64_t put;
    int rc;

    assert(alert->channel[0] != '\0');
    buf_clear(&o->packed);
    rc = wire_pack_alert(alert, &o->packed);
    if (rc != 0)
        return err_set(err, rc, "alert %s: cannot be packed: %s", alert->id,
                       rc == ERR_FULL ? "it is too large" : "out of memory");
    sqlite3_bind_text(stmt, 1, alert->channel, -1, SQLITE_STATIC);
    sqlite3_bind_blob64(stmt, 2, o->packed.data, o->packed.len, SQLITE_STATIC);
    sqlite3_bind_int64(stmt, 3, alert->at_us);
    rc = journal_run(o->journal, stmt, "cannot keep an alert", err);
    if (rc != 0)
        return rc;
    put = sqlite3_last_insert_rowid(journal_db(o->journal));
    note_put(o, put, alert->channel, alert->at_us);
    if (row != NULL)
        *row = put;
    return 0;
}

/* ---- What waits -------------------------------------------------------------------------------
 */

static int compare_heads(const void *left, const void *right)
{
    const struct outbox_head *a = left, *b = right;

    return (a->row > b->row) - (a->row < b->row);
}

/* From channel to channel by the index, since each head's own channel leads to the next; then the
 * oldest first, as note_put adds them. */
static int read_heads(struct outbox *o, struct err *err)
{
    sqlite3_stmt *stmt = o->stmts[OUTBOX_STMT_NEXT_CHANNEL];
    int rc = 1;

    clear_heads(o);
    while (rc == 1) {
        const char *last = o->n_heads > 0 ? o->heads[o->n_heads - 1].channel : "";

        sqlite3_bind_text(stmt, 1, last, -1, SQLITE_STATIC);
        rc = journal_step(o->journal, stmt, "cannot read the outbox", err);
        if (rc == 1) {
            const unsigned char *channel = sqlite3_column_text(stmt, 0);
            struct outbox_head head = {
                .row = sqlite3_column_int64(stmt, 1),
                .next_us = sqlite3_column_int64(stmt, 2),
                .channel = channel != NULL ? strdup((const char *)channel) : NULL,
            };
            int added = add_head(o, head, err);

            sqlite3_reset(stmt);
            rc = added != 0 ? added : 1;
        }
    }
    if (o->n_heads > 1)
        qsort(o->heads, o->n_heads, sizeof *o->heads, compare_heads);
    return rc;
}

static int refresh(struct outbox *o, struct err *err)
{
    sqlite3_stmt *stmt = o->stmts[OUTBOX_STMT_OLDEST];
    int rc;

    if (!o->stale)
        return 0;
    rc = read_heads(o, err);
    if (rc == 0)
        rc = journal_step(o->journal, stmt, "cannot read the outbox", err);
    if (rc < 0)
        return rc;
    o->oldest_us = INT64_MAX;
    if (rc == 1 && sqlite3_column_type(stmt, 0) != SQLITE_NULL)
        o->oldest_us = sqlite3_column_int64(stmt, 0);
    sqlite3_reset(stmt);
    o->stale = false;
    return 0;
}

static const char *text_at(sqlite3_stmt *stmt, enum column column)
{
    const unsigned char *text = sqlite3_column_text(stmt, (int)column);

    return text != NULL ? (const char *)text : "";
}

/* The row that a statement of COLUMNS stands on. */
static int message_in(struct outbox *o, sqlite3_stmt *stmt, struct outbox_message *m,
                      struct err *err)
{
    static const struct wire_alert empty = {.kind = "",
                                            .rule = "",
                                            .app = "",
                                            .title = "",
                                            .runbook = "",
                                            .channel = "",
                                            .source = "",
                                            .process = ""};
    int rc;

    *m = (struct outbox_message){
        .row = sqlite3_column_int64(stmt, COLUMN_ROW),
        .state = (enum outbox_state)sqlite3_column_int(stmt, COLUMN_STATE),
        .next_try_us = sqlite3_column_int64(stmt, COLUMN_NEXT_TRY),
        .ended_us = sqlite3_column_int64(stmt, COLUMN_ENDED),
        .channel = text_at(stmt, COLUMN_CHANNEL),
        .last_answer = text_at(stmt, COLUMN_ANSWER),
        .facts = {.decided_us = sqlite3_column_int64(stmt, COLUMN_DECIDED),
                  .tries = sqlite3_column_int(stmt, COLUMN_TRIES),
                  .last_try_us = sqlite3_column_int64(stmt, COLUMN_LAST_TRY),
                  .retry_after_us = sqlite3_column_int64(stmt, COLUMN_RETRY_AFTER),
                  .channel_last_us = sqlite3_column_int64(stmt, COLUMN_CHANNEL_LAST)},
    };
    rc = wire_unpack_alert(o->wire, sqlite3_column_blob(stmt, COLUMN_ALERT),
                           (size_t)sqlite3_column_bytes(stmt, COLUMN_ALERT), &m->alert, err);
    m->readable = rc == 0;
    if (rc != 0)
        m->alert = empty;
    m->facts.id = m->alert.id;
    return rc == ERR_NOMEM ? rc : 0;
}

static int hand_out(struct outbox *o, int64_t row, outbox_fn *fn, void *ctx, struct err *err)
{
    sqlite3_stmt *stmt = o->stmts[OUTBOX_STMT_LOAD];
    struct outbox_message m;
    int rc;

    sqlite3_bind_int64(stmt, 1, row);
    rc = journal_step(o->journal, stmt, "cannot read the outbox", err);
    if (rc != 1)
        return rc;
    rc = message_in(o, stmt, &m, err);
    if (rc == 0)
        rc = fn(ctx, &m);
    sqlite3_reset(stmt);
    return rc;
}

int outbox_due(struct outbox *o, int64_t now_us, outbox_fn *fn, void *ctx, struct err *err)
{
    int rc;

    assert(!journal_in_transaction(o->journal));
    rc = refresh(o, err);
    for (size_t i = 0; i < o->n_heads && rc == 0; i++)
        if (o->heads[i].next_us <= now_us && outbox_find_in_hand(o, o->heads[i].row) == NULL)
            rc = hand_out(o, o->heads[i].row, fn, ctx, err);
    return rc;
}

int outbox_next_due(struct outbox *o, int64_t *due_us, struct err *err)
{
    int rc = refresh(o, err);

    *due_us = INT64_MAX;
    for (size_t i = 0; i < o->n_heads && rc == 0; i++)
        if (o->heads[i].next_us < *due_us && outbox_find_in_hand(o, o->heads[i].row) == NULL)
            *due_us = o->heads[i].next_us;
    return rc;
}

void outbox_defer(struct outbox *o, int64_t row, int64_t until_us)
{
    for (size_t i = 0; i < o->n_heads; i++)
        if (o->heads[i].row == row)
            o->heads[i].next_us = until_us;
}

/* ---- Many rows --------------------------------------------------------------------------------
 */

/* Marks a row as expired unless somebody has it in hand. */
static int expire_one(struct outbox *o, const struct outbox_message *m, int64_t now_us,
                      outbox_fn *fn, void *ctx, struct err *err)
{
    struct outbox_mark mark = {.state = OUTBOX_EXPIRED, .now_us = now_us, .answer = ""};
    int rc;

    if (outbox_find_in_hand(o, m->row) != NULL)
        return 0;
    rc = outbox_mark(o, m->row, &mark, err);
    return rc != 0 ? rc : fn(ctx, m);
}

int outbox_expire(struct outbox *o, int64_t before_us, int64_t now_us, outbox_fn *fn, void *ctx,
                  struct err *err)
{
    sqlite3_stmt *stmt = o->stmts[OUTBOX_STMT_EXPIRABLE];
    struct outbox_message m;
    int rc = refresh(o, err);

    if (rc != 0 || o->oldest_us > before_us)
        return rc;
    sqlite3_bind_int64(stmt, 1, before_us);
    sqlite3_bind_int64(stmt, 2, OUTBOX_EXPIRE_ROWS);
    while ((rc = journal_step(o->journal, stmt, "cannot read the outbox", err)) == 1) {
        rc = message_in(o, stmt, &m, err);
        if (rc == 0)
            rc = expire_one(o, &m, now_us, fn, ctx, err);
        if (rc != 0)
            break;
    }
    sqlite3_reset(stmt);
    return rc;
}

int outbox_unpark(struct outbox *o, size_t *n, struct err *err)
{
    int rc = journal_run(o->journal, o->stmts[OUTBOX_STMT_UNPARK], "cannot unpark alerts", err);

    o->stale = true;
    *n = rc == 0 ? (size_t)sqlite3_changes(journal_db(o->journal)) : 0;
    return rc;
}

/* One short transaction's worth; *last moves on, and *more is false once there was nothing left. */
static int list_some(struct outbox *o, int64_t *last, bool *more, outbox_fn *fn, void *ctx,
                     struct err *err)
{
    sqlite3_stmt *stmt = o->stmts[OUTBOX_STMT_LIST];
    struct outbox_message m;
    int rc = 0;

    sqlite3_bind_int64(stmt, 1, *last);
    for (int i = 0; i < LIST_ROWS && rc == 0; i++) {
        rc = journal_step(o->journal, stmt, "cannot read the outbox", err);
        *more = rc == 1;
        if (rc != 1)
            return rc;
        rc = message_in(o, stmt, &m, err);
        *last = m.row;
        if (rc == 0)
            rc = fn(ctx, &m);
    }
    sqlite3_reset(stmt);
    return rc;
}

int outbox_list(struct outbox *o, outbox_fn *fn, void *ctx, struct err *err)
{
    int64_t last = 0;
    bool more = true;
    int rc = 0;

    while (more && rc == 0)
        rc = list_some(o, &last, &more, fn, ctx, err);
    return rc;
}

int outbox_trim(struct outbox *o, int64_t before_us, int n, int *trimmed, struct err *err)
{
    int rc;

    sqlite3_bind_int64(o->stmts[OUTBOX_STMT_TRIM], 1, before_us);
    sqlite3_bind_int(o->stmts[OUTBOX_STMT_TRIM], 2, n);
    rc = journal_run(o->journal, o->stmts[OUTBOX_STMT_TRIM], "cannot trim the outbox", err);
    *trimmed = rc == 0 ? sqlite3_changes(journal_db(o->journal)) : 0;
    return rc;
}
