/* Runs the alerter as a child of ingest (DRAINWATCH_SOLO), for a host or dyno that runs one process
 * type.
 *
 * The child is the drainwatch-alerter beside this program. When it dies it starts again after 1 s,
 * doubling to 30 s while it keeps dying, also while ingest hands over before its end. It never
 * outlives ingest. */
#ifndef DRAINWATCH_INGEST_SOLO_H
#define DRAINWATCH_INGEST_SOLO_H

#include "common/app/settings.h"
#include "common/base/err.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct solo {
    const struct settings *settings; /* whose secrets the alerter gets */
    char path[4096];
    pid_t pid;     /* 0: not running */
    bool is_told;  /* to end */
    bool stopping; /* by solo_stop: it is not started again */
    int64_t started_us;
    int64_t start_again_us; /* INT64_MAX: no restart is due */
    int64_t pause_us;
};

/* Finds and starts the alerter, which gets this process's environment and the secrets of
 * `settings`. Returns 0, ERR_IO or ERR_NOMEM. Times are clock_boot_us. */
int solo_start(struct solo *s, const struct settings *settings, int64_t now_us, struct err *err);
void solo_signal(struct solo *s, int signal);         /* passes the signal on */
void solo_child_died(struct solo *s, int64_t now_us); /* on SIGCHLD */
void solo_run(struct solo *s, int64_t now_us);        /* starts it again if that is due */

/* Sends SIGTERM and waits, at most `patience_us`; then SIGKILL. */
void solo_stop(struct solo *s, int64_t patience_us);

#endif
