/* The outbox: alerts from their decision to the end of their delivery, as rows of the storage.
 *
 * It stores facts and keeps the order; when to try again is retry.h's to say, and what an answer
 * means is slack.h's. Of each channel only the oldest waiting message is ever due, so that a
 * channel gets its messages in the order of decision; one that failed for good is parked and holds
 * up nothing. What is waiting is known in memory, so that a turn with nothing due costs no query.
 *
 * A row that is being posted is in hand: nobody else is due in its channel until it is marked and
 * the mark committed. Marks are kept in memory until a commit has stored them, so that a failed one
 * forgets no answer of Slack's. */
#ifndef DRAINWATCH_ALERTER_DELIVER_OUTBOX_H
#define DRAINWATCH_ALERTER_DELIVER_OUTBOX_H

#include "alerter/deliver/retry.h"
#include "common/base/err.h"
#include "common/record/wire.h"
#include "common/storage/storage.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    OUTBOX_ANSWER_SIZE = 256, /* of a last answer; a longer one is cut */
    OUTBOX_EXPIRE_ROWS = 64,  /* in one outbox_expire */
};

struct outbox;

/* One row. The pointers are valid during the call that it was handed to. */
struct outbox_message {
    int64_t row; /* rises in the order of decision, never used twice */
    enum outbox_state state;
    const char *channel;
    /* False for one that only a newer build can read: `alert` is empty then, and the row is best
     * marked OUTBOX_FAILED. */
    bool readable;
    struct wire_alert alert;
    struct retry_facts facts;
    int64_t next_try_us; /* as the last mark said, 0: at once */
    int64_t ended_us;    /* delivered or expired, 0: neither */
    const char *last_answer;
};

/* Whatever it returns other than 0 ends the walk, which returns it. */
typedef int outbox_fn(void *ctx, const struct outbox_message *message);

int outbox_open(struct storage *storage, struct outbox **out, struct err *err); /* 0, ERR_NOMEM */
void outbox_close(struct outbox *o);                                            /* NULL is fine */

/* Commits the open transaction of the storage, with the marks. If that fails, or after a rollback,
 * the marks wait for the next commit. While an outbox is open, use these two instead of
 * storage_commit and storage_rollback. */
int outbox_commit(struct outbox *o, struct err *err);
void outbox_rollback(struct outbox *o);

/* Within a transaction: one more message waits. */
int outbox_put(struct outbox *o, const struct wire_alert *alert, int64_t *row, struct err *err);

/* Outside of a transaction, for what is not committed must not be posted. Calls `fn` for the oldest
 * waiting message of each channel that is due and not in hand, in the order of decision; `fn` takes
 * it in hand (outbox_hold), puts it off (outbox_defer) or marks it. */
int outbox_due(struct outbox *o, int64_t now_us, outbox_fn *fn, void *ctx, struct err *err);
/* When outbox_due has something to do again: 0 or later, INT64_MAX where nothing waits but what is
 * in hand. */
int outbox_next_due(struct outbox *o, int64_t *due_us, struct err *err);

/* hold and mark can fail for want of memory only. A row that is in hand and is not being posted
 * after all is let go. */
int outbox_hold(struct outbox *o, int64_t row, struct err *err);
void outbox_let_go(struct outbox *o, int64_t row);
/* Not to be handed out before then. Forgotten at the next start, and when a mark is stored. */
void outbox_defer(struct outbox *o, int64_t row, int64_t until_us);

struct outbox_mark {
    enum outbox_state state; /* WAITING: try again at next_try_us */
    int64_t now_us;
    int64_t retry_after_us; /* what the answer asked for, 0: nothing */
    int64_t next_try_us;    /* while WAITING */
    const char *answer;     /* copied; "" with EXPIRED: the last one stays */
};

/* What became of a row; any state but EXPIRED counts as a try. Stored by the next outbox_commit;
 * outbox_unsaved says whether there is something to commit. */
int outbox_mark(struct outbox *o, int64_t row, const struct outbox_mark *mark, struct err *err);
bool outbox_unsaved(const struct outbox *o);

/* Marks as expired, and hands to `fn`, waiting and parked messages that were decided at `before_us`
 * or earlier, the oldest first, at most OUTBOX_EXPIRE_ROWS; for more call again after the commit.
 */
int outbox_expire(struct outbox *o, int64_t before_us, int64_t now_us, outbox_fn *fn, void *ctx,
                  struct err *err);

/* Within a transaction: all that is parked waits again, as if it had never been tried. */
int outbox_unpark(struct outbox *o, size_t *n, struct err *err);

/* All rows in the order of decision; also beside the running owner. */
int outbox_list(struct outbox *o, outbox_fn *fn, void *ctx, struct err *err);

#endif
