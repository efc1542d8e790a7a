/* Captures that are written, cut, damaged and read in pieces. */
#include "tests/unit/unit.h"

#include "common/record/capture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const ENTRIES[] = {"one", "", "a somewhat longer entry", "\xff\x00"};
enum { N = sizeof ENTRIES / sizeof ENTRIES[0] };

static void write_all(struct buf *out)
{
    buf_init(out, 1 << 20);
    assert_int_equal(capture_write_header(out), 0);
    for (size_t i = 0; i < N; i++) {
        struct wire_bytes entry = {(const uint8_t *)ENTRIES[i], strlen(ENTRIES[i])};

        assert_int_equal(capture_write(out, entry), 0);
    }
}

/* Reads in pieces of `step` bytes; answers how many entries came before the end or an error. */
static size_t read_all(const uint8_t *bytes, size_t n, size_t step, int *rc, struct err *err)
{
    struct capture_reader r = {0};
    size_t at = 0, have = 0, count = 0, used;
    struct wire_bytes entry;

    for (;;) {
        *rc = capture_read(&r, bytes + at, have - at, &used, &entry, err);
        if (*rc == 1) {
            assert_true(count < N);
            assert_int_equal(entry.len, strlen(ENTRIES[count]));
            assert_memory_equal(entry.data, ENTRIES[count], entry.len);
            count++;
        }
        at += used;
        if (*rc < 0)
            return count;
        if (*rc == 0 && have == n)
            break;
        if (*rc == 0)
            have = n - have < step ? n : have + step;
    }
    *rc = capture_end(&r, have - at, err);
    return count;
}

UNIT_TEST(test_what_is_written_is_read)
{
    struct buf out;
    struct err err;
    int rc;

    write_all(&out);
    for (size_t step = 1; step <= out.len; step++) {
        assert_int_equal(read_all(out.data, out.len, step, &rc, &err), N);
        assert_int_equal(rc, 0);
    }
    buf_close(&out);
}

UNIT_TEST(test_a_cut_keeps_what_is_before_it)
{
    size_t ends[N + 1];
    struct buf out;
    struct err err;
    int rc;

    buf_init(&out, 1 << 20);
    assert_int_equal(capture_write_header(&out), 0);
    for (size_t i = 0; i < N; i++) {
        ends[i] = out.len;
        capture_write(&out, (struct wire_bytes){(const uint8_t *)ENTRIES[i], strlen(ENTRIES[i])});
    }
    ends[N] = out.len;
    for (size_t n = 0; n < out.len; n++) {
        size_t whole = 0;
        char offset[40];

        while (whole < N && ends[whole + 1] <= n)
            whole++;
        assert_int_equal(read_all(out.data, n, n + 1, &rc, &err), whole);
        if (n >= ends[0] && n == ends[whole]) {
            assert_int_equal(rc, 0);
            continue;
        }
        assert_int_equal(rc, ERR_DAMAGED);
        if (n < ends[0])
            continue;
        snprintf(offset, sizeof offset, "at byte %zu:", ends[whole]);
        assert_non_null(strstr(err.text, offset));
    }
    buf_close(&out);
}

UNIT_TEST(test_every_flipped_bit_is_noticed)
{
    struct buf out;
    struct err err;
    int rc;

    write_all(&out);
    for (size_t bit = 0; bit < out.len * 8; bit++) {
        uint8_t *copy = malloc(out.len); /* of that very size, so that a sanitizer sees the end */

        memcpy(copy, out.data, out.len);
        copy[bit / 8] = (uint8_t)(copy[bit / 8] ^ 1u << (bit % 8));
        assert_true(read_all(copy, out.len, out.len, &rc, &err) <= N);
        if (rc == 0) /* the only bits that nothing hangs on: a version below this one */
            assert_true(bit / 8 == 22);
        free(copy);
    }
    buf_close(&out);
}

UNIT_TEST(test_a_newer_form_is_refused)
{
    struct buf out;
    struct err err;
    int rc;

    write_all(&out);
    out.data[22] = CAPTURE_VERSION + 1;
    assert_int_equal(read_all(out.data, out.len, out.len, &rc, &err), 0);
    assert_int_equal(rc, ERR_VERSION);
    assert_non_null(strstr(err.text, "version 2"));
    buf_close(&out);
}

UNIT_TEST(test_other_files_are_no_capture)
{
    static const char text[] =
        "2026-05-07T08:06:12Z heroku[router]: at=error code=H12 and so on, a "
        "line that is longer than any header\n";
    struct err err;
    int rc;

    assert_int_equal(read_all((const uint8_t *)text, sizeof text - 1, 7, &rc, &err), 0);
    assert_int_equal(rc, ERR_DAMAGED);
    assert_non_null(strstr(err.text, "no capture"));
    assert_int_equal(read_all((const uint8_t *)"", 0, 1, &rc, &err), 0);
    assert_int_equal(rc, ERR_DAMAGED);
}

/* A later version may add fields to the header. */
UNIT_TEST(a_header_is_read_alike_in_any_pieces)
{
    for (size_t len = 22; len <= CAPTURE_HEADER_MAX + 40; len++) {
        struct buf head, out;

        buf_init(&head, 1000);
        buf_init(&out, 1000);
        assert_int_equal(capture_write_header(&head), 0);
        assert_int_equal(buf_append(&out, &(uint8_t){(uint8_t)len}, 1), 0);
        assert_int_equal(buf_append(&out, head.data + 1, head.len - 1), 0);
        while (out.len < len + 1)
            assert_int_equal(buf_append(&out, "", 1), 0);
        for (size_t piece = 1; piece <= out.len; piece++) {
            struct err err;
            int rc;

            assert_int_equal(read_all(out.data, out.len, piece, &rc, &err), 0);
            assert_int_equal(rc, len <= CAPTURE_HEADER_MAX ? 0 : ERR_DAMAGED);
        }
        buf_close(&head);
        buf_close(&out);
    }
}

UNIT_TEST(test_the_ceiling_of_the_buffer_is_kept)
{
    static const uint8_t zeros[1000];
    struct buf out;

    buf_init(&out, 500);
    assert_int_equal(capture_write_header(&out), 0);
    assert_int_equal(capture_write(&out, (struct wire_bytes){zeros, sizeof zeros}), ERR_FULL);
    assert_int_equal(out.len, 23);
    buf_close(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_written_is_read),
        cmocka_unit_test(test_a_cut_keeps_what_is_before_it),
        cmocka_unit_test(test_every_flipped_bit_is_noticed),
        cmocka_unit_test(test_a_newer_form_is_refused),
        cmocka_unit_test(test_other_files_are_no_capture),
        cmocka_unit_test(a_header_is_read_alike_in_any_pieces),
        cmocka_unit_test(test_the_ceiling_of_the_buffer_is_kept),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
