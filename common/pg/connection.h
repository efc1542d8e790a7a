/* What the files of this room share about a connection; no other room includes it. */
#ifndef DRAINWATCH_COMMON_PG_CONNECTION_H
#define DRAINWATCH_COMMON_PG_CONNECTION_H

#include "common/base/buf.h"
#include "common/pg/pg.h"

#include <libpq-fe.h>

enum {
    PG_SENT_MAX = 8, /* statements whose answers are awaited */
    PG_HOST_SIZE = 256,
    PG_STATE_SIZE = 6, /* of an SQLSTATE and a zero */
    PG_SETTINGS_MAX = 4096,
};

struct pg_sent {
    const struct pg_statement *statement;
    bool prepares; /* an answer to its preparation comes first */
    int64_t at_us;
    int64_t bytes; /* of its parameters */
};

struct pg {
    PGconn *conn; /* NULL: closed */
    bool read_only;
    bool is_pooled;
    struct buf settings;     /* a statement that makes them for one transaction, behind a pool */
    char host[PG_HOST_SIZE]; /* for messages */
    char schema[PG_SCHEMA_MAX + 1];
    char state[PG_STATE_SIZE]; /* SQLSTATE of the last answer; "" for success */
    const struct pg_statement *known[PG_STATEMENTS_MAX];
    size_t n_known;
    struct pg_sent sent[PG_SENT_MAX]; /* the oldest first */
    size_t n_sent;
    int64_t took_us; /* by the last answer */
    int64_t moved_bytes;
};

struct pg_args {
    int n;
    Oid types[PG_ARGS_MAX];
    int lengths[PG_ARGS_MAX]; /* -1: an SQL NULL */
    size_t starts[PG_ARGS_MAX];
    struct buf bytes;
};

/* pg_open, given up with ERR_AWAY once `stop_fd` is readable (-1: never). */
int pg_open_until(const struct pg_options *o, int stop_fd, struct pg **out, struct err *err);

/* Runs a text once, unprepared and without parameters. */
int pg_run_text(struct pg *p, const char *name, const char *text, struct pg_rows **rows,
                struct err *err);

/* Later calls return ERR_AWAY. */
void pg_disconnect(struct pg *p);

int64_t pg_now_us(void);
/* For poll: how long until `deadline_us`, at least 0. */
int pg_wait_ms(int64_t deadline_us);

/* The value of a keyword in what PQconninfoParse returned; NULL if it is not given. */
const char *pg_url_value(const PQconninfoOption *parsed, const char *keyword);
/* Whether the host is this machine, so that nobody on the way can read along. */
bool pg_url_is_local(const PQconninfoOption *parsed);

#endif
