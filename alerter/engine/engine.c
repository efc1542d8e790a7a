#include "alerter/engine/engine.h"

#include "alerter/engine/engine_impl.h"
#include "common/base/time.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* Matches of one key in one record for which memory is kept; a larger burst gives it back. */
enum { RUNS_KEPT = 16384 };

static const struct engine_limits DEFAULT_LIMITS = {
    .keys = ENGINE_KEYS_MAX,
    .groups = ENGINE_GROUPS_MAX,
    .apps = ENGINE_APPS_MAX,
    .key_times = ENGINE_KEY_TIMES_MAX,
    .times = ENGINE_TIMES_MAX,
    .frames_per_drain = ENGINE_FRAMES_PER_DRAIN,
    .drains = ENGINE_DRAINS_MAX,
    .frames = ENGINE_FRAMES_MAX,
};

struct engine *engine_new(uint64_t seed)
{
    struct engine *e = calloc(1, sizeof *e);

    if (e == NULL)
        return NULL;
    e->keys = keys_new(seed);
    if (e->keys == NULL) {
        free(e);
        return NULL;
    }
    repeats_init(&e->frames, seed);
    losses_init(&e->losses, seed);
    e->limits = DEFAULT_LIMITS;
    return e;
}

void engine_free(struct engine *e)
{
    if (e == NULL)
        return;
    free(e->runs);
    free(e->alerts);
    free(e->next_group);
    free(e->touches);
    losses_close(&e->losses);
    repeats_close(&e->frames);
    keys_free(e->keys);
    ruleset_close(&e->rules);
    free(e);
}

void engine_set_limits(struct engine *e, const struct engine_limits *limits)
{
    assert(limits->keys >= 1 && limits->keys <= ENGINE_KEYS_MAX);
    assert(limits->groups >= 1 && limits->groups <= ENGINE_GROUPS_MAX);
    assert(limits->apps >= 1 && limits->apps <= ENGINE_APPS_MAX);
    assert(limits->key_times >= 1 && limits->key_times <= ENGINE_KEY_TIMES_MAX);
    assert(limits->times >= 1 && limits->times <= ENGINE_TIMES_MAX);
    assert(limits->frames_per_drain >= 1 && limits->frames_per_drain <= ENGINE_FRAMES_PER_DRAIN);
    assert(limits->drains >= 1 && limits->drains <= ENGINE_DRAINS_MAX);
    assert(limits->frames >= 1 && limits->frames <= ENGINE_FRAMES_MAX);
    e->limits = *limits;
}

bool engine_has_rules_text(const struct engine *e, const char *text, size_t len)
{
    return e->rules.rules != NULL && e->rules.len == len && memcmp(e->rules.text, text, len) == 0;
}

const struct rules *engine_rules(const struct engine *e)
{
    return e->rules.rules;
}

const struct rule *engine_rule(const struct engine *e, const char *name)
{
    return ruleset_find(&e->rules, name);
}

struct reload {
    const struct ruleset *old;
    const struct ruleset *next;
};

static bool outlives_reload(void *ctx, const char *name)
{
    const struct reload *reload = ctx;
    const struct rule *old = ruleset_find(reload->old, name);
    const struct rule *next = ruleset_find(reload->next, name);

    return old != NULL && next != NULL && ruleset_same_matching(old, next);
}

int engine_set_rules(struct engine *e, const char *text, size_t len, struct err *err)
{
    struct ruleset next;
    struct reload reload = {.old = &e->rules, .next = &next};
    int rc = ruleset_read(&next, text, len, err);

    if (rc != 0)
        return rc;
    keys_drop(e->keys, outlives_reload, &reload);
    ruleset_close(&e->rules);
    e->rules = next;
    return 0;
}

/* Makes room for a record with `n` groups of matches. */
static int reserve_groups(struct engine *e, size_t n)
{
    if (n <= e->groups_cap)
        return 0;
    free(e->touches);
    free(e->next_group);
    free(e->alerts);
    e->groups_cap = 0;
    e->touches = calloc(n, sizeof *e->touches);
    e->next_group = calloc(n, sizeof *e->next_group);
    e->alerts = calloc(n, sizeof *e->alerts);
    if (e->touches == NULL || e->next_group == NULL || e->alerts == NULL)
        return ERR_NOMEM;
    e->groups_cap = n;
    return 0;
}

const char *engine_group_value(const struct wire_matches *matches, const char *key)
{
    if (strcmp(key, "process") == 0)
        return matches->process;
    for (size_t i = 0; i < matches->n_group; i++) {
        if (strcmp(matches->group[i].key, key) == 0)
            return matches->group[i].value;
    }
    return "";
}

/* The values of the key that the matches belong to, in the order of the rule's group_by. */
static void group_values(const struct rule *rule, const struct wire_matches *matches,
                         const char *values[RULES_GROUP_BY_MAX])
{
    for (size_t i = 0; i < rule->group_by.n; i++)
        values[i] = engine_group_value(matches, rule->group_by.items[i]);
}

