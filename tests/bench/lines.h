/* Synthetic Heroku log lines, the same for the same seed: lines of the router, an app and the
 * platform, and lines that match the two shipped rules. */
#ifndef DRAINWATCH_BENCH_LINES_H
#define DRAINWATCH_BENCH_LINES_H

#include <stddef.h>
#include <stdint.h>

enum { LINES_MAX = 1024 }; /* bytes of a line in either form, with what surrounds it */

enum lines_kind {
    LINES_ROUTER,
    LINES_APP,
    LINES_PLATFORM, /* dyno metrics and state changes */
    LINES_H12,
    LINES_WORKER_TIMEOUT,
    LINES_R14,
    LINES_L10,
};

enum lines_form {
    LINES_FRAME,  /* octet-counted, as Logplex delivers it */
    LINES_PRINTED /* as `heroku logs` prints it */
};

struct lines {
    uint64_t state; /* of the generator; begin with a seed */
};

/* A number below `n`. */
uint64_t lines_random(struct lines *l, uint64_t n);

/* A kind of ordinary line: half of them the router's, most others the app's. */
enum lines_kind lines_common_kind(struct lines *l);

/* Writes one line of this time and returns its length. `who` picks the dyno unless it is 0. */
size_t lines_write(struct lines *l, enum lines_kind kind, enum lines_form form, int64_t time_us,
                   unsigned who, char out[LINES_MAX]);

#endif
