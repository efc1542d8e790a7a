/* Shows the progress of scan and replay; called for each piece that they read. */
#include "common/app/progress.h"

#include "common/app/clock.h"
#include "common/app/process.h"
#include "common/base/time.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { WIDTH = 60 }; /* of the line: a line wider than the terminal cannot be rewritten by "\r" */

static const int64_t FIRST_US = 2 * TIME_S;
static const int64_t EACH_US = TIME_S;

void progress_begin(struct progress *p, const char *what)
{
    int64_t now_us = clock_boot_us();

    *p = (struct progress){
        .what = what,
        .is_shown = isatty(STDERR_FILENO),
        .begin_us = now_us,
        .next_us = now_us + FIRST_US,
    };
}

void progress_expect(struct progress *p, int fd)
{
    struct stat file;
    off_t at;

    if (fstat(fd, &file) != 0 || !S_ISREG(file.st_mode) || (at = lseek(fd, 0, SEEK_CUR)) < 0)
        p->is_open = true;
    else if (file.st_size > at)
        p->total += (uint64_t)(file.st_size - at);
}

/* "1.5 GB" */
static void write_size(uint64_t bytes, char *out, size_t size)
{
    static const char *const units[] = {"kB", "MB", "GB", "TB"};
    double n = (double)bytes / 1000;
    size_t unit = 0;

    while (n >= 1000 && unit + 1 < sizeof units / sizeof units[0]) {
        n /= 1000;
        unit++;
    }
    snprintf(out, size, "%.1f %s", n, units[unit]);
}

/* "scan: 42 % of 3.5 GB, 12 s left", or "scan: 1.5 GB" if the end is unknown. A file may grow while
 * it is read. */
static void write_state(const struct progress *p, int64_t now_us, char *out, size_t size)
{
    uint64_t total = p->total > p->done ? p->total : p->done;
    char amount[32];
    double share, left_s;

    write_size(p->is_open ? p->done : total, amount, sizeof amount);
    if (p->is_open || p->done == 0) {
        snprintf(out, size, "%s: %s", p->what, amount);
        return;
    }
    share = (double)p->done / (double)total;
    left_s = (double)(now_us - p->begin_us) / (double)TIME_S * (1 - share) / share;
    snprintf(out, size, "%s: %.0f %% of %s, %.0f s left", p->what, 100 * share, amount, left_s);
}

/* A terminal that does not read misses a line; scan and replay do not wait for it. */
static void show(struct progress *p, const char *text)
{
    char line[WIDTH + 3];
    int n = snprintf(line, sizeof line, "\r%-*.*s", WIDTH, WIDTH, text);

    p->has_line = process_write(STDERR_FILENO, line, (size_t)n) || p->has_line;
}

void progress_add(struct progress *p, size_t bytes)
{
    char text[WIDTH + 1];
    int64_t now_us;

    p->done += bytes;
    if (!p->is_shown || (now_us = clock_boot_us()) < p->next_us)
        return;
    p->next_us = now_us + EACH_US;
    write_state(p, now_us, text, sizeof text);
    show(p, text);
}

void progress_end(struct progress *p)
{
    if (p->has_line) {
        show(p, "");
        (void)process_write(STDERR_FILENO, "\r", 1);
    }
    p->has_line = false;
}
