/* How the delivery of alerts stands: how many are kept because their destination refused them for
 * good, and why. /healthz and `status` show its one line. Pure. */
#ifndef DRAINWATCH_ALERTER_DELIVER_HEALTH_H
#define DRAINWATCH_ALERTER_DELIVER_HEALTH_H

#include <stddef.h>
#include <stdint.h>

enum {
    DELIVERY_REASON_SIZE = 256,
    DELIVERY_HEALTH_SIZE = DELIVERY_REASON_SIZE + 64, /* enough for any delivery_health_text */
};

struct delivery_health {
    uint64_t n_kept;                   /* they wait for a restart or SIGHUP */
    char reason[DELIVERY_REASON_SIZE]; /* of the newest refusal, such as "invalid_auth" */
};

/* Writes "3 alerts kept: invalid_auth", or "" if none is kept: all is well. `size` is at least
 * DELIVERY_HEALTH_SIZE. */
void delivery_health_text(const struct delivery_health *health, char *out, size_t size);

#endif
