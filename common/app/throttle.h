/* Says a thing at once the first time, and then once a period how often it came since. So an
 * operator hears of a new fault when it begins, and a lasting one costs a line a minute. Pure: the
 * caller passes the time. */
#ifndef DRAINWATCH_COMMON_APP_THROTTLE_H
#define DRAINWATCH_COMMON_APP_THROTTLE_H

#include <stdbool.h>
#include <stdint.h>

/* All zeros is a valid beginning. Times are of one clock; if that steps back, the period is over.
 */
struct throttle {
    int64_t period_us; /* 0: a minute */
    bool is_running;   /* something was said, and its period has not been closed */
    int64_t begin_us;  /* of the period */
    int64_t last_us;   /* when the last event came */
    uint64_t held;     /* events since the last that was said */
};

/* Counts `n` events, which may be none. Returns how many to say now, with all that were held back:
 * 0 means to say nothing. Call it with 0 events to ask for what is due. */
uint64_t throttle_add(struct throttle *t, uint64_t n, int64_t now_us);

/* Returns all that is held back, due or not: for the end of a program. */
uint64_t throttle_flush(struct throttle *t);

/* When events that are held back are due; INT64_MAX if none are. */
int64_t throttle_next_us(const struct throttle *t);

/* True if nothing is held back and the next event would be said at once. */
bool throttle_is_idle(const struct throttle *t, int64_t now_us);

/* For a fault that lasts: true once if it was said and then did not come for `quiet_us`. The caller
 * then says that it is over; the next event is said at once. */
bool throttle_is_over(struct throttle *t, int64_t quiet_us, int64_t now_us);

#endif
