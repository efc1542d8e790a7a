/* Reads settings and rules when a program or command starts, and prints their faults. */
#include "common/app/startup.h"

#include "common/app/log.h"
#include "common/app/process.h"
#include "common/base/err.h"
#include "common/queue/queue.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

int startup_fail(const struct startup_program *program, const char *text)
{
    fprintf(stderr, "%s: %s\n", program->name, text);
    return STARTUP_FAILED;
}

void startup_print(const struct startup_program *program, struct buf *lines, FILE *out)
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

int startup_cannot(const struct startup_program *program, int rc, const char *text)
{
    startup_fail(program, text);
    return rc == ERR_INPUT ? STARTUP_CONFIG : STARTUP_FAILED;
}

static int check_queue(const struct settings *s, struct buf *faults)
{
    struct err err;

    if (s->queue == NULL || queue_check_endpoint(s->queue, &err) == 0)
        return 0;
    (void)buf_printf(faults, "DRAINWATCH_QUEUE: %s\n", err.text);
    return ERR_INPUT;
}

/* Reads the file at `path` into `text`, and its rules; `remedy` says how to name another path.
 * Unless it returns 0 there is nothing to close. */
static int read_rules(const char *path, const char *remedy, struct buf *text,
                      const struct rules **rules, struct buf *faults)
{
    struct err err;
    int rc;

    *rules = NULL;
    buf_init(text, RULES_TEXT_MAX);
    rc = process_read_file(path, text, &err);
    if (rc == 0)
        rc = rules_parse((const char *)text->data, text->len, path, rules, faults);
    else if (rc != ERR_NOMEM)
        (void)buf_printf(faults, "%s (%s)\n", err.text, remedy);
    if (rc != 0)
        buf_close(text);
    return rc;
}

static int check_state_dir(const char *path, struct buf *faults)
{
    struct err err;

    if (process_check_folder(path, &err) == 0)
        return 0;
    (void)buf_printf(faults, "DRAINWATCH_STATE_DIR: %s\n", err.text);
    return ERR_INPUT;
}

int startup_make_state_dir(const struct settings *settings, struct err *err)
{
    struct err why;
    int rc = process_make_folder(settings->state_dir, &why);

    return rc == 0 ? 0 : err_set(err, rc, "DRAINWATCH_STATE_DIR: %s", why.text);
}

/* The password as the URL has it, before the host or as a parameter. */
static void hide_password(const char *url)
{
    static const char parameter[] = "password=";
    const char *value = strstr(url, parameter);
    const char *name = strstr(url, "://"), *end = strrchr(url, '@');
    const char *colon = name != NULL ? strchr(name + 3, ':') : NULL;

    if (colon != NULL && end != NULL && colon < end)
        log_hide(colon + 1, (size_t)(end - colon) - 1);
    if (value != NULL)
        log_hide(value + strlen(parameter), strcspn(value + strlen(parameter), "&"));
}

/* From here on no log line shows a secret, also if an error message holds it. */
static void hide_secrets(const struct settings *s)
{
    for (size_t i = 0; i < s->n_secrets; i++)
        log_hide(s->secrets[i].bytes, s->secrets[i].len);
    if (s->slack_token != NULL)
        log_hide(s->slack_token, strlen(s->slack_token));
    if (s->database_url != NULL)
        hide_password(s->database_url);
}

/* The values of the rules.yaml that this repository ships: the values of its first user. */
static const char EXAMPLE_APP[] = "raxx-console-prod";
static const char EXAMPLE_CHANNEL[] = "D0AJ7K184TV";

/* Names the lines to edit while the file still holds values of the example. */
static void note_example(const char *path, const struct rules *rules, struct buf *notes)
{
    bool app = rules->app != NULL && strcmp(rules->app, EXAMPLE_APP) == 0;
    bool channel = rules->channel != NULL && strcmp(rules->channel, EXAMPLE_CHANNEL) == 0;

    if (!app && !channel)
        return;
    (void)buf_printf(notes, "alerts for %s go to %s%s%s, as shipped: edit ",
                     rules->app != NULL ? "every drain" : "the listed drains",
                     channel ? EXAMPLE_CHANNEL : "your channel", app ? " under the name " : "",
                     app ? EXAMPLE_APP : "");
    if (app)
        (void)buf_printf(notes, "`app:` (line %zu)", rules->app_line);
    if (channel)
        (void)buf_printf(notes, "%s`slack: channel:` (line %zu)", app ? " and " : "",
                         rules->channel_line);
    (void)buf_printf(notes, " of %s unless that is you\n", path);
}

