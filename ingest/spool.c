/* Records deliveries in ingest's journals and sends them to the alerter; called by the loop. */
#include "ingest/spool.h"

#include "common/app/log.h"
#include "common/app/process.h"
#include "common/base/time.h"
#include "common/queue/pg_jobs.h"
#include "common/queue/queue.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
    PATH_SIZE = 4096,
    SHARED_WAITING = 16, /* records that wait in the quick lane, before the bulk lane makes way */
    SHARED_BYTES = 4 << 10, /* of its messages meanwhile */
    KEEP_SHARE = 4,         /* of a journal, for records that a database already has */
    LEFT_SHARE = 16, /* of the quick lane: with less room other drains' deliveries may not fit */
};

static const char *const FILES[BACKLOG_LANES] = {"ingest.db", "ingest-bulk.db"};

/* ---- lanes ---- */

static bool has_bulk(const struct settings *s)
{
    return s->spool_max_bytes >= SPOOL_LANES_BYTES;
}

static int64_t max_bytes(const struct settings *s, enum backlog_lane lane)
{
    int64_t quick = has_bulk(s) ? s->spool_max_bytes / 4 : s->spool_max_bytes;

    return lane == BACKLOG_QUICK ? quick : s->spool_max_bytes - quick;
}

static void lane_path(const struct spool *s, enum backlog_lane lane, char path[PATH_SIZE])
{
    snprintf(path, PATH_SIZE, "%s/%s", s->settings->state_dir, FILES[lane]);
}

static int open_journal(struct spool *s, enum backlog_lane lane, struct err *err)
{
    char path[PATH_SIZE], set_aside[512];
    int rc;

    lane_path(s, lane, path);
    rc = journal_open(&(struct journal_options){.path = path,
                                                .sync_full = s->settings->sync_full,
                                                .exclusive = true,
                                                .max_bytes = max_bytes(s->settings, lane)},
                      &s->lanes[lane].journal, set_aside, err);
    if (rc == 0 && set_aside[0] != '\0')
        log_error("the journal was damaged and is set aside as %s; its records are not delivered",
                  set_aside);
    return rc;
}

static void close_lane(struct spool_lane *l)
{
    sender_close(l->sender);
    journal_close(l->journal);
    *l = (struct spool_lane){0};
}

/* All ingests share the database's inbox. Their bulk lanes may fill three quarters of it, so that
 * the quick lanes have room. */
static int64_t inbox_max_bytes(const struct settings *s, enum backlog_lane lane)
{
    return lane == BACKLOG_BULK ? max_bytes(s, lane) : s->spool_max_bytes;
}

static int open_carrier(const struct settings *s, enum backlog_lane lane, int64_t now_us,
                        struct carrier **out, struct err *err)
{
    const struct queue_options queue = {s->queue, s->secrets, s->n_secrets};
    char name[PROCESS_NAME_SIZE];

    process_name(name);
    return carrier_open(&queue,
                        &(struct pg_jobs_options){.url = s->database_url,
                                                  .schema = s->schema,
                                                  .name = name,
                                                  .inbox_max_bytes = inbox_max_bytes(s, lane)},
                        now_us, out, err);
}

static int open_lane(struct spool *s, enum backlog_lane lane, int64_t now_us, struct err *err)
{
    struct spool_lane *l = &s->lanes[lane];
    struct carrier *carrier;
    int rc = open_journal(s, lane, err);

    if (rc == 0)
        rc = open_carrier(s->settings, lane, now_us, &carrier, err);
    if (rc == 0)
        rc = sender_open(carrier, l->journal, max_bytes(s->settings, lane) / KEEP_SHARE, now_us,
                         &l->sender, err);
    if (rc != 0)
        close_lane(l);
    return rc;
}

/* The bulk lane of an earlier start may hold records. If opening it needs room on a full disk, it
 * holds none: that start could not make its tables. */
static int open_lanes(struct spool *s, int64_t now_us, struct err *err)
{
    char path[PATH_SIZE];
    int rc = open_lane(s, BACKLOG_QUICK, now_us, err);

    lane_path(s, BACKLOG_BULK, path);
    s->n_lanes = BACKLOG_BULK;
    if (rc != 0 || access(path, F_OK) != 0)
        return rc;
    rc = open_lane(s, BACKLOG_BULK, now_us, err);
    if (rc == ERR_FULL)
        return 0;
    s->n_lanes = BACKLOG_LANES;
    return rc;
}

int spool_open(struct spool *s, const struct settings *settings, int64_t now_us, struct err *err)
{
    int rc;

    *s = (struct spool){.settings = settings, .opened_us = now_us};
    rc = open_lanes(s, now_us, err);
    if (rc != 0)
        spool_close(s);
    return rc;
}

