/* Puts the pushes of an ingest that stops, which arrive as handovers over HTTP, into the database
 * under their own sender. The alerter drops the records that it already has.
 *
 * It has a connection of its own, which is opened for the first push and closed after
 * TAKEOVER_IDLE_US, so that it never holds up this ingest's own records. No call waits for the
 * database. Times are clock_boot_us. */
#ifndef DRAINWATCH_INGEST_TAKEOVER_H
#define DRAINWATCH_INGEST_TAKEOVER_H

#include "common/app/process.h"
#include "common/app/settings.h"
#include "common/app/throttle.h"
#include "common/base/time.h"
#include "common/queue/pg_jobs.h"
#include "ingest/http/handover.h"

#include <stdbool.h>
#include <stdint.h>

#define TAKEOVER_IDLE_US TIME_MINUTE

struct takeover {
    const struct settings *settings;
    struct pg_jobs *jobs; /* NULL: nothing came for a while */
    bool is_up;
    enum pg_job_kind kind;            /* of the last job */
    bool is_running;                  /* its outcome is not known */
    struct handover *handover;        /* in work; NULL: none */
    uint8_t known[WIRE_SENDER_BYTES]; /* the last sender that was registered */
    bool has_known;
    int64_t used_us;
    struct throttle taken, failed; /* records, tries */
};

/* `settings` is borrowed, and names a database. */
void takeover_init(struct takeover *t, const struct settings *settings);
/* The handovers must not be decided afterwards. All zeros is fine. */
void takeover_close(struct takeover *t);

int takeover_fd(const struct takeover *t); /* readable: call takeover_run; -1: no job can run */
/* To be called once a turn. Returns whether the answer to a handover can be sent. */
bool takeover_run(struct takeover *t, struct handovers *handovers, int64_t now_us);

#endif
