/* The oracle: the engine as the slowest obvious loops. Called by sim_engine. */
#include "tests/sim/oracle.h"

#include "tests/sim/oracle_budget.h"
#include "tests/sim/oracle_key.h"
#include "tests/sim/oracle_repeats.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct loss {
    char app[ORACLE_NAME];
    int64_t us;
    uint64_t touched;
};

struct oracle {
    struct engine_limits limits;
    struct oracle_rules rules;
    struct oracle_rules old_rules; /* before the last reload */
    struct oracle_key *keys;
    size_t n_keys;
    struct oracle_budget budgets[ORACLE_RULES];     /* of the rules, one for one */
    struct oracle_budget old_budgets[ORACLE_RULES]; /* before the last reload */
    struct oracle_repeats frames;
    struct loss *losses;
    size_t n_losses;
    int64_t step_us;
    uint64_t touches;
    struct oracle_alert alerts[ORACLE_ALERTS];
    size_t n_alerts;
    struct oracle_alert cooled[ORACLE_MATCHES];
    size_t n_cooled;
    struct oracle_counts counts;
};

struct oracle *oracle_new(const struct engine_limits *limits)
{
    struct oracle *o = calloc(1, sizeof *o);

    if (o == NULL)
        abort();
    o->limits = *limits;
    return o;
}

void oracle_free(struct oracle *o)
{
    for (size_t i = 0; i < o->n_keys; i++)
        free(o->keys[i].matches);
    for (size_t i = 0; i < ORACLE_RULES; i++) {
        oracle_budget_close(&o->budgets[i]);
        oracle_budget_close(&o->old_budgets[i]);
    }
    free(o->keys);
    oracle_repeats_close(&o->frames);
    free(o->losses);
    free(o);
}

static const struct oracle_rule *find_rule(const struct oracle_rules *rules, const char *name)
{
    for (size_t i = 0; i < rules->n; i++) {
        if (strcmp(rules->rules[i].name, name) == 0)
            return &rules->rules[i];
    }
    return NULL;
}

static void drop_key(struct oracle *o, size_t at)
{
    free(o->keys[at].matches);
    o->n_keys--;
    memmove(&o->keys[at], &o->keys[at + 1], (o->n_keys - at) * sizeof *o->keys);
}

static bool same_matching(const struct oracle_rule *a, const struct oracle_rule *b)
{
    bool same = a->matching == b->matching && a->n_group_by == b->n_group_by;

    for (size_t i = 0; i < a->n_group_by && same; i++)
        same = strcmp(a->group_by[i], b->group_by[i]) == 0;
    return same;
}

static void begin_step(struct oracle *o)
{
    o->n_alerts = 0;
    o->n_cooled = 0;
    for (size_t i = 0; i < ORACLE_RULES; i++)
        oracle_budget_close(&o->old_budgets[i]);
}

static void tell(struct oracle *o, struct oracle_budget *b, const struct oracle_rule *rule,
                 int64_t at_us)
{
    o->step_us = at_us > o->step_us ? at_us : o->step_us;
    o->alerts[o->n_alerts++] = oracle_budget_digest(b, rule, at_us);
    o->counts.digests++;
}

int64_t oracle_next_us(const struct oracle *o)
{
    int64_t next_us = INT64_MAX;

    for (size_t i = 0; i < o->rules.n; i++) {
        if (o->budgets[i].n_held > 0 && o->budgets[i].ends_us < next_us)
            next_us = o->budgets[i].ends_us;
    }
    return next_us;
}

/* "Each event first does all that is due at its time or before, at the time at which it was due";
 * of the same time in the order of the rules. */
static void tell_due(struct oracle *o, int64_t at_us)
{
    int64_t next_us;

    while ((next_us = oracle_next_us(o)) != INT64_MAX && next_us <= at_us) {
        size_t i = 0;

        while (o->budgets[i].n_held == 0 || o->budgets[i].ends_us != next_us)
            i++;
        tell(o, &o->budgets[i], &o->rules.rules[i], next_us);
    }
}

const struct oracle_alert *oracle_tick(struct oracle *o, int64_t at_us, size_t *n)
{
    begin_step(o);
    tell_due(o, at_us);
    *n = o->n_alerts;
    return o->alerts;
}

/* "Rules keep the budget of a rule whose name and matching are unchanged. The digest of a rule that
 * does not go on comes at once." */
