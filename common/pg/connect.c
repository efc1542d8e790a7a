/* Connects to PostgreSQL and prepares the session; called by the users of pg.h and by dial.c. */
#include "common/pg/connection.h"
#include "common/pg/schema.h"

#include "common/base/text.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    KEYWORDS_MAX = 20,
    OLDEST_SERVER = 130000,
};

/* A statement ends before its caller gives up, so that its locks never outlive the caller's
 * patience. Planning by index alone, because autovacuum has not yet seen most of our rows, and
 * without JIT, which the price of a forbidden plan would start: 110 ms for each statement. */
static const struct setting {
    const char *name;
    const char *value;
    bool is_once; /* of no use, or without effect, if it is set within a transaction */
} settings[] = {
    {"statement_timeout", "4s", false},
    {"lock_timeout", "1s", false},
    {"idle_in_transaction_session_timeout", "5s", false},
    {"synchronous_commit", "on", false},
    {"timezone", "UTC", false},
    {"plan_cache_mode", "force_generic_plan", false},
    {"jit", "off", false},
    {"enable_seqscan", "off", false},
    {"enable_bitmapscan", "off", false},
    {"enable_hashjoin", "off", false},
    {"enable_mergejoin", "off", false},
    {"default_transaction_isolation", "read committed", true},
    {"tcp_keepalives_idle", "5", true},
    {"tcp_keepalives_interval", "2", true},
    {"tcp_keepalives_count", "3", true},
    {"tcp_user_timeout", "10s", true},
};

/* ---- the beginning ---- */

struct keywords {
    const char *names[KEYWORDS_MAX];
    const char *values[KEYWORDS_MAX];
    int n;
};

static void add(struct keywords *k, const char *name, const char *value)
{
    assert(k->n < KEYWORDS_MAX - 1); /* a NULL ends the list */
    k->names[k->n] = name;
    k->values[k->n++] = value;
}

/* libpq lets a later keyword replace an earlier one. NULL: no memory. */
static PGconn *start(const struct pg_options *o, const PQconninfoOption *parsed)
{
    struct keywords k = {.n = 0};
    char name[64];

    snprintf(name, sizeof name, "drainwatch-%s", o->program);
    add(&k, "sslmode", pg_url_is_local(parsed) ? "prefer" : "require");
    add(&k, "gssencmode", "disable");
    add(&k, "dbname", o->url);
    add(&k, "application_name", name);
    add(&k, "client_encoding", "UTF8");
    add(&k, "target_session_attrs", o->read_only ? "any" : "read-write");
    add(&k, "keepalives_idle", "5");
    add(&k, "keepalives_interval", "2");
    add(&k, "keepalives_count", "3");
    add(&k, "tcp_user_timeout", "10000");
    return PQconnectStartParams(k.names, k.values, 1);
}

/* ---- failures ---- */

struct refusal {
    const char *sign; /* the beginning of an SQLSTATE, or some words of libpq's message */
    int code;
    const char *meaning;
};

static const struct refusal by_state[] = {
    {"28P01", ERR_INPUT,
     "the user or the password is not valid, or not any more: set DRAINWATCH_DATABASE_URL to the "
     "database's present URL and start again"},
    {"28", ERR_INPUT,
     "the user may not log in, or not in this way: check the user in DRAINWATCH_DATABASE_URL, "
     "sslmode=require in it, and the server's pg_hba.conf"},
    {"3D", ERR_INPUT,
     "there is no database of the name at the end of DRAINWATCH_DATABASE_URL: correct it or create "
     "the database"},
    {"42501", ERR_INPUT,
     "the user may not use this database: as its owner, GRANT CONNECT ON DATABASE … to the user"},
    {"08P01", ERR_AWAY,
     "the connection pool there cannot reach the database, has no connection to spare, or does not "
     "allow the options in DRAINWATCH_DATABASE_URL"},
    {"53300", ERR_AWAY, "all of its connections are in use (on Heroku see: heroku pg:ps)"},
    {"53100", ERR_AWAY, "its disk is full: free some space on it"},
    {"57P03", ERR_AWAY, "it is starting, stopping or recovering"},
    {"57", ERR_AWAY, "it is stopping"},
    {"", ERR_AWAY, "it refuses the connection"},
};

#define NO_POSTGRESQL                                                                              \
    "no PostgreSQL answers there, but another program: check host and port in "                    \
    "DRAINWATCH_DATABASE_URL"

