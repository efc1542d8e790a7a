/* drainwatch-ingest: takes deliveries, keeps what matched, hands it to the alerter. */
#include "common/app/log.h"
#include "common/app/process.h"
#include "common/app/startup.h"
#include "common/base/err.h"
#include "ingest/commands/scan.h"
#include "ingest/loop.h"

#include <unistd.h>

static const struct startup_program program = {
    .name = "drainwatch-ingest",
    .summary = "takes Heroku log drain deliveries and hands what matches the rules to the alerter",
    .usage = "  drainwatch-ingest            serve\n" SCAN_USAGE,
};

static int serve(struct startup_config *config, int signals)
{
    struct loop *driver = NULL;
    struct err err;
    int rc = process_make_folder(config->settings.state_dir, &err);
    int exit_code;

    if (rc == 0) {
        rc = loop_open(&(struct loop_options){.settings = &config->settings,
                                              .rules = config->rules,
                                              .signals = signals},
                       &driver, &err);
        config->rules = NULL;
    }
    if (rc != 0) {
        exit_code = startup_cannot(&program, rc, err.text);
    } else {
        rc = loop_serve(driver, &err);
        exit_code = rc == 0 ? STARTUP_OK : startup_fail(&program, err.text);
    }
    loop_close(driver);
    return exit_code;
}

int main(int argc, char **argv)
{
    static const char *const commands[] = {"scan", NULL};
    struct startup_config config;
    struct err err;
    int exit_code, signals = -1;
    enum startup_verb verb = startup_arguments(&program, argc, argv, commands, &exit_code);

    if (verb == STARTUP_DONE)
        return exit_code;
    process_harden();
    log_open(program.name);
    if (verb == STARTUP_COMMAND)
        return scan_logs(&program, argc, argv);
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
