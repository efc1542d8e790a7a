/* Reads an endpoint's text and probes whether its place is free. Part of queue. */
#ifndef DRAINWATCH_COMMON_QUEUE_QUEUE_ENDPOINT_H
#define DRAINWATCH_COMMON_QUEUE_QUEUE_ENDPOINT_H

#include "common/base/err.h"

#include <stdbool.h>

bool queue_endpoint_is_tcp(const char *endpoint);
bool queue_endpoint_is_ipv6(const char *endpoint); /* tcp://[…]:PORT */
bool queue_endpoint_is_any(const char *endpoint);  /* tcp://…:PORT with a star for the host */

/* Checks whether a process listens at an ipc:// endpoint. ZeroMQ itself would remove any file that
 * it finds there. Returns 0 (free, or the socket of a dead process), ERR_BUSY, or ERR_INPUT (a file
 * that is not a socket, a path that cannot be reached). */
int queue_endpoint_probe(const char *endpoint, struct err *err);

/* Checks that nobody but this user and root can put a socket at an ipc:// endpoint: the folder, and
 * the socket if there is one, must be theirs, and others may not write to the folder. Returns 0,
 * ERR_INPUT, or ERR_IO (there is no such folder). */
int queue_endpoint_trust(const char *endpoint, struct err *err);

#endif
