/* Reads one rule: the table of its keys. Pure. */
#ifndef DRAINWATCH_COMMON_RULES_KEYS_H
#define DRAINWATCH_COMMON_RULES_KEYS_H

#include "common/rules/reader.h"

#define KEYS_NAME_EXAMPLE "name: h12-request-timeout"

#define KEYS_MESSAGES_EXAMPLE "messages: 5/1m"

/* Reads "N/DURATION" into a struct rules_messages. */
yamlmap_read_fn keys_read_messages;

void keys_read_rule(struct reader *r, yaml_node_t *node, struct rule *rule);

#endif
