/* Reads options by getopt_long; called by every command and by commands.c for the top level. */
#include "common/app/args.h"

#include "common/base/nearest.h"

#include <assert.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

enum { FIRST = 256 }; /* getopt_long returns FIRST + the option's index */

int args_wrong(const struct startup_program *program, const char *what, const char *arg)
{
    fprintf(stderr, "%s: %s \"%s\" (see %s --help)\n", program->name, what, arg, program->name);
    return STARTUP_USAGE;
}

int args_unknown(const struct startup_program *program, const char *what, const char *arg,
                 const char *best)
{
    if (best == NULL)
        return args_wrong(program, what, arg);
    fprintf(stderr, "%s: %s \"%s\" (did you mean \"%s\"? see %s --help)\n", program->name, what,
            arg, best, program->name);
    return STARTUP_USAGE;
}

static void unknown_option(const struct startup_program *program, const char *arg,
                           const struct args_option *options)
{
    size_t dashes = strspn(arg, "-");
    struct nearest nearest;
    char best[80];

    nearest_begin(&nearest, arg + dashes, strcspn(arg + dashes, "="));
    for (; options->name != NULL; options++)
        nearest_offer(&nearest, options->name);
    snprintf(best, sizeof best, "--%s", nearest.best != NULL ? nearest.best : "");
    args_unknown(program, "unknown option", arg, nearest.best != NULL ? best : NULL);
}

static void complain(const struct startup_program *program, int opt, char **argv,
                     const struct args_option *options)
{
    char letter[] = {'-', (char)optopt, '\0'};
    const char *arg = optopt > 0 && optopt < FIRST ? letter : argv[optind - 1];

    if (opt == ':')
        args_wrong(program, "a value is missing behind", arg);
    else if (optopt >= FIRST)
        args_wrong(program, "no value may follow in", arg);
    else
        unknown_option(program, arg, options);
}

static void store(const struct args_option *option)
{
    if (option->value != NULL)
        *option->value = optarg;
    if (option->is_given != NULL)
        *option->is_given = true;
}

int args_read(const struct startup_program *program, int argc, char **argv,
              const struct args_option *options, int operands_max)
{
    struct option known[ARGS_OPTIONS_MAX + 1] = {{0}};
    int opt;

    for (int i = 0; options[i].name != NULL; i++) {
        assert(i < ARGS_OPTIONS_MAX);
        known[i] = (struct option){options[i].name, options[i].value != NULL, NULL, FIRST + i};
    }
    optind = 0; /* GNU: begin anew */
    while ((opt = getopt_long(argc, argv, ":", known, NULL)) != -1) {
        if (opt < FIRST) {
            complain(program, opt, argv, options);
            return -1;
        }
        store(&options[opt - FIRST]);
    }
    if (argc - optind > operands_max) {
        args_wrong(program, "unexpected argument", argv[optind + operands_max]);
        return -1;
    }
    return argc - optind;
}
