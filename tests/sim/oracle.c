#include "tests/sim/oracle.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define HOUR_US (INT64_C(3600) * 1000000)

struct match {
    int64_t us;
    bool fresh; /* of the record in hand */
};

struct key {
    char app[ORACLE_NAME];
    char rule[ORACLE_NAME];
    struct match *matches;
    size_t n;
    bool merged;
    int64_t merged_us;
    bool alerted;
    int64_t alerted_us;
    uint64_t since;
    uint64_t touched; /* the number of the touch: the smallest is the stalest */
    bool judged;      /* in the step in hand */
};

struct frame {
    char drain[ORACLE_NAME];
    char id[ORACLE_NAME];
    int64_t step_us;
};

struct oracle {
    struct engine_limits limits;
    struct oracle_rule rules[ORACLE_RULES];
    size_t n_rules;
    struct key *keys;
    size_t n_keys;
    struct frame *frames; /* in the order they were taken */
    size_t n_frames;
    int64_t step_us;
    uint64_t touches;
    struct oracle_alert alerts[ORACLE_RULES];
    size_t n_alerts;
    struct oracle_counts counts;
};

static void *grown(void *items, size_t n, size_t size)
{
    void *more = realloc(items, n * size);

    if (more == NULL)
        abort();
    return more;
}

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
    free(o->keys);
    free(o->frames);
    free(o);
}

static const struct oracle_rule *find_rule(const struct oracle_rule *rules, size_t n,
                                           const char *name)
{
    for (size_t i = 0; i < n; i++) {
        if (strcmp(rules[i].name, name) == 0)
            return &rules[i];
    }
    return NULL;
}

static void drop_key(struct oracle *o, size_t at)
{
    free(o->keys[at].matches);
    o->n_keys--;
    memmove(&o->keys[at], &o->keys[at + 1], (o->n_keys - at) * sizeof *o->keys);
}

/* "A reload keeps windows and cooldowns of a rule whose name and matching are unchanged; others
 * start empty." */
void oracle_set_rules(struct oracle *o, const struct oracle_rule *rules, size_t n)
{
    assert(n <= ORACLE_RULES);
    for (size_t i = o->n_keys; i-- > 0;) {
        const struct oracle_rule *old = find_rule(o->rules, o->n_rules, o->keys[i].rule);
        const struct oracle_rule *next = find_rule(rules, n, o->keys[i].rule);

        if (old == NULL || next == NULL || old->matching != next->matching)
            drop_key(o, i);
    }
    memcpy(o->rules, rules, n * sizeof *rules);
    o->n_rules = n;
}

static void drop_frame(struct oracle *o, size_t at)
{
    o->n_frames--;
    memmove(&o->frames[at], &o->frames[at + 1], (o->n_frames - at) * sizeof *o->frames);
}

static size_t frames_of(const struct oracle *o, const char *drain, int64_t *newest_us,
                        size_t *oldest)
{
    size_t n = 0;

    for (size_t i = 0; i < o->n_frames; i++) {
        if (strcmp(o->frames[i].drain, drain) != 0)
            continue;
        if (n++ == 0)
            *oldest = i;
        *newest_us = o->frames[i].step_us;
    }
    return n;
}

static void drop_drain(struct oracle *o, const char *drain)
{
    char name[ORACLE_NAME];

    strcpy(name, drain);
    for (size_t i = o->n_frames; i-- > 0;) {
        if (strcmp(o->frames[i].drain, name) == 0)
            drop_frame(o, i);
    }
}

/* The drain that was longest without a new frame, other than `but`; NULL: there is none. */
static const char *stalest_drain(const struct oracle *o, const char *but, int64_t *newest_us,
                                 size_t *n_drains)
{
    const char *stalest = NULL;

    *n_drains = 0;
    for (size_t i = 0; i < o->n_frames; i++) {
        bool last = true;

        for (size_t j = i + 1; j < o->n_frames; j++)
            last = last && strcmp(o->frames[i].drain, o->frames[j].drain) != 0;
        if (!last)
            continue;
        (*n_drains)++;
        if (stalest == NULL && strcmp(o->frames[i].drain, but) != 0) {
            stalest = o->frames[i].drain;
            *newest_us = o->frames[i].step_us;
        }
    }
    return stalest;
}

/* "What carries a (drain, Frame-Id) that was taken within the last hour is counted as a repeat and
 * not fed on (bounded per drain; without a Frame-Id nothing is compared)." */
