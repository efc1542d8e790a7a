/* The apps that lost lines, each with the newest time of such a report.
 *
 * Logplex reports how many lines it dropped, not which ones, so a count that reaches back to that
 * time may be too low. Pure. Memory: about 160 bytes an app. */
#ifndef DRAINWATCH_ALERTER_ENGINE_LOSSES_H
#define DRAINWATCH_ALERTER_ENGINE_LOSSES_H

#include "alerter/engine/snapshot.h"

#include <stddef.h>
#include <stdint.h>

struct loss;

/* All zeros before its first use. */
struct losses {
    struct loss *table;
    struct loss *stalest; /* a list from the app that was longest without a mark */
    size_t n;
};

#define LOSSES_NONE INT64_MIN

void losses_close(struct losses *l);

/* Marks an app. The newer of two marks stays. Beyond `max_apps`, which is at
 * least 1, the app that was longest without a mark is forgotten. Returns 0, or ERR_NOMEM with
 * nothing changed. */
int losses_mark(struct losses *l, const char *app, int64_t ms, size_t max_apps);

/* The newest mark; LOSSES_NONE if the app has none. */
int64_t losses_newest(const struct losses *l, const char *app);

void losses_save(const struct losses *l, struct snapshot_writer *out);
/* Into losses just made: at most `max_apps`, and none later than `latest_ms`. Returns 0,
 * ERR_DAMAGED or ERR_NOMEM. */
int losses_load(struct losses *l, struct snapshot_reader *in, size_t max_apps, int64_t latest_ms);

#endif
