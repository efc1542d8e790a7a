/* An alert as one JSON object: the same fields in the same order wherever alerts are printed. Pure.
 */
#ifndef DRAINWATCH_ALERTER_DELIVER_ALERTJSON_H
#define DRAINWATCH_ALERTER_DELIVER_ALERTJSON_H

#include "common/record/wire.h"

#include <jansson.h>

/* A new object, which the caller may add to and must decref; NULL: no memory. Times are RFC 3339,
 * UTC, with microseconds; window_s is in seconds. */
json_t *alertjson_new(const struct wire_alert *alert);

#endif
