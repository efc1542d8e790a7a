/* Words that deliveries are damaged; called by notices. */
#include "ingest/damage.h"

#include "common/base/text.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static struct damage_drain *find(struct damage *d, const char *name, int64_t now_us)
{
    struct damage_drain *found = &d->drains[DAMAGE_DRAINS_MAX];
    char cut[DAMAGE_NAME_MAX + 1];

    snprintf(cut, sizeof cut, "%.*s", (int)text_cut(name, strlen(name), DAMAGE_NAME_MAX), name);
    for (size_t i = 0; i < DAMAGE_DRAINS_MAX; i++) {
        struct damage_drain *drain = &d->drains[i];

        if (throttle_is_idle(&drain->throttle, now_us))
            found = drain;
        else if (strcmp(drain->name, cut) == 0)
            return drain;
    }
    snprintf(found->name, sizeof found->name, "%s",
             found == &d->drains[DAMAGE_DRAINS_MAX] ? "others" : cut);
    return found;
}

static void write_damage(const struct damage_drain *drain, char *out, size_t size)
{
    int n = 0;

    if (drain->frames > 0)
        n = snprintf(out, size, "%" PRIu64 " malformed %s", drain->frames,
                     text_plural(drain->frames, "frame", "frames"));
    if (drain->bodies > 0)
        snprintf(out + n, size - (size_t)n, "%s%" PRIu64 " damaged gzip %s",
                 drain->frames > 0 ? " and " : "", drain->bodies,
                 text_plural(drain->bodies, "body", "bodies"));
}

static bool write_sum(struct damage_drain *drain, uint64_t n, char out[DAMAGE_SIZE])
{
    char damage[128];

    if (n == 0)
        return false;
    write_damage(drain, damage, sizeof damage);
    snprintf(out, DAMAGE_SIZE, "drain \"%s\": %s in %" PRIu64 " more %s within a minute",
             drain->name, damage, n, text_plural(n, "delivery", "deliveries"));
    drain->frames = drain->bodies = 0;
    return true;
}

bool damage_add(struct damage *d, const char *name, uint64_t frames, bool body, int64_t now_us,
                char out[DAMAGE_SIZE])
{
    struct damage_drain *drain = find(d, name, now_us);
    uint64_t n = throttle_add(&drain->throttle, 1, now_us);
    char damage[128];

    drain->frames += frames;
    drain->bodies += body;
    if (n != 1)
        return write_sum(drain, n, out);
    write_damage(drain, damage, sizeof damage);
    snprintf(out, DAMAGE_SIZE,
             "drain \"%s\": a delivery with %s (a bad length, a line over 64 KiB, or a body that "
             "was cut off); the readable rest of it counts",
             drain->name, damage);
    drain->frames = drain->bodies = 0;
    return true;
}

bool damage_due(struct damage *d, int64_t now_us, bool all, char out[DAMAGE_SIZE])
{
    for (size_t i = 0; i <= DAMAGE_DRAINS_MAX; i++) {
        struct throttle *t = &d->drains[i].throttle;

        if (write_sum(&d->drains[i], all ? throttle_flush(t) : throttle_add(t, 0, now_us), out))
            return true;
    }
    return false;
}
