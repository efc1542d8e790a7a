/* Gathers the alerts of a rule that got no message of their own. Called by budgets.c and the
 * engine. */
#include "alerter/engine/digest.h"

#include "common/base/hash.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *after(const char *text)
{
    return text + strlen(text) + 1;
}

/* ---- the worst groups ---- */

static size_t names_size(const struct wire_alert *alert)
{
    size_t size = strlen(alert->app) + 1;

    for (size_t i = 0; i < alert->n_group; i++)
        size += strlen(alert->group[i].value) + 1;
    return size;
}

static char *copy_names(const struct wire_alert *alert)
{
    char *names = malloc(names_size(alert)), *at = names;

    if (names == NULL)
        return NULL;
    at = stpcpy(at, alert->app) + 1;
    for (size_t i = 0; i < alert->n_group; i++)
        at = stpcpy(at, alert->group[i].value) + 1;
    return names;
}

static bool is_group_of(const struct digest_group *group, const struct wire_alert *alert)
{
    const char *name = group->names;
    bool is = strcmp(name, alert->app) == 0;

    for (size_t i = 0; i < alert->n_group && is; i++) {
        name = after(name);
        is = strcmp(name, alert->group[i].value) == 0;
    }
    return is;
}

static void take_out(struct digest *d, size_t at)
{
    free(d->worst[at].names);
    d->n_worst--;
    memmove(&d->worst[at], &d->worst[at + 1], (d->n_worst - at) * sizeof *d->worst);
}

static size_t find_group(const struct digest *d, const struct wire_alert *alert)
{
    size_t at = 0;

    while (at < d->n_worst && !is_group_of(&d->worst[at], alert))
        at++;
    return at;
}

/* How many groups of its app stand before it. */
static size_t place_in_app(const struct digest *d, size_t at)
{
    size_t place = 0;

    for (size_t i = 0; i < at; i++)
        place += strcmp(d->worst[i].names, d->worst[at].names) == 0;
    return place;
}

/* The group to leave out: of the app that has the most before it; of several the last. */
static size_t least(const struct digest *d)
{
    size_t least = 0;

    for (size_t i = 1; i < d->n_worst; i++) {
        if (place_in_app(d, i) >= place_in_app(d, least))
            least = i;
    }
    return least;
}

/* Of equal counts the group that came first stands first. */
static int rank(struct digest *d, const struct wire_alert *alert)
{
    size_t at = find_group(d, alert), to;
    char *names;

    if (at < d->n_worst && alert->count <= d->worst[at].count)
        return 0;
    names = copy_names(alert);
    if (names == NULL)
        return ERR_NOMEM;
    if (at < d->n_worst)
        take_out(d, at);
    for (to = d->n_worst++; to > 0 && d->worst[to - 1].count < alert->count; to--)
        d->worst[to] = d->worst[to - 1];
    d->worst[to] = (struct digest_group){.names = names, .count = alert->count};
    if (d->n_worst > WIRE_WORST_MAX)
        take_out(d, least(d));
    return 0;
}

/* ---- alerts ---- */

struct digest *digest_new(const struct wire_alert *alert)
{
    struct digest *d = calloc(1, sizeof *d);

    if (d == NULL)
        return NULL;
    d->since_us = alert->at_us;
    d->first_us = INT64_MAX;
    d->last_us = INT64_MIN;
    d->app = strdup(alert->app);
    if (d->app != NULL && digest_add(d, alert, 0) == 0)
        return d;
    digest_free(d);
    return NULL;
}

void digest_free(struct digest *d)
{
    if (d == NULL)
        return;
    while (d->n_worst > 0)
        take_out(d, d->n_worst - 1);
    app_times_close(&d->apps);
    free(d->app);
    free(d);
}

static void note_app(struct digest *d, const char *app)
{
    if (d->app == NULL || strcmp(d->app, app) == 0)
        return;
    free(d->app);
    d->app = NULL;
}

int digest_add(struct digest *d, const struct wire_alert *alert, uint64_t more)
{
    d->withheld++;
    d->groups += more == 0;
    d->matches += more == 0 ? alert->count : more;
    if (alert->first_us < d->first_us)
        d->first_us = alert->first_us;
    if (alert->last_us > d->last_us)
        d->last_us = alert->last_us;
    note_app(d, alert->app);
    if (app_times_mark(&d->apps, alert->app, alert->at_us, DIGEST_APPS_MAX) != 0)
        return ERR_NOMEM;
    return rank(d, alert);
}

static void write_id(const struct wire_alert *alert, char id[WIRE_ID_SIZE])
{
    uint64_t hash = hash_add_text(hash_add_text(HASH_START, WIRE_DIGEST), alert->rule);

    hash = hash_finish(hash_add_u64(hash_add_text(hash, ""), (uint64_t)alert->at_us));
    snprintf(id, WIRE_ID_SIZE, "%016" PRIx64, hash);
}

static void show_worst(struct digest *d, const struct rule *rule)
{
    const struct rules_list *keys = &rule->group_by;

    for (size_t i = 0; i < d->n_worst; i++) {
        const char *name = d->worst[i].names;

        d->shown[i] = (struct wire_worst){
            .app = name, .group = d->pairs[i], .n_group = keys->n, .count = d->worst[i].count};
        for (size_t k = 0; k < keys->n; k++) {
            name = after(name);
            d->pairs[i][k] = (struct wire_group){.key = keys->items[k], .value = name};
        }
    }
}

