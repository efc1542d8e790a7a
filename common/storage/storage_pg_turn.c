/* Transactions of the PostgreSQL storage: gathers what a turn changes, and sends it as one fenced
 * statement. Called by storage.c through the table in storage_pg.c. */
#include "common/storage/storage_pg.h"

#include <stdlib.h>

enum {
    ROW_BYTES = 1 << 20, /* of a row of entries, unless it holds a larger one */
    ENTRIES_BYTES_MAX = 32 << 20,
    ARENA_BYTES_MAX = 64 << 20,
};

#define BEGINS STORAGE_PG_BEGINS("$42::bigint")

/* In one statement no part sees another's rows, so an alert that is put and marked in one turn is
 * inserted as it is at the end. The lower bound of the inbox's range saves a walk over the dead
 * rows of all earlier turns. */
static const struct pg_statement turn = {
    "turn",
    "WITH fence AS (UPDATE lease SET beat=beat+1, last=$3, start=$4, bytes=$5, trouble=$6 "
    "WHERE epoch=$1 AND beat=$2 AND " BEGINS " RETURNING beat), "
    "h AS (DELETE FROM stream USING fence WHERE position>=$7 AND position<=$8), "
    "p AS (DELETE FROM part USING fence WHERE position>=$7 AND position<=$8), "
    "e AS (INSERT INTO stream (position, n, at_us, snapshot, body) SELECT u.* FROM fence, "
    "unnest($9::bigint[], $10::bigint[], $11::bigint[], $12::boolean[], $13::bytea[]) u), "
    "s AS (INSERT INTO senders (sender, taken, seen_us) SELECT u.* FROM fence, "
    "unnest($14::bytea[], $15::bigint[], $16::bigint[]) u ON CONFLICT (sender) DO UPDATE SET "
    "taken=excluded.taken, seen_us=excluded.seen_us, refused=''), "
    "i AS (DELETE FROM inbox USING fence, unnest($14::bytea[], $15::bigint[], $17::bigint[]) "
    "u(sender, taken, before) WHERE inbox.sender=u.sender AND last>u.before AND last<=u.taken), "
    "o AS (INSERT INTO outbox (row, channel, state, alert, decided_us, tries, last_try_us, "
    "retry_after_us, next_try_us, ended_us, last_answer, app, rule, turn, place, epoch) "
    "SELECT u.*, $1 FROM fence, unnest($18::bigint[], $19::text[], $20::bigint[], $21::bytea[], "
    "$22::bigint[], $23::bigint[], $24::bigint[], $25::bigint[], $26::bigint[], $27::bigint[], "
    "$28::text[], $29::text[], $30::text[], $31::bigint[], $32::bigint[]) u ON CONFLICT (row) DO "
    "UPDATE SET "
    "state=excluded.state, tries=excluded.tries, last_try_us=excluded.last_try_us, "
    "retry_after_us=excluded.retry_after_us, next_try_us=excluded.next_try_us, "
    "ended_us=excluded.ended_us, last_answer=excluded.last_answer, turn=excluded.turn, "
    "place=excluded.place), "
    "c AS (INSERT INTO channels (channel, last_try_us) SELECT u.* FROM fence, "
    "unnest($33::text[], $34::bigint[]) u ON CONFLICT (channel) DO UPDATE SET "
    "last_try_us=excluded.last_try_us), "
    "r AS (INSERT INTO refused (sender, sequence, bytes, reason, at_us) SELECT u.* FROM fence, "
    "unnest($35::bytea[], $36::bigint[], $37::bytea[], $38::text[], $39::bigint[]) u), "
    "x AS (DELETE FROM outbox USING fence, unnest($40::bigint[]) u(gone) WHERE outbox.row=u.gone), "
    "y AS (DELETE FROM refused USING fence, unnest($41::bigint[]) u(gone) "
    "WHERE refused.row=u.gone) SELECT beat FROM fence"};

/* An earlier try at the same position may have left parts. */
static const struct pg_statement put_part = {
    "part", "WITH fence AS (UPDATE lease SET beat=beat+1 WHERE epoch=$1 AND beat=$2 RETURNING "
            "beat), "
            "p AS (INSERT INTO part (position, part, body) SELECT $3::bigint, $4::bigint, "
            "$5::bytea FROM fence ON CONFLICT (position, part) DO UPDATE SET body=excluded.body), "
            "d AS (DELETE FROM part USING fence WHERE position=$3 AND part>$4) "
            "SELECT beat FROM fence"};

static const struct pg_statement drop_parts = {
    "drop_parts", "WITH fence AS (UPDATE lease SET beat=beat+1 WHERE epoch=$1 AND beat=$2 "
                  "RETURNING beat), d AS (DELETE FROM part USING fence WHERE position>$3) "
                  "SELECT beat FROM fence"};

