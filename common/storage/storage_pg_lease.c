/* The PostgreSQL storage's role: takes, keeps and watches the lease, and tells the other alerters
 * that this one lives. Called by storage.c through the table in storage_pg.c. */
#include "common/base/text.h"
#include "common/base/time.h"
#include "common/storage/storage_pg.h"

#include <stdio.h>

static const int64_t ALIVE_US = 5 * TIME_S;
static const int64_t HOUSE_US = TIME_MINUTE;
/* A notification makes a standby look at the lease at once, because it may have been released. It
 * mostly tells of a push, so not more often than this. */
static const int64_t NOTIFIED_US = 20 * TIME_MS;
enum { END_PUSHES_TRIES = 8 };

/* Behind a pool no process of the server is this alerter's: 0. */
#define RENEW(pid)                                                                                 \
    "pid=" pid ", backend_start=coalesce("                                                         \
    "(SELECT backend_start FROM pg_stat_get_activity(" pid "::int)), 'epoch')"

static const struct pg_statement read_lease = {
    "lease", "SELECT beat, last, start, bytes, epoch, holder, moved FROM lease"};
static const struct pg_statement resume = {
    "resume",
    "UPDATE lease SET beat=beat+1, " RENEW(
        "$3") " WHERE epoch=$1 AND holder=$2 RETURNING beat, last, start, bytes, epoch, holder"};
static const struct pg_statement watch_lease = {
    "watch", "SELECT epoch, beat, held, holder, last, l.pid<>0 AND NOT EXISTS "
             "(SELECT FROM pg_stat_get_activity(l.pid) a WHERE a.backend_start=l.backend_start "
             "OR a.backend_start IS NULL), moved FROM lease l"};
/* Conditional on the beat, because the holder may have woken since the poll. */
static const struct pg_statement take_lease = {
    "take", "UPDATE lease SET epoch=epoch+1, held=true, holder=$3, beat=0, since=now(), " RENEW(
                "$4") " WHERE epoch=$1 AND beat=$2 RETURNING beat, last, start, bytes, epoch, "
                      "(extract(epoch FROM clock_timestamp())*1000000)::bigint"};
/* The session that has changed the row and does not end its transaction. */
static const struct pg_statement terminate = {
    "terminate", "SELECT pg_terminate_backend(l.pid) FROM pg_locks l WHERE l.granted AND "
                 "l.relation='lease'::regclass AND l.mode='RowExclusiveLock' AND l.database="
                 "(SELECT oid FROM pg_database WHERE datname=current_database()) AND NOT EXISTS "
                 "(SELECT FROM pg_locks w WHERE w.pid=l.pid AND NOT w.granted)"};
#define BEGINS STORAGE_PG_BEGINS("$4::bigint")
static const struct pg_statement beat = {
    "beat", "UPDATE lease SET beat=beat+1, trouble=$3 WHERE epoch=$1 AND beat=$2 AND " BEGINS
            " RETURNING beat"};
static const struct pg_statement release_lease = {
    "release", "WITH r AS (UPDATE lease SET beat=beat+1, held=false WHERE epoch=$1 AND beat=$2 "
               "RETURNING beat) SELECT beat FROM r WHERE pg_notify($3, 'l') IS NOT NULL"};
static const struct pg_statement note_move = {
    "move", "UPDATE lease SET beat=beat+1, moved=$3 WHERE epoch=$1 AND beat=$2 RETURNING beat"};
/* A push that began before the move was noted has locked the inbox until its end. */
static const struct pg_statement end_pushes = {
    "end_pushes", "DO $end$ BEGIN LOCK TABLE inbox IN SHARE MODE; END $end$"};
static const struct pg_statement alive = {
    "alive", "INSERT INTO alerters (name, build, position, seen) VALUES ($1, $2, $3, now()) "
             "ON CONFLICT (name) DO UPDATE SET build=excluded.build, position=excluded.position, "
             "seen=excluded.seen"};