/* Finds the key that a group of matches belongs to, and notes the group as its first or next. What
 * a key says of its touch may be an earlier step's, so it holds only if that touch is the key's. */
static int touch(struct engine *e, const struct rule *rule, const struct wire_matches *matches,
                 size_t group)
{
    const char *values[RULES_GROUP_BY_MAX];
    struct key *key;

    group_values(rule, matches, values);
    key = keys_touch(e->keys, e->app, rule->name, values, rule->group_by.n);
    if (key == NULL)
        return ERR_NOMEM;
    e->next_group[group] = SIZE_MAX;
    if (key->touch < e->n_touches && e->touches[key->touch].key == key) {
        struct engine_touch *t = &e->touches[key->touch];

        e->next_group[t->last_group] = group;
        t->last_group = group;
        return 0;
    }
    key->touch = e->n_touches;
    e->touches[e->n_touches++] =
        (struct engine_touch){.key = key, .rule = rule, .first_group = group, .last_group = group};
    return 0;
}

static bool takes_app(const struct rule *rule, const char *app)
{
    for (size_t i = 0; i < rule->apps.n; i++) {
        if (strcmp(rule->apps.items[i], app) == 0)
            return true;
    }
    return rule->apps.n == 0;
}

static int touch_all(struct engine *e, const struct wire_record *record)
{
    for (size_t i = 0; i < record->n_matches; i++) {
        const struct wire_matches *matches = &record->matches[i];
        const struct rule *rule = ruleset_find(&e->rules, matches->rule);

        if (rule == NULL)
            e->counts.unknown_rule += matches->n_times;
        else if (matches->n_times > 0 && takes_app(rule, e->app) && touch(e, rule, matches, i) != 0)
            return ERR_NOMEM;
    }
    return 0;
}

static const char *app_of(const struct engine *e, const char *drain)
{
    const char *app = e->rules.rules == NULL ? NULL : rules_app(e->rules.rules, drain);

    return app == NULL ? drain : app;
}

/* A receive time further ahead of now than any delay explains is a wrong clock's. A key that
 * believed it would find all its true matches too late, and a loss that did would never end. */
static int64_t received_us(const struct engine *e, const struct wire_record *record)
{
    int64_t latest_us;

    if (__builtin_add_overflow(e->step_us, ENGINE_SKEW_MAX_US, &latest_us))
        latest_us = INT64_MAX;
    return record->received_us > latest_us ? e->step_us : record->received_us;
}

static int note_loss(struct engine *e)
{
    e->counts.losses++;
    return losses_mark(&e->losses, e->app, e->received_us / TIME_MS, e->limits.apps);
}

static int seen(struct engine *e, const struct wire_record *record)
{
    struct repeats_limits limits = {.drains = e->limits.drains,
                                    .per_drain = e->limits.frames_per_drain,
                                    .total = e->limits.frames};

    if (record->frame_id[0] == 0)
        return 0;
    return repeats_take(&e->frames, record->drain, record->frame_id, e->step_us,
                        ENGINE_FRAME_MEMORY_US, &limits);
}

static int take(struct engine *e, const struct wire_record *record)
{
    int rc = reserve_groups(e, record->n_matches);

    e->app = app_of(e, record->drain);
    e->received_us = received_us(e, record);
    if (rc == 0 && record->lost > 0)
        rc = note_loss(e);
    if (rc == 0)
        rc = touch_all(e, record);
    for (size_t i = 0; i < e->n_touches && rc == 0; i++)
        rc = engine_settle(e, record, &e->touches[i]);
    if (rc != 0)
        return rc;
    e->counts.groups_dropped += keys_keep_groups(e->keys, e->limits.groups);
    e->counts.keys_dropped += keys_keep(e->keys, e->limits.keys, e->limits.times);
    return 0;
}

int engine_step(struct engine *e, const struct wire_record *record, int64_t step_us,
                struct engine_alerts *out)
{
    int rc;

    *out = (struct engine_alerts){0};
    if (step_us > e->step_us)
        e->step_us = step_us;
    e->n_touches = 0;
    e->n_alerts = 0;
    e->counts.records++;
    rc = seen(e, record);
    if (rc == 1) {
        e->counts.repeats++;
        return 0;
    }
    if (rc == 0)
        rc = take(e, record);
    if (e->runs_cap > RUNS_KEPT) {
        free(e->runs);
        e->runs = NULL;
        e->runs_cap = 0;
    }
    if (rc == 0)
        *out = (struct engine_alerts){.alerts = e->alerts, .n = e->n_alerts};
    return rc;
}

struct engine_counts engine_counts(const struct engine *e)
{
    struct engine_counts counts = e->counts;
    struct keys_counts held = keys_counts(e->keys);

    counts.keys = held.keys;
    counts.times = held.times;
    counts.drains = e->frames.n_drains;
    counts.frames = e->frames.total;
    return counts;
}
