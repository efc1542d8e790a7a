/* `drainwatch-alerter status`: prints how the rules, the queue and the delivery stand. Called by
 * main. */
#include "alerter/commands/commands.h"

#include "alerter/commands/output.h"
#include "alerter/commands/programs.h"
#include "alerter/deliver/outbox.h"
#include "alerter/stream/fold.h"
#include "common/app/args.h"
#include "common/app/clock.h"
#include "common/base/text.h"
#include "common/base/time.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Of a rule's groups and of the apps, those shown; bytes of names, so that a line has 80 columns.
 */
enum { TEXT_GROUPS = 5, JSON_GROUPS = 100, APPS = 20, APP_BYTES = 24, VALUE_BYTES = 32 };

struct key_state {
    struct engine_key at;
    const char *values[RULES_GROUP_BY_MAX];
};

struct app_state {
    const char *name;
    int64_t arrived_us; /* step time of its newest delivery with a match, ENGINE_NEVER: not known */
};

struct status {
    bool json;
    int64_t now_us;
    struct fold fold;
    const struct rules *rules; /* in force; NULL: none were ever recorded */
    struct buf key_bytes;      /* the memory of `keys` */
    struct key_state *keys;    /* by rule in the file's order, then the largest count first */
    size_t n_keys;
    struct app_state *apps; /* of the rules and of keys, by name */
    size_t n_apps;
    uint64_t outbox[OUTBOX_EXPIRED + 1]; /* messages in each enum outbox_state */
    int64_t next_try_us;                 /* of waiting messages the earliest, 0: at once */
    char problem[OUTBOX_HEALTH_SIZE];    /* of delivery, "" if there is none */
    struct programs programs;
};

/* ---- reading the state ---- */

static void add_key(void *ctx, const struct engine_key *key)
{
    struct key_state state = {.at = *key};
    struct status *s = ctx;

    memcpy(state.values, key->values, key->rule->group_by.n * sizeof *key->values);
    (void)buf_append(&s->key_bytes, &state, sizeof state);
}

static int by_name(const void *a, const void *b)
{
    const struct app_state *x = a, *y = b;

    return strcmp(x->name, y->name);
}

static int by_rule_and_count(const void *a, const void *b)
{
    const struct key_state *x = a, *y = b;

    if (x->at.rule != y->at.rule)
        return x->at.rule < y->at.rule ? -1 : 1;
    if (x->at.count != y->at.count)
        return x->at.count > y->at.count ? -1 : 1;
    if (x->at.alerted_us != y->at.alerted_us)
        return x->at.alerted_us > y->at.alerted_us ? -1 : 1;
    return strcmp(x->at.app, y->at.app);
}

/* One app for each name among the rules and the keys, with its newest delivery. */
static int gather_apps(struct status *s)
{
    const size_t n_named = s->rules->app_names.n, n = n_named + s->n_keys;
    size_t kept = 0;

    s->apps = calloc(n + 1, sizeof *s->apps);
    if (s->apps == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < n_named; i++)
        s->apps[i] = (struct app_state){s->rules->app_names.items[i], ENGINE_NEVER};
    for (size_t i = 0; i < s->n_keys; i++)
        s->apps[n_named + i] = (struct app_state){s->keys[i].at.app, s->keys[i].at.arrived_us};
    qsort(s->apps, n, sizeof *s->apps, by_name);
    for (size_t i = 0; i < n; i++) {
        if (kept == 0 || strcmp(s->apps[kept - 1].name, s->apps[i].name) != 0)
            s->apps[kept++] = s->apps[i];
        else if (s->apps[i].arrived_us > s->apps[kept - 1].arrived_us)
            s->apps[kept - 1].arrived_us = s->apps[i].arrived_us;
    }
    s->n_apps = kept;
    return 0;
}

static int gather_keys(struct status *s, struct err *err)
{
    s->rules = engine_rules(s->fold.engine);
    if (s->rules == NULL)
        return 0;
    engine_each_key(s->fold.engine, s->now_us, add_key, s);
    s->keys = (void *)s->key_bytes.data;
    s->n_keys = s->key_bytes.len / sizeof *s->keys;
    if (s->key_bytes.failed != 0 || gather_apps(s) != 0)
        return err_set(err, ERR_NOMEM, "no memory for the state of the keys");
    if (s->n_keys > 0)
        qsort(s->keys, s->n_keys, sizeof *s->keys, by_rule_and_count);
    return 0;
}

