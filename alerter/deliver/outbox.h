/* The outbox: alerts from their decision to the end of their delivery, as rows of the storage, and
 * the posts in flight.
 *
 * It keeps facts and order. retry.h decides when to try again, and a destination judges each reply.
 * Of each channel only one waiting message is due. The apps of a channel take turns, and so do the
 * rules of an app: the first message of one comes before the second one of another. Messages of one
 * rule and app come in the order of decision. A message that was tried stays the channel's next
 * one, so that a Retry-After holds for the channel. A parked one holds up nothing. A turn with
 * nothing due costs no query. */
#ifndef DRAINWATCH_ALERTER_DELIVER_OUTBOX_H
#define DRAINWATCH_ALERTER_DELIVER_OUTBOX_H

#include "alerter/deliver/retry.h"
#include "common/base/err.h"
#include "common/base/table.h"
#include "common/record/wire.h"
#include "common/storage/storage.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    OUTBOX_ANSWER_SIZE = 256, /* of a last answer; a longer one is cut */
    OUTBOX_EXPIRE_ROWS = 64,  /* in one outbox_expire */
    OUTBOX_HEALTH_SIZE = OUTBOX_ANSWER_SIZE + 64,
};

/* A message that is retried for so long is a fault that somebody should see. */
#define OUTBOX_LATE_US (10 * TIME_MINUTE)

struct outbox;
struct http_call;

/* One row. The pointers are valid during the call that it is handed to. */
struct outbox_message {
    int64_t row; /* rises in the order of decision, never used twice */
    enum outbox_state state;
    const char *channel;
    /* False if only a newer build can read the alert: `alert` is empty then. */
    bool is_readable;
    struct wire_alert alert;
    struct retry_facts facts;
    int64_t next_try_us; /* 0: at once */
    int64_t ended_us;    /* delivered or expired, 0: neither */
    const char *last_answer;
};

/* A value other than 0 ends the walk, which returns it. */
typedef int outbox_fn(void *ctx, const struct outbox_message *message);

int outbox_open(struct storage *storage, struct outbox **out, struct err *err); /* 0, ERR_NOMEM */
void outbox_close(struct outbox *o); /* after all calls of its posts; NULL is fine */

/* Within a transaction: adds a message. It waits for delivery if `refusal` is NULL; else it is
 * expired at once, with this as its last answer. */
int outbox_put(struct outbox *o, const struct wire_alert *alert, const char *refusal,
               struct err *err);

/* Commits the open transaction of the storage, with the outcomes of posts. After a failed commit or
 * a rollback the outcomes stay for the next commit: no reply is forgotten, and nothing is posted
 * twice because a commit failed. While an outbox is open, use these two instead of storage_commit
 * and storage_rollback. */
int outbox_commit(struct outbox *o, struct err *err);
void outbox_rollback(struct outbox *o);
/* True if there are outcomes to commit. */
bool outbox_unsaved(const struct outbox *o);

/* Outside of a transaction, because an uncommitted message must not be posted. Calls `fn` for the
 * next message of each channel if it is due and has no post, in the order of decision.
 * `fn` starts a post or defers the message. */
int outbox_due(struct outbox *o, int64_t now_us, outbox_fn *fn, void *ctx, struct err *err);
/* When outbox_due has work again: 0 or later, INT64_MAX if nothing waits but messages with a post.
 */
int outbox_next_due(struct outbox *o, int64_t *due_us, struct err *err);
/* Does not hand the message out before `until_us`. Kept in memory until the next committed outcome.
 */
void outbox_defer(struct outbox *o, int64_t row, int64_t until_us);

/* ---- Posts ---- */

/* One try of one message: the only record of it, from the moment it is handed out until its outcome
 * is committed. While it exists, nothing else of its channel is due. */
struct post {
    int64_t row;
    char id[WIRE_ID_SIZE];
    char rule[128];
    char channel[128];
    struct retry_facts facts;
    char answer[OUTBOX_ANSWER_SIZE]; /* of the try before; once it ended, of this one */
    struct http_call *call;          /* the caller's */
    enum { POST_IN_FLIGHT, POST_ENDED, POST_SAVED } phase; /* saved: in the open transaction */
    enum outbox_state state;                               /* the outcome */
    int64_t next_try_us;                                   /* if it waits again */
    UT_hash_handle hh;
};

/* NULL: no memory. The post stays at its address until it is dropped or committed. */
struct post *outbox_start_post(struct outbox *o, const struct outbox_message *message);
/* Ends a post. Any state but OUTBOX_EXPIRED counts as a try, which ended at facts.last_try_us. An
 * empty answer with OUTBOX_EXPIRED keeps the last one. */
void outbox_end_post(struct post *post, enum outbox_state state, const char *answer);
/* The message was not sent after all: it is due as before. */
void outbox_drop_post(struct outbox *o, struct post *post);
size_t outbox_in_flight(const struct outbox *o);
/* The first post, NULL if there is none; hh.next leads on. */
struct post *outbox_posts(const struct outbox *o);

/* ---- After another alerter ---- */

/* This alerter has taken the storage over: reads anew what waits. The other one may have posted the
 * next message of a channel just now, so that its try counts as one at `now_us`. */
int outbox_take_over(struct outbox *o, int64_t now_us, struct err *err);

/* ---- Many rows ---- */

/* Marks as expired, and hands to `fn`, waiting and parked messages without a post that were decided
 * at `before_us` or earlier, the oldest first, at most OUTBOX_EXPIRE_ROWS; for more call again
 * after the commit. */
int outbox_expire(struct outbox *o, int64_t before_us, int64_t now_us, outbox_fn *fn, void *ctx,
                  struct err *err);

/* Within a transaction: parked messages wait again, as if never tried. */
int outbox_unpark(struct outbox *o, size_t *n, struct err *err);

/* All rows in the order of decision; also beside the running owner. */
int outbox_list(struct outbox *o, outbox_fn *fn, void *ctx, struct err *err);

/* One line for /healthz and `status`, with the newest reason, of "no answer: …" the first words: "3
 * alerts kept: invalid_auth" if messages are parked; "2 alerts wait since 2026-05-07 08:06:12 UTC:
 * HTTP 503" if one was tried and still waits OUTBOX_LATE_US after its decision; else "", so that
 * all is well. It is valid until the next call, and costs no query while nothing changed. */
int outbox_health(struct outbox *o, int64_t now_us, const char **text, struct err *err);

/* The number of messages that wait or are parked. */
int outbox_undelivered(struct outbox *o, uint64_t *n, struct err *err);

#endif
