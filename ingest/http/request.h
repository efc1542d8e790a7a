/* A delivery over HTTP, from its head to its answer: who may deliver, the body, the records, and
 * the wait until they are in the journal and, with a database, until they are in that. */
#ifndef DRAINWATCH_INGEST_HTTP_REQUEST_H
#define DRAINWATCH_INGEST_HTTP_REQUEST_H

#include "common/record/wire.h"
#include "ingest/collect/rulebook.h"
#include "ingest/http/answer.h"
#include "ingest/http/auth.h"
#include "ingest/http/incoming.h"
#include "ingest/http/refusals.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct requests; /* all deliveries of a server */
struct request;  /* one of them */

/* Where an accepted delivery is kept; the header Drainwatch-Kept of its answer tells it. */
enum request_kept {
    REQUEST_KEPT_NOWHERE, /* yet: the answer is held back */
    REQUEST_KEPT_DISK,    /* the journal of this process alone has it */
    REQUEST_KEPT_DATABASE,
};

struct requests_options {
    int64_t max_body_bytes;
    int64_t (*clock_us)(void); /* clock_boot_us, for the bounds of a turn */
    struct auth *auth;         /* borrowed; NULL: deliveries are answered 501 with `off_reason` */
    const char *off_reason;
    struct rulebook *book; /* held */
    /* Called for each delivery that is answered 204, unless all its lines are our own. `frame` is a
     * hash of its drain and Frame-Id; 0: it has no Frame-Id. */
    void (*on_receipt)(void *ctx, uint64_t lines, uint64_t frame);
    /* Called for each delivery that is answered 204 and was damaged: so many frames of it were
     * malformed, or its gzip body was. */
    void (*on_damage)(void *ctx, const char *drain, uint64_t frames, bool body);
    /* With a database: asked about each accepted delivery with records, again and again until it
     * returns another value than REQUEST_KEPT_NOWHERE. NULL: no answer is held back or tells it. */
    enum request_kept (*kept)(void *kept_ctx, const struct request *r);
    void *kept_ctx;
    void *ctx;
};

/* The parts of a request's head that a delivery needs. Each is NULL if the request has none. Of
 * several with one name the first counts. All are valid until the answer is sent. */
struct headers {
    const char *drain;       /* Logplex-Drain-Token */
    const char *credentials; /* Authorization */
    const char *token;       /* drain_token in the URL */
    const char *encoding;    /* Content-Encoding */
    const char *length;      /* Content-Length */
    const char *frame_id;
    const char *msg_count;
    const char *drop_count;
    const char *lost_count;
    const char *have;      /* HANDOVER_HAVE of handover.h */
    const char *signature; /* HANDOVER_SIGNATURE */
};

/* Whether the body is not packed: no Content-Encoding, or "identity". */
bool headers_are_plain(const struct headers *h);

/* `refusals` is borrowed. NULL: no memory. */
struct requests *requests_new(const struct requests_options *options, struct refusals *refusals);
void requests_free(struct requests *rs); /* NULL is fine; no request may be open */

/* Deliveries that begin from now on use this book; the others end with the one they began with. */
void requests_set_book(struct requests *rs, struct rulebook *book);
size_t requests_open(const struct requests *rs); /* begun and not ended */

/* Around each turn, in which a bounded part of the bodies is taken and inflated. */
void requests_begin_turn(struct requests *rs);
void requests_end_turn(struct requests *rs);
/* Returns the memory of a storm that is over to the system. To be called once a second. */
void requests_give_back(struct requests *rs);
bool requests_are_behind(const struct requests *rs); /* a part waits for the next turn */

/* The head has come, for a path of an input format. Returns the request, or NULL with `answer` set.
 * `now_us` is the wall clock, with which the delivery is stamped. */
struct incoming *requests_begin(struct requests *rs, const char *path,
                                const struct headers *headers, int64_t now_us,
                                struct answer *answer);

/* The requests that wait for the journal, in order of arrival; valid until requests_decide. */
struct request *requests_waiting(struct requests *rs); /* NULL: none */
struct request *request_next(const struct request *r);
/* At least one record; all of a request are kept or none. Sender and sequence are the caller's to
 * fill. */
const struct wire_record *request_records(const struct request *r, size_t *n);
void request_set_accepted(struct request *r, bool accepted); /* 204, or 503 */
bool request_is_accepted(const struct request *r);
/* None of them waits for the journal any longer: each is answered when it is next asked, unless its
 * answer is held back. */
void requests_decide(struct requests *rs);

/* Where its records are, for the options' `kept`; the caller's to set and to read. */
struct request_place {
    int lane;
    int64_t position; /* of its last record */
    int64_t at_us;
};
void request_set_place(struct request *r, struct request_place place);
const struct request_place *request_place(const struct request *r);
/* The request whose answer is held back longest; NULL: none is. */
const struct request *requests_held(const struct requests *rs);
/* Returns whether an answer was held back, and no longer is. */
bool requests_release(struct requests *rs);
/* Suspends no connection any longer: for the end, because libmicrohttpd aborts if it stops with a
 * suspended connection. */
void requests_release_all(struct requests *rs);

#endif
