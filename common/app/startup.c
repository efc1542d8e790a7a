#include "common/app/startup.h"

#include "common/app/log.h"
#include "common/app/process.h"
#include "common/base/err.h"
#include "common/base/time.h"
#include "common/queue/queue.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    REPORT_MAX = 16 << 20, /* of RULES_MAX rules */
    APPS_SHOWN = 20,       /* lines about apps in it */
};

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

/* Reads the file at `path` into `text`, and its rules; `remedy` says where another path would be
 * named. Where it does not return 0 there is nothing to close. */
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
    else if (rc != ERR_NOMEM && buf_printf(faults, "%s (%s)\n", err.text, remedy) != 0)
        rc = ERR_NOMEM;
    if (rc != 0)
        buf_close(text);
    return rc;
}

/* Cuts a path to the nearest folder above that is there. False, with errno, where that cannot be
 * told. */
static bool find_folder(char path[PATH_MAX], struct stat *found)
{
    while (stat(path, found) != 0) {
        char *slash = strrchr(path, '/');

        if (errno != ENOENT || strcmp(path, "/") == 0 || strcmp(path, ".") == 0)
            return false;
        if (slash == NULL)
            memcpy(path, ".", 2);
        else
            slash[slash == path] = '\0'; /* "/" stays */
    }
    return true;
}

/* Whether the state folder can be made and written. Nothing is made for that. */
static int check_state_dir(const char *path, struct buf *faults)
{
    char part[PATH_MAX];
    struct stat found;
    size_t n = strlen(path);
    bool is_whole = true;

    if (n >= sizeof part)
        errno = ENAMETOOLONG;
    else {
        memcpy(part, path, n + 1);
        if (find_folder(part, &found)) {
            is_whole = strcmp(part, path) == 0;
            if (!S_ISDIR(found.st_mode))
                errno = ENOTDIR;
            else if (access(part, is_whole ? R_OK | W_OK | X_OK : W_OK | X_OK) == 0)
                return 0;
        }
    }
    if (buf_printf(faults,
                   "DRAINWATCH_STATE_DIR: \"%s\": %s%s%s%s (name a folder that can be written)\n",
                   path, is_whole ? "" : "cannot be made in ", is_whole ? "" : part,
                   is_whole ? "" : ": ", strerror(errno)) != 0)
        return ERR_NOMEM;
    return ERR_INPUT;
}

/* From here on no line of ours shows a secret, whoever wrote it into an error. */
static void hide_secrets(const struct settings *s)
{
    for (size_t i = 0; i < s->n_secrets; i++)
        log_hide(s->secrets[i].bytes, s->secrets[i].len);
    if (s->slack_token != NULL)
        log_hide(s->slack_token, strlen(s->slack_token));
}

/* What one function found, into what all found so far. */
static int worse(int rc, int other)
{
    if (rc == 0 || other == ERR_NOMEM)
        return other;
    return rc;
}

static int read_all(struct startup_config *config, struct buf *faults, struct buf *notes)
{
    struct settings *s = &config->settings;
    int rc = settings_read(s, faults, notes);

    rc = worse(rc, check_queue(s, faults));
    if (s->state_dir != NULL)
        rc = worse(rc, check_state_dir(s->state_dir, faults));
    if (s->rules_path != NULL)
        rc = worse(rc, read_rules(s->rules_path, "DRAINWATCH_RULES names the rules file",
                                  &config->rules_text, &config->rules, faults));
    return rc;
}

int startup_configure(const struct startup_program *program, bool quiet,
                      struct startup_config *config)
{
    struct buf faults, notes;
    int rc;

    *config = (struct startup_config){0};
    buf_init(&config->rules_text, RULES_TEXT_MAX);
    buf_init(&faults, SETTINGS_FAULTS_MAX + RULES_FAULTS_MAX);
    buf_init(&notes, SETTINGS_FAULTS_MAX);
    rc = read_all(config, &faults, &notes);
    hide_secrets(&config->settings);
    print_lines(program, &faults, stderr);
    if (!quiet && faults.len == 0)
        print_lines(program, &notes, stderr);
    buf_close(&faults);
    buf_close(&notes);
    if (rc == 0)
        return STARTUP_OK;
    startup_release(config);
    return rc == ERR_NOMEM ? startup_fail(program, "out of memory") : STARTUP_CONFIG;
}

int startup_read_rules(const struct startup_program *program, const char *path, struct buf *text,
                       const struct rules **rules)
{
    struct buf faults;
    int rc;

    buf_init(&faults, RULES_FAULTS_MAX);
    rc = read_rules(path, "name a rules file that can be read", text, rules, &faults);
    print_lines(program, &faults, stderr);
    buf_close(&faults);
    if (rc == 0)
        return STARTUP_OK;
    return rc == ERR_NOMEM ? startup_fail(program, "out of memory") : STARTUP_CONFIG;
}

