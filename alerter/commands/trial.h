/* A rules file that is tried on a recorded stream.
 *
 * A stream holds the lines that matched when it was recorded, not every line. It can try
 * thresholds, windows and groups, but not other matching: a rule that was recorded with another
 * matching, or not at all, is named once on standard error. */
#ifndef DRAINWATCH_ALERTER_COMMANDS_TRIAL_H
#define DRAINWATCH_ALERTER_COMMANDS_TRIAL_H

#include "alerter/engine/ruleset.h"
#include "alerter/stream/fold.h"
#include "common/app/progress.h"
#include "common/app/startup.h"
#include "common/base/err.h"

#include <stdbool.h>

struct trial {
    const struct startup_program *program;
    const char *path;          /* of the rules file */
    struct progress *progress; /* ended before a rule is printed */
    struct fold fold;
    struct ruleset rules;
    bool *named;                  /* for each rule */
    const struct rule **recorded; /* likewise, while it is compared */
    bool has_recorded;            /* the stream had rules */
    bool is_unsure;               /* some of them this build cannot read */
};

/* Reads the file and starts cold under it. Prints all faults. Returns STARTUP_OK, or
 * STARTUP_CONFIG or STARTUP_FAILED with nothing to close. */
int trial_open(struct trial *t, const struct startup_program *program, const char *path,
               struct progress *progress);
void trial_close(struct trial *t); /* also of one that is all zeros */

/* Feeds an entry, as fold_entry does; it skips recorded rules that this build refuses. */
int trial_entry(struct trial *t, const struct wire_entry *entry, struct engine_outcomes *alerts,
                struct err *err);

/* At the end of the stream: names all rules if it recorded none. */
void trial_end(struct trial *t);

#endif
