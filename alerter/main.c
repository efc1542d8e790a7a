/* drainwatch-alerter: counts what ingest found, decides, and tells Slack. */
#include "alerter/commands/commands.h"
#include "alerter/loop.h"
#include "common/app/commands.h"
#include "common/app/log.h"
#include "common/app/process.h"
#include "common/app/startup.h"
#include "common/base/err.h"

#define OUTBOX_USAGE                                                                               \
    "  drainwatch-alerter outbox [--format text|json]\n"                                           \
    "      list the alerts that wait, were delivered, failed or expired\n"
#define STATUS_USAGE                                                                               \
    "  drainwatch-alerter status [--format text|json]\n"                                           \
    "      show how each rule and group stands, the last delivery of each app and\n"               \
    "      how alerts are delivered; works beside the running programs or alone\n"
#define EXPORT_USAGE                                                                               \
    "  drainwatch-alerter export [--since DURATION]\n"                                             \
    "      write the recorded event stream to standard output: all of it, or from the\n"           \
    "      newest snapshot that is at least so old (2h, 7d)\n"
#define MOVE_USAGE                                                                                 \
    "  drainwatch-alerter move FROM TO\n"                                                          \
    "      copy all that the alerter keeps into an empty storage; FROM and TO are\n"               \
    "      each a state folder, or database for the one of DRAINWATCH_DATABASE_URL\n"
#define REPLAY_USAGE                                                                               \
    "  drainwatch-alerter replay [--rules FILE] [--format text|json] [FILE]\n"                     \
    "      run the engine over a captured stream (a file or standard input), post\n"               \
    "      nothing, print each alert that it decides: under the rules that the stream\n"           \
    "      records, or from a cold start under the rules of FILE\n"                                \
    "  drainwatch-alerter replay --compare OLD.yaml --rules NEW.yaml\n"                            \
    "      [--format text|json] [FILE]\n"                                                          \
    "      print the alerts that only one of two rules files decides (\"- \": only OLD,\n"         \
    "      \"+ \": only NEW); exit 1 if there are any\n"
#define TEST_USAGE                                                                                 \
    "  drainwatch-alerter test [--rules FILE] FILE.test.yaml...\n"                                 \
    "      rule tests: given lines at given times, these alerts and no others; exit 1\n"           \
    "      and show the difference if others are decided\n"

static const struct startup_program program = {
    .name = "drainwatch-alerter",
    .summary = "decides on alerts and delivers them to Slack",
};

static const struct command list[] = {
    {"outbox", outbox_command, OUTBOX_USAGE},
    {"status", status_command, STATUS_USAGE},
    {"export", export_command, EXPORT_USAGE},
    {"replay", replay_command, REPLAY_USAGE},
    {"move", move_command, MOVE_USAGE},
    {"test", test_command, TEST_USAGE},
    {0},
};

static int serve(struct startup_config *config, int signals)
{
    struct loop *loop = NULL;
    struct err err;
    int rc = startup_make_state_dir(&config->settings, &err);

    if (rc == 0)
        rc = loop_open(&(struct loop_options){.settings = &config->settings,
                                              .rules_text = buf_text(&config->rules_text),
                                              .rules_len = config->rules_text.len,
                                              .signals = signals,
                                              .notes = &config->notes},
                       &loop, &err);
    if (rc == 0)
        rc = loop_serve(loop, &err);
    loop_close(loop);
    if (rc == ERR_STOPPED) {
        log_info("stopped while the stream was read");
        return STARTUP_OK;
    }
    return rc == 0 ? STARTUP_OK : startup_cannot(&program, rc, err.text);
}

int main(int argc, char **argv)
{
    static const char *const sibling_list[] = {"scan", NULL};
    const struct commands commands = {
        .program = &program,
        .example = "  drainwatch-alerter export --since 2h > stream.capture\n"
                   "  drainwatch-alerter replay --rules new.yaml stream.capture\n",
        .list = list,
        .sibling = "drainwatch-ingest",
        .sibling_list = sibling_list,
        .serve = serve,
    };

    return commands_run(&commands, argc, argv);
}