static void carry_budgets(struct oracle *o, const struct oracle_rules *rules, int64_t at_us)
{
    memcpy(o->old_budgets, o->budgets, sizeof o->budgets);
    memset(o->budgets, 0, sizeof o->budgets);
    for (size_t i = 0; i < o->rules.n; i++) {
        const struct oracle_rule *next = find_rule(rules, o->rules.rules[i].name);

        if (next != NULL && same_matching(&o->rules.rules[i], next)) {
            o->budgets[next - rules->rules] = o->old_budgets[i];
            o->old_budgets[i] = (struct oracle_budget){.has_period = false};
        } else if (o->old_budgets[i].n_held > 0) {
            tell(o, &o->old_budgets[i], &o->old_rules.rules[i],
                 at_us > o->step_us ? at_us : o->step_us);
        }
    }
}

/* "A reload keeps windows and cooldowns of a rule whose name and matching are unchanged (group_by
 * is part of it); others start empty." */
const struct oracle_alert *oracle_set_rules(struct oracle *o, const struct oracle_rules *rules,
                                            int64_t at_us, size_t *n)
{
    begin_step(o);
    tell_due(o, at_us);
    o->old_rules = o->rules;
    for (size_t i = 0; i < o->n_alerts; i++) /* they point into the rules */
        o->alerts[i].rule = &o->old_rules.rules[o->alerts[i].rule - o->rules.rules];
    carry_budgets(o, rules, at_us);
    for (size_t i = o->n_keys; i-- > 0;) {
        const struct oracle_rule *old = find_rule(&o->rules, o->keys[i].rule);
        const struct oracle_rule *next = find_rule(rules, o->keys[i].rule);

        if (old == NULL || next == NULL || !same_matching(old, next))
            drop_key(o, i);
    }
    o->rules = *rules;
    *n = o->n_alerts;
    return o->alerts;
}

/* "The app is the one that the rules give to the record's drain; if they give none, the drain's own
 * name is the app." */
static const char *app_of(struct oracle *o, const char *drain)
{
    for (size_t i = 0; i < o->rules.n_drains; i++) {
        if (strcmp(o->rules.drains[i].drain, drain) == 0)
            return o->rules.drains[i].app;
    }
    if (o->rules.app != NULL)
        return o->rules.app;
    o->counts.unlisted++;
    return drain;
}

/* "A rule with `apps` takes no match of another app." */
static bool takes(const struct oracle_rule *rule, const char *app)
{
    for (size_t i = 0; i < rule->n_apps; i++) {
        if (strcmp(rule->apps[i], app) == 0)
            return true;
    }
    return rule->n_apps == 0;
}

/* "The group's values are the process, and the record's values for the other keys of `group_by`, ""
 * if the record has none." */
static const char *value_of(const struct oracle_rule *rule, const struct wire_matches *m, size_t at)
{
    if (at >= rule->n_group_by)
        return "";
    if (strcmp(rule->group_by[at], "process") == 0)
        return m->process;
    for (size_t i = 0; i < m->n_group; i++) {
        if (strcmp(m->group[i].key, rule->group_by[at]) == 0)
            return m->group[i].value;
    }
    return "";
}

static bool is_of(const struct oracle_key *key, const char *app, const struct oracle_rule *rule,
                  const struct wire_matches *m)
{
    bool is = strcmp(key->app, app) == 0 && strcmp(key->rule, rule->name) == 0;

    for (size_t i = 0; i < ORACLE_GROUP_BY && is; i++)
        is = strcmp(key->values[i], value_of(rule, m, i)) == 0;
    return is;
}

/* "A key is (app, rule, group)." */
static struct oracle_key *touch(struct oracle *o, const char *app, const struct oracle_rule *rule,
                                const struct wire_matches *m)
{
    struct oracle_key key = {.n = 0};

    for (size_t i = 0; i < o->n_keys; i++) {
        if (is_of(&o->keys[i], app, rule, m))
            return &o->keys[i];
    }
    strcpy(key.app, app);
    strcpy(key.rule, rule->name);
    for (size_t i = 0; i < ORACLE_GROUP_BY; i++)
        strcpy(key.values[i], value_of(rule, m, i));
    o->keys = oracle_grown(o->keys, o->n_keys + 1, sizeof *o->keys);
    o->keys[o->n_keys] = key;
    return &o->keys[o->n_keys++];
}

