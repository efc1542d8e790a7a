/* The engine against the oracle, in virtual time: random rules, random streams, random bounds.
 *
 *     sim_engine [seeds] [first-seed]
 *
 * Several engines run side by side. The first was made at the start; the others were loaded from
 * snapshots of one another at random points. After each step all must have decided what the oracle
 * decided, and at the end all must save the same bytes. On a difference the seed and the step are
 * printed, and `sim_engine 1 SEED` repeats it. */
#include "common/base/hash.h"
#include "tests/sim/stream.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    DEFAULT_SEEDS = 25000,
    STEPS_MAX = 160,
    TWINS_MAX = 4,
    SNAPSHOT_MAX = 1 << 20,
};

/* What all seeds met: a run that met nothing proves nothing. */
struct met {
    uint64_t steps, loads, reloads, alerts, about, suppressed, arrived_late, at_least,
        exact_after_loss, grouped, repeats, late, skewed, cooled, keys_dropped, groups_dropped,
        apps_dropped, losses, filtered, unlisted, withheld, digests, of_storms, of_apps, again, cut,
        ticks, at_reloads;
};

struct sim {
    uint64_t seed;
    int step;
    struct stream stream;
    struct engine_limits limits;
    struct engine *twins[TWINS_MAX];
    size_t n_twins;
    struct oracle *oracle;
    struct met met;
};

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

/* The comparison. */

static void compare_group(const struct sim *s, const struct wire_group *group, size_t n,
                          const struct oracle_rule *rule, const char *const *values)
{
    expect(s, n == rule->n_group_by, "size of the group");
    for (size_t i = 0; i < n; i++) {
        expect(s, strcmp(group[i].key, rule->group_by[i]) == 0, "group's key");
        expect(s, strcmp(group[i].value, values[i]) == 0, "group's value");
    }
}

static void compare_digest(const struct sim *s, const struct wire_alert *is,
                           const struct oracle_alert *want)
{
    expect(s, is->n_group == 0 && is->sample.len == 0, "a digest is of no group");
    expect(s, is->withheld == want->withheld, "alerts of a digest");
    expect(s, is->groups == want->groups, "groups of a digest");
    expect(s, is->apps == want->apps, "apps of a digest");
    expect(s, is->period_us == want->period_us, "period of a digest");
    expect(s, is->n_by_app == want->n_by_app, "number of apps named");
    for (size_t i = 0; i < want->n_by_app; i++) {
        expect(s, strcmp(is->by_app[i].app, want->by_app[i].app) == 0, "app with withheld alerts");
        expect(s, is->by_app[i].alerts == want->by_app[i].alerts, "its withheld alerts");
    }
    expect(s, is->n_worst == want->n_worst, "number of the worst");
    for (size_t i = 0; i < want->n_worst; i++) {
        expect(s, strcmp(is->worst[i].app, want->worst[i].app) == 0, "app of the worst");
        expect(s, is->worst[i].count == want->worst[i].count, "count of the worst");
        compare_group(s, is->worst[i].group, is->worst[i].n_group, want->rule,
                      want->worst[i].values);
    }
}

static void compare_line(const struct sim *s, const struct wire_alert *is,
                         const struct oracle_alert *want)
{
    struct wire_bytes sample = {0};

    if (want->rule->sample)
        sample = want->shown->sample;
    expect(s, is->source == want->shown->source && is->process == want->shown->process, "source");
    expect(s, is->sample.data == sample.data && is->sample.len == sample.len, "sample");
}

