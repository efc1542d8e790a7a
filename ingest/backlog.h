/* Which of the two lanes to the alerter a drain's records take.
 *
 * A drain with much work that the alerter has not acked leaves the quick lane for the bulk lane, so
 * that other drains' records do not wait behind it. It comes back once the alerter acked all that
 * it has in the bulk lane. Work is counted in matches. Pure. */
#ifndef DRAINWATCH_INGEST_BACKLOG_H
#define DRAINWATCH_INGEST_BACKLOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    BACKLOG_QUICK_MATCHES = 16384, /* of a drain in the quick lane: some 50 ms of the alerter */
    BACKLOG_DRAINS_MAX = 4096,     /* with something unacked; further ones take the quick lane */
};

enum backlog_lane {
    BACKLOG_QUICK,
    BACKLOG_BULK,
    BACKLOG_LANES,
};

struct backlog_drain;

/* All zeros before the first backlog_begin. */
struct backlog {
    struct backlog_drain *drains; /* by name */
    int64_t acked[BACKLOG_LANES]; /* positions in the lanes' journals */
    uint64_t most;                /* that a drain may have in the quick lane */
    uint64_t turn;
};

/* Forgets everything. */
void backlog_clear(struct backlog *b);

/* Begins a turn: the positions up to which the lanes are acked, and whether the quick lane is short
 * of room. If it is, a drain with anything unacked in it takes the bulk lane. */
void backlog_begin(struct backlog *b, const int64_t acked[BACKLOG_LANES], bool is_short);

/* The lane of a drain's records, the same one throughout a turn. */
enum backlog_lane backlog_lane(struct backlog *b, const char *drain);

/* Counts a delivery that was recorded in a lane, up to `position`. Without memory it does not
 * count. */
void backlog_add(struct backlog *b, const char *drain, enum backlog_lane lane, uint64_t matches,
                 int64_t position);

/* Whether the drain has more than half of the matches in a lane, or there are none. */
bool backlog_is_most(struct backlog *b, const char *drain, enum backlog_lane lane);

#endif
