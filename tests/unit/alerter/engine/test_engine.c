/* Tests what the engine decides: thresholds, windows, cooldowns, repeats and bounds. */
#include "alerter/engine/ruleset.h"
#include "tests/unit/alerter/engine/engine_feed.h"

#include <stdio.h>

/* Puts rules in force in which one text stands for another. */
static void set_changed_rules(struct engine *e, const char *from, const char *to)
{
    char text[4096];
    const char *at = strstr(RULES, from);

    assert_non_null(at);
    snprintf(text, sizeof text, "%.*s%s%s", (int)(at - RULES), RULES, to, at + strlen(from));
    set_rules(e, text);
}

static void an_alert_tells_all(void **state)
{
    struct engine_outcomes alerts = feed(*state, "h12", 4, NOW + 1234);
    const struct wire_alert *a = alerts.alerts;

    assert_int_equal(alerts.n_alerts, 1);
    assert_string_equal(a->kind, "breach");
    assert_string_equal(a->rule, "h12");
    assert_string_equal(a->app, "console");
    assert_int_equal(a->n_group, 0);
    assert_true(a->at_us == NOW + 1234);
    assert_int_equal(a->count, 4);
    assert_false(a->at_least || a->about);
    assert_true(a->window_us == 5 * TIME_MINUTE && a->threshold == 3 && a->suppressed == 0);
    assert_true(a->first_us == NOW - 3 * TIME_S + 1000); /* the grain is a millisecond */
    assert_true(a->last_us == NOW + 1000);
    assert_string_equal(a->title, "H12 request timeouts");
    assert_string_equal(a->runbook, "docs/h12.md");
    assert_string_equal(a->channel, "C1");
    assert_string_equal(a->source, "heroku");
    assert_string_equal(a->process, "router");
    assert_int_equal(a->sample.len, 6);
    /* For ever the same: it stands in outboxes and in messages. */
    assert_string_equal(a->id, "a93ba31183d6f3c0");
}

static void more_than_is_more_than(void **state)
{
    assert_int_equal(feed(*state, "h12", 3, NOW).n_alerts, 0);
    assert_int_equal(feed(*state, "h12", 1, NOW + 5 * TIME_MINUTE - 2 * TIME_S).n_alerts, 0);
    assert_int_equal(feed(*state, "h12", 1, NOW + 5 * TIME_MINUTE - 2 * TIME_S).n_alerts, 1);
}

static void a_cooldown_ends_exactly(void **state)
{
    struct engine_outcomes alerts;

    assert_int_equal(feed(*state, "h12", 9, NOW).n_alerts, 1);
    assert_int_equal(feed(*state, "h12", 1, NOW + TIME_S).n_alerts, 0);
    assert_int_equal(feed(*state, "h12", 4, NOW + 5 * TIME_MINUTE - 1).n_alerts, 0);
    assert_int_equal(engine_counts(*state).cooled, 2);
    alerts = feed(*state, "h12", 2, NOW + 5 * TIME_MINUTE);
    assert_int_equal(alerts.n_alerts, 1);
    assert_int_equal(alerts.alerts[0].suppressed, 5);
    alerts = feed(*state, "h12", 1, NOW + 10 * TIME_MINUTE);
    assert_int_equal(alerts.n_alerts, 0); /* no breach any more, cooldown or not */
    alerts = feed(*state, "h12", 4, NOW + 20 * TIME_MINUTE);
    assert_int_equal(alerts.alerts[0].suppressed, 1);
}

static void what_came_before_the_first_alert_is_not_suppressed(void **state)
{
    struct engine_outcomes alerts;

    assert_int_equal(feed(*state, "h12", 3, NOW).n_alerts, 0);
    alerts = feed(*state, "h12", 1, NOW + TIME_S);
    assert_int_equal(alerts.n_alerts, 1);
    assert_int_equal(alerts.alerts[0].suppressed, 0);
}

static void groups_of_one_rule_are_one_key(void **state)
{
    int64_t times[4][4];
    struct wire_matches groups[4] = {
        group("worker", times[0], 1, NOW), group("h12", times[1], 4, NOW),
        group("worker", times[2], 2, NOW - TIME_MINUTE), group("worker", times[3], 1, NOW)};
    struct wire_record record = record_of(groups, 4, NOW);
    struct engine_outcomes alerts;

    groups[0].process = "web.1";
    groups[2].process = "web.2";
    groups[2].sample = (struct wire_bytes){(const uint8_t *)"two", 3};
    groups[3].process = "web.3";
    groups[3].sample.len = 0; /* no line to show: an earlier one is */
    alerts = step(*state, &record, NOW);
    assert_int_equal(alerts.n_alerts, 2);
    assert_string_equal(alerts.alerts[0].rule, "worker"); /* touched first */
    assert_int_equal(alerts.alerts[0].count, 4);
    assert_string_equal(alerts.alerts[0].process, "web.2");
    assert_memory_equal(alerts.alerts[0].sample.data, "two", 3);
    assert_string_equal(alerts.alerts[1].rule, "h12");
    assert_string_not_equal(alerts.alerts[0].id, alerts.alerts[1].id);
    assert_int_equal(engine_counts(*state).keys, 2);
}