static const struct pg_statement leave = {"leave", "DELETE FROM alerters WHERE name=$1"};
/* Deletes pushes that came twice, and programs that are gone. The inbox is read by ingest, so an
 * ingest with pushes stays, and one that a failover has lost is added. An ingest may come back
 * after weeks, and without its row in `senders` its last records would count again. So their number
 * is bounded, and not their age. Nothing is done while another session keeps very many deleted
 * pushes, because the look at all of them would take too long. */
static const struct pg_statement house = {
    "house", "WITH h AS (SELECT FROM lease WHERE epoch=$1 AND "
             "pg_stat_get_dead_tuples('inbox'::regclass)<100000), "
             "i AS (DELETE FROM inbox i USING h, senders s WHERE i.sender=s.sender AND "
             "i.last<=s.taken), "
             "g AS (DELETE FROM ingests g USING h WHERE g.seen<now()-interval '1 hour' AND "
             "NOT EXISTS (SELECT FROM inbox i WHERE i.sender=g.sender)), "
             "s AS (DELETE FROM senders s USING h WHERE s.sender IN "
             "(SELECT sender FROM senders ORDER BY seen_us DESC OFFSET 10000) AND "
             "NOT EXISTS (SELECT FROM ingests g WHERE g.sender=s.sender)), "
             "n AS (INSERT INTO ingests (sender, name, build, goodbye, seen, waiting) "
             "SELECT DISTINCT i.sender, 'unknown', '', true, now(), 0 FROM h, inbox i WHERE "
             "NOT EXISTS (SELECT FROM ingests g WHERE g.sender=i.sender) ON CONFLICT DO NOTHING), "
             "a AS (DELETE FROM alerters a USING h WHERE a.seen<now()-interval '1 hour') "
             "SELECT count(*) FROM h"};

/* ---- Fenced statements ---- */

static int begin_anew(struct storage_pg *st, struct err *err);

/* Of entries that are committed. */
int64_t storage_pg_begin_position(struct storage_pg *st)
{
    const struct storage_pg_state *c = &st->committed;
    int64_t position = 0;
    struct err ignored;

    if (st->is_stale ||
        tables_find_snapshot(&st->tables.storage, INT64_MAX, c->last + 1, &position, &ignored) != 0)
        return 0;
    return position != 0 ? position : c->first;
}

struct pg_args *storage_pg_fence(struct storage_pg *st)
{
    pg_args_clear(st->args);
    pg_put_i64(st->args, st->epoch);
    pg_put_i64(st->args, st->beat);
    return st->args;
}

static void stand_by(struct storage_pg *st)
{
    st->role = STORAGE_STANDBY;
    st->beat_refused = false;
    st->epoch = 0;
    st->term.has_lost = false;
    st->is_seen = false;
    st->poll_us = 0;
    lease_watch_begin(&st->watch);
    storage_pg_source_drop(st);
}

/* If the lease is as this alerter left it, the stream was cut. */
static int refused(struct storage_pg *st, struct err *err)
{
    int rc = begin_anew(st, err);

    st->term.has_lost = false;
    st->term.is_cut = rc == 0 && st->role == STORAGE_ACTIVE;
    if (rc != 0)
        return rc;
    return err_set(err, ERR_AWAY,
                   st->term.is_cut ? "the history in the database was deleted"
                                   : "another alerter has become active, and this one stands by");
}

int storage_pg_fenced(struct storage_pg *st, struct pg_rows *rows, struct err *err)
{
    bool holds = pg_n_rows(rows) == 1;

    st->unproved_us = st->unproved = 0;
    if (holds) {
        st->beat = pg_i64(rows, 0, 0);
        lease_prove(&st->hold, st->now_us);
    }
    pg_rows_free(rows);
    return holds ? 0 : refused(st, err);
}

