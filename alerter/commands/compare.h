/* Two rules files side by side on one recorded stream: the alerts that only one of them decides.
 *
 * An alert's id is a function of its key and of the step time (engine.h). So two alerts can be the
 * same only within one step time, and no more than its alerts are held; a step time can have
 * several records, for a turn takes many at once. */
#ifndef DRAINWATCH_ALERTER_COMMANDS_COMPARE_H
#define DRAINWATCH_ALERTER_COMMANDS_COMPARE_H

#include "alerter/commands/trial.h"
#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/record/wire.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum compare_side {
    COMPARE_OLD,
    COMPARE_NEW,
};

struct compare_alert;

struct compare {
    struct trial *sides[2];    /* by compare_side; the caller's */
    struct progress *progress; /* ended before an alert is printed */
    bool json;
    int64_t step_us; /* of the alerts that are held */
    struct buf held; /* struct compare_alert, as they were decided */
    struct buf packed;
    struct wire *wire;
    uint64_t only[2];
    uint64_t both;
};

int compare_open(struct compare *c, struct trial *before, struct trial *after,
                 struct progress *progress, bool json, struct err *err); /* 0 or ERR_NOMEM */
void compare_close(struct compare *c); /* also of one that is all zeros */

/* Feeds both an entry; prints the alerts of earlier step times. Returns as trial_entry does;
 * ERR_FULL if one step time has more alerts than can be held. */
int compare_entry(struct compare *c, const struct wire_entry *entry, struct err *err);

/* Prints the alerts held so far. Returns 0 or ERR_NOMEM. */
int compare_settle(struct compare *c, struct err *err);

#endif
