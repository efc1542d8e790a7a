/* Counts each drain's matches that the alerter has not acked. Called by spool.c. */

#include "ingest/backlog.h"

#include "common/base/table.h"

#include <stdlib.h>
#include <string.h>

/* The matches of a drain in a lane. They are counted in two parts, so that one number for each is
 * enough: a part goes once its last record is acked. */
struct work {
    uint64_t first;    /* matches, up to `first_end` */
    uint64_t second;   /* after it */
    int64_t first_end; /* a position */
    int64_t last;      /* position of its last record */
};

struct backlog_drain {
    struct work lanes[BACKLOG_LANES];
    uint64_t turn; /* for which `lane` was chosen */
    enum backlog_lane lane;
    UT_hash_handle hh;
    char name[];
};

static void drop(struct backlog *b, struct backlog_drain *d)
{
    HASH_DEL(b->drains, d);
    free(d);
}

void backlog_clear(struct backlog *b)
{
    struct backlog_drain *d, *next;

    HASH_ITER(hh, b->drains, d, next)
    {
        drop(b, d);
    }
}

static bool is_acked(const struct backlog *b, const struct backlog_drain *d, enum backlog_lane lane)
{
    return d->lanes[lane].last <= b->acked[lane];
}

static void drop_idle(struct backlog *b)
{
    struct backlog_drain *d, *next;

    HASH_ITER(hh, b->drains, d, next)
    {
        if (is_acked(b, d, BACKLOG_QUICK) && is_acked(b, d, BACKLOG_BULK))
            drop(b, d);
    }
}

void backlog_begin(struct backlog *b, const int64_t acked[BACKLOG_LANES], bool is_short)
{
    memcpy(b->acked, acked, sizeof b->acked);
    b->most = is_short ? 0 : BACKLOG_QUICK_MATCHES;
    b->turn++;
}

/* The matches of a drain in a lane that are not acked. */
static uint64_t count(const struct backlog *b, struct backlog_drain *d, enum backlog_lane lane)
{
    struct work *w = &d->lanes[lane];

    if (is_acked(b, d, lane)) {
        w->first = w->second = 0;
        w->first_end = w->last;
    } else if (w->first_end <= b->acked[lane]) {
        w->first = w->second;
        w->second = 0;
        w->first_end = w->last;
    }
    return w->first + w->second;
}

enum backlog_lane backlog_lane(struct backlog *b, const char *drain)
{
    struct backlog_drain *d;

    HASH_FIND_STR(b->drains, drain, d);
    if (d == NULL)
        return BACKLOG_QUICK;
    if (d->turn == b->turn)
        return d->lane;
    d->turn = b->turn;
    d->lane = is_acked(b, d, BACKLOG_BULK) && count(b, d, BACKLOG_QUICK) <= b->most ? BACKLOG_QUICK
                                                                                    : BACKLOG_BULK;
    return d->lane;
}

/* A drain that is new in this turn: NULL if there are too many. */
static struct backlog_drain *add_drain(struct backlog *b, const char *name)
{
    struct backlog_drain *d;

    if (HASH_COUNT(b->drains) >= BACKLOG_DRAINS_MAX)
        drop_idle(b);
    if (HASH_COUNT(b->drains) >= BACKLOG_DRAINS_MAX)
        return NULL;
    HASH_ADD_NAMED(b->drains, name, strlen(name), d);
    if (d != NULL)
        d->turn = b->turn;
    return d;
}

void backlog_add(struct backlog *b, const char *drain, enum backlog_lane lane, uint64_t matches,
                 int64_t position)
{
    struct backlog_drain *d;

    HASH_FIND_STR(b->drains, drain, d);
    if (d == NULL)
        d = add_drain(b, drain);
    if (d == NULL)
        return;
    d->lanes[lane].last = position;
    d->lanes[lane].second += matches;
}

bool backlog_is_most(struct backlog *b, const char *drain, enum backlog_lane lane)
{
    uint64_t all = 0, own = 0;

    for (struct backlog_drain *d = b->drains; d != NULL; d = d->hh.next) {
        uint64_t n = count(b, d, lane);

        all += n;
        own += strcmp(d->name, drain) == 0 ? n : 0;
    }
    return all == 0 || own > all / 2;
}
