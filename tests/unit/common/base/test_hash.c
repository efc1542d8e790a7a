/* Hashes: stored values never change, and bits spread. */
#include "common/base/hash.h"

#include "common/base/table.h"
#include "tests/unit/unit.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LONGEST = 40, NAMES = 4096 };

/* In memory of just that size, so that a sanitizer sees a byte too far. */
static uint64_t quick(uint64_t seed, const uint8_t *bytes, size_t n)
{
    uint8_t *copy = malloc(n + 1);
    uint64_t hash;

    assert_non_null(copy);
    memcpy(copy + 1, bytes, n);
    hash = hash_quick(seed, copy + 1, n);
    free(copy);
    return hash;
}

/* Stored hashes must stay what they are. */
UNIT_TEST(stored_values_never_change)
{
    assert_true(hash_add(HASH_START, "a", 1) == UINT64_C(0xaf63dc4c8601ec8c));
    assert_true(hash_add_text(HASH_START, "ab") == hash_add(HASH_START, "ab\0", 3));
    assert_true(hash_add_u64(HASH_START, 0x6261) == hash_add(HASH_START, "ab\0\0\0\0\0\0", 8));
    assert_true(hash_finish(0) == 0);
    assert_true(hash_finish(1) == UINT64_C(0xb456bcfc34c2cb2c));
}

UNIT_TEST(each_bit_and_the_length_count)
{
    uint8_t bytes[LONGEST];

    for (size_t i = 0; i < LONGEST; i++)
        bytes[i] = (uint8_t)(i * 37);
    for (size_t n = 0; n < LONGEST; n++) {
        uint64_t plain = quick(7, bytes, n);

        assert_true(plain == hash_quick(7, bytes, n));
        assert_true(plain != quick(7, bytes, n + 1));
        assert_true((uint32_t)plain != (uint32_t)quick(8, bytes, n));
        for (size_t bit = 0; bit < 8 * n; bit++) {
            bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
            assert_true((uint32_t)plain != (uint32_t)quick(7, bytes, n));
            bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        }
    }
}

/* A table uses the low bits: names that count up must not crowd in a few of them. */
UNIT_TEST(names_in_sequence_spread)
{
    static uint32_t taken[NAMES];
    uint32_t most = 0;

    for (int i = 0; i < NAMES; i++) {
        char name[32];
        int n = snprintf(name, sizeof name, "app%crule%cweb.%d", 0, 0, i);
        uint32_t *place = &taken[hash_quick(1, name, (size_t)n + 1) % NAMES];

        most = ++*place > most ? *place : most;
    }
    assert_in_range(most, 2, 12); /* of 4,096 thrown at random the fullest has 6 or 7 */
}

/* Two words that differ in the highest bit and, in the next word, where a product's highest bit
 * would be carried: together they cancel out in a hash that shifts and multiplies. */
UNIT_TEST(differences_do_not_cancel_out)
{
    uint8_t one[24] = {0}, other[24] = {0};

    for (size_t bit = 0; bit < 64; bit++) {
        memset(other, 0, sizeof other);
        other[7] = 0x80;
        other[8 + 7] = 0x80;
        other[8 + bit / 8] ^= (uint8_t)(1 << bit % 8);
        for (uint64_t seed = 0; seed < 16; seed++)
            assert_true(hash_quick(seed, one, sizeof one) != hash_quick(seed, other, sizeof other));
    }
}

struct item {
    uint32_t number;
    UT_hash_handle hh;
};

/* A table of some of the numbers, as HASH_ADD makes it under a seed. */
static unsigned add_all(struct item *items, size_t n, uint64_t seed)
{
    struct item *table = NULL;
    unsigned longest = 0;

    hash_set_seed(seed);
    for (size_t i = 0; i < n; i++)
        HASH_ADD(hh, table, number, sizeof items[i].number, &items[i]);
    for (unsigned i = 0; i < table->hh.tbl->num_buckets; i++) {
        unsigned count = table->hh.tbl->buckets[i].count;

        longest = count > longest ? count : longest;
    }
    HASH_CLEAR(hh, table);
    hash_set_seed(0);
    return longest;
}

UNIT_TEST(names_that_collide_under_a_seed_do_not_under_another)
{
    enum { COLLIDING = 64 };
    struct item items[COLLIDING] = {0};
    uint32_t number = 0;

    for (size_t i = 0; i < COLLIDING; i++) {
        do
            number++;
        while (hash_quick(0, &number, sizeof number) % NAMES != 0);
        items[i].number = number;
    }
    assert_int_equal(add_all(items, COLLIDING, 0), COLLIDING);
    assert_in_range(add_all(items, COLLIDING, 4711), 2, 16);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stored_values_never_change),
        cmocka_unit_test(each_bit_and_the_length_count),
        cmocka_unit_test(names_in_sequence_spread),
        cmocka_unit_test(differences_do_not_cancel_out),
        cmocka_unit_test(names_that_collide_under_a_seed_do_not_under_another),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
