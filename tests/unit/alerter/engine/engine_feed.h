/* What the tests of the engine share: three rules, and records made by the handful. */
#ifndef DRAINWATCH_TESTS_UNIT_ALERTER_ENGINE_ENGINE_FEED_H
#define DRAINWATCH_TESTS_UNIT_ALERTER_ENGINE_ENGINE_FEED_H

#include "alerter/engine/engine.h"
#include "common/base/time.h"

#include "tests/unit/unit.h"

#include <string.h>

#define NOW INT64_C(1778141172000000) /* 2026-05-07T08:06:12Z */

static const char RULES[] = "app: console\n"
                            "slack:\n"
                            "  channel: C1\n"
                            "rules:\n"
                            "  - name: h12\n"
                            "    title: H12 request timeouts\n"
                            "    source: heroku\n"
                            "    field: code=H12\n"
                            "    more_than: 3\n"
                            "    within: 5m\n"
                            "    cooldown: 5m\n"
                            "    runbook: docs/h12.md\n"
                            "  - name: worker\n"
                            "    match: 'WORKER TIMEOUT'\n"
                            "    more_than: 2\n"
                            "    within: 2m\n"
                            "    cooldown: 1m\n"
                            "  - name: paths\n"
                            "    field: status=500\n"
                            "    group_by: [path, process]\n"
                            "    more_than: 1\n"
                            "    within: 1m\n"
                            "    cooldown: 1m\n";

/* One group of `n` matches, each a second before the next, the last at `last_us`. */
static inline struct wire_matches group(const char *rule, int64_t *times, size_t n, int64_t last_us)
{
    for (size_t i = 0; i < n; i++)
        times[i] = last_us - (int64_t)(n - 1 - i) * TIME_S;
    return (struct wire_matches){.rule = rule,
                                 .source = "heroku",
                                 .process = "router",
                                 .times_us = times,
                                 .n_times = n,
                                 .sample = {(const uint8_t *)"a line", 6}};
}

static inline struct wire_record record_of(const struct wire_matches *groups, size_t n,
                                           int64_t at_us)
{
    return (struct wire_record){
        .received_us = at_us, .drain = "d.1", .frame_id = "", .matches = groups, .n_matches = n};
}

static inline struct engine_outcomes step(struct engine *e, const struct wire_record *record,
                                          int64_t at_us)
{
    const struct engine_event event = engine_record_event(record, at_us);
    struct engine_outcomes alerts;
    struct err err;

    assert_int_equal(engine_step(e, &event, &alerts, &err), 0);
    return alerts;
}

/* Feeds `n` matches of a drain and rule, the last of them at `at_us`, at that step time. */
static inline struct engine_outcomes feed_of(struct engine *e, const char *drain, const char *rule,
                                             size_t n, int64_t at_us)
{
    static int64_t times[100];
    static struct wire_matches matches;
    struct wire_record record;

    matches = group(rule, times, n, at_us);
    record = record_of(&matches, 1, at_us);
    record.drain = drain;
    return step(e, &record, at_us);
}

static inline struct engine_outcomes feed(struct engine *e, const char *rule, size_t n,
                                          int64_t at_us)
{
    return feed_of(e, "d.1", rule, n, at_us);
}

/* Feeds `n` matches of the rule `paths` as `feed` does, of one path and process. */
static inline struct engine_outcomes feed_path(struct engine *e, const char *path,
                                               const char *process, size_t n, int64_t at_us)
{
    static int64_t times[100];
    static struct wire_matches matches;
    static struct wire_group pair;
    struct wire_record record;

    pair = (struct wire_group){.key = "path", .value = path};
    matches = group("paths", times, n, at_us);
    matches.process = process;
    matches.group = &pair;
    matches.n_group = 1;
    record = record_of(&matches, 1, at_us);
    return step(e, &record, at_us);
}

/* Tells of lost lines of a drain, received then. */
static inline void lose(struct engine *e, const char *drain, int64_t received_us, int64_t at_us)
{
    struct wire_record record = record_of(NULL, 0, received_us);

    record.drain = drain;
    record.lost = 1;
    assert_int_equal(step(e, &record, at_us).n_alerts, 0);
}

/* Bounds of which none is met by a handful of records. */
static inline struct engine_limits wide_limits(void)
{
    return (struct engine_limits){.keys = 100,
                                  .groups = 100,
                                  .apps = 100,
                                  .key_times = 100,
                                  .times = 100,
                                  .frames_per_drain = 100,
                                  .drains = 100,
                                  .frames = 100};
}

static inline void set_rules(struct engine *e, const char *text)
{
    const struct engine_event rules = engine_rules_event(text, strlen(text), 0);
    struct engine_outcomes none;
    struct err err;

    err.text[0] = 0;
    assert_int_equal(engine_step(e, &rules, &none, &err), 0);
}

static inline int open_engine(void **state)
{
    struct engine *e = engine_new();

    assert_non_null(e);
    set_rules(e, RULES);
    *state = e;
    return 0;
}

static inline int close_engine(void **state)
{
    engine_free(*state);
    return 0;
}

#define ENGINE_TEST(f) cmocka_unit_test_setup_teardown(f, open_engine, close_engine)

#endif