void spool_close(struct spool *s)
{
    for (int i = 0; i < s->n_lanes; i++)
        close_lane(&s->lanes[i]);
    s->n_lanes = 0;
    backlog_clear(&s->backlog);
}

static void undo(struct spool_lane *l)
{
    journal_rollback(l->journal);
    sender_rollback(l->sender);
}

/* ---- recording ---- */

static const char *drain_of(const struct request *r)
{
    size_t n;

    return request_records(r, &n)->drain;
}

static enum backlog_lane lane_of(struct spool *s, const struct request *r)
{
    return has_bulk(s->settings) ? backlog_lane(&s->backlog, drain_of(r)) : BACKLOG_QUICK;
}

/* A delivery without a match may tell of lost lines, which is work, too. */
static uint64_t matches_of(const struct request *r)
{
    size_t n;
    const struct wire_record *records = request_records(r, &n);
    uint64_t sum = 0;

    for (size_t i = 0; i < n; i++) {
        sum++;
        for (size_t k = 0; k < records[i].n_matches; k++)
            sum += records[i].matches[k].n_times;
    }
    return sum;
}

/* Appends all records of a request. Returns 0 or an error; `torn` tells that some are in already.
 */
static int append_request(const struct spool_lane *l, const struct request *r, bool *torn,
                          struct err *err)
{
    size_t n;
    const struct wire_record *records = request_records(r, &n);
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < n; i++) {
        struct wire_record record = records[i];

        rc = sender_append(l->sender, &record, err);
        *torn = rc != 0 && i > 0;
    }
    return rc;
}

/* A request of the lane that is not refused yet. */
static bool is_due(const struct request *r, enum backlog_lane lane)
{
    return request_is_accepted(r) && request_place(r)->lane == (int)lane;
}

/* Whether the bulk lane is full of a drain's own records, and other drains' have room. Then the
 * journal is not full for others. */
static bool fills_it_alone(struct spool *s, const struct request *r)
{
    return backlog_is_most(&s->backlog, drain_of(r), BACKLOG_BULK) &&
           journal_has_room(s->lanes[BACKLOG_QUICK].journal,
                            (size_t)max_bytes(s->settings, BACKLOG_QUICK) / LEFT_SHARE);
}

/* A request does not fit into a lane. Returns true if the journal is not at fault: the request
 * tries the bulk lane next, or its drain fills that lane alone. */
static bool excuse(struct spool *s, enum backlog_lane lane, struct request *r)
{
    if (!has_bulk(s->settings))
        return false;
    if (lane == BACKLOG_BULK)
        return fills_it_alone(s, r);
    request_set_accepted(r, true);
    request_set_place(r, (struct request_place){.lane = BACKLOG_BULK});
    return true;
}

/* Appends all of the lane that is not refused yet. Returns 0 or the error of the last that was
 * refused now; `torn` tells that a part of it is in, so that the transaction must begin again. */
static int append_all(struct spool *s, enum backlog_lane lane, struct request *waiting, bool *torn,
                      int64_t now_us, struct err *err)
{
    const struct spool_lane *l = &s->lanes[lane];
    int failed = 0;

    *torn = false;
    for (struct request *r = waiting; r != NULL && !*torn; r = request_next(r)) {
        struct err why;
        int rc;

        if (!is_due(r, lane))
            continue;
        rc = append_request(l, r, torn, &why);
        request_set_accepted(r, rc == 0);
        request_set_place(r, (struct request_place){(int)lane, journal_last(l->journal), now_us});
        if (rc == 0 || (rc == ERR_FULL && excuse(s, lane, r)))
            continue;
        failed = rc;
        *err = why;
    }
    return failed;
}

static void refuse_all(enum backlog_lane lane, struct request *waiting)
{
    for (struct request *r = waiting; r != NULL; r = request_next(r)) {
        if (request_place(r)->lane == (int)lane)
            request_set_accepted(r, false);
    }
}

static int record_lane(struct spool *s, enum backlog_lane lane, struct request *waiting,
                       int64_t now_us, struct err *err)
{
    struct spool_lane *l = &s->lanes[lane];
    bool torn = true;
    int refused = 0, rc = 0;

    while (rc == 0 && torn) {
        int failed;

        rc = journal_begin(l->journal, err);
        if (rc != 0)
            break;
        failed = append_all(s, lane, waiting, &torn, now_us, err);
        refused = failed != 0 ? failed : refused;
        if (torn)
            undo(l);
    }
    if (rc == 0)
        rc = sender_trim(l->sender, err);
    if (rc == 0)
        rc = journal_commit(l->journal, err);
    if (rc == 0)
        return refused;
    undo(l);
    refuse_all(lane, waiting);
    return rc;
}

