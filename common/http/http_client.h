/* Sends HTTP requests with libcurl, on a program's one loop.
 *
 * http_client_poll is that loop's only wait: for the loop's own descriptors and for all calls in
 * flight at once, so a server that hangs, or a name that does not resolve, holds up nothing. A call
 * is never repeated and never judged here: it ends with exactly one reply. */
#ifndef DRAINWATCH_COMMON_HTTP_HTTP_CLIENT_H
#define DRAINWATCH_COMMON_HTTP_HTTP_CLIENT_H

#include "common/base/err.h"
#include "common/http/http_request.h"

#include <curl/curl.h>
#include <stdbool.h>

enum {
    /* Slack repeats the message in its reply. This is enough for the largest message with every
     * character escaped; a longer reply counts as an error. The heads and trailers of a reply
     * have the same bound. */
    HTTP_CLIENT_REPLY_MAX = 256 << 10,
    /* Of a body as it comes. Chunks of one byte have six bytes each. */
    HTTP_CLIENT_RAW_MAX = 6 * HTTP_CLIENT_REPLY_MAX,
    HTTP_CLIENT_CONNECT_MS = 5000,
    HTTP_CLIENT_WHOLE_MS = 15000,
};

struct http_client;
struct http_call; /* one request in flight, or its reply */

struct http_client_options {
    const char *user_agent;
    /* A file and a folder of certificate authorities to trust; NULL: the system's. */
    const char *ca_file;
    const char *ca_dir;
    bool no_proxy;  /* the environment's proxies are not used */
    int connect_ms; /* for name, TCP and TLS; 0: HTTP_CLIENT_CONNECT_MS */
    int whole_ms;   /* from http_client_send to the reply's last byte; 0: HTTP_CLIENT_WHOLE_MS */
};

/* Borrows the options' strings. The process must ignore SIGPIPE: OpenSSL writes without
 * MSG_NOSIGNAL. Returns 0, ERR_NOMEM, or ERR_IO (this libcurl has no TLS, or looks names up
 * synchronously). */
int http_client_new(const struct http_client_options *options, struct http_client **out,
                    struct err *err);
/* After all of its calls. NULL is fine. */
void http_client_free(struct http_client *c);

/* Starts a call; copies the request, except for `secret`. `ctx` comes back with the reply. Returns
 * 0, ERR_NOMEM or ERR_IO. */
int http_client_send(struct http_client *c, const struct http_request *request, void *ctx,
                     struct http_call **out, struct err *err);

/* Waits until one of `extra` is ready, a call needs work, or `timeout_ms` is over, then does that
 * work. Sets each `extra[i].revents`. Returns at once if a reply is there, and early after a
 * signal. Returns 0 or ERR_IO. */
int http_client_poll(struct http_client *c, struct curl_waitfd *extra, unsigned n, int timeout_ms,
                     struct err *err);

/* The `ctx` of the next call that ended, with its reply, which is valid until http_call_free; NULL
 * if there is none. Call it until it returns NULL, after each http_client_poll. */
void *http_client_next(struct http_client *c, struct http_reply *reply);

/* Breaks the call off if it is in flight, without any wait; the server may have its request
 * already. NULL is fine. */
void http_call_free(struct http_call *call);

#endif
