/* Tests the marks of lost lines. */
#include "alerter/engine/losses.h"

#include "tests/unit/unit.h"

#include <string.h>

UNIT_TEST(the_newest_mark_stays)
{
    struct losses l = {0};

    assert_true(losses_newest(&l, "a") == LOSSES_NONE);
    assert_int_equal(losses_mark(&l, "a", 5, 10), 0);
    assert_int_equal(losses_mark(&l, "a", 3, 10), 0);
    assert_int_equal(losses_mark(&l, "", -7, 10), 0);
    assert_true(losses_newest(&l, "a") == 5);
    assert_true(losses_newest(&l, "") == -7);
    assert_true(losses_newest(&l, "b") == LOSSES_NONE);
    assert_int_equal(losses_mark(&l, "a", 6, 10), 0);
    assert_true(losses_newest(&l, "a") == 6);
    assert_int_equal(l.n, 2);
    losses_close(&l);
    assert_true(losses_newest(&l, "a") == LOSSES_NONE);
}

UNIT_TEST(the_app_longest_without_a_mark_goes)
{
    struct losses l = {0};

    assert_int_equal(losses_mark(&l, "a", 9, 2), 0);
    assert_int_equal(losses_mark(&l, "b", 10, 2), 0);
    assert_int_equal(losses_mark(&l, "a", 1, 2), 0); /* an old mark is a mark, too */
    assert_int_equal(losses_mark(&l, "c", 2, 2), 0);
    assert_int_equal(l.n, 2);
    assert_true(losses_newest(&l, "a") == 9);
    assert_true(losses_newest(&l, "b") == LOSSES_NONE);
    assert_true(losses_newest(&l, "c") == 2);
    losses_close(&l);
}

static void save(const struct losses *l, struct buf *out)
{
    struct snapshot_writer w;

    snapshot_begin(&w, out);
    losses_save(l, &w);
    assert_int_equal(snapshot_finish(&w), 0);
}

static int load(struct losses *l, const struct buf *in, size_t max_apps, int64_t latest_ms)
{
    struct snapshot_reader r;
    struct err err;
    int rc;

    *l = (struct losses){0};
    assert_int_equal(snapshot_open(&r, in->data, in->len, &err), 0);
    rc = losses_load(l, &r, max_apps, latest_ms);
    assert_true(rc != 0 || snapshot_complete(&r));
    return rc;
}

UNIT_TEST(what_is_loaded_is_what_was_saved)
{
    struct losses l = {0}, loaded;
    struct buf bytes, again;

    buf_init(&bytes, 1000);
    buf_init(&again, 1000);
    assert_int_equal(losses_mark(&l, "a", 9, 3), 0);
    assert_int_equal(losses_mark(&l, "b", -10, 3), 0);
    assert_int_equal(losses_mark(&l, "c", 0, 3), 0);
    assert_int_equal(losses_mark(&l, "a", 9, 3), 0);
    save(&l, &bytes);
    assert_int_equal(load(&loaded, &bytes, 3, 9), 0);
    save(&loaded, &again);
    assert_int_equal(bytes.len, again.len);
    assert_memory_equal(bytes.data, again.data, again.len);
    assert_int_equal(losses_mark(&loaded, "d", 1, 3), 0);
    assert_true(losses_newest(&loaded, "b") == LOSSES_NONE); /* the stalest it was */
    losses_close(&loaded);
    assert_int_equal(load(&loaded, &bytes, 2, 9), ERR_DAMAGED);
    losses_close(&loaded);
    assert_int_equal(load(&loaded, &bytes, 3, 8), ERR_DAMAGED);
    losses_close(&loaded);
    losses_close(&l);
    buf_close(&again);
    buf_close(&bytes);
}

UNIT_TEST(what_nobody_saves_is_refused)
{
    static const struct {
        const char *first, *second;
        size_t len;
        int64_t ms;
    } faults[] = {{"a", "a", 1, 1}, {"a", "b\0c", 3, 1}, {"a", "b", 1, INT64_MIN}};

    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        struct snapshot_writer w;
        struct losses l = {0};
        struct buf out;

        buf_init(&out, 1000);
        snapshot_begin(&w, &out);
        snapshot_put_u64(&w, 2);
        snapshot_put_bytes(&w, faults[i].first, 1);
        snapshot_put_i64(&w, 1);
        snapshot_put_bytes(&w, faults[i].second, faults[i].len);
        snapshot_put_i64(&w, faults[i].ms);
        assert_int_equal(snapshot_finish(&w), 0);
        assert_int_equal(load(&l, &out, 10, 10), ERR_DAMAGED);
        losses_close(&l);
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
