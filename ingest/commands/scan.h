/* `drainwatch-ingest scan`: saved logs instead of HTTP.
 *
 * Writes the records that a delivery of each line would have sent to the alerter to standard
 * output, as a capture for `drainwatch-alerter replay`, and a summary to standard error. Exit code
 * 65: a log is packed or damaged, or no line of any log has a time. */
#ifndef DRAINWATCH_INGEST_COMMANDS_SCAN_H
#define DRAINWATCH_INGEST_COMMANDS_SCAN_H

#include "common/app/startup.h"

#define SCAN_USAGE                                                                                 \
    "  drainwatch-ingest scan [--rules FILE] [--drain NAME] [FILE...]\n"                           \
    "      find the lines that match the rules in saved logs (files or standard\n"                 \
    "      input, also .gz): heroku logs, Logplex frames, Papertrail archives, JSON\n"             \
    "      lines. Writes a capture for \"drainwatch-alerter replay\" to standard\n"                \
    "      output. --drain NAME: a drain of the rules' apps, or an app\n"

/* Returns the exit code. */
int scan_logs(const struct startup_program *program, int argc, char **argv);

#endif
