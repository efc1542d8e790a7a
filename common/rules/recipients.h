/* Reads who gets an alert: `channel` and `mention`, of the file's `slack` or of a rule. Pure. */
#ifndef DRAINWATCH_COMMON_RULES_RECIPIENTS_H
#define DRAINWATCH_COMMON_RULES_RECIPIENTS_H

#include "common/rules/reader.h"

#define RECIPIENTS_CHANNEL_EXAMPLE "channel: C0123456789"
#define RECIPIENTS_MENTION_EXAMPLE "mention: here"

enum {
    RECIPIENTS_CHANNEL_MAX_BYTES = 80, /* Slack's names are shorter */
    RECIPIENTS_MENTION_MAX_BYTES = 32,
};

/* The target is a const char *. */
yamlmap_read_fn recipients_read_channel;
/* The target is a struct rules_list. "none" leaves it empty with `items` set. */
yamlmap_read_fn recipients_read_mention;

#endif
