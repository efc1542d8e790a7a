/* Refuses requests whose head can be read in two ways. A proxy in front could see another end of
 * such a request than we do, and take the rest for the request of another client. */
#ifndef DRAINWATCH_INGEST_HTTP_FRAMING_H
#define DRAINWATCH_INGEST_HTTP_FRAMING_H

#include <microhttpd.h>
#include <stdbool.h>

/* A request's target, as libmicrohttpd hands it over before it decodes it. */
struct framing_target {
    const char *begin, *end; /* the end, or the first blank */
    bool holds_zero;         /* %00, which would cut it once it is decoded */
};
struct framing_target framing_target(const char *uri);

/* The head is complete: `method` and `version` are libmicrohttpd's. Returns NULL, and whether the
 * body is chunked; or the fault, in words. */
const char *framing_fault(struct MHD_Connection *connection, const struct framing_target *target,
                          const char *method, const char *version, bool *chunked);

#endif
