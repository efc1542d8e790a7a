/* Slack: an alert as the JSON of chat.postMessage, and Slack's answer as a verdict.
 *
 * Pure. What a message holds may come from anybody who can make an app log a line. So every text
 * is made printable, drain tokens are taken out, and Slack's three control characters are escaped:
 * no line can mention people, link, or end the block that it stands in. */
#ifndef DRAINWATCH_ALERTER_DELIVER_SLACK_H
#define DRAINWATCH_ALERTER_DELIVER_SLACK_H

#include "common/base/buf.h"
#include "common/record/wire.h"

#include <stddef.h>
#include <stdint.h>

enum {
    SLACK_BODY_MAX = 64 << 10,  /* bytes of a rendered message, always enough */
    SLACK_PRINT_MAX = 32 << 10, /* bytes of a printed one, always enough */
    SLACK_REASON_SIZE = 160,
    /* Tries that an error name gets which this build does not know: with the waits between them
     * about two minutes, which rides out a hiccup that Slack has a new name for. */
    SLACK_UNKNOWN_TRIES = 8,
};

/* Appends the JSON that posts `alert` to `channel`. Returns 0, ERR_FULL (the buffer's ceiling) or
 * ERR_NOMEM; after either of them `out` is as it was. */
int slack_render(const struct wire_alert *alert, const char *channel, struct buf *out);

/* Appends the same alert for standard output, where no token is set: whole lines, each of which
 * begins with "drainwatch alert: ", so that a drain that watches the app in which drainwatch runs
 * does not alert on its own alerts. Returns as slack_render does. */
int slack_print(const struct wire_alert *alert, struct buf *out);

/* What came back for one try. */
struct slack_reply {
    const char *error;     /* why no whole answer came; "" or NULL where one did */
    long status;           /* HTTP */
    int64_t retry_after_s; /* the Retry-After header, 0 where there was none */
    const char *body;
    size_t body_len;
    int tries; /* made for this message, with this one */
};

enum slack_outcome {
    SLACK_DELIVERED,
    SLACK_AGAIN,  /* worth another try when retry.h says so */
    SLACK_FAILED, /* no further try helps until somebody changes something: park it */
};

struct slack_verdict {
    enum slack_outcome outcome;
    int64_t retry_after_us; /* for struct retry_facts; 0 where nothing was asked for */
    /* One short printable line: "ok", Slack's error name, "HTTP 503", "no answer: …". */
    char reason[SLACK_REASON_SIZE];
    const char *remedy; /* what the operator can do, a static text; "" where waiting is all */
};

/* Delivered is only what a whole 2xx answer with "ok": true says. An answer that is lost, cut or
 * not Slack's is tried again, at the price of a message that may come twice. An error name that
 * this build does not know is tried again SLACK_UNKNOWN_TRIES times and then parked: for ever
 * would hold up its channel, at once would lose what a new name for a hiccup cost. */
void slack_answer(const struct slack_reply *reply, struct slack_verdict *out);

#endif
