/* Hands the records of an ingest that stops to another ingest of the same app, by posting them to
 * the app's own address (ingest/http/handover.h). It does so while the database takes this ingest's
 * own pushes late or not at all, or does not say which acked records it still has. After a failover
 * the database may have a new address, which only programs started since then know, and this disk
 * may vanish.
 *
 * The records go the usual way at the same time; the first ack counts. No call waits. A try that
 * fails is repeated a second later. Times are clock_boot_us. */
#ifndef DRAINWATCH_INGEST_SIBLING_H
#define DRAINWATCH_INGEST_SIBLING_H

#include "common/app/settings.h"
#include "common/base/err.h"
#include "common/http/http_client.h"
#include "common/http/http_request.h"
#include "ingest/backlog.h"
#include "ingest/http/auth.h"
#include "ingest/spool.h"

#include <stdbool.h>
#include <stdint.h>

enum { SIBLING_WHY_SIZE = 300 };

enum sibling_step {
    SIBLING_ASK,  /* which records the other side has; some that were acked may be lost */
    SIBLING_HAND, /* records */
    SIBLING_BYE,  /* there are no more */
    SIBLING_DONE,
};

struct sibling {
    const struct settings *settings;
    struct spool *spool; /* NULL: there is no sibling to hand anything to */
    const struct auth *auth;
    char credentials[AUTH_HANDOVER_SIZE];
    struct http_client *client; /* made when it is first needed */
    struct http_request request;
    struct http_call *call;
    enum backlog_lane lane;         /* of the call */
    uint64_t last;                  /* the last sequence in the call's push; 0: it has no records */
    bool has_handed[BACKLOG_LANES]; /* records; an answer to the next question may tell of them */
    uint64_t have[BACKLOG_LANES];   /* the last sequence that the other side has, as it said */
    enum sibling_step steps[BACKLOG_LANES];
    int64_t begun_us;
    uint64_t taken_back;        /* of the lane's sender when the call began */
    int64_t try_us;             /* the next try is not before */
    uint64_t handed;            /* records that were handed over */
    char why[SIBLING_WHY_SIZE]; /* the last try failed; "": it did not */
};

/* This ingest stops. All are borrowed; `auth` has a secret. */
void sibling_begin(struct sibling *s, const struct settings *settings, struct spool *spool,
                   const struct auth *auth, int64_t now_us);
void sibling_close(struct sibling *s); /* all zeros is fine */

/* To be called once a turn, every few milliseconds while sibling_is_needed, outside of a
 * transaction. */
void sibling_run(struct sibling *s, int64_t now_us);
/* Whether it still has something to do. */
bool sibling_is_needed(const struct sibling *s, int64_t now_us);

#endif
