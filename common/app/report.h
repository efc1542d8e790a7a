/* The report of --check: the settings and rules that were found. */
#ifndef DRAINWATCH_COMMON_APP_REPORT_H
#define DRAINWATCH_COMMON_APP_REPORT_H

#include "common/app/startup.h"

/* Prints the report on standard output. Returns STARTUP_OK or STARTUP_FAILED. */
int report_print(const struct startup_program *program, struct startup_config *config);

#endif