/* "A receive time more than an hour ahead of the step time is replaced by that." */
static int64_t received(const struct oracle *o, const struct wire_record *record)
{
    return record->received_us > o->step_us + HOUR_US ? o->step_us : record->received_us;
}

/* "A timestamp that is … more than an hour away from both the receive time and the step time is
 * replaced by the receive time"; "event times have millisecond grain". */
static int64_t event_time(struct oracle *o, int64_t us, int64_t received_us)
{
    if ((us > received_us + HOUR_US || us < received_us - HOUR_US) &&
        (us > o->step_us + HOUR_US || us < o->step_us - HOUR_US)) {
        us = received_us;
        o->counts.skewed++;
    }
    return us / 1000 * 1000;
}

/* "A match that counts at the receive time since its own is over an hour older." */
static bool was_late(const struct oracle *o, int64_t us, int64_t received_us)
{
    return us < received_us - HOUR_US && us < o->step_us - HOUR_US;
}

/* "A record that tells of lost lines marks its app. A mark's time is the receive time, judged like
 * that of a match. The app that was longest without a mark goes." */
static void mark_loss(struct oracle *o, const char *app, const struct wire_record *record)
{
    struct loss loss = {.us = received(o, record) / 1000 * 1000, .touched = ++o->touches};
    size_t at = 0, stalest = 0;

    o->counts.losses++;
    while (at < o->n_losses && strcmp(o->losses[at].app, app) != 0)
        at++;
    if (at == o->n_losses) {
        o->losses = oracle_grown(o->losses, ++o->n_losses, sizeof *o->losses);
    } else if (o->losses[at].us > loss.us) {
        loss.us = o->losses[at].us; /* "the newest such mark" */
    }
    strcpy(loss.app, app);
    o->losses[at] = loss;
    if (o->n_losses <= o->limits.apps)
        return;
    for (size_t i = 0; i < o->n_losses; i++)
        stalest = o->losses[i].touched < o->losses[stalest].touched ? i : stalest;
    o->losses[stalest] = o->losses[--o->n_losses];
    o->counts.apps_dropped++;
}

/* "An alert is `at least` where the newest such mark lies within the interval that it counts, or
 * later." */
static bool is_at_least(const struct oracle *o, const char *app, const struct oracle_alert *alert)
{
    bool is = false;

    for (size_t i = 0; i < o->n_losses; i++)
        is = is || (strcmp(o->losses[i].app, app) == 0 &&
                    o->losses[i].us > alert->last_us - alert->rule->within_us);
    return is;
}

/* "The first breach of a key within a cooldown is reported." */
static void note_cooled(struct oracle *o, struct oracle_key *key, const struct oracle_rule *rule,
                        const char *app, const struct wire_matches *shown)
{
    struct oracle_alert cooled = {
        .rule = rule, .app = app, .at_us = key->alerted_us + rule->cooldown_us};

    if (key->noted)
        return;
    key->noted = true;
    for (size_t i = 0; i < ORACLE_GROUP_BY; i++)
        cooled.values[i] = value_of(rule, shown, i);
    o->cooled[o->n_cooled++] = cooled;
}

/* "An alert beyond the budget is decided like any other, but goes into the rule's digest." */
static void add_alert(struct oracle *o, const struct oracle_alert *alert, struct oracle_key *key,
                      uint64_t fresh)
{
    struct oracle_budget *b = &o->budgets[alert->rule - o->rules.rules];

    const bool withheld_before = key->withheld;

    key->withheld = !oracle_budget_spend(b, alert->rule, alert->app, alert->at_us);
    if (!key->withheld) {
        o->alerts[o->n_alerts++] = *alert;
        o->counts.alerts++;
        return;
    }
    oracle_budget_withhold(b, alert, withheld_before, key->alerted_us, key->since + fresh);
    o->counts.withheld++;
}

/* "On a breach, unless the key alerted less than `cooldown` ago, one alert is decided.
 * `suppressed` is the number of the key's matches put in after its last alert and before the record
 * that decides this one." */
