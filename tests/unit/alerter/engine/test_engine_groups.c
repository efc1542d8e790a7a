/* Groups of a rule: which there are, what an alert says of them, how many are kept. */
#include "tests/unit/alerter/engine/engine_feed.h"

#include <stdio.h>

static void assert_group(const struct wire_alert *alert, const char *path, const char *process)
{
    assert_int_equal(alert->n_group, 2);
    assert_string_equal(alert->group[0].key, "path"); /* in the order of the rule */
    assert_string_equal(alert->group[0].value, path);
    assert_string_equal(alert->group[1].key, "process");
    assert_string_equal(alert->group[1].value, process);
}

static void each_group_counts_by_itself(void **state)
{
    struct engine_outcomes alerts;

    assert_int_equal(feed_path(*state, "/a", "web.1", 1, NOW).n_alerts, 0);
    assert_int_equal(feed_path(*state, "/b", "web.1", 1, NOW).n_alerts, 0);
    assert_int_equal(feed_path(*state, "/a", "web.2", 1, NOW).n_alerts, 0);
    alerts = feed_path(*state, "/a", "web.1", 1, NOW + 1);
    assert_int_equal(alerts.n_alerts, 1);
    assert_int_equal(alerts.alerts[0].count, 2);
    assert_group(&alerts.alerts[0], "/a", "web.1");
    /* For ever the same: it stands in outboxes and in messages. */
    assert_string_equal(alerts.alerts[0].id, "83d0813010562544");
    alerts = feed_path(*state, "/b", "web.1", 1, NOW + 1); /* its cooldown is its own, too */
    assert_int_equal(alerts.n_alerts, 1);
    assert_group(&alerts.alerts[0], "/b", "web.1");
    assert_int_equal(engine_counts(*state).keys, 3);
}

static void values_do_not_run_together(void **state)
{
    assert_int_equal(feed_path(*state, "ab", "c", 1, NOW).n_alerts, 0);
    assert_int_equal(feed_path(*state, "a", "bc", 1, NOW).n_alerts, 0);
    assert_int_equal(feed_path(*state, "", "abc", 1, NOW).n_alerts, 0);
    assert_int_equal(feed_path(*state, "abc", "", 1, NOW).n_alerts, 0);
    assert_int_equal(engine_counts(*state).keys, 4);
}

static void a_record_has_alerts_of_each_group(void **state)
{
    int64_t times[4][4];
    struct wire_matches m[4] = {group("paths", times[0], 2, NOW), group("paths", times[1], 1, NOW),
                                group("paths", times[2], 2, NOW), group("paths", times[3], 1, NOW)};
    struct wire_group a = {"path", "/a"}, b[] = {{"status", "500"}, {"path", "/b"}};
    struct wire_record record = record_of(m, 4, NOW);
    struct engine_outcomes alerts;

    m[0].group = m[3].group = &a;
    m[0].n_group = m[3].n_group = 1;
    m[3].sample = (struct wire_bytes){(const uint8_t *)"four", 4};
    m[1].group = b; /* other pairs make no difference */
    m[1].n_group = 2;
    alerts = step(*state, &record, NOW);
    assert_int_equal(alerts.n_alerts, 2);
    assert_group(&alerts.alerts[0], "/a", "router");
    assert_int_equal(alerts.alerts[0].count, 3);
    assert_memory_equal(alerts.alerts[0].sample.data, "four", 4);
    assert_group(&alerts.alerts[1], "", "router"); /* the line said nothing of a path */
    assert_int_equal(alerts.alerts[1].count, 2);
    assert_string_not_equal(alerts.alerts[0].id, alerts.alerts[1].id);
}

static void a_rule_without_groups_takes_none(void **state)
{
    int64_t times[2][4];
    struct wire_matches m[2] = {group("h12", times[0], 2, NOW), group("h12", times[1], 2, NOW)};
    struct wire_group pairs[] = {{"path", "/a"}, {"path", "/b"}};
    struct wire_record record = record_of(m, 2, NOW);
    struct engine_outcomes alerts;

    m[0].group = &pairs[0];
    m[1].group = &pairs[1];
    m[0].n_group = m[1].n_group = 1;
    alerts = step(*state, &record, NOW);
    assert_int_equal(alerts.n_alerts, 1);
    assert_int_equal(alerts.alerts[0].n_group, 0);
    assert_int_equal(alerts.alerts[0].count, 4);
}

static void set_group_limit(struct engine *e, size_t groups)
{
    struct engine_limits limits = wide_limits();

    limits.groups = groups;
    engine_set_limits(e, &limits);
}