static const struct pg_statement select_old = {
    "old", "SELECT max(position), sum(size)::bigint FROM (SELECT s.position, octet_length(s.body) "
           "+ coalesce((SELECT sum(octet_length(p.body)) FROM part p WHERE s.snapshot AND "
           "p.position=s.position), 0) AS size FROM stream s WHERE s.position>=$1 AND "
           "s.position<$2 ORDER BY s.position LIMIT $3) o"};
static const struct pg_statement select_over = {
    "over", "SELECT row FROM outbox WHERE state>=2 AND decided_us<$1 AND "
            "row<(SELECT max(row) FROM outbox) ORDER BY decided_us LIMIT $2"};
static const struct pg_statement select_refused = {
    "old_refused", "SELECT row FROM refused WHERE at_us<$1 ORDER BY row LIMIT $2"};

/* ---- Begin and end ---- */

static int check_writable(const struct storage_pg *st, struct err *err)
{
    if (st->pg == NULL)
        return storage_pg_away(st, err);
    if (st->role != STORAGE_ACTIVE)
        return err_set(err, ERR_AWAY, "another alerter is active");
    return st->is_stale ? err_set(err, ERR_AWAY, "the database must be read again first") : 0;
}

static void forget(struct storage_pg *st)
{
    buf_clear(&st->entries);
    st->n_rows = 0;
    st->trim_from = st->trim_to = 0;
    arena_reset(&st->arena, ARENA_BYTES_MAX);
}

void storage_pg_turn_init(struct storage_pg *st)
{
    buf_init(&st->entries, ENTRIES_BYTES_MAX);
    forget(st);
}

void storage_pg_turn_close(struct storage_pg *st)
{
    buf_close(&st->entries);
    free(st->rows);
    arena_close(&st->arena);
}

int storage_pg_begin(struct storage *s, struct err *err)
{
    struct storage_pg *st = storage_pg_of(s);
    int rc = check_writable(st, err);

    return rc != 0 ? rc : storage_pg_copy_begin(st, err);
}

void storage_pg_rollback(struct storage *s)
{
    struct storage_pg *st = storage_pg_of(s);

    storage_pg_copy_rollback(st);
    forget(st);
    st->state = st->committed;
}

/* The rows of the stream, as arrays. */
static int put_rows(struct storage_pg *st, struct err *err)
{
    const size_t n = st->n_rows;
    int64_t *numbers = arena_alloc(&st->arena, (3 * n + 1) * sizeof *numbers);
    bool *snapshots = arena_alloc(&st->arena, n + 1);
    struct wire_bytes *bodies = arena_alloc(&st->arena, (n + 1) * sizeof *bodies);

    if (numbers == NULL || snapshots == NULL || bodies == NULL)
        return err_set(err, ERR_NOMEM, "no memory for a turn");
    for (size_t i = 0; i < n; i++) {
        const struct storage_pg_row *row = &st->rows[i];

        numbers[i] = row->position;
        numbers[n + i] = row->n;
        numbers[2 * n + i] = row->at_us;
        snapshots[i] = row->is_snapshot;
        bodies[i] = (struct wire_bytes){st->entries.data + row->begin, row->end - row->begin};
    }
    for (size_t i = 0; i < 3; i++)
        pg_put_i64s(st->args, numbers + i * n, n);
    pg_put_bools(st->args, snapshots, n);
    pg_put_bytess(st->args, bodies, n);
    return 0;
}

static int put_turn(struct storage_pg *st, struct err *err)
{
    const int64_t begin = storage_pg_begin_position(st);
    struct pg_args *args = storage_pg_fence(st);
    int rc;

    pg_put_i64(args, st->state.last);
    pg_put_i64(args, st->state.start);
    pg_put_i64(args, st->state.bytes);
    pg_put_text(args, st->trouble);
    pg_put_i64(args, st->trim_from);
    pg_put_i64(args, st->trim_to);
    rc = put_rows(st, err);
    if (rc == 0)
        rc = storage_pg_copy_gather(st, err);
    pg_put_i64(args, begin);
    return rc;
}

/* Sends the turn, and behind it the statement that reads the inbox, which saves a round trip. */
static int send_turn(struct storage_pg *st, struct err *err)
{
    struct pg_rows *rows = NULL;
    bool reads = false;
    int rc = pg_send(st->pg, &turn, st->args, err);

    if (rc == 0)
        rc = storage_pg_source_send(st, &reads, err);
    rc = rc == 0 ? storage_pg_receive(st, &rows, err) : storage_pg_note(st, rc, err);
    if (reads && st->pg != NULL)
        storage_pg_source_receive(st);
    if (rc == ERR_IO && st->pg != NULL)
        rc = storage_pg_note(st, pg_explain(st->pg, rc, err), err);
    return rc != 0 ? rc : storage_pg_fenced(st, rows, err);
}