int storage_pg_run_fenced(struct storage_pg *st, const struct pg_statement *s, struct err *err)
{
    struct pg_rows *rows;
    int rc = storage_pg_run(st, s, &rows, err);

    return rc != 0 ? rc : storage_pg_fenced(st, rows, err);
}

int storage_pg_beat(struct storage_pg *st, struct err *err)
{
    int64_t begin = storage_pg_begin_position(st);

    pg_put_text(storage_pg_fence(st), st->trouble);
    pg_put_i64(st->args, begin);
    return storage_pg_run_fenced(st, &beat, err);
}

/* ---- The state in the lease ---- */

static int64_t process_of(const struct storage_pg *st)
{
    return st->pg == NULL ? 0 : pg_process(st->pg);
}

/* From the columns beat, last, start, bytes, epoch. */
static void take_state(struct storage_pg *st, const struct pg_rows *rows)
{
    st->beat = pg_i64(rows, 0, 0);
    st->committed.last = pg_i64(rows, 0, 1);
    st->committed.start = pg_i64(rows, 0, 2);
    st->committed.bytes = pg_i64(rows, 0, 3);
    st->state = st->committed;
    st->term.epoch = pg_i64(rows, 0, 4);
    st->term.last = st->committed.last;
    if (st->read_to > st->term.last)
        st->read_to = st->term.last;
}

static void note_holder(struct storage_pg *st, const char *holder)
{
    snprintf(st->term_holder, sizeof st->term_holder, "%s", holder);
}

static void note_moved(struct storage_pg *st, const char *place)
{
    struct storage *s = &st->tables.storage;

    text_copy_printable(s->moved, sizeof s->moved, place);
}

static void become_active(struct storage_pg *st, const struct pg_rows *rows)
{
    take_state(st, rows);
    st->epoch = st->term.epoch;
    st->term.was_released = !st->seen.is_held;
    st->term.taken_at_us = pg_i64(rows, 0, 5);
    st->role = STORAGE_ACTIVE;
    st->is_stale = true;
    lease_prove(&st->hold, st->now_us);
}

/* A holder that was cut off in the middle of a statement keeps the row's lock until its session
 * ends. */
static int end_holder(struct storage_pg *st, struct err *err)
{
    pg_args_clear(st->args);
    return storage_pg_run(st, &terminate, NULL, err);
}

/* As it was last seen. */
static int take(struct storage_pg *st, struct err *err)
{
    struct pg_rows *rows;
    int rc;

    pg_args_clear(st->args);
    pg_put_i64(st->args, st->seen.epoch);
    pg_put_i64(st->args, st->seen.beat);
    pg_put_text(st->args, st->holder);
    pg_put_i64(st->args, process_of(st));
    rc = storage_pg_run(st, &take_lease, &rows, err);
    if (rc == ERR_BUSY)
        return end_holder(st, err);
    if (rc == 0 && pg_n_rows(rows) == 1)
        become_active(st, rows);
    pg_rows_free(rows);
    return rc;
}

/* A failover may have lost commits, or an operator deleted entries. Positions and rows of the
 * outbox get the same numbers again then, so all that was done with the lost ones must be
 * forgotten: a new term does that. */
static int begin_anew(struct storage_pg *st, struct err *err)
{
    st->seen = (struct lease_seen){.epoch = st->epoch, .beat = st->beat, .is_held = true};
    stand_by(st);
    st->term.has_lost = true;
    note_holder(st, "");
    return take(st, err);
}

/* The beat was raised by one just now. */
static bool has_lost(const struct storage_pg *st, const struct pg_rows *rows)
{
    return pg_i64(rows, 0, 0) <= st->beat || pg_i64(rows, 0, 1) < st->committed.last;
}

