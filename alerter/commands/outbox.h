/* `drainwatch-alerter outbox`: the alerts that wait, were delivered, failed or expired. */
#ifndef DRAINWATCH_ALERTER_COMMANDS_OUTBOX_H
#define DRAINWATCH_ALERTER_COMMANDS_OUTBOX_H

#include "common/app/startup.h"

/* Runs the command, beside a running alerter or without one; returns the exit code. */
int outbox_command(const struct startup_program *program, int argc, char **argv);

#endif
