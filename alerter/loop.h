/* The alerter's turns: what comes from ingest is stored, decided, committed, posted, acked, in this
 * order, on one loop. A crash between any two of these loses nothing and decides nothing twice. */
#ifndef DRAINWATCH_ALERTER_LOOP_H
#define DRAINWATCH_ALERTER_LOOP_H

#include "common/app/settings.h"
#include "common/base/err.h"

#include <stddef.h>

struct loop;

struct loop_options {
    const struct settings *settings;
    const char *rules_text; /* validated; recorded where it differs from what the stream has */
    size_t rules_len;
    int signals;             /* process_signals */
    const struct buf *notes; /* of startup_config, borrowed: logged when it serves */
};

/* Opens the state folder's store, folds its stream, and binds the queue. Returns 0; ERR_BUSY
 * (another instance has the folder or the endpoint), or what store, engine, receiver and
 * http_client answer. */
int loop_open(const struct loop_options *options, struct loop **out, struct err *err);
void loop_close(struct loop *d); /* NULL is fine */

/* Runs until a signal ends it in order, and returns 0; or an error after which it cannot go on. */
int loop_serve(struct loop *d, struct err *err);

#endif
