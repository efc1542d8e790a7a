/* Writes a pool of Logplex bodies to standard output.
 *
 *     bodies COUNT LINES MATCHING SEED [KEYS]
 *
 * MATCHING of 1,000 lines match the shipped rules, spread evenly: every 1000/MATCHING-th line is an
 * H12 or a WORKER TIMEOUT in turn. With KEYS each matching line is a short "storm" line of one of
 * KEYS processes, which take turns of 100 lines; a process's lines are a millisecond apart. Times
 * are the present. The pool is a list of bodies, each after its length and its number of lines (two
 * uint32). */
#include "tests/bench/lines.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { KEY_TURN = 100 };

struct pool {
    struct lines lines;
    int64_t now_us;
    uint64_t written; /* lines so far */
    uint64_t matched;
    unsigned matching;
    unsigned keys;
};

static int64_t wall_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* Tells whether this line matches: their share is right after every line. */
static bool is_match(const struct pool *p)
{
    return (p->written + 1) * p->matching / 1000 > p->written * p->matching / 1000;
}

/* Short, because the engine's memory is measured, not the network. */
static size_t write_storm(const struct pool *p, char out[LINES_MAX])
{
    uint64_t turn = p->matched / KEY_TURN;
    int64_t time_us =
        p->now_us + (int64_t)(turn / p->keys * KEY_TURN + p->matched % KEY_TURN) * 1000;
    time_t second = (time_t)(time_us / 1000000);
    char frame[LINES_MAX - 8], when[64];
    struct tm tm;
    int n;

    strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%S", gmtime_r(&second, &tm));
    n = snprintf(frame, sizeof frame, "<190>1 %s.%06u+00:00 host app web.%u - storm\n", when,
                 (unsigned)(time_us % 1000000), (unsigned)(turn % p->keys) + 1);
    return (size_t)snprintf(out, LINES_MAX, "%d %s", n, frame);
}

static size_t write_line(struct pool *p, char out[LINES_MAX])
{
    enum lines_kind kind = lines_common_kind(&p->lines);
    int64_t time_us = p->now_us + (int64_t)(p->written * 1000);
    bool matches = is_match(p);
    size_t n;

    if (matches)
        kind = p->matched % 2 == 0 ? LINES_H12 : LINES_WORKER_TIMEOUT;
    if (matches && p->keys > 0)
        n = write_storm(p, out);
    else
        n = lines_write(&p->lines, kind, LINES_FRAME, time_us, 0, out);
    p->matched += matches;
    p->written++;
    return n;
}

static void write_body(struct pool *p, unsigned lines, char *out)
{
    size_t n = 0;
    uint32_t head[2];

    for (unsigned i = 0; i < lines; i++)
        n += write_line(p, out + n);
    head[0] = (uint32_t)n;
    head[1] = lines;
    if (fwrite(head, sizeof head, 1, stdout) != 1 || fwrite(out, 1, n, stdout) != n)
        exit(1);
}

int main(int argc, char **argv)
{
    struct pool pool = {.now_us = wall_us()};
    unsigned count, lines;
    char *out;

    if (argc < 5 || argc > 6) {
        fprintf(stderr, "usage: bodies COUNT LINES MATCHING SEED [KEYS]\n");
        return 64;
    }
    count = (unsigned)atoi(argv[1]);
    lines = (unsigned)atoi(argv[2]);
    pool.matching = (unsigned)atoi(argv[3]);
    pool.lines.state = (uint64_t)atoi(argv[4]);
    pool.keys = argc > 5 ? (unsigned)atoi(argv[5]) : 0;
    out = malloc((size_t)lines * LINES_MAX + 1);
    if (out == NULL)
        return 1;
    for (unsigned i = 0; i < count; i++)
        write_body(&pool, lines, out);
    free(out);
    return fflush(stdout) == 0 ? 0 : 1;
}
