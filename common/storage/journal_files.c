/* Locks, marks and renames a journal's files. Called by journal.c. */
#include "common/storage/journal_files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SET_ASIDE_MOST = 10000, PATH_SIZE = 512 };

static int join(char out[PATH_SIZE], const char *path, const char *suffix, struct err *err)
{
    int n = snprintf(out, PATH_SIZE, "%s%s", path, suffix);

    if (n < 0 || n >= PATH_SIZE)
        return err_set(err, ERR_IO, "%.60s…: the path is too long (choose a shorter one)", path);
    return 0;
}

int journal_files_refuse_links(const char *path, struct err *err)
{
    static const char *const suffixes[] = {"", "-wal", "-shm", ".lock", ".suspect"};
    struct stat found;
    char name[PATH_SIZE];
    int rc;

    for (size_t i = 0; i < sizeof suffixes / sizeof suffixes[0]; i++) {
        rc = join(name, path, suffixes[i], err);
        if (rc != 0)
            return rc;
        if (lstat(name, &found) == 0 && S_ISLNK(found.st_mode))
            return err_set(err, ERR_INPUT,
                           "%s: is a symbolic link (put the file itself there; its folder may be "
                           "a link)",
                           name);
    }
    return 0;
}

bool journal_files_are_gone(const char *path, int lock_fd)
{
    char name[PATH_SIZE];
    struct stat ours, there;
    struct err err;

    if (join(name, path, ".lock", &err) != 0)
        return false;
    return fstat(lock_fd, &ours) == 0 &&
           (stat(name, &there) != 0 || ours.st_ino != there.st_ino || ours.st_dev != there.st_dev);
}

int journal_files_lock(const char *path, int *fd, struct err *err)
{
    char name[PATH_SIZE];
    int rc = join(name, path, ".lock", err);

    if (rc != 0)
        return rc;
    *fd = open(name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (*fd < 0)
        return err_set(err, ERR_IO, "%s: %s (check the rights on its folder)", name,
                       strerror(errno));
    if (flock(*fd, LOCK_EX | LOCK_NB) == 0) {
        (void)fcntl(*fd, F_OFD_SETLK, &(struct flock){.l_type = F_WRLCK}); /* for the query below */
        return 0;
    }
    if (errno != EWOULDBLOCK)
        return err_set(err, ERR_IO, "%s: cannot lock: %s (use a folder on a local disk)", name,
                       strerror(errno));
    return err_set(err, ERR_BUSY,
                   "%s: another process uses this journal (stop it, or set DRAINWATCH_STATE_DIR to "
                   "a folder of its own)",
                   name);
}

/* flock has no query, and a lock taken to find out would refuse an owner that starts meanwhile. */
bool journal_files_are_owned(const char *path)
{
    struct flock lock = {.l_type = F_RDLCK};
    char name[PATH_SIZE];
    struct err ignored;
    bool owned;
    int fd;

    if (join(name, path, ".lock", &ignored) != 0)
        return false;
    fd = open(name, O_RDONLY | O_CLOEXEC);
    owned = fd >= 0 && fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
    if (fd >= 0)
        close(fd);
    return owned;
}

void journal_files_mark_suspect(const char *path)
{
    char name[PATH_SIZE];
    struct err ignored;
    int fd;

    if (join(name, path, ".suspect", &ignored) != 0)
        return;
    fd = open(name, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd >= 0)
        close(fd);
}

bool journal_files_are_suspect(const char *path)
{
    char name[PATH_SIZE];
    struct err ignored;

    return join(name, path, ".suspect", &ignored) == 0 && access(name, F_OK) == 0;
}

static void clear_suspect(const char *path)
{
    char name[PATH_SIZE];
    struct err ignored;

    if (join(name, path, ".suspect", &ignored) == 0)
        unlink(name);
}

static int rename_with(const char *from, const char *to, const char *suffix, struct err *err)
{
    char old[PATH_SIZE], new[PATH_SIZE];
    int rc = join(old, from, suffix, err);

    if (rc == 0)
        rc = join(new, to, suffix, err);
    if (rc == 0 && rename(old, new) != 0 && errno != ENOENT)
        rc = err_set(err, ERR_IO, "%s: damaged, and cannot be renamed: %s (move it away)", old,
                     strerror(errno));
    return rc;
}

int journal_files_set_aside(const char *path, char set_aside[512], struct err *err)
{
    char name[PATH_SIZE];
    int rc = 0, n = 0;

    do {
        char suffix[32];

        snprintf(suffix, sizeof suffix, ".damaged-%d", ++n);
        rc = join(name, path, suffix, err);
    } while (rc == 0 && n < SET_ASIDE_MOST && access(name, F_OK) == 0);
    /* The file itself comes last: if the process dies before, the next start finds it and this name
     * again. */
    if (rc == 0)
        rc = rename_with(path, name, "-wal", err);
    if (rc == 0)
        rc = rename_with(path, name, "-shm", err);
    if (rc == 0)
        rc = rename_with(path, name, "", err);
    if (rc != 0)
        return rc;
    clear_suspect(path);
    memcpy(set_aside, name, sizeof name);
    return 0;
}
