/* `drainwatch-alerter status`: prints how the rules, the queue and the delivery stand. */
#include "alerter/commands/status.h"

#include "alerter/commands/show.h"
#include "alerter/commands/standing.h"
#include "alerter/deliver/draft.h"
#include "common/app/args.h"
#include "common/base/time.h"

#include <errno.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* Of a rule's groups and of the apps, those shown; bytes of names, so that a line has 80 columns.
 */
enum { TEXT_GROUPS = 5, JSON_GROUPS = 100, APPS = 20, APP_BYTES = 24, VALUE_BYTES = 32 };

/* ---- text ---- */

/* "3 minutes 12 seconds", without the seconds from an hour on. */
static void say_duration(struct draft *d, int64_t us)
{
    char words[TIME_WORDS_SIZE];

    time_format_words(us - us % (us < TIME_HOUR ? TIME_S : TIME_MINUTE), words);
    draft_say(d, us < TIME_S ? "less than a second" : words);
}

static int print_rule(const struct rule *rule, struct err *err)
{
    struct draft d;

    draft_init(&d, DRAFT_PRINT);
    draft_show(&d, rule->name, APP_BYTES + VALUE_BYTES);
    draft_say(&d, ": more than ");
    draft_say_number(&d, rule->more_than);
    draft_say(&d, " in ");
    say_duration(&d, rule->within_us);
    return show_line(&d, err);
}

static int print_key(const struct standing *s, const struct standing_key *key, struct err *err)
{
    const struct rule *rule = key->at.rule;
    struct draft d;

    draft_init(&d, DRAFT_PRINT);
    draft_say(&d, "  ");
    draft_say_number(&d, key->at.count);
    draft_say(&d, key->at.count > rule->more_than ? " (breached)  " : "  ");
    draft_show(&d, key->at.app, APP_BYTES);
    for (size_t i = 0; i < rule->group_by.n; i++) {
        draft_say(&d, i == 0 ? "  " : ", ");
        draft_say(&d, key->values[i][0] == '\0' ? "(none)" : "");
        draft_show(&d, key->values[i], VALUE_BYTES / rule->group_by.n);
    }
    if (key->at.alerted_us != ENGINE_NEVER) {
        draft_say(&d, "\n    last alert ");
        draft_say_time(&d, key->at.alerted_us);
    }
    if (key->at.cooldown_end_us > s->now_us) {
        draft_say(&d, ", cooldown left ");
        say_duration(&d, key->at.cooldown_end_us - s->now_us);
    }
    return show_line(&d, err);
}

/* The keys of a rule stand together from `from` on; returns the index after them. */
static size_t end_of_rule(const struct standing *s, const struct rule *rule, size_t from)
{
    while (from < s->n_keys && s->keys[from].at.rule == rule)
        from++;
    return from;
}

static int print_rules(const struct standing *s, struct err *err)
{
    size_t from = 0;
    int rc = 0;

    for (size_t r = 0; s->rules != NULL && r < s->rules->n && rc == 0; r++) {
        const struct rule *rule = &s->rules->rules[r];
        const size_t end = end_of_rule(s, rule, from);

        rc = print_rule(rule, err);
        for (size_t i = from; i < end && i < from + TEXT_GROUPS && rc == 0; i++)
            rc = print_key(s, &s->keys[i], err);
        if (end == from)
            puts("  no match recorded");
        else if (end - from > TEXT_GROUPS)
            printf("  and %zu more, see --format json\n", end - from - TEXT_GROUPS);
        from = end;
    }
    return rc;
}

static int print_apps(const struct standing *s, struct err *err)
{
    int rc = 0;

    for (size_t i = 0; i < s->n_apps && i < APPS && rc == 0; i++) {
        const int64_t arrived_us = s->apps[i].arrived_us;
        struct draft d;

        draft_init(&d, DRAFT_PRINT);
        draft_say(&d, "app ");
        draft_show(&d, s->apps[i].name, APP_BYTES);
        if (arrived_us == ENGINE_NEVER) {
            draft_say(&d, ": no delivery with a match recorded");
        } else {
            draft_say(&d, ": last match delivered ");
            draft_say_time(&d, arrived_us);
        }
        rc = show_line(&d, err);
    }
    if (s->n_apps > APPS)
        printf("and %zu more apps\n", s->n_apps - APPS);
    return rc;
}

static void print_programs(const struct standing *s)
{
    printf("alerter: %s\n", s->alerter_runs ? "running" : "NOT running on this state folder");
    printf("queue: ingest is %s\n",
           s->ingest_runs ? "running" : "not running on this state folder");
}

static int print_outbox(const struct standing *s, struct err *err)
{
    char text[DELIVERY_HEALTH_SIZE];
    struct draft d;

    delivery_health_text(&s->delivery, text, sizeof text);
    draft_init(&d, DRAFT_PRINT);
    draft_say(&d, "alerts: ");
    draft_say_number(&d, s->outbox[OUTBOX_WAITING]);
    draft_say(&d, " waiting, ");
    draft_say_number(&d, s->outbox[OUTBOX_FAILED]);
    draft_say(&d, " refused, ");
    draft_say_number(&d, s->outbox[OUTBOX_DELIVERED]);
    draft_say(&d, " delivered, ");
    draft_say_number(&d, s->outbox[OUTBOX_EXPIRED]);
    draft_say(&d, " expired");
    if (s->outbox[OUTBOX_WAITING] > 0 && s->next_try_us > s->now_us) {
        draft_say(&d, "\n  next try ");
        draft_say_time(&d, s->next_try_us);
    }
    if (text[0] != '\0') {
        draft_say(&d, "\n  ");
        draft_show(&d, text, sizeof text);
    }
    return show_line(&d, err);
}

