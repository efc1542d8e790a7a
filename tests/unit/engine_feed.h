/* What the tests of the engine share: two rules, and records made by the handful. */
#ifndef DRAINWATCH_TESTS_UNIT_ENGINE_FEED_H
#define DRAINWATCH_TESTS_UNIT_ENGINE_FEED_H

#include "alerter/engine.h"
#include "common/time.h"

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

static inline struct engine_alerts step(struct engine *e, const struct wire_record *record,
                                        int64_t at_us)
{
    struct engine_alerts alerts;

    assert_int_equal(engine_step(e, record, at_us, &alerts), 0);
    return alerts;
}

/* Feeds `n` matches of a rule, the last of them at `at_us`, at that step time. */
static inline struct engine_alerts feed(struct engine *e, const char *rule, size_t n, int64_t at_us)
{
    static int64_t times[100];
    static struct wire_matches matches;
    struct wire_record record;

    matches = group(rule, times, n, at_us);
    record = record_of(&matches, 1, at_us);
    return step(e, &record, at_us);
}

static inline void set_rules(struct engine *e, const char *text)
{
    struct err err;

    err.text[0] = 0;
    assert_int_equal(engine_set_rules(e, text, strlen(text), &err), 0);
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
