/* Posts messages to Slack with libcurl, on the alerter's one loop.
 *
 * poster_poll is that loop's only wait: it waits for the loop's own descriptors and for the posts
 * in flight at once, so that a Slack which hangs, or a name that does not resolve, holds up
 * nothing. Never retried in here and never judged: a post ends with exactly one result, and what it
 * means is slack.h's and retry.h's to say. */
#ifndef DRAINWATCH_ALERTER_POSTER_H
#define DRAINWATCH_ALERTER_POSTER_H

#include "common/err.h"

#include <curl/curl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    POSTER_SLOTS = 8, /* posts in flight at once; retry.h allows one a channel */
    /* Slack echoes the message in its answer, with every character escaped this is still enough for
     * the largest that slack.h makes. A longer answer is not Slack's, and an error. */
    POSTER_ANSWER_MAX = 256 << 10,
    POSTER_CONNECT_MS = 5000,
    POSTER_WHOLE_MS = 15000,
    POSTER_ERROR_SIZE = CURL_ERROR_SIZE,
};

struct poster_settings {
    const char *api_url; /* "/chat.postMessage" is appended */
    const char *token;
    const char *version; /* of drainwatch, for User-Agent */
    int connect_ms;      /* name, TCP and TLS; 0: POSTER_CONNECT_MS */
    int whole_ms;        /* from poster_post to the answer's last byte; 0: POSTER_WHOLE_MS */
};

/* One ended post; the pointers are valid until the next call with this poster. */
struct poster_result {
    int64_t row_id;
    const char *error;     /* "" where a whole answer came; never holds the token */
    long status;           /* HTTP, 0 where none came */
    int64_t retry_after_s; /* 0: no such header */
    const char *body;      /* the token is overwritten in it, should anybody send it back */
    size_t body_len;
};

struct poster;

/* Copies what it needs. The process has to ignore SIGPIPE: OpenSSL writes without MSG_NOSIGNAL, and
 * libcurl is told to leave signals alone. Returns 0; ERR_INPUT (no http or https address, or a
 * token that cannot stand in a header), ERR_NOMEM or ERR_IO (libcurl is not fit: no TLS, or names
 * that block). */
int poster_new(const struct poster_settings *settings, struct poster **out, struct err *err);
/* Breaks off what is in flight, without waiting for anything; overwrites the token. NULL is fine.
 * A message in flight may have arrived, so collect its result first where there is time. */
void poster_free(struct poster *p);

/* Starts to post `json`, which is copied. Returns 0; ERR_FULL where POSTER_SLOTS posts are in
 * flight or wait to be collected; ERR_NOMEM; or ERR_IO. */
int poster_post(struct poster *p, int64_t row_id, const char *json, struct err *err);

/* Waits until one of `extra` is ready, a post in flight needs work, or `timeout_ms` is over, then
 * does that work. `extra[i].revents` is set each time, to 0 where nothing happened. Does not wait
 * where results are there to be collected. A signal ends the wait early. Returns 0 or ERR_IO. */
int poster_poll(struct poster *p, struct curl_waitfd *extra, unsigned n, int timeout_ms,
                struct err *err);

/* Takes the next ended post. Call it until it returns false, after each poster_poll. */
bool poster_done(struct poster *p, struct poster_result *out);

/* Posts begun whose result was not taken yet; and whether `row_id`'s is one of them. */
size_t poster_in_flight(const struct poster *p);
bool poster_holds(const struct poster *p, int64_t row_id);

#endif
