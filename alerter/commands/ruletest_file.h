/* A file of rule tests: its text to tests.
 *
 *   rules: ../../rules.yaml             relative to this file; not needed if --rules names one
 *   tests:
 *     - name: the fourth H12 within five minutes alerts
 *       start: 2026-05-07T08:00:00Z     left out: RULETEST_START
 *       drain: d.shop                   whose lines these are; left out: RULETEST_DRAIN
 *       lines:
 *         - {at: 0s, line: 'heroku[router]: at=error code=H12'}
 *         - {at: 10s, every: 1s, times: 3, line: '…'}
 *         - {at: 1h, line: ['a', 'b'], drain: d.blog}     several lines in one delivery
 *       alerts:
 *         - {at: 12s, rule: h12-request-timeout, count: 4}
 *
 * A time is one since the start ("90s") or an RFC 3339 time. Every fault of a text is reported at
 * once, as "FILE:LINE: what is wrong (what would be right)". Pure. */
#ifndef DRAINWATCH_ALERTER_COMMANDS_RULETEST_FILE_H
#define DRAINWATCH_ALERTER_COMMANDS_RULETEST_FILE_H

#include "common/base/buf.h"
#include "common/record/wire.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RULETEST_START INT64_C(1767225600000000) /* 2026-01-01T00:00:00Z */
#define RULETEST_DRAIN "test"

enum {
    RULETEST_TEXT_MAX = 4 << 20,    /* bytes of a file */
    RULETEST_LINE_MAX = 60000,      /* of a line: within LINE_BYTES_MAX with a time before it */
    RULETEST_LINES_MAX = 10000000,  /* of all deliveries of a file */
    RULETEST_FAULTS_MAX = 64 << 10, /* room for faults */
};

/* A delivery, repeated. */
struct ruletest_delivery {
    size_t line; /* in the file, from 1 */
    const char *drain;
    const char *const *lines;
    size_t n_lines;
    int64_t at_us; /* of the first */
    int64_t every_us;
    uint64_t times;
};

#define RULETEST_ANY_COUNT UINT64_MAX
#define RULETEST_ANY_TIME INT64_MIN

/* An expected alert; values that the test does not give are not compared. */
struct ruletest_alert {
    size_t line;
    int64_t at_us;
    const char *rule;
    const char *app; /* NULL: not given */
    const struct wire_group *group;
    size_t n_group; /* keys that are not given are not compared */
    uint64_t count, suppressed;
    uint64_t groups; /* of a digest; RULETEST_ANY_COUNT: it is none */
    int64_t first_us, last_us;
    bool at_least;
    bool has_at_least;
};

struct ruletest {
    size_t line;
    const char *name;
    int64_t start_us;
    const char *drain; /* of its deliveries, unless they name one */
    const struct ruletest_delivery *deliveries;
    size_t n_deliveries;
    const struct ruletest_alert *alerts; /* by time */
    size_t n_alerts;
};

struct ruletest_file {
    const char *rules; /* as written; NULL: not given */
    const struct ruletest *tests;
    size_t n_tests;
};

/* Reads a whole text. `file` only names it in faults. Returns 0 and the tests, which the caller
 * frees; ERR_INPUT with all faults appended to `faults`, a line each; or ERR_NOMEM. */
int ruletest_file_parse(const char *text, size_t len, const char *file,
                        const struct ruletest_file **out, struct buf *faults);
void ruletest_file_free(const struct ruletest_file *tests); /* NULL is fine */

#endif
