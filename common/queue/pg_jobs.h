/* The statements of a sender in PostgreSQL, one job at a time, on a thread that owns the
 * connection. Its owner begins the jobs and takes their outcomes. No call but pg_jobs_close waits.
 */
#ifndef DRAINWATCH_COMMON_QUEUE_PG_JOBS_H
#define DRAINWATCH_COMMON_QUEUE_PG_JOBS_H

#include "common/base/err.h"
#include "common/record/wire.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PG_JOBS_TEXT_SIZE = 300, PG_JOBS_CLOSE_MS = 500 };

struct pg_jobs;

/* All texts are copied. */
struct pg_jobs_options {
    const char *url; /* a secret */
    const char *schema;
    const char *name;        /* of this process, for people: its dyno or host */
    int64_t inbox_max_bytes; /* of the pushes of all ingests. With more, is_full */
};

enum pg_job_kind {
    PG_JOB_CONNECT,  /* closes an old connection, opens one, and registers */
    PG_JOB_REGISTER, /* shows that the sender lives, and fills pg_known */
    PG_JOB_PUSH,
    PG_JOB_GOODBYE, /* shows that the sender ended */
};

struct pg_job {
    enum pg_job_kind kind;
    uint8_t sender[WIRE_SENDER_BYTES];
    int64_t waiting; /* records that have no ack; not of a PUSH */
    int64_t acked;   /* a PUSH is not stored if the database has lost this, or was moved */
    /* The rest is a PUSH's. The body is a packed push; it is copied. */
    int64_t first, last, oldest;
    struct wire_bytes body;
};

/* Of CONNECT and REGISTER. A PUSH fills `have`, as it was before, and `is_moved`. */
struct pg_known {
    int64_t have; /* the last sequence that the database has of the sender, 0: none */
    char refused[PG_JOBS_TEXT_SIZE]; /* why the next record is not taken; "" if it is */
    char trouble[PG_JOBS_TEXT_SIZE]; /* why alerts are not delivered; "" if they are */
    int64_t epoch, beat;             /* of the lease: one rises as long as an alerter is active */
    bool is_full;                    /* the inbox is larger than inbox_max_bytes */
    bool is_moved;                   /* to another place, with all that was pushed */
    bool is_pooled;                  /* a connection pool lies between */
};

struct pg_outcome {
    int rc;       /* 0, or an error of pg_open or pg_receive; 0: it is committed */
    bool is_open; /* the connection still stands */
    struct err err;
    struct pg_known known;
    int64_t push_bytes; /* that the next PUSH should have, for this link */
};

/* Starts the thread, which does nothing yet. Returns 0, ERR_IO or ERR_NOMEM. */
int pg_jobs_open(const struct pg_jobs_options *options, struct pg_jobs **out, struct err *err);
/* Waits up to PG_JOBS_CLOSE_MS until the job that runs is done and, with `says_goodbye`, until the
 * database knows that the last job's sender ended, with `left` records that have no ack. A thread
 * that hangs for longer ends by itself. NULL is fine. */
void pg_jobs_close(struct pg_jobs *j, bool says_goodbye, int64_t left);

int pg_jobs_fd(const struct pg_jobs *j); /* readable: an outcome is there */
/* Only while no job runs and no outcome waits. Returns 0, or ERR_FULL or ERR_NOMEM for the body. */
int pg_jobs_begin(struct pg_jobs *j, const struct pg_job *job);
/* The outcome of the job, if it is done; NULL otherwise. Valid until the next pg_jobs_begin. */
const struct pg_outcome *pg_jobs_take(struct pg_jobs *j);

#endif
