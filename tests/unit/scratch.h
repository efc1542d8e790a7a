/* A folder of its own for a test, with all that is in it gone afterwards, and a check. */
#ifndef DRAINWATCH_TESTS_UNIT_SCRATCH_H
#define DRAINWATCH_TESTS_UNIT_SCRATCH_H

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct scratch {
    char folder[256];
};

static inline int scratch_make(struct scratch *s)
{
    const char *tmp = getenv("TMPDIR");

    snprintf(s->folder, sizeof s->folder, "%.200s/drainwatch-test-XXXXXX",
             tmp != NULL ? tmp : "/tmp");
    return mkdtemp(s->folder) != NULL ? 0 : -1;
}

static inline const char *scratch_path(const struct scratch *s, const char *name, char out[512])
{
    snprintf(out, 512, "%s/%s", s->folder, name);
    return out;
}

/* Removes all files of the folder. */
static inline void scratch_empty(const struct scratch *s)
{
    DIR *dir = opendir(s->folder);
    struct dirent *item;
    char path[512];

    while (dir != NULL && (item = readdir(dir)) != NULL) {
        snprintf(path, sizeof path, "%s/%.250s", s->folder, item->d_name);
        unlink(path);
    }
    if (dir != NULL)
        closedir(dir);
}

static inline void scratch_remove(const struct scratch *s)
{
    scratch_empty(s);
    rmdir(s->folder);
}

/* -1: there is no such file. */
static inline long long scratch_size(const char *path, const char *suffix)
{
    char name[600];
    struct stat st;

    snprintf(name, sizeof name, "%s%s", path, suffix);
    return stat(name, &st) == 0 ? (long long)st.st_size : -1;
}

/* Copies a file if it is there. */
static inline void scratch_copy(const char *from, const char *to, const char *suffix)
{
    char old[600], new[600], chunk[65536];
    int in, out;
    ssize_t n;

    snprintf(old, sizeof old, "%s%s", from, suffix);
    snprintf(new, sizeof new, "%s%s", to, suffix);
    unlink(new);
    in = open(old, O_RDONLY | O_CLOEXEC);
    if (in < 0)
        return;
    out = open(new, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    while (out >= 0 && (n = read(in, chunk, sizeof chunk)) > 0)
        if (write(out, chunk, (size_t)n) != n)
            break;
    close(in);
    if (out >= 0)
        close(out);
}

/* Fails with the message in t->err unless the call returns 0. */
#define OK(t, call)                                                                                \
    do {                                                                                           \
        if ((call) != 0)                                                                           \
            fail_msg("%s: %s", #call, (t)->err.text);                                              \
    } while (0)

#endif