/* Whether a turn that failed was committed may be unknown. A lock in the way may be gone at the
 * next try. */
static int fail(struct storage_pg *st, int rc)
{
    storage_pg_rollback(&st->tables.storage);
    st->is_stale = st->is_stale || rc != ERR_FULL;
    return rc == ERR_BUSY ? ERR_AWAY : rc;
}

int storage_pg_commit(struct storage *s, struct err *err)
{
    struct storage_pg *st = storage_pg_of(s);
    struct err why;
    int rc = check_writable(st, err);

    if (rc == 0)
        rc = put_turn(st, err);
    if (rc == 0)
        rc = send_turn(st, err);
    if (rc != 0)
        return fail(st, rc);
    if (storage_pg_copy_commit(st, &why) != 0) {
        storage_pg_copy_rollback(st);
        st->is_stale = true; /* it is committed, so only the copy is old */
    }
    forget(st);
    st->committed = st->state;
    st->read_to = st->state.last;
    return 0;
}

/* Within a transaction of the session the commits above are parts of it. */
static int run_alone(struct storage *s, const struct pg_statement *statement, struct err *err)
{
    struct storage_pg *st = storage_pg_of(s);

    pg_args_clear(st->args);
    return storage_pg_run(st, statement, NULL, err);
}

int storage_pg_begin_all(struct storage *s, struct err *err)
{
    static const struct pg_statement begin = {"begin_all", "BEGIN"};

    return run_alone(s, &begin, err);
}

int storage_pg_commit_all(struct storage *s, struct err *err)
{
    static const struct pg_statement commit = {"commit_all", "COMMIT"};

    return run_alone(s, &commit, err);
}

/* ---- The stream ---- */

static int full(struct err *err)
{
    return err_set(err, ERR_FULL, "a turn of more than %d MiB", ENTRIES_BYTES_MAX >> 20);
}

static int add_row(struct storage_pg *st, const struct storage_pg_row *row, struct err *err)
{
    if (st->n_rows == st->rows_cap) {
        size_t cap = st->rows_cap == 0 ? 16 : 2 * st->rows_cap;
        struct storage_pg_row *grown = realloc(st->rows, cap * sizeof *grown);

        if (grown == NULL)
            return err_set(err, ERR_NOMEM, "no memory for a turn");
        st->rows = grown;
        st->rows_cap = cap;
    }
    st->rows[st->n_rows++] = *row;
    return 0;
}

/* The row that takes an entry of `n` bytes. */
static int row_for(struct storage_pg *st, size_t n, struct storage_pg_row **row, struct err *err)
{
    const struct storage_pg_row empty = {.begin = st->entries.len, .end = st->entries.len};
    struct storage_pg_row *last = st->n_rows > 0 ? &st->rows[st->n_rows - 1] : NULL;
    int rc = 0;

    if (last == NULL || last->is_snapshot || last->end - last->begin + n > ROW_BYTES)
        rc = add_row(st, &empty, err);
    *row = rc == 0 ? &st->rows[st->n_rows - 1] : NULL;
    return rc;
}

/* Seven bits a byte, the lowest first; the highest bit tells that more follow. */
static size_t write_length(uint8_t out[STORAGE_PG_LENGTH_MAX], size_t n)
{
    size_t i = 0;

    for (; n >= 0x80; n >>= 7)
        out[i++] = (uint8_t)(n | 0x80);
    out[i++] = (uint8_t)n;
    return i;
}

static int add_entry(struct storage_pg *st, const struct wire_entry *entry,
                     struct wire_bytes packed, struct err *err)
{
    uint8_t length[STORAGE_PG_LENGTH_MAX];
    size_t n = write_length(length, packed.len);
    struct storage_pg_row *row;
    int rc;

    if (buf_reserve(&st->entries, n + packed.len) != 0)
        return full(err);
    rc = row_for(st, packed.len, &row, err);
    if (rc != 0)
        return rc;
    (void)buf_append(&st->entries, length, n);
    (void)buf_append(&st->entries, packed.data, packed.len);
    row->position = st->state.last + 1;
    row->n++;
    row->at_us = entry->step_us;
    row->end = st->entries.len;
    st->state.bytes += (int64_t)(n + packed.len);
    return 0;
}

static size_t part_bytes(const struct storage_pg *st, size_t left)
{
    size_t n = st->pace.bytes < STORAGE_PG_PART_BYTES ? (size_t)st->pace.bytes
                                                      : (size_t)STORAGE_PG_PART_BYTES;

    return left < n ? left : n;
}

/* A snapshot can be large, so its parts go ahead, each in a statement of its own. They count once
 * the turn has added their row, which tells how many bytes they are. */
