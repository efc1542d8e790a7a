/* The rules file, read again while the alerter serves, until its rules are in force. */
#ifndef DRAINWATCH_ALERTER_RULESFILE_H
#define DRAINWATCH_ALERTER_RULESFILE_H

#include "alerter/engine/engine.h"
#include "common/base/buf.h"

#include <stdbool.h>

/* All zeros before the first read. */
struct rulesfile {
    bool is_new;     /* the text waits for the engine */
    struct buf text; /* good rules */
    char change[160];
};

/* Reads the file. If it is good and differs from the engine's rules, it becomes the new text. If it
 * has faults, they are logged and nothing changes. */
void rulesfile_read(struct rulesfile *f, const char *path, const struct engine *engine);

/* Logs that a new text, if there is one, is recorded and in force. */
void rulesfile_in_force(struct rulesfile *f);

void rulesfile_close(struct rulesfile *f);

#endif
