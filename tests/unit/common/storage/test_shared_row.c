/* How small records share a row of a journal, and how their lengths are read again. */
#include "tests/unit/unit.h"

#include "common/storage/shared_row.h"

static char record[SHARED_ROW_RECORD_BYTES + 1];

static void add(struct shared_row *row, size_t n)
{
    assert_true(shared_row_takes(row, n));
    assert_int_equal(shared_row_add(row, record, n), 0);
}

static void test_a_row_takes_small_records_until_it_is_full(void **state)
{
    struct shared_row row;
    size_t n = 0;

    (void)state;
    shared_row_init(&row);
    assert_false(shared_row_takes(&row, SHARED_ROW_RECORD_BYTES + 1));
    add(&row, SHARED_ROW_RECORD_BYTES);
    add(&row, 0);
    for (n = row.n; shared_row_takes(&row, 100); n++)
        add(&row, 100);
    assert_int_equal(row.n, n);
    assert_in_range(row.bytes.len + n * SHARED_ROW_LEN_BYTES, SHARED_ROW_BYTES - 102,
                    SHARED_ROW_BYTES);
    add(&row, SHARED_ROW_BYTES - row.bytes.len - (n + 1) * SHARED_ROW_LEN_BYTES);
    assert_false(shared_row_takes(&row, 0));
    shared_row_clear(&row);
    assert_int_equal(row.n, 0);
    add(&row, SHARED_ROW_RECORD_BYTES);
    shared_row_close(&row);
}

static void test_lengths_come_back(void **state)
{
    static const size_t sizes[] = {0, 1, 255, 256, 499, 500};
    struct shared_row row;

    (void)state;
    shared_row_init(&row);
    for (size_t i = 0; i < 6; i++)
        add(&row, sizes[i]);
    for (size_t i = 0; i < 6; i++)
        assert_int_equal(shared_row_len(row.lens, i), sizes[i]);
    assert_true(shared_row_is_sound(row.lens, 6, row.bytes.len));
    assert_false(shared_row_is_sound(row.lens, 5, row.bytes.len));
    assert_false(shared_row_is_sound(row.lens, 0, 0));
    shared_row_close(&row);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_row_takes_small_records_until_it_is_full),
        cmocka_unit_test(test_lengths_come_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
