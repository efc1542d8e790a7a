/* A request's path as groups are told apart by it: without the parts that differ from one visitor
 * to the next. Pure. */
#ifndef DRAINWATCH_INGEST_COLLECT_PATH_H
#define DRAINWATCH_INGEST_COLLECT_PATH_H

#include "common/base/buf.h"

#include <stdbool.h>
#include <stddef.h>

/* The length of the path without its query: up to the first '?'. */
size_t path_len(const char *path, size_t n);

/* Appends the path with ":id" in the place of each segment that is an id: a number, a UUID, or 16
 * and more hex digits of which one is 0 to 9. Returns as buf's functions do. */
int path_append_folded(const char *path, size_t n, struct buf *out);

#endif
