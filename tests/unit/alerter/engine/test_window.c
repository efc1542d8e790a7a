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
    assert_true(w.n_blocks < 2 * MANY / w.cap);
    assert_int_equal(judge(&w, 3 * MANY, 4 * MANY).count, 3 * MANY);
    put(&w, 3 * MANY + KEEP_MS, 1);
    assert_int_equal(w.n, 1);
    assert_true(w.n_blocks == 1 && w.cap <= 8);
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

/* A large window as the slowest obvious list of its times. */
struct list {
    struct window_run times[4096];
    size_t n;
    int64_t merged_ms;
};

static void list_drop(struct list *l, size_t n)
{
    memmove(l->times, l->times + n, (l->n - n) * sizeof *l->times);
    l->n -= n;
}

static void list_put(struct list *l, int64_t ms, uint64_t n)
{
    size_t i = 0;

    while (i < l->n && l->times[i].ms < ms)
        i++;
    if (i == l->n || l->times[i].ms != ms) {
        assert_true(l->n < sizeof l->times / sizeof *l->times);
        memmove(&l->times[i + 1], &l->times[i], (l->n++ - i) * sizeof *l->times);
        l->times[i] = (struct window_run){ms, 0};
    }
    l->times[i].n += n;
}

static void list_keep(struct list *l, int64_t keep_ms, size_t max_times)
{
    while (l->times[0].ms <= l->times[l->n - 1].ms - keep_ms)
        list_drop(l, 1);
    for (; l->n > max_times; list_drop(l, 1)) {
        l->times[1].n += l->times[0].n;
        l->merged_ms = l->times[1].ms;
    }
}

static struct window_count list_judge(const struct list *l, const struct window_run *fresh,
                                      size_t n, int64_t within_ms)
{
    struct window_count best = {0};

    for (size_t end = 0; end < l->n; end++) {
        int64_t end_ms = l->times[end].ms, first_ms = end_ms;
        uint64_t count = 0;
        int has_fresh = 0;

        for (size_t f = 0; f < n; f++) {
            int64_t ms = fresh[f].ms < l->times[0].ms ? l->times[0].ms : fresh[f].ms;

            has_fresh |= ms <= end_ms && ms > end_ms - within_ms;
        }
        for (size_t i = end + 1; has_fresh && i-- > 0 && l->times[i].ms > end_ms - within_ms;) {
            count += l->times[i].n;
            first_ms = l->times[i].ms;
        }
        if (has_fresh && count >= best.count)
            best = (struct window_count){.count = count,
                                         .first_ms = first_ms,
                                         .last_ms = end_ms,
                                         .about = end_ms - within_ms < l->merged_ms};
    }
    return best;
}

static uint32_t rnd(uint32_t *random, uint32_t below)
{
    *random = *random * 1664525 + 1013904223;
    return (*random >> 8) % below;
}

/* Mostly at the end and near the borders of blocks, which are 256 times of a window or less. */
static int64_t pick_ms(const struct list *l, uint32_t *random)
{
    int64_t end_ms = l->n == 0 ? 0 : l->times[l->n - 1].ms;
    int64_t near_ms = (int64_t)rnd(random, 3) - 1;
    size_t border = (size_t)rnd(random, 16) * 128;

    switch (rnd(random, 6)) {
    case 0:
        return end_ms + (rnd(random, 500) == 0 ? rnd(random, 7000) : 0); /* forgets blocks */
    case 1:
    case 2:
        return end_ms + 1 + rnd(random, 4);
    case 3:
        return border < l->n ? l->times[border].ms + near_ms : end_ms;
    case 4:
        return l->n == 0 ? 0 : l->times[0].ms + near_ms;
    default:
        return end_ms - (int64_t)rnd(random, 4000);
    }
}

static void agree(const struct window *w, const struct list *l, const struct window_run *runs,
                  size_t n, int64_t within_ms)
{
    struct window_count most = window_judge(w, runs, n, within_ms);
    struct window_count plain = list_judge(l, runs, n, within_ms);
    uint64_t after = 0;

    assert_int_equal(w->n, l->n);
    assert_int_equal(most.count, plain.count);
    assert_int_equal(most.first_ms, plain.first_ms);
    assert_int_equal(most.last_ms, plain.last_ms);
    assert_true(most.about == plain.about);
    assert_true(window_exceeds(w, runs, n, within_ms, plain.count - 1));
    assert_true(window_exceeds(w, runs, n, within_ms, plain.count / 2));
    assert_false(window_exceeds(w, runs, n, within_ms, plain.count));
    for (size_t i = l->n; i-- > 0 && l->times[i].ms > runs[0].ms;)
        after += l->times[i].n;
    assert_int_equal(window_count_after(w, runs[0].ms), after);
}

/* The window as a snapshot brings it back. Returns the size of the snapshot. */
static size_t reload(struct window *w)
{
    struct snapshot_writer writer;
    struct snapshot_reader reader;
    struct buf bytes;
    struct err err;
    size_t n;

    buf_init(&bytes, 1 << 20);
    snapshot_begin(&writer, &bytes);
    window_save(w, &writer);
    assert_int_equal(snapshot_finish(&writer), 0);
    window_close(w);
    assert_int_equal(snapshot_open(&reader, bytes.data, bytes.len, &err), 0);
    assert_int_equal(window_load(w, &reader, MANY), 0);
    assert_true(snapshot_complete(&reader));
    n = bytes.len;
    buf_close(&bytes);
    return n;
}