static void a_time_beyond_the_skew_is_the_receive_time(void **state)
{
    int64_t times[] = {NOW - ENGINE_SKEW_MAX_US,
                       NOW + ENGINE_SKEW_MAX_US,
                       NOW - ENGINE_SKEW_MAX_US - 1,
                       NOW + ENGINE_SKEW_MAX_US + 1,
                       INT64_MIN,
                       INT64_MAX};
    struct wire_matches matches = group("h12", times, 0, NOW);
    struct wire_record record = record_of(&matches, 1, NOW);
    struct engine_outcomes alerts;

    matches.n_times = 6;
    alerts = step(*state, &record, NOW);
    assert_int_equal(alerts.n_alerts, 1);
    assert_int_equal(alerts.alerts[0].count, 4);
    assert_true(alerts.alerts[0].first_us == NOW && alerts.alerts[0].last_us == NOW);
    assert_int_equal(engine_counts(*state).skewed, 4);
}

static void a_wrong_clock_of_ingest_silences_nothing(void **state)
{
    int64_t times[4];
    struct wire_matches matches = group("h12", times, 2, NOW);
    struct wire_record ahead = record_of(&matches, 1, NOW + TIME_DAY);
    struct wire_record behind = record_of(&matches, 1, NOW - TIME_DAY);
    struct engine_outcomes alerts;

    /* The lines' own times are right, so they count at them whatever ingest's clock says. */
    step(*state, &ahead, NOW);
    alerts = step(*state, &behind, NOW);
    assert_int_equal(alerts.n_alerts, 1);
    assert_int_equal(alerts.alerts[0].count, 4);
    assert_true(alerts.alerts[0].last_us == NOW);
    assert_int_equal(engine_counts(*state).skewed, 0);
    /* A line without a time has the receive time, which lies in the alerter's future. */
    matches = group("worker", times, 3, NOW + TIME_DAY);
    alerts = step(*state, &ahead, NOW);
    assert_int_equal(alerts.n_alerts, 1);
    assert_true(alerts.alerts[0].last_us == NOW);
    assert_int_equal(engine_counts(*state).skewed, 3);
}

static void late_lines_count_where_they_belong(void **state)
{
    struct engine *e = *state;
    int64_t times[4];
    struct wire_matches matches;
    struct wire_record record;

    assert_int_equal(feed(e, "h12", 2, NOW).n_alerts, 0);
    assert_int_equal(feed(e, "h12", 1, NOW + 30 * TIME_MINUTE).n_alerts, 0);
    matches = group("h12", times, 2, NOW + TIME_S);
    record = record_of(&matches, 1, NOW + 30 * TIME_MINUTE);
    assert_int_equal(step(e, &record, NOW + 31 * TIME_MINUTE).alerts[0].count, 4);
    assert_int_equal(feed(e, "h12", 1, NOW + 6 * TIME_HOUR).n_alerts, 0);
    assert_int_equal(feed(e, "h12", 2, NOW + 3 * TIME_HOUR).n_alerts, 0);
    assert_int_equal(engine_counts(e).too_late, 2);
    assert_int_equal(engine_counts(e).matches, 6);
}

static void a_repeat_is_not_fed_on(void **state)
{
    int64_t times[3];
    struct wire_matches matches = group("h12", times, 3, NOW);
    struct wire_record record = record_of(&matches, 1, NOW);

    record.frame_id = "frame";
    assert_int_equal(step(*state, &record, NOW).n_alerts, 0);
    assert_int_equal(step(*state, &record, NOW + 1).n_alerts, 0);
    assert_int_equal(engine_counts(*state).repeats, 1);
    assert_int_equal(engine_counts(*state).matches, 3);
    record.frame_id = "";
    assert_int_equal(step(*state, &record, NOW + 2).n_alerts, 1);
}