static void judge(struct oracle *o, struct oracle_key *key, const struct oracle_rule *rule,
                  const char *app, const struct wire_matches *shown)
{
    struct oracle_alert best = oracle_key_largest(key, rule);
    uint64_t fresh = 0;

    for (size_t i = 0; i < key->n; i++)
        fresh += key->matches[i].fresh;
    if (best.count > rule->more_than &&
        (!key->alerted || o->step_us - key->alerted_us >= rule->cooldown_us)) {
        best.app = app; /* the record's and the rules' texts, for the key may go now */
        for (size_t i = 0; i < ORACLE_GROUP_BY; i++)
            best.values[i] = value_of(rule, shown, i);
        best.at_us = o->step_us;
        best.at_least = is_at_least(o, app, &best);
        best.arrived_late = key->has_late && key->late_us >= best.first_us;
        best.suppressed = key->since;
        best.shown = shown;
        add_alert(o, &best, key, fresh);
        key->alerted = true;
        key->alerted_us = o->step_us;
        key->since = 0;
        key->noted = false;
        return;
    }
    if (best.count > rule->more_than) {
        o->counts.cooled++;
        note_cooled(o, key, rule, app, shown);
    }
    if (key->alerted)
        key->since += fresh;
}

static void put_in(struct oracle *o, struct oracle_key *key, const struct wire_matches *matches,
                   int64_t received_us)
{
    for (size_t i = 0; i < matches->n_times; i++) {
        struct oracle_match m = {event_time(o, matches->times_us[i], received_us), true};

        key->matches = oracle_grown(key->matches, key->n + 1, sizeof *key->matches);
        key->matches[key->n++] = m;
        if (was_late(o, matches->times_us[i], received_us) &&
            (!key->has_late || received_us > key->late_us)) {
            key->has_late = true;
            key->late_us = received_us / 1000 * 1000;
        }
    }
}

/* The last matches of the key with a sample line; the last ones if none have any. */
static const struct wire_matches *line_of(const struct wire_record *record, const char *app,
                                          const struct oracle_rule *rule,
                                          const struct oracle_key *key)
{
    const struct wire_matches *last = NULL, *with_sample = NULL;

    for (size_t i = 0; i < record->n_matches; i++) {
        const struct wire_matches *m = &record->matches[i];

        if (m->n_times == 0 || strcmp(m->rule, rule->name) != 0 || !is_of(key, app, rule, m))
            continue;
        last = m;
        with_sample = m->sample.len > 0 ? m : with_sample;
    }
    return with_sample != NULL ? with_sample : last;
}

/* "At most so many groups per (app, rule), the stalest dropped and counted": the stalest key of
 * some app's rule that has too many; SIZE_MAX: none has. */
static size_t group_too_many(const struct oracle *o)
{
    for (size_t i = 0; i < o->n_keys; i++) {
        size_t n = 0, stalest = i;

        for (size_t j = 0; j < o->n_keys; j++) {
            if (strcmp(o->keys[i].app, o->keys[j].app) != 0 ||
                strcmp(o->keys[i].rule, o->keys[j].rule) != 0)
                continue;
            n++;
            stalest = o->keys[j].touched < o->keys[stalest].touched ? j : stalest;
        }
        if (n > o->limits.groups)
            return stalest;
    }
    return SIZE_MAX;
}

static size_t times_held(const struct oracle *o)
{
    size_t times = 0;
    int64_t unused[2];

    for (size_t i = 0; i < o->n_keys; i++)
        times += oracle_key_times(&o->keys[i], &unused[0], &unused[1]);
    return times;
}

/* Keys or distinct times of an app's rule. */
static size_t size_of(const struct oracle *o, const char *app, const char *rule, bool by_keys)
{
    size_t size = 0;
    int64_t unused[2];

    for (size_t i = 0; i < o->n_keys; i++) {
        if (strcmp(o->keys[i].app, app) == 0 && strcmp(o->keys[i].rule, rule) == 0)
            size += by_keys ? 1 : oracle_key_times(&o->keys[i], &unused[0], &unused[1]);
    }
    return size;
}

/* A key of the app's rule that holds the most; "of equal ones the first by app and rule". */
static size_t largest(const struct oracle *o, bool by_keys)
{
    size_t best = 0, most = 0;

    for (size_t i = 0; i < o->n_keys; i++) {
        const struct oracle_key *key = &o->keys[i];
        const size_t size = size_of(o, key->app, key->rule, by_keys);
        int order = strcmp(key->app, o->keys[best].app);

        order = order == 0 ? strcmp(key->rule, o->keys[best].rule) : order;
        if (size > most || (size == most && order < 0)) {
            best = i;
            most = size;
        }
    }
    return best;
}

