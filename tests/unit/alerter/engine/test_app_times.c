/* Tests the times of apps. */
#include "alerter/engine/app_times.h"

#include "tests/unit/unit.h"

#include <string.h>

UNIT_TEST(the_newest_mark_stays)
{
    struct app_times l = {0};

    assert_true(app_times_newest(&l, "a") == APP_TIMES_NONE);
    assert_int_equal(app_times_mark(&l, "a", 5, 10), 0);
    assert_int_equal(app_times_mark(&l, "a", 3, 10), 0);
    assert_int_equal(app_times_mark(&l, "", -7, 10), 0);
    assert_true(app_times_newest(&l, "a") == 5);
    assert_true(app_times_newest(&l, "") == -7);
    assert_true(app_times_newest(&l, "b") == APP_TIMES_NONE);
    assert_int_equal(app_times_mark(&l, "a", 6, 10), 0);
    assert_true(app_times_newest(&l, "a") == 6);
    assert_int_equal(l.n, 2);
    app_times_close(&l);
    assert_true(app_times_newest(&l, "a") == APP_TIMES_NONE);
}

UNIT_TEST(the_app_longest_without_a_mark_goes)
{
    struct app_times l = {0};

    assert_int_equal(app_times_mark(&l, "a", 9, 2), 0);
    assert_int_equal(app_times_mark(&l, "b", 10, 2), 0);
    assert_int_equal(app_times_mark(&l, "a", 1, 2), 0); /* an old mark is a mark, too */
    assert_int_equal(app_times_mark(&l, "c", 2, 2), 0);
    assert_int_equal(l.n, 2);
    assert_true(app_times_newest(&l, "a") == 9);
    assert_true(app_times_newest(&l, "b") == APP_TIMES_NONE);
    assert_true(app_times_newest(&l, "c") == 2);
    app_times_close(&l);
}

static void save(const struct app_times *l, struct buf *out)
{
    struct snapshot_writer w;

    snapshot_begin(&w, out);
    app_times_save(l, &w);
    assert_int_equal(snapshot_finish(&w), 0);
}

static int load(struct app_times *l, const struct buf *in, size_t max_apps, int64_t latest)
{
    struct snapshot_reader r;
    struct err err;
    int rc;

    *l = (struct app_times){0};
    assert_int_equal(snapshot_open(&r, in->data, in->len, &err), 0);
    rc = app_times_load(l, &r, max_apps, latest);
    assert_true(rc != 0 || snapshot_complete(&r));
    return rc;
}

UNIT_TEST(what_is_loaded_is_what_was_saved)
{
    struct app_times l = {0}, loaded;
    struct buf bytes, again;

    buf_init(&bytes, 1000);
    buf_init(&again, 1000);
    assert_int_equal(app_times_mark(&l, "a", 9, 3), 0);
    assert_int_equal(app_times_mark(&l, "b", -10, 3), 0);
    assert_int_equal(app_times_mark(&l, "c", 0, 3), 0);
    assert_int_equal(app_times_mark(&l, "a", 9, 3), 0);
    save(&l, &bytes);
    assert_int_equal(load(&loaded, &bytes, 3, 9), 0);
    save(&loaded, &again);
    assert_int_equal(bytes.len, again.len);
    assert_memory_equal(bytes.data, again.data, again.len);
    assert_int_equal(app_times_mark(&loaded, "d", 1, 3), 0);
    assert_true(app_times_newest(&loaded, "b") == APP_TIMES_NONE); /* the stalest it was */
    app_times_close(&loaded);
    assert_int_equal(load(&loaded, &bytes, 2, 9), ERR_DAMAGED);
    app_times_close(&loaded);
    assert_int_equal(load(&loaded, &bytes, 3, 8), ERR_DAMAGED);
    app_times_close(&loaded);
    app_times_close(&l);
    buf_close(&again);
    buf_close(&bytes);
}

UNIT_TEST(what_nobody_saves_is_refused)
{
    static const struct {
        const char *first, *second;
        size_t len;
        int64_t time;
    } faults[] = {{"a", "a", 1, 1}, {"a", "b\0c", 3, 1}, {"a", "b", 1, INT64_MIN}};

    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        struct snapshot_writer w;
        struct app_times l = {0};
        struct buf out;

        buf_init(&out, 1000);
        snapshot_begin(&w, &out);
        snapshot_put_u64(&w, 2);
        snapshot_put_bytes(&w, faults[i].first, 1);
        snapshot_put_i64(&w, 1);
        snapshot_put_bytes(&w, faults[i].second, faults[i].len);
        snapshot_put_i64(&w, faults[i].time);
        assert_int_equal(snapshot_finish(&w), 0);
        assert_int_equal(load(&l, &out, 10, 10), ERR_DAMAGED);
        app_times_close(&l);
        buf_close(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_newest_mark_stays),
        cmocka_unit_test(the_app_longest_without_a_mark_goes),
        cmocka_unit_test(what_is_loaded_is_what_was_saved),
        cmocka_unit_test(what_nobody_saves_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
