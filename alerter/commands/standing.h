/* How the alerter stands at one moment, gathered from the state folder for `status`. */
#ifndef DRAINWATCH_ALERTER_COMMANDS_STANDING_H
#define DRAINWATCH_ALERTER_COMMANDS_STANDING_H

#include "alerter/deliver/health.h"
#include "alerter/stream/fold.h"
#include "common/app/settings.h"
#include "common/base/err.h"
#include "common/rules/rules.h"
#include "common/storage/storage.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A key of the engine. */
struct standing_key {
    struct engine_key at;
    const char *values[RULES_GROUP_BY_MAX];
};

struct standing_app {
    const char *name;
    int64_t arrived_us; /* step time of its newest delivery with a match, ENGINE_NEVER: not known */
};

struct standing {
    int64_t now_us;
    struct fold fold;
    const struct rules *rules; /* in force; NULL: none were ever recorded */
    struct standing_key *keys; /* by rule in the file's order, then the largest count first */
    size_t n_keys;
    struct standing_app *apps; /* of the rules and of keys, by name */
    size_t n_apps;
    uint64_t outbox[OUTBOX_EXPIRED + 1]; /* messages in each enum outbox_state */
    int64_t next_try_us;                 /* of waiting messages the earliest, 0: at once */
    struct delivery_health delivery;
    bool alerter_runs;
    bool ingest_runs; /* on the same state folder */
};

/* Reads the storage from its newest snapshot on. Returns 0 or an error of storage, fold or
 * ERR_NOMEM; standing_close is due in any case. */
int standing_read(struct standing *s, const struct settings *settings, struct err *err);
void standing_close(struct standing *s);

#endif