static void compare_alert(const struct sim *s, const struct wire_alert *is,
                          const struct oracle_alert *want)
{
    expect(s, strcmp(is->kind, want->n_worst > 0 ? "digest" : "breach") == 0, "kind");
    expect(s, strcmp(is->rule, want->rule->name) == 0, "rule");
    expect(s, strcmp(is->app, want->app) == 0, "app");
    expect(s, is->at_us == want->at_us, "at");
    expect(s, is->count == want->count, "count");
    expect(s, is->at_least == want->at_least, "at least");
    expect(s, is->about == want->about, "about");
    expect(s, is->arrived_late == want->arrived_late, "arrived late");
    expect(s, is->suppressed == want->suppressed, "suppressed");
    expect(s, is->first_us == want->first_us, "first");
    expect(s, is->last_us == want->last_us, "last");
    expect(s, is->window_us == want->rule->within_us, "window");
    expect(s, is->threshold == want->rule->more_than, "threshold");
    expect(s, strncmp(is->title, "Title of ", 9) == 0 && strcmp(is->title + 9, is->rule) == 0,
           "title");
    expect(s, strcmp(is->channel, "C0") == 0 && is->runbook[0] == 0, "channel");
    if (want->n_worst > 0) {
        compare_digest(s, is, want);
        return;
    }
    compare_group(s, is->group, is->n_group, want->rule, want->values);
    compare_line(s, is, want);
}

static void compare_cooled(const struct sim *s, const struct engine_outcomes *is)
{
    size_t n;
    const struct oracle_alert *want = oracle_cooled(s->oracle, &n);

    expect(s, is->n_cooled == n, "number of breaches reported within a cooldown");
    for (size_t i = 0; i < n; i++) {
        const struct engine_cooled *c = &is->cooled[i];

        expect(s, strcmp(c->rule, want[i].rule->name) == 0, "rule in its cooldown");
        expect(s, strcmp(c->app, want[i].app) == 0, "app in its cooldown");
        compare_group(s, c->group, c->n_group, want[i].rule, want[i].values);
        expect(s, c->until_us == want[i].at_us, "end of the cooldown");
    }
}

static void compare_counts(const struct sim *s, const struct engine *e,
                           const struct oracle_counts *want)
{
    struct engine_counts is = engine_counts(e);

    expect(s, is.records == (uint64_t)s->step, "count of records");
    expect(s, is.repeats == want->repeats, "count of repeats");
    expect(s, is.matches == want->matches, "count of matches");
    expect(s, is.too_late == want->too_late, "count of matches that came too late");
    expect(s, is.skewed == want->skewed, "count of matches at another time than their own");
    expect(s, is.unknown_rule == want->unknown_rule, "count of matches of unknown rules");
    expect(s, is.alerts == want->alerts, "count of alerts");
    expect(s, is.cooled == want->cooled, "count of breaches in a cooldown");
    expect(s, is.keys == want->keys, "number of keys");
    expect(s, is.times == want->times, "number of times");
    expect(s, is.keys_dropped == want->keys_dropped, "count of keys dropped");
    expect(s, is.groups_dropped == want->groups_dropped, "count of groups dropped");
    expect(s, is.losses == want->losses, "count of losses");
    expect(s, is.withheld == want->withheld, "count of alerts withheld");
    expect(s, is.digests == want->digests, "count of digests");
}

static void note(struct met *met, const struct oracle_alert *alert, bool lost_before)
{
    met->about += alert->about;
    met->suppressed += alert->suppressed > 0;
    met->arrived_late += alert->arrived_late;
    met->at_least += alert->at_least;
    met->exact_after_loss += lost_before && !alert->at_least;
    met->grouped += alert->rule->n_group_by > 0;
    met->of_storms += alert->in_storm;
    met->of_apps += alert->n_worst > 0 && alert->app[0] == '\0';
    met->again += alert->withheld > alert->groups;
    met->cut += alert->groups > alert->n_worst;
}

/* Feeds an event to all twins; each must decide what the oracle did. */
static void feed(struct sim *s, const struct engine_event *event, const struct oracle_alert *want,
                 size_t n)
{
    struct oracle_counts counts = oracle_counts(s->oracle);
    char ids[ORACLE_ALERTS][WIRE_ID_SIZE];

    for (size_t i = 0; i < s->n_twins; i++) {
        struct engine_outcomes is;
        struct err err;

        if (engine_step(s->twins[i], event, &is, &err) != 0)
            differ(s, err.text);
        expect(s, is.n_alerts == n, "number of alerts");
        for (size_t a = 0; a < n; a++) {
            compare_alert(s, &is.alerts[a], &want[a]);
            if (i == 0)
                memcpy(ids[a], is.alerts[a].id, WIRE_ID_SIZE);
            expect(s, strlen(ids[a]) == 16 && strcmp(ids[a], is.alerts[a].id) == 0, "id");
            for (size_t b = 0; b < a; b++)
                expect(s, strcmp(ids[a], ids[b]) != 0, "two alerts have one id");
        }
        compare_cooled(s, &is);
        compare_counts(s, s->twins[i], &counts);
        expect(s, engine_next_us(s->twins[i]) == oracle_next_us(s->oracle), "time of the next");
    }
    for (size_t a = 0; a < n; a++)
        note(&s->met, &want[a], counts.losses > 0);
}