/* "Drops a sixteenth of the family that has most, the stalest keys first." */
static void shrink(struct oracle *o, bool by_keys)
{
    char app[ORACLE_NAME], rule[ORACLE_NAME];
    size_t family = largest(o, by_keys), size;

    strcpy(app, o->keys[family].app);
    strcpy(rule, o->keys[family].rule);
    size = size_of(o, app, rule, by_keys);
    size -= 1 + size / 16;
    do {
        size_t stalest = SIZE_MAX;

        for (size_t i = 0; i < o->n_keys; i++) {
            if (strcmp(o->keys[i].app, app) == 0 && strcmp(o->keys[i].rule, rule) == 0 &&
                (stalest == SIZE_MAX || o->keys[i].touched < o->keys[stalest].touched))
                stalest = i;
        }
        drop_key(o, stalest);
        o->counts.keys_dropped++;
    } while (o->n_keys > 1 && size_of(o, app, rule, by_keys) > size);
}

static void keep_bounds(struct oracle *o)
{
    size_t group;

    while ((group = group_too_many(o)) != SIZE_MAX) {
        drop_key(o, group);
        o->counts.groups_dropped++;
    }
    while (o->n_keys > o->limits.keys || (o->n_keys > 1 && times_held(o) > o->limits.times))
        shrink(o, o->n_keys > o->limits.keys);
}

static void forget_marks(struct oracle *o)
{
    for (size_t i = 0; i < o->n_keys; i++) {
        o->keys[i].judged = false;
        for (size_t j = 0; j < o->keys[i].n; j++)
            o->keys[i].matches[j].fresh = false;
    }
}

static void put_all_in(struct oracle *o, const char *app, const struct wire_record *record)
{
    for (size_t i = 0; i < record->n_matches; i++) {
        const struct wire_matches *m = &record->matches[i];
        const struct oracle_rule *rule = find_rule(&o->rules, m->rule);
        struct oracle_key *key;

        if (rule == NULL)
            o->counts.unknown_rule += m->n_times;
        else if (!takes(rule, app))
            o->counts.filtered += m->n_times;
        if (rule == NULL || !takes(rule, app) || m->n_times == 0)
            continue;
        key = touch(o, app, rule, m);
        key->touched = ++o->touches;
        put_in(o, key, m, received(o, record));
    }
}

static void judge_all(struct oracle *o, const char *app, const struct wire_record *record)
{
    for (size_t i = 0; i < record->n_matches; i++) {
        const struct wire_matches *m = &record->matches[i];
        const struct oracle_rule *rule = find_rule(&o->rules, m->rule);
        struct oracle_key *key;

        if (rule == NULL || !takes(rule, app) || m->n_times == 0 ||
            (key = touch(o, app, rule, m))->judged)
            continue;
        key->judged = true;
        o->counts.too_late += oracle_key_keep_young(key, rule);
        for (size_t j = 0; j < key->n; j++)
            o->counts.matches += key->matches[j].fresh;
        oracle_key_merge(key, o->limits.key_times);
        judge(o, key, rule, app, line_of(record, app, rule, key));
    }
}

/* "A record's matches are all put in first; then each key that they touched is judged once." A loss
 * "is set before the record's own matches are judged". */
const struct oracle_alert *oracle_step(struct oracle *o, const struct wire_record *record,
                                       int64_t step_us, size_t *n)
{
    const char *app;

    assert(record->n_matches <= ORACLE_MATCHES);
    begin_step(o);
    tell_due(o, step_us);
    *n = o->n_alerts;
    o->step_us = step_us > o->step_us ? step_us : o->step_us;
    if (oracle_repeats_repeat(&o->frames, record->drain, record->frame_id, o->step_us,
                              &o->limits)) {
        o->counts.repeats++;
        return o->alerts;
    }
    app = app_of(o, record->drain);
    if (record->lost > 0)
        mark_loss(o, app, record);
    forget_marks(o);
    put_all_in(o, app, record);
    judge_all(o, app, record);
    keep_bounds(o);
    *n = o->n_alerts;
    return o->alerts;
}

const struct oracle_alert *oracle_cooled(const struct oracle *o, size_t *n)
{
    *n = o->n_cooled;
    return o->cooled;
}

struct oracle_counts oracle_counts(const struct oracle *o)
{
    struct oracle_counts counts = o->counts;

    counts.keys = o->n_keys;
    counts.times = times_held(o);
    return counts;
}
