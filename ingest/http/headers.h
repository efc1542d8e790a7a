/* The parts of a request's head that a delivery needs. */
#ifndef DRAINWATCH_INGEST_HTTP_HEADERS_H
#define DRAINWATCH_INGEST_HTTP_HEADERS_H

#include <microhttpd.h>

/* Each is NULL if the request has none. Of several with one name the first counts. All are valid
 * until the answer is sent. */
struct headers {
    const char *drain;       /* Logplex-Drain-Token */
    const char *credentials; /* Authorization */
    const char *token;       /* drain_token in the URL */
    const char *type;        /* Content-Type */
    const char *encoding;    /* Content-Encoding */
    const char *length;      /* Content-Length */
    const char *frame_id;
    const char *msg_count;
    const char *drop_count;
    const char *lost_count;
};

struct headers headers_read(struct MHD_Connection *connection);

#endif
