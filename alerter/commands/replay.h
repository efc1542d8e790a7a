/* `drainwatch-alerter replay`: a captured stream through the engine in virtual time. It posts
 * nothing and prints every alert, decided by the code that decides live: under the recorded rules,
 * under other rules from a cold start, or under two rules files side by side, with the alerts that
 * only one of them decides. */
#ifndef DRAINWATCH_ALERTER_COMMANDS_REPLAY_H
#define DRAINWATCH_ALERTER_COMMANDS_REPLAY_H

#include "common/app/startup.h"

/* Runs the command; returns the exit code: 65 (EX_DATAERR) for a capture that is damaged or cut
 * off, after everything before the damage was replayed; 78 (EX_CONFIG) for rules with faults; 1 if
 * two rules files decide differently. */
int replay_stream(const struct startup_program *program, int argc, char **argv);

#endif
