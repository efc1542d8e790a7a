#include "ingest/damage.h"

#include "common/base/text.h"
#include "common/base/time.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char OTHERS[] = "others";

static struct damage_drain *find(struct damage *d, const char *name, size_t len)
{
    struct damage_drain *unused = NULL;

    for (size_t i = 0; i < DAMAGE_DRAINS_MAX; i++) {
        struct damage_drain *drain = &d->drains[i];

        if (drain->minute_ends_us == 0)
            unused = unused != NULL ? unused : drain;
        else if (strncmp(drain->name, name, len) == 0 && drain->name[len] == '\0')
            return drain;
    }
    if (unused != NULL) {
        memcpy(unused->name, name, len);
        unused->name[len] = '\0';
        return unused;
    }
    memcpy(d->drains[DAMAGE_DRAINS_MAX].name, OTHERS, sizeof OTHERS);
    return &d->drains[DAMAGE_DRAINS_MAX];
}

static void write_what(uint64_t frames, uint64_t bodies, char *out, size_t size)
{
    int n = 0;

    if (frames > 0)
        n = snprintf(out, size, "%" PRIu64 " malformed frame%s", frames, frames == 1 ? "" : "s");
    if (bodies > 0)
        snprintf(out + n, size - (size_t)n, "%s%" PRIu64 " damaged gzip bod%s",
                 frames > 0 ? " and " : "", bodies, bodies == 1 ? "y" : "ies");
}

bool damage_add(struct damage *d, const char *name, uint64_t frames, bool body, int64_t now_us,
                char out[DAMAGE_SIZE])
{
    struct damage_drain *drain = find(d, name, text_cut(name, strlen(name), DAMAGE_NAME_MAX));
    char what[128];

    if (drain->minute_ends_us != 0) {
        drain->deliveries++;
        drain->frames += frames;
        drain->bodies += body;
        return false;
    }
    d->n_used++;
    drain->minute_ends_us = now_us + TIME_MINUTE;
    write_what(frames, body, what, sizeof what);
    snprintf(out, DAMAGE_SIZE,
             "drain \"%s\": a delivery with %s (a length that is none, a line over 64 KiB, a body "
             "that was cut off); what could be read of it counts",
             drain->name, what);
    return true;
}

bool damage_due(struct damage *d, int64_t now_us, bool all, char out[DAMAGE_SIZE])
{
    for (size_t i = 0; d->n_used > 0 && i <= DAMAGE_DRAINS_MAX; i++) {
        struct damage_drain *drain = &d->drains[i];
        char what[128];

        if (drain->minute_ends_us == 0 || (now_us < drain->minute_ends_us && !all))
            continue;
        if (drain->deliveries == 0) {
            drain->minute_ends_us = 0;
            d->n_used--;
            continue;
        }
        write_what(drain->frames, drain->bodies, what, sizeof what);
        snprintf(out, DAMAGE_SIZE, "drain \"%s\": %s in %" PRIu64 " more deliver%s within a minute",
                 drain->name, what, drain->deliveries, drain->deliveries == 1 ? "y" : "ies");
        drain->minute_ends_us = now_us + TIME_MINUTE;
        drain->deliveries = drain->frames = drain->bodies = 0;
        return true;
    }
    return false;
}

int64_t damage_next_us(const struct damage *d)
{
    int64_t next_us = INT64_MAX;

    for (size_t i = 0; d->n_used > 0 && i <= DAMAGE_DRAINS_MAX; i++) {
        const struct damage_drain *drain = &d->drains[i];

        if (drain->minute_ends_us != 0 && drain->minute_ends_us < next_us)
            next_us = drain->minute_ends_us;
    }
    return next_us;
}
