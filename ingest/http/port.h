/* The TCP port that ingest listens on, over IPv6 and IPv4 at once. */
#ifndef DRAINWATCH_INGEST_HTTP_PORT_H
#define DRAINWATCH_INGEST_HTTP_PORT_H

#include "common/base/err.h"

#include <stdint.h>

/* Returns the listening socket, not blocking and closed on exec; or ERR_BUSY (another process has
 * the port) or ERR_IO. */
int port_open(uint16_t port, struct err *err);

#endif
