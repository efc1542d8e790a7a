/* `drainwatch-alerter export`: the recorded event stream as a capture on standard output. */
#ifndef DRAINWATCH_ALERTER_COMMANDS_EXPORT_H
#define DRAINWATCH_ALERTER_COMMANDS_EXPORT_H

#include "common/app/startup.h"

/* Runs the command, beside a running alerter or without one; returns the exit code. */
int export_stream(const struct startup_program *program, int argc, char **argv);

#endif
