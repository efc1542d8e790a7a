#include "alerter/engine.h"

#include "alerter/engine_impl.h"
#include "alerter/hash.h"
#include "common/time.h"

#include <assert.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Matches of one key in one record for which memory is kept; a larger burst gives it back. */
enum { RUNS_KEPT = 16384 };

static const struct engine_limits DEFAULT_LIMITS = {
    .keys = ENGINE_KEYS_MAX,
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
    frames_init(&e->frames);
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
    frames_close(&e->frames);
    keys_free(e->keys);
    ruleset_close(&e->rules);
    free(e);
}

void engine_set_limits(struct engine *e, const struct engine_limits *limits)
{
    assert(limits->keys >= 1 && limits->keys <= ENGINE_KEYS_MAX);
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

/* Finds the key that a group of matches belongs to, and notes the group as its first or next. */
static int touch(struct engine *e, const char *app, const struct rule *rule, size_t group)
{
    struct key *key = keys_touch(e->keys, app, rule->name);

    if (key == NULL)
        return ERR_NOMEM;
    e->next_group[group] = SIZE_MAX;
    if (key->touched == e->steps) {
        struct engine_touch *t = &e->touches[key->touch];

        e->next_group[t->last_group] = group;
        t->last_group = group;
        return 0;
    }
    key->touched = e->steps;
    key->touch = e->n_touches;
    e->touches[e->n_touches++] =
        (struct engine_touch){.key = key, .rule = rule, .first_group = group, .last_group = group};
    return 0;
}

static int touch_all(struct engine *e, const struct wire_record *record)
{
    const char *app = e->rules.rules == NULL ? "" : rules_app(e->rules.rules, record->drain);

    for (size_t i = 0; i < record->n_matches; i++) {
        const struct wire_matches *matches = &record->matches[i];
        const struct rule *rule = ruleset_find(&e->rules, matches->rule);

        if (rule == NULL)
            e->counts.unknown_rule += matches->n_times;
        else if (matches->n_times > 0 && touch(e, app, rule, i) != 0)
            return ERR_NOMEM;
    }
    return 0;
}

static bool is_near(int64_t time_us, int64_t other_us)
{
    int64_t ahead;

    return !__builtin_sub_overflow(time_us, other_us, &ahead) && ahead <= ENGINE_SKEW_MAX_US &&
           ahead >= -ENGINE_SKEW_MAX_US;
}

/* The time at which a match counts. One that is near neither the receive time nor now is no time at
 * all: it was made up, or its clock was wrong. The receive time that then stands for it may lie
 * hours back, for ingest keeps what it cannot hand over; ahead of now it would only be a wrong
 * clock's, and a key that believed it would find all its true matches too late. */
static int64_t event_us(struct engine *e, int64_t time_us, int64_t received_us)
{
    if (received_us > e->step_us && !is_near(received_us, e->step_us))
        received_us = e->step_us;
    if (is_near(time_us, received_us) || is_near(time_us, e->step_us))
        return time_us;
    e->counts.skewed++;
    return received_us;
}

/* Collects the times of all groups of one key, and sorts them. */
static int collect(struct engine *e, const struct wire_record *record, const struct engine_touch *t,
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
            int64_t us = event_us(e, matches->times_us[i], record->received_us);

            e->runs[n++] = (struct window_run){.ms = us / TIME_MS, .n = 1};
        }
    }
    *n_runs = window_sort(e->runs, n);
    return 0;
}

static uint64_t matches_in(const struct window_run *runs, size_t n)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < n; i++)
        sum += runs[i].n;
    return sum;
}

/* A duration in milliseconds, rounded up: between times of that grain this is the same bound. */
static int64_t ms_up(int64_t us)
{
    return us / TIME_MS + (us % TIME_MS != 0);
}

/* The last group of the key with a sample line; the last one if none has any. */
static const struct wire_matches *shown(const struct engine *e, const struct wire_record *record,
                                        const struct engine_touch *t)
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