static int read_all(struct startup_config *config, struct buf *faults, struct buf *notes)
{
    struct settings *s = &config->settings;
    int rc = settings_read(s, faults, notes);

    rc = err_worse(rc, check_queue(s, faults));
    if (s->state_dir != NULL)
        rc = err_worse(rc, check_state_dir(s->state_dir, faults));
    if (s->rules_path != NULL)
        rc = err_worse(rc, read_rules(s->rules_path, "DRAINWATCH_RULES names the rules file",
                                      &config->rules_text, &config->rules, faults));
    if (rc == 0)
        note_example(s->rules_path, config->rules, notes);
    return faults->failed == ERR_NOMEM || notes->failed == ERR_NOMEM ? ERR_NOMEM : rc;
}

/* Prints and closes the faults, and returns the exit code of a result. */
static int report_faults(const struct startup_program *program, struct buf *faults, int rc)
{
    startup_print(program, faults, stderr);
    buf_close(faults);
    if (rc == ERR_NOMEM)
        return startup_fail(program, "out of memory");
    return rc == 0 ? STARTUP_OK : STARTUP_CONFIG;
}

int startup_configure(const struct startup_program *program, struct startup_config *config)
{
    struct buf faults;
    int rc, code;

    *config = (struct startup_config){0};
    buf_init(&config->rules_text, RULES_TEXT_MAX);
    buf_init(&config->notes, SETTINGS_FAULTS_MAX);
    buf_init(&faults, SETTINGS_FAULTS_MAX + RULES_FAULTS_MAX);
    rc = read_all(config, &faults, &config->notes);
    hide_secrets(&config->settings);
    code = report_faults(program, &faults, rc);
    if (rc != 0)
        startup_release(config);
    return code;
}

int startup_read_rules(const struct startup_program *program, const char *path, struct buf *text,
                       const struct rules **rules)
{
    struct buf faults;
    int rc;

    buf_init(&faults, RULES_FAULTS_MAX);
    rc = read_rules(path, "name a rules file that can be read", text, rules, &faults);
    return report_faults(program, &faults, rc);
}

/* Logs each line, which ends in a line end. */
static void log_lines(const struct buf *lines, const char *level)
{
    const char *at = buf_text(lines), *end;

    for (; (end = strchr(at, '\n')) != NULL; at = end + 1)
        log_write(level, "%.*s", (int)(end - at), at);
}

void startup_log_notes(const struct buf *notes)
{
    log_lines(notes, "warning");
}

void startup_log_pooled(bool *is_told)
{
    if (!*is_told)
        log_warning("a connection pool lies before the database: all works, but alerts may come up "
                    "to a quarter of a second later; set DRAINWATCH_DATABASE_URL to the URL of the "
                    "database itself");
    *is_told = true;
}

int startup_reload_rules(const char *path, struct buf *text, const struct rules **rules)
{
    struct buf faults;
    int rc;

    buf_init(&faults, RULES_FAULTS_MAX);
    rc = read_rules(path, "DRAINWATCH_RULES names the rules file", text, rules, &faults);
    log_lines(&faults, "error");
    if (rc == ERR_NOMEM)
        log_error("%s: out of memory", path);
    if (rc != 0)
        log_error("%s: not reloaded, the old rules stay in force (mend the file and reload again)",
                  path);
    buf_close(&faults);
    return rc;
}

void startup_storage(const struct settings *settings, const char *program,
                     struct startup_storage *out)
{
    storage_location(settings->state_dir, out->path);
    process_name(out->holder);
    out->options = (struct storage_options){
        .location = settings->database_url != NULL ? settings->database_url : out->path,
        .schema = settings->schema,
        .program = program,
        .holder = out->holder,
        .sync_full = settings->sync_full,
    };
}

int startup_settings(const struct startup_program *program, struct settings *settings)
{
    struct buf faults, notes;
    int rc, code;

    buf_init(&faults, SETTINGS_FAULTS_MAX);
    buf_init(&notes, SETTINGS_FAULTS_MAX);
    rc = settings_read(settings, &faults, &notes);
    hide_secrets(settings);
    code = report_faults(program, &faults, rc);
    log_forget_secrets(); /* the settings are not ours to keep */
    buf_close(&notes);
    if (rc != 0)
        settings_close(settings);
    return code;
}

void startup_forget_token(struct startup_config *config)
{
    log_forget_secrets();
    settings_forget_token(&config->settings);
    hide_secrets(&config->settings);
}

void startup_release(struct startup_config *config)
{
    rules_free(config->rules);
    config->rules = NULL;
    buf_close(&config->rules_text);
    buf_close(&config->notes);
    log_forget_secrets();
    settings_close(&config->settings);
}
