/* Tests the form of a saved engine. */
#include "alerter/engine/snapshot.h"
#include "common/base/hash.h"

#include "tests/unit/unit.h"

#include <string.h>

static const uint64_t NUMBERS[] = {0, 1, 127, 128, 16383, 16384, UINT64_MAX >> 1, UINT64_MAX};
enum { N_NUMBERS = sizeof NUMBERS / sizeof *NUMBERS };

static void write_all(struct buf *out)
{
    struct snapshot_writer w;

    snapshot_begin(&w, out);
    for (size_t i = 0; i < N_NUMBERS; i++) {
        snapshot_put_u64(&w, NUMBERS[i]);
        snapshot_put_i64(&w, (int64_t)NUMBERS[i]);
        snapshot_put_i64(&w, (int64_t)~NUMBERS[i]);
        snapshot_put_fixed64(&w, NUMBERS[i]);
    }
    snapshot_put_bytes(&w, "text", 4);
    snapshot_put_bytes(&w, "", 0);
    assert_int_equal(snapshot_finish(&w), 0);
}

UNIT_TEST(what_was_written_is_read)
{
    struct buf out;
    struct snapshot_reader r;
    struct err err;
    size_t n;

    buf_init(&out, 1000);
    assert_int_equal(buf_puts(&out, "before"), 0);
    write_all(&out);
    assert_int_equal(snapshot_open(&r, out.data + 6, out.len - 6, &err), 0);
    for (size_t i = 0; i < N_NUMBERS; i++) {
        assert_true(snapshot_get_u64(&r) == NUMBERS[i]);
        assert_true(snapshot_get_i64(&r) == (int64_t)NUMBERS[i]);
        assert_true(snapshot_get_i64(&r) == (int64_t)~NUMBERS[i]);
        assert_true(snapshot_get_fixed64(&r) == NUMBERS[i]);
    }
    assert_false(snapshot_complete(&r));
    assert_memory_equal(snapshot_get_bytes(&r, &n), "text", 4);
    assert_non_null(snapshot_get_bytes(&r, &n));
    assert_int_equal(n, 0);
    assert_true(snapshot_complete(&r));
    assert_int_equal(snapshot_get_u64(&r), 0);
    assert_false(snapshot_complete(&r));
    buf_close(&out);
}

UNIT_TEST(a_full_buffer_keeps_what_it_held)
{
    struct buf out;

    for (size_t max = 6; max < 60; max++) {
        struct snapshot_writer w;

        buf_init(&out, max);
        assert_int_equal(buf_puts(&out, "before"), 0);
        snapshot_begin(&w, &out);
        snapshot_put_bytes(&w, "a text of some fifty bytes that does not fit into it", 52);
        assert_int_equal(snapshot_finish(&w), ERR_FULL);
        assert_string_equal(buf_text(&out), "before");
        assert_int_equal(out.len, 6);
        buf_close(&out);
    }
}

UNIT_TEST(a_damaged_envelope_is_refused)
{
    struct buf out;
    struct snapshot_reader r;
    struct err err;

    buf_init(&out, 1000);
    write_all(&out);
    for (size_t n = 0; n < out.len; n++) {
        assert_int_equal(snapshot_open(&r, out.data, n, &err), ERR_DAMAGED);
        out.data[n] ^= 0x10;
        assert_int_equal(snapshot_open(&r, out.data, out.len, &err), ERR_DAMAGED);
        out.data[n] ^= 0x10;
    }
    buf_close(&out);
}

UNIT_TEST(another_version_is_told_from_damage)
{
    struct buf out;
    struct snapshot_reader r;
    struct err err;
    uint64_t checksum;

    buf_init(&out, 1000);
    write_all(&out);
    for (int version = SNAPSHOT_VERSION_OLDEST - 1; version <= SNAPSHOT_VERSION + 1; version++) {
        bool is_read = version >= SNAPSHOT_VERSION_OLDEST && version <= SNAPSHOT_VERSION;

        out.data[4] = (uint8_t)version;
        checksum = hash_finish(hash_add(HASH_START, out.data, out.len - 8));
        for (size_t i = 0; i < 8; i++)
            out.data[out.len - 8 + i] = (uint8_t)(checksum >> (8 * i));
        assert_int_equal(snapshot_open(&r, out.data, out.len, &err), is_read ? 0 : ERR_VERSION);
        assert_true(!is_read || r.version == version);
    }
    buf_close(&out);
}

UNIT_TEST(a_number_beyond_64_bits_is_a_fault)
{
    uint8_t bytes[] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02};
    struct snapshot_reader r = {.next = bytes, .end = bytes + sizeof bytes};

    assert_int_equal(snapshot_get_u64(&r), 0);
    assert_true(r.bad);
    r = (struct snapshot_reader){.next = bytes + 9, .end = bytes + sizeof bytes};
    assert_int_equal(snapshot_get_count(&r, 1), 0); /* two bytes that are not there */
    assert_true(r.bad);
}

/* Alert ids and snapshots hold these for ever. */
UNIT_TEST(hashes_never_change)
{
    assert_true(hash_add(HASH_START, "", 0) == HASH_START);
    assert_true(hash_add(HASH_START, "a", 1) == UINT64_C(0xaf63dc4c8601ec8c)); /* FNV-1a's own */
    assert_true(hash_add(HASH_START, "foobar", 6) == UINT64_C(0x85944171f73967e8));
    assert_true(hash_add_u64(HASH_START, 0x61) == hash_add(HASH_START, "a\0\0\0\0\0\0\0", 8));
    assert_true(hash_add_text(hash_add_text(HASH_START, "ab"), "c") !=
                hash_add_text(hash_add_text(HASH_START, "a"), "bc"));
    assert_true(hash_finish(0) == 0);
    assert_true(hash_finish(1) == UINT64_C(0xb456bcfc34c2cb2c)); /* MurmurHash3's fmix64 of 1 */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_written_is_read),
        cmocka_unit_test(a_full_buffer_keeps_what_it_held),
        cmocka_unit_test(a_damaged_envelope_is_refused),
        cmocka_unit_test(another_version_is_told_from_damage),
        cmocka_unit_test(a_number_beyond_64_bits_is_a_fault),
        cmocka_unit_test(hashes_never_change),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
