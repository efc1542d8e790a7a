/* Hashes bytes; called for alert ids, snapshots and tables in memory. */
#include "common/base/hash.h"

#include <string.h>

#define FNV_PRIME UINT64_C(0x100000001b3)

static uint64_t the_seed;

uint64_t hash_seed(void)
{
    return the_seed;
}

void hash_set_seed(uint64_t seed)
{
    the_seed = seed;
}

uint64_t hash_add(uint64_t hash, const void *bytes, size_t n)
{
    const uint8_t *p = bytes;

    for (size_t i = 0; i < n; i++)
        hash = (hash ^ p[i]) * FNV_PRIME;
    return hash;
}

uint64_t hash_add_text(uint64_t hash, const char *text)
{
    return hash_add(hash, text, strlen(text) + 1);
}

uint64_t hash_add_u64(uint64_t hash, uint64_t number)
{
    uint8_t bytes[8];

    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(number >> (8 * i));
    return hash_add(hash, bytes, sizeof bytes);
}

/* FNV's low bits hardly depend on the high bits of the last byte. Two rounds of xor-shift and
 * multiply mend that; each step is a bijection, so no two hashes become equal. */
uint64_t hash_finish(uint64_t hash)
{
    hash ^= hash >> 33;
    hash *= UINT64_C(0xff51afd7ed558ccd);
    hash ^= hash >> 33;
    hash *= UINT64_C(0xc4ceb9fe1a85ec53);
    hash ^= hash >> 33;
    return hash;
}

/* XORs both halves of a product. Each bit of the upper half depends on all lower bits of both
 * factors, so the highest bit of a word counts, too. */
static uint64_t fold(uint64_t a, uint64_t b)
{
    __extension__ unsigned __int128 product = (unsigned __int128)a * b;

    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static uint64_t load_word(const uint8_t *bytes)
{
    uint64_t word;

    memcpy(&word, bytes, sizeof word);
    return word;
}

/* Takes eight bytes a step. The last word may overlap the word before it. */
uint64_t hash_quick(uint64_t start, const void *bytes, size_t n)
{
    const uint64_t odd = UINT64_C(0x9e3779b97f4a7c15);
    const uint8_t *p = bytes;
    uint64_t hash = start ^ (n + 1) * odd, last = 0;

    if (n >= 8) {
        for (size_t i = 0; i + 8 < n; i += 8)
            hash = fold(hash ^ load_word(p + i), odd);
        last = load_word(p + n - 8);
    } else {
        for (size_t i = 0; i < n; i++)
            last = last << 8 | p[i];
    }
    return fold(fold(hash ^ last, odd), UINT64_C(0xc4ceb9fe1a85ec53));
}