/* Chooses the lanes. */
static void begin(struct spool *s, struct request *waiting)
{
    int64_t acked[BACKLOG_LANES] = {0};

    for (int i = 0; i < s->n_lanes; i++)
        acked[i] = sender_acked(s->lanes[i].sender);
    backlog_begin(&s->backlog, acked,
                  journal_is_larger(s->lanes[BACKLOG_QUICK].journal,
                                    max_bytes(s->settings, BACKLOG_QUICK) / 2));
    for (struct request *r = waiting; r != NULL; r = request_next(r)) {
        request_set_accepted(r, true);
        request_set_place(r, (struct request_place){.lane = (int)lane_of(s, r)});
    }
}

/* Whether the bulk lane has something to record or to trim. */
static bool is_bulk_used(const struct spool *s, struct request *waiting, int64_t now_us)
{
    bool is_used =
        s->n_lanes > BACKLOG_BULK && sender_trim_due(s->lanes[BACKLOG_BULK].sender, now_us);

    for (struct request *r = waiting; r != NULL; r = request_next(r))
        is_used = is_used || is_due(r, BACKLOG_BULK);
    return is_used;
}

static int record_bulk(struct spool *s, struct request *waiting, int64_t now_us, struct err *err)
{
    int rc = s->n_lanes > BACKLOG_BULK ? 0 : open_lane(s, BACKLOG_BULK, now_us, err);

    if (rc != 0) {
        refuse_all(BACKLOG_BULK, waiting);
        return rc;
    }
    s->n_lanes = BACKLOG_LANES;
    return record_lane(s, BACKLOG_BULK, waiting, now_us, err);
}

/* Counts a request that is accepted. */
static void count(struct spool *s, const struct request *r)
{
    const struct request_place *place = request_place(r);

    backlog_add(&s->backlog, drain_of(r), (enum backlog_lane)place->lane, matches_of(r),
                place->position);
}

int spool_record(struct spool *s, struct request *waiting, int64_t now_us, struct err *err)
{
    int quick, bulk = 0;
    struct err second;

    begin(s, waiting);
    quick = record_lane(s, BACKLOG_QUICK, waiting, now_us, err);
    if (is_bulk_used(s, waiting, now_us))
        bulk = record_bulk(s, waiting, now_us, quick == 0 ? err : &second);
    for (struct request *r = waiting; r != NULL && has_bulk(s->settings); r = request_next(r)) {
        if (request_is_accepted(r))
            count(s, r);
    }
    return quick != 0 ? quick : bulk;
}

bool spool_trim_due(const struct spool *s, int64_t now_us)
{
    bool is_due = false;

    for (int i = 0; i < s->n_lanes; i++)
        is_due = is_due || sender_trim_due(s->lanes[i].sender, now_us);
    return is_due;
}

/* ---- the database ---- */

enum request_kept spool_kept(const struct spool *s, const struct request *r, int64_t now_us)
{
    const struct request_place *place = request_place(r);
    const struct sender *sender = s->lanes[place->lane].sender;

    if (place->at_us <= s->opened_us) /* in a journal that was set aside since then */
        return REQUEST_KEPT_DISK;
    return hold_judge(sender_is_safe(sender, place->position), sender_is_late(sender, now_us),
                      now_us - place->at_us);
}

struct spool_alone spool_alone(const struct spool *s, int64_t now_us)
{
    struct spool_alone alone = {.since_us = now_us};

    for (int i = 0; i < s->n_lanes; i++) {
        const struct sender *sender = s->lanes[i].sender;

        if (sender_waiting(sender) == 0 || !sender_is_late(sender, now_us))
            continue;
        alone.records += sender_waiting(sender);
        if (sender_progress_us(sender) < alone.since_us)
            alone.since_us = sender_progress_us(sender);
    }
    return alone;
}

/* ---- the alerter ---- */

static int exchange(struct sender *sender, int64_t now_us, struct err *err)
{
    int rc = sender_push(sender, now_us, err);

    if (rc == 0)
        rc = sender_receive(sender, now_us, err);
    return rc == 0 ? sender_timer(sender, now_us, err) : rc;
}

typedef int sender_fn(struct sender *s, int64_t now_us, struct err *err);

/* Calls `fn` for each lane. Returns 0 or an error of one of them. */
static int for_each(struct spool *s, sender_fn *fn, int64_t now_us, struct err *err)
{
    int failed = 0;

    for (int i = 0; i < s->n_lanes; i++) {
        struct err why;
        int rc = fn(s->lanes[i].sender, now_us, &why);

        if (rc == 0)
            continue;
        *err = why;
        failed = rc;
    }
    return failed;
}

