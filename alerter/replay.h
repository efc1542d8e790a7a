/* `drainwatch-alerter replay`: a captured stream through the engine in virtual time. It posts
 * nothing and prints every alert that is decided, by the code that decides live. */
#ifndef DRAINWATCH_ALERTER_REPLAY_H
#define DRAINWATCH_ALERTER_REPLAY_H

#include "common/startup.h"

/* Runs the command; returns the exit code: 65 (EX_DATAERR) for a capture that is damaged or cut
 * off, after everything before the damage was replayed. */
int replay_stream(const struct startup_program *program, int argc, char **argv);

#endif
