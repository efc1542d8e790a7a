/* Tests the budgets of messages: periods, storms, and when digests are due. */
#include "alerter/engine/budgets.h"

#include "alerter/engine/keys.h"
#include "tests/unit/unit.h"

#include <stdio.h>

enum { S = 1000000 };

static const struct rule RULE = {
    .name = "r", .title = "r", .severity = "", .messages = {.n = 2, .period_us = 10 * S}};

static int open_budgets(void **state)
{
    static struct budgets b;

    *state = &b;
    return budgets_init(&b, 3);
}

static int close_budgets(void **state)
{
    budgets_close(*state);
    return 0;
}

static bool spend(struct budgets *b, size_t i, const char *app, int64_t at_us)
{
    const int spent = budgets_spend(b, i, &RULE, app, at_us);

    assert_true(spent == 0 || spent == 1);
    return spent == 1;
}

static void withhold(struct budgets *b, size_t i, int64_t at_us)
{
    const struct wire_alert alert = {.app = "shop", .at_us = at_us, .count = 1};

    assert_false(spend(b, i, "shop", at_us));
    assert_int_equal(budgets_withhold(b, i, &alert, KEY_NEVER, 1), 0);
}

static void a_period_begins_with_the_first_alert_after_the_last(void **state)
{
    struct budgets *b = *state;

    assert_true(spend(b, 0, "shop", 5 * S));
    assert_true(spend(b, 0, "shop", 15 * S - 1));
    assert_false(spend(b, 0, "shop", 15 * S - 1));
    assert_true(spend(b, 1, "shop", 15 * S - 1)); /* each rule has its own */
    assert_true(spend(b, 0, "shop", 15 * S));
    assert_true(spend(b, 0, "shop", 25 * S - 1));
    assert_false(spend(b, 0, "shop", 25 * S - 1));
}

static void a_digest_is_due_when_its_period_ends(void **state)
{
    struct budgets *b = *state;

    assert_int_equal(b->next_us, INT64_MAX);
    assert_int_equal(budgets_due(b, INT64_MAX), SIZE_MAX);
    for (size_t i = 0; i < 2; i++) {
        assert_true(spend(b, 1 - i, "shop", 0));
        assert_true(spend(b, 1 - i, "shop", 1 * S));
        withhold(b, 1 - i, 2 * S);
    }
    assert_int_equal(b->next_us, 10 * S);
    assert_int_equal(budgets_due(b, 10 * S - 1), SIZE_MAX);
    assert_int_equal(budgets_due(b, 10 * S), 0); /* of two the one that stands first */
    assert_int_equal(budgets_waiting(b), 2);
    digest_free(budgets_take(b, 0, &RULE));
    assert_int_equal(budgets_due(b, 10 * S), 1);
    digest_free(budgets_take(b, 1, &RULE));
    assert_int_equal(b->next_us, INT64_MAX);
}

static void a_storm_ends_with_a_period_in_which_nothing_was_withheld(void **state)
{
    struct budgets *b = *state;

    assert_true(spend(b, 0, "shop", 0));
    assert_true(spend(b, 0, "shop", 0));
    withhold(b, 0, 0);
    digest_free(budgets_take(b, 0, &RULE));
    withhold(b, 0, 10 * S); /* nothing was sent in this period, but it is a storm */
    assert_int_equal(b->next_us, 20 * S);
    digest_free(budgets_take(b, 0, &RULE));
    assert_true(spend(b, 0, "shop", 30 * S));
}

static void a_moved_budget_goes_on(void **state)
{
    struct budgets *b = *state, next;

    assert_int_equal(budgets_init(&next, 1), 0);
    assert_true(spend(b, 2, "shop", 0));
    assert_true(spend(b, 2, "shop", 0));
    withhold(b, 2, 0);
    budgets_move(b, 2, &next, 0);
    assert_int_equal(next.next_us, 10 * S);
    withhold(&next, 0, S);
    assert_int_equal(budgets_waiting(&next), 1);
    assert_int_equal(budgets_waiting(b), 0);
    budgets_close(&next);
}