static void time_does_not_go_back(void **state)
{
    int64_t times[4];
    struct wire_matches matches = group("h12", times, 4, NOW);
    struct wire_record record = record_of(&matches, 1, NOW);

    assert_int_equal(feed(*state, "worker", 1, NOW).n_alerts, 0);
    assert_true(step(*state, &record, NOW - TIME_DAY).alerts[0].at_us == NOW);
    assert_int_equal(step(*state, &record, INT64_MIN).n_alerts, 0);
}

static void matches_of_unknown_rules_are_counted(void **state)
{
    struct engine *bare = engine_new();

    assert_int_equal(feed(*state, "nobody", 7, NOW).n_alerts, 0);
    assert_int_equal(engine_counts(*state).unknown_rule, 7);
    assert_int_equal(engine_counts(*state).keys, 0);
    assert_non_null(bare);
    assert_null(engine_rules(bare));
    assert_int_equal(feed(bare, "h12", 4, NOW).n_alerts, 0);
    assert_int_equal(engine_counts(bare).unknown_rule, 4);
    engine_free(bare);
}

static void a_reload_keeps_what_is_matched_alike(void **state)
{
    struct engine *e = *state;

    assert_int_equal(feed(e, "h12", 3, NOW).n_alerts, 0);
    assert_int_equal(feed(e, "worker", 3, NOW).n_alerts, 1);
    set_changed_rules(e, "more_than: 3", "more_than: 4");
    assert_int_equal(feed(e, "h12", 1, NOW + 1).n_alerts, 0);
    assert_int_equal(feed(e, "h12", 1, NOW + 2).n_alerts, 1);
    assert_int_equal(feed(e, "worker", 1, NOW + TIME_S).n_alerts, 0); /* its cooldown went on */
    assert_int_equal(feed(e, "worker", 1, NOW + TIME_MINUTE).n_alerts, 1);
}

static void a_reload_empties_what_is_matched_otherwise(void **state)
{
    static const char *const changes[][2] = {
        {"source: heroku", "source: [heroku, app]"},
        {"field: code=H12", "field: code=H13"},
        {"field: code=H12", "field: status=H12"},
        {"field: code=H12", "match: 'code=H12'"},
        {"source: heroku", "process: router"},
        {"name: h12", "name: h13"},
        {"source: heroku", "unless: health"},
        {"source: heroku\n", "source: heroku\n    group_by: dyno\n"},
        {"field: code=H12", "field: code=H1."}};
    struct engine *e = *state;

    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        set_rules(e, RULES);
        assert_int_equal(feed(e, "h12", 3, NOW).n_alerts, 0);
        assert_int_equal(engine_counts(e).keys, 1);
        set_changed_rules(e, changes[i][0], changes[i][1]);
        assert_int_equal(engine_counts(e).keys, 0);
    }
    set_rules(e, RULES);
    assert_int_equal(feed(e, "h12", 3, NOW).n_alerts, 0);
}

/* A value that becomes a pattern, or stops being one, takes other lines, even with the same text;
 * so do two `unless` in place of one with a comma. */
UNIT_TEST(matchings_are_compared_item_for_item)
{
    static const char *const two[] = {"a", "b"}, *const other[] = {"a", "c"};
    struct rules_field plain = {.key = "k", .value = "v"};
    struct rules_field pattern = {.key = "k", .value = "v", .is_pattern = true};
    struct rule a = {.fields = &plain, .n_fields = 1, .unless = {two, 2}, .group_by = {two, 2}};
    struct rule b = a;

    assert_true(ruleset_same_matching(&a, &b));
    b.fields = &pattern;
    assert_false(ruleset_same_matching(&a, &b));
    b = a;
    b.outside_quotes = true;
    assert_false(ruleset_same_matching(&a, &b));
    b = a;
    b.unless.n = 1;
    assert_false(ruleset_same_matching(&a, &b));
    b.unless = (struct rules_list){other, 2};
    assert_false(ruleset_same_matching(&a, &b));
    b = a;
    b.group_by.items = other;
    assert_false(ruleset_same_matching(&a, &b));
    b.group_by = (struct rules_list){0};
    assert_false(ruleset_same_matching(&a, &b));
    b = a; /* keys that do not choose lines are not compared */
    b.apps = (struct rules_list){two, 2};
    b.redacts = (struct rules_list){two, 2};
    assert_true(ruleset_same_matching(&a, &b));
}

