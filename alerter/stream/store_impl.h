/* What store.c and store_history.c share, and nobody else includes. */
#ifndef DRAINWATCH_ALERTER_STREAM_STORE_IMPL_H
#define DRAINWATCH_ALERTER_STREAM_STORE_IMPL_H

#include "alerter/stream/store.h"
#include "common/base/buf.h"

#include <sqlite3.h>

enum store_stmt {
    STORE_STMT_TAKEN,
    STORE_STMT_TAKE,
    STORE_STMT_REFUSE,
    STORE_STMT_REFUSED,
    STORE_STMT_TRIM_REFUSED,
    STORE_STMT_ADD_SNAPSHOT,
    STORE_STMT_FIND_SNAPSHOT,
    STORE_STMT_NEXT_SNAPSHOT,
    STORE_STMT_SNAPSHOT_TIME,
    STORE_STMT_TRIM_SNAPSHOTS,
    STORE_STMTS,
};

/* What of the history is known without asking. */
struct store_history {
    int64_t start;    /* position at which the stream begins; older ones may still lie there */
    int64_t start_us; /* when its snapshot was taken, 0: it begins at the very start */
    int64_t next;     /* the oldest snapshot behind it, 0: none */
    int64_t next_us;
    bool over;              /* there may be rows left that went with the history */
    int64_t since_snapshot; /* bytes appended behind the newest one; at start as good as endless */
};

struct store {
    struct journal *journal;
    struct outbox *outbox;
    struct wire *wire;
    struct buf packed;
    sqlite3_stmt *stmts[STORE_STMTS];
    struct store_history history;
    struct store_history committed;
};

/* Reads what is known of the history. */
int store_history_open(struct store *s, struct err *err);
/* An entry of `n` bytes was appended. */
void store_history_appended(struct store *s, enum wire_input input, int64_t position,
                            int64_t step_us, size_t n);

#endif
