/* drainwatch-alerter: counts what ingest found, decides, and tells Slack. */
#include "alerter/commands/export.h"
#include "alerter/commands/replay.h"
#include "alerter/commands/ruletest.h"
#include "alerter/commands/show.h"
#include "alerter/loop.h"
#include "common/app/log.h"
#include "common/app/process.h"
#include "common/app/startup.h"
#include "common/base/err.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define OUTBOX_USAGE                                                                               \
    "  drainwatch-alerter outbox [--format text|json]\n"                                           \
    "      list the alerts that wait, were delivered, failed or expired\n"
#define EXPORT_USAGE                                                                               \
    "  drainwatch-alerter export [--since DURATION]\n"                                             \
    "      write the recorded event stream to standard output, all of it or from the newest\n"     \
    "      snapshot that is so old (2h, 7d)\n"
#define REPLAY_USAGE                                                                               \
    "  drainwatch-alerter replay [--rules FILE] [--format text|json] [FILE]\n"                     \
    "      run the engine over a captured stream (a file or standard input), post nothing,\n"      \
    "      print what it decides: under the rules that the stream records, or from a cold\n"       \
    "      start under those of a file\n"                                                          \
    "  drainwatch-alerter replay --compare OLD.yaml --rules NEW.yaml [--format text|json] "        \
    "[FILE]\n"                                                                                     \
    "      print the alerts that only one of two rules files decides (\"- \": only OLD,\n"         \
    "      \"+ \": only NEW); exit 1 if there are any\n"
#define TEST_USAGE                                                                                 \
    "  drainwatch-alerter test [--rules FILE] FILE.test.yaml...\n"                                 \
    "      rule tests: given lines at given times, these alerts and no others; exit 1 and show\n"  \
    "      the difference where it is not so\n"

static const struct startup_program program = {
    .name = "drainwatch-alerter",
    .summary =
        "counts the matches that ingest found, decides on alerts, and delivers them to Slack",
    .usage =
        "  drainwatch-alerter            serve\n" OUTBOX_USAGE EXPORT_USAGE REPLAY_USAGE TEST_USAGE,
};

typedef int command_fn(const struct startup_program *program, int argc, char **argv);

static const struct command {
    const char *name;
    command_fn *run;
    const char *usage;
} commands[] = {
    {"outbox", show_outbox, OUTBOX_USAGE},
    {"export", export_stream, EXPORT_USAGE},
    {"replay", replay_stream, REPLAY_USAGE},
    {"test", ruletest_files, TEST_USAGE},
};
enum { COMMANDS = sizeof commands / sizeof commands[0] };

static int serve(const struct startup_config *config, int signals)
{
    struct loop *driver = NULL;
    struct err err;
    int rc = process_make_folder(config->settings.state_dir, &err);

    if (rc == 0)
        rc = loop_open(&(struct loop_options){.settings = &config->settings,
                                              .rules_text = buf_text(&config->rules_text),
                                              .rules_len = config->rules_text.len,
                                              .signals = signals},
                       &driver, &err);
    if (rc == 0)
        rc = loop_serve(driver, &err);
    loop_close(driver);
    return rc == 0 ? STARTUP_OK : startup_cannot(&program, rc, err.text);
}

static int command(int argc, char **argv)
{
    const struct command *c = commands;

    while (strcmp(argv[1], c->name) != 0) /* startup_arguments knows it */
        c++;
    for (int i = 2; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0) {
            printf("usage:\n%s", c->usage);
            return STARTUP_OK;
        }
    }
    return c->run(&program, argc, argv);
}

int main(int argc, char **argv)
{
    const char *names[COMMANDS + 1] = {NULL};
    struct startup_config config;
    enum startup_verb verb;
    struct err err;
    int exit_code, signals = -1;

    for (size_t i = 0; i < COMMANDS; i++)
        names[i] = commands[i].name;
    verb = startup_arguments(&program, argc, argv, names, &exit_code);
    if (verb == STARTUP_DONE)
        return exit_code;
    process_harden();
    log_open(program.name);
    if (verb == STARTUP_COMMAND)
        return command(argc, argv);
    /* First, for a SIGHUP that comes while the rules are read and compiled would end us. */
    if (verb == STARTUP_SERVE && (signals = process_signals(&err)) < 0)
        return startup_cannot(&program, signals, err.text);
    exit_code = startup_configure(&program, false, &config);
    if (exit_code != STARTUP_OK)
        return exit_code;
    if (verb == STARTUP_CHECK)
        startup_report(&program, &config);
    else
        exit_code = serve(&config, signals);
    startup_release(&config);
    return exit_code;
}