static void the_stalest_group_goes_first(void **state)
{
    set_group_limit(*state, 3);
    assert_int_equal(feed(*state, "h12", 3, NOW).n_alerts, 0); /* stale, but not of that rule */
    assert_int_equal(feed_path(*state, "/a", "", 1, NOW).n_alerts, 0);
    assert_int_equal(feed_path(*state, "/b", "", 1, NOW).n_alerts, 0);
    assert_int_equal(feed_path(*state, "/c", "", 1, NOW).n_alerts, 0);
    assert_int_equal(engine_counts(*state).groups_dropped, 0); /* three are not more than three */
    assert_int_equal(feed_path(*state, "/a", "", 1, NOW).n_alerts, 1);
    assert_int_equal(feed_path(*state, "/d", "", 1, NOW).n_alerts, 0);
    assert_int_equal(engine_counts(*state).groups_dropped, 1);
    assert_int_equal(engine_counts(*state).keys_dropped, 0);
    assert_int_equal(engine_counts(*state).keys, 4);
    assert_int_equal(feed_path(*state, "/a", "", 1, NOW).n_alerts,
                     0); /* in its cooldown, so still there */
    assert_int_equal(engine_counts(*state).cooled, 1);
    assert_int_equal(feed_path(*state, "/b", "", 1, NOW).n_alerts,
                     0); /* begins anew; "/c" goes for it */
    assert_int_equal(feed_path(*state, "/d", "", 1, NOW).n_alerts, 1);
    assert_int_equal(feed(*state, "h12", 1, NOW).n_alerts, 1);
    assert_int_equal(engine_counts(*state).groups_dropped, 2);
}

/* An app's groups do not push out another's. */
static void the_bound_is_for_each_app(void **state)
{
    static const char *const drains[] = {"d.1", "d.2", "d.3"};
    int64_t times[4];
    struct wire_matches m = group("paths", times, 1, NOW);
    struct wire_record record = record_of(&m, 1, NOW);

    set_rules(*state,
              "apps: [{name: a, drain: d.1}, {name: b, drain: d.2}]\n"
              "slack: {channel: C1}\nrules:\n"
              "  - {name: paths, field: k=v, group_by: process, more_than: 1, within: 1m}\n"
              "  - {name: more, field: k=v, group_by: process, more_than: 1, within: 1m}\n");
    set_group_limit(*state, 1);
    for (size_t i = 0; i < 3; i++) {
        record.drain = drains[i];
        m.rule = "paths";
        assert_int_equal(step(*state, &record, NOW).n_alerts, 0);
        m.rule = "more";
        assert_int_equal(step(*state, &record, NOW).n_alerts, 0);
    }
    assert_int_equal(engine_counts(*state).groups_dropped, 0);
    assert_int_equal(engine_counts(*state).keys, 6);
    m.process = "other";
    assert_int_equal(step(*state, &record, NOW).n_alerts, 0);
    assert_int_equal(engine_counts(*state).groups_dropped, 1);
}

/* Each group of a record is judged before any goes, and its alert can be read after it went. */
static void a_group_that_goes_at_once_is_judged_all_the_same(void **state)
{
    static const char *const processes[] = {"web.1", "web.2", "web.3", "web.1"};
    int64_t times[4][4];
    struct wire_matches m[4];
    struct wire_record record = record_of(m, 4, NOW);
    struct engine_outcomes alerts;

    for (size_t i = 0; i < 4; i++) {
        m[i] = group("paths", times[i], 2, NOW);
        m[i].process = processes[i];
    }
    set_group_limit(*state, 1);
    alerts = step(*state, &record, NOW);
    assert_int_equal(alerts.n_alerts, 3);
    for (size_t i = 0; i < 3; i++)
        assert_group(&alerts.alerts[i], "", processes[i]);
    assert_int_equal(alerts.alerts[0].count, 4);
    assert_int_equal(engine_counts(*state).groups_dropped, 2);
    record = record_of(m, 1, NOW); /* "web.1" was touched last, though first as well */
    assert_int_equal(step(*state, &record, NOW).n_alerts, 0);
    assert_int_equal(engine_counts(*state).cooled, 1);
    assert_int_equal(engine_counts(*state).groups_dropped, 2);
}

static void groups_beyond_their_bound_push_out_no_other_key(void **state)
{
    struct engine_limits limits = wide_limits();
    int64_t times[4][1];
    struct wire_matches m[4];
    struct wire_record record = record_of(m, 4, NOW);
    static const char *const processes[] = {"web.1", "web.2", "web.3", "web.4"};

    limits.keys = 3;
    limits.groups = 2;
    engine_set_limits(*state, &limits);
    assert_int_equal(feed(*state, "h12", 3, NOW).n_alerts, 0);
    for (size_t i = 0; i < 4; i++) {
        m[i] = group("paths", times[i], 1, NOW);
        m[i].process = processes[i];
    }
    assert_int_equal(step(*state, &record, NOW).n_alerts, 0);
    assert_int_equal(engine_counts(*state).groups_dropped, 2);
    assert_int_equal(engine_counts(*state).keys_dropped, 0);
    assert_int_equal(feed(*state, "h12", 1, NOW).n_alerts, 1);
}

