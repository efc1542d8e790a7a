/* The values that a YAML file of ours holds: texts, yes or no, numbers, durations, lists.
 *
 * Each function reads the value of one key, whose row bounds it and gives the example of a remedy.
 * Where the value is not what is wanted, that is reported and nothing else happens. Pure. */
#ifndef DRAINWATCH_COMMON_RULES_YAMLVALUE_H
#define DRAINWATCH_COMMON_RULES_YAMLVALUE_H

#include "common/rules/yamldoc.h"

#include <stdbool.h>
#include <stdint.h>

/* The text of a scalar, owned by the document. NULL where the node is none, or its text is empty,
 * null, of several lines, or longer than the row allows. */
char *yamlvalue_text(struct yamldoc *d, const struct yamldoc_key *key, yaml_node_t *value);

/* "yes", "true", "no" or "false", in any case. */
bool yamlvalue_bool(struct yamldoc *d, const struct yamldoc_key *key, yaml_node_t *value,
                    bool *out);

/* A whole number from 0 to `max`. */
bool yamlvalue_number(struct yamldoc *d, const struct yamldoc_key *key, yaml_node_t *value,
                      uint64_t max, uint64_t *out);

/* A duration from one second to `max_us`. */
bool yamlvalue_duration(struct yamldoc *d, const struct yamldoc_key *key, yaml_node_t *value,
                        int64_t max_us, int64_t *out_us);

/* Hands on each item of a list, which must not be empty, or the one text that stands for a list of
 * one. */
typedef void yamlvalue_item_fn(void *ctx, const struct yamldoc_key *key, yaml_node_t *item);
void yamlvalue_each(struct yamldoc *d, const struct yamldoc_key *key, yaml_node_t *value,
                    yamlvalue_item_fn *read, void *ctx);

#endif