static int renew(struct storage_pg *st, struct err *err)
{
    struct pg_rows *rows;
    struct err ignored;
    bool lost = false;
    int rc;

    pg_args_clear(st->args);
    pg_put_i64(st->args, st->epoch);
    pg_put_text(st->args, st->holder);
    pg_put_i64(st->args, process_of(st));
    rc = storage_pg_run(st, &resume, &rows, err);
    if (rc == ERR_BUSY) /* by its own session before this one, which the server has not given up */
        (void)end_holder(st, &ignored);
    if (rc != 0)
        return rc;
    if (pg_n_rows(rows) == 1) {
        lost = has_lost(st, rows);
        st->is_stale = st->is_stale || pg_i64(rows, 0, 1) != st->committed.last;
        take_state(st, rows);
        lease_prove(&st->hold, st->now_us);
        st->role = STORAGE_ACTIVE;
    } else {
        stand_by(st);
    }
    pg_rows_free(rows);
    return lost ? begin_anew(st, err) : 0;
}

int storage_pg_read_lease(struct storage_pg *st, struct err *err)
{
    struct pg_rows *rows;
    int rc = st->epoch != 0 ? renew(st, err) : 0;

    if (rc != 0 || st->epoch != 0)
        return rc;
    pg_args_clear(st->args);
    rc = storage_pg_run(st, &read_lease, &rows, err);
    if (rc == 0 && pg_n_rows(rows) != 1)
        rc = err_set(err, ERR_IO, "the table lease is empty (restore the schema, or drop it)");
    if (rc == 0) {
        take_state(st, rows);
        note_holder(st, pg_text(rows, 0, 5));
        note_moved(st, pg_text(rows, 0, 6));
        st->term.is_heard = false;
        st->role = STORAGE_STANDBY;
    }
    pg_rows_free(rows);
    return rc;
}

/* ---- A standby ---- */

/* A pool hides a failover. Entries that it lost may have been read, or entries that an operator
 * deleted. Others may have their positions by now, but only in a new term. */
static void check_loss(struct storage_pg *st, bool is_new_term)
{
    const bool lacks_some = st->term.last < st->read_to;

    if (lacks_some)
        st->read_to = st->term.last;
    if (lacks_some || is_new_term)
        st->term.must_reread = true;
}

/* Its holder has raised the beat between two polls. */
static bool is_raised(const struct storage_pg *st)
{
    return st->watch.is_seen && st->watch.epoch == st->seen.epoch &&
           st->watch.beat != st->seen.beat;
}

static int poll_lease(struct storage_pg *st, struct err *err)
{
    struct pg_rows *rows;
    bool is_new_term;
    int rc;

    st->polled_us = st->now_us;
    st->poll_us = st->now_us + LEASE_POLL_US;
    pg_args_clear(st->args);
    rc = storage_pg_run(st, &watch_lease, &rows, err);
    if (rc != 0 || pg_n_rows(rows) != 1) {
        pg_rows_free(rows);
        return rc;
    }
    st->seen = (struct lease_seen){.sent_us = st->now_us,
                                   .epoch = pg_i64(rows, 0, 0),
                                   .beat = pg_i64(rows, 0, 1),
                                   .is_held = pg_bool(rows, 0, 2),
                                   .is_gone = pg_bool(rows, 0, 5)};
    st->is_seen = true;
    st->term.is_heard = is_raised(st) || (st->term.is_heard && st->term.epoch == st->seen.epoch);
    is_new_term = st->term.epoch != st->seen.epoch;
    st->term.epoch = st->seen.epoch;
    st->term.last = pg_i64(rows, 0, 4);
    note_holder(st, pg_text(rows, 0, 3));
    note_moved(st, pg_text(rows, 0, 6));
    pg_rows_free(rows);
    check_loss(st, is_new_term);
    return 0;
}

/* A poll is judged in the next step, whose time is that of its answer. */
static int watch(struct storage_pg *st, struct err *err)
{
    if (st->is_seen) {
        st->is_seen = false;
        st->seen.answered_us = st->now_us;
        if (lease_watch_see(&st->watch, &st->seen) && !st->tables.storage.stands_by)
            return take(st, err);
    }
    return st->now_us >= st->poll_us ? poll_lease(st, err) : 0;
}

