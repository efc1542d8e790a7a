/* One text of a message while it is written. Pure.
 *
 * draft_say adds our own words as they are; draft_show adds text from outside, made fit to show and
 * escaped for Slack. A failure stays in `text.failed`, so a caller checks once, at the end. */
#ifndef DRAINWATCH_ALERTER_DELIVER_DRAFT_H
#define DRAINWATCH_ALERTER_DELIVER_DRAFT_H

#include "common/base/buf.h"
#include "common/record/wire.h"

#include <stddef.h>
#include <stdint.h>

enum {
    DRAFT_MAX = 16 << 10, /* bytes of one text */
    DRAFT_SHOW_MIN = 3,   /* an ellipsis */
};

enum draft_form {
    DRAFT_PRINT,  /* standard output and logs */
    DRAFT_PLAIN,  /* Slack's headers and notifications, which show markup as it is */
    DRAFT_MRKDWN, /* Slack's markup */
};

struct draft {
    struct buf text;
    enum draft_form form;
};

struct draft draft_begin(enum draft_form form);
void draft_close(struct draft *d);

void draft_say(struct draft *d, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void draft_say_time(struct draft *d, int64_t us); /* 2026-05-07 08:06:12 UTC */
/* In markup: the same time in the zone of each reader (Slack, "Date formatting"). */
void draft_say_local_time(struct draft *d, int64_t us);
void draft_say_bold(struct draft *d); /* begins or ends bold text, in markup */

/* Text from outside in at most `max` bytes (at least DRAFT_SHOW_MIN): one line of printable UTF-8
 * without drain tokens and passwords of addresses, for Slack with its three control characters as
 * entities. Longer text ends in an ellipsis, never within a character or an entity. */
void draft_show(struct draft *d, const char *text, size_t max);
void draft_show_bytes(struct draft *d, const void *bytes, size_t n, size_t max);
/* A sample of a log, likewise, but without terminal sequences and other secrets (text_redact_line),
 * and with tabs as blanks. Its line ends stay line ends in markup, and become " ⏎ " in the other
 * forms. */
void draft_show_sample(struct draft *d, struct wire_bytes sample, size_t max);
/* An operator's text; in markup a web address at its beginning becomes a link. */
void draft_show_linked(struct draft *d, const char *text, size_t max);

#endif
