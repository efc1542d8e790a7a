/* 64-bit hashes of bytes.
 *
 * hash_add to hash_finish are FNV-1a with a finaliser that spreads every bit. Their values are
 * stored (snapshots, alert ids), so they never change. They are no defence against a client that
 * makes two texts collide on purpose. Pure. */
#ifndef DRAINWATCH_COMMON_BASE_HASH_H
#define DRAINWATCH_COMMON_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

#define HASH_START UINT64_C(0xcbf29ce484222325)

/* Takes `n` more bytes into a hash that began as HASH_START. */
uint64_t hash_add(uint64_t hash, const void *bytes, size_t n);
/* Takes a text and its final zero, so that "ab","c" and "a","bc" differ. */
uint64_t hash_add_text(uint64_t hash, const char *text);
/* Takes the eight bytes of a number, the lowest first, on every machine. */
uint64_t hash_add_u64(uint64_t hash, uint64_t number);
/* The hash of all bytes taken so far. */
uint64_t hash_finish(uint64_t hash);

/* For memory. Its values differ between machines, so they must not be stored. If a client can
 * choose the bytes, `start` must hold hash_seed. */
uint64_t hash_quick(uint64_t start, const void *bytes, size_t n);

/* A number that nobody outside knows: 0, until the process sets it at its start, before its first
 * table. */
uint64_t hash_seed(void);
void hash_set_seed(uint64_t seed);

#endif
