/* Apps: whose a record is, which rules take it, and what lost lines do to its alerts. */
#include "tests/unit/alerter/engine/engine_feed.h"

#include <stdio.h>

static const char TABLE[] = "apps:\n"
                            "  - {name: shop, drain: [d.1, shop-basic]}\n"
                            "  - {name: blog, drain: d.2}\n";
static const char TWO_RULES[] =
    "slack: {channel: C1}\nrules:\n"
    "  - {name: all, field: k=v, more_than: 1, within: 5m, cooldown: 1s}\n"
    "  - {name: some, field: k=v, apps: [blog, shop], more_than: 1, within: 5m, cooldown: 1s}\n";

static void set_table(struct engine *e, const char *app)
{
    char text[1024];

    snprintf(text, sizeof text, "%s%s%s", app, TABLE, TWO_RULES);
    set_rules(e, text);
}

static struct engine_outcomes feed_drain(struct engine *e, const char *rule, const char *drain,
                                         size_t n, int64_t at_us)
{
    static int64_t times[100];
    static struct wire_matches matches;
    static struct wire_record record;

    matches = group(rule, times, n, at_us);
    record = record_of(&matches, 1, at_us);
    record.drain = drain;
    return step(e, &record, at_us);
}

static void assert_app(struct engine *e, const char *drain, const char *app, int64_t at_us)
{
    struct engine_outcomes alerts = feed_drain(e, "all", drain, 2, at_us);

    assert_int_equal(alerts.n_alerts, 1);
    assert_string_equal(alerts.alerts[0].app, app);
}

static void a_drain_has_its_app_the_default_or_its_own_name(void **state)
{
    set_table(*state, "app: rest\n");
    assert_app(*state, "d.1", "shop", NOW);
    assert_app(*state, "d.2", "blog", NOW);
    assert_app(*state, "d.3", "rest", NOW);
    assert_app(*state, "shop-basic", "shop", NOW + TIME_HOUR);
    set_table(*state, "");
    assert_app(*state, "d.3", "d.3", NOW + TIME_HOUR);
    assert_app(*state, "rest", "rest", NOW + 2 * TIME_HOUR);
    assert_int_equal(engine_counts(*state).keys, 4);
}

static void drains_of_one_app_share_its_keys(void **state)
{
    set_table(*state, "");
    assert_int_equal(feed_drain(*state, "all", "d.1", 1, NOW).n_alerts, 0);
    assert_int_equal(feed_drain(*state, "all", "d.2", 1, NOW).n_alerts, 0);
    assert_int_equal(feed_drain(*state, "all", "shop-basic", 1, NOW).n_alerts, 1);
}

static void a_rule_takes_only_its_apps(void **state)
{
    struct engine_counts counts;

    set_table(*state, "app: rest\n");
    assert_int_equal(feed_drain(*state, "some", "d.1", 2, NOW).n_alerts, 1);
    assert_int_equal(feed_drain(*state, "some", "d.2", 2, NOW).n_alerts, 1);
    assert_int_equal(feed_drain(*state, "some", "d.3", 2, NOW).n_alerts, 0);
    set_table(*state, "");
    assert_int_equal(feed_drain(*state, "some", "d.3", 2, NOW).n_alerts, 0);
    counts = engine_counts(*state);
    assert_int_equal(counts.keys, 2);
    assert_int_equal(counts.matches, 4);
    assert_int_equal(counts.unknown_rule, 0);
}

static void a_change_of_apps_keeps_windows(void **state)
{
    char text[1024];

    set_table(*state, "");
    assert_int_equal(feed_drain(*state, "some", "d.1", 1, NOW).n_alerts, 0);
    snprintf(text, sizeof text, "%s%s", TABLE,
             "slack: {channel: C1}\nrules:\n"
             "  - {name: some, field: k=v, apps: shop, more_than: 1, within: 5m}\n");
    set_rules(*state, text);
    assert_int_equal(feed_drain(*state, "some", "d.1", 1, NOW).n_alerts, 1);
    assert_int_equal(feed_drain(*state, "some", "d.2", 2, NOW).n_alerts, 0);
}

/* Losses. The window of the rule is five minutes, and its matches lie at the step time and a second
 * before. */

static bool at_least(struct engine *e, const char *drain, int64_t at_us)
{
    struct engine_outcomes alerts = feed_drain(e, "all", drain, 2, at_us);

    assert_int_equal(alerts.n_alerts, 1);
    assert_int_equal(alerts.alerts[0].count, 2);
    return alerts.alerts[0].at_least;
}

