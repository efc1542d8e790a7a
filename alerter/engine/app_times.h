/* Apps, each with marks and the time of the newest: reports of lost lines, or alerts.
 *
 * Pure. Memory: about 160 bytes an app. */
#ifndef DRAINWATCH_ALERTER_ENGINE_APP_TIMES_H
#define DRAINWATCH_ALERTER_ENGINE_APP_TIMES_H

#include "alerter/engine/snapshot.h"

#include <stddef.h>
#include <stdint.h>

struct app_time;

/* All zeros before its first use. */
struct app_times {
    struct app_time *table;
    struct app_time *stalest; /* a list from the app that was longest without a mark */
    size_t n;
};

#define APP_TIMES_NONE INT64_MIN

void app_times_close(struct app_times *l);

/* Marks an app. The newer of two marks stays. Beyond `max_apps`, which is at
 * least 1, the app that was longest without a mark is forgotten. Returns 0, or ERR_NOMEM with
 * nothing changed. */
int app_times_mark(struct app_times *l, const char *app, int64_t time, size_t max_apps);

/* The newest mark; APP_TIMES_NONE if the app has none. */
int64_t app_times_newest(const struct app_times *l, const char *app);
uint64_t app_times_marks(const struct app_times *l, const char *app); /* how many it has */
struct app_times_count {
    const char *app; /* valid until the app is forgotten */
    uint64_t marks;
};
/* The apps with the most marks, up to `max`, the most first. Of two with as many marks the one
 * whose newest mark is older comes first. Returns their number. */
size_t app_times_most(const struct app_times *l, struct app_times_count *out, size_t max);

void app_times_save(const struct app_times *l, struct snapshot_writer *out);
/* Into an empty list: at most `max_apps`, and none later than `latest`. Returns 0, ERR_DAMAGED or
 * ERR_NOMEM. */
int app_times_load(struct app_times *l, struct snapshot_reader *in, size_t max_apps,
                   int64_t latest);

#endif