/* Logs each of the lines, which end in a line end each. */
static void log_faults(struct buf *lines)
{
    char *at = (char *)lines->data, *end;

    for (; lines->len > 0 && (end = strchr(at, '\n')) != NULL; at = end + 1)
        log_error("%.*s", (int)(end - at), at);
}

int startup_reload_rules(const char *path, struct buf *text, const struct rules **rules)
{
    struct buf faults;
    int rc;

    buf_init(&faults, RULES_FAULTS_MAX);
    rc = read_rules(path, "DRAINWATCH_RULES names the rules file", text, rules, &faults);
    log_faults(&faults);
    if (rc == ERR_NOMEM)
        log_error("%s: out of memory", path);
    if (rc != 0)
        log_error("%s: not reloaded, the old rules stay in force (mend the file and reload again)",
                  path);
    buf_close(&faults);
    return rc;
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

/* Appends the items with `between` between them. */
static int append_list(struct buf *out, const char *before, const struct rules_list *list,
                       const char *between)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < list->n; i++)
        rc = buf_printf(out, "%s%s", i == 0 ? before : between, list->items[i]);
    return rc;
}

static const char *plural(size_t n)
{
    return n == 1 ? "" : "s";
}

static size_t count_drains(const struct rules *rules, const char *app)
{
    size_t n = 0;

    for (size_t i = 0; i < rules->n_drains; i++)
        n += strcmp(rules->drains[i].app, app) == 0;
    return n;
}

static int describe_app(const struct rules *rules, size_t i, struct buf *out)
{
    const char *app = rules->app_names.items[i];
    size_t n = count_drains(rules, app);

    if (rules->app == NULL || i > 0)
        return buf_printf(out, "  app %s: %zu drain%s\n", app, n, plural(n));
    return buf_printf(out, "  app %s: every drain that is not listed%s\n", app,
                      n > 0 ? ", and some that are" : "");
}

/* Which drains an app has, in a line for each; nothing to say where the one app has all. */
static int describe_apps(const struct rules *rules, struct buf *out)
{
    size_t n = rules->n_drains == 0 ? 0 : rules->app_names.n;
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < n && i < APPS_SHOWN; i++)
        rc = describe_app(rules, i, out);
    if (rc == 0 && n > APPS_SHOWN)
        rc = buf_printf(out, "  and %zu more apps\n", n - APPS_SHOWN);
    if (rc == 0 && rules->app == NULL)
        rc = buf_puts(out,
                      "  a drain that is not listed is refused (\"app: NAME\" would take it)\n");
    return rc;
}

static int describe_mentions(const struct rules_list *mentions, struct buf *out)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < mentions->n; i++) {
        const char *who = mentions->items[i];
        bool is_word = who[0] >= 'a' && who[0] <= 'z'; /* ids are in capital letters */

        rc = buf_printf(out, "%s%s%s", i == 0 ? ", mentioning " : " and ", is_word ? "@" : "", who);
    }
    return rc;
}

static int describe_rule(const struct rule *rule, struct buf *out)
{
    char within[TIME_WORDS_SIZE], cooldown[TIME_WORDS_SIZE];
    bool has_severity = rule->severity[0] != '\0';
    int rc;

    time_format_words(rule->within_us, within);
    time_format_words(rule->cooldown_us, cooldown);
    rc = buf_printf(out, "  %s%s%s%s: more than %" PRIu64 " in %s", rule->name,
                    has_severity ? " (" : "", rule->severity, has_severity ? ")" : "",
                    rule->more_than, within);
    if (rc == 0)
        rc = append_list(out, " for each ", &rule->group_by, " and ");
    if (rc == 0)
        rc = append_list(out, " of app ", &rule->apps, " or ");
    if (rc == 0)
        rc = buf_printf(out, ", at most one alert per %s, to %s", cooldown, rule->channel);
    if (rc == 0)
        rc = describe_mentions(&rule->mentions, out);
    return rc == 0 ? buf_puts(out, "\n") : rc;
}

static int describe(const struct startup_config *config, struct buf *out)
{
    const struct settings *s = &config->settings;
    const struct rules *rules = config->rules;
    int rc =
        buf_printf(out, "alerting is %s\n%zu secret%s; Slack token %s; state in %s; queue %s\n%s: ",
                   s->enabled ? "on" : "off", s->n_secrets, plural(s->n_secrets),
                   s->slack_token ? "set" : "unset", s->state_dir, s->queue, s->rules_path);

    if (rc == 0 && rules->app_names.n == 1)
        rc = buf_printf(out, "app %s, ", rules->app_names.items[0]);
    else if (rc == 0)
        rc = buf_printf(out, "%zu apps, ", rules->app_names.n);
    if (rc == 0)
        rc = buf_printf(out, "%zu rule%s\n", rules->n, plural(rules->n));
    if (rc == 0)
        rc = describe_apps(rules, out);
    for (size_t i = 0; rc == 0 && i < rules->n; i++)
        rc = describe_rule(&rules->rules[i], out);
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
