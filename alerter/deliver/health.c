/* Puts the state of delivery into one line, for /healthz and `status`. */
#include "alerter/deliver/health.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

void delivery_health_text(const struct delivery_health *health, char *out, size_t size)
{
    assert(size >= DELIVERY_HEALTH_SIZE);
    out[0] = '\0';
    if (health->n_kept > 0)
        snprintf(out, size, "%" PRIu64 " alert%s kept: %s", health->n_kept,
                 health->n_kept == 1 ? "" : "s", health->reason);
}
