/* A turn of the alerter: takes the records that arrived, stores them, decides, and commits.
 *
 * The loop calls turn_take, posts the alerts that were decided, and calls turn_end, which acks. A
 * crash between any two of these loses nothing and decides nothing twice. Times are the alerter's
 * steady clock in µs.
 *
 * An alerter that owns its storage is active from turn_open on. One of several at a shared storage
 * takes turns only between turn_activate and turn_deactivate; role.h decides when. */
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
    bool is_borrowed; /* the storage */
    struct outbox *outbox;
    struct fold fold;
    /* Begins at the clock of the machine or of a shared storage, or at the stream's last stamp. */
    struct clock_steady clock;
    struct receiver *receiver; /* NULL while it is not active */
    struct buf rules;          /* as the file was read last */
    bool has_new_rules;        /* they are not yet in force */
    char change[160];          /* for the log */
    int64_t now_us;            /* of this turn */
    size_t taken;              /* records in this turn */
    bool snapshot_wanted;
    int64_t snapshot_retry_us; /* none is tried before: the disk had no room for the last */
    int64_t pause_until_us;    /* 0: the last turn succeeded */
    int64_t last_record_us;    /* 0: none since the start */
    /* At a shared storage: the fold may differ from the stored stream, so turn_restore is due. */
    bool needs_restore;
    bool needs_room; /* because the disk was full */
};

struct turn_options {
    const struct settings *settings;
    struct notices *notices;
    const char *rules_text;
    size_t rules_len;
    const struct storage_ops *backing; /* NULL: by the settings */
    /* NULL: opened here. A restored shared storage otherwise, which the caller closes: the rules in
     * force stay, and the two rules_ are not used. */
    struct storage *storage;
};

/* Opens the storage. If this alerter is its owner, it also builds the engine from the stream and
 * activates. Returns 0; ERR_BUSY (another instance has the folder or the endpoint), or an error of
 * storage, engine or queue. turn_close is due in any case. */
int turn_open(struct turn *t, const struct turn_options *options, struct err *err);
void turn_close(struct turn *t);

/* ERR_INPUT if the contents of the storage were moved to another place. */
int turn_check_place(const struct turn *t, struct err *err);

/* Begins to take turns, on a fold that shows the stored stream: records the rules if they differ
 * from those in force, retries parked alerts, and opens the receiver. After an error nothing of a
 * transaction is open; restore, and call it again. */
int turn_activate(struct turn *t, int64_t boot_us, struct err *err);
/* Another alerter has the storage: closes the receiver. The fold must be restored. */
void turn_deactivate(struct turn *t);
bool turn_is_active(const struct turn *t);

/* Reads the storage and builds the fold anew, and makes room if the disk was full. */
int turn_restore(struct turn *t, struct err *err);

/* Receives, stores, decides and commits. Returns 0, also if the turn failed and was undone, or an
 * error after which the alerter cannot go on. */
int turn_take(struct turn *t, int64_t now_us, enum turn_result *result, struct err *err);
/* Instead, at the end: commits the outcomes of posts and takes nothing. */
int turn_save(struct turn *t, int64_t now_us, enum turn_result *result, struct err *err);
/* Acks and maintains the store. Call it after the alerts are on their way. */
void turn_end(struct turn *t, enum turn_result result);

/* Reads the rules file again; the next turn records the rules, or turn_activate. */
void turn_read_rules(struct turn *t);
/* Retries all alerts that were parked because their destination refused them. */
int turn_unpark(struct turn *t, struct err *err);

/* Whether turn_take has something to do without new input, and when it will have: INT64_MAX if no
 * time is known. */
bool turn_is_pending(struct turn *t);
int64_t turn_wake_us(const struct turn *t);

#endif