static const struct refusal by_words[] = {
    {"received invalid response", ERR_AWAY, NO_POSTGRESQL},
    {"expected authentication request", ERR_AWAY, NO_POSTGRESQL},
    {"does not support SSL", ERR_INPUT,
     "it offers no TLS: switch it on at the server, or append ?sslmode=disable to "
     "DRAINWATCH_DATABASE_URL if nobody can read along"},
    {"certificate", ERR_INPUT,
     "its TLS certificate cannot be verified: check sslmode and sslrootcert in "
     "DRAINWATCH_DATABASE_URL"},
    {"no password supplied", ERR_INPUT,
     "it asks for a password, and DRAINWATCH_DATABASE_URL holds none"},
    {"invalid ", ERR_INPUT, "an option in DRAINWATCH_DATABASE_URL has a value that libpq refuses"},
    {"authentication", ERR_INPUT, "it wants a way to log in that libpq cannot do"},
    {"translate host name", ERR_AWAY,
     "the name is not found: check the host in DRAINWATCH_DATABASE_URL, and DNS"},
    {"read-only", ERR_AWAY,
     "it is read-only: DRAINWATCH_DATABASE_URL leads to a follower, or a failover is under way"},
    {"Connection refused", ERR_AWAY,
     "nothing listens there: check host and port in DRAINWATCH_DATABASE_URL, and the server"},
    {"No such file", ERR_AWAY,
     "nothing listens there: check host and port in DRAINWATCH_DATABASE_URL, and the server"},
    {"SSL ", ERR_AWAY,
     "TLS fails: check host and port in DRAINWATCH_DATABASE_URL, and the "
     "server's settings for TLS"},
    {"closed the connection", ERR_AWAY,
     "the connection is closed before the login: the server is starting or stopping, or no "
     "PostgreSQL answers there"},
    {"", ERR_AWAY, "it cannot be reached"},
};

/* libpq's messages are left out, because they may hold parts of the URL. It was told to show only
 * the SQLSTATE of the server's: "FATAL:  28P01". Returns whether there is one. */
