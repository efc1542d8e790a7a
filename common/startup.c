#include "common/startup.h"

#include "common/err.h"
#include "common/log.h"
#include "common/process.h"
#include "common/queue.h"
#include "common/time.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum { REPORT_MAX = 8 << 20 }; /* of RULES_MAX rules */

int startup_fail(const struct startup_program *program, const char *text)
{
    fprintf(stderr, "%s: %s\n", program->name, text);
    return STARTUP_FAILED;
}

int startup_cannot(const struct startup_program *program, int rc, const char *text)
{
    startup_fail(program, text);
    return rc == ERR_INPUT ? STARTUP_CONFIG : STARTUP_FAILED;
}

static int help(const struct startup_program *program)
{
    struct buf table;

    buf_init(&table, 64 << 10);
    if (settings_help(&table) != 0)
        return startup_fail(program, "out of memory");
    printf("%s: %s\n\nusage:\n%s"
           "  %s --check    read and validate settings and rules, say what was found\n"
           "  %s --help | --version\n\n"
           "settings (environment):\n%s",
           program->name, program->summary, program->usage, program->name, program->name,
           buf_text(&table));
    buf_close(&table);
    return STARTUP_OK;
}

int startup_usage(const struct startup_program *program, const char *what, const char *arg)
{
    fprintf(stderr, "%s: %s \"%s\" (see %s --help)\n", program->name, what, arg, program->name);
    return STARTUP_USAGE;
}

enum startup_verb startup_arguments(const struct startup_program *program, int argc, char **argv,
                                    const char *const *commands, int *exit_code)
{
    const char *arg = argc > 1 ? argv[1] : NULL;

    *exit_code = STARTUP_OK;
    if (arg == NULL)
        return STARTUP_SERVE;
    for (; *commands != NULL; commands++) {
        if (strcmp(arg, *commands) == 0)
            return STARTUP_COMMAND;
    }
    if (argc > 2)
        *exit_code = startup_usage(program, "unexpected argument", argv[2]);
    else if (strcmp(arg, "--check") == 0)
        return STARTUP_CHECK;
    else if (strcmp(arg, "--help") == 0)
        *exit_code = help(program);
    else if (strcmp(arg, "--version") == 0)
        printf("%s %s\n", program->name, DRAINWATCH_VERSION);
    else
        *exit_code = startup_usage(program, "unknown argument", arg);
    return STARTUP_DONE;
}

/* Prints each line with the program's name before it, and without any secret: an operator may have
 * put one into the wrong setting. */
static void print_lines(const struct startup_program *program, struct buf *lines, FILE *out)
{
    char *at = (char *)lines->data;
    size_t left = lines->len > 0 ? log_without_secrets(at, lines->len) : 0;

    while (left > 0) {
        char *end = memchr(at, '\n', left);
        size_t n = end != NULL ? (size_t)(end - at) : left;

        fprintf(out, "%s: %.*s\n", program->name, (int)n, at);
        n += end != NULL;
        at += n;
        left -= n;
    }
}

static int check_queue(const struct settings *s, struct buf *faults)
{
    struct err err;

    if (s->queue == NULL || queue_check_endpoint(s->queue, &err) == 0)
        return 0;
    return buf_printf(faults, "DRAINWATCH_QUEUE: %s\n", err.text) == 0 ? ERR_INPUT : ERR_NOMEM;
}

static int read_rules(struct startup_config *config, struct buf *faults)
{
    const char *path = config->settings.rules_path;
    struct err err;
    int rc = process_read_file(path, &config->rules_text, &err);

    if (rc != 0) {
        buf_printf(faults, "%s (DRAINWATCH_RULES names the rules file)\n", err.text);
        return ERR_INPUT;
    }
    return rules_parse((const char *)config->rules_text.data, config->rules_text.len, path,
                       &config->rules, faults);
}

