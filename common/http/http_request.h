/* One HTTP request and its reply, as plain data: destinations and ingest/sibling write and judge
 * them, http_client.h carries them. */
#ifndef DRAINWATCH_COMMON_HTTP_HTTP_REQUEST_H
#define DRAINWATCH_COMMON_HTTP_HTTP_REQUEST_H

#include "common/base/buf.h"

#include <stddef.h>
#include <stdint.h>

struct http_request {
    const char *method;
    struct buf url;
    struct buf headers; /* "Name: value\n" each */
    struct buf body;
    /* Borrowed; NULL: none. It is overwritten wherever the reply or its error repeats it, because
     * both reach the outbox and the log. */
    const char *secret;
};

struct http_reply {
    const char *error;     /* why no whole reply came; "" if one did */
    long status;           /* 0 if none came */
    int64_t retry_after_s; /* the Retry-After header, 0 if there was none */
    const char *body;
    size_t body_len;
};

void http_request_init(struct http_request *request);
void http_request_clear(struct http_request *request); /* for the next one */
void http_request_close(struct http_request *request);

#endif