/* The log says once a cooldown that the trouble goes on. */
static void the_first_breach_within_a_cooldown_is_reported(void **state)
{
    struct engine_outcomes out;

    assert_int_equal(feed(*state, "h12", 4, NOW).n_cooled, 0);
    out = feed(*state, "h12", 1, NOW + TIME_S);
    assert_int_equal(out.n_alerts, 0);
    assert_int_equal(out.n_cooled, 1);
    assert_string_equal(out.cooled[0].rule, "h12");
    assert_string_equal(out.cooled[0].app, "console");
    assert_int_equal(out.cooled[0].n_group, 0);
    assert_true(out.cooled[0].until_us == NOW + 5 * TIME_MINUTE);
    assert_int_equal(feed(*state, "h12", 9, NOW + TIME_MINUTE).n_cooled, 0);
    out = feed(*state, "h12", 1, NOW + 5 * TIME_MINUTE);
    assert_int_equal(out.n_alerts, 1);
    assert_int_equal(out.n_cooled, 0);
    assert_int_equal(feed(*state, "h12", 4, NOW + 6 * TIME_MINUTE).n_cooled, 1);
    assert_int_equal(feed_path(*state, "/a", "web.1", 2, NOW + 7 * TIME_MINUTE).n_alerts, 1);
    out = feed_path(*state, "/a", "web.1", 1, NOW + 7 * TIME_MINUTE);
    assert_int_equal(out.n_cooled, 1);
    assert_int_equal(out.cooled[0].n_group, 2);
    assert_string_equal(out.cooled[0].group[0].value, "/a");
}

/* Four lines, one an hour, that a drain held back for two hours: each counts when it arrived. */
static void lines_that_arrive_hours_late_are_marked(void **state)
{
    const int64_t arrived_us = NOW + 5 * TIME_HOUR;
    int64_t times[4] = {NOW, NOW + TIME_HOUR, NOW + 2 * TIME_HOUR, NOW + 3 * TIME_HOUR};
    struct wire_matches matches = group("h12", (int64_t[4]){0}, 4, NOW);
    struct wire_record record = record_of(&matches, 1, arrived_us);
    struct engine_outcomes out;

    matches.times_us = times;
    out = step(*state, &record, arrived_us);
    assert_int_equal(out.n_alerts, 1);
    assert_true(out.alerts[0].arrived_late);
    assert_true(out.alerts[0].first_us == arrived_us);
    out = feed(*state, "h12", 4, arrived_us + TIME_HOUR);
    assert_int_equal(out.n_alerts, 1);
    assert_false(out.alerts[0].arrived_late); /* these count at their own times */
}

/* Ingest received them when they happened and kept them while the alerter was away. */
static void lines_that_ingest_held_count_at_their_own_times(void **state)
{
    for (int i = 0; i < 4; i++) {
        int64_t at_us = NOW + i * TIME_HOUR;
        struct wire_matches matches = group("h12", &at_us, 1, at_us);
        struct wire_record record = record_of(&matches, 1, at_us);

        assert_int_equal(step(*state, &record, NOW + 5 * TIME_HOUR).n_alerts, 0);
    }
    assert_int_equal(engine_counts(*state).skewed, 0);
}

/* A clock that runs ahead is no late arrival. */
static void lines_from_the_future_are_not_late(void **state)
{
    int64_t times[4];
    struct wire_matches matches = group("h12", times, 4, NOW + TIME_DAY);
    struct wire_record record = record_of(&matches, 1, NOW);
    struct engine_outcomes out = step(*state, &record, NOW);

    assert_int_equal(out.n_alerts, 1);
    assert_false(out.alerts[0].arrived_late);
}

static void an_alert_tells_what_its_rule_says(void **state)
{
    struct engine_outcomes alerts = feed(*state, "h12", 4, NOW);

    assert_string_equal(alerts.alerts[0].severity, "");
    assert_int_equal(alerts.alerts[0].n_mentions, 0);
    set_changed_rules(*state, "    source: heroku\n",
                      "    source: heroku\n    severity: critical\n    sample: no\n"
                      "    mention: [here, U0123ABCD]\n");
    alerts = feed(*state, "h12", 4, NOW + TIME_HOUR); /* its cooldown went on */
    assert_int_equal(alerts.n_alerts, 1);
    assert_int_equal(alerts.alerts[0].suppressed, 0);
    assert_string_equal(alerts.alerts[0].severity, "critical");
    assert_int_equal(alerts.alerts[0].n_mentions, 2);
    assert_string_equal(alerts.alerts[0].mentions[0], "here");
    assert_string_equal(alerts.alerts[0].mentions[1], "U0123ABCD");
    assert_int_equal(alerts.alerts[0].sample.len, 0); /* though the record has one */
    assert_string_equal(alerts.alerts[0].process, "router");
}

