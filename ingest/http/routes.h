/* The paths that ingest serves: one row each in a table, and the paths of the input formats. Other
 * paths are answered 404, other methods 405. */
#ifndef DRAINWATCH_INGEST_HTTP_ROUTES_H
#define DRAINWATCH_INGEST_HTTP_ROUTES_H

#include "ingest/http/answer.h"
#include "ingest/http/handover.h"
#include "ingest/http/incoming.h"
#include "ingest/http/refusals.h"
#include "ingest/http/request.h"

#include <microhttpd.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ROUTES_HEALTH_PATH "/healthz"

/* What the endpoints work with; all borrowed. */
struct routes {
    struct requests *requests;
    struct handovers *handovers; /* NULL: there is no such path */
    struct refusals *refusals;
    /* Returns true if all is well, or false with the reason in one line. */
    bool (*is_healthy)(void *ctx, char *reason, size_t size);
    void *ctx;
};

/* The head of a request has come. Returns a request whose body is to follow, or NULL with `answer`
 * set. */
struct incoming *routes_begin(const struct routes *routes, struct MHD_Connection *connection,
                              const char *path, const char *method, int64_t now_us,
                              struct answer *answer);

#endif