static int print_text(const struct standing *s, struct err *err)
{
    int rc;

    print_programs(s);
    rc = print_outbox(s, err);
    if (rc == 0)
        rc = print_apps(s, err);
    return rc != 0 ? rc : print_rules(s, err);
}

/* ---- JSON ---- */

static json_t *time_or_null(int64_t us)
{
    char text[TIME_RFC3339_SIZE];

    if (us == ENGINE_NEVER)
        return json_null();
    time_format_rfc3339(us, text);
    return json_string(text);
}

static json_t *group_json(const struct standing_key *key)
{
    json_t *group = json_object();

    for (size_t i = 0; i < key->at.rule->group_by.n; i++)
        json_object_set_new(group, key->at.rule->group_by.items[i], json_string(key->values[i]));
    return group;
}

static json_t *key_json(const struct standing *s, const struct standing_key *key)
{
    const bool cools = key->at.cooldown_end_us > s->now_us;
    const int64_t left_us = cools ? key->at.cooldown_end_us - s->now_us : 0;

    return json_pack(
        "{s:s, s:o, s:I, s:I, s:f, s:o, s:o}", "app", key->at.app, "group", group_json(key),
        "count", (json_int_t)key->at.count, "suppressed", (json_int_t)key->at.suppressed,
        "cooldown_left_s", (double)left_us / (double)TIME_S, "last_alert",
        time_or_null(key->at.alerted_us), "last_delivery", time_or_null(key->at.arrived_us));
}

static json_t *rules_json(const struct standing *s)
{
    json_t *rules = json_array();
    size_t from = 0;

    for (size_t r = 0; s->rules != NULL && r < s->rules->n; r++) {
        const struct rule *rule = &s->rules->rules[r];
        const size_t end = end_of_rule(s, rule, from);
        const size_t shown = end - from < JSON_GROUPS ? end - from : JSON_GROUPS;
        json_t *groups = json_array();

        for (size_t i = from; i < from + shown; i++)
            json_array_append_new(groups, key_json(s, &s->keys[i]));
        json_array_append_new(rules,
                              json_pack("{s:s, s:I, s:f, s:f, s:o, s:I}", "rule", rule->name,
                                        "threshold", (json_int_t)rule->more_than, "window_s",
                                        (double)rule->within_us / (double)TIME_S, "cooldown_s",
                                        (double)rule->cooldown_us / (double)TIME_S, "groups",
                                        groups, "more_groups", (json_int_t)(end - from - shown)));
        from = end;
    }
    return rules;
}

static json_t *apps_json(const struct standing *s)
{
    json_t *apps = json_array();

    for (size_t i = 0; i < s->n_apps; i++)
        json_array_append_new(apps, json_pack("{s:s, s:o}", "app", s->apps[i].name, "last_delivery",
                                              time_or_null(s->apps[i].arrived_us)));
    return apps;
}

static json_t *outbox_json(const struct standing *s)
{
    const bool waits = s->outbox[OUTBOX_WAITING] > 0;
    char text[DELIVERY_HEALTH_SIZE];

    delivery_health_text(&s->delivery, text, sizeof text);
    return json_pack(
        "{s:I, s:I, s:I, s:I, s:o, s:s}", "waiting", (json_int_t)s->outbox[OUTBOX_WAITING],
        "failed", (json_int_t)s->outbox[OUTBOX_FAILED], "delivered",
        (json_int_t)s->outbox[OUTBOX_DELIVERED], "expired", (json_int_t)s->outbox[OUTBOX_EXPIRED],
        "next_try", time_or_null(waits && s->next_try_us > 0 ? s->next_try_us : ENGINE_NEVER),
        "problem", text);
}

static int print_json(const struct standing *s, struct err *err)
{
    return show_object(json_pack("{s:o, s:{s:b}, s:{s:b}, s:o, s:o, s:o}", "at",
                                 time_or_null(s->now_us), "alerter", "running", s->alerter_runs,
                                 "queue", "ingest_running", s->ingest_runs, "outbox",
                                 outbox_json(s), "apps", apps_json(s), "rules", rules_json(s)),
                       err);
}

int status_command(const struct startup_program *program, int argc, char **argv)
{
    const char *format = "text";
    const struct args_option options[] = {{"format", &format, NULL}, {0}};
    struct settings settings;
    struct standing s;
    struct err err;
    bool json;
    int code, rc;

    if (args_read(program, argc, argv, options, 0) < 0 || !show_format(program, format, &json))
        return STARTUP_USAGE;
    code = startup_settings(program, &settings);
    if (code != STARTUP_OK)
        return code;
    rc = standing_read(&s, &settings, &err);
    if (rc == 0)
        rc = json ? print_json(&s, &err) : print_text(&s, &err);
    if (rc == 0 && (fflush(stdout) != 0 || ferror(stdout)))
        rc = err_set(&err, ERR_IO, "cannot write to standard output: %s", strerror(errno));
    if (rc != 0)
        code = startup_fail(program, err.text);
    standing_close(&s);
    settings_close(&settings);
    return code;
}
