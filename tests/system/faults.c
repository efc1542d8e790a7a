/* Preloaded into a program under test: faults that no setting can make.
 *
 * SHIFTED_CLOCK names a file of two int64_t: microseconds added to the wall clock, and to
 * CLOCK_BOOTTIME (as if the machine had slept). It is mapped, so a test steps a clock in mid-run by
 * writing to it.
 *
 * SLOW_DISK_US is how long each write at a place takes at least. A commit is a dozen of them, so a
 * process can be killed in the middle of one.
 *
 * DUMPABLE keeps the program from forbidding an ordinary user to read its /proc/PID/fd. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t *shift;
static long slow_us;

static void map_shift(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    void *p = fd < 0 ? MAP_FAILED : mmap(NULL, 2 * sizeof *shift, PROT_READ, MAP_SHARED, fd, 0);

    if (p == MAP_FAILED)
        abort(); /* a test with the true clock would show nothing */
    close(fd);
    shift = p;
}

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("SHIFTED_CLOCK"), *us = getenv("SLOW_DISK_US");

    if (path != NULL)
        map_shift(path);
    if (us != NULL)
        slow_us = strtol(us, NULL, 10);
}

static int64_t added_us(clockid_t id)
{
    if (shift == NULL)
        return 0;
    if (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)
        return shift[0];
    return id == CLOCK_BOOTTIME ? shift[1] : 0;
}

int clock_gettime(clockid_t id, struct timespec *t)
{
    int rc = (int)syscall(SYS_clock_gettime, id, t);
    int64_t added = added_us(id), ns = t->tv_nsec + added % 1000000 * 1000;

    t->tv_sec += added / 1000000 + ns / 1000000000;
    t->tv_nsec = ns % 1000000000;
    if (t->tv_nsec < 0) {
        t->tv_sec--;
        t->tv_nsec += 1000000000;
    }
    return rc;
}

int gettimeofday(struct timeval *restrict t, void *restrict zone)
{
    struct timespec now;
    int rc = clock_gettime(CLOCK_REALTIME, &now);

    (void)zone;
    t->tv_sec = now.tv_sec;
    t->tv_usec = now.tv_nsec / 1000;
    return rc;
}

time_t time(time_t *out)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    if (out != NULL)
        *out = now.tv_sec;
    return now.tv_sec;
}

int prctl(int option, ...)
{
    unsigned long a[4];
    va_list more;

    if (option == PR_SET_DUMPABLE && getenv("DUMPABLE") != NULL)
        return 0;
    va_start(more, option);
    for (int i = 0; i < 4; i++)
        a[i] = va_arg(more, unsigned long);
    va_end(more);
    return (int)syscall(SYS_prctl, option, a[0], a[1], a[2], a[3]);
}

static void wait_slowly(void)
{
    struct timespec t = {.tv_nsec = slow_us % 1000000 * 1000};

    if (slow_us > 0)
        nanosleep(&t, NULL);
}

ssize_t pwrite64(int fd, const void *bytes, size_t n, off64_t at)
{
    wait_slowly();
    return syscall(SYS_pwrite64, fd, bytes, n, at);
}