/* The app's name is the one that the rules hold, not the key's: the key may be dropped before the
 * step ends. */
static void decide(struct engine *e, const struct wire_record *record, const struct engine_touch *t,
                   const struct window_count *breach)
{
    const struct wire_matches *line = shown(e, record, t);
    struct wire_alert *alert = &e->alerts[e->n_alerts++];

    *alert = (struct wire_alert){
        .kind = "breach",
        .rule = t->rule->name,
        .app = rules_app(e->rules.rules, record->drain),
        .at_us = e->step_us,
        .count = breach->count,
        .about = breach->about,
        .window_us = t->rule->within_us,
        .threshold = t->rule->more_than,
        .suppressed = t->key->since,
        .first_us = breach->first_ms * TIME_MS,
        .last_us = breach->last_ms * TIME_MS,
        .title = t->rule->title,
        .runbook = t->rule->runbook,
        .channel = t->rule->channel,
        .source = line->source,
        .process = line->process,
        .sample = line->sample,
    };
    write_id(alert, alert->id);
    e->counts.alerts++;
}

static bool cooling(const struct engine *e, const struct engine_touch *t)
{
    return t->key->alerted_us != KEY_NEVER &&
           e->step_us - t->key->alerted_us < t->rule->cooldown_us;
}

/* Judges a key that `put` matches were put into. */
static void judge(struct engine *e, const struct wire_record *record, const struct engine_touch *t,
                  const struct window_run *fresh, size_t n)
{
    struct window_count most = window_judge(&t->key->window, fresh, n, ms_up(t->rule->within_us));
    bool breach = most.count > t->rule->more_than;

    if (breach && !cooling(e, t)) {
        decide(e, record, t, &most);
        t->key->alerted_us = e->step_us;
        t->key->since = 0;
        return;
    }
    e->counts.cooled += breach;
    if (t->key->alerted_us != KEY_NEVER)
        t->key->since += matches_in(fresh, n);
}

/* Puts a key's matches in and judges it. That other keys' are put in later makes no difference to
 * it: keys share nothing. */
static int settle(struct engine *e, const struct wire_record *record, const struct engine_touch *t)
{
    int64_t keep_ms = ms_up(t->rule->within_us + ENGINE_LATE_MAX_US);
    size_t n, late;
    int rc = collect(e, record, t, &n);

    if (rc != 0)
        return rc;
    late = window_late(&t->key->window, e->runs, n, keep_ms);
    e->counts.too_late += matches_in(e->runs, late);
    /* Also where all were late: `within` may be shorter than when the key was last touched. */
    rc = keys_put(e->keys, t->key, e->runs + late, n - late, keep_ms, e->limits.key_times);
    if (rc != 0 || late == n)
        return rc;
    e->counts.matches += matches_in(e->runs + late, n - late);
    judge(e, record, t, e->runs + late, n - late);
    return 0;
}

static int seen(struct engine *e, const struct wire_record *record)
{
    struct frames_limits limits = {.drains = e->limits.drains,
                                   .per_drain = e->limits.frames_per_drain,
                                   .total = e->limits.frames};

    if (record->frame_id[0] == 0)
        return 0;
    return frames_take(&e->frames, record->drain, record->frame_id, e->step_us,
                       ENGINE_FRAME_MEMORY_US, &limits);
}

static int take(struct engine *e, const struct wire_record *record)
{
    int rc = reserve_groups(e, record->n_matches);

    if (rc == 0)
        rc = touch_all(e, record);
    for (size_t i = 0; i < e->n_touches && rc == 0; i++)
        rc = settle(e, record, &e->touches[i]);
    if (rc == 0)
        e->counts.keys_dropped += keys_keep(e->keys, e->limits.keys, e->limits.times);
    return rc;
}

int engine_step(struct engine *e, const struct wire_record *record, int64_t step_us,
                struct engine_alerts *out)
{
    int rc;

    *out = (struct engine_alerts){0};
    if (step_us > e->step_us)
        e->step_us = step_us;
    e->steps++;
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
