/* Tests how the engine keeps a rule within its budget of messages: digests by a tick, by the next
 * record, at a reload and from a snapshot. */
#include "tests/unit/alerter/engine/engine_feed.h"

#include <stdio.h>

/* Two messages in ten seconds for each of two rules. */
#define BUDGET_RULE(name, group_by)                                                                \
    "  - {name: " name ", field: status=500, group_by: " group_by ", more_than: 1, within: 1m, "   \
    "cooldown: 1m, messages: 2/10s}\n"
#define BUDGET_HEAD "app: console\nslack: {channel: C1}\nrules:\n"
#define BUDGET_RULES BUDGET_HEAD BUDGET_RULE("paths", "[path, process]")

static int open_budget(void **state)
{
    struct engine *e = engine_new();

    assert_non_null(e);
    set_rules(e, BUDGET_RULES);
    *state = e;
    return 0;
}

/* `n` paths breach at once, /FIRST and the following ones; returns how many got a message. */
static size_t storm(struct engine *e, int first, int n, int64_t at_us)
{
    size_t sent = 0;

    for (int i = first; i < first + n; i++) {
        char path[16];

        snprintf(path, sizeof path, "/%d", i);
        sent += feed_path(e, path, "web.1", 2, at_us).n_alerts;
    }
    return sent;
}

static struct engine_outcomes tick(struct engine *e, int64_t at_us)
{
    const struct engine_event event = engine_tick_event(at_us);
    struct engine_outcomes out;
    struct err err;

    assert_int_equal(engine_step(e, &event, &out, &err), 0);
    return out;
}

static void assert_digest(const struct wire_alert *a, uint64_t groups, uint64_t matches,
                          int64_t at_us)
{
    assert_true(wire_is_digest(a));
    assert_string_equal(a->rule, "paths");
    assert_int_equal(a->groups, groups);
    assert_int_equal(a->count, matches);
    assert_int_equal(a->at_us, at_us);
}

static void alerts_beyond_the_budget_come_in_a_digest(void **state)
{
    struct engine *e = *state;
    struct engine_outcomes out;

    assert_int_equal(engine_next_us(e), INT64_MAX);
    assert_int_equal(storm(e, 0, 9, NOW), 2);
    assert_int_equal(engine_next_us(e), NOW + 10 * TIME_S);
    assert_int_equal(engine_counts(e).alerts, 2);
    assert_int_equal(engine_counts(e).withheld, 7);
    assert_int_equal(tick(e, NOW + 10 * TIME_S - 1).n_alerts, 0);
    out = tick(e, NOW + 10 * TIME_S);
    assert_int_equal(out.n_alerts, 1);
    assert_digest(out.alerts, 7, 14, NOW + 10 * TIME_S);
    assert_int_equal(out.alerts->period_us, 10 * TIME_S);
    assert_string_equal(out.alerts->app, "console");
    assert_string_equal(out.alerts->worst[0].group[0].value, "/2");
    assert_string_equal(out.alerts->worst[0].group[1].value, "web.1");
    assert_int_equal(engine_next_us(e), INT64_MAX);
    assert_int_equal(engine_counts(e).digests, 1);
}

static void a_late_tick_and_a_record_tell_the_digest_at_its_time(void **state)
{
    struct engine *e = *state;
    struct engine_outcomes out;
    char id[WIRE_ID_SIZE];

    storm(e, 0, 3, NOW);
    out = feed_path(e, "/other", "web.1", 2, NOW + TIME_HOUR);
    assert_int_equal(out.n_alerts, 2);
    assert_digest(&out.alerts[0], 1, 2, NOW + 10 * TIME_S);
    assert_string_equal(out.alerts[1].kind, "breach"); /* the storm is over since long */
    memcpy(id, out.alerts[0].id, sizeof id);
    set_rules(e, BUDGET_HEAD BUDGET_RULE("paths", "[path]"));
    set_rules(e, BUDGET_RULES);
    storm(e, 0, 3, NOW + TIME_HOUR);
    out = tick(e, NOW + TIME_DAY);
    assert_digest(out.alerts, 1, 2, NOW + TIME_HOUR + 10 * TIME_S);
    assert_string_not_equal(out.alerts[0].id, id);
}

