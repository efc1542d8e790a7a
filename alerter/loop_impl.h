/* What the driver's halves share: driver.c is the loop with its start and end, loop_turn.c what
 * is done in a turn with what came. */
#ifndef DRAINWATCH_ALERTER_LOOP_IMPL_H
#define DRAINWATCH_ALERTER_LOOP_IMPL_H

#include "alerter/deliver/dispatch.h"
#include "alerter/loop.h"
#include "alerter/notices.h"
#include "alerter/rulesfile.h"
#include "alerter/stream/fold.h"
#include "common/app/clock.h"
#include "common/queue/receiver.h"
#include "common/storage/storage.h"

#include <stdbool.h>

struct loop {
    const struct settings *settings;
    const struct buf *notes;
    int signals;
    struct clock_steady clock;
    struct storage *storage;
    struct outbox *outbox;
    struct fold fold;
    struct receiver *receiver;
    struct dispatch *dispatch;
    int64_t now_us;      /* of the turn in hand */
    bool in_transaction; /* begun when the first thing is to be stored */
    size_t taken;        /* records, in this turn */
    bool snapshot_wanted;
    int64_t pause_until_us; /* 0: the last turn went well */
    struct notices notices;
    struct rulesfile rules;             /* read anew, and not yet in force */
    char trouble[DELIVERY_HEALTH_SIZE]; /* of the last ack */
    int64_t look_us;                    /* when the state folder is looked at again */
    int64_t stop_by_us;                 /* 0: nobody asked us to stop */
    int64_t busy_us; /* when a record was last taken, or when we were asked to stop */
};

enum turn {
    TURN_NONE, /* it failed, or a pause lasts */
    TURN_IDLE, /* there was nothing to store */
    TURN_STORED,
};

/* What the receiver calls in a turn. */
struct receiver_calls loop_inbox_calls(struct loop *d);

/* Stores rules and puts them in force, within the open transaction or one that it begins. */
int loop_feed_rules(struct loop *d, const char *text, size_t len, struct err *err);
/* Commits the open transaction, if there is one. */
int loop_commit(struct loop *d, struct err *err);

/* Receives, stores, decides and commits. Returns 0, also where it failed and was undone; or an
 * error after which the alerter cannot go on. */
int loop_take_turn(struct loop *d, enum turn *turn, struct err *err);
/* What can wait until what the turn decided is on its way: the acks, and what the commit left. */
void loop_end_turn(struct loop *d, enum turn turn);

#endif