/* ---- The functions of the table ---- */

/* Whether the database refused to be written on a connection that stands. A full one only stops a
 * standby, because an active alerter makes room. */
static bool is_refusal(struct storage_pg *st, int rc, const struct err *err)
{
    bool is_one =
        st->pg != NULL && (rc == ERR_AWAY || (rc == ERR_FULL && st->role == STORAGE_STANDBY));

    if (is_one)
        st->why = *err;
    return is_one;
}

/* A standby that may not write could not take over, and an active alerter that may not write cannot
 * prove that it has the lease. */
static int tell_alive(struct storage_pg *st, struct err *err)
{
    int rc;

    if (st->now_us < st->alive_us ||
        (st->role == STORAGE_ACTIVE && st->now_us >= lease_beat_due_us(&st->hold) + LEASE_BEAT_US))
        return 0;
    st->alive_us = st->now_us + ALIVE_US;
    pg_args_clear(st->args);
    pg_put_text(st->args, st->holder);
    pg_put_text(st->args, DRAINWATCH_VERSION);
    pg_put_i64(st->args, st->read_to);
    rc = storage_pg_run(st, &alive, NULL, err);
    st->alive_refused = is_refusal(st, rc, err);
    return rc;
}

static int keep_house(struct storage_pg *st, struct err *err)
{
    if (st->now_us < st->house_us)
        return storage_pg_clean(st, err);
    st->house_us = st->now_us + HOUSE_US;
    pg_args_clear(st->args);
    pg_put_i64(st->args, st->epoch);
    return storage_pg_run(st, &house, NULL, err);
}

static int64_t beat_due_us(const struct storage_pg *st)
{
    int64_t due_us = lease_beat_due_us(&st->hold);

    return due_us > st->beat_us ? due_us : st->beat_us;
}

static int keep(struct storage_pg *st, struct err *err)
{
    int rc = 0;

    if (st->now_us >= beat_due_us(st)) {
        st->beat_us = st->now_us + LEASE_POLL_US; /* at the earliest, if it fails */
        rc = storage_pg_beat(st, err);
        st->beat_refused = st->role == STORAGE_ACTIVE && is_refusal(st, rc, err);
    }
    return rc != 0 ? rc : keep_house(st, err);
}

/* On a new connection. A lock or a full disk does not end it, so a later step tries again. */
static int arrive(struct storage_pg *st, struct err *err)
{
    int rc;

    if (st->now_us < st->poll_us)
        return 0;
    st->polled_us = st->now_us;
    st->poll_us = st->now_us + LEASE_POLL_US;
    st->is_seen = false;
    lease_watch_begin(&st->watch);
    rc = storage_pg_read_lease(st, err);
    if (rc == 0)
        st->poll_us = st->alive_us = 0;
    else
        st->why = *err;
    return rc;
}

/* Takes notifications, and notices the end of the connection. */
static void hear(struct storage_pg *st)
{
    char host[STORAGE_PG_NAME_SIZE];
    struct err why;
    bool is_notified = pg_notified(st->pg);

    if (!pg_is_open(st->pg)) {
        pg_url_host(st->url, host, sizeof host);
        err_set(&why, ERR_AWAY, "PostgreSQL on %s: the connection ended", host);
        storage_pg_note(st, ERR_AWAY, &why);
    }
    if (!is_notified || st->pg == NULL)
        return;
    storage_pg_source_notify(st);
    if (st->poll_us > st->polled_us + NOTIFIED_US)
        st->poll_us = st->polled_us + NOTIFIED_US;
}

