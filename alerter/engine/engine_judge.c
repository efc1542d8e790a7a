#include "alerter/engine/engine_impl.h"
#include "common/base/hash.h"
#include "common/base/time.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

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

/* The time at which a match counts. One that is near neither the receive time nor now is no time at
 * all: it was made up, or its clock was wrong. The receive time that then stands for it may lie
 * hours back, for ingest keeps what it cannot hand over. */
static int64_t event_us(struct engine *e, int64_t time_us)
{
    if (is_near(time_us, e->received_us) || is_near(time_us, e->step_us))
        return time_us;
    e->counts.skewed++;
    return e->received_us;
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
            int64_t us = event_us(e, matches->times_us[i]);

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

/* The values are the record's, not the key's: the key may be dropped before the step ends. */
static void fill_group(const struct wire_record *record, struct engine_touch *t,
                       struct wire_alert *alert)
{
    const struct rules_list *keys = &t->rule->group_by;

    for (size_t i = 0; i < keys->n; i++)
        t->pairs[i] = (struct wire_group){
            .key = keys->items[i],
            .value = engine_group_value(&record->matches[t->first_group], keys->items[i]),
        };
    alert->group = t->pairs;
    alert->n_group = keys->n;
}

/* Whether lines may be missing from what was counted: some were thrown away in the time that it
 * reaches over, or later, and these may have been older than that. */
static bool is_short(const struct engine *e, const struct engine_touch *t,
                     const struct window_count *breach)
{
    return losses_newest(&e->losses, e->app) > breach->last_ms - ms_up(t->rule->within_us);
}

/* The app's name is not the key's either, for the same reason. */
static void decide(struct engine *e, const struct wire_record *record, struct engine_touch *t,
                   const struct window_count *breach)
{
    const struct wire_matches *line = shown(e, record, t);
    const struct rule *rule = t->rule;
    struct wire_alert *alert = &e->alerts[e->n_alerts++];

    *alert = (struct wire_alert){
        .kind = "breach",
        .rule = rule->name,
        .app = e->app,
        .at_us = e->step_us,
        .count = breach->count,
        .at_least = is_short(e, t, breach),
        .about = breach->about,
        .window_us = rule->within_us,
        .threshold = rule->more_than,
        .suppressed = t->key->since,
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
    fill_group(record, t, alert);
    write_id(alert, alert->id);
    e->counts.alerts++;
}

static bool cooling(const struct engine *e, const struct engine_touch *t)
{
    return t->key->alerted_us != KEY_NEVER &&
           e->step_us - t->key->alerted_us < t->rule->cooldown_us;
}

/* Judges a key that `put` matches were put into. */
static void judge(struct engine *e, const struct wire_record *record, struct engine_touch *t,
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

int engine_settle(struct engine *e, const struct wire_record *record, struct engine_touch *t)
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
