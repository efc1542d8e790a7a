/* What leaves the outbox: due messages go to Slack, or to standard output where no token is set;
 * what came of each goes back into the outbox, and is said. */
#ifndef DRAINWATCH_ALERTER_DELIVER_DISPATCH_H
#define DRAINWATCH_ALERTER_DELIVER_DISPATCH_H

#include "alerter/deliver/outbox.h"
#include "common/app/settings.h"
#include "common/base/err.h"

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>

struct dispatch;

/* With alerting switched off nothing is ever sent. Returns 0, ERR_NOMEM or what the http_client
 * says. */
int dispatch_open(const struct settings *settings, struct outbox *outbox, struct dispatch **out,
                  struct err *err);
/* Messages in flight are broken off; they wait in the outbox. NULL is fine. */
void dispatch_close(struct dispatch *d);

/* The loop's only wait: for `fds` and for what is in flight. Returns 0 or ERR_IO. */
int dispatch_wait(struct dispatch *d, struct pollfd *fds, unsigned n, int timeout_ms,
                  struct err *err);

/* Outside of a transaction, all three; times are the alerter's steady clock. collect takes the
 * answers that came and marks their rows; send begins what is due; expire gives up what could not
 * be delivered for a day. Return 0 or what the outbox answers. */
int dispatch_collect(struct dispatch *d, int64_t now_us, struct err *err);
int dispatch_send(struct dispatch *d, int64_t now_us, struct err *err);
int dispatch_expire(struct dispatch *d, int64_t now_us, struct err *err);

/* When dispatch_send is to be called again, INT64_MAX: after the next answer or alert. */
int64_t dispatch_wake_us(struct dispatch *d);

/* Whether it is worth waiting for before the end: something is in flight, or due by then. */
bool dispatch_is_busy(struct dispatch *d, int64_t by_us);

#endif
