/* Writes the report of --check; called by commands.c. */
#include "common/app/report.h"

#include "common/base/text.h"
#include "common/base/time.h"
#include "common/pg/pg.h"

#include <inttypes.h>
#include <string.h>

enum {
    REPORT_MAX = 16 << 20, /* of RULES_MAX rules */
    APPS_SHOWN = 20,       /* lines about apps */
};

/* Appends the items with `between` between them. */
static void append_list(struct buf *out, const char *before, const struct rules_list *list,
                        const char *between)
{
    for (size_t i = 0; i < list->n; i++)
        (void)buf_printf(out, "%s%s", i == 0 ? before : between, list->items[i]);
}

static void describe_app(const struct rules *rules, size_t i, struct buf *out)
{
    const char *app = rules->app_names.items[i];
    size_t n = 0;

    for (size_t k = 0; k < rules->n_drains; k++)
        n += strcmp(rules->drains[k].app, app) == 0;
    if (rules->app == NULL || i > 0)
        (void)buf_printf(out, "  app %s: %zu %s\n", app, n, text_plural(n, "drain", "drains"));
    else
        (void)buf_printf(out, "  app %s: every drain that is not listed%s\n", app,
                         n > 0 ? ", and some that are" : "");
}

/* One line for each app with its drains, none if one app has all drains; and who is refused. */
static void describe_apps(const struct rules *rules, struct buf *out)
{
    size_t n = rules->n_drains == 0 ? 0 : rules->app_names.n;

    for (size_t i = 0; i < n && i < APPS_SHOWN; i++)
        describe_app(rules, i, out);
    if (n > APPS_SHOWN)
        (void)buf_printf(out, "  and %zu more %s\n", n - APPS_SHOWN,
                         text_plural(n - APPS_SHOWN, "app", "apps"));
    if (rules->app == NULL)
        (void)buf_puts(out,
                       "  a drain that is not listed is refused (\"app: NAME\" would take it)\n");
    if (rules->refused.n > 0)
        (void)buf_printf(out, "  refuses %zu %s\n", rules->refused.n,
                         text_plural(rules->refused.n, "drain", "drains"));
}

static void describe_mentions(const struct rules_list *mentions, struct buf *out)
{
    for (size_t i = 0; i < mentions->n; i++) {
        const char *who = mentions->items[i];
        bool is_word = who[0] >= 'a' && who[0] <= 'z'; /* ids are in capital letters */

        (void)buf_printf(out, "%s%s%s", i == 0 ? ", mentioning " : " and ", is_word ? "@" : "",
                         who);
    }
}

static void describe_rule(const struct rule *rule, struct buf *out)
{
    char within[TIME_WORDS_SIZE], cooldown[TIME_WORDS_SIZE], period[TIME_WORDS_SIZE];
    bool has_severity = rule->severity[0] != '\0';

    time_format_words(rule->within_us, within);
    time_format_words(rule->cooldown_us, cooldown);
    time_format_words(rule->messages.period_us, period);
    (void)buf_printf(out, "  %s%s%s%s: more than %" PRIu64 " in %s", rule->name,
                     has_severity ? " (" : "", rule->severity, has_severity ? ")" : "",
                     rule->more_than, within);
    append_list(out, " for each ", &rule->group_by, " and ");
    append_list(out, " of app ", &rule->apps, " or ");
    (void)buf_printf(out, ", at most one alert per %s and %" PRIu64 " %s in %s, to %s", cooldown,
                     rule->messages.n, text_plural(rule->messages.n, "message", "messages"), period,
                     rule->channel);
    describe_mentions(&rule->mentions, out);
    (void)buf_puts(out, "\n");
}

static bool takes_router(const struct rules_list *list, const char *name)
{
    bool all_exclude = true;

    for (size_t i = 0; i < list->n; i++) {
        if (list->items[i][0] != '!')
            all_exclude = false;
        if (strcmp(list->items[i] + (list->items[i][0] == '!'), name) == 0)
            return list->items[i][0] != '!';
    }
    return all_exclude;
}

/* The router quotes text that visitors of the app write. */
static void warn_of_quotes(const struct rules *rules, struct buf *out)
{
    const struct rule *first = NULL;
    size_t n = 0;

    for (size_t i = 0; i < rules->n; i++) {
        const struct rule *rule = &rules->rules[i];

        if (rule->matches.n == 0 || rule->outside_quotes ||
            !takes_router(&rule->sources, "heroku") || !takes_router(&rule->processes, "router"))
            continue;
        first = first == NULL ? rule : first;
        n++;
    }
    if (n > 0)
        (void)buf_printf(
            out,
            "hint: the match of %s%s also sees text in quotes that visitors write into "
            "router lines (add \"outside_quotes: yes\", or \"process: '!router'\")\n",
            first->name, n > 1 ? " and of other rules" : "");
}

static void describe_state(const struct settings *s, struct buf *out)
{
    char host[256];

    if (s->database_url == NULL) {
        (void)buf_printf(out, "state in %s", s->state_dir);
        return;
    }
    pg_url_host(s->database_url, host, sizeof host);
    (void)buf_printf(
        out,
        "state in PostgreSQL on %s, schema %s (not connected for this check); ingest's "
        "journal in %s",
        host, s->schema, s->state_dir);
}

static void describe(const struct startup_config *config, struct buf *out)
{
    const struct settings *s = &config->settings;
    const struct rules *rules = config->rules;

    (void)buf_printf(out, "alerting is %s\n%zu %s; Slack token %s; ",
                     s->enabled ? "on" : "OFF, so nothing is posted", s->n_secrets,
                     text_plural(s->n_secrets, "secret", "secrets"),
                     s->slack_token ? "set" : "unset");
    describe_state(s, out);
    (void)buf_printf(out, "; queue %s\n%s: ", settings_queue_text(s), s->rules_path);
    if (rules->app_names.n == 1)
        (void)buf_printf(out, "app %s, ", rules->app_names.items[0]);
    else
        (void)buf_printf(out, "%zu apps, ", rules->app_names.n);
    (void)buf_printf(out, "%zu %s\n", rules->n, text_plural(rules->n, "rule", "rules"));
    describe_apps(rules, out);
    for (size_t i = 0; i < rules->n; i++)
        describe_rule(&rules->rules[i], out);
    warn_of_quotes(rules, out);
}

int report_print(const struct startup_program *program, struct startup_config *config)
{
    struct buf text;
    int code = STARTUP_OK;

    buf_init(&text, REPORT_MAX);
    describe(config, &text);
    if (text.failed != 0)
        code = startup_fail(program, "out of memory");
    startup_print(program, &text, stdout);
    startup_print(program, &config->notes, stdout);
    buf_close(&text);
    return code;
}
