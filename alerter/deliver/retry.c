#include "alerter/deliver/retry.h"

#include <assert.h>

/* FNV-1a with a finalizer: the last bits of plain FNV hardly depend on the first bytes. */
static uint64_t hash(const char *id, int tries)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325);

    for (; *id != '\0'; id++)
        h = (h ^ (uint8_t)*id) * UINT64_C(0x100000001b3);
    h = (h ^ (uint64_t)tries) * UINT64_C(0x100000001b3);
    h = (h ^ (h >> 33)) * UINT64_C(0xff51afd7ed558ccd);
    return h ^ (h >> 33);
}

/* Messages that failed together must not come back together, so all but the first wait get up to
 * a quarter shorter. Shorter and not longer, so that five minutes is really the most. */
static int64_t backoff_us(const char *id, int tries)
{
    int64_t us = RETRY_FIRST_US;

    for (int i = 1; i < tries && us < RETRY_MOST_US; i++)
        us *= 2;
    if (us > RETRY_MOST_US)
        us = RETRY_MOST_US;
    if (tries <= 1)
        return us;
    return us - us / 4 * (int64_t)(hash(id, tries) % 1024) / 1024;
}

int64_t retry_delay_us(const struct retry_facts *facts)
{
    int64_t asked = facts->retry_after_us;

    if (asked <= 0)
        return backoff_us(facts->id, facts->tries);
    if (asked < RETRY_AFTER_LEAST_US)
        return RETRY_AFTER_LEAST_US;
    return asked > RETRY_AFTER_MOST_US ? RETRY_AFTER_MOST_US : asked;
}

/* `us` after `start`, unless the clock was set back behind `start`: then now. */
static int64_t wait_from(int64_t start, int64_t us, int64_t now_us)
{
    return start > now_us ? now_us : start + us;
}

enum retry_state retry_decide(const struct retry_facts *facts, int64_t pace_us, int64_t now_us,
                              int64_t *next_us)
{
    const int64_t expires = facts->decided_us + RETRY_EXPIRES_US;
    int64_t next = now_us;

    assert(facts->tries >= 0);
    if (facts->tries > 0)
        next = wait_from(facts->last_try_us, retry_delay_us(facts), now_us);
    if (facts->channel_last_us != 0) {
        int64_t paced = wait_from(facts->channel_last_us, pace_us, now_us);

        next = paced > next ? paced : next;
    }
    *next_us = now_us;
    if (now_us >= expires)
        return RETRY_EXPIRED;
    if (next <= now_us)
        return RETRY_DUE;
    *next_us = next < expires ? next : expires;
    return RETRY_LATER;
}
