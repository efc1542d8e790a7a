/* The engine against the oracle, in virtual time: random rules, random streams, random bounds.
 *
 *     sim_engine [seeds] [first-seed]
 *
 * Several engines run side by side. The first was made at the start; the others were loaded from
 * snapshots of one another at random points. After each step all must have decided what the oracle
 * decided, and at the end all must save the same bytes. On a difference the seed and the step are
 * printed, and `sim_engine 1 SEED` repeats it. */
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
        apps_dropped, losses, filtered, unlisted;
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

static void reload(struct sim *s)
{
    char text[STREAM_TEXT];
    struct engine_event rules;
    struct engine_outcomes none;
    size_t n;
    struct err err;

    stream_change_rules(&s->stream);
    n = stream_write_rules(&s->stream, text);
    rules = engine_rules_event(text, n, 0);
    for (size_t i = 0; i < s->n_twins; i++) {
        if (engine_step(s->twins[i], &rules, &none, &err) != 0)
            differ(s, err.text);
    }
    oracle_set_rules(s->oracle, &s->stream.rules);
    s->met.reloads++;
}

/* The comparison. */

static void compare_group(const struct sim *s, const struct wire_group *group, size_t n,
                          const struct oracle_alert *want)
{
    expect(s, n == want->rule->n_group_by, "size of the group");
    for (size_t i = 0; i < n; i++) {
        expect(s, strcmp(group[i].key, want->rule->group_by[i]) == 0, "group's key");
        expect(s, strcmp(group[i].value, want->values[i]) == 0, "group's value");
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
    expect(s, strcmp(is->kind, "breach") == 0, "kind");
    expect(s, strcmp(is->rule, want->rule->name) == 0, "rule");
    expect(s, strcmp(is->app, want->app) == 0, "app");
    compare_group(s, is->group, is->n_group, want);
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
        compare_group(s, c->group, c->n_group, &want[i]);
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
}

static void note(struct met *met, const struct oracle_alert *alert, bool lost_before)
{
    met->about += alert->about;
    met->suppressed += alert->suppressed > 0;
    met->arrived_late += alert->arrived_late;
    met->at_least += alert->at_least;
    met->exact_after_loss += lost_before && !alert->at_least;
    met->grouped += alert->rule->n_group_by > 0;
}

static void step(struct sim *s)
{
    const struct oracle_alert *want;
    struct oracle_counts counts;
    char ids[ORACLE_MATCHES][WIRE_ID_SIZE];
    struct engine_event event;
    struct stream_record r;
    size_t n;

    stream_next(&s->stream, &r);
    event = engine_record_event(&r.record, r.step_us);
    want = oracle_step(s->oracle, &r.record, r.step_us, &n);
    counts = oracle_counts(s->oracle);
    for (size_t i = 0; i < s->n_twins; i++) {
        struct engine_outcomes is;
        struct err err;

        expect(s, engine_step(s->twins[i], &event, &is, &err) == 0, "no memory");
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
    }
    for (size_t a = 0; a < n; a++)
        note(&s->met, &want[a], counts.losses > 0);
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
    if (engine_load(&loaded, bytes.data, bytes.len, s->seed + (uint64_t)s->step, &err) != 0)
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
    s->twins[0] = engine_new(seed);
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
        s->step++;
        step(s);
    }
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
