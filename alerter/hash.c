#include "alerter/hash.h"

#include <string.h>

#define FNV_PRIME UINT64_C(0x100000001b3)

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

/* FNV's low bits hardly depend on the high bits of what came last; two rounds of xor-shift and
 * multiply by odd constants (each step a bijection, so nothing is lost) mend that. */
uint64_t hash_finish(uint64_t hash)
{
    hash ^= hash >> 33;
    hash *= UINT64_C(0xff51afd7ed558ccd);
    hash ^= hash >> 33;
    hash *= UINT64_C(0xc4ceb9fe1a85ec53);
    hash ^= hash >> 33;
    return hash;
}

static uint64_t word_at(const uint8_t *p)
{
    uint64_t word;

    memcpy(&word, p, sizeof word);
    return word;
}

/* Eight bytes a step, where FNV waits for a multiplication after each one. The shift brings the
 * high bits, which a product spreads best, down to where the next one begins. The last word may
 * hold bytes of the one before it once more. */
uint64_t hash_quick(const void *bytes, size_t n)
{
    const uint64_t odd = UINT64_C(0x9e3779b97f4a7c15);
    const uint8_t *p = bytes;
    uint64_t hash = n * odd, last = 0;

    if (n < 8) {
        for (size_t i = 0; i < n; i++)
            last = last << 8 | p[i];
        return hash_finish(hash ^ last);
    }
    for (size_t i = 0; i + 8 < n; i += 8) {
        hash = (hash ^ word_at(p + i)) * odd;
        hash ^= hash >> 32;
    }
    return hash_finish(hash ^ word_at(p + n - 8));
}
