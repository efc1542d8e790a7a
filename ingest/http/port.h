/* The port on which the server listens. */
#ifndef DRAINWATCH_INGEST_HTTP_PORT_H
#define DRAINWATCH_INGEST_HTTP_PORT_H

#include "common/base/err.h"

#include <stdint.h>

/* `address` is IPv4 or IPv6; NULL: all addresses of the machine. Returns a descriptor that listens,
 * ERR_BUSY (another process has the port), ERR_INPUT (the address is none of this machine) or
 * ERR_IO. */
int port_open(const char *address, uint16_t port, struct err *err);

#endif