static void reload(struct sim *s)
{
    const int64_t at_us = stream_chance(&s->stream, 50) ? s->stream.now_us : 0;
    const struct oracle_alert *want;
    struct engine_event event;
    char text[STREAM_TEXT];
    size_t n;

    stream_change_rules(&s->stream);
    n = stream_write_rules(&s->stream, text);
    event = engine_rules_event(text, n, at_us);
    want = oracle_set_rules(s->oracle, &s->stream.rules, at_us, &n);
    feed(s, &event, want, n);
    s->met.at_reloads += n;
    s->met.reloads++;
}

static void tick(struct sim *s, int64_t at_us)
{
    const struct engine_event event = engine_tick_event(at_us);
    size_t n;
    const struct oracle_alert *want = oracle_tick(s->oracle, at_us, &n);

    feed(s, &event, want, n);
    s->met.ticks++;
}

/* Ticks at their time, too early, late, or not at all: then the next record acts for them. */
static void tick_until(struct sim *s, int64_t until_us)
{
    int64_t due_us;

    while ((due_us = oracle_next_us(s->oracle)) <= until_us && stream_chance(&s->stream, 60)) {
        if (stream_chance(&s->stream, 20))
            tick(s, due_us - 1);
        if (stream_chance(&s->stream, 30))
            due_us += (int64_t)stream_below(&s->stream, (uint64_t)(until_us - due_us) + 1);
        tick(s, due_us);
    }
}

static void step(struct sim *s)
{
    const struct oracle_alert *want;
    struct engine_event event;
    struct stream_record r;
    size_t n;

    stream_next(&s->stream, &r);
    tick_until(s, r.step_us);
    s->step++;
    event = engine_record_event(&r.record, r.step_us);
    want = oracle_step(s->oracle, &r.record, r.step_us, &n);
    feed(s, &event, want, n);
}

/* Tells the digests that still wait. */
static void finish(struct sim *s)
{
    while (oracle_next_us(s->oracle) != INT64_MAX)
        tick(s, oracle_next_us(s->oracle));
}

static void save(const struct sim *s, const struct engine *e, struct buf *out)
{
    buf_init(out, SNAPSHOT_MAX);
    expect(s, engine_save(e, out) == 0, "cannot save");
}

/* Makes or replaces a twin by one loaded from a snapshot of any; the first one stays. */
static void load_a_twin(struct sim *s)
{
    struct engine *from = s->twins[stream_below(&s->stream, s->n_twins)], *loaded;
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
        place = 1 + (size_t)stream_below(&s->stream, TWINS_MAX - 1);
        engine_free(s->twins[place]);
        s->twins[place] = loaded;
    }
    s->met.loads++;
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

static struct engine_limits make_limits(struct stream *s)
{
    struct engine_limits wide = {.keys = 1000,
                                 .groups = 100,
                                 .apps = 100,
                                 .key_times = 1000,
                                 .times = 100000,
                                 .frames_per_drain = 1000,
                                 .drains = 100,
                                 .frames = 10000};
    struct engine_limits tight = {.keys = 1 + stream_below(s, 20),
                                  .groups = 1 + stream_below(s, 5),
                                  .apps = 1 + stream_below(s, 3),
                                  .key_times = 1 + stream_below(s, 12),
                                  .times = 10 + stream_below(s, 60),
                                  .frames_per_drain = 1 + stream_below(s, 9),
                                  .drains = 1 + stream_below(s, 4),
                                  .frames = 9 + stream_below(s, 20)};

    if (stream_chance(s, 40))
        return wide;
    if (stream_chance(s, 50)) { /* or the keys' bound would hide the groups' */
        tight.keys = wide.keys;
        tight.times = wide.times;
    }
    return tight;
}