UNIT_TEST(a_loss_within_the_interval_or_later_counts)
{
    static const struct {
        int64_t lost_us; /* the interval is open at its beginning */
        bool at_least;
    } cases[] = {
        {NOW - 5 * TIME_MINUTE - TIME_MS, false},
        {NOW - 5 * TIME_MINUTE, false},
        {NOW - 5 * TIME_MINUTE + TIME_MS - 1, false}, /* the grain is a millisecond */
        {NOW - 5 * TIME_MINUTE + TIME_MS, true},
        {NOW, true},
        {NOW + TIME_S, true},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct engine *e = engine_new();

        assert_non_null(e);
        set_table(e, "");
        lose(e, "d.1", cases[i].lost_us, NOW);
        assert_int_equal(at_least(e, "shop-basic", NOW), cases[i].at_least);
        assert_int_equal(at_least(e, "d.2", NOW), false); /* another app lost nothing */
        assert_int_equal(engine_counts(e).losses, 1);
        engine_free(e);
    }
}

static void the_interval_is_the_one_that_is_counted(void **state)
{
    struct engine_outcomes alerts;

    set_table(*state, "");
    lose(*state, "d.1", NOW - 5 * TIME_MINUTE - TIME_S, NOW);
    alerts = feed_drain(*state, "all", "d.1", 2, NOW - TIME_S - TIME_MS); /* late lines */
    assert_true(alerts.alerts[0].at_least);
}

static void the_newest_loss_decides(void **state)
{
    set_table(*state, "");
    lose(*state, "d.1", NOW, NOW);
    lose(*state, "d.1", NOW - TIME_HOUR, NOW); /* handed over late */
    assert_true(at_least(*state, "d.1", NOW));
    assert_false(at_least(*state, "d.1", NOW + 5 * TIME_MINUTE));
    assert_int_equal(engine_counts(*state).losses, 2);
}

static void a_loss_counts_for_the_record_that_tells_of_it(void **state)
{
    int64_t times[2];
    struct wire_matches matches = group("all", times, 2, NOW);
    struct wire_record record = record_of(&matches, 1, NOW);

    set_table(*state, "");
    record.lost = 3;
    assert_true(step(*state, &record, NOW).alerts[0].at_least);
}

static void a_repeat_loses_nothing(void **state)
{
    struct wire_record record = record_of(NULL, 0, NOW - TIME_HOUR);

    set_table(*state, "");
    record.frame_id = "frame";
    record.lost = 1;
    assert_int_equal(step(*state, &record, NOW).n_alerts, 0);
    record.received_us = NOW;
    assert_int_equal(step(*state, &record, NOW).n_alerts, 0);
    assert_int_equal(engine_counts(*state).repeats, 1);
    assert_int_equal(engine_counts(*state).losses, 1);
    assert_false(at_least(*state, "d.1", NOW));
}

/* Else an ingest whose clock is a year ahead would make each alert of a year "at least". */
static void a_loss_in_the_future_is_one_of_now(void **state)
{
    set_table(*state, "");
    lose(*state, "d.1", NOW + 365 * TIME_DAY, NOW);
    lose(*state, "d.2", NOW + TIME_HOUR, NOW);
    assert_true(at_least(*state, "d.1", NOW));
    assert_false(at_least(*state, "d.1", NOW + 5 * TIME_MINUTE));
    assert_true(at_least(*state, "d.2", NOW + 5 * TIME_MINUTE));
    assert_false(at_least(*state, "d.2", NOW + TIME_HOUR + 5 * TIME_MINUTE));
}

static void a_loss_outlives_a_reload(void **state)
{
    struct engine *bare = engine_new();

    set_table(*state, "");
    lose(*state, "d.1", NOW, NOW);
    set_table(*state, "app: rest\n");
    assert_true(at_least(*state, "d.1", NOW));
    assert_non_null(bare);
    lose(bare, "d.3", NOW, NOW); /* no rules give it an app */
    set_table(bare, "");
    assert_true(at_least(bare, "d.3", NOW));
    engine_free(bare);
}

static void the_stalest_loss_is_forgotten(void **state)
{
    struct engine_limits limits = wide_limits();

    limits.apps = 2;
    set_table(*state, "");
    engine_set_limits(*state, &limits);
    lose(*state, "d.1", NOW, NOW);
    lose(*state, "d.2", NOW, NOW);
    lose(*state, "shop-basic", NOW, NOW);
    lose(*state, "d.3", NOW, NOW);
    assert_true(at_least(*state, "d.1", NOW));
    assert_false(at_least(*state, "d.2", NOW));
    assert_true(at_least(*state, "d.3", NOW));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ENGINE_TEST(a_drain_has_its_app_the_default_or_its_own_name),
        ENGINE_TEST(drains_of_one_app_share_its_keys),
        ENGINE_TEST(a_rule_takes_only_its_apps),
        ENGINE_TEST(a_change_of_apps_keeps_windows),
        ENGINE_TEST(a_loss_within_the_interval_or_later_counts),
        ENGINE_TEST(the_interval_is_the_one_that_is_counted),
        ENGINE_TEST(the_newest_loss_decides),
        ENGINE_TEST(a_loss_counts_for_the_record_that_tells_of_it),
        ENGINE_TEST(a_repeat_loses_nothing),
        ENGINE_TEST(a_loss_in_the_future_is_one_of_now),
        ENGINE_TEST(a_loss_outlives_a_reload),
        ENGINE_TEST(the_stalest_loss_is_forgotten),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
