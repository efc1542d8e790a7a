/* A file layer for SQLite that fails when a test plans it. */
#include "tests/unit/common/storage/failing_vfs.h"

#include <assert.h>
#include <sqlite3.h>
#include <stddef.h>

struct shim_file {
    sqlite3_file base;
    sqlite3_file *real; /* lies behind this struct */
};

static sqlite3_vfs *real_vfs;
static struct failing_plan plan;
static long counts[FAILING_OPS];
static long count;
static enum failing_op failed = FAILING_OPS;
static bool disk_full;

static const int broken_code[FAILING_OPS] = {
    [FAILING_OPEN] = SQLITE_CANTOPEN,       [FAILING_WRITE] = SQLITE_IOERR_WRITE,
    [FAILING_SYNC] = SQLITE_IOERR_FSYNC,    [FAILING_TRUNCATE] = SQLITE_IOERR_TRUNCATE,
    [FAILING_DELETE] = SQLITE_IOERR_DELETE, [FAILING_HINT] = SQLITE_IOERR_WRITE,
};

/* Counts an operation; answers the code with which it fails, or SQLITE_OK. */
static int fails(enum failing_op op)
{
    bool hit;

    count++;
    counts[op]++;
    hit = plan.nth != 0 && (count == plan.nth || (plan.for_ever && count > plan.nth));
    if (!hit)
        return SQLITE_OK;
    if (failed == FAILING_OPS)
        failed = op;
    return plan.full && op == FAILING_WRITE ? SQLITE_FULL : broken_code[op];
}

static sqlite3_file *real_of(sqlite3_file *file)
{
    return ((struct shim_file *)file)->real;
}

static bool would_grow(sqlite3_file *file, sqlite3_int64 end)
{
    sqlite3_int64 size = 0;

    return disk_full && real_of(file)->pMethods->xFileSize(real_of(file), &size) == SQLITE_OK &&
           end > size;
}

static int shim_close(sqlite3_file *file)
{
    return real_of(file)->pMethods->xClose(real_of(file));
}

static int shim_read(sqlite3_file *file, void *bytes, int n, sqlite3_int64 at)
{
    return real_of(file)->pMethods->xRead(real_of(file), bytes, n, at);
}

/* The first half, and a last byte that is wrong: where a WAL begins anew, what lies there from
 * before may be just what the other half would have been. */
static void tear(sqlite3_file *file, const void *bytes, int n, sqlite3_int64 at)
{
    const unsigned char wrong = (unsigned char)~((const unsigned char *)bytes)[n - 1];

    real_of(file)->pMethods->xWrite(real_of(file), bytes, n / 2, at);
    real_of(file)->pMethods->xWrite(real_of(file), &wrong, 1, at + n - 1);
}

static int shim_write(sqlite3_file *file, const void *bytes, int n, sqlite3_int64 at)
{
    int rc = fails(FAILING_WRITE);

    if (rc != SQLITE_OK && plan.torn)
        tear(file, bytes, n, at);
    if (rc != SQLITE_OK)
        return rc;
    if (would_grow(file, at + n))
        return SQLITE_FULL;
    return real_of(file)->pMethods->xWrite(real_of(file), bytes, n, at);
}

static int shim_truncate(sqlite3_file *file, sqlite3_int64 size)
{
    int rc = fails(FAILING_TRUNCATE);

    return rc != SQLITE_OK ? rc : real_of(file)->pMethods->xTruncate(real_of(file), size);
}

static int shim_sync(sqlite3_file *file, int flags)
{
    int rc = fails(FAILING_SYNC);

    /* The wait itself is left out: no test pulls the plug, and it is what takes the time. */
    (void)flags;
    (void)file;
    return rc;
}

static int shim_size(sqlite3_file *file, sqlite3_int64 *size)
{
    return real_of(file)->pMethods->xFileSize(real_of(file), size);
}

static int shim_lock(sqlite3_file *file, int level)
{
    return real_of(file)->pMethods->xLock(real_of(file), level);
}

static int shim_unlock(sqlite3_file *file, int level)
{
    return real_of(file)->pMethods->xUnlock(real_of(file), level);
}

static int shim_is_reserved(sqlite3_file *file, int *out)
{
    return real_of(file)->pMethods->xCheckReservedLock(real_of(file), out);
}

