/* Alerts as an operator or a script reads them: what `replay` prints, and `outbox`. */
#ifndef DRAINWATCH_ALERTER_COMMANDS_SHOW_H
#define DRAINWATCH_ALERTER_COMMANDS_SHOW_H

#include "common/app/settings.h"
#include "common/app/startup.h"
#include "common/base/err.h"
#include "common/record/wire.h"
#include "common/storage/storage.h"

#include <stdbool.h>

/* Prints one alert on standard output, as one line of text or one JSON object. 0 or ERR_NOMEM. */
int show_alert(const struct wire_alert *alert, bool json, struct err *err);

/* Logs one alert that was just decided. */
void show_decided(const struct wire_alert *alert);

/* Reads the value of --format. False: it is neither text nor json, which was said. */
bool show_format(const struct startup_program *program, const char *value, bool *json);

/* Opens the state folder's store to read it, beside a running alerter or without one. Returns as
 * storage_open does, with what to do where no alerter has ever run on the folder. */
int show_open_storage(const struct settings *settings, struct storage **out, struct err *err);

/* Runs `outbox`, beside a running alerter or without one; returns the exit code. */
int show_outbox(const struct startup_program *program, int argc, char **argv);

#endif
