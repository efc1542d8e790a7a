/* Ingest's journals with the senders that carry them to the alerter: records of accepted deliveries
 * lie here until the alerter has them.
 *
 * There are two lanes, each with a journal and a sender of its own, and the alerter takes from both
 * in turn. A drain whose records pile up takes the bulk lane (backlog.h), so that other drains'
 * records do not wait behind them. So does a delivery that does not fit into the quick lane. The
 * bulk lane is opened when a drain first needs it. It may hold three quarters of the setting's
 * bytes, the quick lane the rest. With a setting under SPOOL_LANES_BYTES there is the quick lane
 * alone. */
#ifndef DRAINWATCH_INGEST_SPOOL_H
#define DRAINWATCH_INGEST_SPOOL_H

#include "common/app/settings.h"
#include "common/base/err.h"
#include "common/queue/sender.h"
#include "common/storage/journal.h"
#include "ingest/backlog.h"
#include "ingest/hold.h"
#include "ingest/http/request.h"

#include <stdbool.h>
#include <stdint.h>

enum { SPOOL_LANES_BYTES = 4 * JOURNAL_MAX_BYTES_LEAST };

struct spool_lane {
    struct journal *journal;
    struct sender *sender;
};

struct spool {
    const struct settings *settings;
    struct spool_lane lanes[BACKLOG_LANES];
    int n_lanes; /* open ones, the quick lane first */
    struct backlog backlog;
    int64_t look_us; /* when the state folder is looked at again */
    int64_t opened_us;
};

/* Opens the state folder's journals and connects to the alerter. `settings` is borrowed. Returns 0;
 * ERR_BUSY (another instance has the folder), or an error of journal_open, carrier_open or
 * sender_open. Times are clock_boot_us. */
int spool_open(struct spool *s, const struct settings *settings, int64_t now_us, struct err *err);
void spool_close(struct spool *s); /* all zeros is fine */

/* Records all of these requests, in one transaction a lane, and sets for each whether it is
 * accepted, and its place. What fits is accepted even if others do not fit. Removes acked records,
 * too, so call it without requests if spool_trim_due. Returns 0, or the error of a request that is
 * not accepted. It is no error if one drain fills the bulk lane, or has a delivery that is too
 * large for it, while the quick lane has room for others. */
int spool_record(struct spool *s, struct request *waiting, int64_t now_us, struct err *err);
bool spool_trim_due(const struct spool *s, int64_t now_us);

/* After spool_record: sends the new records. Returns 0 or an error of reading a journal; records
 * are then sent later. */
int spool_push(struct spool *s, int64_t now_us, struct err *err);
/* Sends records to the alerter, as many as may be in flight, and takes its acks. Returns as
 * spool_push does. */
int spool_exchange(struct spool *s, int64_t now_us, struct err *err);

/* Wait until a descriptor is readable (-1: its lane is closed), or until spool_wake_us; do not wait
 * if spool_pending. Then call spool_exchange. */
int spool_fd(const struct spool *s, enum backlog_lane lane);
bool spool_pending(struct spool *s);
int64_t spool_wake_us(const struct spool *s);

/* Prepares the disk for later commits; see journal_maintain. */
void spool_maintain(struct spool *s, bool is_idle);

/* To be called once a turn, outside of a transaction. Fails with ERR_IO if the state folder was
 * removed or replaced, because nobody could read its records again. Sets a damaged journal
 * aside and opens a new one: records that it took from then on would be lost with it. */
int spool_check(struct spool *s, int64_t now_us, struct err *err);

/* With a database: where an accepted request is kept. */
enum request_kept spool_kept(const struct spool *s, const struct request *r, int64_t now_us);
/* With a database: the records that these journals alone hold, if it takes them late or not at all.
 */
struct spool_alone {
    uint64_t records; /* 0: it takes them in time */
    int64_t since_us; /* since when it has taken none of a lane */
};
struct spool_alone spool_alone(const struct spool *s, int64_t now_us);

/* The sender of a lane, for one more way to the alerter; NULL: the lane is closed. */
struct sender *spool_sender(const struct spool *s, enum backlog_lane lane);

uint64_t spool_waiting(const struct spool *s); /* records that the alerter has not acked */
/* sender_ask and sender_is_sure for all of them. */
void spool_ask(struct spool *s, int64_t now_us);
bool spool_is_sure(const struct spool *s, int64_t since_us);
void spool_health(const struct spool *s, int64_t now_us, struct sender_health *out);
/* Tells the alerter that nothing more comes; see sender_goodbye. */
void spool_goodbye(struct spool *s);

#endif
