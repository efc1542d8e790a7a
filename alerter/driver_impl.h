/* What the driver's halves share: driver.c is the loop with its start and end, driver_turn.c what
 * is done in a turn with what came. */
#ifndef DRAINWATCH_ALERTER_DRIVER_IMPL_H
#define DRAINWATCH_ALERTER_DRIVER_IMPL_H

#include "alerter/dispatch.h"
#include "alerter/driver.h"
#include "alerter/fold.h"
#include "alerter/inbox.h"
#include "alerter/rulesfile.h"
#include "alerter/store.h"
#include "alerter/troubles.h"
#include "common/clock.h"

#include <stdbool.h>

struct driver {
    const struct settings *settings;
    int signals;
    struct clock_steady clock;
    struct store *store;
    struct fold fold;
    struct inbox *inbox;
    struct dispatch *dispatch;
    int64_t now_us;      /* of the turn in hand */
    bool in_transaction; /* begun when the first thing is to be stored */
    size_t taken;        /* records, in this turn */
    bool snapshot_wanted;
    int64_t pause_until_us; /* 0: the last turn went well */
    struct troubles troubles;
    struct rulesfile rules; /* read anew, and not yet in force */
    int64_t look_us;        /* when the state folder is looked at again */
    int64_t stop_by_us;     /* 0: nobody asked us to stop */
    int64_t busy_us;        /* when a record was last taken, or when we were asked to stop */
};

enum turn {
    TURN_NONE, /* it failed, or a pause lasts */
    TURN_IDLE, /* there was nothing to store */
    TURN_STORED,
};

/* What the inbox calls in a turn. */
struct inbox_calls driver_inbox_calls(struct driver *d);

/* Stores rules and puts them in force, within the open transaction or one that it begins. */
int driver_feed_rules(struct driver *d, const char *text, size_t len, struct err *err);
/* Commits the open transaction, if there is one. */
int driver_commit(struct driver *d, struct err *err);

/* Receives, stores, decides and commits. Returns 0, also where it failed and was undone; or an
 * error after which the alerter cannot go on. */
int driver_take_turn(struct driver *d, enum turn *turn, struct err *err);
/* What can wait until what the turn decided is on its way: the acks, and what the commit left. */
void driver_end_turn(struct driver *d, enum turn turn);

#endif
