/* Ingest's loop. In each turn the matches of all deliveries that came are journalled in one
 * transaction, then sent to the alerter, then the deliveries are answered: a crash between any two
 * of these loses nothing that was answered 204. */
#ifndef DRAINWATCH_INGEST_LOOP_H
#define DRAINWATCH_INGEST_LOOP_H

#include "common/app/settings.h"
#include "common/base/err.h"
#include "common/rules/rules.h"

struct loop;

struct loop_options {
    const struct settings *settings; /* borrowed */
    const struct rules *rules;       /* the loop takes them over and frees them, also on failure */
    int signals;                     /* from process_signals */
    const struct buf *notes;         /* of startup_config, borrowed: logged when it serves */
};

/* Opens the state folder's journal, connects to the alerter (with DRAINWATCH_SOLO starts it), and
 * listens. Returns 0; ERR_BUSY (another instance has the folder or the port), ERR_INPUT (the rules
 * are too large together), or an error of the journal, the sender, the server or solo. */
int loop_open(const struct loop_options *options, struct loop **out, struct err *err);
void loop_close(struct loop *l); /* NULL is fine */

/* Runs until a signal ends it in order, and returns 0; or returns an error after which it cannot go
 * on. On SIGHUP it reads the rules file again. */
int loop_serve(struct loop *l, struct err *err);

#endif
