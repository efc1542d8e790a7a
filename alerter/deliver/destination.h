/* The seam between dispatch.c, which delivers, and the destinations, of which each knows one place
 * that takes alerts. A destination is one file and one row in destination.c.
 *
 * Pure: a destination turns an alert into a request and the reply into a verdict, and sends
 * nothing. */
#ifndef DRAINWATCH_ALERTER_DELIVER_DESTINATION_H
#define DRAINWATCH_ALERTER_DELIVER_DESTINATION_H

#include "common/app/settings.h"
#include "common/http/http_request.h"
#include "common/record/wire.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    DESTINATION_REASON_SIZE = 1024,
    /* Tries of a message whose error this build does not know: about two minutes with the waits
     * between them, which outlasts a hiccup with a new name. */
    DESTINATION_UNKNOWN_TRIES = 8,
};

/* One try to deliver an alert. */
struct destination_try {
    const char *channel;
    int n;                   /* 1: the first */
    const char *last_answer; /* the reason of the verdict on the try before; "" on the first */
};

enum destination_outcome {
    DESTINATION_DELIVERED,
    DESTINATION_RETRY,
    DESTINATION_REFUSED, /* no retry helps until somebody changes something: the alert is parked */
};

struct destination_verdict {
    enum destination_outcome outcome;
    int64_t retry_after_us; /* that the reply asks for, 0: nothing */
    /* One printable line: "ok", the error's name, "HTTP 503", "no answer: …". It may hold secrets:
     * dispatch.c takes them out, and cuts it after that. */
    char reason[DESTINATION_REASON_SIZE];
    const char *remedy; /* for the operator, a static text; "" if waiting is all */
};

enum destination_transport {
    DESTINATION_HTTP,
    DESTINATION_STDOUT, /* the body is written to standard output; the rest of the request is unused
                         */
};

struct destination {
    const char *name; /* for the log */
    enum destination_transport transport;
    int64_t pace_us; /* least time between two tries in a channel */
    /* True if the settings name all that it needs. */
    bool (*is_set_up)(const struct settings *settings);
    /* Appends to the empty `out`. Returns 0, ERR_FULL or ERR_NOMEM. */
    int (*request)(const struct settings *settings, const struct wire_alert *alert,
                   const struct destination_try *attempt, struct http_request *out);
    void (*judge)(const struct destination_try *attempt, const struct http_reply *reply,
                  struct destination_verdict *out);
};

/* The first one that is set up. Standard output always is. */
const struct destination *destination_of(const struct settings *settings);

/* For destinations: sets the reason to `before` and then `text`, made printable and cut to fit. */
void destination_set_reason(struct destination_verdict *verdict, const char *before,
                            const char *text);

extern const struct destination destination_slack;
extern const struct destination destination_stdout;

#endif