static int step(struct storage_pg *st, struct err *err)
{
    int rc;

    if (st->pg != NULL)
        hear(st);
    if (st->pg == NULL) {
        if (!storage_pg_connect(st))
            return 0;
        st->poll_us = 0;
    }
    if (st->role == STORAGE_AWAY)
        return arrive(st, err);
    rc = st->role == STORAGE_ACTIVE ? keep(st, err) : watch(st, err);
    return rc != 0 ? rc : tell_alive(st, err);
}

int storage_pg_tend(struct storage *s, int64_t now_us, enum storage_role *role, struct err *err)
{
    struct storage_pg *st = storage_pg_of(s);
    int rc;

    st->now_us = now_us;
    rc = step(st, err);
    *role = st->beat_refused || st->alive_refused ? STORAGE_AWAY : st->role;
    if (*role == STORAGE_AWAY)
        *err = st->why;
    return rc == ERR_IO || rc == ERR_NOMEM ? rc : 0;
}

int64_t storage_pg_wake_us(const struct storage *s)
{
    const struct storage_pg *st = storage_pg_of(s);
    int64_t wake_us = st->role == STORAGE_ACTIVE ? beat_due_us(st) : st->poll_us;

    if (st->pg == NULL)
        return st->dial == NULL ? st->dial_us : INT64_MAX;
    if (st->is_seen)
        return st->now_us;
    if (st->role == STORAGE_ACTIVE && storage_pg_source_wake_us(st) < wake_us)
        return storage_pg_source_wake_us(st);
    return wake_us;
}

int storage_pg_fd(const struct storage *s)
{
    const struct storage_pg *st = storage_pg_of(s);

    if (st->pg != NULL)
        return pg_fd(st->pg);
    return st->dial != NULL ? pg_dial_fd(st->dial) : -1;
}

bool storage_pg_may_post(struct storage *s, int64_t now_us)
{
    struct storage_pg *st = storage_pg_of(s);
    struct err err;

    if (st->role != STORAGE_ACTIVE || lease_may_post(&st->hold, now_us))
        return st->role == STORAGE_ACTIVE;
    st->now_us = now_us;
    return storage_pg_beat(st, &err) == 0;
}

void storage_pg_release(struct storage *s)
{
    struct storage_pg *st = storage_pg_of(s);
    struct err err;

    s->stands_by = true;
    if (st->role == STORAGE_ACTIVE) {
        pg_put_text(storage_pg_fence(st), st->schema);
        (void)storage_pg_run_fenced(st, &release_lease, &err);
    }
    if (st->role == STORAGE_ACTIVE)
        stand_by(st);
    pg_args_clear(st->args);
    pg_put_text(st->args, st->holder);
    (void)storage_pg_run(st, &leave, NULL, &err);
}

/* The server ends a push after 4 s, and a wait for a lock after 1 s. */
static int wait_for_pushes(struct storage_pg *st, struct err *err)
{
    int rc = ERR_BUSY;

    for (int i = 0; i < END_PUSHES_TRIES && rc == ERR_BUSY; i++) {
        rc = storage_pg_beat(st, err);
        pg_args_clear(st->args);
        if (rc == 0)
            rc = storage_pg_run(st, &end_pushes, NULL, err);
    }
    return rc != ERR_BUSY ? rc
                          : err_set(err, rc,
                                    "another session keeps the table inbox locked (end it, and "
                                    "move again)");
}

int storage_pg_note_move(struct storage *s, const char *place, struct err *err)
{
    struct storage_pg *st = storage_pg_of(s);
    int rc;

    pg_put_text(storage_pg_fence(st), place);
    rc = storage_pg_run_fenced(st, &note_move, err);
    return rc != 0 || place[0] == '\0' ? rc : wait_for_pushes(st, err);
}

const struct storage_term *storage_pg_term(const struct storage *s)
{
    struct storage_pg *st = storage_pg_of(s);

    if (st->role == STORAGE_ACTIVE)
        st->term.last = st->committed.last;
    return &st->term;
}
