/* `drainwatch-ingest scan`: saved logs instead of HTTP. What a delivery of each line would have
 * brought the alerter is written to standard output as a capture, which `drainwatch-alerter replay`
 * takes; what was found, to standard error. */
#ifndef DRAINWATCH_INGEST_COMMANDS_SCAN_H
#define DRAINWATCH_INGEST_COMMANDS_SCAN_H

#include "common/app/startup.h"

#define SCAN_USAGE                                                                                 \
    "  drainwatch-ingest scan [--rules FILE] [--drain NAME] [FILE...]\n"                           \
    "      find in saved logs (files, or standard input) what the rules match, and\n"              \
    "      write it to standard output for \"drainwatch-alerter replay\". --drain says\n"          \
    "      whose logs they are: a drain of the rules' apps, or an app\n"

/* Returns the exit code. */
int scan_logs(const struct startup_program *program, int argc, char **argv);

#endif
