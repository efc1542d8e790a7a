/* Records in rows. */
#include "common/storage/journal_impl.h"

#include <string.h>

enum { LEN_BYTES = 2 };

static size_t row_bytes(const struct journal_row *row)
{
    return row->bytes.len + (row->n > 1 ? row->n * LEN_BYTES : 0);
}

/* Whether a record of `n` bytes may share the row. */
static bool joins(const struct journal_row *row, size_t n)
{
    return row->n > 0 && n <= JOURNAL_SHARE_BYTES &&
           row->bytes.len + n + (row->n + 1) * LEN_BYTES <= JOURNAL_ROW_BYTES;
}

int64_t journal_row_cost(const struct journal *j, size_t n)
{
    const struct journal_row *row = &j->row;

    if (!joins(row, n))
        return journal_room_cost(&j->room, n);
    return journal_room_cost(&j->room, row->bytes.len + n + (row->n + 1) * LEN_BYTES) -
           journal_room_cost(&j->room, row_bytes(row));
}

/* `lens` are not looked at for one record. */
static int insert(struct journal *j, int64_t last, const void *bytes, size_t n_bytes,
                  const uint8_t *lens, size_t n, struct err *err)
{
    sqlite3_stmt *stmt = j->stmts[JOURNAL_APPEND];

    sqlite3_bind_int64(stmt, 1, last);
    sqlite3_bind_blob64(stmt, 2, n_bytes > 0 ? bytes : "", n_bytes, SQLITE_STATIC);
    if (n > 1)
        sqlite3_bind_blob64(stmt, 3, lens, n * LEN_BYTES, SQLITE_STATIC);
    else
        sqlite3_bind_null(stmt, 3);
    return journal_run(j, stmt, "cannot append", err);
}

int journal_row_flush(struct journal *j, struct err *err)
{
    struct journal_row *row = &j->row;
    int rc = 0;

    if (row->n > 0)
        rc = insert(j, j->ends.last, row->bytes.data, row->bytes.len, row->lens, row->n, err);
    row->n = 0;
    buf_clear(&row->bytes);
    /* Their positions were answered, so nothing may be committed without them. */
    return rc == 0 ? 0 : journal_lose(j, rc);
}

int journal_row_append(struct journal *j, const void *bytes, size_t n, struct err *err)
{
    struct journal_row *row = &j->row;
    int rc = joins(row, n) ? 0 : journal_row_flush(j, err);

    if (rc != 0)
        return rc;
    if (n > JOURNAL_SHARE_BYTES)
        return insert(j, j->ends.last + 1, bytes, n, NULL, 1, err);
    if (buf_append(&row->bytes, bytes, n) != 0)
        return err_set(err, ERR_NOMEM, "%s: out of memory", j->path);
    row->lens[row->n * LEN_BYTES] = (uint8_t)n;
    row->lens[row->n * LEN_BYTES + 1] = (uint8_t)(n >> 8);
    row->n++;
    return 0;
}

/* ---- reading ---- */

struct stored {
    const uint8_t *bytes;
    const uint8_t *lens; /* NULL: one record */
    size_t n_bytes;
    size_t n; /* records */
};

static size_t len_at(const struct stored *s, size_t i)
{
    if (s->lens == NULL)
        return s->n_bytes;
    return (size_t)s->lens[i * LEN_BYTES] | (size_t)s->lens[i * LEN_BYTES + 1] << 8;
}

static bool is_sound(const struct stored *s)
{
    size_t sum = 0;

    for (size_t i = 0; i < s->n; i++)
        sum += len_at(s, i);
    return s->n > 0 && sum == s->n_bytes;
}

/* The blob of a column, which is "" where it is empty. */
static int blob(struct journal *j, sqlite3_stmt *stmt, int column, const uint8_t **bytes, size_t *n,
                struct err *err)
{
    *bytes = sqlite3_column_blob(stmt, column);
    *n = (size_t)sqlite3_column_bytes(stmt, column);
    if (*bytes == NULL && *n > 0)
        return journal_fail(j, SQLITE_NOMEM, "cannot read a record", err);
    if (*bytes == NULL)
        *bytes = (const uint8_t *)"";
    return 0;
}

static int load(struct journal *j, sqlite3_stmt *stmt, struct stored *s, struct err *err)
{
    size_t n_lens;
    int rc = blob(j, stmt, 1, &s->bytes, &s->n_bytes, err);

    s->lens = NULL;
    s->n = 1;
    /* A file of the first format has no such column. */
    if (rc != 0 || sqlite3_column_count(stmt) < 3 || sqlite3_column_type(stmt, 2) == SQLITE_NULL)
        return rc;
    rc = blob(j, stmt, 2, &s->lens, &n_lens, err);
    s->n = n_lens / LEN_BYTES;
    if (rc == 0 && !is_sound(s))
        rc = journal_fail(j, SQLITE_CORRUPT, "cannot read a record", err);
    return rc;
}

int journal_row_read(struct journal *j, sqlite3_stmt *stmt, int64_t *position, journal_read_fn *fn,
                     void *ctx, struct err *err)
{
    struct stored s;
    int64_t at;
    int rc = load(j, stmt, &s, err);

    if (rc != 0)
        return rc;
    at = sqlite3_column_int64(stmt, 0) - (int64_t)s.n + 1;
    for (size_t i = 0; i < s.n && rc == 0; i++, at++) {
        size_t n = len_at(&s, i);

        if (at >= *position && at > j->ends.trimmed) {
            rc = fn(ctx, at, s.bytes, n);
            *position = at + 1;
        }
        s.bytes += n;
    }
    if (rc == 0)
        *position = at;
    return rc;
}
