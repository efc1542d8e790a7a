/* Changes between active, standing by and cut off as the storage says; called by loop. */
#include "alerter/role.h"

#include "common/base/time.h"

#include <assert.h>

static const int64_t RETRY_US = 500 * TIME_MS;
/* An alerter that finds the lease free takes it sooner than this, and a holder that lives has
 * changed it. */
static const int64_t TOLD_US = 2 * TIME_S;
/* A newer build has written the stream. Only a newer snapshot that this build can read helps. */
static const int64_t UNREADABLE_US = TIME_MINUTE;

static const struct storage_term *term_of(const struct role *r)
{
    return storage_term(r->turn->storage);
}

/* ---- reading ---- */

/* If the storage itself is read anew, a lost answer does no harm. */
static int read_all(struct role *r, struct err *err)
{
    struct turn *t = r->turn;
    int rc = t->needs_restore ? ERR_BUSY : storage_restore(t->storage, err);

    if (rc == 0 && term_of(r)->is_cut)
        rc = ERR_BUSY;
    if (rc == 0)
        rc = fold_follow(&t->fold, t->storage, err);
    return rc == ERR_BUSY ? turn_restore(t, err) : rc;
}

static int follow(struct role *r, struct err *err)
{
    struct turn *t = r->turn;
    int rc = 0;

    if (t->needs_restore)
        return turn_restore(t, err);
    if (term_of(r)->last > t->fold.position)
        rc = fold_follow(&t->fold, t->storage, err);
    return rc == ERR_BUSY ? turn_restore(t, err) : rc;
}

/* Retries after an error, unless that cannot help. An alerter that cannot read the stream leaves
 * the lease to another one. */
static int settle(struct role *r, int rc, struct err *err)
{
    struct turn *t = r->turn;

    t->storage->stands_by = rc == ERR_VERSION || r->is_leaving;
    notices_read(r->notices, rc == 0 ? NULL : err->text, rc != ERR_VERSION, r->boot_us);
    if (rc == 0)
        return 0;
    t->needs_restore = true;
    t->needs_room = rc == ERR_FULL;
    r->retry_us = r->boot_us + (rc == ERR_VERSION ? UNREADABLE_US : RETRY_US);
    if (rc == ERR_VERSION)
        storage_release(t->storage);
    return rc == ERR_IO || rc == ERR_INPUT || rc == ERR_DAMAGED ? rc : 0;
}

/* ---- changes ---- */

static int take_over(struct role *r, struct err *err)
{
    struct turn *t = r->turn;
    int rc = read_all(r, err);

    if (rc == 0 && term_of(r)->is_cut)
        notices_cut(r->notices);
    if (rc == 0)
        rc = turn_activate(t, r->boot_us, err);
    if (rc != 0)
        return rc;
    r->epoch = term_of(r)->epoch;
    r->is_told = false;
    notices_active(r->notices, term_of(r), t->now_us);
    notices_begin(r->notices, t->settings, t->fold.engine);
    return 0;
}

/* The rows of the outbox are another alerter's now, or others after a failover that lost commits.
 * So no outcome of a post is kept. */
static void lose(struct role *r)
{
    const size_t dropped = dispatch_drop(r->dispatch);

    turn_deactivate(r->turn);
    if (term_of(r)->has_lost)
        notices_began_anew(r->notices);
    else if (!term_of(r)->is_cut)
        notices_lost(r->notices, dropped);
    r->is_told = false; /* who has taken over shows later */
}

static void tell(struct role *r, const struct err *why)
{
    uint64_t waits = 0;
    struct err err;

    if (r->now == STORAGE_AWAY) {
        if (outbox_undelivered(r->turn->outbox, &waits, &err) != 0)
            waits = 0;
        notices_away(r->notices, why->text, waits, r->boot_us);
        return;
    }
    notices_back(r->notices, r->boot_us);
    if (term_of(r)->is_pooled)
        notices_pooled(r->notices);
    if (r->now == STORAGE_ACTIVE)
        r->standby_us = 0;
    else if (r->standby_us == 0)
        r->standby_us = r->boot_us;
    else if (!r->is_told && (term_of(r)->is_heard || r->boot_us - r->standby_us >= TOLD_US)) {
        notices_standby(r->notices, term_of(r));
        r->is_told = true;
    }
}

int role_tend(struct role *r, int64_t boot_us, struct err *err)
{
    const bool was_away = r->now == STORAGE_AWAY;
    struct turn *t = r->turn;
    int rc = storage_tend(t->storage, boot_us, &r->now, err);

    r->boot_us = boot_us;
    if (rc != 0 || !storage_is_shared(t->storage))
        return rc;
    rc = turn_check_place(t, err); /* it may have been frozen during a move */
    if (rc != 0)
        return rc;
    if (r->now != STORAGE_AWAY && turn_is_active(t) &&
        (r->now == STORAGE_STANDBY || term_of(r)->epoch != r->epoch))
        lose(r);
    /* A failover may have lost entries that were followed, and others have their positions now. */
    t->needs_restore =
        t->needs_restore || (was_away && r->now == STORAGE_STANDBY) || term_of(r)->must_reread;
    tell(r, err);
    if (r->now == STORAGE_AWAY || boot_us < r->retry_us)
        return 0;
    if (r->now == STORAGE_STANDBY)
        rc = follow(r, err);
    else if (!turn_is_active(t))
        rc = take_over(r, err);
    else if (t->needs_restore)
        rc = turn_restore(t, err);
    return settle(r, rc, err);
}

bool role_is_active(const struct role *r)
{
    return r->now == STORAGE_ACTIVE && turn_is_active(r->turn) && !r->turn->needs_restore;
}

int64_t role_wake_us(const struct role *r)
{
    const int64_t us = storage_wake_us(r->turn->storage);

    return r->retry_us > r->boot_us && r->retry_us < us ? r->retry_us : us;
}