/* The alerter takes a message of each lane in turn. The quick lane's messages are small if each of
 * its deliveries came alone, so the bulk lane's must be small then, too: a message of 256 KiB can
 * hold 300 times the work. */
static void share(const struct spool *s)
{
    const bool is_shared = s->settings->queue != NULL && s->n_lanes > BACKLOG_BULK;

    if (is_shared)
        sender_limit_push(
            s->lanes[BACKLOG_BULK].sender,
            sender_waiting(s->lanes[BACKLOG_QUICK].sender) > SHARED_WAITING ? SHARED_BYTES : 0);
}

int spool_push(struct spool *s, int64_t now_us, struct err *err)
{
    share(s);
    return for_each(s, sender_push, now_us, err);
}

int spool_exchange(struct spool *s, int64_t now_us, struct err *err)
{
    share(s);
    return for_each(s, exchange, now_us, err);
}

int spool_fd(const struct spool *s, enum backlog_lane lane)
{
    return (int)lane < s->n_lanes ? sender_fd(s->lanes[lane].sender) : -1;
}

bool spool_pending(struct spool *s)
{
    bool pending = false;

    for (int i = 0; i < s->n_lanes; i++)
        pending = sender_pending(s->lanes[i].sender) || pending;
    return pending;
}

int64_t spool_wake_us(const struct spool *s)
{
    int64_t wake_us = INT64_MAX;

    for (int i = 0; i < s->n_lanes; i++) {
        int64_t us = sender_wake_us(s->lanes[i].sender);

        wake_us = us < wake_us ? us : wake_us;
    }
    return wake_us;
}

void spool_maintain(struct spool *s, bool is_idle)
{
    for (int i = 0; i < s->n_lanes; i++)
        journal_maintain(s->lanes[i].journal, is_idle);
}

struct sender *spool_sender(const struct spool *s, enum backlog_lane lane)
{
    return (int)lane < s->n_lanes ? s->lanes[lane].sender : NULL;
}

uint64_t spool_waiting(const struct spool *s)
{
    uint64_t waiting = 0;

    for (int i = 0; i < s->n_lanes; i++)
        waiting += sender_waiting(s->lanes[i].sender);
    return waiting;
}

/* The lane that is worse: the one with a fault, then the one that waits longer. The acks taken back
 * and the lost records are those of both. */
void spool_health(const struct spool *s, int64_t now_us, struct sender_health *out)
{
    sender_health(s->lanes[BACKLOG_QUICK].sender, now_us, out);
    for (int i = 1; i < s->n_lanes; i++) {
        struct sender_health health;
        uint64_t taken_back, lost;

        sender_health(s->lanes[i].sender, now_us, &health);
        if (health.is_new) /* a lane is opened when it is first needed */
            continue;
        taken_back = out->taken_back + health.taken_back;
        lost = out->lost + health.lost;
        if (health.ok < out->ok || (health.ok == out->ok && health.waiting_us > out->waiting_us))
            *out = health;
        out->taken_back = taken_back;
        out->lost = lost;
    }
}

void spool_ask(struct spool *s, int64_t now_us)
{
    for (int i = 0; i < s->n_lanes; i++)
        sender_ask(s->lanes[i].sender, now_us);
}

bool spool_is_sure(const struct spool *s, int64_t since_us)
{
    for (int i = 0; i < s->n_lanes; i++) {
        if (!sender_is_sure(s->lanes[i].sender, since_us))
            return false;
    }
    return true;
}

void spool_goodbye(struct spool *s)
{
    for (int i = 0; i < s->n_lanes; i++)
        sender_goodbye(s->lanes[i].sender);
}

/* ---- damage ---- */

int spool_check(struct spool *s, int64_t now_us, struct err *err)
{
    const struct settings *settings = s->settings;
    bool is_gone = false, is_suspect = false;

    for (int i = 0; i < s->n_lanes; i++) {
        is_gone = is_gone || (now_us >= s->look_us && journal_is_gone(s->lanes[i].journal));
        is_suspect = is_suspect || journal_is_suspect(s->lanes[i].journal);
    }
    if (is_gone)
        return err_set(err, ERR_IO, "%s was removed or replaced while in use: start again",
                       settings->state_dir);
    if (now_us >= s->look_us)
        s->look_us = now_us + TIME_S;
    if (!is_suspect)
        return 0;
    spool_close(s);
    return spool_open(s, settings, now_us, err);
}
