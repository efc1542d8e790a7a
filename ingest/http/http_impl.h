/* What http.c and http_request.c share, and nobody else includes. http.c drives libmicrohttpd and
 * keeps requests and connections; http_request.c is what it calls for each request. */
#ifndef DRAINWATCH_INGEST_HTTP_HTTP_IMPL_H
#define DRAINWATCH_INGEST_HTTP_HTTP_IMPL_H

#include "ingest/http/body.h"
#include "ingest/http/http.h"

#include <microhttpd.h>

enum state {
    RECEIVING,
    FAILED,  /* what is left of the body is read and forgotten: an answer can only follow it */
    WAITING, /* until its record is in the journal */
    DECIDED, /* http_answer has set its answer, which goes out when next asked for */
};

struct request {
    struct http_delivery delivery; /* first, so that the caller's pointer leads back here */
    struct MHD_Connection *connection;
    struct client *client; /* NULL: there was no memory for it */
    struct body *body;
    enum state state;
    char drain[AUTH_NAME_SIZE];
    struct request *next_spare;
};

/* A connection. */
struct client {
    int fd;
    bool at_end;             /* when last looked at, it had sent all that it will */
    struct request *request; /* NULL: no delivery has begun, or it is answered */
    struct client *prev, *next;
};

/* Of one kind, so that none hides another. */
struct refusals {
    uint64_t since_said;
    int64_t say_again_us; /* 0: nothing was refused lately */
    char last[320];
};

struct http {
    struct http_options options;
    struct MHD_Daemon *daemon;
    struct MHD_Response *accepted; /* 204, shared by all */
    struct MHD_Response *accepted_last;
    int64_t now_us;
    bool stopping;
    size_t open;
    struct client *clients;
    int64_t looked_us; /* when they were last looked at */
    int64_t failed_us; /* when a failure was last said */
    uint64_t calls;    /* of http_on_request */
    unsigned stuck_runs;
    struct http_delivery **pending;
    size_t n_pending, cap_pending;
    struct http_delivery **answering; /* the other half: a turn is emptied before it is answered */
    size_t cap_answering;
    struct request *spare;
    size_t n_spare;
    struct refusals strangers; /* who has no right to deliver */
    struct refusals unlisted;  /* whose drain no app of the rules lists */
};

/* NULL: there was no memory for it. */
struct client *http_client(struct MHD_Connection *connection);
/* A new request of a connection, or one that was given back; NULL: no memory. */
struct request *http_take_request(struct http *h, struct MHD_Connection *connection);
void http_give_back_request(struct http *h, struct request *r);

/* Adds a header to an answer; where memory ran out it goes without, which is said. */
void http_add_header(struct MHD_Response *response, const char *name, const char *value);

/* What libmicrohttpd calls with each piece of a request, and at its end. */
enum MHD_Result http_on_request(void *ctx, struct MHD_Connection *connection, const char *url,
                                const char *method, const char *version, const char *data,
                                size_t *n, void **slot);
void http_on_completed(void *ctx, struct MHD_Connection *connection, void **slot,
                       enum MHD_RequestTerminationCode code);

/* Says, each minute, how many deliveries were refused since it was last said. */
void http_say_refusals(struct http *h);
/* Whether there may be something to say at a minute's end. */
bool http_has_refusals(const struct http *h);

#endif
