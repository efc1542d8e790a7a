/* Tests the counting of matches in a window. */
#include "alerter/engine/window.h"

#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>

enum { MINUTE_MS = 60000, KEEP_MS = 3600000 + MINUTE_MS, MANY = 65536 };

static void put(struct window *w, int64_t ms, uint64_t n)
{
    struct window_run run = {ms, n};

    assert_int_equal(window_put(w, &run, 1, KEEP_MS, MANY), 0);
}

static struct window_count judge(struct window *w, int64_t ms, int64_t within_ms)
{
    struct window_run fresh = {ms, 1};

    return window_judge(w, &fresh, 1, within_ms);
}

UNIT_TEST(a_match_exactly_within_old_is_outside)
{
    struct window w;

    window_init(&w);
    put(&w, 1000, 1);
    put(&w, 1000 + MINUTE_MS, 1);
    assert_int_equal(judge(&w, 1000 + MINUTE_MS, MINUTE_MS).count, 1);
    assert_int_equal(judge(&w, 1000 + MINUTE_MS, MINUTE_MS + 1).count, 2);
    window_close(&w);
}

UNIT_TEST(the_largest_interval_with_a_fresh_match_counts)
{
    struct window w;
    struct window_count most;

    window_init(&w);
    put(&w, 100, 50); /* a larger storm, out of reach of later matches */
    put(&w, 10000, 2);
    put(&w, 10004, 3);
    put(&w, 10012, 1);
    put(&w, 10006, 1); /* late: it lies in intervals that end after it, too */
    most = judge(&w, 10006, 10);
    assert_int_equal(most.count, 6);
    assert_int_equal(most.first_ms, 10000);
    assert_int_equal(most.last_ms, 10006);
    assert_false(most.about);
    window_close(&w);
}

UNIT_TEST(of_several_intervals_the_latest_counts)
{
    struct window w;
    struct window_count most;

    window_init(&w);
    put(&w, 1000, 2);
    put(&w, 1010, 2);
    put(&w, 1005, 1);
    most = judge(&w, 1005, 6);
    assert_int_equal(most.count, 3);
    assert_int_equal(most.first_ms, 1005);
    assert_int_equal(most.last_ms, 1010);
    window_close(&w);
}

UNIT_TEST(sorting_makes_one_run_of_a_time)
{
    struct window_run runs[] = {{5, 1}, {3, 2}, {5, 4}, {-1, 1}, {3, 1}};

    assert_int_equal(window_sort(runs, 5), 3);
    assert_true(runs[0].ms == -1 && runs[0].n == 1);
    assert_true(runs[1].ms == 3 && runs[1].n == 3);
    assert_true(runs[2].ms == 5 && runs[2].n == 5);
}

UNIT_TEST(what_is_too_old_is_late_and_forgotten)
{
    struct window w;
    struct window_run runs[] = {{1, 1}, {2, 1}, {2 + KEEP_MS, 1}};

    window_init(&w);
    assert_int_equal(window_late(&w, runs, 3, KEEP_MS), 2); /* the newest may be among them */
    put(&w, 1, 1);
    put(&w, 2, 1);
    put(&w, 1 + KEEP_MS, 1);
    assert_int_equal(w.n, 2);
    assert_int_equal(window_late(&w, runs, 1, KEEP_MS), 1);
    assert_int_equal(window_late(&w, runs + 1, 1, KEEP_MS), 0);
    window_close(&w);
}

UNIT_TEST(above_the_bound_the_oldest_two_merge)
{
    struct window_run runs[] = {{10, 1}, {20, 2}, {30, 4}, {40, 8}};
    struct window_run older = {5, 16};
    struct window_count most;
    struct window w;

    window_init(&w);
    assert_int_equal(window_put(&w, runs, 4, KEEP_MS, 3), 0);
    assert_int_equal(w.n, 3);
    most = judge(&w, 40, 15); /* (25, 40] is behind the merged time */
    assert_true(most.count == 12 && !most.about);
    most = judge(&w, 40, 21); /* (19, 40] is not */
    assert_true(most.count == 15 && most.about && most.first_ms == 20);
    assert_int_equal(window_put(&w, &older, 1, KEEP_MS, 3), 0);
    most = window_judge(&w, &older, 1, 1); /* it lies at 20 now */
    assert_true(most.count == 19 && most.first_ms == 20 && most.last_ms == 20 && most.about);
    window_close(&w);
}