static bool find_state(const char *message, char state[PG_STATE_SIZE])
{
    const char *at = NULL;

    for (const char *next = strstr(message, ":  "); next != NULL; next = strstr(next + 1, ":  ")) {
        if (strspn(next + 3, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ") == 5)
            at = next + 3;
    }
    snprintf(state, PG_STATE_SIZE, "%.5s", at == NULL ? "" : at);
    return at != NULL;
}

static int judge_refusal(struct pg *p, struct err *err)
{
    const char *message = PQerrorMessage(p->conn);
    const struct refusal *r = by_words;

    if (find_state(message, p->state)) {
        r = by_state;
        while (strncmp(p->state, r->sign, strlen(r->sign)) != 0)
            r++;
        return err_set(err, r->code, "PostgreSQL on %s: %s (SQLSTATE %s)", p->host, r->meaning,
                       p->state);
    }
    while (strstr(message, r->sign) == NULL)
        r++;
    return err_set(err, r->code, "PostgreSQL on %s: %s", p->host, r->meaning);
}

/* ---- the way to a session ---- */

/* Many a server of another kind says nothing to our first bytes. */
static int overdue(const struct pg *p, struct err *err)
{
    bool is_silent = PQstatus(p->conn) != CONNECTION_STARTED;

    return err_set(err, ERR_AWAY,
                   "PostgreSQL on %s: %s within %d s (check host and port in "
                   "DRAINWATCH_DATABASE_URL, and the %s)",
                   p->host,
                   is_silent ? "something listens there, but no PostgreSQL answered"
                             : "no connection",
                   PG_CONNECT_S, is_silent ? "server" : "network");
}

/* Returns 1 to go on, or ERR_AWAY. */
static int wait_for_socket(struct pg *p, bool reading, int stop_fd, int64_t deadline_us,
                           struct err *err)
{
    struct pollfd fds[2] = {
        {.fd = PQsocket(p->conn), .events = reading ? POLLIN : POLLOUT},
        {.fd = stop_fd, .events = POLLIN},
    };
    int n = poll(fds, 2, pg_wait_ms(deadline_us));

    if (n == 0)
        return overdue(p, err);
    if (n > 0 && fds[1].revents != 0)
        return err_set(err, ERR_AWAY, "PostgreSQL on %s: not connected before the end", p->host);
    return n > 0 || errno == EINTR;
}

static int finish(struct pg *p, int stop_fd, struct err *err)
{
    int64_t deadline_us = pg_now_us() + PG_CONNECT_S * INT64_C(1000000);
    PostgresPollingStatusType next = PGRES_POLLING_WRITING;

    while (next != PGRES_POLLING_OK && PQstatus(p->conn) != CONNECTION_BAD) {
        int rc = wait_for_socket(p, next == PGRES_POLLING_READING, stop_fd, deadline_us, err);

        if (rc < 0)
            return rc;
        next = PQconnectPoll(p->conn);
    }
    return next == PGRES_POLLING_OK ? 0 : judge_refusal(p, err);
}

static void ignore_notice(void *ctx, const PGresult *notice)
{
    (void)ctx;
    (void)notice;
}

static int connect_to(struct pg *p, const struct pg_options *o, int stop_fd, struct err *err)
{
    PQconninfoOption *parsed = PQconninfoParse(o->url, NULL);
    int rc;

    if (parsed == NULL)
        return err_set(err, ERR_NOMEM, "no memory for a connection to PostgreSQL");
    p->conn = start(o, parsed);
    PQconninfoFree(parsed);
    if (p->conn == NULL)
        return err_set(err, ERR_NOMEM, "no memory for a connection to PostgreSQL");
    PQsetErrorVerbosity(p->conn, PQERRORS_SQLSTATE);
    PQsetNoticeReceiver(p->conn, ignore_notice, NULL);
    rc = finish(p, stop_fd, err);
    if (rc == 0 && (PQsetnonblocking(p->conn, 1) != 0 || PQenterPipelineMode(p->conn) == 0))
        rc = err_set(err, ERR_AWAY, "PostgreSQL on %s: the connection ended", p->host);
    return rc;
}

static int check_server(const struct pg *p, struct err *err)
{
    const char *encoding = PQparameterStatus(p->conn, "server_encoding");
    int version = PQserverVersion(p->conn);
    char name[64];

    if (version < OLDEST_SERVER)
        return err_set(err, ERR_INPUT,
                       "PostgreSQL on %s: its version is %d, and drainwatch needs 13 or later: "
                       "upgrade it",
                       p->host, version / 10000);
    if (encoding != NULL && strcmp(encoding, "UTF8") == 0)
        return 0;
    text_copy_printable(name, sizeof name, encoding == NULL ? "unknown" : encoding);
    return err_set(err, ERR_INPUT,
                   "PostgreSQL on %s: the database's encoding is %s, and drainwatch needs UTF8: "
                   "CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0",
                   p->host, name);
}

/* ---- the session ---- */

static void add_setting(struct buf *text, const char *name, const char *value, bool is_local)
{
    (void)buf_printf(text, "%sset_config('%s', '%s', %s)", text->len == 0 ? "SELECT " : ", ", name,
                     value, is_local ? "true" : "false");
}

static void write_settings(const struct pg *p, bool is_local, struct buf *text)
{
    add_setting(text, "search_path", p->schema, is_local);
    for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++)
        if (!is_local || !settings[i].is_once)
            add_setting(text, settings[i].name, settings[i].value, is_local);
    if (p->read_only)
        add_setting(text, is_local ? "transaction_read_only" : "default_transaction_read_only",
                    "on", is_local);
}

/* A pool gives each client a process number of its own making. Behind one, the settings must not
 * stay in the session, because the next transaction in it may be another program's. */
static int prepare_session(struct pg *p, struct err *err)
{
    struct pg_rows *rows;
    struct buf text;
    int rc;

    buf_init(&text, PG_SETTINGS_MAX);
    write_settings(p, false, &text);
    (void)buf_printf(&text, " WHERE pg_backend_pid() = %d", PQbackendPID(p->conn));
    write_settings(p, true, &p->settings);
    rc = text.failed != 0 || p->settings.failed != 0
             ? err_set(err, ERR_NOMEM, "no memory for a connection to PostgreSQL")
             : pg_run_text(p, "settings", buf_text(&text), &rows, err);
    buf_close(&text);
    if (rc != 0)
        return rc;
    p->is_pooled = pg_n_rows(rows) == 0;
    pg_rows_free(rows);
    return 0;
}

static int listen_to(struct pg *p, struct err *err)
{
    char text[96];

    if (p->is_pooled)
        return 0;
    snprintf(text, sizeof text, "LISTEN %s", p->schema);
    return pg_run_text(p, "listen", text, NULL, err);
}

int pg_open_until(const struct pg_options *o, int stop_fd, struct pg **out, struct err *err)
{
    const char *fault = pg_url_fault(o->url);
    struct pg *p;
    int rc;

    assert(pg_schema_is_valid(o->schema));
    *out = NULL;
    if (fault != NULL)
        return err_set(err, ERR_INPUT, "DRAINWATCH_DATABASE_URL is not valid: it must be %s",
                       fault);
    p = calloc(1, sizeof *p);
    if (p == NULL)
        return err_set(err, ERR_NOMEM, "no memory for a connection to PostgreSQL");
    p->read_only = o->read_only;
    buf_init(&p->settings, PG_SETTINGS_MAX);
    snprintf(p->schema, sizeof p->schema, "%s", o->schema);
    pg_url_host(o->url, p->host, sizeof p->host);
    rc = connect_to(p, o, stop_fd, err);
    rc = rc != 0 ? rc : check_server(p, err);
    rc = rc != 0 ? rc : prepare_session(p, err);
    rc = rc != 0 ? rc : schema_prepare(p, err);
    rc = rc != 0 || !o->listen ? rc : listen_to(p, err);
    if (rc == 0)
        *out = p;
    else
        pg_close(p);
    return rc;
}

int pg_open(const struct pg_options *o, struct pg **out, struct err *err)
{
    return pg_open_until(o, -1, out, err);
}
