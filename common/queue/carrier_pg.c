/* Decides when to connect to PostgreSQL, to register and to push; called by the sender. */
#include "common/queue/carrier_pg.h"

#include <stdlib.h>
#include <string.h>

struct carrier_pg {
    struct carrier base;
    struct pg_jobs *jobs;
    struct pg_job job; /* the last one begun */
    bool is_running;   /* its outcome is not known */
    bool is_up;
    bool is_held;   /* by a failure that left the connection open */
    uint64_t epoch; /* of connections, and of pushes that failed */
    int failure;    /* of `failed`; 0: it was made good */
    enum pg_job_kind failed;
    int64_t retry_us;    /* nothing is begun before */
    int64_t patience_us; /* between the last failure and then */
    int64_t ping_us;     /* when to register again */
    struct pg_known known;
    int64_t alerter_us; /* of the last sign that an alerter is active, or of the connection */
    bool has_ack;
    int64_t told; /* records that wait, as the database was told last */
    bool says_goodbye;
};

static struct carrier_pg *of(struct carrier *c)
{
    return (struct carrier_pg *)c;
}

static const struct carrier_pg *of_const(const struct carrier *c)
{
    return (const struct carrier_pg *)c;
}

/* ---- outcomes ---- */

/* Many ingests lose the database at once, and must not all come back at once. */
static void plan_retry(struct carrier_pg *c, int64_t now_us)
{
    c->patience_us = c->patience_us == 0 ? CARRIER_PG_RETRY_MIN_US : 2 * c->patience_us;
    if (c->patience_us > CARRIER_PG_RETRY_MAX_US)
        c->patience_us = CARRIER_PG_RETRY_MAX_US;
    c->retry_us = now_us + c->patience_us / 2 + now_us % (c->patience_us / 2);
}

static void take_failure(struct carrier_pg *c, const struct pg_outcome *o, int64_t now_us)
{
    c->failure = o->rc;
    c->failed = c->job.kind;
    c->base.last = o->err;
    c->is_up = c->is_up && o->is_open;
    if (c->is_up && c->job.kind == PG_JOB_PUSH)
        c->epoch++; /* the sender sends it again */
    plan_retry(c, now_us);
}

/* The database had all up to `has` when the job ran. That is a loss only if it had more when the
 * job began, because another way may have brought some meanwhile. */
static void set_ack(struct carrier_pg *c, int64_t has)
{
    c->has_ack = true;
    if (has < c->job.acked || has > (int64_t)c->base.acked)
        c->base.acked = (uint64_t)has;
}

static void take_known(struct carrier_pg *c, const struct pg_known *known, int64_t now_us)
{
    if (!c->is_up || known->epoch != c->known.epoch || known->beat != c->known.beat)
        c->alerter_us = now_us;
    c->known = *known;
    c->base.is_pooled = known->is_pooled;
    c->ping_us = now_us + (known->is_full ? CARRIER_PG_FULL_US : CARRIER_PG_PING_US);
    set_ack(c, known->have);
}

/* If the database was moved, the sender keeps the records and sends them again. */
static void take_pushed(struct carrier_pg *c, const struct pg_known *known)
{
    const bool is_stored = known->have >= c->job.acked && !known->is_moved;

    c->known.is_moved = known->is_moved;
    c->epoch += known->is_moved;
    set_ack(c, is_stored ? c->job.last : known->have);
}

/* A push that failed is not made good by a registration. Patience lasts until more than a
 * connection works. */
static void take_success(struct carrier_pg *c, const struct pg_outcome *o, int64_t now_us)
{
    if (c->job.kind == PG_JOB_PUSH)
        take_pushed(c, &o->known);
    else
        take_known(c, &o->known, now_us);
    if (c->job.kind == PG_JOB_CONNECT) {
        c->is_up = true;
        c->epoch++;
        c->failed = PG_JOB_CONNECT;
    } else if (c->failed != PG_JOB_PUSH || c->job.kind == PG_JOB_PUSH) {
        c->patience_us = 0;
    } else {
        return;
    }
    c->failure = 0;
    c->base.last.text[0] = '\0';
}

/* ---- jobs ---- */

static void begin(struct carrier_pg *c, enum pg_job_kind kind, int64_t now_us)
{
    c->job = (struct pg_job){
        .kind = kind, .waiting = (int64_t)c->base.waiting, .acked = (int64_t)c->base.acked};
    memcpy(c->job.sender, c->base.sender, sizeof c->job.sender);
    c->is_running = pg_jobs_begin(c->jobs, &c->job) == 0;
    c->base.wants_ack = c->base.wants_ack && !c->is_running;
    c->told = c->job.waiting;
    if (!c->is_running)
        plan_retry(c, now_us);
}

