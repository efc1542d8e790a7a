/* Backoff, pace and Retry-After. */
#include "tests/unit/unit.h"

#include "alerter/deliver/retry.h"

#include <stdbool.h>
#include <stdio.h>

#define T0 (INT64_C(1778141172) * TIME_S)
#define PACE_US TIME_S

static int64_t delay(const char *id, int tries)
{
    return retry_delay_us(&(struct retry_facts){.id = id, .tries = tries});
}

UNIT_TEST(test_the_first_try_is_at_once)
{
    struct retry_facts f = {.id = "0123456789abcdef"};

    assert_int_equal(retry_next_us(&f, PACE_US, T0), T0);
}

UNIT_TEST(test_the_second_comes_after_exactly_one_second)
{
    struct retry_facts f = {.id = "0123456789abcdef", .tries = 1, .last_try_us = T0 + 300};
    const int64_t next = T0 + 300 + TIME_S;

    assert_int_equal(retry_next_us(&f, PACE_US, T0 + 300), next);
    assert_int_equal(retry_next_us(&f, PACE_US, next - 1), next);
    assert_int_equal(retry_next_us(&f, PACE_US, next + 7), next + 7);
}

UNIT_TEST(test_then_it_doubles_up_to_five_minutes)
{
    static const int seconds[] = {0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300};

    for (int tries = 1; tries < 12; tries++) {
        int64_t us = delay("0123456789abcdef", tries);

        assert_true(us <= seconds[tries] * TIME_S);
        assert_true(us > seconds[tries] * TIME_S * 3 / 4 - 1);
    }
    assert_true(delay("0123456789abcdef", 1 << 30) <= RETRY_MOST_US);
}

/* Many that failed together spread over the whole of their quarter, and each at every asking
 * alike. */
UNIT_TEST(test_jitter_spreads_and_can_be_repeated)
{
    int per_tenth[10] = {0};

    for (int i = 0; i < 1000; i++) {
        char id[17];
        int64_t us;

        snprintf(id, sizeof id, "%016x", (unsigned)i);
        us = delay(id, 5);
        assert_int_equal(us, delay(id, 5));
        per_tenth[(us - 12 * TIME_S - 1) / (4 * TIME_S / 10)]++;
    }
    for (int i = 0; i < 10; i++)
        assert_in_range(per_tenth[i], 60, 140);
}

UNIT_TEST(test_jitter_differs_from_try_to_try)
{
    const int64_t at_300[] = {delay("a", 10), delay("a", 11), delay("a", 12)};

    assert_int_not_equal(at_300[0], at_300[1]);
    assert_int_not_equal(at_300[1], at_300[2]);
}

UNIT_TEST(test_what_slack_asks_for_is_done)
{
    struct retry_facts f = {.id = "a", .tries = 4};

    f.retry_after_us = 30 * TIME_S;
    assert_int_equal(retry_delay_us(&f), 30 * TIME_S);
    f.retry_after_us = 2 * TIME_S; /* also where the backoff would be longer */
    assert_int_equal(retry_delay_us(&f), 2 * TIME_S);
    f.retry_after_us = 1;
    assert_int_equal(retry_delay_us(&f), RETRY_AFTER_LEAST_US);
    f.retry_after_us = INT64_MAX;
    assert_int_equal(retry_delay_us(&f), RETRY_AFTER_MOST_US);
    f.retry_after_us = -1; /* nothing */
    assert_int_equal(retry_delay_us(&f), delay("a", 4));
}

UNIT_TEST(test_the_pace_of_a_channel)
{
    struct retry_facts f = {.id = "a", .channel_last_us = T0 - 400 * TIME_MS};

    assert_int_equal(retry_next_us(&f, PACE_US, T0), T0 + 600 * TIME_MS);
    f.tries = 1; /* of its own wait and the channel's, the longer */
    f.last_try_us = T0;
    assert_int_equal(retry_next_us(&f, PACE_US, T0), T0 + TIME_S);
    f.channel_last_us = T0 + 100;
    assert_int_equal(retry_next_us(&f, PACE_US, T0 + 100), T0 + 100 + TIME_S);
}

UNIT_TEST(test_a_clock_that_was_set_back_makes_no_silence)
{
    struct retry_facts f = {
        .id = "a", .tries = 9, .last_try_us = T0 + TIME_HOUR, .channel_last_us = T0 + TIME_HOUR};

    assert_int_equal(retry_next_us(&f, PACE_US, T0), T0);
}

/* The tries of a message to a Slack that is away, in virtual time: they never come closer than they
 * should, and an hour's outage is over at most five minutes late. */
UNIT_TEST(test_a_day_of_outage)
{
    struct retry_facts f = {.id = "fedcba9876543210"};
    int64_t now = T0;

    while (now < T0 + TIME_DAY) {
        int64_t next;

        f.tries++;
        f.last_try_us = f.channel_last_us = now;
        next = retry_next_us(&f, PACE_US, now);
        assert_in_range(next - now, PACE_US, RETRY_MOST_US);
        now = next;
    }
    assert_in_range(f.tries, 288, 400);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_first_try_is_at_once),
        cmocka_unit_test(test_the_second_comes_after_exactly_one_second),
        cmocka_unit_test(test_then_it_doubles_up_to_five_minutes),
        cmocka_unit_test(test_jitter_spreads_and_can_be_repeated),
        cmocka_unit_test(test_jitter_differs_from_try_to_try),
        cmocka_unit_test(test_what_slack_asks_for_is_done),
        cmocka_unit_test(test_the_pace_of_a_channel),
        cmocka_unit_test(test_a_clock_that_was_set_back_makes_no_silence),
        cmocka_unit_test(test_a_day_of_outage),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
