/* How the event stream gets shorter at its old end.
 *
 * Where the stream begins is a stored position. To trim is to move it to a later snapshot, in one
 * small transaction, and then to delete what lies before it, a few hundred records a turn. */
#include "alerter/stream/store_impl.h"

#include <assert.h>

enum {
    FREE_ROOM_RECORDS = 2000,
    FREE_ROOM_BYTES = 8 << 20, /* what store_free_room frees in one call, if there is so much */
    /* This part of max_bytes must lie behind a snapshot before another one is asked for. */
    SNAPSHOT_SHARE = 8,
};

#define UNKNOWN_SIZE INT64_MAX

static int read_next(struct store *s, struct err *err)
{
    sqlite3_stmt *stmt = s->stmts[STORE_STMT_NEXT_SNAPSHOT];
    struct store_history *h = &s->history;
    int rc;

    sqlite3_bind_int64(stmt, 1, h->start);
    rc = journal_step(s->journal, stmt, "cannot find a snapshot", err);
    h->next = rc == 1 ? sqlite3_column_int64(stmt, 0) : 0;
    h->next_us = rc == 1 ? sqlite3_column_int64(stmt, 1) : 0;
    sqlite3_reset(stmt);
    return rc < 0 ? rc : 0;
}

static int read_start_time(struct store *s, struct err *err)
{
    sqlite3_stmt *stmt = s->stmts[STORE_STMT_SNAPSHOT_TIME];
    int rc;

    sqlite3_bind_int64(stmt, 1, s->history.start);
    rc = journal_step(s->journal, stmt, "cannot find a snapshot", err);
    s->history.start_us = rc == 1 ? sqlite3_column_int64(stmt, 0) : 0;
    sqlite3_reset(stmt);
    return rc < 0 ? rc : 0;
}

int store_history_open(struct store *s, struct err *err)
{
    struct store_history *h = &s->history;
    bool found;
    int rc;

    *h = (struct store_history){.over = true, .since_snapshot = UNKNOWN_SIZE};
    rc = journal_get(s->journal, "store.start", &h->start, sizeof h->start, &found, err);
    if (rc == 0)
        rc = read_start_time(s, err);
    if (rc == 0)
        rc = read_next(s, err);
    s->committed = *h;
    return rc;
}

void store_history_appended(struct store *s, enum wire_input input, int64_t position,
                            int64_t step_us, size_t n)
{
    struct store_history *h = &s->history;

    if (input != WIRE_INPUT_SNAPSHOT) {
        if (h->since_snapshot < UNKNOWN_SIZE)
            h->since_snapshot += (int64_t)n;
        return;
    }
    h->since_snapshot = 0;
    if (h->next != 0)
        return;
    h->next = position;
    h->next_us = step_us;
}

/* From now on the stream begins with this snapshot. */
static int move_start(struct store *s, int64_t position, struct err *err)
{
    struct store_history *h = &s->history;
    int rc = journal_put(s->journal, "store.start", &position, sizeof position, err);

    h->start = position;
    h->over = true;
    if (rc == 0)
        rc = read_start_time(s, err);
    if (rc == 0)
        rc = read_next(s, err);
    sqlite3_bind_int64(s->stmts[STORE_STMT_TRIM_SNAPSHOTS], 1, position);
    if (rc == 0)
        rc = journal_run(s->journal, s->stmts[STORE_STMT_TRIM_SNAPSHOTS], "cannot trim snapshots",
                         err);
    return rc;
}

/* Records that lie before the start. */
static bool is_lagging(const struct store *s)
{
    int64_t first = journal_first(s->journal);

    return first != 0 && first < s->history.start;
}

static int trim_records(struct store *s, int n, struct err *err)
{
    int64_t to = journal_first(s->journal) + n - 1;

    return journal_trim(s->journal, to < s->history.start ? to : s->history.start - 1, err);
}

