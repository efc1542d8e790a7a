/* Limits how often a repeated event is logged: at once the first time, then once a period with the
 * number of events since. An operator hears of a new fault when it begins, and a lasting one costs
 * a line a minute. Pure: the caller passes the time. */
#ifndef DRAINWATCH_COMMON_APP_THROTTLE_H
#define DRAINWATCH_COMMON_APP_THROTTLE_H

#include <stdbool.h>
#include <stdint.h>

/* All zeros is a valid beginning. Times are of one clock; if that steps back, the period is over.
 */
struct throttle {
    int64_t period_us; /* 0: a minute */
    bool is_running;   /* an event was logged, and throttle_is_over has not ended it */
    int64_t begin_us;  /* of the period */
    int64_t last_us;   /* of the last event */
    uint64_t held;     /* events that are not logged yet */
    uint64_t reason;   /* a hash of the one that was logged */
};

/* Counts `n` events, which may be 0. Returns how many to log now, held ones included; 0: log
 * nothing. Call it with 0 events to ask for held ones that are due. */
uint64_t throttle_add(struct throttle *t, uint64_t n, int64_t now_us);

/* For a fault that lasts and has a reason: returns whether to log it now. A new reason is due 10
 * seconds after the last log line. "" means that the reason is not known; it is never new. */
bool throttle_add_reason(struct throttle *t, const char *reason, int64_t now_us);

/* Returns all held events, due or not: for the end of a program. */
uint64_t throttle_flush(struct throttle *t);

/* When held events are due; INT64_MAX if there are none. */
int64_t throttle_next_us(const struct throttle *t);

/* True if no event is held and the next one would be logged at once. */
bool throttle_is_idle(const struct throttle *t, int64_t now_us);

/* For a fault that lasts: returns true once if it was logged and then did not come for `quiet_us`.
 * The caller then logs that it is over; the next event is logged at once. */
bool throttle_is_over(struct throttle *t, int64_t quiet_us, int64_t now_us);

#endif
