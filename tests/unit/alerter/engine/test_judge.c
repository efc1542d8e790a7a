/* Tests the decision on one key: breach, cooldown and suppressed matches. */
#include "alerter/engine/judge.h"

#include "common/base/time.h"

#include "tests/unit/unit.h"

#define NOW INT64_C(1778141172000000)

static const struct rule RULE = {
    .more_than = 1, .within_us = TIME_MINUTE, .cooldown_us = 5 * TIME_MINUTE};

/* Puts `n` matches in at a time and judges the key then. */
static struct judge_result put(struct key *key, uint64_t n, int64_t at_us)
{
    const struct window_run run = {.ms = at_us / TIME_MS, .n = n};

    assert_int_equal(window_put(&key->window, &run, 1, 1000000, 100), 0);
    return judge_key(key, &RULE, &run, 1, at_us);
}

static struct key new_key(void)
{
    struct key key = {.alerted_us = KEY_NEVER};

    window_init(&key.window);
    return key;
}

UNIT_TEST(a_cooldown_ends_exactly)
{
    struct key key = new_key();

    assert_true(judge_cooldown_end_us(&key, &RULE) == INT64_MIN);
    assert_int_equal(put(&key, 1, NOW).verdict, JUDGE_QUIET);
    assert_int_equal(put(&key, 1, NOW + 1).verdict, JUDGE_ALERT);
    assert_true(judge_cooldown_end_us(&key, &RULE) == NOW + 1 + 5 * TIME_MINUTE);
    assert_int_equal(put(&key, 2, NOW + 5 * TIME_MINUTE).verdict, JUDGE_COOLED);
    assert_int_equal(put(&key, 1, NOW + 1 + 5 * TIME_MINUTE).verdict, JUDGE_ALERT);
    window_close(&key.window);
}

UNIT_TEST(suppressed_matches_are_counted_from_alert_to_alert)
{
    struct key key = new_key();

    assert_int_equal(put(&key, 5, NOW).suppressed, 0);
    put(&key, 3, NOW + TIME_S);
    put(&key, 1, NOW + 3 * TIME_MINUTE); /* no breach, and suppressed all the same */
    assert_int_equal(put(&key, 2, NOW + 6 * TIME_MINUTE).suppressed, 4);
    assert_int_equal(put(&key, 2, NOW + 12 * TIME_MINUTE).suppressed, 0);
    window_close(&key.window);
}

UNIT_TEST(the_first_breach_of_each_cooldown_is_marked)
{
    struct key key = new_key();

    put(&key, 2, NOW);
    assert_int_equal(put(&key, 1, NOW + 2 * TIME_MINUTE).verdict, JUDGE_QUIET);
    assert_true(put(&key, 2, NOW + 2 * TIME_MINUTE).is_first);
    assert_false(put(&key, 2, NOW + 3 * TIME_MINUTE).is_first);
    assert_int_equal(put(&key, 2, NOW + 6 * TIME_MINUTE).verdict, JUDGE_ALERT);
    assert_true(put(&key, 2, NOW + 7 * TIME_MINUTE).is_first);
    window_close(&key.window);
}

UNIT_TEST(a_window_is_rounded_up_to_milliseconds)
{
    assert_int_equal(judge_within_ms(&(struct rule){.within_us = 1500}), 2);
    assert_int_equal(judge_within_ms(&(struct rule){.within_us = 2000}), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_cooldown_ends_exactly),
        cmocka_unit_test(suppressed_matches_are_counted_from_alert_to_alert),
        cmocka_unit_test(the_first_breach_of_each_cooldown_is_marked),
        cmocka_unit_test(a_window_is_rounded_up_to_milliseconds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
