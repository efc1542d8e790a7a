/* The PostgreSQL storage's connection: dials in the background, notes its end, and waits between
 * two tries. Called by the other files of this backing. */
#include "common/base/hash.h"
#include "common/base/time.h"
#include "common/storage/storage_pg.h"

static const int64_t BACKOFF_FIRST_US = 100 * TIME_MS;
static const int64_t BACKOFF_MOST_US = 5 * TIME_S;
enum { BEAT_PAGES = 4 }; /* one beat, also if they are quick: the caller works on them */

bool storage_pg_is_pooled(const struct storage_pg *st)
{
    return st->pg != NULL && pg_is_pooled(st->pg);
}

int storage_pg_away(const struct storage_pg *st, struct err *err)
{
    if (err != &st->why)
        *err = st->why;
    return ERR_AWAY;
}

/* Every wait is up to a quarter shorter, so that programs which lost the database together do not
 * come back together. */
static int64_t shortened(const struct storage_pg *st)
{
    uint64_t dice = hash_quick(hash_seed(), &st->now_us, sizeof st->now_us) % 1024;

    return st->backoff_us - st->backoff_us / 4 * (int64_t)dice / 1024;
}

static void wait_to_dial(struct storage_pg *st, const struct err *why)
{
    st->why = *why;
    st->backoff_us = st->backoff_us == 0 ? BACKOFF_FIRST_US : 2 * st->backoff_us;
    if (st->backoff_us > BACKOFF_MOST_US)
        st->backoff_us = BACKOFF_MOST_US;
    st->dial_us = st->now_us + shortened(st);
}

/* A right that is missing may be granted again, so the alerter waits for it. */
int storage_pg_note(struct storage_pg *st, int rc, const struct err *err)
{
    if (rc == 0)
        st->backoff_us = 0;
    if (st->pg == NULL || pg_is_open(st->pg))
        return rc == ERR_INPUT ? ERR_AWAY : rc;
    pg_close(st->pg);
    st->pg = NULL;
    st->beat_refused = st->alive_refused = false;
    st->role = STORAGE_AWAY;
    storage_pg_source_drop(st);
    wait_to_dial(st, err);
    return rc;
}

static int receive(struct storage_pg *st, struct pg_rows **rows, struct err *err)
{
    int rc = pg_receive(st->pg, PG_DEADLINE_US, rows, err);

    pg_pace_see(&st->pace, rc == 0, pg_took_us(st->pg), pg_moved_bytes(st->pg));
    st->unproved_us += pg_took_us(st->pg);
    st->unproved++;
    return rc;
}

int storage_pg_receive(struct storage_pg *st, struct pg_rows **rows, struct err *err)
{
    return storage_pg_note(st, receive(st, rows, err), err);
}

int storage_pg_run(struct storage_pg *st, const struct pg_statement *s, struct pg_rows **rows,
                   struct err *err)
{
    int rc;

    if (rows != NULL)
        *rows = NULL;
    if (st->pg == NULL)
        return storage_pg_away(st, err);
    rc = pg_send(st->pg, s, st->args, err);
    if (rc == 0)
        rc = receive(st, rows, err);
    return storage_pg_note(st, pg_explain(st->pg, rc, err), err);
}

int storage_pg_run_page(struct storage_pg *st, const struct pg_statement *s, struct pg_rows **rows,
                        struct err *err)
{
    int rc = storage_pg_run(st, s, rows, err);

    if (rc == 0 && st->role == STORAGE_ACTIVE &&
        (st->unproved >= BEAT_PAGES || st->unproved_us >= LEASE_BEAT_US))
        rc = storage_pg_beat(st, err);
    if (rc == 0)
        return 0;
    pg_rows_free(*rows);
    *rows = NULL;
    return rc;
}

static void begin_dial(struct storage_pg *st)
{
    struct err why;

    if (pg_dial_begin(&st->options, &st->dial, &why) != 0)
        wait_to_dial(st, &why);
}

bool storage_pg_connect(struct storage_pg *st)
{
    struct err why;
    int rc;

    if (st->dial == NULL && st->now_us >= st->dial_us)
        begin_dial(st);
    if (st->dial == NULL || !pg_dial_take(st->dial, &st->pg, &rc, &why))
        return false;
    pg_dial_close(st->dial);
    st->dial = NULL;
    if (rc != 0)
        wait_to_dial(st, &why);
    st->term.is_pooled = storage_pg_is_pooled(st);
    return rc == 0;
}

void storage_pg_disconnect(struct storage_pg *st)
{
    pg_dial_close(st->dial);
    pg_close(st->pg);
    st->dial = NULL;
    st->pg = NULL;
}
