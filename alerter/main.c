/* drainwatch-alerter: counts what ingest found, decides, and tells Slack. */
#include "alerter/driver.h"
#include "alerter/export.h"
#include "alerter/replay.h"
#include "alerter/show.h"
#include "common/err.h"
#include "common/log.h"
#include "common/process.h"
#include "common/startup.h"

#include <string.h>
#include <unistd.h>

static const struct startup_program program = {
    .name = "drainwatch-alerter",
    .summary =
        "counts the matches that ingest found, decides on alerts, and delivers them to Slack",
    .usage = "  drainwatch-alerter            serve\n"
             "  drainwatch-alerter outbox [--format text|json]\n"
             "      list the alerts that wait, were delivered, failed or expired\n"
             "  drainwatch-alerter export [--since DURATION]\n"
             "      write the recorded event stream to standard output\n"
             "  drainwatch-alerter replay [--format text|json] [FILE]\n"
             "      run the engine over a captured stream, post nothing, print what it decides\n",
};

static int serve(const struct startup_config *config)
{
    struct driver *driver = NULL;
    struct err err;
    int signals = process_signals(&err);
    int rc = signals < 0 ? signals : process_make_folder(config->settings.state_dir, &err);

    if (rc == 0)
        rc = driver_open(&(struct driver_options){.settings = &config->settings,
                                                  .rules_text = buf_text(&config->rules_text),
                                                  .rules_len = config->rules_text.len,
                                                  .signals = signals},
                         &driver, &err);
    if (rc == 0)
        rc = driver_serve(driver, &err);
    driver_close(driver);
    if (signals >= 0)
        close(signals);
    return rc == 0 ? STARTUP_OK : startup_cannot(&program, rc, err.text);
}

static int command(int argc, char **argv)
{
    if (strcmp(argv[1], "outbox") == 0)
        return show_outbox(&program, argc, argv);
    if (strcmp(argv[1], "export") == 0)
        return export_stream(&program, argc, argv);
    return replay_stream(&program, argc, argv);
}

int main(int argc, char **argv)
{
    static const char *const commands[] = {"outbox", "export", "replay", NULL};
    struct startup_config config;
    int exit_code;
    enum startup_verb verb = startup_arguments(&program, argc, argv, commands, &exit_code);

    if (verb == STARTUP_DONE)
        return exit_code;
    process_harden();
    log_open(program.name);
    if (verb == STARTUP_COMMAND)
        return command(argc, argv);
    exit_code = startup_configure(&program, false, &config);
    if (exit_code != STARTUP_OK)
        return exit_code;
    if (verb == STARTUP_CHECK)
        startup_report(&program, &config);
    else
        exit_code = serve(&config);
    startup_release(&config);
    return exit_code;
}
