/* Hash tables: uthash, with hash_seed in each hash, so that nobody outside can make up keys that
 * collide. If HASH_ADD finds no memory, hh.tbl of the item is NULL. */
#ifndef DRAINWATCH_COMMON_BASE_TABLE_H
#define DRAINWATCH_COMMON_BASE_TABLE_H

#include "common/base/hash.h"

#define HASH_NONFATAL_OOM 1
#define HASH_FUNCTION(key, n, value) ((value) = (unsigned)hash_quick(hash_seed(), key, n))
#include <uthash.h>

#endif
