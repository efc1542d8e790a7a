/* Decides who may post, in whatever time it is told; called by storages that several alerters
 * share. */
#include "common/lease/lease.h"

void lease_prove(struct lease_hold *h, int64_t sent_us)
{
    h->proved_us = sent_us;
}

bool lease_may_post(const struct lease_hold *h, int64_t now_us)
{
    return now_us < h->proved_us + LEASE_POST_US;
}

int64_t lease_beat_due_us(const struct lease_hold *h)
{
    return h->proved_us + LEASE_BEAT_US;
}

void lease_watch_begin(struct lease_watch *w)
{
    *w = (struct lease_watch){0};
}

/* Times count from the answer: the state that a poll saw may be as new as that. */
static void note(struct lease_watch *w, const struct lease_seen *seen)
{
    if (!w->is_seen || seen->epoch != w->epoch || seen->beat != w->beat) {
        *w = (struct lease_watch){
            .is_seen = true,
            .epoch = seen->epoch,
            .beat = seen->beat,
            .since_us = seen->answered_us,
        };
    }
    if (!w->is_gone)
        w->gone_us = seen->answered_us;
    w->is_gone = seen->is_gone;
    w->took_us[w->polls++ % LEASE_SILENT_POLLS] = seen->answered_us - seen->sent_us;
}

static bool is_silent(const struct lease_watch *w, int64_t now_us)
{
    int64_t patience_us = LEASE_SILENT_US;

    for (int i = 0; i < LEASE_SILENT_POLLS; i++)
        if (patience_us < LEASE_SILENT_POLLS * w->took_us[i])
            patience_us = LEASE_SILENT_POLLS * w->took_us[i];
    return w->polls >= LEASE_SILENT_POLLS && now_us - w->since_us >= patience_us;
}

bool lease_watch_see(struct lease_watch *w, const struct lease_seen *seen)
{
    note(w, seen);
    if (!seen->is_held)
        return true;
    if (seen->is_gone && seen->sent_us - w->gone_us >= LEASE_GONE_US)
        return true;
    return is_silent(w, seen->sent_us);
}
