/* The main function of both programs: no command serves, a named one runs, and help, version and
 * check are the same in both. */
#ifndef DRAINWATCH_COMMON_APP_COMMANDS_H
#define DRAINWATCH_COMMON_APP_COMMANDS_H

#include "common/app/startup.h"

struct command {
    const char *name;
    /* argv[0] is the command's name. Returns the exit code. */
    int (*run)(const struct startup_program *program, int argc, char **argv);
    const char *usage; /* its lines of --help, at most 80 columns */
};

struct commands {
    const struct startup_program *program;
    const char *example;        /* lines of --help */
    const struct command *list; /* ends in one without a name */
    const char *sibling; /* the other program, and the names of its commands, NULL at the end */
    const char *const *sibling_list;
    /* Serves until a signal ends it; `signals` is from process_signals. Returns the exit code. */
    int (*serve)(struct startup_config *config, int signals);
};

/* Does what the arguments of main ask for. Returns the exit code. */
int commands_run(const struct commands *commands, int argc, char **argv);

#endif