UNIT_TEST(a_storm_stays_bounded_and_memory_comes_back)
{
    struct window w;

    window_init(&w);
    for (int64_t ms = 1; ms <= 3 * MANY; ms++)
        put(&w, ms, 1);
    assert_int_equal(w.n, MANY);
    assert_true(w.cap < 2 * MANY);
    assert_int_equal(judge(&w, 3 * MANY, 4 * MANY).count, 3 * MANY);
    put(&w, 3 * MANY + KEEP_MS, 1);
    assert_int_equal(w.n, 1);
    assert_true(w.cap <= 8);
    window_close(&w);
}

/* A window held as a plain list of matches, counted anew each time. */
struct plain {
    int64_t ms[4096];
    size_t n;
};

/* Of several intervals the latest; `at` are the times of fresh matches. */
static struct window_count judge_plain(const struct plain *p, const int64_t *at, size_t n,
                                       int64_t within_ms)
{
    struct window_count best = {0};

    for (size_t i = 0; i < p->n; i++) {
        int64_t end = p->ms[i], first = end;
        uint64_t count = 0;
        int has_fresh = 0;

        for (size_t j = 0; j < p->n; j++) {
            int inside = p->ms[j] <= end && p->ms[j] > end - within_ms;

            count += (uint64_t)inside;
            first = inside && p->ms[j] < first ? p->ms[j] : first;
        }
        for (size_t j = 0; j < n; j++)
            has_fresh |= at[j] <= end && at[j] > end - within_ms;
        if (has_fresh && (count > best.count || (count == best.count && end > best.last_ms)))
            best = (struct window_count){.count = count, .first_ms = first, .last_ms = end};
    }
    return best;
}

UNIT_TEST(random_batches_agree_with_a_plain_list)
{
    static struct plain p;
    uint32_t random = 1;

    for (int round = 0; round < 40; round++) {
        struct window w;

        window_init(&w);
        p.n = 0;
        for (int batch = 0; batch < 60; batch++) {
            struct window_run runs[8];
            struct window_count most, plain;
            int64_t fresh[8], within;
            size_t n;

            random = random * 1664525 + 1013904223;
            n = 1 + (random >> 8) % 8;
            within = 1 + (random >> 16) % 40;
            for (size_t i = 0; i < n; i++) {
                random = random * 1664525 + 1013904223;
                fresh[i] = batch * 3 + (int64_t)((random >> 10) % 60);
                runs[i] = (struct window_run){fresh[i], 1};
                p.ms[p.n++] = fresh[i];
            }
            n = window_sort(runs, n);
            assert_int_equal(window_late(&w, runs, n, KEEP_MS), 0);
            assert_int_equal(window_put(&w, runs, n, KEEP_MS, MANY), 0);
            for (size_t i = 0; i < n; i++)
                fresh[i] = runs[i].ms;
            most = window_judge(&w, runs, n, within);
            plain = judge_plain(&p, fresh, n, within);
            assert_int_equal(most.count, plain.count);
            assert_int_equal(most.first_ms, plain.first_ms);
            assert_int_equal(most.last_ms, plain.last_ms);
        }
        window_close(&w);
    }
}

UNIT_TEST(the_ends_of_time_are_times)
{
    struct window_run ends[] = {{INT64_MIN / 1000, 1}, {INT64_MAX / 1000, 1}};
    struct window w;

    window_init(&w);
    assert_int_equal(window_late(&w, ends, 2, KEEP_MS), 1);
    put(&w, ends[0].ms, 1);
    assert_int_equal(judge(&w, ends[0].ms, MINUTE_MS).count, 1);
    put(&w, ends[1].ms, 1);
    assert_int_equal(w.n, 1);
    assert_int_equal(judge(&w, ends[1].ms, MINUTE_MS).count, 1);
    window_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_match_exactly_within_old_is_outside),
        cmocka_unit_test(the_largest_interval_with_a_fresh_match_counts),
        cmocka_unit_test(of_several_intervals_the_latest_counts),
        cmocka_unit_test(sorting_makes_one_run_of_a_time),
        cmocka_unit_test(what_is_too_old_is_late_and_forgotten),
        cmocka_unit_test(above_the_bound_the_oldest_two_merge),
        cmocka_unit_test(a_storm_stays_bounded_and_memory_comes_back),
        cmocka_unit_test(random_batches_agree_with_a_plain_list),
        cmocka_unit_test(the_ends_of_time_are_times),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
