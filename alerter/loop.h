/* The alerter's loop: one thread that waits, takes turns (turn.h), posts the alerts they decide,
 * and stops in order. */
#ifndef DRAINWATCH_ALERTER_LOOP_H
#define DRAINWATCH_ALERTER_LOOP_H

#include "common/app/settings.h"
#include "common/base/err.h"

#include <stddef.h>

struct loop;

struct loop_options {
    const struct settings *settings;
    const char *rules_text; /* validated; recorded if the stream has other rules */
    size_t rules_len;
    int signals;             /* process_signals */
    const struct buf *notes; /* of startup_config, borrowed: logged when it serves */
};

/* Opens the state folder's store, builds the engine from its stream, and binds the queue. Returns
 * 0; ERR_STOPPED (a signal to end came first); ERR_BUSY (another instance has the folder or the
 * endpoint), or an error of store, engine, queue or HTTP client. */
int loop_open(const struct loop_options *options, struct loop **out, struct err *err);
void loop_close(struct loop *l); /* NULL is fine */

/* Runs until a signal ends it in order, and returns 0; or an error after which it cannot go on. */
int loop_serve(struct loop *l, struct err *err);

#endif