/* An alerter that saves millions of times takes no record meanwhile. */
static void takes_bytes_a_time(int64_t gap_ms, size_t bytes)
{
    struct window w;

    window_init(&w);
    for (int64_t i = 0; i < 10000; i++)
        put(&w, i * gap_ms, 1);
    assert_in_range(reload(&w), 10000 * bytes, 10000 * bytes + 50);
    assert_int_equal(w.n, 10000);
    assert_int_equal(window_count_after(&w, 9998 * gap_ms), 1);
    window_close(&w);
}

UNIT_TEST(a_saved_time_takes_a_byte_up_to_63_ms_after_another)
{
    takes_bytes_a_time(1, 1);
    takes_bytes_a_time(63, 1);
    takes_bytes_a_time(64, 2);
    takes_bytes_a_time(360, 2);
}

static int load_version(int version, const uint64_t *numbers, size_t n, struct window *w)
{
    struct snapshot_writer writer;
    struct snapshot_reader reader;
    struct buf bytes;
    struct err err;
    int rc;

    buf_init(&bytes, 1000);
    snapshot_begin(&writer, &bytes);
    for (size_t i = 0; i < n; i++)
        snapshot_put_u64(&writer, numbers[i]);
    assert_int_equal(snapshot_finish(&writer), 0);
    assert_int_equal(snapshot_open(&reader, bytes.data, bytes.len, &err), 0);
    reader.version = version;
    window_init(w);
    rc = window_load(w, &reader, MANY);
    assert_true(rc != 0 || snapshot_complete(&reader));
    buf_close(&bytes);
    return rc;
}

/* Nothing was merged; then how many times, the first one doubled for its sign, and the times. */
UNIT_TEST(a_window_of_version_5_is_read)
{
    static const uint64_t v5[] = {0, 3, 2 * 1000, 4, 70, 1, 5, 2},
                          v6[] = {0, 3, 2000, 1, 4, 140, 11, 2};
    struct window old, new;

    assert_int_equal(load_version(5, v5, 8, &old), 0);
    assert_int_equal(load_version(6, v6, 8, &new), 0);
    for (int64_t ms = 999; ms < 1080; ms++)
        assert_int_equal(window_count_after(&old, ms), window_count_after(&new, ms));
    assert_int_equal(window_count_after(&old, 999), 7);
    assert_int_equal(window_count_after(&old, 1000), 3);
    assert_int_equal(window_count_after(&old, 1070), 2);
    window_close(&old);
    window_close(&new);
}

UNIT_TEST(saved_times_that_no_window_has_are_damage)
{
    static const uint64_t many = UINT64_MAX >> 1;
    static const uint64_t windows[][6] = {
        {0, 2, 2000, 2, 2},          /* a distance before the first */
        {0, 2, 2000, 0, 0},          /* none before the second */
        {0, 2, 2000, 0, UINT64_MAX}, /* beyond the end of time */
        {0, 2, 2000, 1, 0, 2},       /* no match */
        {0, 2, 2000, 1, many, 2},    /* more than a sum can hold */
    };
    struct window w;

    for (size_t i = 0; i < sizeof windows / sizeof *windows; i++) {
        assert_int_equal(load_version(6, windows[i], windows[i][3] & 1 ? 6 : 5, &w), ERR_DAMAGED);
        window_close(&w);
    }
}

UNIT_TEST(late_matches_of_a_large_window_agree_with_a_plain_list)
{
    enum { LARGE_MS = 6000, LARGE_MAX = 1200, STEPS = 20000 };
    static struct list l;
    struct window w;
    uint32_t random = 7;
    bool was_full = false;

    window_init(&w);
    l.merged_ms = INT64_MIN;
    for (int step = 0; step < STEPS; step++) {
        struct window_run runs[3];
        size_t n = 1 + rnd(&random, 3), late;

        for (size_t i = 0; i < n; i++)
            runs[i] = (struct window_run){pick_ms(&l, &random), 1 + rnd(&random, 2)};
        n = window_sort(runs, n);
        late = window_late(&w, runs, n, LARGE_MS);
        for (size_t i = late; i < n; i++)
            list_put(&l, runs[i].ms, runs[i].n);
        list_keep(&l, LARGE_MS, LARGE_MAX);
        assert_int_equal(window_put(&w, runs + late, n - late, LARGE_MS, LARGE_MAX), 0);
        was_full |= w.n == LARGE_MAX;
        if (late < n && (step % 8 == 0 || w.n < 20))
            agree(&w, &l, runs + late, n - late, 1 + rnd(&random, step % 16 == 0 ? LARGE_MS : 40));
        if (step % 1000 == 999)
            reload(&w);
    }
    assert_true(was_full);
    window_close(&w);
}

UNIT_TEST(late_matches_leave_blocks_at_least_half_full)
{
    struct window w;
    uint32_t random = 3;

    window_init(&w);
    put(&w, 0, 1);
    put(&w, KEEP_MS - 1, 1);
    for (int i = 0; i < 40000; i++)
        put(&w, rnd(&random, KEEP_MS), 1);
    assert_true(w.n > 30000 && w.n_blocks <= 2 * w.n / w.cap + 2);
    window_close(&w);
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
        cmocka_unit_test(a_saved_time_takes_a_byte_up_to_63_ms_after_another),
        cmocka_unit_test(a_window_of_version_5_is_read),
        cmocka_unit_test(saved_times_that_no_window_has_are_damage),
        cmocka_unit_test(late_matches_of_a_large_window_agree_with_a_plain_list),
        cmocka_unit_test(late_matches_leave_blocks_at_least_half_full),
        cmocka_unit_test(the_ends_of_time_are_times),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