static int shim_control(sqlite3_file *file, int op, void *arg)
{
    if (op == SQLITE_FCNTL_SIZE_HINT) {
        int rc = fails(FAILING_HINT);

        if (rc != SQLITE_OK)
            return rc;
        if (would_grow(file, *(sqlite3_int64 *)arg))
            return SQLITE_FULL;
    }
    return real_of(file)->pMethods->xFileControl(real_of(file), op, arg);
}

static int shim_sector(sqlite3_file *file)
{
    return real_of(file)->pMethods->xSectorSize(real_of(file));
}

static int shim_traits(sqlite3_file *file)
{
    return real_of(file)->pMethods->xDeviceCharacteristics(real_of(file));
}

static int shim_shm_map(sqlite3_file *file, int page, int size, int extend, void volatile **out)
{
    return real_of(file)->pMethods->xShmMap(real_of(file), page, size, extend, out);
}

static int shim_shm_lock(sqlite3_file *file, int offset, int n, int flags)
{
    return real_of(file)->pMethods->xShmLock(real_of(file), offset, n, flags);
}

static void shim_shm_barrier(sqlite3_file *file)
{
    real_of(file)->pMethods->xShmBarrier(real_of(file));
}

static int shim_shm_unmap(sqlite3_file *file, int remove)
{
    return real_of(file)->pMethods->xShmUnmap(real_of(file), remove);
}

static const sqlite3_io_methods methods = {
    .iVersion = 2, /* a WAL needs shared memory; mapped files would go past this layer */
    .xClose = shim_close,
    .xRead = shim_read,
    .xWrite = shim_write,
    .xTruncate = shim_truncate,
    .xSync = shim_sync,
    .xFileSize = shim_size,
    .xLock = shim_lock,
    .xUnlock = shim_unlock,
    .xCheckReservedLock = shim_is_reserved,
    .xFileControl = shim_control,
    .xSectorSize = shim_sector,
    .xDeviceCharacteristics = shim_traits,
    .xShmMap = shim_shm_map,
    .xShmLock = shim_shm_lock,
    .xShmBarrier = shim_shm_barrier,
    .xShmUnmap = shim_shm_unmap,
};

static int shim_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags,
                     int *out_flags)
{
    struct shim_file *shim = (struct shim_file *)file;
    int rc = fails(FAILING_OPEN);

    (void)vfs;
    shim->base.pMethods = NULL;
    if (rc != SQLITE_OK)
        return rc;
    shim->real = (sqlite3_file *)(void *)(shim + 1);
    rc = real_vfs->xOpen(real_vfs, name, shim->real, flags, out_flags);
    if (shim->real->pMethods != NULL)
        shim->base.pMethods = &methods;
    return rc;
}

static int shim_delete(sqlite3_vfs *vfs, const char *name, int sync)
{
    int rc = fails(FAILING_DELETE);

    (void)vfs;
    return rc != SQLITE_OK ? rc : real_vfs->xDelete(real_vfs, name, sync);
}

void failing_vfs_plan(struct failing_plan new_plan)
{
    plan = new_plan;
    count = 0;
    failed = FAILING_OPS;
    for (int i = 0; i < FAILING_OPS; i++)
        counts[i] = 0;
}

long failing_vfs_count(void)
{
    return count;
}

long failing_vfs_count_of(enum failing_op op)
{
    return counts[op];
}

enum failing_op failing_vfs_failed(void)
{
    return failed;
}

void failing_vfs_disk_full(bool full)
{
    disk_full = full;
}

void failing_vfs_install(void)
{
    static sqlite3_vfs shim;
    int rc;

    failing_vfs_plan((struct failing_plan){0});
    failing_vfs_disk_full(false);
    if (real_vfs != NULL)
        return;
    real_vfs = sqlite3_vfs_find(NULL);
    assert(real_vfs != NULL);
    shim = *real_vfs;
    shim.pNext = NULL;
    shim.zName = "failing";
    shim.szOsFile = (int)sizeof(struct shim_file) + real_vfs->szOsFile;
    shim.xOpen = shim_open;
    shim.xDelete = shim_delete;
    rc = sqlite3_vfs_register(&shim, 1);
    assert(rc == SQLITE_OK);
}
