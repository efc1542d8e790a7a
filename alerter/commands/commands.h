/* The commands of drainwatch-alerter; main.c lists them. Each returns the program's exit code. */
#ifndef DRAINWATCH_ALERTER_COMMANDS_COMMANDS_H
#define DRAINWATCH_ALERTER_COMMANDS_COMMANDS_H

#include "common/app/startup.h"

/* These three read the state folder, beside a running alerter or without one, and change nothing:
 * how the rules, the queue and the delivery stand; the alerts that wait, were delivered, failed or
 * expired; the recorded event stream as a capture on standard output. */
int status_command(const struct startup_program *program, int argc, char **argv);
int outbox_command(const struct startup_program *program, int argc, char **argv);
int export_command(const struct startup_program *program, int argc, char **argv);

/* Copies the stream, the last sequences, refused records and the outbox from one storage into
 * another, which must be empty. Each is a state folder, or the database of the settings. No alerter
 * may serve on either, nor on the first one later. Records that lie in it are decided on first. */
int move_command(const struct startup_program *program, int argc, char **argv);

/* A captured stream through the engine in virtual time. It posts nothing and prints every alert,
 * decided by the code that decides live: under the recorded rules, under other rules from a cold
 * start, or under two rules files side by side, with the alerts that only one of them decides.
 * Returns 65 (EX_DATAERR) for a capture that is damaged or cut off, after everything before the
 * damage was replayed; 78 (EX_CONFIG) for rules with faults; 1 if two rules files decide
 * differently. */
int replay_command(const struct startup_program *program, int argc, char **argv);

/* Rule tests: given lines at given times, these alerts and no others. Returns 0 if every test
 * passed, 1 if one failed, 65 if a test file cannot be read or has faults, 78 if a rules file has;
 * of several the highest. It runs all tests that can run. */
int test_command(const struct startup_program *program, int argc, char **argv);

#endif
