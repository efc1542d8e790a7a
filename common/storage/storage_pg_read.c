/* Reads the stream, all alerts, and the facts for `status` from PostgreSQL, in short statements.
 * Called by storage.c through the table in storage_pg.c, also beside the active alerter. */
#include "common/storage/storage_pg.h"

#include <string.h>

enum {
    LIST_ROWS = 256,   /* of the outbox, in one statement */
    REFUSED_ROWS = 16, /* likewise; one can have 2 MiB */
};

/* A row that is larger than a page is read in pieces. */
static const struct pg_statement select_page = {
    "page", STORAGE_PG_FITTING("position, n, snapshot, substr(body, 1, $2::int), size",
                               "SELECT position, n, snapshot, body FROM stream "
                               "WHERE position>=$1 ORDER BY position LIMIT 1000",
                               "position", "octet_length(body)", "$2")};
static const struct pg_statement select_piece = {
    "piece", "SELECT substr(body, $2::int, $3::int) FROM stream WHERE position=$1"};
static const struct pg_statement select_part = {
    "part_piece", "SELECT substr(body, $3::int, $4::int), octet_length(body) FROM part "
                  "WHERE position=$1 AND part=$2"};
static const struct pg_statement select_rows = {
    "list",
    STORAGE_PG_FITTING("row, state, w.channel, alert, decided_us, tries, last_try_us, "
                       "retry_after_us, next_try_us, ended_us, last_answer, (SELECT last_try_us "
                       "FROM channels c WHERE c.channel=w.channel), app, rule, turn, place",
                       "SELECT * FROM outbox WHERE row>$1 ORDER BY row LIMIT $2", "row",
                       "octet_length(alert)", "$3")};
static const struct pg_statement select_refused = {
    "list_refused", STORAGE_PG_FITTING("row, sender, sequence, bytes, reason, at_us",
                                       "SELECT * FROM refused WHERE row>$1 ORDER BY row LIMIT $2",
                                       "row", "octet_length(bytes)", "$3")};
static const struct pg_statement select_alerters = {
    "alerters",
    "SELECT a.name, a.build, l.held AND l.holder=a.name, l.held AND l.holder=a.name AND l.pid<>0 "
    "AND "
    "NOT EXISTS (SELECT FROM pg_stat_get_activity(l.pid) s WHERE s.backend_start=l.backend_start "
    "OR s.backend_start IS NULL), "
    "(extract(epoch FROM clock_timestamp()-l.since)*1000000)::bigint, "
    "(extract(epoch FROM clock_timestamp()-a.seen)*1000000)::bigint, "
    "greatest(l.last-a.position, 0) FROM alerters a CROSS JOIN lease l ORDER BY a.name"};
static const struct pg_statement select_ingests = {
    "ingests", "SELECT name, build, (extract(epoch FROM clock_timestamp()-seen)*1000000)::bigint, "
               "waiting, goodbye FROM ingests ORDER BY name"};
static const struct pg_statement select_sizes = {
    "sizes",
    "SELECT l.bytes, i.n, i.size, i.rest, (SELECT sum(pg_total_relation_size(c.oid))::bigint "
    "FROM pg_class c WHERE c.relkind='r' AND "
    "c.relnamespace=current_schema()::regnamespace) FROM lease l CROSS JOIN (SELECT "
    "count(*) AS n, sum(octet_length(body)) AS size, count(*) FILTER (WHERE "
    "NOT EXISTS (SELECT FROM senders s WHERE s.sender=b.sender AND s.taken>=b.last)) AS rest "
    "FROM inbox b) i"};

/* ---- The stream ---- */

struct walk {
    struct storage_pg *st;
    int64_t from; /* position of the next entry */
    storage_bytes_fn *fn;
    void *ctx;
    struct err *err;
};

