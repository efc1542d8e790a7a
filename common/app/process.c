/* The process and its operating system; called by the start of both programs and their loops. */
#include "common/app/process.h"

#include "common/base/hash.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

/* LeakSanitizer stops its process with ptrace, which the kernel refuses if the process may not be
 * dumped. */
#if defined(__SANITIZE_ADDRESS__)
#define UNDER_LEAK_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define UNDER_LEAK_SANITIZER 1
#endif
#endif
#ifndef UNDER_LEAK_SANITIZER
#define UNDER_LEAK_SANITIZER 0
#endif

/* A parent may have closed them. Then the next file or socket would get the number of standard
 * output, and receipts would be written into it. They are opened for reading only, so that an alert
 * that nobody can read does not count as printed. */
static void open_standard_streams(void)
{
    int fd = open("/dev/null", O_RDONLY);

    while (fd >= 0 && fd <= STDERR_FILENO)
        fd = open("/dev/null", O_RDONLY);
    if (fd >= 0)
        close(fd);
}

/* Until the kernel has gathered randomness the number is only hard to guess. */
static uint64_t make_seed(void)
{
    uint64_t seed = (uintptr_t)&seed;

    (void)!getrandom(&seed, sizeof seed, GRND_NONBLOCK);
    return seed;
}

void process_harden(void)
{
    struct rlimit none = {0, 0}, files;

    hash_set_seed(make_seed());
    open_standard_streams();
    setrlimit(RLIMIT_CORE, &none);
    /* The kernel pipes a core to a program even with a limit of 0, but not of this process. */
    if (!UNDER_LEAK_SANITIZER)
        prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    umask(077);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < files.rlim_max) {
        files.rlim_cur = files.rlim_max < 65536 ? files.rlim_max : 65536;
        setrlimit(RLIMIT_NOFILE, &files);
    }
}

static sigset_t our_signals(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGCHLD);
    return set;
}

bool process_write(int fd, const void *bytes, size_t n)
{
    const char *at = bytes;

    while (n > 0) {
        struct pollfd ready = {.fd = fd, .events = POLLOUT};
        /* A pipe that is ready has room for so much: pipe(7). */
        size_t part = n < PIPE_BUF ? n : PIPE_BUF;
        ssize_t wrote;

        if (poll(&ready, 1, 0) == 0) {
            errno = EAGAIN;
            return false;
        }
        wrote = write(fd, at, part);
        if (wrote < 0 && errno != EINTR)
            return false;
        at += wrote > 0 ? wrote : 0;
        n -= wrote > 0 ? (size_t)wrote : 0;
    }
    return true;
}

void process_name(char name[PROCESS_NAME_SIZE])
{
    const char *dyno = getenv("DYNO");
    char host[PROCESS_NAME_SIZE / 2] = "";

    if (dyno == NULL && gethostname(host, sizeof host - 1) != 0)
        host[0] = '\0';
    snprintf(name, PROCESS_NAME_SIZE, "%.*s:%d", PROCESS_NAME_SIZE / 2, dyno != NULL ? dyno : host,
             (int)getpid());
}

int process_signals(struct err *err)
{
    sigset_t set = our_signals();
    int fd;

    sigprocmask(SIG_BLOCK, &set, NULL);
    fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    return fd >= 0 ? fd : err_set(err, ERR_IO, "signalfd: %s", strerror(errno));
}

int process_next_signal(int fd)
{
    struct signalfd_siginfo info;

    return read(fd, &info, sizeof info) == (ssize_t)sizeof info ? (int)info.ssi_signo : 0;
}

bool process_must_end(void)
{
    sigset_t set;

    return sigpending(&set) == 0 &&
           (sigismember(&set, SIGTERM) == 1 || sigismember(&set, SIGINT) == 1);
}

void process_unblock_signals(void)
{
    sigset_t set = our_signals();

    sigdelset(&set, SIGHUP);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    signal(SIGPIPE, SIG_DFL);
    signal(SIGXFSZ, SIG_DFL);
}

int process_read_file(const char *path, struct buf *out, struct err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = 1;
    int rc = 0;

    if (fd < 0)
        return err_set(err, ERR_IO, "%s: %s", path, strerror(errno));
    while (rc == 0 && n > 0) {
        char chunk[8192];

        n = read(fd, chunk, sizeof chunk);
        if (n < 0)
            rc = err_set(err, ERR_IO, "%s: %s", path, strerror(errno));
        else if (n > 0 && (rc = buf_append(out, chunk, (size_t)n)) == ERR_FULL)
            err_set(err, rc, "%s: larger than %zu bytes", path, out->max_bytes);
        else if (rc != 0)
            err_set(err, rc, "%s: out of memory", path);
    }
    close(fd);
    return rc;
}

/* Cuts a path to the nearest folder above that exists. False, with errno, if that fails. */
static bool find_folder(char path[PATH_MAX], struct stat *found)
{
    while (stat(path, found) != 0) {
        char *slash = strrchr(path, '/');

        if (errno != ENOENT || strcmp(path, "/") == 0 || strcmp(path, ".") == 0)
            return false;
        if (slash == NULL)
            memcpy(path, ".", 2);
        else
            slash[slash == path] = '\0'; /* "/" stays */
    }
    return true;
}

static int refuse_folder(const char *path, const char *where, struct err *err)
{
    return err_set(err, ERR_INPUT, "\"%s\": %s%s (name a folder that can be written)", path, where,
                   strerror(errno));
}

/* Another user could put links into the folder, and files would be made at their targets. */
static int check_private(const char *path, const struct stat *found, bool any_owner,
                         struct err *err)
{
    if (found->st_uid != geteuid() && !any_owner)
        return err_set(err, ERR_INPUT,
                       "\"%s\": belongs to user %u, and this is user %u (start "
                       "as its owner, or name a folder of your own)",
                       path, (unsigned)found->st_uid, (unsigned)geteuid());
    if ((found->st_mode & (S_IWGRP | S_IWOTH)) != 0)
        return err_set(err, ERR_INPUT,
                       "\"%s\": other users can write to it (chmod go-w it, or "
                       "name a new folder inside it)",
                       path);
    return 0;
}

static int check_folder(const char *path, bool any_owner, struct err *err)
{
    char part[PATH_MAX], where[PATH_MAX + 32] = "";
    struct stat found;
    bool exists;

    errno = ENAMETOOLONG;
    if (snprintf(part, sizeof part, "%s", path) >= PATH_MAX || !find_folder(part, &found))
        return refuse_folder(path, "", err);
    exists = strcmp(part, path) == 0;
    if (!S_ISDIR(found.st_mode))
        errno = ENOTDIR;
    else if (access(part, exists ? R_OK | W_OK | X_OK : W_OK | X_OK) == 0)
        return exists ? check_private(path, &found, any_owner, err) : 0;
    if (!exists)
        snprintf(where, sizeof where, "cannot be made in %s: ", part);
    return refuse_folder(path, where, err);
}

int process_check_folder(const char *path, struct err *err)
{
    return check_folder(path, geteuid() == 0, err);
}

int process_make_folder(const char *path, struct err *err)
{
    char part[PATH_MAX];

    assert(*path != '\0');
    snprintf(part, sizeof part, "%s", path); /* mkdir refuses a path that is too long */
    for (char *slash = part; (slash = strchr(slash + 1, '/')) != NULL; *slash = '/') {
        *slash = '\0';
        (void)mkdir(part, 0700);
    }
    if (mkdir(path, 0700) != 0 && errno != EEXIST)
        return refuse_folder(path, "cannot be made: ", err);
    return check_folder(path, false, err);
}
