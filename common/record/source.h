/* Where the alerter's pushes come from and its acks go. The receiver takes from one, and no other
 * code asks which kind it is: a kind is one file that fills a struct source_ops. No call waits. */
#ifndef DRAINWATCH_COMMON_RECORD_SOURCE_H
#define DRAINWATCH_COMMON_RECORD_SOURCE_H

#include "common/record/wire.h"

#include <stdbool.h>
#include <stdint.h>

enum { SOURCE_PEER_MAX = 255 };

/* The way of an ack back to an ingest. The source makes the bytes; they are valid until that ingest
 * connects anew. */
struct source_peer {
    uint8_t len;
    uint8_t id[SOURCE_PEER_MAX];
};

struct source;

struct source_ops {
    /* Wait until the descriptor is readable; do not wait if `pending`. Then call `tend`. */
    int (*fd)(const struct source *s);
    bool (*pending)(struct source *s);
    void (*tend)(struct source *s, int64_t now_us);
    /* Takes one packed push, which is valid until the next call. Returns 1, 0 if there is none, or
     * ERR_IO. Pushes of one sender come in their order. */
    int (*receive)(struct source *s, struct source_peer *peer, struct wire_bytes *push);
    /* After the commit of records taken, or if the peer only asked. An ack that cannot be sent is
     * not missed: its sender asks again. */
    void (*ack)(struct source *s, const struct source_peer *peer, const struct wire_ack *ack);
    /* NULL, or: tells ingests that ask nothing why alerts are not delivered. Called once a turn. */
    void (*tell)(struct source *s, const char *trouble);
    uint64_t (*strangers)(const struct source *s); /* failed attempts to connect, so far */
    void (*close)(struct source *s);
};

/* A kind's own struct begins with this one. */
struct source {
    const struct source_ops *ops;
};

#endif
