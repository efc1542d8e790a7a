/* The values in a YAML file: texts, yes or no, numbers, durations, lists.
 *
 * Each function reads the value of one key; the key's row has its bounds and the example for a
 * remedy. A wrong value is reported as a fault and leaves the target as it is. Pure. */
#ifndef DRAINWATCH_COMMON_RULES_YAMLVALUE_H
#define DRAINWATCH_COMMON_RULES_YAMLVALUE_H

#include "common/rules/yamlmap.h"

#include <stdbool.h>
#include <stdint.h>

/* The text of a scalar, owned by the document. NULL, after a fault, if the node is no scalar, or
 * its text is empty, null, of several lines, too long, or in typographic quotes. */
char *yamlvalue_text(struct yamldoc *d, const struct yamlmap_key *key, yaml_node_t *value);

/* The targets are a const char *, a bool ("yes", "true", "no" or "false", in any case), a uint64_t,
 * and an int64_t of microseconds (from one second on). */
yamlmap_read_fn yamlvalue_read_text, yamlvalue_read_bool;
yamlmap_read_fn yamlvalue_read_number, yamlvalue_read_duration;

/* Passes on each item of a list, which must not be empty; one text stands for a list of one. `ctx`
 * begins with the struct yamldoc. */
typedef void yamlvalue_item_fn(void *ctx, const struct yamlmap_key *key, yaml_node_t *item);
void yamlvalue_each(void *ctx, const struct yamlmap_key *key, yaml_node_t *value,
                    yamlvalue_item_fn *read);

#endif