static void a_period_at_the_end_of_time_never_ends(void **state)
{
    struct budgets *b = *state;

    assert_true(spend(b, 0, "shop", INT64_MAX - 1));
    assert_true(spend(b, 0, "shop", INT64_MAX - 1));
    withhold(b, 0, INT64_MAX - 1);
    assert_int_equal(b->next_us, INT64_MAX);
    assert_int_equal(budgets_due(b, INT64_MAX), SIZE_MAX);
}

/* The number of 20 alerts of the app that get a message. */
static int spend_20(struct budgets *b, const char *app, int64_t at_us)
{
    int sent = 0;

    for (int i = 0; i < 20; i++)
        sent += spend(b, 0, app, at_us);
    return sent;
}

static void an_app_with_few_alerts_gets_messages_beyond_the_budget(void **state)
{
    struct budgets *b = *state;

    assert_true(spend(b, 0, "shop", 0));
    assert_true(spend(b, 0, "shop", 0));
    withhold(b, 0, 0);
    assert_true(spend(b, 0, "blog", S));
    digest_free(budgets_take(b, 0, &RULE));
    withhold(b, 0, 19 * S); /* the storm goes on */
    withhold(b, 0, 19 * S);
    assert_true(spend(b, 0, "blog", 19 * S));
    assert_false(spend(b, 0, "blog", 19 * S)); /* the third in two periods */
    assert_int_equal(spend_20(b, "docs", 19 * S), RULE.messages.n);
    digest_free(budgets_take(b, 0, &RULE));
    assert_false(spend(b, 0, "docs", 20 * S));
    withhold(b, 0, 29 * S);
    withhold(b, 0, 29 * S);
    digest_free(budgets_take(b, 0, &RULE));
    assert_int_equal(spend_20(b, "blog", 30 * S), RULE.messages.n); /* none in the last period */
    assert_false(spend(b, 0, "shop", 30 * S));
}

static void an_app_alone_has_no_message_beyond_the_budget(void **state)
{
    struct budgets *b = *state;

    for (int i = 0; i < 9; i++) {
        assert_int_equal(spend_20(b, "shop", i * 10 * S), i == 0 ? RULE.messages.n : 0);
        withhold(b, 0, i * 10 * S);
        digest_free(budgets_take(b, 0, &RULE));
    }
}

static void a_few_apps_leave_messages_for_the_first_alerts_of_others(void **state)
{
    struct budgets *b = *state;

    assert_int_equal(spend_20(b, "shop", 0), RULE.messages.n);
    assert_int_equal(spend_20(b, "a", 0) + spend_20(b, "b", 0) + spend_20(b, "c", 0),
                     BUDGETS_FURTHER);
    assert_int_equal(spend_20(b, "d", 0), 1);
}

static void many_apps_that_fail_at_once_have_a_bound(void **state)
{
    struct budgets *b = *state;
    size_t sent = 0;

    for (int i = 0; i < 1000; i++) {
        char app[8];

        snprintf(app, sizeof app, "a%d", i);
        sent += spend(b, 0, app, i);
    }
    assert_int_equal(sent, RULE.messages.n + BUDGETS_APPS);
    assert_int_equal(b->list[0].alerted.n, 1000);
    assert_true(spend(b, 0, "a0", 30 * S));
    assert_int_equal(b->list[0].alerted.n, 1);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, open_budgets, close_budgets)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_period_begins_with_the_first_alert_after_the_last),
        TEST(a_digest_is_due_when_its_period_ends),
        TEST(a_storm_ends_with_a_period_in_which_nothing_was_withheld),
        TEST(a_moved_budget_goes_on),
        TEST(a_period_at_the_end_of_time_never_ends),
        TEST(an_app_with_few_alerts_gets_messages_beyond_the_budget),
        TEST(an_app_alone_has_no_message_beyond_the_budget),
        TEST(a_few_apps_leave_messages_for_the_first_alerts_of_others),
        TEST(many_apps_that_fail_at_once_have_a_bound),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
