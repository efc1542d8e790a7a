/* Logs what an operator should know while the alerter serves: at once when it first comes up, and
 * then once a minute how often it came since. */
#ifndef DRAINWATCH_ALERTER_NOTICES_H
#define DRAINWATCH_ALERTER_NOTICES_H

#include "alerter/engine/engine.h"
#include "common/app/settings.h"
#include "common/app/throttle.h"
#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/queue/receiver.h"
#include "common/storage/storage.h"

#include <stdint.h>

/* A counter of another module, and its value when it was last looked at. */
struct notices_count {
    uint64_t seen;
    struct throttle throttle;
};

struct notices {
    struct throttle failing; /* turns that could not be stored */
    struct throttle away;    /* a shared storage, and the next one as well */
    struct throttle unread;  /* the stream of the active alerter */
    bool is_pool_told;
    struct throttle refused; /* records of some sender are not taken */
    struct notices_count strangers;
    struct notices_count unknown_rule;
    struct notices_count groups_dropped;
    struct notices_count keys_dropped;
    struct notices_count losses;
    struct buf decided; /* lines of the turn in hand; logged once it is committed */
    struct buf cooled;  /* struct cooled of notices.c, one for each rule */
};

void notices_init(struct notices *t); /* before the first turn */
void notices_close(struct notices *t);

/* Logs what the alerter begins to serve with. The engine's counts outlive a restart, so what it
 * counted before this start is not logged again. */
void notices_begin(struct notices *t, const struct settings *settings, const struct engine *engine);

/* To be called when a turn with something to store failed, or was stored. A turn that failed
 * decided nothing, so its alerts are forgotten. */
void notices_turn_failed(struct notices *t, const struct err *why, int64_t now_us);
void notices_turn_went_well(struct notices *t, int64_t now_us);

/* The role of this alerter at a shared storage. `waits`: alerts that are not delivered. */
void notices_standby(struct notices *t, const struct storage_term *term);
void notices_active(struct notices *t, const struct storage_term *term, int64_t now_us);
void notices_lost(struct notices *t, size_t dropped);
void notices_began_anew(struct notices *t); /* after commits were lost */
void notices_cut(struct notices *t);        /* the stream's beginning was deleted */
void notices_away(struct notices *t, const char *why, uint64_t waits, int64_t boot_us);
void notices_back(struct notices *t, int64_t boot_us);
void notices_pooled(struct notices *t); /* a connection pool lies before the database */
/* The stream could not be read, or (NULL) could be. */
void notices_read(struct notices *t, const char *why, bool may_take, int64_t boot_us);

/* To be called once a turn. */
void notices_say(struct notices *t, struct receiver *receiver, const struct engine *engine,
                 const char *queue, int64_t now_us);

/* Note an alert that was just decided, and a breach within a cooldown: of each rule the first three
 * in a minute, and once a minute the number of the others. */
void notices_alert(struct notices *t, const struct wire_alert *alert);
void notices_cooled(struct notices *t, const struct engine_cooled *cooled, int64_t now_us);
/* Logs these notes, after the commit; or forgets them. */
void notices_decided(struct notices *t, int64_t now_us);
void notices_forget(struct notices *t);

#endif