static void a_shorter_window_keeps_less(void **state)
{
    struct engine *e = *state;

    set_changed_rules(e, "within: 5m", "within: 3h");
    assert_int_equal(feed(e, "h12", 2, NOW).n_alerts, 0);
    assert_int_equal(feed(e, "h12", 1, NOW + 2 * TIME_HOUR).n_alerts, 0);
    set_rules(e, RULES);
    assert_int_equal(feed(e, "h12", 1, NOW + 30 * TIME_MINUTE).n_alerts,
                     0); /* too late, but it touches */
    assert_int_equal(engine_counts(e).too_late, 1);
    assert_int_equal(engine_counts(e).times, 1);
    set_changed_rules(e, "within: 5m", "within: 3h");
    assert_int_equal(feed(e, "h12", 1, NOW + 2 * TIME_HOUR).n_alerts, 0);
}

static void bad_rules_leave_the_old_ones_in_force(void **state)
{
    const struct engine_event bad = engine_rules_event("rules: 5\n", 9, NOW);
    struct engine_outcomes none;
    struct err err;

    assert_int_equal(feed(*state, "h12", 3, NOW).n_alerts, 0);
    assert_int_equal(engine_step(*state, &bad, &none, &err), ERR_INPUT);
    assert_non_null(strstr(err.text, "rules:1"));
    assert_null(strchr(err.text, '\n'));
    assert_int_equal(feed(*state, "h12", 1, NOW).n_alerts, 1);
}

static void the_stalest_key_goes_first(void **state)
{
    struct engine_limits limits = wide_limits();
    int64_t times[2][4];
    struct wire_matches groups[2] = {group("h12", times[0], 4, NOW),
                                     group("worker", times[1], 2, NOW)};
    struct wire_record record = record_of(groups, 2, NOW);

    limits.keys = 1;
    engine_set_limits(*state, &limits);
    assert_int_equal(step(*state, &record, NOW).n_alerts, 1); /* judged before it goes */
    assert_int_equal(engine_counts(*state).keys, 1);
    assert_int_equal(engine_counts(*state).keys_dropped, 1);
    assert_int_equal(feed(*state, "worker", 1, NOW).n_alerts, 1);
}

static void a_storm_says_about(void **state)
{
    static int64_t times[1024];
    struct wire_matches matches = group("h12", times, 0, 0);
    struct wire_record record = record_of(&matches, 1, NOW);
    struct engine_outcomes alerts = {0};

    matches.n_times = 1024;
    for (int64_t batch = 0; batch < 128; batch++) { /* 131,072 ms in a window of 300,000 */
        for (int64_t i = 0; i < 1024; i++)
            times[i] = NOW + (batch * 1024 + i) * TIME_MS;
        record.received_us = times[0];
        alerts = step(*state, &record, NOW + batch * 5 * TIME_MINUTE);
        assert_int_equal(alerts.n_alerts, 1);
    }
    assert_true(alerts.alerts[0].about);
    assert_int_equal(alerts.alerts[0].count, 128 * 1024);
    assert_int_equal(engine_counts(*state).times, ENGINE_KEY_TIMES_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ENGINE_TEST(an_alert_tells_all),
        ENGINE_TEST(more_than_is_more_than),
        ENGINE_TEST(a_cooldown_ends_exactly),
        ENGINE_TEST(what_came_before_the_first_alert_is_not_suppressed),
        ENGINE_TEST(groups_of_one_rule_are_one_key),
        ENGINE_TEST(a_time_beyond_the_skew_is_the_receive_time),
        ENGINE_TEST(a_wrong_clock_of_ingest_silences_nothing),
        ENGINE_TEST(late_lines_count_where_they_belong),
        ENGINE_TEST(a_repeat_is_not_fed_on),
        ENGINE_TEST(time_does_not_go_back),
        ENGINE_TEST(matches_of_unknown_rules_are_counted),
        ENGINE_TEST(a_reload_keeps_what_is_matched_alike),
        ENGINE_TEST(a_reload_empties_what_is_matched_otherwise),
        cmocka_unit_test(matchings_are_compared_item_for_item),
        ENGINE_TEST(the_first_breach_within_a_cooldown_is_reported),
        ENGINE_TEST(lines_that_arrive_hours_late_are_marked),
        ENGINE_TEST(lines_that_ingest_held_count_at_their_own_times),
        ENGINE_TEST(lines_from_the_future_are_not_late),
        ENGINE_TEST(an_alert_tells_what_its_rule_says),
        ENGINE_TEST(a_shorter_window_keeps_less),
        ENGINE_TEST(bad_rules_leave_the_old_ones_in_force),
        ENGINE_TEST(the_stalest_key_goes_first),
        ENGINE_TEST(a_storm_says_about),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
