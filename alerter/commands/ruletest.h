/* `drainwatch-alerter test`: rule tests. Given lines at given times, these alerts and no others. */
#ifndef DRAINWATCH_ALERTER_COMMANDS_RULETEST_H
#define DRAINWATCH_ALERTER_COMMANDS_RULETEST_H

#include "common/app/startup.h"

/* Runs the command; returns the exit code: 0 if every test passed, 1 if one failed, 65
 * (EX_DATAERR) if a test file cannot be read or has faults, 78 (EX_CONFIG) if a rules file
 * has; of several the highest. All that can be run is. */
int ruletest_files(const struct startup_program *program, int argc, char **argv);

#endif
