/* The alerter's turns: what comes from ingest is stored, decided, committed, posted, acked, in this
 * order, on one loop. A crash between any two of these loses nothing and decides nothing twice. */
#ifndef DRAINWATCH_ALERTER_DRIVER_H
#define DRAINWATCH_ALERTER_DRIVER_H

#include "common/err.h"
#include "common/settings.h"

#include <stddef.h>

struct driver;

struct driver_options {
    const struct settings *settings;
    const char *rules_text; /* validated; recorded where it differs from what the stream has */
    size_t rules_len;
    int signals; /* process_signals */
};

/* Opens the state folder's store, folds its stream, and binds the queue. Returns 0; ERR_BUSY
 * (another instance has the folder or the endpoint), or what store, engine, inbox and poster
 * answer. */
int driver_open(const struct driver_options *options, struct driver **out, struct err *err);
void driver_close(struct driver *d); /* NULL is fine */

/* Runs until a signal ends it in order, and returns 0; or an error after which it cannot go on. */
int driver_serve(struct driver *d, struct err *err);

#endif
