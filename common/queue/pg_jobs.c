/* Runs a sender's statements in PostgreSQL on a thread; called by carrier_pg and by
 * ingest/takeover. */
#include "common/queue/pg_jobs.h"

#include "common/base/buf.h"
#include "common/base/text.h"
#include "common/pg/pace.h"
#include "common/pg/pg.h"
#include "common/queue/carrier.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

enum state {
    IDLE,
    BEGUN, /* the thread has the job */
    DONE,  /* the outcome waits */
};

struct pg_jobs {
    struct pg_jobs_options options; /* its texts are copies */
    pthread_t thread;
    pthread_mutex_t lock; /* of the next four */
    pthread_cond_t changed;
    enum state state;
    bool stops;
    bool says_goodbye;
    int64_t left; /* records without an ack, for the goodbye */
    int done_fd;
    struct pg_job job; /* this and the rest belong to the thread while a job is BEGUN */
    struct buf body;
    struct pg_outcome outcome;
    struct pg *pg;
    struct pg_args *args;
    struct pg_pace pace; /* of pushes */
    atomic_int owners;   /* the thread and the caller; the last one frees */
};

/* ---- statements ---- */

/* The last sequence of sender $1 that the database has. The index also leads to pushes that were
 * taken, as long as another session may see them: a dump, or a transaction that somebody left open.
 * So a statement looks behind the last one taken. */
#define HAVE                                                                                       \
    "(SELECT greatest(t.taken, (SELECT max(last) FROM inbox WHERE sender = $1 AND last > "         \
    "t.taken)) FROM (SELECT coalesce((SELECT taken FROM senders WHERE sender = $1), 0) AS taken) " \
    "t)"

/* An inbox that is small on the disk need not be summed up. Its files do not shrink by themselves,
 * so their size alone tells nothing. */
static const struct pg_statement register_sender = {
    "register", "INSERT INTO ingests AS g (sender, name, build, goodbye, seen, waiting)"
                " VALUES ($1, $2, $3, false, now(), $4)"
                " ON CONFLICT (sender) DO UPDATE SET name = excluded.name, build = excluded.build,"
                " goodbye = false, seen = excluded.seen, waiting = excluded.waiting"
                " RETURNING " HAVE ","
                " (SELECT refused FROM senders s WHERE s.sender = g.sender),"
                " (SELECT trouble FROM lease), (SELECT epoch FROM lease), (SELECT beat FROM lease),"
                " CASE WHEN pg_table_size('inbox') > $5"
                " THEN (SELECT sum(pg_column_size(i.body)) FROM ingests n"
                " LEFT JOIN senders t ON t.sender = n.sender JOIN inbox i ON i.sender = n.sender"
                " AND i.last > coalesce(t.taken, 0)) > $5 ELSE false END,"
                " (SELECT moved <> '' FROM lease)"};

/* If an answer was lost, a copy of the push may be there; the one with more records stays. Behind a
 * pool a failover that lost commits shows here first: then nothing is stored, or records in between
 * would be missing. Once a move away has begun, nothing is stored either: the move waits for the
 * pushes before it by a lock on the inbox, which a statement takes before it looks at the lease. */
static const struct pg_statement push = {
    "push",
    "WITH h AS (SELECT " HAVE " AS have, EXISTS (SELECT FROM lease WHERE moved <> '') AS"
    " is_moved), p AS (INSERT INTO inbox (sender, last, first, oldest, body)"
    " SELECT $1, $2, $3, $4, $5 FROM h WHERE have >= $7 AND NOT is_moved"
    " ON CONFLICT (sender, last) DO"
    " UPDATE SET first = excluded.first, oldest = excluded.oldest, body = excluded.body"
    " WHERE excluded.first < inbox.first) SELECT have, is_moved, pg_notify($6, 'i') FROM h"};

/* On a full disk the room of pushes that were taken is all that there is, and only a VACUUM makes
 * it usable. Autovacuum does not come for a few rows. */
static const struct pg_statement vacuum = {"vacuum", "VACUUM (SKIP_LOCKED, TRUNCATE false) inbox"};

static const struct pg_statement goodbye = {
    "goodbye", "UPDATE ingests SET goodbye = true, seen = now(), waiting = $2 WHERE sender = $1"};