static int put_parts(struct storage_pg *st, int64_t position, struct wire_bytes packed,
                     struct err *err)
{
    int64_t part = 0;
    int rc = 0;

    for (size_t at = 0, n; at < packed.len && rc == 0; at += n, part++) {
        n = part_bytes(st, packed.len - at);
        storage_pg_fence(st);
        pg_put_i64(st->args, position);
        pg_put_i64(st->args, part);
        pg_put_bytes(st->args, packed.data + at, n);
        rc = storage_pg_run_fenced(st, &put_part, err);
    }
    return rc;
}

int storage_pg_drop_parts(struct storage_pg *st, struct err *err)
{
    pg_put_i64(storage_pg_fence(st), st->committed.last);
    return storage_pg_run_fenced(st, &drop_parts, err);
}

static int add_snapshot(struct storage_pg *st, const struct wire_entry *entry,
                        struct wire_bytes packed, struct err *err)
{
    struct storage_pg_row row = {.position = st->state.last + 1,
                                 .n = 1,
                                 .at_us = entry->step_us,
                                 .is_snapshot = true,
                                 .begin = st->entries.len};
    uint8_t length[STORAGE_PG_LENGTH_MAX];
    size_t n = write_length(length, packed.len);
    int rc = put_parts(st, row.position, packed, err);

    if (rc == 0 && buf_append(&st->entries, length, n) != 0)
        rc = full(err);
    row.end = st->entries.len;
    if (rc == 0)
        rc = add_row(st, &row, err);
    st->state.bytes += (int64_t)(n + packed.len);
    return rc != 0 ? rc
                   : tables_put_snapshot(&st->tables.storage, row.position, entry->step_us, err);
}

bool storage_pg_is_long(const struct storage *s)
{
    const struct storage_pg *st = storage_pg_of(s);

    return (int64_t)st->entries.len >= st->pace.bytes;
}

int storage_pg_append(struct storage *s, const struct wire_entry *entry, struct wire_bytes packed,
                      int64_t *position, struct err *err)
{
    struct storage_pg *st = storage_pg_of(s);
    int rc = check_writable(st, err);

    if (rc == 0)
        rc = entry->input == WIRE_INPUT_SNAPSHOT ? add_snapshot(st, entry, packed, err)
                                                 : add_entry(st, entry, packed, err);
    if (rc != 0)
        return rc;
    *position = ++st->state.last;
    if (st->state.first == 0)
        st->state.first = *position;
    return 0;
}

/* ---- Trimming ---- */

int storage_pg_trim(struct storage *s, int64_t before, int n, struct err *err)
{
    struct storage_pg *st = storage_pg_of(s);
    struct pg_rows *rows;
    int rc;

    pg_args_clear(st->args);
    pg_put_i64(st->args, st->state.first);
    pg_put_i64(st->args, before);
    pg_put_i64(st->args, n);
    rc = storage_pg_run(st, &select_old, &rows, err);
    if (rc == 0 && pg_n_rows(rows) == 1 && !pg_is_null(rows, 0, 0)) {
        if (st->trim_from == 0)
            st->trim_from = st->state.first;
        st->trim_to = pg_i64(rows, 0, 0);
        st->state.first = st->trim_to + 1;
        st->state.bytes -= pg_i64(rows, 0, 1);
        st->deleted_bytes[STORAGE_PG_HISTORY] += pg_i64(rows, 0, 1);
    }
    pg_rows_free(rows);
    return rc;
}

/* Finds rows that are older than `before_us` and notes that the commit deletes them. */
static int drop_rows(struct storage_pg *st, const struct pg_statement *find, int64_t before_us,
                     int n, int *dropped,
                     int (*drop)(struct storage_pg *st, int64_t row, struct err *err),
                     struct err *err)
{
    struct pg_rows *rows;
    int rc;

    pg_args_clear(st->args);
    pg_put_i64(st->args, before_us);
    pg_put_i64(st->args, n);
    rc = storage_pg_run(st, find, &rows, err);
    *dropped = rc == 0 ? (int)pg_n_rows(rows) : 0;
    for (int i = 0; i < *dropped && rc == 0; i++)
        rc = drop(st, pg_i64(rows, (size_t)i, 0), err);
    pg_rows_free(rows);
    return rc;
}

int storage_pg_trim_refused(struct storage *s, int64_t before_us, int n, int *trimmed,
                            struct err *err)
{
    return drop_rows(storage_pg_of(s), &select_refused, before_us, n, trimmed,
                     storage_pg_copy_drop_refused, err);
}

int storage_pg_outbox_trim(struct storage *s, int64_t before_us, int n, int *trimmed,
                           struct err *err)
{
    return drop_rows(storage_pg_of(s), &select_over, before_us, n, trimmed,
                     storage_pg_copy_drop_outbox, err);
}
