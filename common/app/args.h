/* Reads the options of a command by getopt_long: "--NAME VALUE" and "--NAME=VALUE", among the
 * operands or before them; "--" ends the options. */
#ifndef DRAINWATCH_COMMON_APP_ARGS_H
#define DRAINWATCH_COMMON_APP_ARGS_H

#include "common/app/startup.h"

#include <stdbool.h>

enum { ARGS_OPTIONS_MAX = 16 };

struct args_option {
    const char *name;   /* without its dashes; NULL ends a list */
    const char **value; /* receives the value, borrowed from argv; NULL: the option has none */
    bool *is_given;     /* becomes true if the option is given; may be NULL */
};

/* Reads the arguments after argv[0], the command's name. Moves the operands to the end of argv and
 * returns their number; or prints the fault and returns -1: leave with STARTUP_USAGE. */
int args_read(const struct startup_program *program, int argc, char **argv,
              const struct args_option *options, int operands_max);

/* Prints that a command was called wrongly, as `PROGRAM: WHAT "ARG" (see …)`; returns
 * STARTUP_USAGE. */
int args_wrong(const struct startup_program *program, const char *what, const char *arg);

/* The same for an unknown word. `best` is the known word that was probably meant, or NULL. */
int args_unknown(const struct startup_program *program, const char *what, const char *arg,
                 const char *best);

#endif
