/* What an endpoint's text means, and whether the place that it names is free. Part of queue. */
#ifndef DRAINWATCH_COMMON_QUEUE_QUEUE_ENDPOINT_H
#define DRAINWATCH_COMMON_QUEUE_QUEUE_ENDPOINT_H

#include "common/base/err.h"

#include <stdbool.h>

bool queue_endpoint_is_tcp(const char *endpoint);
bool queue_endpoint_is_ipv6(const char *endpoint); /* tcp://[…]:PORT */
bool queue_endpoint_is_any(const char *endpoint);  /* tcp://…:PORT with a star for the host */

/* Asks the place of an ipc:// endpoint whether somebody listens there, because ZeroMQ would remove
 * whatever file it finds. Returns 0 (free, or a dead process's socket), ERR_BUSY, or ERR_INPUT (a
 * file that is no socket, a path that cannot be reached). */
int queue_endpoint_probe(const char *endpoint, struct err *err);

#endif