static int count_message(void *ctx, const struct outbox_message *message)
{
    struct status *s = ctx;

    s->outbox[message->state]++;
    if (message->state == OUTBOX_WAITING && message->next_try_us < s->next_try_us)
        s->next_try_us = message->next_try_us;
    return 0;
}

static int gather_outbox(struct status *s, struct storage *storage, struct err *err)
{
    struct outbox *outbox;
    const char *problem;
    int rc = outbox_open(storage, &outbox, err);

    if (rc != 0)
        return rc;
    s->next_try_us = INT64_MAX;
    rc = outbox_list(outbox, count_message, s, err);
    if (rc == 0)
        rc = outbox_health(outbox, s->now_us, &problem, err);
    if (rc == 0)
        snprintf(s->problem, sizeof s->problem, "%s", problem);
    outbox_close(outbox);
    return rc;
}

/* ---- text ---- */

/* "3 minutes 12 seconds", without the seconds from an hour on. */
static void say_duration(struct draft *d, int64_t us)
{
    char words[TIME_WORDS_SIZE];

    time_format_words(us - us % (us < TIME_HOUR ? TIME_S : TIME_MINUTE), words);
    draft_say(d, "%s", us < TIME_S ? "less than a second" : words);
}

static int print_rule(const struct rule *rule, struct err *err)
{
    struct draft d = draft_begin(DRAFT_PRINT);

    draft_show(&d, rule->name, APP_BYTES + VALUE_BYTES);
    draft_say(&d, ": more than %" PRIu64 " in ", rule->more_than);
    say_duration(&d, rule->within_us);
    return output_line(&d, err);
}

