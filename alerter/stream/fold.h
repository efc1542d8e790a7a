/* An engine fed from the event stream. This is the only path to the engine, live, at a restart and
 * in a replay. */
#ifndef DRAINWATCH_ALERTER_STREAM_FOLD_H
#define DRAINWATCH_ALERTER_STREAM_FOLD_H

#include "alerter/engine/engine.h"
#include "common/base/err.h"
#include "common/record/wire.h"
#include "common/storage/storage.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    /* A saved engine takes tens of MB at most, and shares an entry with its stamp. */
    FOLD_SNAPSHOT_MAX = WIRE_ENTRY_MAX - 1024,
    /* A snapshot is wanted once more bytes than this lie behind the last one, and more than this
     * many times its own size: a flood must neither delay a start nor make large snapshots all the
     * time. */
    FOLD_UNSAVED_MAX = 32 << 20,
    FOLD_SNAPSHOT_SHARE = 4,
};

struct fold {
    struct engine *engine;
    struct wire *wire;
    int64_t last_us;      /* the newest stamp that was folded, 0: none was */
    int64_t position;     /* of the newest entry that was read from the storage, 0: none was */
    uint64_t since_saved; /* entries since the last snapshot */
    uint64_t since_saved_bytes;
    uint64_t saved_bytes; /* of the last snapshot, 0: there is none */
    int64_t saved_us;     /* its stamp, likewise */
    bool on_trial;        /* it ignores rules and snapshots of the stream */
};

int fold_open(struct fold *f, struct err *err); /* a new engine; 0 or ERR_NOMEM */
/* A cold start to try these rules: it takes only records from the stream. Returns 0, ERR_INPUT or
 * ERR_NOMEM; if it is not 0, there is nothing to close. */
int fold_open_trial(struct fold *f, const char *rules, size_t len, struct err *err);
void fold_close(struct fold *f); /* also if it is all zeros */

/* Feeds one event, whose entry holds `bytes` bytes. Returns as engine_step does. */
int fold_event(struct fold *f, const struct engine_event *event, size_t bytes,
               struct engine_outcomes *out, struct err *err);

/* Feeds one entry of the stream; the outcomes are valid until the next call. Only an
 * engine that was fed nothing loads a snapshot. Any other has reached the same state already.
 * Returns 0; ERR_INPUT for rules that this build refuses, which leaves the ones before in force, so
 * that one can go on; or ERR_VERSION, ERR_DAMAGED or ERR_NOMEM, after which one cannot. */
int fold_entry(struct fold *f, const struct wire_entry *entry, struct engine_outcomes *out,
               struct err *err);

/* For the end of a stream that has no ticks of its own: whether the engine waits for a tick, and
 * feeding it at the time that the engine asks for. Returns as engine_step does. */
bool fold_waits(const struct fold *f);
int fold_tick(struct fold *f, struct engine_outcomes *out, struct err *err);

/* Makes the fold anew from the newest stored snapshot that can be loaded, else from the stream's
 * beginning, and drops the alerts, which were decided before. Returns like fold_entry and the
 * storage; after ERR_DAMAGED the next storage_open sets the file aside. ERR_STOPPED: a signal to
 * end came meanwhile, which the caller still has to take. */
int fold_restore(struct fold *f, struct storage *storage, struct err *err);

/* Feeds the entries that another alerter appended since the last fold_restore or fold_follow, and
 * drops the alerts, which that one decided. Returns like fold_restore; after ERR_BUSY (an entry was
 * trimmed before it was read) and ERR_NOMEM the fold must be restored. */
int fold_follow(struct fold *f, struct storage *storage, struct err *err);

/* Whether a start would have to read so much that a snapshot is due. */
bool fold_wants_snapshot(const struct fold *f);
/* Appends a snapshot to the storage, within a transaction. */
int fold_save(struct fold *f, struct storage *storage, int64_t step_us, struct err *err);

#endif
