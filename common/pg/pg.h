/* One connection to PostgreSQL. Each call that waits has a deadline. A connection belongs to one
 * thread at a time.
 *
 * A connection that breaks, or that misses a deadline, is closed: pg_is_open is false from then on,
 * and each call returns ERR_AWAY. Statements that were sent may or may not have been committed
 * then. No message holds a password or any other part of the URL but its host and port. */
#ifndef DRAINWATCH_COMMON_PG_PG_H
#define DRAINWATCH_COMMON_PG_PG_H

#include "common/base/err.h"
#include "common/record/wire.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    PG_DEADLINE_US = 5000000, /* for one statement, if there is no better reason */
    PG_CONNECT_S = 10,        /* for a connection, without the lookup of its host's name */
    PG_ARGS_MAX = 64,         /* parameters of one statement */
    PG_STATEMENTS_MAX = 64,   /* that one connection knows */
    PG_ARGS_BYTES_MAX = 64 << 20,
    PG_SCHEMA_MAX = 41, /* characters of a schema's name */
};

struct pg;

/* A connection pool in between (PgBouncer) may run each transaction in another session, so nothing
 * may outlast a transaction. Statements are parsed each time, which costs about a millisecond, and
 * no notification is heard. */
struct pg_options {
    const char *url;     /* postgres://…; a secret */
    const char *schema;  /* [a-z][a-z0-9_]{0,40} */
    const char *program; /* "ingest", "alerter", "export": PostgreSQL shows it in its lists */
    bool read_only;      /* for commands: a follower is fine, and nothing is created */
    bool listen; /* hear notifications on the channel with the schema's name, unless pooled */
};

/* Connects, prepares the session, and creates or migrates the schema unless `read_only`. Waits for
 * up to PG_CONNECT_S and a few statements; the lookup of a name may take longer. Returns 0;
 * ERR_INPUT if it needs a person (URL, password, rights, encryption, encoding, a server older than
 * 13, another program's schema); ERR_IO if a read-only caller finds no schema; ERR_AWAY if it may
 * heal by itself; ERR_VERSION if a newer build wrote the schema; ERR_FULL; or ERR_NOMEM. */
int pg_open(const struct pg_options *o, struct pg **out, struct err *err);
void pg_close(struct pg *p); /* NULL is fine */
bool pg_is_open(const struct pg *p);
bool pg_is_pooled(const struct pg *p);
/* The server's process that serves this connection alone; 0 behind a pool. */
int64_t pg_process(const struct pg *p);
/* Readable if a notification came or the connection ended: call pg_notified. -1 if closed. */
int pg_fd(const struct pg *p);
/* Whether a notification came since the last call. Never waits. A notification may arrive together
 * with an answer, after which pg_fd stays silent, so ask before each wait. */
bool pg_notified(struct pg *p);

/* A statement is known to a connection by its address, and is prepared when it is first sent. Its
 * name is unique, and part of messages. The parameters' types are those of the first pg_args. */
struct pg_statement {
    const char *name;
    const char *text;
};

/* The parameters of one statement, in the order $1, $2, … */
struct pg_args;
struct pg_args *pg_args_new(void); /* NULL: no memory */
void pg_args_free(struct pg_args *a);
void pg_args_clear(struct pg_args *a); /* keeps the memory */
/* Each copies its value. If memory runs out, or they exceed PG_ARGS_BYTES_MAX, pg_send says so. */
void pg_put_i64(struct pg_args *a, int64_t value);
void pg_put_bool(struct pg_args *a, bool value);
void pg_put_text(struct pg_args *a, const char *value); /* NULL: an SQL NULL */
void pg_put_bytes(struct pg_args *a, const void *bytes, size_t n);
void pg_put_i64s(struct pg_args *a, const int64_t *values, size_t n); /* bigint[] */
void pg_put_bools(struct pg_args *a, const bool *values, size_t n);
void pg_put_texts(struct pg_args *a, const char *const *values, size_t n);
void pg_put_bytess(struct pg_args *a, const struct wire_bytes *values, size_t n);

/* Sends a statement, which is a transaction of its own. Never waits. Several may be sent before
 * their answers are received, which come in the same order. `a` is NULL without parameters. Returns
 * 0, ERR_AWAY, ERR_FULL (the parameters) or ERR_NOMEM. */
int pg_send(struct pg *p, const struct pg_statement *s, const struct pg_args *a, struct err *err);

/* Waits for the next answer, and until its transaction is committed. Returns 0 with `rows` (NULL if
 * the caller wants none); ERR_BUSY (a lock is taken); ERR_FULL (no room); ERR_INPUT (a right is
 * missing, as if the plan's size is exceeded); ERR_IO (the tables are gone, or our fault);
 * ERR_NOMEM; or ERR_AWAY, and the connection is closed. After another error it goes on. */
struct pg_rows;
int pg_receive(struct pg *p, int64_t wait_us, struct pg_rows **rows, struct err *err);
/* Both in one. Nothing else may be awaited. */
int pg_run(struct pg *p, const struct pg_statement *s, const struct pg_args *a, int64_t wait_us,
           struct pg_rows **rows, struct err *err);
/* Of the last answer or failure: the time since its statement was sent, and the bytes of parameters
 * and rows. */
int64_t pg_took_us(const struct pg *p);
int64_t pg_moved_bytes(const struct pg *p);
/* To be called after an error of a statement, while nothing is awaited. The tables also seem to be
 * gone (ERR_IO) if the user lost the right to the schema. Then it closes the connection, because
 * only pg_open notices that the right is back, and returns ERR_AWAY with the remedy. Otherwise it
 * returns `rc`. */
int pg_explain(struct pg *p, int rc, struct err *err);

/* Rows and columns count from 0. A NULL reads as 0, false, or empty. The bytes and texts live until
 * pg_rows_free. */
size_t pg_n_rows(const struct pg_rows *r);
int64_t pg_i64(const struct pg_rows *r, size_t row, int column); /* of any integer type */
bool pg_bool(const struct pg_rows *r, size_t row, int column);
struct wire_bytes pg_bytes(const struct pg_rows *r, size_t row, int column);
const char *pg_text(const struct pg_rows *r, size_t row, int column);
bool pg_is_null(const struct pg_rows *r, size_t row, int column);
void pg_rows_free(struct pg_rows *r); /* NULL is fine */

/* pg_open on a thread of its own. */
struct pg_dial;
/* Returns 0, ERR_IO or ERR_NOMEM. The options are copied. */
int pg_dial_begin(const struct pg_options *o, struct pg_dial **out, struct err *err);
int pg_dial_fd(const struct pg_dial *d); /* readable once it is done */
/* Whether it is done; then `rc` and `err` are pg_open's, and `out` is the connection if rc is 0. */
bool pg_dial_take(struct pg_dial *d, struct pg **out, int *rc, struct err *err);
void pg_dial_close(struct pg_dial *d); /* at any time; NULL is fine */

/* Checks a URL without connecting. Returns NULL, or the remedy: "…" in "it must be …". */
const char *pg_url_fault(const char *url);
/* Writes the URL's host and port for people to read; "the server" if it has none or they cannot be
 * told from a password. */
void pg_url_host(const char *url, char *out, size_t size);
bool pg_schema_is_valid(const char *schema);

#endif