static void open_run(struct sim *s, uint64_t seed)
{
    s->seed = seed;
    s->step = 0;
    stream_open(&s->stream, seed);
    s->limits = make_limits(&s->stream);
    s->oracle = oracle_new(&s->limits);
    hash_set_seed(seed);
    s->twins[0] = engine_new();
    s->n_twins = 1;
    expect(s, s->twins[0] != NULL, "no memory");
    engine_set_limits(s->twins[0], &s->limits);
    reload(s);
}

static void close_run(struct sim *s)
{
    struct oracle_counts counts = oracle_counts(s->oracle);

    s->met.steps += (uint64_t)s->step;
    s->met.alerts += counts.alerts;
    s->met.repeats += counts.repeats;
    s->met.late += counts.too_late;
    s->met.skewed += counts.skewed;
    s->met.cooled += counts.cooled;
    s->met.keys_dropped += counts.keys_dropped;
    s->met.groups_dropped += counts.groups_dropped;
    s->met.apps_dropped += counts.apps_dropped;
    s->met.losses += counts.losses;
    s->met.filtered += counts.filtered;
    s->met.unlisted += counts.unlisted;
    s->met.withheld += counts.withheld;
    s->met.digests += counts.digests;
    for (size_t i = 0; i < s->n_twins; i++)
        engine_free(s->twins[i]);
    oracle_free(s->oracle);
}

/* Short streams are many, long ones get to where bounds are met. */
static int make_steps(struct stream *s)
{
    return 10 + (int)stream_below(s, stream_chance(s, 75) ? 30 : STEPS_MAX - 10);
}

static void run(struct sim *s, uint64_t seed)
{
    int steps;

    open_run(s, seed);
    steps = make_steps(&s->stream);
    while (s->step < steps) {
        if (stream_chance(&s->stream, 3))
            reload(s);
        if (stream_chance(&s->stream, 6))
            load_a_twin(s);
        step(s);
    }
    if (stream_chance(&s->stream, 50))
        finish(s);
    compare_states(s);
    close_run(s);
}

/* Prints all that was met; returns how many of these are none. */
static int print_met(const struct met *met, uint64_t seeds)
{
    const struct {
        const char *name;
        uint64_t n;
    } all[] = {
        {"steps", met->steps},
        {"reloads", met->reloads},
        {"loads", met->loads},
        {"repeats", met->repeats},
        {"matches too late", met->late},
        {"at another time", met->skewed},
        {"of an app left out", met->filtered},
        {"records of an unlisted drain", met->unlisted},
        {"of lost lines", met->losses},
        {"alerts", met->alerts},
        {"of a group", met->grouped},
        {"about", met->about},
        {"after suppressed ones", met->suppressed},
        {"arrived late", met->arrived_late},
        {"at least", met->at_least},
        {"not so after a loss", met->exact_after_loss},
        {"breaches in a cooldown", met->cooled},
        {"keys dropped", met->keys_dropped},
        {"groups dropped", met->groups_dropped},
        {"losses forgotten", met->apps_dropped},
        {"alerts withheld", met->withheld},
        {"digests", met->digests},
        {"of a storm that goes on", met->of_storms},
        {"of several apps", met->of_apps},
        {"of a group twice", met->again},
        {"of more than are named", met->cut},
        {"at a reload", met->at_reloads},
        {"ticks", met->ticks},
    };
    int none = 0;

    printf("%" PRIu64 " seeds", seeds);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        printf(", %" PRIu64 " %s", all[i].n, all[i].name);
        none += all[i].n == 0;
    }
    printf("\n");
    return none;
}

int main(int argc, char **argv)
{
    uint64_t seeds = argc > 1 ? strtoull(argv[1], NULL, 10) : DEFAULT_SEEDS;
    uint64_t first = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    struct sim s = {0};

    for (uint64_t i = 0; i < seeds; i++)
        run(&s, first + i);
    if (print_met(&s.met, seeds) > 0 && seeds >= 1000) {
        fprintf(stderr, "sim_engine: these seeds leave something untried\n");
        return 1;
    }
    return 0;
}
