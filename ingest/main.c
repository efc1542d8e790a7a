/* drainwatch-ingest: takes deliveries, records the lines that match, sends them to the alerter. */
#include "common/app/commands.h"
#include "common/app/process.h"
#include "common/app/startup.h"
#include "common/base/err.h"
#include "ingest/commands/scan.h"
#include "ingest/loop.h"

static const struct startup_program program = {
    .name = "drainwatch-ingest",
    .summary = "finds log lines that match the rules",
};

static int serve(struct startup_config *config, int signals)
{
    struct loop *loop = NULL;
    struct err err;
    int rc = startup_make_state_dir(&config->settings, &err);
    int exit_code;

    if (!config->settings.solo)
        startup_forget_token(config);
    if (rc == 0) {
        rc = loop_open(&(struct loop_options){.settings = &config->settings,
                                              .rules = config->rules,
                                              .signals = signals,
                                              .notes = &config->notes},
                       &loop, &err);
        config->rules = NULL;
    }
    if (rc != 0) {
        exit_code = startup_cannot(&program, rc, err.text);
    } else {
        rc = loop_serve(loop, &err);
        exit_code = rc == 0 ? STARTUP_OK : startup_fail(&program, err.text);
    }
    loop_close(loop);
    return exit_code;
}

int main(int argc, char **argv)
{
    static const struct command list[] = {{"scan", scan_logs, SCAN_USAGE}, {0}};
    static const char *const sibling_list[] = {"outbox", "status", "export", "replay",
                                               "move",   "test",   NULL};
    const struct commands commands = {
        .program = &program,
        .example = "  heroku logs -n 1500 -a APP | drainwatch-ingest scan |\n"
                   "    drainwatch-alerter replay\n",
        .list = list,
        .sibling = "drainwatch-alerter",
        .sibling_list = sibling_list,
        .serve = serve,
    };

    return commands_run(&commands, argc, argv);
}