static size_t show_by_app(struct digest *d)
{
    struct app_times_count most[WIRE_BY_APP_MAX];
    const size_t n = app_times_most(&d->apps, most, WIRE_BY_APP_MAX);

    for (size_t i = 0; i < n; i++)
        d->by_app[i] = (struct wire_withheld){.app = most[i].app, .alerts = most[i].marks};
    return n;
}

void digest_show(struct digest *d, const struct rule *rule, int64_t at_us, struct wire_alert *out)
{
    show_worst(d, rule);
    *out = (struct wire_alert){
        .kind = WIRE_DIGEST,
        .rule = rule->name,
        .app = d->app != NULL ? d->app : "",
        .at_us = at_us,
        .count = d->matches,
        .window_us = rule->within_us,
        .threshold = rule->more_than,
        .first_us = d->first_us,
        .last_us = d->last_us,
        .title = rule->title,
        .runbook = rule->runbook,
        .channel = rule->channel,
        .source = "",
        .process = "",
        .mentions = rule->mentions.items,
        .n_mentions = rule->mentions.n,
        .severity = rule->severity,
        .withheld = d->withheld,
        .groups = d->groups,
        .apps = d->apps.n,
        .worst = d->shown,
        .n_worst = d->n_worst,
        .by_app = d->by_app,
        .n_by_app = show_by_app(d),
    };
    write_id(out, out->id);
}

/* ---- saving and loading ---- */

static void save_text(const char *text, struct snapshot_writer *out)
{
    snapshot_put_bytes(out, text, strlen(text));
}

void digest_save(const struct digest *d, const struct rule *rule, struct snapshot_writer *out)
{
    snapshot_put_i64(out, d->since_us);
    snapshot_put_u64(out, d->withheld);
    snapshot_put_u64(out, d->groups);
    snapshot_put_u64(out, d->matches);
    snapshot_put_i64(out, d->first_us);
    snapshot_put_i64(out, d->last_us);
    snapshot_put_u64(out, d->app == NULL);
    snapshot_put_u64(out, d->n_worst);
    for (size_t i = 0; i < d->n_worst; i++) {
        const char *name = d->worst[i].names;

        for (size_t k = 0; k <= rule->group_by.n; k++, name = after(name))
            save_text(name, out);
        snapshot_put_u64(out, d->worst[i].count);
    }
    app_times_save(&d->apps, out);
}

/* A group's app and values, each with its zero. */
static int load_names(char **names, const struct rule *rule, struct snapshot_reader *in)
{
    struct buf all;
    int rc = 0;

    buf_init(&all, (size_t)(in->end - in->next) + RULES_GROUP_BY_MAX + 1);
    for (size_t k = 0; k <= rule->group_by.n && rc == 0; k++) {
        size_t len;
        const uint8_t *text = snapshot_get_bytes(in, &len);

        if (in->bad || memchr(text, 0, len) != NULL)
            rc = ERR_DAMAGED;
        else if (buf_append(&all, text, len) != 0 || buf_append(&all, "", 1) != 0)
            rc = ERR_NOMEM;
    }
    *names = rc == 0 ? malloc(all.len) : NULL;
    if (*names != NULL)
        memcpy(*names, all.data, all.len);
    else if (rc == 0)
        rc = ERR_NOMEM;
    buf_close(&all);
    return rc;
}

static int load_worst(struct digest *d, const struct rule *rule, struct snapshot_reader *in)
{
    const size_t n = (size_t)snapshot_get_max(in, WIRE_WORST_MAX);
    int rc = 0;

    for (size_t i = 0; i < n && rc == 0; i++) {
        rc = load_names(&d->worst[i].names, rule, in);
        d->n_worst++;
        d->worst[i].count = snapshot_get_u64(in);
        if (rc == 0 && i > 0 && d->worst[i].count > d->worst[i - 1].count)
            rc = ERR_DAMAGED;
    }
    return rc == 0 && (in->bad || n == 0) ? ERR_DAMAGED : rc;
}

/* Version 4 had the apps of the worst groups alone. */
static int load_apps(struct digest *d, int64_t step_us, struct snapshot_reader *in)
{
    int rc = 0;

    if (in->version >= 5)
        return app_times_load(&d->apps, in, DIGEST_APPS_MAX, step_us);
    for (size_t i = 0; i < d->n_worst && rc == 0; i++)
        rc = app_times_mark(&d->apps, d->worst[i].names, d->since_us, DIGEST_APPS_MAX);
    return rc;
}

int digest_load(struct digest **out, const struct rule *rule, int64_t step_us,
                struct snapshot_reader *in)
{
    struct digest *d = *out = calloc(1, sizeof *d);
    bool is_several;
    int rc;

    if (d == NULL)
        return ERR_NOMEM;
    d->since_us = snapshot_get_i64(in);
    d->withheld = snapshot_get_u64(in);
    d->groups = snapshot_get_max(in, d->withheld);
    d->matches = snapshot_get_u64(in);
    d->first_us = snapshot_get_i64(in);
    d->last_us = snapshot_get_i64(in);
    is_several = snapshot_get_max(in, 1) != 0;
    rc = load_worst(d, rule, in);
    if (rc == 0)
        rc = load_apps(d, step_us, in);
    if (rc == 0 && !is_several)
        d->app = strdup(d->worst[0].names);
    return rc == 0 && !is_several && d->app == NULL ? ERR_NOMEM : rc;
}
