/* 64-bit hashes of bytes.
 *
 * hash_add to hash_finish: FNV-1a with a finaliser that spreads every bit. Their values are stored
 * (snapshots, alert ids), so they never change. They tell apart what comes by chance; they are no
 * defence against somebody who wants two texts to collide. Pure. */
#ifndef DRAINWATCH_COMMON_BASE_HASH_H
#define DRAINWATCH_COMMON_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

#define HASH_START UINT64_C(0xcbf29ce484222325)

/* Takes `n` more bytes into a hash that began as HASH_START. */
uint64_t hash_add(uint64_t hash, const void *bytes, size_t n);
/* Takes a text and the zero behind it, so that "ab","c" and "a","bc" differ. */
uint64_t hash_add_text(uint64_t hash, const char *text);
/* Takes the eight bytes of a number, the lowest first, on every machine. */
uint64_t hash_add_u64(uint64_t hash, uint64_t number);
/* The value of all that was taken. */
uint64_t hash_finish(uint64_t hash);

/* For tables in memory, several times as fast: its values must not be
 * stored. Who makes up the bytes must not know the seed. */
uint64_t hash_quick(uint64_t seed, const void *bytes, size_t n);

#endif
