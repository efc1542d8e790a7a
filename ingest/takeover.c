/* Puts pushes of an ingest that stops into the database; called by the loop. */
#include "ingest/takeover.h"

#include "common/app/log.h"
#include "common/base/text.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char MOVED[] = "all of it was moved to another place";

void takeover_init(struct takeover *t, const struct settings *settings)
{
    *t = (struct takeover){.settings = settings};
}

static void close_jobs(struct takeover *t)
{
    pg_jobs_close(t->jobs, false, 0);
    t->jobs = NULL;
    t->is_up = t->is_running = t->has_known = false;
}

static void log_taken(uint64_t n)
{
    if (n > 0)
        log_info("put %" PRIu64 " %s of an ingest that stops into the database", n,
                 text_plural(n, "record", "records"));
}

void takeover_close(struct takeover *t)
{
    log_taken(throttle_flush(&t->taken));
    close_jobs(t);
}

int takeover_fd(const struct takeover *t)
{
    return t->jobs == NULL ? -1 : pg_jobs_fd(t->jobs);
}

/* ---- jobs ---- */

static int open_jobs(struct takeover *t, struct err *err)
{
    const struct settings *s = t->settings;
    char process[PROCESS_NAME_SIZE], name[PROCESS_NAME_SIZE + 32];

    process_name(process);
    snprintf(name, sizeof name, "one that stopped, by %s", process);
    return pg_jobs_open(&(struct pg_jobs_options){.url = s->database_url,
                                                  .schema = s->schema,
                                                  .name = name,
                                                  .inbox_max_bytes = s->spool_max_bytes},
                        &t->jobs, err);
}

/* The database must know the sender before its pushes are read, and no push without records needs
 * more. */
static enum pg_job_kind next_kind(const struct takeover *t, const struct wire_push *push)
{
    bool is_known = t->has_known && memcmp(t->known, push->sender, sizeof t->known) == 0;

    if (!t->is_up)
        return PG_JOB_CONNECT;
    if (push->goodbye)
        return PG_JOB_GOODBYE;
    return is_known && push->n_records > 0 ? PG_JOB_PUSH : PG_JOB_REGISTER;
}

static int begin(struct takeover *t, enum pg_job_kind kind)
{
    const struct wire_push *push = handover_push(t->handover);
    struct pg_job job = {.kind = kind};
    int rc;

    memcpy(job.sender, push->sender, sizeof job.sender);
    if (kind == PG_JOB_PUSH) {
        job.first = (int64_t)push->first;
        job.last = (int64_t)(push->first + push->n_records - 1);
        job.oldest = (int64_t)push->oldest;
        job.acked = handover_have(t->handover);
        job.body = handover_packed(t->handover);
    }
    rc = pg_jobs_begin(t->jobs, &job);
    t->kind = kind;
    t->is_running = rc == 0;
    return rc;
}

/* ---- outcomes ---- */

static void decide(struct takeover *t, enum handover_result result, int64_t have)
{
    handover_decide(t->handover, result, have);
    t->handover = NULL;
}

static void fail(struct takeover *t, const char *why, int64_t now_us)
{
    if (throttle_add(&t->failed, 1, now_us) > 0)
        log_warning("records of an ingest that stops cannot be put into the database now: %s", why);
    decide(t, HANDOVER_NOT_NOW, 0);
}

static void begin_or_fail(struct takeover *t, enum pg_job_kind kind, int64_t now_us)
{
    if (begin(t, kind) != 0)
        fail(t, "out of memory", now_us);
}

static void take_registered(struct takeover *t, const struct pg_known *known, int64_t now_us)
{
    const struct wire_push *push = handover_push(t->handover);

    t->is_up = t->has_known = true;
    memcpy(t->known, push->sender, sizeof t->known);
    if (known->is_moved)
        fail(t, MOVED, now_us);
    else if (push->goodbye)
        begin_or_fail(t, PG_JOB_GOODBYE, now_us);
    else if (push->n_records > 0)
        begin_or_fail(t, PG_JOB_PUSH, now_us);
    else
        decide(t, HANDOVER_KNOWN, known->have);
}

static void take_pushed(struct takeover *t, const struct pg_known *known, int64_t now_us)
{
    if (known->is_moved) {
        fail(t, MOVED, now_us);
    } else if (known->have < handover_have(t->handover)) {
        fail(t, "it has lost records that it had", now_us);
    } else {
        log_taken(throttle_add(&t->taken, handover_push(t->handover)->n_records, now_us));
        decide(t, HANDOVER_COMMITTED, 0);
    }
}

static void take_outcome(struct takeover *t, const struct pg_outcome *o, int64_t now_us)
{
    t->is_running = false;
    if (o->rc != 0) {
        t->is_up = t->is_up && o->is_open;
        fail(t, o->err.text, now_us);
    } else if (t->kind == PG_JOB_CONNECT || t->kind == PG_JOB_REGISTER) {
        take_registered(t, &o->known, now_us);
    } else if (t->kind == PG_JOB_PUSH) {
        take_pushed(t, &o->known, now_us);
    } else {
        decide(t, HANDOVER_COMMITTED, 0);
    }
}

static void begin_next(struct takeover *t, int64_t now_us)
{
    struct err err;

    t->used_us = now_us;
    if (t->jobs == NULL && open_jobs(t, &err) != 0)
        fail(t, err.text, now_us);
    else
        begin_or_fail(t, next_kind(t, handover_push(t->handover)), now_us);
}

bool takeover_run(struct takeover *t, struct handovers *handovers, int64_t now_us)
{
    const struct pg_outcome *o = t->is_running ? pg_jobs_take(t->jobs) : NULL;
    bool is_any = false;

    if (o != NULL) {
        take_outcome(t, o, now_us);
        is_any = t->handover == NULL;
    }
    while (t->handover == NULL && (t->handover = handovers_next(handovers)) != NULL) {
        begin_next(t, now_us);
        is_any = is_any || t->handover == NULL;
    }
    if (t->jobs != NULL && t->handover == NULL && now_us - t->used_us >= TAKEOVER_IDLE_US) {
        log_taken(throttle_flush(&t->taken));
        close_jobs(t);
    }
    return is_any;
}
