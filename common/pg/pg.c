/* Sends statements and waits for their answers; called by the carriers and the storage. */
#include "common/pg/connection.h"

#include "common/base/text.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

int64_t pg_now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_BOOTTIME, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

int pg_wait_ms(int64_t deadline_us)
{
    int64_t left = deadline_us - pg_now_us();

    return left <= 0 ? 0 : left > 3600000000 ? 3600000 : (int)((left + 999) / 1000);
}

void pg_disconnect(struct pg *p)
{
    PQfinish(p->conn);
    p->conn = NULL;
    p->n_sent = 0;
}

void pg_close(struct pg *p)
{
    if (p == NULL)
        return;
    pg_disconnect(p);
    buf_close(&p->settings);
    free(p);
}

bool pg_is_open(const struct pg *p)
{
    return p->conn != NULL;
}

bool pg_is_pooled(const struct pg *p)
{
    return p->is_pooled;
}

int64_t pg_process(const struct pg *p)
{
    return p->is_pooled ? 0 : PQbackendPID(p->conn);
}

int pg_fd(const struct pg *p)
{
    return PQsocket(p->conn);
}

/* libpq before 2026 may leave bytes in OpenSSL that poll does not see. */
static bool has_undecoded(const struct pg *p)
{
    SSL *tls = PQsslStruct(p->conn, "OpenSSL");

    return tls != NULL && SSL_pending(tls) > 0;
}

/* Takes all bytes that have come. Returns whether the connection still stands. */
static bool take_input(struct pg *p)
{
    do {
        if (PQconsumeInput(p->conn) == 0)
            return false;
    } while (has_undecoded(p));
    return true;
}

bool pg_notified(struct pg *p)
{
    PGnotify *n;
    bool any = false;

    if (p->conn == NULL)
        return false;
    if (!take_input(p)) {
        pg_disconnect(p);
        return false;
    }
    while ((n = PQnotifies(p->conn)) != NULL) {
        any = true;
        PQfreemem(n);
    }
    return any;
}

/* ---- sending ---- */

static int lost(struct pg *p, const char *why, struct err *err)
{
    pg_disconnect(p);
    return err_set(err, ERR_AWAY, "PostgreSQL on %s: %s", p->host, why);
}

static bool is_known(const struct pg *p, const struct pg_statement *s)
{
    for (size_t i = 0; i < p->n_known; i++) {
        if (p->known[i] == s)
            return true;
    }
    return false;
}

static void forget(struct pg *p, const struct pg_statement *s)
{
    for (size_t i = 0; i < p->n_known; i++) {
        if (p->known[i] == s)
            p->known[i] = p->known[--p->n_known];
    }
}

static bool prepare(struct pg *p, const struct pg_statement *s, const struct pg_args *a)
{
    assert(p->n_known < PG_STATEMENTS_MAX);
    p->known[p->n_known++] = s;
    return PQsendPrepare(p->conn, s->name, s->text, a == NULL ? 0 : a->n,
                         a == NULL ? NULL : a->types) == 1;
}

/* Without a `name` it sends the text. */
static bool execute(struct pg *p, const char *name, const char *text, const struct pg_args *a)
{
    const char *values[PG_ARGS_MAX];
    int formats[PG_ARGS_MAX];
    int n = a == NULL ? 0 : a->n;
    const int *lengths = a == NULL ? NULL : a->lengths;

    for (int i = 0; i < n; i++) {
        values[i] = a->lengths[i] < 0 ? NULL : buf_text(&a->bytes) + a->starts[i];
        formats[i] = 1;
    }
    if (name != NULL)
        return PQsendQueryPrepared(p->conn, name, n, values, lengths, formats, 1) == 1;
    return PQsendQueryParams(p->conn, text, n, a == NULL ? NULL : a->types, values, lengths,
                             formats, 1) == 1;
}

/* Behind a pool each transaction may run in another session, which knows no statement of ours and
 * has other settings. */
static bool execute_text(struct pg *p, const char *text, const struct pg_args *a)
{
    return (!p->is_pooled || execute(p, NULL, buf_text(&p->settings), NULL)) &&
           execute(p, NULL, text, a);
}

static bool execute_prepared(struct pg *p, const struct pg_statement *s, const struct pg_args *a,
                             bool prepares)
{
    return (!prepares || prepare(p, s, a)) && execute(p, s->name, NULL, a);
}

/* Ends a statement's transaction and notes that its answer is awaited. */
static int finish_send(struct pg *p, struct pg_sent sent, bool ok, struct err *err)
{
    assert(p->n_sent < PG_SENT_MAX);
    if (!ok || PQpipelineSync(p->conn) == 0)
        return lost(p, "the connection ended, or memory ran out, at a send", err);
    sent.at_us = pg_now_us();
    p->sent[p->n_sent++] = sent;
    return 0;
}