static int print_key(const struct status *s, const struct key_state *key, struct err *err)
{
    const struct rule *rule = key->at.rule;
    struct draft d = draft_begin(DRAFT_PRINT);

    draft_say(&d, "  %" PRIu64 "%s  ", key->at.count,
              key->at.count > rule->more_than ? " (breached)" : "");
    draft_show(&d, key->at.app, APP_BYTES);
    for (size_t i = 0; i < rule->group_by.n; i++) {
        draft_say(&d, "%s%s", i == 0 ? "  " : ", ", key->values[i][0] == '\0' ? "(none)" : "");
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
    return output_line(&d, err);
}

/* Whether alerts of the rule are withheld, and when its digest comes. */
static int print_budget(const struct status *s, const struct rule *rule, struct err *err)
{
    const struct engine_budget b = engine_budget(s->fold.engine, rule, s->now_us);
    struct draft d;

    if (b.digest_us == ENGINE_NEVER && b.storm_until_us == ENGINE_NEVER)
        return 0;
    d = draft_begin(DRAFT_PRINT);
    draft_say(&d, "  storm: %" PRIu64 " alert%s withheld, ", b.withheld,
              b.withheld == 1 ? "" : "s");
    if (b.digest_us != ENGINE_NEVER) {
        draft_say(&d, "digest at ");
        draft_say_time(&d, b.digest_us);
    } else {
        draft_say(&d, "over at ");
        draft_say_time(&d, b.storm_until_us);
    }
    return output_line(&d, err);
}

/* The keys of a rule stand together from `from` on; returns the index after them. */
static size_t end_of_rule(const struct status *s, const struct rule *rule, size_t from)
{
    while (from < s->n_keys && s->keys[from].at.rule == rule)
        from++;
    return from;
}

static int print_rules(const struct status *s, struct err *err)
{
    size_t from = 0;
    int rc = 0;

    for (size_t r = 0; s->rules != NULL && r < s->rules->n && rc == 0; r++) {
        const struct rule *rule = &s->rules->rules[r];
        const size_t end = end_of_rule(s, rule, from);

        rc = print_rule(rule, err);
        if (rc == 0)
            rc = print_budget(s, rule, err);
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

static int print_apps(const struct status *s, struct err *err)
{
    int rc = 0;

    for (size_t i = 0; i < s->n_apps && i < APPS && rc == 0; i++) {
        const int64_t arrived_us = s->apps[i].arrived_us;
        struct draft d = draft_begin(DRAFT_PRINT);

        draft_say(&d, "app ");
        draft_show(&d, s->apps[i].name, APP_BYTES);
        if (arrived_us == ENGINE_NEVER) {
            draft_say(&d, ": no delivery with a match recorded");
        } else {
            draft_say(&d, ": last match delivered ");
            draft_say_time(&d, arrived_us);
        }
        rc = output_line(&d, err);
    }
    if (s->n_apps > APPS)
        printf("and %zu more %s\n", s->n_apps - APPS, text_plural(s->n_apps - APPS, "app", "apps"));
    return rc;
}

static int print_outbox(const struct status *s, struct err *err)
{
    struct draft d = draft_begin(DRAFT_PRINT);

    draft_say(&d,
              "alerts: %" PRIu64 " waiting, %" PRIu64 " refused, %" PRIu64 " delivered, %" PRIu64
              " expired",
              s->outbox[OUTBOX_WAITING], s->outbox[OUTBOX_FAILED], s->outbox[OUTBOX_DELIVERED],
              s->outbox[OUTBOX_EXPIRED]);
    if (s->outbox[OUTBOX_WAITING] > 0 && s->next_try_us > s->now_us) {
        draft_say(&d, "\n  next try ");
        draft_say_time(&d, s->next_try_us);
    }
    if (s->problem[0] != '\0') {
        draft_say(&d, "\n  ");
        draft_show(&d, s->problem, sizeof s->problem);
    }
    return output_line(&d, err);
}

static void print_counts(const struct engine_counts *c)
{
    printf("records: %" PRIu64 ", of them %" PRIu64 " repeated and %" PRIu64 " with lost lines\n",
           c->records, c->repeats, c->losses);
    printf("matches: %" PRIu64 " counted, %" PRIu64 " too late, %" PRIu64 " of unknown rules\n",
           c->matches, c->too_late, c->unknown_rule);
    if (c->keys_dropped + c->groups_dropped > 0)
        printf("  groups dropped for lack of room: %" PRIu64 "\n",
               c->keys_dropped + c->groups_dropped);
}

static int print_text(const struct status *s, struct err *err)
{
    const struct engine_counts counts = engine_counts(s->fold.engine);
    int rc = programs_print(&s->programs, err);

    if (rc == 0)
        rc = print_outbox(s, err);
    if (rc == 0)
        rc = print_apps(s, err);
    print_counts(&counts);
    return rc != 0 ? rc : print_rules(s, err);
}

/* ---- JSON ---- */

static json_t *group_json(const struct key_state *key)
{
    json_t *group = json_object();

    for (size_t i = 0; i < key->at.rule->group_by.n; i++)
        json_object_set_new(group, key->at.rule->group_by.items[i], json_string(key->values[i]));
    return group;
}

static json_t *key_json(const struct status *s, const struct key_state *key)
{
    const bool cools = key->at.cooldown_end_us > s->now_us;
    const int64_t left_us = cools ? key->at.cooldown_end_us - s->now_us : 0;

    return json_pack(
        "{s:s, s:o, s:I, s:I, s:f, s:o, s:o}", "app", key->at.app, "group", group_json(key),
        "count", (json_int_t)key->at.count, "suppressed", (json_int_t)key->at.suppressed,
        "cooldown_left_s", (double)left_us / (double)TIME_S, "last_alert",
        output_time(key->at.alerted_us), "last_delivery", output_time(key->at.arrived_us));
}

/* null if the rule is in no storm */
static json_t *storm_json(const struct status *s, const struct rule *rule)
{
    const struct engine_budget b = engine_budget(s->fold.engine, rule, s->now_us);

    if (b.digest_us == ENGINE_NEVER && b.storm_until_us == ENGINE_NEVER)
        return json_null();
    return json_pack("{s:I, s:I, s:o}", "withheld", (json_int_t)b.withheld, "groups",
                     (json_int_t)b.groups, "digest", output_time(b.digest_us));
}

static json_t *rules_json(const struct status *s)
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
                              json_pack("{s:s, s:I, s:f, s:f, s:o, s:o, s:I}", "rule", rule->name,
                                        "threshold", (json_int_t)rule->more_than, "window_s",
                                        (double)rule->within_us / (double)TIME_S, "cooldown_s",
                                        (double)rule->cooldown_us / (double)TIME_S, "storm",
                                        storm_json(s, rule), "groups", groups, "more_groups",
                                        (json_int_t)(end - from - shown)));
        from = end;
    }
    return rules;
}