/* From here on no line of ours shows a secret, whoever wrote it into an error. */
static void hide_secrets(const struct settings *s)
{
    for (size_t i = 0; i < s->n_secrets; i++)
        log_hide(s->secrets[i].bytes, s->secrets[i].len);
    if (s->slack_token != NULL)
        log_hide(s->slack_token, strlen(s->slack_token));
}

int startup_configure(const struct startup_program *program, bool quiet,
                      struct startup_config *config)
{
    struct buf faults, notes;
    int settings_rc, queue_rc, rules_rc = 0;

    *config = (struct startup_config){0};
    buf_init(&config->rules_text, RULES_TEXT_MAX);
    buf_init(&faults, SETTINGS_FAULTS_MAX + RULES_FAULTS_MAX);
    buf_init(&notes, SETTINGS_FAULTS_MAX);
    settings_rc = settings_read(&config->settings, &faults, &notes);
    queue_rc = check_queue(&config->settings, &faults);
    if (config->settings.rules_path != NULL)
        rules_rc = read_rules(config, &faults);
    hide_secrets(&config->settings);
    print_lines(program, &faults, stderr);
    if (!quiet && faults.len == 0)
        print_lines(program, &notes, stderr);
    buf_close(&faults);
    buf_close(&notes);
    if (settings_rc == 0 && queue_rc == 0 && rules_rc == 0)
        return STARTUP_OK;
    startup_release(config);
    if (settings_rc == ERR_NOMEM || queue_rc == ERR_NOMEM || rules_rc == ERR_NOMEM)
        return startup_fail(program, "out of memory");
    return STARTUP_CONFIG;
}

int startup_settings(const struct startup_program *program, struct settings *settings)
{
    struct buf faults, notes;
    int rc;

    buf_init(&faults, SETTINGS_FAULTS_MAX);
    buf_init(&notes, SETTINGS_FAULTS_MAX);
    rc = settings_read(settings, &faults, &notes);
    hide_secrets(settings);
    print_lines(program, &faults, stderr);
    log_forget_secrets(); /* the settings are not ours to keep */
    buf_close(&faults);
    buf_close(&notes);
    if (rc == 0)
        return STARTUP_OK;
    settings_close(settings);
    return rc == ERR_INPUT ? STARTUP_CONFIG : startup_fail(program, "out of memory");
}

void startup_release(struct startup_config *config)
{
    rules_free(config->rules);
    config->rules = NULL;
    buf_close(&config->rules_text);
    log_forget_secrets();
    settings_close(&config->settings);
}

static int describe(const struct startup_config *config, struct buf *out)
{
    const struct settings *s = &config->settings;
    int rc = buf_printf(out,
                        "alerting is %s\n%zu secret%s; Slack token %s; state in %s; queue %s\n"
                        "%s: app %s, %zu rule%s\n",
                        s->enabled ? "on" : "off", s->n_secrets, s->n_secrets == 1 ? "" : "s",
                        s->slack_token ? "set" : "unset", s->state_dir, s->queue, s->rules_path,
                        config->rules->app, config->rules->n, config->rules->n == 1 ? "" : "s");

    for (size_t i = 0; rc == 0 && i < config->rules->n; i++) {
        const struct rule *rule = &config->rules->rules[i];
        char within[TIME_WORDS_SIZE], cooldown[TIME_WORDS_SIZE];

        time_format_words(rule->within_us, within);
        time_format_words(rule->cooldown_us, cooldown);
        rc = buf_printf(out, "  %s: more than %llu in %s, at most one alert per %s, to %s\n",
                        rule->name, (unsigned long long)rule->more_than, within, cooldown,
                        rule->channel);
    }
    return rc;
}

void startup_report(const struct startup_program *program, const struct startup_config *config)
{
    struct buf text;

    buf_init(&text, REPORT_MAX);
    if (describe(config, &text) != 0)
        startup_fail(program, "out of memory");
    print_lines(program, &text, stdout);
    buf_close(&text);
}