static int closed(const struct pg *p, struct err *err)
{
    return err_set(err, ERR_AWAY, "PostgreSQL on %s: the connection is closed", p->host);
}

int pg_send(struct pg *p, const struct pg_statement *s, const struct pg_args *a, struct err *err)
{
    struct pg_sent sent = {.statement = s,
                           .prepares = !p->is_pooled && !is_known(p, s),
                           .bytes = a == NULL ? 0 : (int64_t)a->bytes.len};

    if (p->conn == NULL)
        return closed(p, err);
    if (a != NULL && a->bytes.failed != 0)
        return err_set(err, a->bytes.failed, "%s the parameters of statement \"%s\"",
                       a->bytes.failed == ERR_NOMEM ? "no memory for" : "too many bytes in",
                       s->name);
    return finish_send(
        p, sent,
        p->is_pooled ? execute_text(p, s->text, a) : execute_prepared(p, s, a, sent.prepares), err);
}

/* ---- receiving ---- */

/* Errors of a statement by the beginning of their SQLSTATE; the first row that fits counts. All
 * others but the classes of ERR_AWAY are our fault. */
static const struct {
    const char *state;
    int code;
    const char *meaning;
} errors[] = {
    {"55P03", ERR_BUSY, "a lock is held by another session"},
    {"53100", ERR_FULL, "the disk is full"},
    {"42501", ERR_INPUT,
     "this user lacks a right: the database has outgrown its plan (heroku pg:info), or somebody "
     "revoked it"},
    {"42P01", ERR_IO, "the tables are gone: somebody dropped or renamed them"},
    {"42703", ERR_IO, "the tables were altered by another program"},
    {"3F000", ERR_IO, "the schema is gone: somebody dropped or renamed it"},
    {"28", ERR_INPUT, "the user or the password is not valid any more"},
    {"08", ERR_AWAY, "the connection failed"},
    {"57014", ERR_AWAY, "the statement took too long"},
    {"57", ERR_AWAY, "the server ended the session"},
    {"53", ERR_AWAY, "the server is short of memory or connections"},
    {"58", ERR_AWAY, "the server's disk failed"},
    {"40", ERR_AWAY, "the transaction collided with another one"},
    {"25006", ERR_AWAY, "the server is read-only: a failover may be under way"},
    {"25", ERR_AWAY, "the server ended the transaction"},
    {"26000", ERR_AWAY, "the session was reset"},
    {"0A000", ERR_AWAY, "the tables have new columns"},
    {"", ERR_IO, "the statement is not valid"},
};

static const char *field(const PGresult *r, int code)
{
    const char *value = PQresultErrorField(r, code);

    return value == NULL ? "" : value;
}

static int judge_error(struct pg *p, const PGresult *r, const char *name, struct err *err)
{
    char detail[256];
    size_t i = 0;

    text_copy_printable(p->state, sizeof p->state, field(r, PG_DIAG_SQLSTATE));
    if (p->state[0] == '\0')
        return lost(p, "the connection ended", err);
    while (strncmp(p->state, errors[i].state, strlen(errors[i].state)) != 0)
        i++;
    text_copy_printable(detail, sizeof detail, field(r, PG_DIAG_MESSAGE_PRIMARY));
    err_set(err, errors[i].code,
            "PostgreSQL on %s: %s: %s (statement \"%s\", schema %s, SQLSTATE %s)", p->host,
            errors[i].meaning, detail, name, p->schema, p->state);
    if (errors[i].code == ERR_AWAY || strcmp(field(r, PG_DIAG_SEVERITY_NONLOCALIZED), "FATAL") == 0)
        pg_disconnect(p);
    return errors[i].code;
}

/* Waits until bytes came or went. */
static int wait_for_input(struct pg *p, int64_t deadline_us, struct err *err)
{
    int unsent = PQflush(p->conn);
    struct pollfd socket = {.fd = PQsocket(p->conn),
                            .events = (short)(POLLIN | (unsent == 1 ? POLLOUT : 0))};
    int n = unsent < 0 || has_undecoded(p) ? 1 : poll(&socket, 1, pg_wait_ms(deadline_us));

    if (n == 0)
        return lost(p, "no answer within the time for it", err);
    if (n < 0 && errno == EINTR)
        return 0;
    return take_input(p) ? 0 : lost(p, "the connection ended", err);
}

/* Waits for the next result; NULL ends the results of one command. */
static int next_result(struct pg *p, int64_t deadline_us, PGresult **r, struct err *err)
{
    while (PQisBusy(p->conn)) {
        int rc = wait_for_input(p, deadline_us, err);

        if (rc != 0)
            return rc;
    }
    *r = PQgetResult(p->conn);
    return 0;
}

/* One answer as it comes in. */
struct answer {
    PGresult *rows;
    int rc; /* of the first error */
    bool prepared;
    bool is_over;
};

