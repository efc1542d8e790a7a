/* When to try a message again, from facts that are stored with it, and the pace of its channel.
 *
 * Pure: nothing is remembered here and nothing is random, so that a restart in the middle of an
 * outage goes on exactly where it was. The caller keeps to two rules of its own: of each channel
 * only the oldest waiting message is asked for and in flight, which keeps the order within a
 * channel; and a channel that has to wait holds up no other. */
#ifndef DRAINWATCH_ALERTER_DELIVER_RETRY_H
#define DRAINWATCH_ALERTER_DELIVER_RETRY_H

#include "common/base/time.h"

#include <stdint.h>

#define RETRY_FIRST_US TIME_S           /* from the first failure to the second try, exactly */
#define RETRY_MOST_US (5 * TIME_MINUTE) /* the longest distance that doubling reaches */
#define RETRY_AFTER_LEAST_US TIME_S     /* a Retry-After is held within these two */
#define RETRY_AFTER_MOST_US TIME_HOUR
#define RETRY_EXPIRES_US TIME_DAY /* from the alert's own time */

struct retry_facts {
    const char *id;          /* the alert's */
    int64_t decided_us;      /* the alert's `at` */
    int tries;               /* made so far; put back to 0 when a parked alert gets a new chance */
    int64_t last_try_us;     /* when the last one ended; unused while tries is 0 */
    int64_t retry_after_us;  /* what its answer asked for, 0: nothing */
    int64_t channel_last_us; /* when the last try of any message to this channel ended, 0: never */
};

enum retry_state {
    RETRY_DUE,     /* post it now */
    RETRY_LATER,   /* ask again at *next_us */
    RETRY_EXPIRED, /* it could not be delivered for RETRY_EXPIRES_US: give it up, in one line */
};

/* `next_us` is set to now or to a later time at which the answer changes; with RETRY_EXPIRED to
 * now. All times are of one clock. If that clock was set back, so that the last try lies ahead of
 * now, the message is due: one early try is better than a silent hour. */
enum retry_state retry_decide(const struct retry_facts *facts, int64_t pace_us, int64_t now_us,
                              int64_t *next_us);

/* How long to wait after the last try: what Slack asked for; else 1 s, doubled with each further
 * try up to 5 minutes, less up to a quarter, which is a function of id and tries. */
int64_t retry_delay_us(const struct retry_facts *facts);

#endif
