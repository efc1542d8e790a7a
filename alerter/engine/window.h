/* One key's times: how many matches lie in the window.
 *
 * A window is the half-open interval (x - within, x]: a match exactly `within` old is outside. The
 * times have millisecond grain and are kept sorted, each distinct time once with a running sum, so
 * that an interval is counted by subtracting two sums. They stand in blocks of a few hundred, so
 * that a record costs about the same in a window of any size, wherever its matches belong. Pure.
 *
 * Memory: the first four times come together. Then it is 16 bytes a distinct time, up to 24 with
 * the slack, and up to 33 if late matches leave blocks half full. If thousands of windows grow in
 * step, malloc cannot reuse their old arrays: measured 36 for each further time of a dozen. */
#ifndef DRAINWATCH_ALERTER_ENGINE_WINDOW_H
#define DRAINWATCH_ALERTER_ENGINE_WINDOW_H

#include "alerter/engine/snapshot.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* `n` matches at the same millisecond. */
struct window_run {
    int64_t ms;
    uint64_t n;
};

struct window_block;

struct window {
    struct window_block *blocks; /* of times, the oldest first */
    uint32_t n_blocks;
    uint32_t cap_blocks;
    uint32_t cap;      /* room for times in each block; several blocks have the whole of it */
    uint32_t head;     /* the first block's times before it are forgotten */
    size_t n;          /* times */
    uint64_t before;   /* the running sum before the first time */
    int64_t merged_ms; /* the latest time that took in older ones; INT64_MIN: none did */
};

struct window_count {
    uint64_t count;
    int64_t first_ms; /* of the first match counted */
    int64_t last_ms;
    bool about; /* the interval reaches back to merged times */
};

void window_init(struct window *w);
void window_close(struct window *w);

/* Sorts runs by time and makes one of those at the same time; returns how many remain. */
size_t window_sort(struct window_run *runs, size_t n);

/* How many runs at the front of sorted ones are too late: `keep_ms` or more before the newest time
 * of window and runs. The caller must leave them out. */
size_t window_late(const struct window *w, const struct window_run *runs, size_t n,
                   int64_t keep_ms);

/* Puts sorted runs in, of which none is too late; there may be none if the window is not empty.
 * Then forgets times `keep_ms` or more before the newest, and above `max_times` distinct times
 * merges the oldest two, as often as needed, into the later of them. Returns 0, or ERR_NOMEM with
 * only some of the runs put in. */
int window_put(struct window *w, const struct window_run *runs, size_t n, int64_t keep_ms,
               size_t max_times);

/* Whether some interval of `within_ms` that holds one of the sorted runs just put in holds more
 * than `more_than`. For each run it looks at up to `more_than` + 1 times. */
bool window_exceeds(const struct window *w, const struct window_run *fresh, size_t n,
                    int64_t within_ms, uint64_t more_than);

/* The largest such interval; the latest of several. It looks at all times within reach. */
struct window_count window_judge(const struct window *w, const struct window_run *fresh, size_t n,
                                 int64_t within_ms);

/* How many matches are later than `ms`. */
uint64_t window_count_after(const struct window *w, int64_t ms);

void window_save(const struct window *w, struct snapshot_writer *out);
/* Into a window just made. Returns 0, ERR_DAMAGED (more than `max_times` distinct times, none at
 * all, or not in order) or ERR_NOMEM. */
int window_load(struct window *w, struct snapshot_reader *in, size_t max_times);

#endif