static void take_result(struct pg *p, const struct pg_sent *sent, struct answer *a, PGresult *r,
                        struct err *err)
{
    switch (PQresultStatus(r)) {
    case PGRES_PIPELINE_SYNC:
        a->is_over = true;
        break;
    case PGRES_TUPLES_OK:
        PQclear(a->rows); /* of the settings */
        a->rows = r;
        return;
    case PGRES_COMMAND_OK:
        a->prepared = true;
        break;
    case PGRES_PIPELINE_ABORTED:
        break;
    default:
        if (a->rc == 0)
            a->rc = judge_error(p, r, sent->statement->name, err);
        break;
    }
    PQclear(r);
}

/* A result alone is no success: the commit comes after it, and its end is the Sync. */
static int take_answer(struct pg *p, const struct pg_sent *sent, int64_t deadline_us,
                       struct answer *a, struct err *err)
{
    int ends = 0;

    while (!a->is_over && p->conn != NULL) {
        PGresult *r;
        int rc = next_result(p, deadline_us, &r, err);

        if (rc != 0)
            return rc;
        ends = r == NULL ? ends + 1 : 0;
        if (ends > 2)
            return lost(p, "libpq lost the order of the answers", err);
        if (r != NULL)
            take_result(p, sent, a, r, err);
    }
    if (a->rc != 0 && sent->prepares && !a->prepared)
        forget(p, sent->statement);
    return a->rc;
}

int pg_receive(struct pg *p, int64_t wait_us, struct pg_rows **rows, struct err *err)
{
    struct answer a = {0};
    struct pg_sent sent;
    int rc;

    if (rows != NULL)
        *rows = NULL;
    if (p->conn == NULL)
        return closed(p, err);
    assert(p->n_sent > 0);
    sent = p->sent[0];
    memmove(p->sent, p->sent + 1, --p->n_sent * sizeof p->sent[0]);
    p->state[0] = '\0';
    rc = take_answer(p, &sent, pg_now_us() + wait_us, &a, err);
    p->took_us = pg_now_us() - sent.at_us;
    p->moved_bytes = sent.bytes + (int64_t)PQresultMemorySize(a.rows);
    if (rc == 0 && rows != NULL)
        *rows = (struct pg_rows *)a.rows;
    else
        PQclear(a.rows);
    return rc;
}

int64_t pg_took_us(const struct pg *p)
{
    return p->took_us;
}

int64_t pg_moved_bytes(const struct pg *p)
{
    return p->moved_bytes;
}

int pg_run(struct pg *p, const struct pg_statement *s, const struct pg_args *a, int64_t wait_us,
           struct pg_rows **rows, struct err *err)
{
    int rc = pg_send(p, s, a, err);

    assert(rc != 0 || p->n_sent == 1);
    return rc != 0 ? rc : pg_receive(p, wait_us, rows, err);
}

int pg_run_text(struct pg *p, const char *name, const char *text, struct pg_rows **rows,
                struct err *err)
{
    const struct pg_statement s = {name, text};
    int rc;

    if (p->conn == NULL)
        return closed(p, err);
    rc = finish_send(p, (struct pg_sent){.statement = &s}, execute_text(p, text, NULL), err);
    return rc != 0 ? rc : pg_receive(p, PG_DEADLINE_US, rows, err);
}

/* ---- rows ---- */

static const PGresult *result_of(const struct pg_rows *r)
{
    return (const PGresult *)r;
}

size_t pg_n_rows(const struct pg_rows *r)
{
    return (size_t)PQntuples(result_of(r));
}

struct wire_bytes pg_bytes(const struct pg_rows *r, size_t row, int column)
{
    return (struct wire_bytes){
        .data = (const uint8_t *)PQgetvalue(result_of(r), (int)row, column),
        .len = (size_t)PQgetlength(result_of(r), (int)row, column),
    };
}

int64_t pg_i64(const struct pg_rows *r, size_t row, int column)
{
    struct wire_bytes value = pg_bytes(r, row, column);
    uint64_t n = 0;

    assert(value.len <= sizeof n);
    if (value.len > 0 && (value.data[0] & 0x80) != 0)
        n = UINT64_MAX; /* the sign, in front of a shorter integer */
    for (size_t i = 0; i < value.len; i++)
        n = n << 8 | value.data[i];
    return (int64_t)n;
}

bool pg_bool(const struct pg_rows *r, size_t row, int column)
{
    return pg_i64(r, row, column) != 0;
}

const char *pg_text(const struct pg_rows *r, size_t row, int column)
{
    return (const char *)pg_bytes(r, row, column).data;
}

bool pg_is_null(const struct pg_rows *r, size_t row, int column)
{
    return PQgetisnull(result_of(r), (int)row, column) == 1;
}

void pg_rows_free(struct pg_rows *r)
{
    PQclear((PGresult *)r);
}
