/* Buffers: appends, ceilings, and running out of memory. */
#include "common/base/buf.h"
#include "common/base/err.h"
#include "tests/unit/unit.h"

#include <stdio.h>
#include <string.h>

UNIT_TEST(an_empty_buffer_reads_as_empty_text)
{
    struct buf b;

    buf_init(&b, 10);
    assert_string_equal(buf_text(&b), "");
    buf_clear(&b);
    assert_string_equal(buf_text(&b), "");
    assert_int_equal(buf_append(&b, NULL, 0), 0);
    assert_string_equal(buf_text(&b), "");
    buf_close(&b);
    buf_close(&b);
}

UNIT_TEST(appends_stand_behind_each_other)
{
    struct buf b;

    buf_init(&b, 1000);
    assert_int_equal(buf_puts(&b, "one"), 0);
    assert_int_equal(buf_append(&b, "\0two", 4), 0);
    assert_int_equal(buf_printf(&b, "-%d-%s", 3, "four"), 0);
    assert_int_equal(b.len, 14);
    assert_memory_equal(b.data, "one\0two-3-four", 15);
    buf_clear(&b);
    assert_int_equal(b.len, 0);
    assert_string_equal(buf_text(&b), "");
    assert_int_equal(buf_puts(&b, "again"), 0);
    assert_string_equal(buf_text(&b), "again");
    buf_close(&b);
    assert_null(b.data);
    assert_int_equal(b.max_bytes, 1000);
}

UNIT_TEST(the_ceiling_holds_and_nothing_changes_beyond_it)
{
    struct buf b;

    buf_init(&b, 5);
    assert_int_equal(buf_puts(&b, "abc"), 0);
    assert_int_equal(b.failed, 0);
    assert_int_equal(buf_puts(&b, "def"), ERR_FULL);
    assert_int_equal(buf_printf(&b, "%s", "def"), ERR_FULL);
    assert_int_equal(buf_reserve(&b, 3), ERR_FULL);
    assert_int_equal(buf_reserve(&b, SIZE_MAX), ERR_FULL);
    assert_string_equal(buf_text(&b), "abc");
    assert_int_equal(buf_puts(&b, "de"), 0);
    assert_string_equal(buf_text(&b), "abcde");
    assert_int_equal(buf_puts(&b, "f"), ERR_FULL);
    assert_int_equal(buf_puts(&b, ""), 0);
    assert_int_equal(b.failed, ERR_FULL);
    buf_clear(&b);
    assert_int_equal(b.failed, 0);
    buf_close(&b);
}

UNIT_TEST(a_size_beyond_memory_is_refused)
{
    struct buf b;

    buf_init(&b, SIZE_MAX);
    assert_int_equal(buf_puts(&b, "abc"), 0);
    assert_int_equal(buf_reserve(&b, SIZE_MAX - 3), ERR_NOMEM);
    assert_int_equal(buf_reserve(&b, SIZE_MAX / 2), ERR_NOMEM);
    assert_int_equal(buf_reserve(&b, SIZE_MAX), ERR_FULL);
    assert_int_equal(b.failed, ERR_NOMEM);
    assert_string_equal(buf_text(&b), "abc");
    buf_close(&b);
}

/* Every length around the powers of two at which the memory grows keeps its content and its zero.
 */
UNIT_TEST(growth_keeps_content_and_zero)
{
    for (size_t step = 1; step < 300; step += 7) {
        struct buf b;

        buf_init(&b, 2000);
        for (size_t i = 0; b.len + step <= 2000; i++) {
            char piece[300];

            memset(piece, 'a' + (int)(i % 26), step);
            assert_int_equal(buf_append(&b, piece, step), 0);
            assert_int_equal(b.data[b.len], 0);
            assert_true(b.len < b.cap);
        }
        for (size_t i = 0; i < b.len; i++)
            assert_int_equal(b.data[i], 'a' + (int)(i / step % 26));
        buf_close(&b);
    }
}

UNIT_TEST(reserved_room_can_be_written)
{
    struct buf b;

    buf_init(&b, 5000);
    assert_int_equal(buf_puts(&b, "head"), 0);
    assert_int_equal(buf_reserve(&b, 4996), 0);
    assert_int_equal(b.len, 4);
    memset(b.data + b.len, 'x', 4996);
    b.len += 4996;
    assert_int_equal(buf_reserve(&b, 1), ERR_FULL);
    assert_memory_equal(b.data, "headx", 5);
    buf_close(&b);
}

UNIT_TEST(an_error_is_cut_to_fit)
{
    char text[2000];
    struct err err;

    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    assert_int_equal(err_set(&err, ERR_BUSY, "%s:%d", "state", 7), ERR_BUSY);
    assert_string_equal(err.text, "state:7");
    assert_int_equal(err_set(&err, ERR_IO, "%s", text), ERR_IO);
    assert_int_equal(strlen(err.text), sizeof err.text - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_buffer_reads_as_empty_text),
        cmocka_unit_test(appends_stand_behind_each_other),
        cmocka_unit_test(the_ceiling_holds_and_nothing_changes_beyond_it),
        cmocka_unit_test(a_size_beyond_memory_is_refused),
        cmocka_unit_test(growth_keeps_content_and_zero),
        cmocka_unit_test(reserved_room_can_be_written),
        cmocka_unit_test(an_error_is_cut_to_fit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