static int run_register(struct pg_jobs *j)
{
    struct pg_known *known = &j->outcome.known;
    struct pg_rows *rows;
    int rc;

    pg_args_clear(j->args);
    pg_put_bytes(j->args, j->job.sender, sizeof j->job.sender);
    pg_put_text(j->args, j->options.name);
    pg_put_text(j->args, DRAINWATCH_VERSION);
    pg_put_i64(j->args, j->job.waiting);
    pg_put_i64(j->args, j->options.inbox_max_bytes);
    rc = pg_run(j->pg, &register_sender, j->args, PG_DEADLINE_US, &rows, &j->outcome.err);
    if (rc != 0)
        return rc;
    known->have = pg_i64(rows, 0, 0);
    text_copy_printable(known->refused, sizeof known->refused, pg_text(rows, 0, 1));
    text_copy_printable(known->trouble, sizeof known->trouble, pg_text(rows, 0, 2));
    known->epoch = pg_i64(rows, 0, 3);
    known->beat = pg_i64(rows, 0, 4);
    known->is_full = pg_bool(rows, 0, 5);
    known->is_moved = pg_bool(rows, 0, 6);
    known->is_pooled = pg_is_pooled(j->pg);
    pg_rows_free(rows);
    return 0;
}

static int run_connect(struct pg_jobs *j)
{
    const struct pg_options options = {
        .url = j->options.url, .schema = j->options.schema, .program = "ingest"};
    int rc;

    pg_close(j->pg);
    j->pg = NULL;
    rc = pg_open(&options, &j->pg, &j->outcome.err);
    return rc != 0 ? rc : run_register(j);
}

static void make_room(struct pg_jobs *j)
{
    struct err ignored;

    if (!pg_is_open(j->pg) ||
        pg_is_pooled(j->pg)) /* a pool's statements are parts of transactions */
        return;
    pg_args_clear(j->args);
    (void)pg_run(j->pg, &vacuum, j->args, PG_DEADLINE_US, NULL, &ignored);
}

static int run_push(struct pg_jobs *j)
{
    struct pg_rows *rows = NULL;
    int rc;

    pg_args_clear(j->args);
    pg_put_bytes(j->args, j->job.sender, sizeof j->job.sender);
    pg_put_i64(j->args, j->job.last);
    pg_put_i64(j->args, j->job.first);
    pg_put_i64(j->args, j->job.oldest);
    pg_put_bytes(j->args, j->body.data, j->body.len);
    pg_put_text(j->args, j->options.schema);
    pg_put_i64(j->args, j->job.acked);
    rc = pg_run(j->pg, &push, j->args, PG_DEADLINE_US, &rows, &j->outcome.err);
    pg_pace_see(&j->pace, rc == 0, pg_took_us(j->pg), pg_moved_bytes(j->pg));
    if (rc == 0) {
        j->outcome.known.have = pg_i64(rows, 0, 0);
        j->outcome.known.is_moved = pg_bool(rows, 0, 1);
    } else if (rc == ERR_FULL) {
        make_room(j); /* the carrier tries again */
    }
    pg_rows_free(rows);
    return rc;
}

static int run_goodbye(struct pg_jobs *j)
{
    pg_args_clear(j->args);
    pg_put_bytes(j->args, j->job.sender, sizeof j->job.sender);
    pg_put_i64(j->args, j->job.waiting);
    return pg_run(j->pg, &goodbye, j->args, PG_DEADLINE_US, NULL, &j->outcome.err);
}

static void run_job(struct pg_jobs *j)
{
    static int (*const run[])(struct pg_jobs * j) = {
        [PG_JOB_CONNECT] = run_connect,
        [PG_JOB_REGISTER] = run_register,
        [PG_JOB_PUSH] = run_push,
        [PG_JOB_GOODBYE] = run_goodbye,
    };

    j->outcome.rc = run[j->job.kind](j);
    if (j->pg != NULL)
        j->outcome.rc = pg_explain(j->pg, j->outcome.rc, &j->outcome.err);
    /* The next connection makes tables that are gone anew. */
    j->outcome.is_open = j->pg != NULL && pg_is_open(j->pg) && j->outcome.rc != ERR_IO;
    j->outcome.push_bytes = j->pace.bytes;
}

/* ---- the thread ---- */

static void forget_text(const char *text)
{
    char *own = (char *)(uintptr_t)text;

    if (own != NULL)
        explicit_bzero(own, strlen(own));
    free(own);
}

static void release(struct pg_jobs *j)
{
    if (atomic_fetch_sub(&j->owners, 1) != 1)
        return;
    pg_close(j->pg);
    pg_args_free(j->args);
    buf_close(&j->body);
    forget_text(j->options.url);
    forget_text(j->options.schema);
    forget_text(j->options.name);
    if (j->done_fd >= 0)
        close(j->done_fd);
    pthread_cond_destroy(&j->changed);
    pthread_mutex_destroy(&j->lock);
    free(j);
}

