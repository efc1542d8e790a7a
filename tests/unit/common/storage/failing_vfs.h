/* A disk that fails when told to: SQLite's own file layer with a layer over it that counts what
 * changes files (open, write, sync, truncate, delete, taking room ahead) and fails the n-th. */
#ifndef DRAINWATCH_TESTS_UNIT_COMMON_STORAGE_FAILING_VFS_H
#define DRAINWATCH_TESTS_UNIT_COMMON_STORAGE_FAILING_VFS_H

#include <stdbool.h>

enum failing_op {
    FAILING_OPEN,
    FAILING_WRITE,
    FAILING_SYNC,
    FAILING_TRUNCATE,
    FAILING_DELETE,
    FAILING_HINT,
    FAILING_OPS,
};

struct failing_plan {
    long nth;      /* counted from 1; 0: nothing fails */
    bool full;     /* as a full disk does, else as a broken one does */
    bool for_ever; /* and all that follow */
    bool torn;     /* a failing write has written half */
};

/* Puts the layer over the default file layer, for all that is opened from now on, and lets nothing
 * fail until a plan says so. */
void failing_vfs_install(void);
/* Begins to count anew. */
void failing_vfs_plan(struct failing_plan plan);
long failing_vfs_count(void);
long failing_vfs_count_of(enum failing_op op);
/* The operation that failed first since the plan was made; FAILING_OPS: none did. */
enum failing_op failing_vfs_failed(void);
/* A full disk: while true, no file gets longer. What is written within its length is written. */
void failing_vfs_disk_full(bool full);

#endif