static bool is_repeat(struct oracle *o, const char *drain, const char *id)
{
    struct frame frame = {.step_us = o->step_us};
    const char *stalest;
    int64_t newest_us = 0;
    size_t oldest = 0, n_drains;

    if (id[0] == 0)
        return false;
    for (size_t i = o->n_frames; i-- > 0;) {
        if (strcmp(o->frames[i].drain, drain) == 0 && o->step_us - o->frames[i].step_us >= HOUR_US)
            drop_frame(o, i);
    }
    for (size_t i = 0; i < o->n_frames; i++) {
        if (strcmp(o->frames[i].drain, drain) == 0 && strcmp(o->frames[i].id, id) == 0)
            return true;
    }
    while (frames_of(o, drain, &newest_us, &oldest) >= o->limits.frames_per_drain)
        drop_frame(o, oldest);
    strcpy(frame.drain, drain);
    strcpy(frame.id, id);
    o->frames = grown(o->frames, o->n_frames + 1, sizeof *o->frames);
    o->frames[o->n_frames++] = frame;
    while ((stalest = stalest_drain(o, drain, &newest_us, &n_drains)) != NULL &&
           (n_drains > o->limits.drains || o->n_frames > o->limits.frames ||
            o->step_us - newest_us >= HOUR_US))
        drop_drain(o, stalest);
    return false;
}

static struct key *touch(struct oracle *o, const char *app, const char *rule)
{
    struct key key = {.n = 0};

    for (size_t i = 0; i < o->n_keys; i++) {
        if (strcmp(o->keys[i].app, app) == 0 && strcmp(o->keys[i].rule, rule) == 0)
            return &o->keys[i];
    }
    strcpy(key.app, app);
    strcpy(key.rule, rule);
    o->keys = grown(o->keys, o->n_keys + 1, sizeof *o->keys);
    o->keys[o->n_keys] = key;
    return &o->keys[o->n_keys++];
}

/* "A timestamp that is … more than an hour away from both the receive time and the step time is
 * replaced by the receive time"; "a receive time more than an hour ahead of the step time is
 * replaced by that"; "event times have millisecond grain". */
static int64_t event_time(int64_t us, int64_t received_us, int64_t step_us)
{
    if (received_us > step_us + HOUR_US)
        received_us = step_us;
    if ((us > received_us + HOUR_US || us < received_us - HOUR_US) &&
        (us > step_us + HOUR_US || us < step_us - HOUR_US))
        us = received_us;
    return us / 1000 * 1000;
}

static int64_t newest_of(const struct key *key)
{
    int64_t newest = INT64_MIN;

    for (size_t i = 0; i < key->n; i++)
        newest = key->matches[i].us > newest ? key->matches[i].us : newest;
    return newest;
}

/* "A key keeps what is younger than `within` + 1 h before its newest match (older ones are counted
 * as too late)." The newest may be one of this record. */
static void keep_young(struct oracle *o, struct key *key, const struct oracle_rule *rule)
{
    int64_t newest = newest_of(key);

    for (size_t i = key->n; i-- > 0;) {
        if (key->matches[i].us > newest - rule->within_us - HOUR_US)
            continue;
        o->counts.too_late += key->matches[i].fresh;
        key->n--;
        memmove(&key->matches[i], &key->matches[i + 1], (key->n - i) * sizeof *key->matches);
    }
}

static size_t distinct_times(const struct key *key, int64_t *oldest, int64_t *second)
{
    size_t n = 0;

    *oldest = *second = INT64_MAX;
    for (size_t i = 0; i < key->n; i++) {
        int64_t us = key->matches[i].us;
        bool first = true;

        for (size_t j = 0; j < i; j++)
            first = first && key->matches[j].us != us;
        if (!first)
            continue;
        n++;
        if (us < *oldest) {
            *second = *oldest;
            *oldest = us;
        } else if (us < *second) {
            *second = us;
        }
    }
    return n;
}

/* "Above 65,536 distinct times the two oldest merge into the later of them." */
static void merge_oldest(struct oracle *o, struct key *key)
{
    int64_t oldest, second;

    while (distinct_times(key, &oldest, &second) > o->limits.key_times) {
        for (size_t i = 0; i < key->n; i++) {
            if (key->matches[i].us == oldest)
                key->matches[i].us = second;
        }
        key->merged = true;
        key->merged_us = second;
    }
}

/* The interval (x - within, x]. */
static void try_interval(const struct key *key, const struct oracle_rule *rule, int64_t x,
                         struct oracle_alert *best)
{
    uint64_t count = 0;
    bool has_fresh = false;
    int64_t first = INT64_MAX, last = INT64_MIN;

    for (size_t i = 0; i < key->n; i++) {
        int64_t us = key->matches[i].us;

        if (us > x || us <= x - rule->within_us)
            continue;
        count++;
        has_fresh = has_fresh || key->matches[i].fresh;
        first = us < first ? us : first;
        last = us > last ? us : last;
    }
    if (!has_fresh || count < best->count || (count == best->count && last < best->last_us))
        return;
    best->count = count;
    best->first_us = first;
    best->last_us = last;
    best->about = key->merged && last - rule->within_us < key->merged_us;
}

/* "The key is in breach if some interval that contains one of the new matches holds more than
 * `more_than` matches; the alert's count is the largest such interval's (of several, the latest)."
 * What an interval holds changes only where x passes a match or a match plus `within`. */
static struct oracle_alert largest(const struct key *key, const struct oracle_rule *rule)
{
    struct oracle_alert best = {.rule = rule, .app = key->app, .last_us = INT64_MIN};

