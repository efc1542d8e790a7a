/* Compares the alerts that a rule test expects with the decided ones, one by one.
 *
 * Both come in order of time. An alert is the expected one if its time and rule are, and its app
 * and group where the test gives them; then it compares the other values that the test gives. Pure.
 */
#ifndef DRAINWATCH_ALERTER_COMMANDS_RULETEST_DIFF_H
#define DRAINWATCH_ALERTER_COMMANDS_RULETEST_DIFF_H

#include "alerter/commands/ruletest_file.h"
#include "common/base/buf.h"
#include "common/record/wire.h"
#include "common/rules/rules.h"

#include <stddef.h>

enum { RULETEST_DIFF_MAX = 32 << 10 }; /* bytes of differences; those beyond are counted */

struct ruletest_diff {
    const char *file; /* borrowed, as the next two */
    const struct rules *rules;
    const struct ruletest *test;
    size_t next;          /* expected alerts before this one are done with */
    struct buf text;      /* the differences, a line each: "FILE:LINE: …" */
    size_t n_differences; /* all that were found */
    size_t n_left_out;    /* of them, for which there was no room */
    int rc;
};

void ruletest_diff_begin(struct ruletest_diff *d, const char *file, const struct rules *rules,
                         const struct ruletest *test);
void ruletest_diff_close(struct ruletest_diff *d);

/* What came next. */
void ruletest_diff_take(struct ruletest_diff *d, const struct wire_alert *alert);

/* Nothing more comes. Returns 0 (n_differences tells whether the test passed) or ERR_NOMEM. */
int ruletest_diff_end(struct ruletest_diff *d);

#endif
