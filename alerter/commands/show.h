/* Prints and logs alerts for operators and scripts; opens the storage for the commands. */
#ifndef DRAINWATCH_ALERTER_COMMANDS_SHOW_H
#define DRAINWATCH_ALERTER_COMMANDS_SHOW_H

#include "alerter/deliver/draft.h"
#include "alerter/engine/engine.h"
#include "common/app/settings.h"
#include "common/app/startup.h"
#include "common/base/err.h"
#include "common/record/wire.h"
#include "common/storage/storage.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/* Prints one alert on standard output, as one line of text or one JSON object. 0 or ERR_NOMEM. */
int show_alert(const struct wire_alert *alert, bool json, struct err *err);

/* Its parts: the text of an alert; printing a line and closing it; printing an object (NULL: no
 * memory) as one line and freeing it. Return 0 or ERR_NOMEM. */
void show_say_alert(struct draft *d, const struct wire_alert *alert);
int show_line(struct draft *d, struct err *err);
int show_object(json_t *object, struct err *err);

/* Logs an alert that was just decided, and a breach within a cooldown. */
void show_decided(const struct wire_alert *alert);
void show_cooled(const struct engine_cooled *cooled, int64_t now_us);

/* Reads the value of --format. False, after it printed why, if it is neither text nor json. */
bool show_format(const struct startup_program *program, const char *value, bool *json);

/* Opens the storage in the state folder to read it, beside a running alerter or without one.
 * Returns as storage_open does; its message says what to do if no alerter ever ran on the folder.
 */
int show_open_storage(const struct settings *settings, struct storage **out, struct err *err);

#endif
