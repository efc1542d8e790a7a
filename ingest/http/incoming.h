/* A request whose body comes in. Each kind begins its own struct with this one and fills a table of
 * functions, by which the server drives it. */
#ifndef DRAINWATCH_INGEST_HTTP_INCOMING_H
#define DRAINWATCH_INGEST_HTTP_INCOMING_H

#include "ingest/http/answer.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct incoming;

struct incoming_ops {
    /* Takes a piece of the body. False: its sender has had its share of this turn. Then its
     * connection is suspended until a later turn, in which the piece is to be pushed again. */
    bool (*push)(struct incoming *i, struct MHD_Connection *connection, const void *bytes,
                 size_t n);
    /* The body is complete. Sets `answer`, or leaves it undecided: then the request waits, and is
     * to be asked again until it is decided. If it waits for the database, its connection is
     * suspended. */
    void (*finish)(struct incoming *i, struct MHD_Connection *connection, int64_t now_us,
                   struct answer *answer);
    const char *(*sender)(const struct incoming *i); /* the name that it authenticated with */
    /* The request is answered, or its client is gone. */
    void (*end)(struct incoming *i);
};

struct incoming {
    const struct incoming_ops *ops;
    struct MHD_Connection *suspended; /* NULL: it is not */
};

static inline void incoming_suspend(struct incoming *i, struct MHD_Connection *connection)
{
    MHD_suspend_connection(connection);
    i->suspended = connection;
}

static inline void incoming_resume(struct incoming *i)
{
    if (i->suspended != NULL)
        MHD_resume_connection(i->suspended);
    i->suspended = NULL;
}

#endif
