/* Writes a synthetic day of an app's logs, as `heroku logs` prints them, on standard output.
 *
 *     heroku_day [--mb 1000] [--seed 1] [--date 2026-05-07]
 *
 * The same arguments give the same bytes. The lines are spread over the day as visitors are: few at
 * night, most at noon. Every hour or so something goes wrong: a storm of H12, of WORKER TIMEOUT or
 * both, R14 before it, and now and then an L10; between the storms there is a stray H12, which
 * should wake nobody. */
#include "tests/bench/lines.h"

#include <getopt.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const double DAY_US = 86400e6;
enum { LINE_BYTES = 195, STORMS = 20, STORM_US = 120000000, STRAYS = 200 };

struct day {
    struct lines lines;
    int64_t start_us;
    uint64_t n_lines;
    int64_t storms[STORMS]; /* when they begin, since the day did */
};

static int64_t read_date(const char *text)
{
    struct tm tm = {0};
    const char *end = strptime(text, "%Y-%m-%d", &tm);

    if (end == NULL || *end != '\0') {
        fprintf(stderr, "heroku_day: --date \"%s\" is not a date (try 2026-05-07)\n", text);
        exit(64);
    }
    return (int64_t)timegm(&tm) * 1000000;
}

static uint64_t read_number(const char *name, const char *text)
{
    char *end;
    unsigned long long n = strtoull(text, &end, 10);

    if (*text == '\0' || *end != '\0' || n == 0) {
        fprintf(stderr, "heroku_day: --%s \"%s\" is not a number above 0\n", name, text);
        exit(64);
    }
    return n;
}

/* How much of the day has passed when this share of its lines is written: the inverse of
 * t - 0.75 sin(2 pi t) / (2 pi), by Newton's method. */
static double moment(double share, double guess)
{
    const double pi2 = 6.283185307179586;

    for (int i = 0; i < 3; i++)
        guess -= (guess - 0.75 * sin(pi2 * guess) / pi2 - share) / (1 - 0.75 * cos(pi2 * guess));
    return guess;
}

static int in_storm(const struct day *d, int64_t at_us)
{
    for (int i = 0; i < STORMS; i++) {
        if (at_us >= d->storms[i] && at_us < d->storms[i] + STORM_US)
            return i;
    }
    return -1;
}

static enum lines_kind pick(struct day *d, int64_t at_us)
{
    static const enum lines_kind ill[][4] = {
        {LINES_H12, LINES_H12, LINES_H12, LINES_R14},
        {LINES_WORKER_TIMEOUT, LINES_WORKER_TIMEOUT, LINES_R14, LINES_R14},
        {LINES_H12, LINES_WORKER_TIMEOUT, LINES_R14, LINES_L10},
    };
    int storm = in_storm(d, at_us);

    if (storm >= 0 && lines_random(&d->lines, 100) < 10)
        return ill[storm % 3][lines_random(&d->lines, 4)];
    if (lines_random(&d->lines, d->n_lines / STRAYS + 1) == 0)
        return LINES_H12;
    return lines_common_kind(&d->lines);
}

static void write_day(struct day *d)
{
    static char out[1 << 20];
    size_t n = 0;
    double at = 0.0;

    for (int i = 0; i < STORMS; i++)
        d->storms[i] = (int64_t)lines_random(&d->lines, (uint64_t)DAY_US - STORM_US);
    for (uint64_t i = 0; i < d->n_lines; i++) {
        int64_t at_us;

        if (i % 64 == 0)
            at = moment((double)i / (double)d->n_lines, at);
        at += 0.1 / (double)d->n_lines; /* within a group lines follow each other closely */
        at_us = (int64_t)(at * DAY_US);
        n += lines_write(&d->lines, pick(d, at_us), LINES_PRINTED, d->start_us + at_us, 0, out + n);
        if (n > sizeof out - LINES_MAX || i + 1 == d->n_lines) {
            if (fwrite(out, 1, n, stdout) != n)
                exit(1);
            n = 0;
        }
    }
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"mb", required_argument, NULL, 'm'},
        {"seed", required_argument, NULL, 's'},
        {"date", required_argument, NULL, 'd'},
        {NULL, 0, NULL, 0},
    };
    static struct day day;
    uint64_t mb = 1000, seed = 1;
    const char *date = "2026-05-07";
    int option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == 'm')
            mb = read_number("mb", optarg);
        else if (option == 's')
            seed = read_number("seed", optarg);
        else if (option == 'd')
            date = optarg;
        else
            return 64;
    }
    day.lines.state = seed;
    day.start_us = read_date(date);
    day.n_lines = mb * 1000000 / LINE_BYTES;
    write_day(&day);
    return fflush(stdout) == 0 ? 0 : 1;
}
