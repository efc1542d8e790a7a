/* Posts messages to Slack with libcurl, on the alerter's one loop.
 *
 * http_client_poll is that loop's only wait: it waits for the loop's own descriptors and for the
 * posts in flight at once, so that a Slack which hangs, or a name that does not resolve, holds up
 * nothing. Never retried in here and never judged: a post ends with exactly one result, and what it
 * means is slack.h's and retry.h's to say. */
#ifndef DRAINWATCH_ALERTER_DELIVER_HTTP_CLIENT_H
#define DRAINWATCH_ALERTER_DELIVER_HTTP_CLIENT_H

#include "common/base/err.h"

#include <curl/curl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    HTTP_CLIENT_SLOTS = 8, /* posts in flight at once; retry.h allows one a channel */
    /* Slack echoes the message in its answer, with every character escaped this is still enough for
     * the largest that slack.h makes. A longer answer is not Slack's, and an error. */
    HTTP_CLIENT_ANSWER_MAX = 256 << 10,
    HTTP_CLIENT_CONNECT_MS = 5000,
    HTTP_CLIENT_WHOLE_MS = 15000,
    HTTP_CLIENT_ERROR_SIZE = CURL_ERROR_SIZE,
};

struct http_client_settings {
    const char *api_url; /* "/chat.postMessage" is appended */
    const char *token;
    const char *version; /* of drainwatch, for User-Agent */
    int connect_ms;      /* name, TCP and TLS; 0: HTTP_CLIENT_CONNECT_MS */
    int whole_ms; /* from http_client_post to the answer's last byte; 0: HTTP_CLIENT_WHOLE_MS */
};

/* One ended post; the pointers are valid until the next call with this http_client. */
struct http_client_result {
    int64_t row_id;
    const char *error;     /* "" where a whole answer came; never holds the token */
    long status;           /* HTTP, 0 where none came */
    int64_t retry_after_s; /* 0: no such header */
    const char *body;      /* the token is overwritten in it, should anybody send it back */
    size_t body_len;
};

struct http_client;

/* Copies what it needs. The process has to ignore SIGPIPE: OpenSSL writes without MSG_NOSIGNAL, and
 * libcurl is told to leave signals alone. Returns 0; ERR_INPUT (no http or https address, or a
 * token that cannot stand in a header), ERR_NOMEM or ERR_IO (libcurl is not fit: no TLS, or names
 * that block). */
int http_client_new(const struct http_client_settings *settings, struct http_client **out,
                    struct err *err);
/* Breaks off what is in flight, without waiting for anything; overwrites the token. NULL is fine.
 * A message in flight may have arrived, so collect its result first where there is time. */
void http_client_free(struct http_client *p);

/* Starts to post `json`, which is copied. Returns 0; ERR_FULL where HTTP_CLIENT_SLOTS posts are in
 * flight or wait to be collected; ERR_NOMEM; or ERR_IO. */
int http_client_post(struct http_client *p, int64_t row_id, const char *json, struct err *err);

/* Waits until one of `extra` is ready, a post in flight needs work, or `timeout_ms` is over, then
 * does that work. `extra[i].revents` is set each time, to 0 where nothing happened. Does not wait
 * where results are there to be collected. A signal ends the wait early. Returns 0 or ERR_IO. */
int http_client_poll(struct http_client *p, struct curl_waitfd *extra, unsigned n, int timeout_ms,
                     struct err *err);

/* Takes the next ended post. Call it until it returns false, after each http_client_poll. */
bool http_client_done(struct http_client *p, struct http_client_result *out);

/* Posts begun whose result was not taken yet; and whether `row_id`'s is one of them. */
size_t http_client_in_flight(const struct http_client *p);
bool http_client_holds(const struct http_client *p, int64_t row_id);

#endif
