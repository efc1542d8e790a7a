/* The engine against the oracle, in virtual time: random rules, random streams, random bounds.
 *
 *     sim_engine [seeds] [first-seed]
 *
 * Several engines run side by side. The first was made at the start; the others were loaded from
 * snapshots of one another at random points. After each step all must have decided what the oracle
 * decided, and at the end all must save the same bytes. On a difference the seed and the step are
 * printed, and `sim_engine 1 SEED` repeats it. */
#include "common/time.h"
#include "tests/sim/oracle.h"

#include <assert.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    DEFAULT_SEEDS = 2000,
    STEPS_MAX = 160,
    GROUPS_MAX = 5,
    TIMES_MAX = 12,
    TWINS_MAX = 4,
    DRAINS = 5,
    APPS = 3,
    RULE_NAMES = 5,
    IDS_KEPT = 12,
    TEXT_MAX = 8192,
    SNAPSHOT_MAX = 1 << 20,
};

#define START_US INT64_C(1778141172000000) /* 2026-05-07T08:06:12Z */

struct sim {
    uint64_t seed;
    uint64_t random;
    int step;
    int64_t grain_us; /* of all times, so that bounds are often met exactly */
    int64_t now_us;
    struct engine_limits limits;
    struct oracle_rule rules[ORACLE_RULES];
    size_t n_rules;
    const char *app; /* of every drain, until a reload gives them another; keys of both stay */
    struct engine *twins[TWINS_MAX];
    size_t n_twins;
    struct oracle *oracle;
    char ids[IDS_KEPT][ORACLE_NAME]; /* Frame-Ids of late */
    uint64_t n_ids;
    uint64_t alerts; /* of all seeds, as is what follows: a run that met nothing proves nothing */
    uint64_t repeats, late, about, dropped, loads, reloads, suppressed;
};

/* A record with room for what it points to. */
struct made {
    struct wire_record record;
    struct wire_matches groups[GROUPS_MAX];
    int64_t times[GROUPS_MAX][TIMES_MAX];
    char samples[GROUPS_MAX][ORACLE_NAME];
    char frame_id[ORACLE_NAME];
};

static const char *const DRAIN_NAMES[DRAINS] = {"d.zero", "d.one", "d.two", "d.three", "elsewhere"};
static const char *const APP_NAMES[APPS] = {"alpha", "beta", "gamma"};
static const char *const NAMES[RULE_NAMES] = {"r0", "r1", "r2", "r3", "r4"};

