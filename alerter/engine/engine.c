/* The engine: takes events and returns the alerts that they decide. Called by
 * alerter/stream/fold.c, which feeds it the stream, live and in a replay alike. */
#include "alerter/engine/engine.h"

#include "alerter/engine/app_times.h"
#include "alerter/engine/budgets.h"
#include "alerter/engine/judge.h"
#include "alerter/engine/keys.h"
#include "alerter/engine/repeats.h"
#include "alerter/engine/ruleset.h"
#include "alerter/engine/snapshot.h"
#include "alerter/engine/window.h"
#include "common/base/hash.h"
#include "common/base/time.h"

#include <assert.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(ENGINE_NEVER == KEY_NEVER, "one value stands for never");

/* Matches of one key in one record for which memory is kept; after a larger burst it is freed. */
enum { RUNS_KEPT = 16384 };

/* A key that the record in hand has matches of, and its groups of matches: the first, the last, and
 * by engine.next_group those in between. */
struct touch {
    struct key *key;
    const struct rule *rule;
    size_t first_group;
    size_t last_group;
    struct wire_group pairs[RULES_GROUP_BY_MAX]; /* the key's group, if there is an alert */
};

struct engine {
    struct ruleset rules; /* all zeros before the first */
    struct keys *keys;
    struct budgets budgets;
    struct repeats frames;
    struct app_times losses;
    int64_t step_us; /* of the last record or digest, 0 before the first */
    struct engine_counts counts;
    struct engine_limits limits;

    /* The record in hand; the arrays are kept from record to record for their memory. */
    const char *app;
    int64_t received_us; /* replaced if it cannot be right */
    struct touch *touches;
    size_t n_touches;
    size_t *next_group; /* for each group of the record, the key's next one */
    struct engine_cooled *cooled;
    size_t n_cooled;
    size_t groups_cap; /* of the three arrays */
    struct wire_alert *alerts;
    size_t n_alerts;
    size_t alerts_cap;
    struct window_run *runs;
    size_t runs_cap;

    /* The outcomes of the last step borrow from them. */
    struct digest *told;
    struct ruleset old_rules;
};

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

struct engine *engine_new(void)
{
    struct engine *e = calloc(1, sizeof *e);

    if (e == NULL)
        return NULL;
    e->keys = keys_new();
    if (e->keys == NULL) {
        free(e);
        return NULL;
    }
    e->limits = DEFAULT_LIMITS;
    e->budgets.next_us = INT64_MAX;
    return e;
}

/* Frees what the outcomes of the last step borrowed. */
static void forget_outcomes(struct engine *e)
{
    e->n_touches = 0;
    e->n_alerts = 0;
    e->n_cooled = 0;
    while (e->told != NULL) {
        struct digest *d = e->told;

        e->told = d->next;
        digest_free(d);
    }
    if (e->old_rules.text != NULL)
        ruleset_close(&e->old_rules);
}