static void signal_done(struct pg_jobs *j)
{
    const uint64_t one = 1;
    ssize_t n = write(j->done_fd, &one, sizeof one);

    assert(n == (ssize_t)sizeof one); /* the counter is far from its end */
}

static void *run_jobs(void *ctx)
{
    struct pg_jobs *j = ctx;
    bool says_goodbye;

    pthread_mutex_lock(&j->lock);
    while (!j->stops) {
        if (j->state != BEGUN) {
            pthread_cond_wait(&j->changed, &j->lock);
            continue;
        }
        pthread_mutex_unlock(&j->lock);
        run_job(j);
        pthread_mutex_lock(&j->lock);
        j->state = DONE;
        signal_done(j);
    }
    says_goodbye = j->says_goodbye;
    j->job.waiting = j->left;
    pthread_mutex_unlock(&j->lock);
    if (says_goodbye && j->pg != NULL && pg_is_open(j->pg))
        (void)run_goodbye(j);
    release(j);
    return NULL;
}

static int start(struct pg_jobs *j, struct err *err)
{
    int rc;

    if (j->options.url == NULL || j->options.schema == NULL || j->options.name == NULL ||
        j->args == NULL)
        return err_set(err, ERR_NOMEM, "no memory for a connection to PostgreSQL");
    if (j->done_fd < 0)
        return err_set(err, ERR_IO, "eventfd: %s", strerror(errno));
    j->owners = 2;
    rc = pthread_create(&j->thread, NULL, run_jobs, j);
    if (rc == 0)
        return 0;
    j->owners = 1;
    return err_set(err, ERR_IO, "no thread can be started: %s", strerror(rc));
}

int pg_jobs_open(const struct pg_jobs_options *options, struct pg_jobs **out, struct err *err)
{
    struct pg_jobs *j = calloc(1, sizeof *j);
    int rc;

    if (j == NULL)
        return err_set(err, ERR_NOMEM, "no memory for a connection to PostgreSQL");
    j->options = *options;
    j->options.url = strdup(options->url);
    j->options.schema = strdup(options->schema);
    j->options.name = strdup(options->name);
    j->args = pg_args_new();
    buf_init(&j->body, WIRE_MESSAGE_MAX);
    pg_pace_init(&j->pace, CARRIER_PUSH_BYTES);
    pthread_mutex_init(&j->lock, NULL);
    pthread_cond_init(&j->changed, NULL);
    j->done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    j->owners = 1;
    rc = start(j, err);
    if (rc != 0) {
        release(j);
        return rc;
    }
    *out = j;
    return 0;
}

void pg_jobs_close(struct pg_jobs *j, bool says_goodbye, int64_t left)
{
    struct timespec until;

    if (j == NULL)
        return;
    pthread_mutex_lock(&j->lock);
    j->stops = true;
    j->says_goodbye = says_goodbye;
    j->left = left;
    pthread_cond_signal(&j->changed);
    pthread_mutex_unlock(&j->lock);
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += PG_JOBS_CLOSE_MS * 1000000L;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    if (pthread_clockjoin_np(j->thread, NULL, CLOCK_MONOTONIC, &until) != 0)
        pthread_detach(j->thread);
    release(j);
}

/* ---- jobs ---- */

int pg_jobs_fd(const struct pg_jobs *j)
{
    return j->done_fd;
}

int pg_jobs_begin(struct pg_jobs *j, const struct pg_job *job)
{
    int rc;

    buf_clear(&j->body);
    rc = buf_append(&j->body, job->body.data, job->body.len);
    if (rc != 0)
        return rc;
    j->job = *job;
    pthread_mutex_lock(&j->lock);
    assert(j->state == IDLE);
    j->state = BEGUN;
    pthread_cond_signal(&j->changed);
    pthread_mutex_unlock(&j->lock);
    return 0;
}

const struct pg_outcome *pg_jobs_take(struct pg_jobs *j)
{
    uint64_t done;
    bool is_done;

    if (read(j->done_fd, &done, sizeof done) != (ssize_t)sizeof done)
        return NULL;
    pthread_mutex_lock(&j->lock);
    is_done = j->state == DONE;
    j->state = IDLE;
    pthread_mutex_unlock(&j->lock);
    assert(is_done);
    return &j->outcome;
}
