/* Delivery: due messages go from the outbox to their destination, and each outcome goes back. It
 * knows no destination by name. */
#ifndef DRAINWATCH_ALERTER_DELIVER_DISPATCH_H
#define DRAINWATCH_ALERTER_DELIVER_DISPATCH_H

#include "alerter/deliver/outbox.h"
#include "common/app/settings.h"
#include "common/base/err.h"

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>

struct dispatch;

/* With alerting switched off nothing is sent. The storage says whether a post may begin. Borrows
 * `settings`, `storage` and `outbox`. Returns as http_client_new does.
 */
int dispatch_open(const struct settings *settings, struct storage *storage, struct outbox *outbox,
                  struct dispatch **out, struct err *err);
/* Breaks off the posts in flight; their messages wait in the outbox. NULL is fine. */
void dispatch_close(struct dispatch *d);

/* The loop's only wait: for `fds` and for the posts in flight. Returns 0 or ERR_IO. */
int dispatch_wait(struct dispatch *d, struct pollfd *fds, unsigned n, int timeout_ms,
                  struct err *err);

/* Call all three outside of a transaction, with the alerter's steady clock. collect judges the
 * replies that came. expire gives up messages that could not be delivered for a day. send posts the
 * due ones. The next outbox_commit stores the outcomes. expire and send return 0 or an error of the
 * outbox. */
void dispatch_collect(struct dispatch *d, int64_t now_us);
int dispatch_expire(struct dispatch *d, int64_t now_us, struct err *err);
int dispatch_send(struct dispatch *d, int64_t now_us, struct err *err);

/* Another alerter has the messages now: breaks off the posts in flight and forgets all outcomes
 * that are not committed. Returns their number. */
size_t dispatch_drop(struct dispatch *d);

/* When dispatch_send has work again; INT64_MAX: after the next reply or alert. */
int64_t dispatch_wake_us(struct dispatch *d);

/* True if a post is in flight, or due by then: a program that stops should wait for it. */
bool dispatch_is_busy(struct dispatch *d, int64_t by_us);

#endif
