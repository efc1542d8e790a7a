/* The rules file, read anew while the alerter serves, until it is in force. */
#ifndef DRAINWATCH_ALERTER_RULESFILE_H
#define DRAINWATCH_ALERTER_RULESFILE_H

#include "alerter/engine/engine.h"
#include "common/base/buf.h"

#include <stdbool.h>

/* All zeros before the first read. */
struct rulesfile {
    bool is_new;     /* the text is to be fed to the engine */
    struct buf text; /* good rules */
    char change[160];
};

/* Reads the file. Where it is good and is not what the engine has already, it is new; where it is
 * bad each fault is logged, and what was new before stays so. */
void rulesfile_read(struct rulesfile *f, const char *path, const struct engine *engine);

/* The text is recorded and fed: says so. Nothing where there is none. */
void rulesfile_in_force(struct rulesfile *f);

void rulesfile_close(struct rulesfile *f);

#endif
