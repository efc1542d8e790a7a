/* A turn of the alerter: takes the records that arrived, stores them, decides, and commits.
 *
 * The loop calls turn_take, posts the alerts that were decided, and calls turn_end, which acks. A
 * crash between any two of these loses nothing and decides nothing twice. Times are the alerter's
 * steady clock in µs. */
#ifndef DRAINWATCH_ALERTER_TURN_H
#define DRAINWATCH_ALERTER_TURN_H

#include "alerter/deliver/outbox.h"
#include "alerter/notices.h"
#include "alerter/stream/fold.h"
#include "common/app/clock.h"
#include "common/app/settings.h"
#include "common/base/err.h"
#include "common/queue/receiver.h"
#include "common/storage/storage.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum turn_result {
    TURN_NONE, /* it failed and was undone, or the pause after a failure lasts */
    TURN_IDLE, /* there was nothing to store */
    TURN_STORED,
};

/* All zeros before turn_open. */
struct turn {
    const struct settings *settings; /* borrowed */
    struct notices *notices;         /* borrowed */
    struct storage *storage;
    struct outbox *outbox;
    struct fold fold;
    struct clock_steady clock; /* begins at the wall clock or at the stream's last stamp */
    struct receiver *receiver;
    bool has_new_rules; /* the next two: read again, and not yet in force */
    struct buf new_rules;
    char change[160]; /* for the log */
    int64_t now_us;   /* of this turn */
    size_t taken;     /* records in this turn */
    bool snapshot_wanted;
    int64_t pause_until_us; /* 0: the last turn succeeded */
    int64_t last_record_us; /* 0: none since the start */
};

/* Opens the store in the state folder, builds the engine from its stream, records `rules_text` if
 * it differs from the rules in force, and binds the queue. Returns 0; ERR_BUSY (another instance
 * has the folder or the endpoint), or an error of store, engine or queue. turn_close is due in any
 * case. */
int turn_open(struct turn *t, const struct settings *settings, struct notices *notices,
              const char *rules_text, size_t rules_len, struct err *err);
void turn_close(struct turn *t);

/* Receives, stores, decides and commits. Returns 0, also if the turn failed and was undone, or an
 * error after which the alerter cannot go on. */
int turn_take(struct turn *t, int64_t now_us, enum turn_result *result, struct err *err);
/* Acks and maintains the store. Call it after the alerts are on their way. */
void turn_end(struct turn *t, enum turn_result result);

/* Reads the rules file again; the next turn records the rules. */
void turn_read_rules(struct turn *t);
/* Retries all alerts that were parked because their destination refused them. */
int turn_unpark(struct turn *t, struct err *err);

/* Whether turn_take has something to do without new input, and when it will have: INT64_MAX if no
 * time is known. */
bool turn_is_pending(struct turn *t);
int64_t turn_wake_us(const struct turn *t);

#endif
