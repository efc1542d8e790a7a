/* Counts each drain's matches that the alerter has not acked. Called by spool.c. */

#include "ingest/backlog.h"

#include "common/base/table.h"

#include <stdlib.h>
#include <string.h>

/* What the quick lane holds is counted in two parts, so that one number for each is enough: a part
 * goes once its last record is acked. */
struct backlog_drain {
    uint64_t first;              /* matches in the quick lane, up to `first_end` */
    uint64_t second;             /* after it */
    int64_t first_end;           /* a position */
    int64_t last[BACKLOG_LANES]; /* positions of its last records */
    uint64_t turn;               /* for which `lane` was chosen */
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
    return d->last[lane] <= b->acked[lane];
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

static void drop_acked(const struct backlog *b, struct backlog_drain *d)
{
    if (is_acked(b, d, BACKLOG_QUICK)) {
        d->first = d->second = 0;
        d->first_end = d->last[BACKLOG_QUICK];
    } else if (d->first_end <= b->acked[BACKLOG_QUICK]) {
        d->first = d->second;
        d->second = 0;
        d->first_end = d->last[BACKLOG_QUICK];
    }
}

enum backlog_lane backlog_lane(struct backlog *b, const char *drain)
{
    struct backlog_drain *d;

    HASH_FIND_STR(b->drains, drain, d);
    if (d == NULL)
        return BACKLOG_QUICK;
    if (d->turn == b->turn)
        return d->lane;
    drop_acked(b, d);
    d->turn = b->turn;
    d->lane = is_acked(b, d, BACKLOG_BULK) && d->first + d->second <= b->most ? BACKLOG_QUICK
                                                                              : BACKLOG_BULK;
    return d->lane;
}

/* A drain that is new in this turn: NULL if there are too many. */
static struct backlog_drain *add_drain(struct backlog *b, const char *name)
{
    struct backlog_drain *d;
    size_t size = strlen(name) + 1;

    if (HASH_COUNT(b->drains) >= BACKLOG_DRAINS_MAX)
        drop_idle(b);
    if (HASH_COUNT(b->drains) >= BACKLOG_DRAINS_MAX)
        return NULL;
    d = calloc(1, sizeof *d + size);
    if (d == NULL)
        return NULL;
    memcpy(d->name, name, size);
    d->turn = b->turn;
    HASH_ADD_STR(b->drains, name, d);
    if (d->hh.tbl == NULL) { /* uthash found no memory */
        free(d);
        return NULL;
    }
    return d;
}

void backlog_add(struct backlog *b, const char *drain, uint64_t matches, int64_t position)
{
    struct backlog_drain *d;

    HASH_FIND_STR(b->drains, drain, d);
    if (d == NULL)
        d = add_drain(b, drain);
    if (d == NULL)
        return;
    d->last[d->lane] = position;
    if (d->lane == BACKLOG_QUICK)
        d->second += matches;
}
