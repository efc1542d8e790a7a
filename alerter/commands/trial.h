/* A rules file that is tried on a recorded stream.
 *
 * A stream holds what matched when it was recorded, not every line. So what a rule does with its
 * matches can be tried on it, and which lines it matches cannot: a rule that was recorded with
 * another matching, or not at all, is named once on standard error. */
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
    struct progress *progress; /* ended before a rule is named */
    struct fold fold;
    struct ruleset rules;
    bool *named;                  /* for each rule */
    const struct rule **recorded; /* likewise, while it is compared */
    bool has_recorded;            /* some rules that the stream records were seen */
    bool is_unsure;               /* or some that this build cannot read */
};

/* Reads the file and starts cold under it. What is wrong is said. Returns STARTUP_OK, or
 * STARTUP_CONFIG or STARTUP_FAILED with nothing to close. */
int trial_open(struct trial *t, const struct startup_program *program, const char *path,
               struct progress *progress);
void trial_close(struct trial *t); /* also of one that is all zeros */

/* Feeds an entry, as fold_entry does; recorded rules that this build refuses are no error. */
int trial_entry(struct trial *t, const struct wire_entry *entry, struct engine_outcomes *alerts,
                struct err *err);

/* At the end of the stream: names all rules where it recorded none. */
void trial_end(struct trial *t);

#endif
