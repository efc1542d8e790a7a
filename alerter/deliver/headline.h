/* What an alert is about, in the few words with which each form of it begins: on Slack, on standard
 * output, in lists and in the log. Pure. */
#ifndef DRAINWATCH_ALERTER_DELIVER_HEADLINE_H
#define DRAINWATCH_ALERTER_DELIVER_HEADLINE_H

#include "alerter/deliver/draft.h"
#include "common/record/wire.h"

#include <stdbool.h>
#include <stddef.h>

enum { HEADLINE_MIN = 100 };

/* "[critical] NAME (process web.3, path /slow)" in at most `max` bytes (at least HEADLINE_MIN), for
 * a rule without severity and groups the name alone. Where there is not room for all, the name and
 * the group are cut at their ends, each of them only where it is longer than its half. */
void headline_show(struct draft *d, const struct wire_alert *alert, const char *name, size_t max);

bool headline_has_severity(const struct wire_alert *alert);

/* "at least ", "about " or "": what stands before the count. Of an alert that is both, that lines
 * are missing is what matters. */
const char *headline_qualifier(const struct wire_alert *alert);

#endif