static void tend(struct carrier *base, int64_t now_us)
{
    struct carrier_pg *c = of(base);
    const struct pg_outcome *o = c->is_running ? pg_jobs_take(c->jobs) : NULL;

    if (o != NULL) {
        c->is_running = false;
        c->base.push_bytes = o->push_bytes;
        if (o->rc == 0)
            take_success(c, o, now_us);
        else
            take_failure(c, o, now_us);
    }
    c->is_held = c->is_up && now_us < c->retry_us;
    if (c->is_running || now_us < c->retry_us)
        return;
    if (!c->is_up)
        begin(c, PG_JOB_CONNECT, now_us);
    else if (base->wants_ack || now_us >= c->ping_us || (c->told > 0 && base->waiting == 0))
        begin(c, PG_JOB_REGISTER, now_us);
}

static bool is_away(const struct carrier *base)
{
    const struct carrier_pg *c = of_const(base);

    return !c->is_up || c->is_held || c->known.is_full || c->known.is_moved;
}

static bool is_writable(struct carrier *base)
{
    return !is_away(base) && !of(base)->is_running;
}

/* The carrier asks for acks by itself, so a push without records says nothing new. */
static int send_push(struct carrier *base, const struct wire_push *push, struct wire_bytes packed)
{
    struct carrier_pg *c = of(base);
    int rc;

    c->says_goodbye = c->says_goodbye || push->goodbye;
    if (push->n_records == 0)
        return 0;
    if (!is_writable(base))
        return ERR_FULL;
    c->job = (struct pg_job){.kind = PG_JOB_PUSH,
                             .first = (int64_t)push->first,
                             .last = (int64_t)(push->first + push->n_records - 1),
                             .oldest = (int64_t)push->oldest,
                             .acked = (int64_t)c->base.acked,
                             .body = packed};
    memcpy(c->job.sender, push->sender, sizeof c->job.sender);
    rc = pg_jobs_begin(c->jobs, &c->job);
    c->is_running = rc == 0;
    return rc;
}

/* ---- the rest of the table ---- */

static int get_fd(const struct carrier *base)
{
    return pg_jobs_fd(of_const(base)->jobs);
}

static bool is_pending(struct carrier *base)
{
    return of(base)->has_ack;
}

static int64_t wake_us(const struct carrier *base)
{
    const struct carrier_pg *c = of_const(base);

    if (c->is_running)
        return INT64_MAX;
    return c->is_up && !c->is_held ? c->ping_us : c->retry_us;
}

static int receive(struct carrier *base, struct wire_ack *ack)
{
    struct carrier_pg *c = of(base);

    if (!c->has_ack)
        return 0;
    c->has_ack = false;
    *ack = (struct wire_ack){
        .taken = base->acked, .refused = c->known.refused, .trouble = c->known.trouble};
    memcpy(ack->sender, base->sender, sizeof ack->sender);
    return 1;
}

static uint64_t get_epoch(const struct carrier *base)
{
    return of_const(base)->epoch;
}

static const char *failure_text(int failure)
{
    switch (failure) {
    case ERR_VERSION:
        return "the database has the tables of a newer drainwatch";
    case ERR_INPUT:
        return "the database refuses this program";
    case ERR_FULL:
        return "the database has no room";
    case ERR_IO:
        return "the database takes no records";
    default:
        return ""; /* it may heal within moments, and silence is told anyway */
    }
}

/* For anybody who asks, so without names of hosts and users. */
static const char *get_fault(const struct carrier *base)
{
    const struct carrier_pg *c = of_const(base);
    const char *text = failure_text(c->failure);

    if (text[0] == '\0' && c->is_up && c->known.is_full)
        text = "the database's inbox is full, because the alerter is behind";
    if (text[0] == '\0' && c->is_up && c->known.is_moved)
        text = "what the database kept was moved to another place";
    return text;
}

static int64_t idle_us(const struct carrier *base, int64_t now_us)
{
    const struct carrier_pg *c = of_const(base);
    int64_t us = now_us - c->alerter_us;

    return c->is_up && !c->known.is_moved && failure_text(c->failure)[0] == '\0' &&
                   us >= CARRIER_PG_ALERTER_US
               ? us
               : 0;
}

static void close_carrier(struct carrier *base)
{
    pg_jobs_close(of(base)->jobs, of(base)->says_goodbye, (int64_t)base->waiting);
    free(base);
}

static const struct carrier_ops ops = {
    .fd = get_fd,
    .pending = is_pending,
    .wake_us = wake_us,
    .tend = tend,
    .send = send_push,
    .writable = is_writable,
    .receive = receive,
    .epoch = get_epoch,
    .is_away = is_away,
    .fault = get_fault,
    .idle_us = idle_us,
    .close = close_carrier,
};

int carrier_pg_open(const struct pg_jobs_options *options, struct carrier **out, struct err *err)
{
    struct carrier_pg *c = calloc(1, sizeof *c);
    int rc;

    if (c == NULL)
        return err_set(err, ERR_NOMEM, "no memory for the sender");
    rc = pg_jobs_open(options, &c->jobs, err);
    if (rc != 0) {
        free(c);
        return rc;
    }
    c->base = (struct carrier){
        .ops = &ops, .alerter = "the alerter", .peer = "the database", .may_lose = true};
    *out = &c->base;
    return 0;
}
