/* An alert as the JSON of Slack's chat.postMessage. Pure.
 *
 * Anybody who can make an app log a line can choose parts of a message. So every text is made
 * printable, drain tokens are taken out, and Slack's three control characters are escaped: no line
 * can mention people, link, or end the block that it stands in. */
#ifndef DRAINWATCH_ALERTER_DELIVER_SLACK_MESSAGE_H
#define DRAINWATCH_ALERTER_DELIVER_SLACK_MESSAGE_H

#include "common/base/buf.h"
#include "common/record/wire.h"

enum slack_message_form {
    SLACK_MESSAGE_BLOCKS,
    SLACK_MESSAGE_PLAIN, /* all in `text`, for a Slack that refuses the blocks */
};

/* Appends the JSON that posts `alert` to `channel`. Returns 0, ERR_FULL (the buffer's ceiling) or
 * ERR_NOMEM; after an error `out` is as it was. */
int slack_message_write(const struct wire_alert *alert, const char *channel,
                        enum slack_message_form form, struct buf *out);

#endif
