/* One text of a message in the making.
 *
 * Our own words go in as they are; what comes from outside is made fit to show, and escaped where
 * Slack will read it. The first failure sticks in `rc`, so that a text is written down in one go
 * and asked about at its end. Pure. */
#ifndef DRAINWATCH_ALERTER_DELIVER_DRAFT_H
#define DRAINWATCH_ALERTER_DELIVER_DRAFT_H

#include "common/base/buf.h"

#include <stddef.h>
#include <stdint.h>

enum {
    DRAFT_MAX = 16 << 10, /* bytes of one text */
    DRAFT_SHOW_MIN = 3,   /* an ellipsis */
};

enum draft_form {
    DRAFT_PRINT,  /* standard output */
    DRAFT_PLAIN,  /* Slack, where marks would be shown as they are: headers, notifications */
    DRAFT_MRKDWN, /* Slack's markup */
};

struct draft {
    struct buf text;
    enum draft_form form;
    int rc; /* 0, ERR_FULL or ERR_NOMEM */
};

void draft_init(struct draft *d, enum draft_form form);
void draft_close(struct draft *d);

void draft_say(struct draft *d, const char *words);
void draft_say_number(struct draft *d, uint64_t n);
void draft_say_time(struct draft *d, int64_t us); /* 2026-05-07 08:06:12 UTC */
void draft_say_bold(struct draft *d);             /* begins or ends it, where there is any */

/* A text from outside in at most `max` bytes (at least DRAFT_SHOW_MIN): drain tokens out, one line
 * of printable UTF-8, for Slack with its three control characters as entities. What is longer ends
 * in an ellipsis, never within a character or an entity. */
void draft_show(struct draft *d, const char *text, size_t max);
void draft_show_bytes(struct draft *d, const void *bytes, size_t n, size_t max);
/* The same for an operator's text; in markup a web address at its beginning becomes a link. */
void draft_show_linked(struct draft *d, const char *text, size_t max);

#endif
