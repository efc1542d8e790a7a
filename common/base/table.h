/* Hash tables: uthash, with hash_seed in each hash, so that nobody outside can make up keys that
 * collide. If HASH_ADD finds no memory, hh.tbl of the item is NULL. */
#ifndef DRAINWATCH_COMMON_BASE_TABLE_H
#define DRAINWATCH_COMMON_BASE_TABLE_H

#include "common/base/hash.h"

#define HASH_NONFATAL_OOM 1
#define HASH_FUNCTION(key, n, value) ((value) = (unsigned)hash_quick(hash_seed(), key, n))
#include <uthash.h>

#include <stdlib.h>
#include <string.h>

/* Makes an item of zeros, copies the text with a zero byte into its last member, `name`, and adds
 * it with `name` as its key. `item` is NULL afterwards if there was no memory. */
#define HASH_ADD_NAMED(head, text, n, item)                                                        \
    do {                                                                                           \
        (item) = calloc(1, sizeof *(item) + (n) + 1);                                              \
        if ((item) == NULL)                                                                        \
            break;                                                                                 \
        memcpy((item)->name, text, n);                                                             \
        HASH_ADD_KEYPTR(hh, head, (item)->name, n, item);                                          \
        if ((item)->hh.tbl != NULL)                                                                \
            break;                                                                                 \
        free(item);                                                                                \
        (item) = NULL;                                                                             \
    } while (0)

#endif
