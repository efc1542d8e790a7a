/* The HTTP side of ingest: routes, limits and answers, on libmicrohttpd without a thread of its
 * own.
 *
 * It works in turns. http_run takes all that is ready; deliveries that matched something wait, as
 * http_pending shows, until the caller has journalled them and set their answers; http_answer sends
 * those. A delivery that matched nothing is answered within http_run and costs no disk. */
#ifndef DRAINWATCH_INGEST_HTTP_HTTP_H
#define DRAINWATCH_INGEST_HTTP_HTTP_H

#include "common/base/err.h"
#include "common/record/wire.h"
#include "ingest/http/auth.h"
#include "ingest/collect/rulebook.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HTTP_DRAIN_PATH "/api/internal/heroku-log-drain"
#define HTTP_HEALTH_PATH "/healthz"

struct http;

struct http_options {
    uint16_t port;
    int64_t max_body_bytes;
    /* NULL: deliveries are answered 501 with `off_reason`. */
    struct auth *auth;
    const char *off_reason;
    struct rulebook *book; /* which is held */
    /* Called once for each delivery that is answered 204 and is not only about ourselves. */
    void (*on_receipt)(void *ctx, uint64_t lines);
    /* Called for each delivery that is answered 204 and was not whole: so many frames of it were
     * malformed, or its gzip body was damaged. */
    void (*on_damage)(void *ctx, const char *drain, uint64_t frames, bool body);
    /* Asked by GET /healthz: true, or false with the reason in one line. */
    bool (*is_healthy)(void *ctx, char *reason, size_t size);
    void *ctx;
};

/* Listens. Returns 0, ERR_BUSY (the port is in use), ERR_IO or ERR_NOMEM. */
int http_open(const struct http_options *options, struct http **out, struct err *err);
/* Ends all connections at once; what was not answered is not. NULL is fine. */
void http_close(struct http *h);

/* Deliveries that begin from now on go through this book; those that have begun end with the one
 * that they began with. */
void http_set_book(struct http *h, struct rulebook *book);

int http_fd(const struct http *h); /* readable: call http_run */
/* Call http_run after so long at the latest, and once a second while anybody is connected. -1:
 * never.
 */
int http_timeout_ms(const struct http *h);
/* `now_us`: the wall clock, which deliveries are stamped with. */
void http_run(struct http *h, int64_t now_us);

struct http_delivery {
    const struct wire_record *records; /* sender and sequence are the caller's to fill */
    size_t n_records;                  /* at least one; all are kept or none */
    bool accepted;                     /* set by the caller: 204, or 503 */
};

/* The deliveries that wait for their answer, in order of arrival; valid until http_answer. */
size_t http_pending(struct http *h, struct http_delivery ***out);
/* Answers them. More may have come in meanwhile: ask http_pending again before sleeping. */
void http_answer(struct http *h, int64_t now_us);

/* Takes no further connections and closes each with its next answer. */
void http_stop(struct http *h);
size_t http_open_requests(const struct http *h); /* begun and not answered */

#endif
