/* The words for an alert that its forms share: Slack's message, the printed one, lists and log
 * lines. Pure. */
#ifndef DRAINWATCH_ALERTER_DELIVER_WORDING_H
#define DRAINWATCH_ALERTER_DELIVER_WORDING_H

#include "alerter/deliver/draft.h"
#include "common/record/wire.h"

#include <stdbool.h>
#include <stddef.h>

enum {
    WORDING_SUBJECT_MIN = 100,
    /* Bytes of one part, escaped. Slack echoes a message, so http_client.h's bound on replies
     * depends on them. */
    WORDING_NAME_MAX = 200,
    WORDING_RUNBOOK_MAX = 1000,
    WORDING_SAMPLE_MAX = 2900, /* of the 3,000 of a section's text; the rest is for the fences */
    WORDING_VALUE_MAX = 700,   /* a value of 128 bytes is whole with every character escaped */
    WORDING_FIELDS_MAX = 10,
    WORDING_WORST_MAX = 550, /* of one group that a digest names: all of them fit in a section */
};

/* The rule's title, or its name if it has none. */
const char *wording_title(const struct wire_alert *alert);

/* "🔴 ": a rule's colour and a blank. Blue is info, yellow warning, orange error; red is
 * critical, a rule without severity, and a severity that this build does not know. */
const char *wording_colour(const struct wire_alert *alert);

/* "at least ", "about " or "", to stand before the count. If both hold, "at least ": that lines are
 * missing matters more. */
const char *wording_qualifier(const struct wire_alert *alert);

/* "[critical] NAME (process web.3, path /slow)" in at most `max` bytes (at least
 * WORDING_SUBJECT_MIN); a rule without severity and groups gives its name alone. If it is too long,
 * name and group are cut at their ends, each only if it is longer than half of the room. */
void wording_subject(struct draft *d, const struct wire_alert *alert, const char *name, size_t max);

/* The app; "12 apps" for a digest of several, "several apps" if they were not counted. */
void wording_app(struct draft *d, const struct wire_alert *alert);

/* "1,995 more groups in 1 minute"; of a rule without groups "7 more alerts in 1 minute". */
void wording_more(struct draft *d, const struct wire_alert *digest);

/* "shop-prod, path /slow: 120 matches": a group that a digest names. The app is left out if all
 * groups are of one app, and the group if the rule has none. */
void wording_worst(struct draft *d, const struct wire_alert *digest, size_t i);

/* Whether a digest tells the withheld alerts of each app: "shop-prod 12 alerts, blog 3 alerts, and
 * 4 more apps". With one app the number of groups tells it already. */
bool wording_has_by_app(const struct wire_alert *alert);
void wording_by_app(struct draft *d, const struct wire_alert *digest);

/* "🔴 shop-prod: H12 request timeouts (path /slow), at least 4 in 5 minutes (limit 3)": the line
 * that a phone shows. The colour stands for the severity. Of a digest: "🔴 shop-prod:
 * server-errors, 1,995 more groups in 1 minute". */
void wording_notification(struct draft *d, const struct wire_alert *alert);

/* "6 matches in 5 minutes (more than 3)"; of a digest "1,995 more groups in 1 minute, 52,310
 * matches (each more than 10 in 1 minute)" */
void wording_breach(struct draft *d, const struct wire_alert *alert);

/* "2 more matches were suppressed since the last alert" */
void wording_suppressed(struct draft *d, const struct wire_alert *alert);

/* "2026-05-07 08:04:42 UTC to 2026-05-07 08:06:11 UTC", with " to " as `between`. */
void wording_range(struct draft *d, const struct wire_alert *alert, const char *between);

/* A group's value, "(none)" if the line has none. */
void wording_value(struct draft *d, const struct wire_group *pair);

/* Time, range of matches, group, suppressed matches, the groups that a digest names, and runbook,
 * each on a line that begins with `line_start`, such as "\n". */
void wording_details(struct draft *d, const struct wire_alert *alert, const char *line_start);

/* "heroku[router]", as `heroku logs` prints it. A bare line has neither part. */
bool wording_has_origin(const struct wire_alert *alert);
void wording_origin(struct draft *d, const struct wire_alert *alert);

#endif