/* A drain fills the table with groups of many rules; another app's window and cooldown stay. */
static void an_app_that_fills_the_table_forgets_its_own_keys(void **state)
{
    struct engine_limits limits = wide_limits();
    struct engine *e = *state;
    const char *app, *rule;
    char path[16];

    limits.keys = 20;
    limits.times = 60;
    engine_set_limits(e, &limits);
    set_rules(e,
              "apps: [{name: a, drain: d.1}, {name: b, drain: d.b}]\nslack: {channel: C1}\n"
              "rules:\n  - {name: h12, field: code=H12, more_than: 3, within: 5m}\n"
              "  - {name: paths, field: status=500, group_by: path, more_than: 99, within: 5m}\n");
    assert_int_equal(feed_of(e, "d.b", "h12", 3, NOW).n_alerts, 0);
    for (int i = 0; i < 100; i++) {
        snprintf(path, sizeof path, "/%d", i);
        feed_path(e, path, "", 1 + (size_t)i % 9, NOW);
    }
    assert_true(engine_counts(e).keys_dropped > 70);
    assert_string_equal(engine_crowded(e, &rule), "a");
    assert_string_equal(rule, "paths");
    assert_int_equal(feed_of(e, "d.b", "h12", 1, NOW).n_alerts, 1);
    for (int i = 0; i < 100; i++) {
        snprintf(path, sizeof path, "/%d", i);
        feed_path(e, path, "", 9, NOW);
    }
    assert_int_equal(feed_of(e, "d.b", "h12", 4, NOW).n_alerts, 0); /* it cools down */
    app = engine_crowded(e, &rule);
    assert_string_equal(app, "a");
}

/* Groups that went as keys, or with their rule, are no more of their family. */
static void what_went_otherwise_is_not_counted(void **state)
{
    struct engine_limits limits = wide_limits();

    limits.keys = 2;
    limits.groups = 3;
    engine_set_limits(*state, &limits);
    assert_int_equal(feed_path(*state, "/a", "", 1, NOW).n_alerts, 0);
    assert_int_equal(feed_path(*state, "/b", "", 1, NOW).n_alerts, 0);
    assert_int_equal(feed_path(*state, "/c", "", 1, NOW).n_alerts, 0);
    assert_int_equal(feed(*state, "h12", 1, NOW).n_alerts, 0);
    assert_int_equal(feed(*state, "worker", 1, NOW).n_alerts, 0);
    assert_int_equal(engine_counts(*state).keys_dropped, 3);
    assert_int_equal(feed_path(*state, "/b", "", 1, NOW).n_alerts, 0);
    set_rules(*state, "app: a\nslack: {channel: C1}\nrules:\n"
                      "  - {name: paths, field: status=500, group_by: [process, path],"
                      " more_than: 1, within: 1m}\n");
    assert_int_equal(engine_counts(*state).keys, 0); /* the order is part of what a group is */
    assert_int_equal(feed_path(*state, "/c", "", 1, NOW).n_alerts, 0);
    assert_int_equal(feed_path(*state, "/d", "", 1, NOW).n_alerts, 0);
    assert_int_equal(engine_counts(*state).groups_dropped, 0);
    assert_int_equal(engine_counts(*state).keys, 2);
}

static void the_largest_group_by_is_told_in_full(void **state)
{
    static const char *const keys[] = {"d", "c", "b", "a"};
    struct wire_group pairs[] = {{"a", "1"}, {"b", "2"}, {"c", "3"}, {"d", "4"}};
    int64_t times[2];
    struct wire_matches m = group("r", times, 2, NOW);
    struct wire_record record = record_of(&m, 1, NOW);
    struct engine_outcomes alerts;

    set_rules(*state, "app: a\nslack: {channel: C1}\nrules:\n"
                      "  - {name: r, field: k=v, group_by: [d, c, b, a], more_than: 1,"
                      " within: 1m}\n");
    m.group = pairs;
    m.n_group = 4;
    alerts = step(*state, &record, NOW);
    assert_int_equal(alerts.n_alerts, 1);
    assert_int_equal(alerts.alerts[0].n_group, 4);
    for (size_t i = 0; i < 4; i++) {
        assert_string_equal(alerts.alerts[0].group[i].key, keys[i]);
        assert_string_equal(alerts.alerts[0].group[i].value, pairs[3 - i].value);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ENGINE_TEST(each_group_counts_by_itself),
        ENGINE_TEST(values_do_not_run_together),
        ENGINE_TEST(a_record_has_alerts_of_each_group),
        ENGINE_TEST(a_rule_without_groups_takes_none),
        ENGINE_TEST(the_stalest_group_goes_first),
        ENGINE_TEST(the_bound_is_for_each_app),
        ENGINE_TEST(a_group_that_goes_at_once_is_judged_all_the_same),
        ENGINE_TEST(groups_beyond_their_bound_push_out_no_other_key),
        ENGINE_TEST(an_app_that_fills_the_table_forgets_its_own_keys),
        ENGINE_TEST(what_went_otherwise_is_not_counted),
        ENGINE_TEST(the_largest_group_by_is_told_in_full),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