static void in_a_storm_all_alerts_come_in_digests(void **state)
{
    struct engine *e = *state;
    const struct rule *rule = engine_rule(e, "paths");
    struct engine_budget budget;

    storm(e, 0, 3, NOW);
    budget = engine_budget(e, rule, NOW);
    assert_int_equal(budget.withheld, 1);
    assert_int_equal(budget.digest_us, NOW + 10 * TIME_S);
    tick(e, NOW + 10 * TIME_S);
    budget = engine_budget(e, rule, NOW + 11 * TIME_S);
    assert_int_equal(budget.withheld, 0);
    assert_int_equal(budget.digest_us, ENGINE_NEVER);
    assert_int_equal(budget.storm_until_us, NOW + 20 * TIME_S);
    assert_int_equal(storm(e, 10, 1, NOW + 12 * TIME_S), 0);
    assert_digest(tick(e, NOW + 20 * TIME_S).alerts, 1, 2, NOW + 20 * TIME_S);
    assert_int_equal(storm(e, 20, 3, NOW + 30 * TIME_S), 2);
    budget = engine_budget(e, rule, NOW + 40 * TIME_S);
    assert_int_equal(budget.storm_until_us, ENGINE_NEVER);
}

static void a_withheld_alert_begins_its_cooldown(void **state)
{
    struct engine *e = *state;
    struct engine_outcomes out;

    storm(e, 0, 3, NOW);
    out = feed_path(e, "/2", "web.1", 2, NOW + TIME_S);
    assert_int_equal(out.n_alerts, 0);
    assert_int_equal(out.n_cooled, 1);
    assert_int_equal(engine_counts(e).withheld, 1);
}

static void a_reload_keeps_the_digest_of_a_rule_that_goes_on(void **state)
{
    struct engine *e = *state;

    storm(e, 0, 4, NOW);
    set_rules(e, BUDGET_HEAD BUDGET_RULE("first", "path") BUDGET_RULE("paths", "[path, process]"));
    assert_int_equal(engine_next_us(e), NOW + 10 * TIME_S);
    assert_int_equal(storm(e, 4, 1, NOW), 0);
    assert_digest(tick(e, NOW + 10 * TIME_S).alerts, 3, 6, NOW + 10 * TIME_S);
}

static void the_digest_of_a_rule_that_does_not_go_on_comes_at_once(void **state)
{
    static const char others[] = BUDGET_HEAD BUDGET_RULE("paths", "path");
    struct engine_event event = engine_rules_event("app: [", 6, NOW + TIME_S);
    struct engine *e = *state;
    struct engine_outcomes out;
    struct err err;

    storm(e, 0, 4, NOW);
    assert_int_equal(engine_step(e, &event, &out, &err), ERR_INPUT);
    assert_int_equal(engine_next_us(e), NOW + 10 * TIME_S);
    event = engine_rules_event(others, sizeof others - 1, NOW + TIME_S);
    assert_int_equal(engine_step(e, &event, &out, &err), 0);
    assert_int_equal(out.n_alerts, 1);
    assert_digest(out.alerts, 2, 4, NOW + TIME_S);
    assert_int_equal(out.alerts->period_us, TIME_S);
    assert_int_equal(out.alerts->worst[0].n_group, 2);
    assert_int_equal(engine_next_us(e), INT64_MAX);
}

static void a_digest_in_the_making_outlives_a_snapshot(void **state)
{
    struct engine *e = *state, *loaded;
    struct buf bytes, again;
    struct err err;

    storm(e, 0, 9, NOW);
    buf_init(&bytes, 1 << 20);
    buf_init(&again, 1 << 20);
    assert_int_equal(engine_save(e, &bytes), 0);
    assert_int_equal(engine_load(&loaded, bytes.data, bytes.len, &err), 0);
    assert_int_equal(engine_save(loaded, &again), 0);
    assert_int_equal(bytes.len, again.len);
    assert_memory_equal(bytes.data, again.data, bytes.len);
    assert_int_equal(engine_next_us(loaded), NOW + 10 * TIME_S);
    assert_digest(tick(loaded, NOW + 10 * TIME_S).alerts, 7, 14, NOW + 10 * TIME_S);
    assert_int_equal(storm(loaded, 20, 1, NOW + 11 * TIME_S), 0); /* a storm */
    engine_free(loaded);
    buf_close(&again);
    buf_close(&bytes);
}

