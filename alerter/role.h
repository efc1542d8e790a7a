/* The role of this alerter at its storage. Of several alerters that share one, one is active; the
 * others stand by and follow its stream, so that each of them can take over at once. An alerter
 * that owns its storage is always active.
 *
 * The loop calls role_tend first in each step, and takes turns and posts only if role_is_active.
 * Times are clock_boot_us. */
#ifndef DRAINWATCH_ALERTER_ROLE_H
#define DRAINWATCH_ALERTER_ROLE_H

#include "alerter/deliver/dispatch.h"
#include "alerter/notices.h"
#include "alerter/turn.h"

struct role {
    struct turn *turn; /* borrowed, like the next two */
    struct dispatch *dispatch;
    struct notices *notices;
    enum storage_role now;
    bool is_leaving;    /* set by the loop at the end: it does not become active any more */
    bool is_told;       /* the log tells that it stands by */
    int64_t standby_us; /* since when it does, 0: it does not */
    int64_t epoch;      /* of the lease by which the turn is active */
    int64_t boot_us;    /* of this step */
    int64_t retry_us;   /* after a failure: when to read the storage again */
};

/* Finds out the role and acts on it: reads the entries of the active alerter, activates the turn or
 * ends it, restores it after a failed turn. Returns 0, or an error after which the alerter cannot
 * go on. */
int role_tend(struct role *r, int64_t boot_us, struct err *err);
bool role_is_active(const struct role *r);
/* When role_tend has something to do without new input. */
int64_t role_wake_us(const struct role *r);

#endif