/* Reads a length, and moves *at to the byte after it. Returns false if the bytes end within it. */
static bool read_length(struct wire_bytes body, size_t *at, size_t *length)
{
    unsigned shift = 0;

    *length = 0;
    for (size_t i = 0; i < STORAGE_PG_LENGTH_MAX && *at < body.len; i++, shift += 7) {
        uint8_t byte = body.data[(*at)++];

        *length |= (size_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            return true;
    }
    return false;
}

static int damaged(const struct walk *w, int64_t position)
{
    return err_set(w->err, ERR_DAMAGED, "entry %lld of the event stream: is cut short (%s)",
                   (long long)position, w->st->tables.storage.ops->mend);
}

static int hand_over(struct walk *w, const void *bytes, size_t n)
{
    int64_t position = w->from++;

    if (position > w->st->read_to)
        w->st->read_to = position;
    return w->fn(w->ctx, position, bytes, n);
}

/* The entries of a row from w->from on. */
static int read_entries(struct walk *w, int64_t position, int64_t n, struct wire_bytes body)
{
    int64_t first = position - n + 1;
    size_t at = 0, length;
    int rc = 0;

    if (first > w->from)
        w->from = first; /* older ones were trimmed; the caller compares positions */
    for (int64_t i = first; i <= position && rc == 0; i++, at += length) {
        if (!read_length(body, &at, &length) || length > body.len - at)
            return damaged(w, i);
        if (i == w->from)
            rc = hand_over(w, body.data + at, length);
    }
    return rc;
}

static int trimmed(const struct walk *w)
{
    return err_set(w->err, ERR_BUSY, "the history was trimmed while it was read (try again)");
}

static int append(const struct walk *w, struct buf *out, struct wire_bytes bytes)
{
    return buf_append(out, bytes.data, bytes.len) == 0
               ? 0
               : err_set(w->err, ERR_NOMEM, "no memory for the history");
}

/* Appends the next piece of a snapshot, from byte *at of a part on. */
static int read_part(struct walk *w, int64_t position, int64_t *part, int64_t *at, struct buf *out)
{
    struct pg_rows *rows;
    int rc;

    pg_args_clear(w->st->args);
    pg_put_i64(w->st->args, position);
    pg_put_i64(w->st->args, *part);
    pg_put_i64(w->st->args, *at + 1);
    pg_put_i64(w->st->args, w->st->pace.bytes);
    rc = storage_pg_run_page(w->st, &select_part, &rows, w->err);
    if (rc == 0)
        rc = pg_n_rows(rows) == 1 ? append(w, out, pg_bytes(rows, 0, 0)) : trimmed(w);
    if (rc == 0)
        *at += (int64_t)pg_bytes(rows, 0, 0).len;
    if (rc == 0 && *at >= pg_i64(rows, 0, 1)) {
        *at = 0;
        ++*part;
    }
    pg_rows_free(rows);
    return rc;
}

/* Its row tells how many bytes it has; fewer are there only if it was trimmed meanwhile. */
static int read_snapshot(struct walk *w, int64_t position, struct wire_bytes body)
{
    int64_t part = 0, part_at = 0;
    size_t at = 0, length;
    struct buf snapshot;
    int rc = 0;

    if (!read_length(body, &at, &length))
        return damaged(w, position);
    buf_init(&snapshot, WIRE_ENTRY_MAX);
    while (rc == 0 && snapshot.len < length)
        rc = read_part(w, position, &part, &part_at, &snapshot);
    w->from = position;
    if (rc == 0)
        rc = hand_over(w, snapshot.data, length);
    buf_close(&snapshot);
    return rc;
}

/* Appends the next piece of a row. */
static int read_piece(struct walk *w, int64_t position, struct buf *out)
{
    struct pg_rows *rows;
    int rc;

    pg_args_clear(w->st->args);
    pg_put_i64(w->st->args, position);
    pg_put_i64(w->st->args, (int64_t)out->len + 1);
    pg_put_i64(w->st->args, w->st->pace.bytes);
    rc = storage_pg_run_page(w->st, &select_piece, &rows, w->err);
    if (rc == 0)
        rc = pg_n_rows(rows) == 1 && pg_bytes(rows, 0, 0).len > 0
                 ? append(w, out, pg_bytes(rows, 0, 0))
                 : trimmed(w);
    pg_rows_free(rows);
    return rc;
}

/* A row of which the page holds only the beginning. */
static int read_large(struct walk *w, int64_t position, int64_t n, struct wire_bytes begin,
                      size_t length)
{
    struct buf body;
    int rc;

    buf_init(&body, WIRE_ENTRY_MAX);
    rc = append(w, &body, begin);
    while (rc == 0 && body.len < length)
        rc = read_piece(w, position, &body);
    if (rc == 0)
        rc = read_entries(w, position, n, (struct wire_bytes){body.data, body.len});
    buf_close(&body);
    return rc;
}

static int read_row(struct walk *w, const struct pg_rows *rows, size_t i)
{
    const int64_t position = pg_i64(rows, i, 0), n = pg_i64(rows, i, 1);
    const struct wire_bytes body = pg_bytes(rows, i, 3);
    const size_t length = (size_t)pg_i64(rows, i, 4);

    if (pg_bool(rows, i, 2))
        return read_snapshot(w, position, body);
    return body.len < length ? read_large(w, position, n, body, length)
                             : read_entries(w, position, n, body);
}

/* *more: there may be another page. */
static int read_page(struct walk *w, bool *more)
{
    struct pg_rows *rows;
    int rc;

    pg_args_clear(w->st->args);
    pg_put_i64(w->st->args, w->from);
    pg_put_i64(w->st->args, w->st->pace.bytes);
    rc = storage_pg_run_page(w->st, &select_page, &rows, w->err);
    *more = rc == 0 && pg_n_rows(rows) > 0;
    for (size_t i = 0; *more && i < pg_n_rows(rows) && rc == 0; i++)
        rc = read_row(w, rows, i);
    pg_rows_free(rows);
    return rc;
}

int storage_pg_read(struct storage *s, int64_t from, storage_bytes_fn *fn, void *ctx,
                    struct err *err)
{
    struct walk w = {.st = storage_pg_of(s), .from = from, .fn = fn, .ctx = ctx, .err = err};
    bool more = true;
    int rc = 0;

    while (more && rc == 0)
        rc = read_page(&w, &more);
    return rc;
}

/* ---- Lists ---- */

static struct storage_outbox_row row_at(const struct pg_rows *rows, size_t i)
{
    return (struct storage_outbox_row){
        .row = pg_i64(rows, i, 0),
        .state = (enum outbox_state)pg_i64(rows, i, 1),
        .channel = pg_text(rows, i, 2),
        .alert = pg_bytes(rows, i, 3),
        .decided_us = pg_i64(rows, i, 4),
        .tries = (int)pg_i64(rows, i, 5),
        .last_try_us = pg_i64(rows, i, 6),
        .retry_after_us = pg_i64(rows, i, 7),
        .next_try_us = pg_i64(rows, i, 8),
        .ended_us = pg_i64(rows, i, 9),
        .last_answer = pg_text(rows, i, 10),
        .channel_last_us = pg_i64(rows, i, 11),
        .app = pg_text(rows, i, 12),
        .rule = pg_text(rows, i, 13),
        .turn = pg_i64(rows, i, 14),
        .place = pg_i64(rows, i, 15),
    };
}

/* Runs a statement "behind $1, at most $2 rows and $3 bytes". */
static int next_rows(struct storage_pg *st, const struct pg_statement *statement, int64_t last,
                     int n, struct pg_rows **rows, struct err *err)
{
    pg_args_clear(st->args);
    pg_put_i64(st->args, last);
    pg_put_i64(st->args, n);
    pg_put_i64(st->args, st->pace.bytes);
    return storage_pg_run_page(st, statement, rows, err);
}

int storage_pg_outbox_list(struct storage *s, storage_outbox_fn *fn, void *ctx, struct err *err)
{
    int64_t last = 0;
    size_t n = 1;
    int rc = 0;

    while (rc == 0 && n > 0) {
        struct pg_rows *rows;

        rc = next_rows(storage_pg_of(s), &select_rows, last, LIST_ROWS, &rows, err);
        n = rc == 0 ? pg_n_rows(rows) : 0;
        for (size_t i = 0; i < n && rc == 0; i++) {
            struct storage_outbox_row row = row_at(rows, i);

            last = row.row;
            rc = fn(ctx, &row);
        }
        pg_rows_free(rows);
    }
    return rc;
}

static void sender_at(const struct pg_rows *rows, size_t i, int column,
                      uint8_t sender[WIRE_SENDER_BYTES])
{
    struct wire_bytes bytes = pg_bytes(rows, i, column);

    memset(sender, 0, WIRE_SENDER_BYTES);
    if (bytes.len == WIRE_SENDER_BYTES)
        memcpy(sender, bytes.data, WIRE_SENDER_BYTES);
}

int storage_pg_list_refused(struct storage *s, storage_refused_fn *fn, void *ctx, struct err *err)
{
    int64_t last = 0;
    size_t n = 1;
    int rc = 0;

    while (rc == 0 && n > 0) {
        struct pg_rows *rows;

        rc = next_rows(storage_pg_of(s), &select_refused, last, REFUSED_ROWS, &rows, err);
        n = rc == 0 ? pg_n_rows(rows) : 0;
        for (size_t i = 0; i < n && rc == 0; i++) {
            struct storage_refused refused = {.sequence = (uint64_t)pg_i64(rows, i, 2),
                                              .bytes = pg_bytes(rows, i, 3),
                                              .why = pg_text(rows, i, 4),
                                              .at_us = pg_i64(rows, i, 5)};

            sender_at(rows, i, 1, refused.sender);
            last = pg_i64(rows, i, 0);
            rc = fn(ctx, &refused);
        }
        pg_rows_free(rows);
    }
    return rc;
}

/* ---- Status ---- */

static int list_alerters(struct storage_pg *st, const struct storage_peer_calls *calls,
                         struct err *err)
{
    struct pg_rows *rows;
    int rc;

    pg_args_clear(st->args);
    rc = storage_pg_run(st, &select_alerters, &rows, err);
    for (size_t i = 0; rc == 0 && i < pg_n_rows(rows); i++) {
        const struct storage_alerter alerter = {.name = pg_text(rows, i, 0),
                                                .build = pg_text(rows, i, 1),
                                                .has_lease = pg_bool(rows, i, 2),
                                                .is_gone = pg_bool(rows, i, 3),
                                                .held_us = pg_i64(rows, i, 4),
                                                .seen_us = pg_i64(rows, i, 5),
                                                .behind = pg_i64(rows, i, 6)};

        rc = calls->alerter(calls->ctx, &alerter);
    }
    pg_rows_free(rows);
    return rc;
}

static int list_ingests(struct storage_pg *st, const struct storage_peer_calls *calls,
                        struct err *err)
{
    struct pg_rows *rows;
    int rc = storage_pg_run(st, &select_ingests, &rows, err);

    for (size_t i = 0; rc == 0 && i < pg_n_rows(rows); i++) {
        const struct storage_ingest ingest = {.name = pg_text(rows, i, 0),
                                              .build = pg_text(rows, i, 1),
                                              .seen_us = pg_i64(rows, i, 2),
                                              .waiting = pg_i64(rows, i, 3),
                                              .has_left = pg_bool(rows, i, 4)};

        rc = calls->ingest(calls->ctx, &ingest);
    }
    pg_rows_free(rows);
    return rc;
}

int storage_pg_list_peers(struct storage *s, const struct storage_peer_calls *calls,
                          struct err *err)
{
    int rc = list_alerters(storage_pg_of(s), calls, err);

    return rc != 0 ? rc : list_ingests(storage_pg_of(s), calls, err);
}

int storage_pg_sizes(struct storage *s, struct storage_sizes *sizes, struct err *err)
{
    struct storage_pg *st = storage_pg_of(s);
    struct pg_rows *rows;
    int rc;

    pg_args_clear(st->args);
    rc = storage_pg_run(st, &select_sizes, &rows, err);
    if (rc == 0 && pg_n_rows(rows) == 1)
        *sizes = (struct storage_sizes){.history_bytes = pg_i64(rows, 0, 0),
                                        .inbox_rows = pg_i64(rows, 0, 1),
                                        .inbox_bytes = pg_i64(rows, 0, 2),
                                        .inbox_left = pg_i64(rows, 0, 3),
                                        .total_bytes = pg_i64(rows, 0, 4)};
    pg_rows_free(rows);
    return rc;
}
