/* Finds what a program's arguments ask for and runs it; called by both main functions. */
#include "common/app/commands.h"

#include "common/app/args.h"
#include "common/app/log.h"
#include "common/app/process.h"
#include "common/app/report.h"
#include "common/base/err.h"
#include "common/base/nearest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int print_help(const struct commands *c)
{
    const char *name = c->program->name;
    struct buf table;

    buf_init(&table, 64 << 10);
    if (settings_help(&table) != 0)
        return startup_fail(c->program, "out of memory");
    printf("%s: %s\n\n"
           "usage:\n"
           "  %s [--rules FILE]\n"
           "      serve; FILE stands for DRAINWATCH_RULES\n"
           "  %s --check [--rules FILE]\n"
           "      read and validate settings and rules, print them\n"
           "  %s help [COMMAND] | --help | --version\n",
           name, c->program->summary, name, name, name);
    for (const struct command *command = c->list; command->name != NULL; command++)
        fputs(command->usage, stdout);
    printf("\nexample:\n%s\nsettings (environment variables):\n%s", c->example, buf_text(&table));
    buf_close(&table);
    return STARTUP_OK;
}

/* ---- a command ---- */

static const struct command *find_command(const struct commands *c, const char *name)
{
    const struct command *command = c->list;

    while (command->name != NULL && strcmp(command->name, name) != 0)
        command++;
    return command->name != NULL ? command : NULL;
}

static int unknown_command(const struct commands *c, const char *name)
{
    struct nearest nearest;
    const char *own;
    char best[80];

    nearest_begin(&nearest, name, strlen(name));
    for (const struct command *command = c->list; command->name != NULL; command++)
        nearest_offer(&nearest, command->name);
    nearest_offer(&nearest, "help");
    own = nearest.best;
    for (const char *const *other = c->sibling_list; *other != NULL; other++)
        nearest_offer(&nearest, *other);
    if (nearest.best == own)
        return args_unknown(c->program, "unknown command", name, own);
    snprintf(best, sizeof best, "%s %s", c->sibling, nearest.best);
    return args_unknown(c->program, "unknown command", name, best);
}

static bool asks_for_help(int argc, char **argv)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            return true;
    }
    return false;
}

static int print_usage(const struct commands *c, const char *name)
{
    const struct command *command = find_command(c, name);

    if (command == NULL)
        return unknown_command(c, name);
    printf("usage:\n%s", command->usage);
    return STARTUP_OK;
}

static int run_command(const struct commands *c, int argc, char **argv)
{
    const struct command *command = find_command(c, argv[0]);
    bool is_help = strcmp(argv[0], "help") == 0;

    if (is_help && argc > 2)
        return args_wrong(c->program, "unexpected argument", argv[2]);
    if (is_help)
        return argc == 1 || strcmp(argv[1], "help") == 0 ? print_help(c) : print_usage(c, argv[1]);
    if (command == NULL || asks_for_help(argc, argv))
        return print_usage(c, argv[0]);
    process_harden();
    log_open(c->program->name);
    return command->run(c->program, argc, argv);
}

/* ---- no command ---- */

static void note_root(struct buf *notes)
{
    if (geteuid() == 0)
        (void)buf_puts(notes,
                       "started as root, which drainwatch never needs (start it as a user of "
                       "its own)\n");
}

static int serve(const struct commands *c, bool only_check)
{
    struct startup_config config;
    struct err err;
    int exit_code, signals = -1;

    process_harden();
    log_open(c->program->name);
    /* Before the rules are read: a SIGHUP that comes meanwhile would end the program. */
    if (!only_check && (signals = process_signals(&err)) < 0)
        return startup_cannot(c->program, signals, err.text);
    exit_code = startup_configure(c->program, &config);
    if (exit_code != STARTUP_OK)
        return exit_code;
    settings_wipe_environment();
    if (!only_check)
        note_root(&config.notes);
    exit_code = only_check ? report_print(c->program, &config) : c->serve(&config, signals);
    startup_release(&config);
    return exit_code;
}

int commands_run(const struct commands *c, int argc, char **argv)
{
    bool check = false, version = false;
    const char *rules = NULL;
    const struct args_option options[] = {
        {"check", NULL, &check}, {"version", NULL, &version}, {"rules", &rules, NULL}, {0}};

    if (argc > 1 && argv[1][0] != '-')
        return run_command(c, argc - 1, argv + 1);
    if (argc > 1 && strcmp(argv[1], "--version") != 0 && asks_for_help(argc, argv))
        return print_help(c);
    if (args_read(c->program, argc, argv, options, 0) < 0)
        return STARTUP_USAGE;
    if (version)
        return printf("%s %s\n", c->program->name, DRAINWATCH_VERSION) > 0 ? STARTUP_OK
                                                                           : STARTUP_FAILED;
    /* The alerter that ingest starts beside itself reads the same file. */
    if (rules != NULL && setenv("DRAINWATCH_RULES", rules, 1) != 0)
        return startup_fail(c->program, "out of memory");
    return serve(c, check);
}
