/* Makes random rules and records. Called by sim_engine. */
#include "tests/sim/stream.h"

#include "common/base/time.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define START_US INT64_C(1778141172000000) /* 2026-05-07T08:06:12Z */

#define COUNT(array) (sizeof(array) / sizeof *(array))

enum { MATCHINGS = 4 };

/* One drain has the name of an app: unlisted, it is that app. */
static const char *const DRAINS[] = {"d.zero", "d.one", "d.two", "d.three", "beta"};
static const char *const APPS[] = {"alpha", "beta", "gamma"};
static const char *const NAMES[] = {"r0", "r1", "r2", "r3", "r4"};
static const char *const GROUP_KEYS[] = {"process", "path", "status"};
static const char *const PAIR_KEYS[] = {"status", "path", "region"};
static const char *const VALUES[] = {"", "/a", "/b", "/c", "500"};

/* splitmix64: the whole state is one number, which the seed is. */
static uint64_t draw(struct stream *s)
{
    uint64_t z = s->random += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

uint64_t stream_below(struct stream *s, uint64_t n)
{
    return draw(s) % n;
}

bool stream_chance(struct stream *s, uint64_t percent)
{
    return stream_below(s, 100) < percent;
}

/* A distance of up to `us`, on the grain. */
static int64_t distance(struct stream *s, int64_t us)
{
    return (int64_t)stream_below(s, (uint64_t)(us / s->grain_us) + 1) * s->grain_us;
}

void stream_open(struct stream *s, uint64_t seed)
{
    static const int64_t GRAINS[] = {1, TIME_MS, TIME_S, 30 * TIME_S};

    *s = (struct stream){.random = seed, .now_us = START_US};
    s->grain_us = GRAINS[stream_below(s, COUNT(GRAINS))];
}

/* The rules. */

static void make_apps(struct stream *s)
{
    uint64_t listed = stream_chance(s, 30) ? 0 : 20 + stream_below(s, 81);

    s->rules.app = stream_chance(s, 60) ? APPS[stream_below(s, COUNT(APPS))] : NULL;
    s->rules.n_drains = 0;
    for (size_t i = 0; i < COUNT(DRAINS); i++) {
        if (stream_chance(s, listed) || (i == 0 && s->rules.app == NULL))
            s->rules.drains[s->rules.n_drains++] =
                (struct oracle_drain){DRAINS[i], APPS[stream_below(s, COUNT(APPS))]};
    }
}

static bool app_is_named(const struct oracle_rules *rules, const char *app)
{
    bool is = rules->app == app;

    for (size_t i = 0; i < rules->n_drains; i++)
        is = is || rules->drains[i].app == app;
    return is;
}

/* A rule may only speak of apps that the file names. */
static void make_filter(struct stream *s, struct oracle_rule *rule)
{
    rule->n_apps = 0;
    if (stream_chance(s, 65))
        return;
    for (size_t i = 0; i < COUNT(APPS); i++) {
        if (app_is_named(&s->rules, APPS[i]) && stream_chance(s, 50))
            rule->apps[rule->n_apps++] = APPS[i];
    }
}

static bool filter_stands(const struct stream *s, const struct oracle_rule *rule)
{
    bool stands = true;

    for (size_t i = 0; i < rule->n_apps; i++)
        stands = stands && app_is_named(&s->rules, rule->apps[i]);
    return stands;
}

static void make_group_by(struct stream *s, struct oracle_rule *rule)
{
    size_t first = (size_t)stream_below(s, COUNT(GROUP_KEYS));
    size_t way = 1 + (size_t)stream_below(s, COUNT(GROUP_KEYS) - 1);

    rule->n_group_by = (size_t)stream_below(s, COUNT(GROUP_KEYS));
    for (size_t i = 0; i < rule->n_group_by; i++)
        rule->group_by[i] = GROUP_KEYS[(first + way * i) % COUNT(GROUP_KEYS)];
}

static void make_rule(struct stream *s, struct oracle_rule *rule, const char *name)
{
    static const int64_t WITHIN[] = {TIME_S,      TIME_S + TIME_MS, 7 * TIME_S,
                                     TIME_MINUTE, 5 * TIME_MINUTE,  2 * TIME_HOUR};
    static const int64_t COOLDOWN[] = {TIME_S, 30 * TIME_S, 5 * TIME_MINUTE, TIME_HOUR};
    static const int64_t PERIOD[] = {TIME_S, 10 * TIME_S, TIME_MINUTE, 5 * TIME_MINUTE, TIME_HOUR};

    *rule = (struct oracle_rule){.matching = (int)stream_below(s, MATCHINGS),
                                 .sample = stream_chance(s, 80),
                                 .within_us = WITHIN[stream_below(s, COUNT(WITHIN))],
                                 .cooldown_us = COOLDOWN[stream_below(s, COUNT(COOLDOWN))],
                                 .messages = stream_chance(s, 70) ? 1 + stream_below(s, 3) : 1000,
                                 .period_us = PERIOD[stream_below(s, COUNT(PERIOD))]};
    snprintf(rule->name, sizeof rule->name, "%s", name);
    rule->more_than = 1 + (stream_chance(s, 80) ? stream_below(s, 4) : stream_below(s, 30));
    make_group_by(s, rule);
    make_filter(s, rule);
}

/* The rule as it is to be after a change of the file. */
static void change_rule(struct stream *s, struct oracle_rule *rule, const struct oracle_rule *old)
{
    struct oracle_rule next = *rule;
    uint64_t kind = stream_below(s, 100);

    if (kind < 40) {
        *rule = *old;
    } else if (kind < 80) {
        next.matching = old->matching;
        next.n_group_by = old->n_group_by;
        memcpy(next.group_by, old->group_by, sizeof next.group_by);
        *rule = next;
    } else if (kind < 90) {
        next = *old; /* but for the groups, perhaps only their order */
        next.n_group_by = rule->n_group_by;
        memcpy(next.group_by, rule->group_by, sizeof next.group_by);
        *rule = next;
    }
    if (!filter_stands(s, rule))
        make_filter(s, rule);
}

void stream_change_rules(struct stream *s)
{
    struct oracle_rules old = s->rules;

    if (old.n == 0 || stream_chance(s, 40))
        make_apps(s);
    s->rules.n = 0;
    for (size_t name = 0; name < COUNT(NAMES); name++) {
        struct oracle_rule rule;
        bool known = false;

        make_rule(s, &rule, NAMES[name]);
        for (size_t i = 0; i < old.n; i++) {
            if (strcmp(old.rules[i].name, NAMES[name]) != 0)
                continue;
            known = true;
            change_rule(s, &rule, &old.rules[i]);
        }
        if (stream_chance(s, known ? 85 : 55))
            s->rules.rules[s->rules.n++] = rule;
    }
    if (s->rules.n == 0)
        make_rule(s, &s->rules.rules[s->rules.n++], NAMES[0]);
}

struct page {
    char *text;
    size_t len;
};

static void __attribute__((format(printf, 2, 3))) say(struct page *p, const char *fmt, ...)
{
    va_list args;
    int n;

    va_start(args, fmt);
    n = vsnprintf(p->text + p->len, STREAM_TEXT - p->len, fmt, args);
    va_end(args);
    assert(n >= 0 && (size_t)n < STREAM_TEXT - p->len);
    p->len += (size_t)n;
}

static void say_list(struct page *p, const char *key, const char *const *items, size_t n)
{
    for (size_t i = 0; i < n; i++)
        say(p, "%s%s%s", i == 0 ? key : ", ", i == 0 ? ": [" : "", items[i]);
    if (n > 0)
        say(p, "]\n");
}

static void say_apps(struct page *p, const struct oracle_rules *rules)
{
    if (rules->app != NULL)
        say(p, "app: %s\n", rules->app);
    if (rules->n_drains > 0)
        say(p, "apps:\n");
    for (size_t a = 0; a < COUNT(APPS); a++) {
        const char *drains[ORACLE_DRAINS];
        size_t n = 0;

        for (size_t i = 0; i < rules->n_drains; i++) {
            if (rules->drains[i].app == APPS[a])
                drains[n++] = rules->drains[i].drain;
        }
        if (n > 0)
            say(p, "  - name: %s\n", APPS[a]);
        say_list(p, "    drain", drains, n);
    }
}

/* Of the matchings all but the last are one plain pair: an expression would have to be compiled at
 * each reload and load, which is slow. */
static void say_rule(struct page *p, const struct oracle_rule *rule)
{
    say(p, "  - name: %s\n    title: Title of %s\n    source: heroku\n    field: kind=%d\n",
        rule->name, rule->name, rule->matching % (MATCHINGS - 1));
    if (rule->matching == MATCHINGS - 1)
        say(p, "    unless: noise\n");
    if (!rule->sample)
        say(p, "    sample: no\n");
    say_list(p, "    apps", rule->apps, rule->n_apps);
    say_list(p, "    group_by", rule->group_by, rule->n_group_by);
    say(p, "    more_than: %" PRIu64 "\n    within: %" PRId64 "ms\n    cooldown: %" PRId64 "ms\n",
        rule->more_than, rule->within_us / TIME_MS, rule->cooldown_us / TIME_MS);
    say(p, "    messages: %" PRIu64 "/%" PRId64 "ms\n", rule->messages, rule->period_us / TIME_MS);
}

size_t stream_write_rules(const struct stream *s, char text[STREAM_TEXT])
{
    struct page p = {.text = text};

    say_apps(&p, &s->rules);
    say(&p, "slack:\n  channel: C0\nrules:\n");
    for (size_t i = 0; i < s->rules.n; i++)
        say_rule(&p, &s->rules.rules[i]);
    return p.len;
}

/* The records. */

static const struct oracle_rule *some_rule(struct stream *s)
{
    return &s->rules.rules[stream_below(s, s->rules.n)];
}

static void advance(struct stream *s)
{
    const struct oracle_rule *rule = some_rule(s);
    uint64_t kind = stream_below(s, 100);

    if (kind < 30)
        return; /* time stands still */
    if (kind < 80)
        s->now_us += distance(s, 4 * TIME_S) + (int64_t)stream_below(s, 2) * s->grain_us;
    else if (kind < 89)
        s->now_us += rule->cooldown_us;
    else if (kind < 92)
        s->now_us += rule->period_us;
    else if (kind < 98)
        s->now_us += distance(s, rule->within_us);
    else
        s->now_us += distance(s, 3 * TIME_HOUR);
}

static int64_t make_time(struct stream *s, int64_t received_us)
{
    const struct oracle_rule *rule = some_rule(s);
    uint64_t kind = stream_below(s, 100);
    int64_t sign = stream_chance(s, 50) ? 1 : -1;

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

static int64_t make_received(struct stream *s)
{
    uint64_t kind = stream_below(s, 100);

    if (kind < 70)
        return s->now_us;
    if (kind < 78)
        return s->now_us - some_rule(s)->within_us; /* a loss then is just outside */
    if (kind < 88)
        return s->now_us - distance(s, 10 * TIME_MINUTE);
    if (kind < 96)
        return s->now_us - distance(s, 4 * TIME_HOUR);
    if (kind < 98)
        return s->now_us + distance(s, 5 * TIME_S);
    return s->now_us + distance(s, 2 * TIME_DAY); /* an ingest whose clock is wrong */
}

/* Pairs in any order, some missing, some that no rule asks for. */
static size_t make_pairs(struct stream *s, struct wire_group pairs[STREAM_PAIRS])
{
    size_t first = (size_t)stream_below(s, COUNT(PAIR_KEYS)), n = 0;

    for (size_t i = 0; i < COUNT(PAIR_KEYS); i++) {
        if (stream_chance(s, 75))
            pairs[n++] = (struct wire_group){PAIR_KEYS[(first + i) % COUNT(PAIR_KEYS)],
                                             VALUES[stream_below(s, COUNT(VALUES))]};
    }
    return n;
}

static void make_matches(struct stream *s, struct stream_record *r, size_t i)
{
    static const char *const PROCESSES[] = {"router", "web.1", "web.2"};
    struct wire_matches *m = &r->matches[i];

    *m = (struct wire_matches){
        .rule = stream_chance(s, 3) ? "stranger" : NAMES[stream_below(s, COUNT(NAMES))],
        .source = stream_chance(s, 50) ? "heroku" : "app",
        .process = PROCESSES[stream_below(s, COUNT(PROCESSES))],
        .times_us = r->times[i],
        .n_times = stream_chance(s, 10) ? stream_below(s, STREAM_TIMES + 1) : stream_below(s, 4),
        .group = r->pairs[i],
        .n_group = make_pairs(s, r->pairs[i]),
    };
    for (size_t t = 0; t < m->n_times; t++)
        r->times[i][t] = make_time(s, stream_chance(s, 80) ? r->record.received_us : s->now_us);
    if (stream_chance(s, 80)) {
        int n = snprintf(r->samples[i], ORACLE_NAME, "line %d of %" PRIu64, (int)i, s->n_records);

        m->sample = (struct wire_bytes){(const uint8_t *)r->samples[i], (size_t)n};
    }
}

static void make_frame_id(struct stream *s, char id[ORACLE_NAME])
{
    if (stream_chance(s, 30)) {
        id[0] = 0;
    } else if (s->n_ids > 0 && stream_chance(s, 25)) {
        strcpy(id, s->ids[stream_below(s, s->n_ids < STREAM_IDS ? s->n_ids : STREAM_IDS)]);
    } else {
        snprintf(id, ORACLE_NAME, "frame-%" PRIu64, s->n_ids);
        strcpy(s->ids[s->n_ids++ % STREAM_IDS], id);
    }
}

void stream_next(struct stream *s, struct stream_record *out)
{
    advance(s);
    s->n_records++;
    make_frame_id(s, out->frame_id);
    out->record = (struct wire_record){
        .received_us = make_received(s),
        .drain = DRAINS[stream_below(s, stream_chance(s, 70) ? 2 : COUNT(DRAINS))],
        .frame_id = out->frame_id,
        .lost = stream_chance(s, 8) ? 1 + stream_below(s, 3) : 0,
        .matches = out->matches,
        .n_matches = (size_t)stream_below(s, ORACLE_MATCHES - 1),
    };
    for (size_t i = 0; i < out->record.n_matches; i++)
        make_matches(s, out, i);
    out->step_us = stream_chance(s, 3) ? s->now_us - distance(s, TIME_MINUTE) : s->now_us;
}