static json_t *apps_json(const struct status *s)
{
    json_t *apps = json_array();

    for (size_t i = 0; i < s->n_apps; i++)
        json_array_append_new(apps, json_pack("{s:s, s:o}", "app", s->apps[i].name, "last_delivery",
                                              output_time(s->apps[i].arrived_us)));
    return apps;
}

static json_t *outbox_json(const struct status *s)
{
    const bool waits = s->outbox[OUTBOX_WAITING] > 0;

    return json_pack(
        "{s:I, s:I, s:I, s:I, s:o, s:s}", "waiting", (json_int_t)s->outbox[OUTBOX_WAITING],
        "failed", (json_int_t)s->outbox[OUTBOX_FAILED], "delivered",
        (json_int_t)s->outbox[OUTBOX_DELIVERED], "expired", (json_int_t)s->outbox[OUTBOX_EXPIRED],
        "next_try", output_time(waits ? s->next_try_us : 0), "problem", s->problem);
}

static json_t *counts_json(const struct engine_counts *c)
{
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "records",
                     (json_int_t)c->records, "repeats", (json_int_t)c->repeats, "losses",
                     (json_int_t)c->losses, "matches", (json_int_t)c->matches, "too_late",
                     (json_int_t)c->too_late, "skewed", (json_int_t)c->skewed, "unknown_rule",
                     (json_int_t)c->unknown_rule, "alerts", (json_int_t)c->alerts, "withheld",
                     (json_int_t)c->withheld, "digests", (json_int_t)c->digests, "cooled",
                     (json_int_t)c->cooled, "keys_dropped", (json_int_t)c->keys_dropped,
                     "groups_dropped", (json_int_t)c->groups_dropped);
}

static int print_json(const struct status *s, struct err *err)
{
    const struct engine_counts counts = engine_counts(s->fold.engine);
    json_t *object = json_pack("{s:o}", "at", output_time(s->now_us));

    programs_add_json(&s->programs, object);
    json_object_set_new(object, "outbox", outbox_json(s));
    json_object_set_new(object, "counts", counts_json(&counts));
    json_object_set_new(object, "apps", apps_json(s));
    json_object_set_new(object, "rules", rules_json(s));
    return output_object(object, err);
}

/* ---- the command ---- */

static int print_status(void *ctx, const struct settings *settings, struct storage *storage,
                        struct err *err)
{
    struct status *s = ctx;
    int rc = fold_restore(&s->fold, storage, err);

    s->now_us = clock_wall_us();
    buf_init(&s->key_bytes, ENGINE_KEYS_MAX * sizeof *s->keys);
    if (rc == 0)
        rc = gather_keys(s, err);
    if (rc == 0)
        rc = gather_outbox(s, storage, err);
    if (rc == 0)
        rc = programs_read(&s->programs, settings, storage, err);
    if (rc == 0)
        rc = s->json ? print_json(s, err) : print_text(s, err);
    programs_close(&s->programs);
    free(s->apps);
    buf_close(&s->key_bytes);
    fold_close(&s->fold);
    return rc;
}

int status_command(const struct startup_program *program, int argc, char **argv)
{
    const char *format = "text";
    const struct args_option options[] = {{"format", &format, NULL}, {0}};
    struct status s = {0};

    if (args_read(program, argc, argv, options, 0) < 0 || !output_format(program, format, &s.json))
        return STARTUP_USAGE;
    return output_from_storage(program, print_status, &s);
}
