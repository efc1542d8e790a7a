/* Which of several alerters may post: decides when a standby may take the lease, and for how long
 * its holder may go on. It knows no database: the storage reports each look at the lease, with its
 * own steady clock in µs. The clocks of two machines are never compared.
 *
 * The holder raises the lease's beat with each fenced statement, once a second at least. It begins
 * a post only within LEASE_POST_US of the sending of the last fenced statement that succeeded. A
 * standby takes the lease only if that time is over, whatever the holder does meanwhile: its
 * statement takes the lease on the condition that epoch and beat are still the ones that it saw. So
 * never two may post, as long as the clock of a holder goes on while it is paused.
 *
 * A database may need longer than LEASE_POST_US for each statement. Then the storage lets a post
 * begin right after a beat that succeeded, or no alert would ever come. If the session ended while
 * that answer was under way, both may post: the message comes twice, with one id. */
#ifndef DRAINWATCH_COMMON_LEASE_LEASE_H
#define DRAINWATCH_COMMON_LEASE_LEASE_H

#include "common/base/time.h"

#include <stdbool.h>
#include <stdint.h>

#define LEASE_BEAT_US TIME_S
#define LEASE_POLL_US (250 * TIME_MS)
/* Less than LEASE_GONE_US: a holder whose connection broke may be paused, and wake. */
#define LEASE_POST_US (800 * TIME_MS)
#define LEASE_GONE_US TIME_S
#define LEASE_SILENT_US (5 * TIME_S)
enum { LEASE_SILENT_POLLS = 10 };

/* ---- The holder ---- */

struct lease_hold {
    int64_t proved_us; /* when the last fenced statement that succeeded was sent */
};

/* A fenced statement that was sent then succeeded, or the one that took the lease. */
void lease_prove(struct lease_hold *h, int64_t sent_us);
/* Whether a post may begin now. If not, a beat that succeeds at once makes it so. */
bool lease_may_post(const struct lease_hold *h, int64_t now_us);
int64_t lease_beat_due_us(const struct lease_hold *h);

/* ---- A standby ---- */

/* The lease as one poll saw it. */
struct lease_seen {
    int64_t sent_us; /* the poll; on the standby's clock */
    int64_t answered_us;
    int64_t epoch;
    int64_t beat;
    bool is_held; /* false: it was released, or nobody ever took it */
    bool is_gone; /* the connection of the holder is closed on the server */
};

struct lease_watch {
    bool is_seen; /* the fields below are of a poll */
    int64_t epoch;
    int64_t beat;
    int64_t since_us; /* the answer of the first poll that saw this epoch and beat */
    bool is_gone;
    int64_t gone_us;                     /* the same for is_gone */
    int polls;                           /* that saw this epoch and beat */
    int64_t took_us[LEASE_SILENT_POLLS]; /* the last ones, in turn */
};

/* Begins anew; also after the standby's own connection broke. */
void lease_watch_begin(struct lease_watch *w);
/* Takes in a poll. True: take the lease now, if it still has this epoch and beat. At once if it was
 * released; if its holder's connection is gone for LEASE_GONE_US, so that a holder which connects
 * again keeps it; or if the beat stands still for LEASE_SILENT_US and LEASE_SILENT_POLLS polls, and
 * for ten times as long as the slowest of the last polls took, so that a slow database is not taken
 * for a dead holder. */
bool lease_watch_see(struct lease_watch *w, const struct lease_seen *seen);

#endif
