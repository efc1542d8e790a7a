/* Backoff, pace and Retry-After of posts; called by dispatch.c. */
#include "alerter/deliver/retry.h"

#include "common/base/hash.h"

#include <assert.h>

/* Messages that failed together must not come back together, so every wait but the first is up to a
 * quarter shorter. Shorter, because five minutes is the promised maximum. */
static int64_t backoff_us(const char *id, int tries)
{
    uint64_t dice = hash_finish(hash_add_u64(hash_add_text(HASH_START, id), (uint64_t)tries));
    int64_t us = RETRY_FIRST_US;

    for (int i = 1; i < tries && us < RETRY_MOST_US; i++)
        us *= 2;
    if (us > RETRY_MOST_US)
        us = RETRY_MOST_US;
    if (tries <= 1)
        return us;
    return us - us / 4 * (int64_t)(dice % 1024) / 1024;
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

int64_t retry_next_us(const struct retry_facts *facts, int64_t pace_us, int64_t now_us)
{
    int64_t next = now_us, paced = now_us;

    assert(facts->tries >= 0);
    if (facts->tries > 0)
        next = wait_from(facts->last_try_us, retry_delay_us(facts), now_us);
    if (facts->channel_last_us != 0)
        paced = wait_from(facts->channel_last_us, pace_us, now_us);
    next = paced > next ? paced : next;
    return next > now_us ? next : now_us;
}