void engine_free(struct engine *e)
{
    if (e == NULL)
        return;
    forget_outcomes(e);
    free(e->runs);
    free(e->cooled);
    free(e->alerts);
    free(e->next_group);
    free(e->touches);
    app_times_close(&e->losses);
    repeats_close(&e->frames);
    keys_free(e->keys);
    budgets_close(&e->budgets);
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

/* ---- rules ---- */

struct wire_bytes engine_rules_text(const struct engine *e)
{
    struct wire_bytes text = {0};

    if (e->rules.rules != NULL)
        text = (struct wire_bytes){(const uint8_t *)e->rules.text, e->rules.len};
    return text;
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

/* ---- digests ---- */

static void advance(struct engine *e, int64_t at_us)
{
    if (at_us > e->step_us)
        e->step_us = at_us;
}

/* Makes room for `more` alerts. */
static int reserve_alerts(struct engine *e, size_t more)
{
    size_t n = e->n_alerts + more;
    struct wire_alert *grown;

    if (n <= e->alerts_cap)
        return 0;
    grown = realloc(e->alerts, n * sizeof *grown);
    if (grown == NULL)
        return ERR_NOMEM;
    e->alerts = grown;
    e->alerts_cap = n;
    return 0;
}

/* There must be room for it. */
static void tell_digest(struct engine *e, size_t i, int64_t at_us)
{
    const struct rule *rule = &e->rules.rules->rules[i];
    const int64_t starts_us = e->budgets.list[i].starts_us;
    struct digest *d = budgets_take(&e->budgets, i, rule);
    struct wire_alert *alert = &e->alerts[e->n_alerts++];

    advance(e, at_us);
    digest_show(d, rule, at_us, alert);
    alert->period_us = at_us - starts_us;
    d->next = e->told;
    e->told = d;
    e->counts.digests++;
}

static int tell_due(struct engine *e, int64_t at_us)
{
    size_t i;

    while ((i = budgets_due(&e->budgets, at_us)) != SIZE_MAX) {
        if (reserve_alerts(e, 1) != 0)
            return ERR_NOMEM;
        tell_digest(e, i, e->budgets.next_us);
    }
    return 0;
}

int64_t engine_next_us(const struct engine *e)
{
    return e->budgets.next_us;
}

struct engine_budget engine_budget(const struct engine *e, const struct rule *rule, int64_t now_us)
{
    const struct budget *one = &e->budgets.list[ruleset_index(&e->rules, rule)];
    const struct digest *d = one->digest;

    return (struct engine_budget){
        .withheld = d != NULL ? d->withheld : 0,
        .groups = d != NULL ? d->groups : 0,
        .digest_us = d != NULL ? one->ends_us : ENGINE_NEVER,
        .storm_until_us =
            (d != NULL || one->is_storm) && one->ends_us > now_us ? one->ends_us : ENGINE_NEVER,
    };
}

/* ---- a reload ---- */

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

/* Each rule that goes on keeps its budget. The digests of the others come now; there is room. */
static void carry_budgets(struct engine *e, struct reload *reload, struct budgets *next,
                          int64_t at_us)
{
    for (size_t i = 0; i < e->budgets.n; i++) {
        const char *name = e->rules.rules->rules[i].name;

        if (outlives_reload(reload, name))
            budgets_move(&e->budgets, i, next,
                         ruleset_index(reload->next, ruleset_find(reload->next, name)));
        else if (e->budgets.list[i].digest != NULL)
            tell_digest(e, i, at_us > e->step_us ? at_us : e->step_us);
    }
    budgets_close(&e->budgets);
    e->budgets = *next;
}

/* Nothing can fail once the first digest is told. */
static int take_rules(struct engine *e, const struct engine_event *event, struct err *err)
{
    struct ruleset next;
    struct reload reload = {.old = &e->rules, .next = &next};
    struct budgets budgets;
    int rc = ruleset_read(&next, (const char *)event->rules.data, event->rules.len, err);

    if (rc != 0)
        return rc;
    if (reserve_alerts(e, budgets_waiting(&e->budgets)) != 0 ||
        budgets_init(&budgets, next.rules->n) != 0) {
        ruleset_close(&next);
        return err_set(err, ERR_NOMEM, "rules: no memory");
    }
    (void)tell_due(e, event->at_us);
    carry_budgets(e, &reload, &budgets, event->at_us);
    keys_drop(e->keys, outlives_reload, &reload);
    e->old_rules = e->rules;
    e->rules = next;
    return 0;
}

/* ---- the keys that a record touches ---- */

/* Makes room for a record with `n` groups of matches. */
static int reserve_groups(struct engine *e, size_t n)
{
    if (n <= e->groups_cap)
        return 0;
    free(e->touches);
    free(e->next_group);
    free(e->cooled);
    e->groups_cap = 0;
    e->touches = calloc(n, sizeof *e->touches);
    e->next_group = calloc(n, sizeof *e->next_group);
    e->cooled = calloc(n, sizeof *e->cooled);
    if (e->touches == NULL || e->next_group == NULL || e->cooled == NULL)
        return ERR_NOMEM;
    e->groups_cap = n;
    return 0;
}

/* The value of a key of group_by; "" if the line has none. */
static const char *group_value(const struct wire_matches *matches, const char *key)
{
    if (strcmp(key, "process") == 0)
        return matches->process;
    for (size_t i = 0; i < matches->n_group; i++) {
        if (strcmp(matches->group[i].key, key) == 0)
            return matches->group[i].value;
    }
    return "";
}

static void group_values(const struct rule *rule, const struct wire_matches *matches,
                         const char *values[RULES_GROUP_BY_MAX])
{
    for (size_t i = 0; i < rule->group_by.n; i++)
        values[i] = group_value(matches, rule->group_by.items[i]);
}

/* Finds or makes the key of a group of matches and links the group to it. */
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
    if (key->touch == NULL) {
        key->touch = &e->touches[e->n_touches++];
        *key->touch = (struct touch){.key = key, .rule = rule, .first_group = group};
    } else {
        e->next_group[key->touch->last_group] = group;
    }
    key->touch->last_group = group;
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

/* ---- times ---- */

static int reserve_runs(struct engine *e, size_t n)
{
    if (n <= e->runs_cap)
        return 0;
    free(e->runs);
    e->runs_cap = 0;
    e->runs = calloc(n, sizeof *e->runs);
    if (e->runs == NULL)
        return ERR_NOMEM;
    e->runs_cap = n;
    return 0;
}

static bool is_near(int64_t time_us, int64_t other_us)
{
    int64_t ahead;

    return !__builtin_sub_overflow(time_us, other_us, &ahead) && ahead <= ENGINE_SKEW_MAX_US &&
           ahead >= -ENGINE_SKEW_MAX_US;
}

/* The time at which a match counts. A time that is near neither the receive time nor the step time
 * is made up, from a wrong clock, or of a line that was held back on its way to ingest: the receive
 * time replaces it, which may lie hours back if ingest had to keep the record. */
static int64_t event_us(struct engine *e, struct key *key, int64_t time_us)
{
    if (is_near(time_us, e->received_us) || is_near(time_us, e->step_us))
        return time_us;
    e->counts.skewed++;
    if (time_us < e->received_us && e->received_us / TIME_MS > key->late_ms)
        key->late_ms = e->received_us / TIME_MS;
    return e->received_us;
}

/* Collects the times of all matches of one key in the record, sorted. */
static int collect(struct engine *e, const struct wire_record *record, const struct touch *t,
                   size_t *n_runs)
{
    size_t total = 0, n = 0;

    for (size_t g = t->first_group; g != SIZE_MAX; g = e->next_group[g])
        total += record->matches[g].n_times;
    if (reserve_runs(e, total) != 0)
        return ERR_NOMEM;
    for (size_t g = t->first_group; g != SIZE_MAX; g = e->next_group[g]) {
        const struct wire_matches *matches = &record->matches[g];

        for (size_t i = 0; i < matches->n_times; i++) {
            int64_t us = event_us(e, t->key, matches->times_us[i]);

            e->runs[n++] = (struct window_run){.ms = us / TIME_MS, .n = 1};
        }
    }
    *n_runs = window_sort(e->runs, n);
    return 0;
}

/* ---- alerts ---- */

/* The last group of the key with a sample line; the last one if none has any. */
static const struct wire_matches *shown(const struct engine *e, const struct wire_record *record,
                                        const struct touch *t)
{
    const struct wire_matches *best = &record->matches[t->last_group];

    for (size_t g = t->first_group; g != SIZE_MAX; g = e->next_group[g]) {
        if (record->matches[g].sample.len > 0)
            best = &record->matches[g];
    }
    return best;
}

static void write_id(const struct wire_alert *alert, char id[WIRE_ID_SIZE])
{
    uint64_t hash = hash_add_text(hash_add_text(HASH_START, alert->app), alert->rule);

    for (size_t i = 0; i < alert->n_group; i++)
        hash = hash_add_text(hash_add_text(hash, alert->group[i].key), alert->group[i].value);
    hash = hash_finish(hash_add_u64(hash, (uint64_t)alert->at_us));
    snprintf(id, WIRE_ID_SIZE, "%016" PRIx64, hash);
}

/* Outcomes borrow names from the record, never from the key, which may be dropped before the step
 * ends. */
static void fill_group(const struct wire_record *record, struct touch *t)
{
    const struct rules_list *keys = &t->rule->group_by;

    for (size_t i = 0; i < keys->n; i++)
        t->pairs[i] = (struct wire_group){
            .key = keys->items[i],
            .value = group_value(&record->matches[t->first_group], keys->items[i]),
        };
}

/* Whether lines may be missing from the count: the newest mark of a loss lies within the interval
 * or later, and a loss marked later may be of older lines. */
static bool is_short(const struct engine *e, const struct touch *t,
                     const struct window_count *breach)
{
    return app_times_newest(&e->losses, e->app) > breach->last_ms - judge_within_ms(t->rule);
}

static void fill_alert(const struct engine *e, const struct wire_record *record, struct touch *t,
                       const struct judge_result *judged, struct wire_alert *alert)
{
    const struct window_count *breach = &judged->most;
    const struct wire_matches *line = shown(e, record, t);
    const struct rule *rule = t->rule;

    *alert = (struct wire_alert){
        .kind = WIRE_BREACH,
        .rule = rule->name,
        .app = e->app,
        .at_us = e->step_us,
        .count = breach->count,
        .at_least = is_short(e, t, breach),
        .about = breach->about,
        .arrived_late = t->key->late_ms >= breach->first_ms,
        .window_us = rule->within_us,
        .threshold = rule->more_than,
        .suppressed = judged->suppressed,
        .first_us = breach->first_ms * TIME_MS,
        .last_us = breach->last_ms * TIME_MS,
        .title = rule->title,
        .runbook = rule->runbook,
        .channel = rule->channel,
        .mentions = rule->mentions.items,
        .n_mentions = rule->mentions.n,
        .severity = rule->severity,
        .source = line->source,
        .process = line->process,
    };
    if (rule->sample)
        alert->sample = line->sample;
    fill_group(record, t);
    alert->group = t->pairs;
    alert->n_group = rule->group_by.n;
}

/* The alert gets a message of its own, or goes into the rule's digest. `fresh` is the number of the
 * key's matches in this record. */
static int add_alert(struct engine *e, const struct wire_record *record, struct touch *t,
                     const struct judge_result *judged, uint64_t fresh)
{
    struct wire_alert *alert = &e->alerts[e->n_alerts];
    const size_t rule = ruleset_index(&e->rules, t->rule);
    const int64_t before_us = t->key->is_withheld ? judged->before_us : KEY_NEVER;
    const int spent = budgets_spend(&e->budgets, rule, t->rule, e->app, e->step_us);

    if (spent < 0)
        return spent;
    fill_alert(e, record, t, judged, alert);
    t->key->is_withheld = spent == 0;
    if (t->key->is_withheld) {
        e->counts.withheld++;
        return budgets_withhold(&e->budgets, rule, alert, before_us, judged->suppressed + fresh);
    }
    write_id(alert, alert->id);
    e->n_alerts++;
    e->counts.alerts++;
    return 0;
}

static void add_cooled(struct engine *e, const struct wire_record *record, struct touch *t,
                       bool is_first)
{
    e->counts.cooled++;
    if (!is_first)
        return;
    fill_group(record, t);
    e->cooled[e->n_cooled++] =
        (struct engine_cooled){.rule = t->rule->name,
                               .app = e->app,
                               .group = t->pairs,
                               .n_group = t->rule->group_by.n,
                               .until_us = judge_cooldown_end_us(t->key, t->rule)};
}

/* Puts the matches of a touched key into its window and judges it. */
static int take_touch(struct engine *e, const struct wire_record *record, struct touch *t)
{
    const int64_t keep_ms = judge_within_ms(t->rule) + ENGINE_LATE_MAX_US / TIME_MS;
    struct judge_result judged;
    uint64_t fresh;
    size_t n, late;
    int rc = collect(e, record, t, &n);

    t->key->touch = NULL;
    if (rc != 0)
        return rc;
    late = window_late(&t->key->window, e->runs, n, keep_ms);
    e->counts.too_late += judge_matches(e->runs, late);
    /* Even if all are too late: `within` may be shorter now, so that the window has to forget. */
    rc = keys_put(e->keys, t->key, e->runs + late, n - late, keep_ms, e->limits.key_times);
    if (rc != 0 || late == n)
        return rc;
    fresh = judge_matches(e->runs + late, n - late);
    e->counts.matches += fresh;
    t->key->arrived_us = e->step_us;
    judged = judge_key(t->key, t->rule, e->runs + late, n - late, e->step_us);
    if (judged.verdict == JUDGE_ALERT)
        return add_alert(e, record, t, &judged, fresh);
    if (judged.verdict == JUDGE_COOLED)
        add_cooled(e, record, t, judged.is_first);
    return 0;
}

/* ---- events ---- */

static const char *app_of(const struct engine *e, const char *drain)
{
    const char *app = e->rules.rules == NULL ? NULL : rules_app(e->rules.rules, drain);

    return app == NULL ? drain : app;
}

/* A receive time far ahead of the step time comes from a wrong clock, and the step time replaces
 * it. Otherwise a key would drop all later matches as too old, and the mark of a loss would never
 * end. */
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
    return app_times_mark(&e->losses, e->app, e->received_us / TIME_MS, e->limits.apps);
}

/* 1 if the record is a repeat, 0 if not, or ERR_NOMEM. */
static int is_repeat(struct engine *e, const struct wire_record *record)
{
    struct repeats_limits limits = {.drains = e->limits.drains,
                                    .per_drain = e->limits.frames_per_drain,
                                    .total = e->limits.frames};

    if (record->frame_id[0] == 0)
        return 0;
    return repeats_take(&e->frames, record->drain, record->frame_id, e->step_us,
                        ENGINE_FRAME_MEMORY_US, &limits);
}

static int take_matches(struct engine *e, const struct wire_record *record)
{
    int rc = reserve_groups(e, record->n_matches);

    if (rc == 0)
        rc = reserve_alerts(e, record->n_matches);
    e->app = app_of(e, record->drain);
    e->received_us = received_us(e, record);
    if (rc == 0 && record->lost > 0)
        rc = note_loss(e);
    if (rc == 0)
        rc = touch_all(e, record);
    for (size_t i = 0; i < e->n_touches && rc == 0; i++)
        rc = take_touch(e, record, &e->touches[i]);
    if (rc != 0)
        return rc;
    e->counts.groups_dropped += keys_keep_groups(e->keys, e->limits.groups);
    e->counts.keys_dropped += keys_keep(e->keys, e->limits.keys, e->limits.times);
    return 0;
}

static int take_record(struct engine *e, const struct wire_record *record, int64_t at_us)
{
    int rc;

    advance(e, at_us);
    e->counts.records++;
    rc = is_repeat(e, record);
    if (rc == 1) {
        e->counts.repeats++;
        return 0;
    }
    if (rc == 0)
        rc = take_matches(e, record);
    if (e->runs_cap > RUNS_KEPT) {
        free(e->runs);
        e->runs = NULL;
        e->runs_cap = 0;
    }
    return rc;
}

static int act(struct engine *e, const struct engine_event *event, struct err *err)
{
    int rc;

    if (event->kind == ENGINE_RULES)
        return take_rules(e, event, err);
    rc = tell_due(e, event->at_us);
    if (rc == 0 && event->kind == ENGINE_RECORD)
        rc = take_record(e, event->record, event->at_us);
    return rc == 0 ? 0 : err_set(err, ERR_NOMEM, "no memory for the engine");
}

int engine_step(struct engine *e, const struct engine_event *event, struct engine_outcomes *out,
                struct err *err)
{
    int rc;

    *out = (struct engine_outcomes){0};
    forget_outcomes(e);
    rc = act(e, event, err);
    if (rc == 0)
        *out = (struct engine_outcomes){.alerts = e->alerts,
                                        .n_alerts = e->n_alerts,
                                        .cooled = e->cooled,
                                        .n_cooled = e->n_cooled};
    return rc;
}

void engine_each_key(const struct engine *e, int64_t now_us, engine_key_fn *fn, void *ctx)
{
    for (const struct key *k = keys_next(e->keys, NULL); k != NULL; k = keys_next(e->keys, k)) {
        const struct rule *rule = ruleset_find(&e->rules, key_rule(k));
        const char *values[RULES_GROUP_BY_MAX];

        assert(rule != NULL); /* a reload drops the keys of a rule that is gone */
        key_group(k, values);
        fn(ctx,
           &(struct engine_key){
               .rule = rule,
               .app = key_app(k),
               .values = values,
               .count = window_count_after(&k->window, now_us / TIME_MS - judge_within_ms(rule)),
               .suppressed = k->since,
               .alerted_us = k->alerted_us,
               .cooldown_end_us = judge_cooldown_end_us(k, rule),
               .arrived_us = k->arrived_us,
           });
    }
}

struct engine_counts engine_counts(const struct engine *e)
{
    struct engine_counts counts = e->counts;
    struct keys_counts held = keys_counts(e->keys);

    counts.keys = held.keys;
    counts.times = held.times;
    return counts;
}

const char *engine_crowded(const struct engine *e, const char **rule)
{
    return keys_crowded(e->keys, rule);
}

/* ---- saving and loading ---- */

/* The counters, in the order in which they are saved. */
enum { N_COUNTERS = 13, N_COUNTERS_3 = 11 /* of version 3 and before */ };

static void list_counters(struct engine_counts *c, uint64_t *out[N_COUNTERS])
{
    size_t n = 0;

    out[n++] = &c->records;
    out[n++] = &c->repeats;
    out[n++] = &c->matches;
    out[n++] = &c->too_late;
    out[n++] = &c->skewed;
    out[n++] = &c->unknown_rule;
    out[n++] = &c->alerts;
    out[n++] = &c->cooled;
    out[n++] = &c->keys_dropped;
    out[n++] = &c->groups_dropped;
    out[n++] = &c->losses;
    out[n++] = &c->withheld;
    out[n++] = &c->digests;
    assert(n == N_COUNTERS);
}

/* The rules come first, for the keys are checked against them. */
int engine_save(const struct engine *e, struct buf *out)
{
    struct engine_counts counts = e->counts;
    uint64_t *counters[N_COUNTERS];
    struct snapshot_writer w;

    snapshot_begin(&w, out);
    snapshot_put_u64(&w, e->rules.rules != NULL);
    if (e->rules.rules != NULL)
        snapshot_put_bytes(&w, e->rules.text, e->rules.len);
    snapshot_put_u64(&w, (uint64_t)e->step_us);
    list_counters(&counts, counters);
    for (size_t i = 0; i < N_COUNTERS; i++)
        snapshot_put_u64(&w, *counters[i]);
    repeats_save(&e->frames, &w);
    app_times_save(&e->losses, &w);
    keys_save(e->keys, &w);
    budgets_save(&e->budgets, e->rules.rules, e->step_us, &w);
    return snapshot_finish(&w);
}

static bool is_known(void *ctx, const char *name, size_t n_group)
{
    const struct rule *rule = ruleset_find(ctx, name);

    return rule != NULL && rule->group_by.n == n_group;
}

/* The checksum was right, so a text that is refused was good to the build that wrote it. */
static int load_rules(struct engine *e, struct snapshot_reader *r, struct err *err)
{
    struct err refused;
    const char *text;
    size_t len;
    int rc;

    if (snapshot_get_max(r, 1) == 0)
        return 0;
    text = (const char *)snapshot_get_bytes(r, &len);
    if (r->bad)
        return 0;
    rc = ruleset_read(&e->rules, text, len, &refused);
    if (rc == ERR_INPUT)
        return err_set(err, ERR_VERSION, "snapshot: this build refuses its rules: %.900s",
                       refused.text);
    return rc != 0 ? rc : budgets_init(&e->budgets, e->rules.rules->n);
}

/* Frame-Ids, losses, keys and budgets, in the order in which engine_save writes them. */
static int load_memory(struct engine *e, struct snapshot_reader *r)
{
    struct repeats_limits frames = {.drains = e->limits.drains,
                                    .per_drain = e->limits.frames_per_drain,
                                    .total = e->limits.frames};
    struct keys_limits keys = {
        .keys = e->limits.keys, .groups = e->limits.groups, .key_times = e->limits.key_times};
    int rc = repeats_load(&e->frames, r, e->step_us, &frames);

    if (rc == 0)
        rc = app_times_load(&e->losses, r, e->limits.apps,
                            e->step_us / TIME_MS + ENGINE_SKEW_MAX_US / TIME_MS);
    if (rc == 0)
        rc = keys_load(e->keys, r, &keys, e->step_us, is_known, &e->rules);
    if (rc == 0 && r->version >= 4)
        rc = budgets_load(&e->budgets, e->rules.rules, e->step_us, r);
    if (rc == 0 && (!snapshot_complete(r) || keys_counts(e->keys).times > e->limits.times))
        rc = ERR_DAMAGED;
    return rc;
}

static int load_body(struct engine *e, struct snapshot_reader *r, struct err *err)
{
    uint64_t *counters[N_COUNTERS];
    int rc = load_rules(e, r, err);

    if (rc != 0)
        return rc;
    e->step_us = (int64_t)snapshot_get_max(r, INT64_MAX);
    list_counters(&e->counts, counters);
    for (size_t i = 0; i < (r->version >= 4 ? N_COUNTERS : N_COUNTERS_3); i++)
        *counters[i] = snapshot_get_u64(r);
    return load_memory(e, r);
}

int engine_load(struct engine **out, const void *bytes, size_t n, struct err *err)
{
    struct snapshot_reader r;
    struct engine *e;
    int rc = snapshot_open(&r, bytes, n, err);

    *out = NULL;
    if (rc != 0)
        return rc;
    e = engine_new();
    if (e == NULL)
        return err_set(err, ERR_NOMEM, "snapshot: no memory");
    rc = load_body(e, &r, err);
    if (rc == 0) {
        *out = e;
        return 0;
    }
    engine_free(e);
    if (rc == ERR_NOMEM)
        return err_set(err, rc, "snapshot: no memory");
    if (rc == ERR_DAMAGED)
        return err_set(err, rc, "snapshot: it holds what no engine writes");
    return rc;
}
