/* Decides when a repeated event is logged; called before log lines that could come often. */
#include "common/app/throttle.h"

#include "common/base/hash.h"
#include "common/base/time.h"

#include <string.h>

static const int64_t NEW_REASON_US = 10 * TIME_S;

static int64_t period_us(const struct throttle *t)
{
    return t->period_us > 0 ? t->period_us : TIME_MINUTE;
}

static bool is_due(const struct throttle *t, int64_t now_us)
{
    return !t->is_running || now_us < t->begin_us || now_us - t->begin_us >= period_us(t);
}

uint64_t throttle_add(struct throttle *t, uint64_t n, int64_t now_us)
{
    uint64_t all = t->held + n;

    if (n > 0)
        t->last_us = now_us;
    if (all == 0 || !is_due(t, now_us)) {
        t->held = all;
        return 0;
    }
    t->is_running = true;
    t->begin_us = now_us;
    t->held = 0;
    return all;
}

bool throttle_add_reason(struct throttle *t, const char *reason, int64_t now_us)
{
    const uint64_t hash = hash_quick(hash_seed(), reason, strlen(reason));

    if (reason[0] != '\0' && hash != t->reason && now_us - t->begin_us >= NEW_REASON_US)
        t->is_running = false;
    if (throttle_add(t, 1, now_us) == 0)
        return false;
    t->reason = hash;
    return true;
}

uint64_t throttle_flush(struct throttle *t)
{
    uint64_t held = t->held;

    t->held = 0;
    return held;
}

int64_t throttle_next_us(const struct throttle *t)
{
    return t->held > 0 ? t->begin_us + period_us(t) : INT64_MAX;
}

bool throttle_is_idle(const struct throttle *t, int64_t now_us)
{
    return t->held == 0 && is_due(t, now_us);
}

bool throttle_is_over(struct throttle *t, int64_t quiet_us, int64_t now_us)
{
    if (!t->is_running || now_us - t->last_us < quiet_us)
        return false;
    t->is_running = false;
    t->held = 0;
    return true;
}