    for (size_t i = 0; i < key->n; i++) {
        try_interval(key, rule, key->matches[i].us, &best);
        try_interval(key, rule, key->matches[i].us + rule->within_us - 1, &best);
        try_interval(key, rule, key->matches[i].us + rule->within_us, &best);
    }
    return best;
}

/* "On a breach, unless the key alerted less than `cooldown` ago, one alert is decided.
 * `suppressed` is the number of the key's matches put in after its last alert and before the record
 * that decides this one." */
static void judge(struct oracle *o, struct key *key, const struct oracle_rule *rule,
                  const struct wire_matches *shown)
{
    struct oracle_alert best = largest(key, rule);
    uint64_t fresh = 0;

    for (size_t i = 0; i < key->n; i++)
        fresh += key->matches[i].fresh;
    if (best.count > rule->more_than &&
        (!key->alerted || o->step_us - key->alerted_us >= rule->cooldown_us)) {
        best.at_us = o->step_us;
        best.suppressed = key->since;
        best.shown = shown;
        o->alerts[o->n_alerts++] = best;
        o->counts.alerts++;
        key->alerted = true;
        key->alerted_us = o->step_us;
        key->since = 0;
    } else if (key->alerted) {
        key->since += fresh;
    }
}

static void put_in(struct key *key, const struct wire_matches *matches, int64_t received_us,
                   int64_t step_us)
{
    for (size_t i = 0; i < matches->n_times; i++) {
        struct match m = {event_time(matches->times_us[i], received_us, step_us), true};

        key->matches = grown(key->matches, key->n + 1, sizeof *key->matches);
        key->matches[key->n++] = m;
    }
}

static const struct wire_matches *line_of(const struct wire_record *record, const char *rule)
{
    const struct wire_matches *last = NULL, *with_sample = NULL;

    for (size_t i = 0; i < record->n_matches; i++) {
        const struct wire_matches *m = &record->matches[i];

        if (m->n_times == 0 || strcmp(m->rule, rule) != 0)
            continue;
        last = m;
        with_sample = m->sample.len > 0 ? m : with_sample;
    }
    return with_sample != NULL ? with_sample : last;
}

static void keep_bounds(struct oracle *o)
{
    for (;;) {
        size_t times = 0, stalest = 0;
        int64_t unused[2];

        for (size_t i = 0; i < o->n_keys; i++) {
            times += distinct_times(&o->keys[i], &unused[0], &unused[1]);
            if (o->keys[i].touched < o->keys[stalest].touched)
                stalest = i;
        }
        if (o->n_keys <= o->limits.keys && (o->n_keys <= 1 || times <= o->limits.times))
            return;
        drop_key(o, stalest);
        o->counts.keys_dropped++;
    }
}

static void put_all_in(struct oracle *o, const char *app, const struct wire_record *record)
{
    for (size_t i = 0; i < o->n_keys; i++) {
        o->keys[i].judged = false;
        for (size_t j = 0; j < o->keys[i].n; j++)
            o->keys[i].matches[j].fresh = false;
    }
    for (size_t i = 0; i < record->n_matches; i++) {
        const struct wire_matches *m = &record->matches[i];
        struct key *key;

        if (find_rule(o->rules, o->n_rules, m->rule) == NULL)
            o->counts.unknown_rule += m->n_times;
        if (find_rule(o->rules, o->n_rules, m->rule) == NULL || m->n_times == 0)
            continue;
        key = touch(o, app, m->rule);
        key->touched = ++o->touches;
        put_in(key, m, record->received_us, o->step_us);
    }
}

static void judge_all(struct oracle *o, const char *app, const struct wire_record *record)
{
    for (size_t i = 0; i < record->n_matches; i++) {
        const struct wire_matches *m = &record->matches[i];
        const struct oracle_rule *rule = find_rule(o->rules, o->n_rules, m->rule);
        struct key *key;

        if (rule == NULL || m->n_times == 0 || (key = touch(o, app, m->rule))->judged)
            continue;
        key->judged = true;
        keep_young(o, key, rule);
        for (size_t j = 0; j < key->n; j++)
            o->counts.matches += key->matches[j].fresh;
        merge_oldest(o, key);
        judge(o, key, rule, line_of(record, m->rule));
    }
}

/* "A record's matches are all put in first; then each key that they touched is judged once." */
const struct oracle_alert *oracle_step(struct oracle *o, const char *app,
                                       const struct wire_record *record, int64_t step_us, size_t *n)
{
    o->n_alerts = 0;
    *n = 0;
    o->step_us = step_us > o->step_us ? step_us : o->step_us;
    if (is_repeat(o, record->drain, record->frame_id)) {
        o->counts.repeats++;
        return o->alerts;
    }
    put_all_in(o, app, record);
    judge_all(o, app, record);
    for (size_t i = 0; i < o->n_alerts; i++)
        o->alerts[i].app = app; /* the caller's, for the key may go now */
    keep_bounds(o);
    *n = o->n_alerts;
    return o->alerts;
}

struct oracle_counts oracle_counts(const struct oracle *o)
{
    struct oracle_counts counts = o->counts;

    counts.keys = o->n_keys;
    return counts;
}
