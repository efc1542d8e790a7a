/* Runs rule tests in virtual time by the path that decides live: lines through ingest's pipeline
 * into records, these as bytes into the fold.
 *
 * Each delivery is received and taken at its own time. A line without a time of its own gets that
 * one, as `heroku logs` prints it. No file, no clock. */
#ifndef DRAINWATCH_ALERTER_COMMANDS_RULETEST_RUN_H
#define DRAINWATCH_ALERTER_COMMANDS_RULETEST_RUN_H

#include "alerter/commands/ruletest_diff.h"
#include "alerter/commands/ruletest_file.h"
#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/rules/rules.h"
#include "ingest/collect/delivery.h"
#include "ingest/collect/rulebook.h"

#include <stddef.h>

/* What is made once for many tests under the same rules. All zeros before open. */
struct ruletest_run {
    const struct buf *text; /* the rules'; borrowed */
    struct rulebook *book;
    struct delivery *delivery;
    struct buf body;
    struct buf record;
};

/* The rules and their text must outlive it. Returns 0, ERR_INPUT (as match_new) or ERR_NOMEM. */
int ruletest_run_open(struct ruletest_run *r, const struct rules *rules, const struct buf *text,
                      struct err *err);
void ruletest_run_close(struct ruletest_run *r); /* also of one that is all zeros */

/* Runs one test from a cold start; hands each alert to `diff`, which the caller began. Returns 0,
 * or ERR_* if the test could not run. */
int ruletest_run_test(struct ruletest_run *r, const struct ruletest *test,
                      struct ruletest_diff *diff, struct err *err);

#endif
