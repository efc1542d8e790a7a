/* Alerts as an operator or a script reads them: `drainwatch-alerter outbox`. */
#ifndef DRAINWATCH_ALERTER_SHOW_H
#define DRAINWATCH_ALERTER_SHOW_H

#include "common/startup.h"

/* Runs the command, beside a running alerter or without one; returns the exit code. */
int show_outbox(const struct startup_program *program, int argc, char **argv);

#endif
