/* What outbox.c and outbox_hand.c share, and nobody else includes. */
#ifndef DRAINWATCH_ALERTER_DELIVER_OUTBOX_IMPL_H
#define DRAINWATCH_ALERTER_DELIVER_OUTBOX_IMPL_H

#include "alerter/deliver/outbox.h"
#include "common/base/buf.h"

#include <sqlite3.h>

enum outbox_stmt {
    OUTBOX_STMT_PUT,
    OUTBOX_STMT_NEXT_CHANNEL,
    OUTBOX_STMT_OLDEST,
    OUTBOX_STMT_LOAD,
    OUTBOX_STMT_LIST,
    OUTBOX_STMT_EXPIRABLE,
    OUTBOX_STMT_MARK,
    OUTBOX_STMT_MARK_EXPIRED,
    OUTBOX_STMT_MARK_CHANNEL,
    OUTBOX_STMT_UNPARK,
    OUTBOX_STMT_TRIM,
    OUTBOX_STMTS,
};

/* The oldest waiting message of a channel. */
struct outbox_head {
    int64_t row;
    int64_t next_us;
    char *channel;
};

/* A row that is being posted, or whose mark is not stored yet. */
struct outbox_in_hand {
    int64_t row;
    bool marked;
    bool saved; /* in the open transaction */
    struct outbox_mark mark;
    char answer[OUTBOX_ANSWER_SIZE];
};

struct outbox {
    struct journal *journal;
    struct wire *wire;
    struct buf packed;
    sqlite3_stmt *stmts[OUTBOX_STMTS];
    bool stale; /* heads and oldest_us must be read again */
    struct outbox_head *heads;
    size_t n_heads;
    size_t heads_cap;
    int64_t oldest_us; /* decision of the oldest that waits or is parked; INT64_MAX: none */
    struct outbox_in_hand *hand;
    size_t n_hand;
    size_t hand_cap;
};

/* Gives an array room for one more item. */
int outbox_make_room(void **items, size_t n, size_t *cap, size_t size, struct err *err);
/* NULL: nobody has the row in hand. */
struct outbox_in_hand *outbox_find_in_hand(const struct outbox *o, int64_t row);

#endif