/* Rows that went with the history: messages that are over, and refused records. */
static int trim_rows(struct store *s, int64_t before_us, int n, struct err *err)
{
    sqlite3_stmt *stmt = s->stmts[STORE_STMT_TRIM_REFUSED];
    int messages = 0, rc = outbox_trim(s->outbox, before_us, n, &messages, err);

    sqlite3_bind_int64(stmt, 1, before_us);
    sqlite3_bind_int(stmt, 2, n);
    if (rc == 0)
        rc = journal_run(s->journal, stmt, "cannot forget refused records", err);
    if (rc == 0 && messages < n && sqlite3_changes(journal_db(s->journal)) < n)
        s->history.over = false;
    return rc;
}

static bool is_too_large(const struct store *s, int64_t max_bytes)
{
    return store_bytes(s) > max_bytes;
}

/* Too large with nothing to trim; but one snapshot after the other would not make it smaller. */
static bool wants_snapshot(const struct store *s, int64_t max_bytes)
{
    return s->history.next == 0 && is_too_large(s, max_bytes) &&
           s->history.since_snapshot > max_bytes / SNAPSHOT_SHARE;
}

static bool is_next_due(const struct store *s, int64_t now_us, int64_t keep_us, int64_t max_bytes)
{
    const struct store_history *h = &s->history;

    return h->next != 0 && (h->next_us <= now_us - keep_us || is_too_large(s, max_bytes));
}

bool store_history_due(const struct store *s, int64_t now_us, int64_t keep_us, int64_t max_bytes)
{
    return is_lagging(s) || s->history.over || is_next_due(s, now_us, keep_us, max_bytes) ||
           wants_snapshot(s, max_bytes);
}

/* For its age the stream begins with the newest snapshot that is old enough; for its size it goes
 * on to the next one, as often as needed. */
static int advance(struct store *s, int64_t now_us, int64_t keep_us, struct err *err)
{
    int64_t to = 0;
    int rc = store_snapshot(s, now_us - keep_us, INT64_MAX, &to, err);

    if (rc != 0)
        return rc;
    return move_start(s, to > s->history.start ? to : s->history.next, err);
}

int store_history(struct store *s, int64_t now_us, int64_t keep_us, int64_t max_bytes,
                  enum store_next *next, struct err *err)
{
    int rc = 0;

    assert(journal_in_transaction(s->journal));
    /* What was trimmed frees room only once it is gone; so no further step before that. */
    if (is_lagging(s))
        rc = trim_records(s, STORE_STEP_RECORDS, err);
    else if (is_next_due(s, now_us, keep_us, max_bytes))
        rc = advance(s, now_us, keep_us, err);
    else if (s->history.over)
        rc = trim_rows(s, s->history.start_us, STORE_STEP_RECORDS, err);
    else if (wants_snapshot(s, max_bytes)) {
        *next = STORE_SNAPSHOT;
        return 0;
    }
    *next = store_history_due(s, now_us, keep_us, max_bytes) ? STORE_MORE : STORE_DONE;
    return rc;
}

/* One step of store_free_room; *left is false where there was nothing to do. */
static int free_some(struct store *s, bool *left, struct err *err)
{
    *left = true;
    if (is_lagging(s))
        return trim_records(s, FREE_ROOM_RECORDS, err);
    if (s->history.next != 0)
        return move_start(s, s->history.next, err);
    *left = s->history.over;
    return trim_rows(s, s->history.start_us, FREE_ROOM_RECORDS, err);
}

int store_free_room(struct store *s, struct err *err)
{
    int64_t before = store_bytes(s);
    bool left = true;
    int rc = 0;

    while (rc == 0 && left && before - store_bytes(s) < FREE_ROOM_BYTES) {
        rc = store_begin(s, err);
        if (rc != 0)
            return rc;
        rc = free_some(s, &left, err);
        if (rc == 0)
            rc = store_commit(s, err);
        else
            store_rollback(s);
    }
    if (rc == 0 && store_bytes(s) >= before)
        rc = err_set(err, ERR_FULL,
                     "the disk is full, and there is no history left to forget "
                     "(free some space on it)");
    return rc;
}