static void a_full_table_forgets_groups_and_not_the_digest(void **state)
{
    struct engine_limits limits = wide_limits();
    struct engine *e = *state;

    limits.groups = 3;
    engine_set_limits(e, &limits);
    assert_int_equal(storm(e, 0, 50, NOW), 2);
    assert_int_equal(engine_counts(e).keys, 3);
    assert_digest(tick(e, NOW + 10 * TIME_S).alerts, 48, 96, NOW + 10 * TIME_S);
}

/* `n` paths of an app breach at once; returns how many got a message. */
static size_t storm_of(struct engine *e, const char *drain, int n, int64_t at_us)
{
    size_t sent = 0;

    for (int i = 0; i < n; i++) {
        char path[16];
        int64_t times[2];
        const struct wire_group pair = {.key = "path", .value = path};
        struct wire_matches matches = group("paths", times, 2, at_us);
        struct wire_record record = record_of(&matches, 1, at_us);

        snprintf(path, sizeof path, "/%d", i);
        matches.group = &pair;
        matches.n_group = 1;
        record.drain = drain;
        sent += step(e, &record, at_us).n_alerts;
    }
    return sent;
}

static void an_apps_storm_hides_no_other_app(void **state)
{
    struct engine *e = *state;
    struct engine_outcomes out;

    set_rules(e, "apps: [{name: a, drain: d.a}, {name: b, drain: d.b}]\n"
                 "slack: {channel: C1}\nrules:\n" BUDGET_RULE("paths", "[path, process]"));
    assert_int_equal(storm_of(e, "d.a", 20, NOW), 2);
    assert_int_equal(storm_of(e, "d.b", 3, NOW), 2);
    out = tick(e, NOW + 10 * TIME_S);
    assert_digest(out.alerts, 19, 38, NOW + 10 * TIME_S);
    assert_string_equal(out.alerts->app, "");
    assert_int_equal(out.alerts->apps, 2);
    assert_string_equal(out.alerts->worst[4].app, "b");
    assert_int_equal(storm_of(e, "d.b", 9, NOW + 70 * TIME_S), 2); /* the storm is over */
}

/* The message told of its first matches; the digest counts it as a group that is new to it. */
static void a_group_that_had_a_message_is_new_to_the_digest(void **state)
{
    struct engine *e = *state;

    set_rules(e, "apps: [{name: a, drain: d.a}, {name: b, drain: d.b}]\n"
                 "slack: {channel: C1}\nrules:\n"
                 "  - {name: paths, field: status=500, group_by: [path, process], more_than: 1, "
                 "within: 1m, cooldown: 2s, messages: 2/10s}\n");
    storm_of(e, "d.a", 3, NOW);
    assert_int_equal(storm_of(e, "d.b", 1, NOW + TIME_S), 1);
    assert_int_equal(storm_of(e, "d.b", 1, NOW + 3 * TIME_S), 1);
    assert_int_equal(storm_of(e, "d.b", 1, NOW + 5 * TIME_S), 0);
    assert_int_equal(storm_of(e, "d.b", 1, NOW + 7 * TIME_S), 0);
    assert_digest(tick(e, NOW + 10 * TIME_S).alerts, 2, 2 + 6 + 2, NOW + 10 * TIME_S);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, open_budget, close_engine)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(alerts_beyond_the_budget_come_in_a_digest),
        TEST(a_late_tick_and_a_record_tell_the_digest_at_its_time),
        TEST(in_a_storm_all_alerts_come_in_digests),
        TEST(a_withheld_alert_begins_its_cooldown),
        TEST(a_reload_keeps_the_digest_of_a_rule_that_goes_on),
        TEST(the_digest_of_a_rule_that_does_not_go_on_comes_at_once),
        TEST(a_digest_in_the_making_outlives_a_snapshot),
        TEST(a_full_table_forgets_groups_and_not_the_digest),
        TEST(an_apps_storm_hides_no_other_app),
        TEST(a_group_that_had_a_message_is_new_to_the_digest),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
