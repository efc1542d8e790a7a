/* Memory of one HTTP request; called by the alerter's dispatch.c and ingest's sibling.c. */
#include "common/http/http_request.h"

#include <string.h>

enum {
    URL_MAX = 8 << 10,
    HEADERS_MAX = 16 << 10,
    BODY_MAX = 2 << 20, /* of a push of records; messages are smaller */
};

void http_request_init(struct http_request *request)
{
    *request = (struct http_request){.method = "POST"};
    buf_init(&request->url, URL_MAX);
    buf_init(&request->headers, HEADERS_MAX);
    buf_init(&request->body, BODY_MAX);
}

/* URL and headers may hold a secret. */
static void wipe(struct buf *b)
{
    if (b->data != NULL)
        explicit_bzero(b->data, b->cap);
    buf_clear(b);
}

void http_request_clear(struct http_request *request)
{
    wipe(&request->url);
    wipe(&request->headers);
    buf_clear(&request->body);
    request->method = "POST";
    request->secret = NULL;
}

void http_request_close(struct http_request *request)
{
    http_request_clear(request);
    buf_close(&request->url);
    buf_close(&request->headers);
    buf_close(&request->body);
}
