/* Ingest's turns: what deliveries matched is journalled in one transaction, then they are answered,
 * then it is sent to the alerter, in this order, on one loop. A crash between any two of these
 * loses nothing that was answered 204. */
#ifndef DRAINWATCH_INGEST_LOOP_H
#define DRAINWATCH_INGEST_LOOP_H

#include "common/app/settings.h"
#include "common/base/err.h"
#include "common/rules/rules.h"

struct loop;

struct loop_options {
    const struct settings *settings; /* borrowed */
    const struct rules *rules;       /* which the driver takes over, and frees */
    int signals;                     /* process_signals */
};

/* Opens the state folder's journal, connects to the alerter (with DRAINWATCH_SOLO starts it), and
 * listens. Returns 0; ERR_BUSY (another instance has the folder or the port), ERR_INPUT (the rules
 * are too large together), or what journal, sender, http and solo answer. */
int loop_open(const struct loop_options *options, struct loop **out, struct err *err);
void loop_close(struct loop *d); /* NULL is fine */

/* Runs until a signal ends it in order, and returns 0; or an error after which it cannot go on. On
 * SIGHUP it reads the rules file anew. */
int loop_serve(struct loop *d, struct err *err);

#endif
