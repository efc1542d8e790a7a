/* `drainwatch-alerter status`: how the rules, the queue and the delivery of alerts stand. */
#ifndef DRAINWATCH_ALERTER_COMMANDS_STATUS_H
#define DRAINWATCH_ALERTER_COMMANDS_STATUS_H

#include "common/app/startup.h"

/* Runs the command, beside a running alerter or without one; returns the exit code. It reads the
 * state and changes nothing. */
int status_command(const struct startup_program *program, int argc, char **argv);

#endif
