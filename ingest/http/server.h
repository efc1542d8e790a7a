/* The HTTP server of ingest, on libmicrohttpd without a thread of its own.
 *
 * It works in turns. server_run takes all that is ready. Deliveries with something to record then
 * wait (requests_waiting) until the caller has journalled them and decided each; server_answer
 * sends the answers. With a database it may hold some of them back until server_answer_held. All
 * other requests are answered within server_run and cost no disk. */
#ifndef DRAINWATCH_INGEST_HTTP_SERVER_H
#define DRAINWATCH_INGEST_HTTP_SERVER_H

#include "common/base/err.h"
#include "ingest/http/handover.h"
#include "ingest/http/request.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct server;

struct server_options {
    uint16_t port;
    const char *address; /* IPv4 or IPv6; NULL: all of the machine's */
    struct requests_options deliveries;
    bool takes_handovers; /* a database carries the records */
    /* Asked by GET /healthz: returns true, or false with the reason in one line. */
    bool (*is_healthy)(void *ctx, char *reason, size_t size);
    void *ctx;
};

/* Listens. Returns 0, ERR_NOMEM, or an error of port_open. */
int server_open(const struct server_options *options, struct server **out, struct err *err);
/* Ends all connections at once; open requests get no answer. NULL is fine. */
void server_close(struct server *s);

/* The deliveries of this server. Only requests_set_book, _open, _waiting and _held are for the
 * caller. */
struct requests *server_requests(struct server *s);

/* The handovers of this server, NULL if it takes none. */
struct handovers *server_handovers(struct server *s);

int server_fd(const struct server *s); /* readable: call server_run */
/* Call server_run after so long at the latest, and at least once a second. -1: any time will do. */
int server_timeout_ms(const struct server *s);
/* `now_us`: the wall clock, with which deliveries are stamped. */
void server_run(struct server *s, int64_t now_us);

/* Answers the deliveries of requests_waiting, each of which was decided with request_set_accepted.
 * More may have come meanwhile: ask requests_waiting again before sleeping. */
void server_answer(struct server *s, int64_t now_us);

/* Answers the deliveries whose answer was held back and no longer is (`kept` of struct
 * requests_options). Call it once something may have changed; more may have come, as above. */
void server_answer_held(struct server *s, int64_t now_us);

/* Takes no further connections and closes each with its next answer. */
void server_stop(struct server *s);

#endif
