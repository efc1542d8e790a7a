/* Decides when to post a message again.
 *
 * Pure: it works on facts that are stored with the message and has no random part, so a restart in
 * the middle of an outage goes on exactly as before. The outbox hands out only one message of each
 * channel at a time; that keeps the order, and a channel that waits holds up no other. */
#ifndef DRAINWATCH_ALERTER_DELIVER_RETRY_H
#define DRAINWATCH_ALERTER_DELIVER_RETRY_H

#include "common/base/time.h"

#include <stdint.h>

#define RETRY_FIRST_US TIME_S           /* from the first failure to the second try, exactly */
#define RETRY_MOST_US (5 * TIME_MINUTE) /* the longest distance that doubling reaches */
#define RETRY_AFTER_LEAST_US TIME_S     /* a Retry-After is held within these two */
#define RETRY_AFTER_MOST_US TIME_HOUR

struct retry_facts {
    const char *id;          /* the alert's */
    int64_t decided_us;      /* the alert's `at` */
    int tries;               /* made so far; 0 again after a parked message was unparked */
    int64_t last_try_us;     /* its end; unused while tries is 0 */
    int64_t retry_after_us;  /* asked for by its reply, 0: nothing */
    int64_t channel_last_us; /* end of the last try of any message to this channel, 0: none yet */
};

/* When to post the message: now or later. `pace_us` is the least time between two tries in a
 * channel. All times are of one clock. If that clock was set back behind the last try, the message
 * is due: one early try is better than a silent hour. */
int64_t retry_next_us(const struct retry_facts *facts, int64_t pace_us, int64_t now_us);

/* The wait after the last try: the reply's Retry-After, held within its bounds; else 1 s, doubled
 * with each further try up to 5 minutes, less up to a quarter that depends on id and tries. */
int64_t retry_delay_us(const struct retry_facts *facts);

#endif
