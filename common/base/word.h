/* Eight bytes of text as one number, for what is done to all of them at once. Pure. */
#ifndef DRAINWATCH_COMMON_BASE_WORD_H
#define DRAINWATCH_COMMON_BASE_WORD_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* The first byte lowest, whatever the machine's order. */
static inline uint64_t word_load(const void *bytes)
{
    uint64_t word = 0;

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    memcpy(&word, bytes, sizeof word);
#else
    for (size_t i = 0; i < sizeof word; i++)
        word |= (uint64_t)((const uint8_t *)bytes)[i] << 8 * i;
#endif
    return word;
}

#endif
