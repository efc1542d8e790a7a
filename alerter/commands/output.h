/* What the commands share: alerts as text and as JSON on standard output, and the state folder. */
#ifndef DRAINWATCH_ALERTER_COMMANDS_OUTPUT_H
#define DRAINWATCH_ALERTER_COMMANDS_OUTPUT_H

#include "alerter/deliver/draft.h"
#include "common/app/settings.h"
#include "common/app/startup.h"
#include "common/base/err.h"
#include "common/record/wire.h"
#include "common/storage/storage.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/* Prints one alert on standard output, as one line of text or one JSON object. 0 or ERR_NOMEM. */
int output_alert(const struct wire_alert *alert, bool json, struct err *err);

/* Its parts: the text and the JSON of an alert; printing a line and closing it; printing an object
 * (NULL: no memory) as one line and freeing it. In the JSON times are RFC 3339, UTC, with
 * microseconds; window_s is in seconds. The caller may add to the object and must decref it; NULL:
 * no memory. */
void output_say_alert(struct draft *d, const struct wire_alert *alert);
json_t *output_json(const struct wire_alert *alert);
int output_line(struct draft *d, struct err *err);
int output_object(json_t *object, struct err *err);
json_t *output_time(int64_t us); /* null if it is not above 0 */

/* Flushes standard output. Returns 0, or ERR_IO if any write to it failed. */
int output_flush(struct err *err);

/* Reads the value of --format. False, after it printed why, if it is neither text nor json. */
bool output_format(const struct startup_program *program, const char *value, bool *json);

/* Reads the settings, opens the storage in the state folder to read it, beside a running alerter or
 * without one, calls `fn`, and flushes standard output. Prints a failure; returns the exit code. */
typedef int output_fn(void *ctx, const struct settings *settings, struct storage *storage,
                      struct err *err);
int output_from_storage(const struct startup_program *program, output_fn *fn, void *ctx);

#endif