/* splitmix64: the whole state is one number, which the seed is. */
static uint64_t draw(struct sim *s)
{
    uint64_t z = s->random += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static uint64_t below(struct sim *s, uint64_t n)
{
    return draw(s) % n;
}

static bool chance(struct sim *s, uint64_t percent)
{
    return below(s, 100) < percent;
}

/* A distance of up to `us`, on the grain. */
static int64_t distance(struct sim *s, int64_t us)
{
    return (int64_t)below(s, (uint64_t)(us / s->grain_us) + 1) * s->grain_us;
}

static _Noreturn void differ(const struct sim *s, const char *what)
{
    fprintf(stderr, "sim_engine: seed %" PRIu64 ", step %d: %s\n", s->seed, s->step, what);
    exit(1);
}

static void expect(const struct sim *s, bool holds, const char *what)
{
    if (!holds)
        differ(s, what);
}

/* The rules. */

static void make_rule(struct sim *s, struct oracle_rule *rule, const char *name)
{
    static const int64_t WITHIN[] = {TIME_S,      TIME_S + TIME_MS, 7 * TIME_S,
                                     TIME_MINUTE, 5 * TIME_MINUTE,  2 * TIME_HOUR};
    static const int64_t COOLDOWN[] = {TIME_S, 30 * TIME_S, 5 * TIME_MINUTE, TIME_HOUR};

    snprintf(rule->name, sizeof rule->name, "%s", name);
    rule->matching = (int)below(s, 3);
    rule->more_than = 1 + (chance(s, 80) ? below(s, 4) : below(s, 30));
    rule->within_us = WITHIN[below(s, sizeof WITHIN / sizeof *WITHIN)];
    rule->cooldown_us = COOLDOWN[below(s, sizeof COOLDOWN / sizeof *COOLDOWN)];
}

/* Each rule stays, changes its numbers, changes its matching, goes, or comes (back). */
static void change_rules(struct sim *s)
{
    struct oracle_rule old[ORACLE_RULES];
    size_t n_old = s->n_rules;

    memcpy(old, s->rules, sizeof old);
    s->n_rules = 0;
    for (size_t name = 0; name < RULE_NAMES; name++) {
        struct oracle_rule rule;
        bool known = false;

        make_rule(s, &rule, NAMES[name]);
        for (size_t i = 0; i < n_old; i++) {
            if (strcmp(old[i].name, NAMES[name]) != 0)
                continue;
            known = true;
            if (chance(s, 40))
                rule = old[i];
            else if (chance(s, 70))
                rule.matching = old[i].matching;
        }
        if (chance(s, known ? 85 : 55))
            s->rules[s->n_rules++] = rule;
    }
    if (chance(s, 40))
        s->app = APP_NAMES[below(s, APPS)];
    if (s->n_rules == 0)
        make_rule(s, &s->rules[s->n_rules++], NAMES[0]);
}

static size_t write_rules(const struct sim *s, char text[TEXT_MAX])
{
    int n = snprintf(text, TEXT_MAX, "app: %s\nslack:\n  channel: C0\nrules:\n", s->app);

    for (size_t i = 0; i < s->n_rules; i++) {
        const struct oracle_rule *rule = &s->rules[i];

        n += snprintf(text + n, (size_t)(TEXT_MAX - n),
                      "  - name: %s\n    title: Title of %s\n    source: heroku\n"
                      "    match: 'lines of kind %d'\n    more_than: %" PRIu64 "\n"
                      "    within: %" PRId64 "ms\n    cooldown: %" PRId64 "ms\n",
                      rule->name, rule->name, rule->matching, rule->more_than,
                      rule->within_us / TIME_MS, rule->cooldown_us / TIME_MS);
        assert(n < TEXT_MAX);
    }
    return (size_t)n;
}

static void put_rules_in_force(struct sim *s)
{
    char text[TEXT_MAX];
    size_t n = write_rules(s, text);
    struct err err;

    for (size_t i = 0; i < s->n_twins; i++) {
        if (engine_set_rules(s->twins[i], text, n, &err) != 0)
            differ(s, err.text);
    }
    oracle_set_rules(s->oracle, s->rules, s->n_rules);
    s->reloads++;
}

/* The stream. */

static void advance(struct sim *s)
{
    const struct oracle_rule *rule = &s->rules[below(s, s->n_rules)];
    uint64_t kind = below(s, 100);

    if (kind < 30)
        return; /* time stands still */
    if (kind < 80)
        s->now_us += distance(s, 4 * TIME_S) + (int64_t)below(s, 2) * s->grain_us;
    else if (kind < 92)
        s->now_us += rule->cooldown_us;
    else if (kind < 98)
        s->now_us += distance(s, rule->within_us);
    else
        s->now_us += distance(s, 3 * TIME_HOUR);
}

static int64_t make_time(struct sim *s, int64_t received_us)
{
    const struct oracle_rule *rule = &s->rules[below(s, s->n_rules)];
    uint64_t kind = below(s, 100);
    int64_t sign = chance(s, 50) ? 1 : -1;

    if (kind < 60)
        return received_us - distance(s, 3 * s->grain_us);
    if (kind < 75)
        return received_us - distance(s, 2 * rule->within_us);
    if (kind < 85)
        return received_us - rule->within_us;
    if (kind < 90)
        return received_us + sign * ENGINE_SKEW_MAX_US;
    if (kind < 94)
        return received_us + sign * (ENGINE_SKEW_MAX_US + 1);
    if (kind < 99)
        return received_us + sign * distance(s, ENGINE_SKEW_MAX_US);
    return (int64_t)draw(s) / 4;
}

static int64_t make_received(struct sim *s)
{
    uint64_t kind = below(s, 100);

    if (kind < 75)
        return s->now_us;
    if (kind < 88)
        return s->now_us - distance(s, 10 * TIME_MINUTE);
    if (kind < 96)
        return s->now_us - distance(s, 4 * TIME_HOUR);
    if (kind < 98)
        return s->now_us + distance(s, 5 * TIME_S);
    return s->now_us + distance(s, 2 * TIME_DAY); /* an ingest whose clock is wrong */
}

static void make_group(struct sim *s, struct made *m, size_t i)
{
    static const char *const PROCESSES[] = {"router", "web.1", "web.2"};
    struct wire_matches *group = &m->groups[i];

    *group = (struct wire_matches){
        .rule = chance(s, 3) ? "stranger" : NAMES[below(s, RULE_NAMES)],
        .source = chance(s, 50) ? "heroku" : "app",
        .process = PROCESSES[below(s, 3)],
        .times_us = m->times[i],
        .n_times = chance(s, 5) ? below(s, TIMES_MAX + 1) : below(s, 4),
    };
    for (size_t t = 0; t < group->n_times; t++)
        m->times[i][t] = make_time(s, chance(s, 80) ? m->record.received_us : s->now_us);
    if (chance(s, 80)) {
        int n = snprintf(m->samples[i], ORACLE_NAME, "line %d of %d", (int)i, s->step);

        group->sample = (struct wire_bytes){(const uint8_t *)m->samples[i], (size_t)n};
    }
}

static void make_frame_id(struct sim *s, char id[ORACLE_NAME])
{
    if (chance(s, 30)) {
        id[0] = 0;
    } else if (s->n_ids > 0 && chance(s, 25)) {
        strcpy(id, s->ids[below(s, s->n_ids < IDS_KEPT ? s->n_ids : IDS_KEPT)]);
    } else {
        snprintf(id, ORACLE_NAME, "frame-%" PRIu64, s->n_ids);
        strcpy(s->ids[s->n_ids++ % IDS_KEPT], id);
    }
}

static void make_record(struct sim *s, struct made *m)
{
    make_frame_id(s, m->frame_id);
    m->record = (struct wire_record){
        .received_us = make_received(s),
        .drain = DRAIN_NAMES[below(s, chance(s, 70) ? 2 : DRAINS)],
        .frame_id = m->frame_id,
        .matches = m->groups,
        .n_matches = (size_t)below(s, GROUPS_MAX + 1),
    };
    for (size_t i = 0; i < m->record.n_matches; i++)
        make_group(s, m, i);
}

/* The comparison. */

static void compare_alert(const struct sim *s, const struct wire_alert *is,
                          const struct oracle_alert *want)
{
    expect(s, strcmp(is->kind, "breach") == 0 && is->n_group == 0 && !is->at_least, "kind");
    expect(s, strcmp(is->rule, want->rule->name) == 0, "rule");
    expect(s, strcmp(is->app, want->app) == 0, "app");
    expect(s, is->at_us == want->at_us, "at");
    expect(s, is->count == want->count, "count");
    expect(s, is->about == want->about, "about");
    expect(s, is->suppressed == want->suppressed, "suppressed");
    expect(s, is->first_us == want->first_us, "first");
    expect(s, is->last_us == want->last_us, "last");
    expect(s, is->window_us == want->rule->within_us, "window");
    expect(s, is->threshold == want->rule->more_than, "threshold");
    expect(s, strncmp(is->title, "Title of ", 9) == 0 && strcmp(is->title + 9, is->rule) == 0,
           "title");
    expect(s, strcmp(is->channel, "C0") == 0 && is->runbook[0] == 0, "channel");
    expect(s,
           is->source == want->shown->source && is->process == want->shown->process &&
               is->sample.data == want->shown->sample.data &&
               is->sample.len == want->shown->sample.len,
           "sample");
}

static void compare_counts(const struct sim *s, const struct engine *e)
{
    struct engine_counts is = engine_counts(e);
    struct oracle_counts want = oracle_counts(s->oracle);

    expect(s, is.repeats == want.repeats, "count of repeats");
    expect(s, is.matches == want.matches, "count of matches");
    expect(s, is.too_late == want.too_late, "count of matches that came too late");
    expect(s, is.unknown_rule == want.unknown_rule, "count of matches of unknown rules");
    expect(s, is.alerts == want.alerts, "count of alerts");
    expect(s, is.keys == want.keys, "number of keys");
    expect(s, is.keys_dropped == want.keys_dropped, "count of keys dropped");
}

static void step(struct sim *s)
{
    const struct oracle_alert *want;
    char ids[ORACLE_RULES][WIRE_ID_SIZE];
    struct made m;
    size_t n;
    int64_t at_us;

    advance(s);
    make_record(s, &m);
    at_us = chance(s, 3) ? s->now_us - distance(s, TIME_MINUTE) : s->now_us;
    want = oracle_step(s->oracle, s->app, &m.record, at_us, &n);
    for (size_t i = 0; i < s->n_twins; i++) {
        struct engine_alerts is;

        expect(s, engine_step(s->twins[i], &m.record, at_us, &is) == 0, "no memory");
        expect(s, is.n == n, "number of alerts");
        for (size_t a = 0; a < n; a++) {
            compare_alert(s, &is.alerts[a], &want[a]);
            if (i == 0)
                memcpy(ids[a], is.alerts[a].id, WIRE_ID_SIZE);
            expect(s, strlen(ids[a]) == 16 && strcmp(ids[a], is.alerts[a].id) == 0, "id");
        }
        compare_counts(s, s->twins[i]);
    }
    for (size_t a = 0; a < n; a++) {
        s->about += want[a].about;
        s->suppressed += want[a].suppressed > 0;
    }
}

static void save(const struct sim *s, const struct engine *e, struct buf *out)
{
    buf_init(out, SNAPSHOT_MAX);
    expect(s, engine_save(e, out) == 0, "cannot save");
}

/* Makes or replaces a twin by one loaded from a snapshot of any; the first one stays. */
static void load_a_twin(struct sim *s)
{
    struct engine *from = s->twins[below(s, s->n_twins)], *loaded;
    struct buf bytes, again;
    struct err err;
    size_t place;

    save(s, from, &bytes);
    if (engine_load(&loaded, bytes.data, bytes.len, &err) != 0)
        differ(s, err.text);
    engine_set_limits(loaded, &s->limits);
    save(s, loaded, &again);
    expect(s, bytes.len == again.len && memcmp(bytes.data, again.data, bytes.len) == 0,
           "a loaded engine saves other bytes");
    buf_close(&again);
    buf_close(&bytes);
    if (s->n_twins < TWINS_MAX) {
        s->twins[s->n_twins++] = loaded;
    } else {
        place = 1 + (size_t)below(s, TWINS_MAX - 1);
        engine_free(s->twins[place]);
        s->twins[place] = loaded;
    }
    s->loads++;
}

static void compare_states(const struct sim *s)
{
    struct buf first, other;

    save(s, s->twins[0], &first);
    for (size_t i = 1; i < s->n_twins; i++) {
        save(s, s->twins[i], &other);
        expect(s, first.len == other.len && memcmp(first.data, other.data, first.len) == 0,
               "a fold from a snapshot ends in another state");
        buf_close(&other);
    }
    buf_close(&first);
}

/* The runs. */

static struct engine_limits make_limits(struct sim *s)
{
    struct engine_limits wide = {.keys = 1000,
                                 .key_times = 1000,
                                 .times = 100000,
                                 .frames_per_drain = 1000,
                                 .drains = 100,
                                 .frames = 10000};
    struct engine_limits tight = {.keys = 1 + below(s, 8),
                                  .key_times = 1 + below(s, 12),
                                  .times = 10 + below(s, 60),
                                  .frames_per_drain = 1 + below(s, 9),
                                  .drains = 1 + below(s, 4),
                                  .frames = 9 + below(s, 20)};

    return chance(s, 50) ? wide : tight;
}

static void open_run(struct sim *s, uint64_t seed)
{
    static const int64_t GRAINS[] = {1, TIME_MS, TIME_S, 30 * TIME_S};

    s->seed = s->random = seed;
    s->step = 0;
    s->n_rules = 0;
    s->app = APP_NAMES[0];
    s->n_ids = 0;
    s->grain_us = GRAINS[below(s, 4)];
    s->now_us = START_US;
    s->limits = make_limits(s);
    s->oracle = oracle_new(&s->limits);
    s->twins[0] = engine_new();
    s->n_twins = 1;
    expect(s, s->twins[0] != NULL, "no memory");
    engine_set_limits(s->twins[0], &s->limits);
    change_rules(s);
    put_rules_in_force(s);
}

static void close_run(struct sim *s)
{
    struct oracle_counts counts = oracle_counts(s->oracle);

    s->alerts += counts.alerts;
    s->repeats += counts.repeats;
    s->late += counts.too_late;
    s->dropped += counts.keys_dropped;
    for (size_t i = 0; i < s->n_twins; i++)
        engine_free(s->twins[i]);
    oracle_free(s->oracle);
}

static void run(struct sim *s, uint64_t seed)
{
    int steps;

    open_run(s, seed);
    steps = 20 + (int)below(s, STEPS_MAX - 20);
    for (s->step = 1; s->step <= steps; s->step++) {
        if (chance(s, 3)) {
            change_rules(s);
            put_rules_in_force(s);
        }
        if (chance(s, 6))
            load_a_twin(s);
        step(s);
    }
    compare_states(s);
    close_run(s);
}

int main(int argc, char **argv)
{
    uint64_t seeds = argc > 1 ? strtoull(argv[1], NULL, 10) : DEFAULT_SEEDS;
    uint64_t first = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    struct sim s = {0};

    for (uint64_t i = 0; i < seeds; i++)
        run(&s, first + i);
    printf("%" PRIu64 " seeds: %" PRIu64 " alerts (%" PRIu64 " about, %" PRIu64
           " after suppressed ones), %" PRIu64 " repeats, %" PRIu64 " too late, %" PRIu64
           " keys dropped, %" PRIu64 " reloads, %" PRIu64 " loads\n",
           seeds, s.alerts, s.about, s.suppressed, s.repeats, s.late, s.dropped, s.reloads,
           s.loads);
    if (seeds >= 100 && (s.alerts == 0 || s.about == 0 || s.suppressed == 0 || s.repeats == 0 ||
                         s.late == 0 || s.dropped == 0 || s.loads == 0)) {
        fprintf(stderr, "sim_engine: these seeds leave something untried\n");
        return 1;
    }
    return 0;
}
