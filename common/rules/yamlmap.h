/* Reads a YAML mapping by a table: a row for each key that the mapping may have, with its bounds
 * and an example for remedies.
 *
 * An unknown key, a key that comes twice and a missing required key are faults; an unknown key is
 * compared with the known ones for a remedy. A wrong value is a fault and leaves its target as it
 * is. Pure. */
#ifndef DRAINWATCH_COMMON_RULES_YAMLMAP_H
#define DRAINWATCH_COMMON_RULES_YAMLMAP_H

#include "common/rules/yamldoc.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct yamlmap_key;

/* Reads the value of one key into `target`, which is `offset` bytes into the struct that was given
 * to yamlmap_read. `ctx` begins with the struct yamldoc. The function reports faults to it, and
 * then leaves `target` as it is. */
typedef void yamlmap_read_fn(void *ctx, const struct yamlmap_key *key, yaml_node_t *value,
                             void *target);

struct yamlmap_key {
    const char *name;
    yamlmap_read_fn *read;
    size_t offset;
    bool required;
    size_t max;          /* bytes of a text, value of a number, microseconds of a duration */
    const char *example; /* "within: 5m": the remedy if it is missing or of the wrong kind */
};

enum { YAMLMAP_KEYS_MAX = 32 }; /* rows of a table; one bit each */

/* Passes the value of each key to its row's function. `what` names the mapping in faults. Returns a
 * bit for each row whose key came, or was probably meant by an unknown key; all bits if the node is
 * no mapping. */
uint32_t yamlmap_read(void *ctx, yaml_node_t *node, const char *what,
                      const struct yamlmap_key *keys, size_t n_keys, void *target);
/* Whether the bit of the row with this name is set. */
bool yamlmap_came(uint32_t rows, const struct yamlmap_key *keys, size_t n_keys, const char *name);

/* ---- values ---- */

/* The text of a scalar, owned by the document. NULL, after a fault, if the node is no scalar, or
 * its text is empty, null, of several lines, too long, or in typographic quotes. */
char *yamlmap_text(struct yamldoc *d, const struct yamlmap_key *key, yaml_node_t *value);

/* The targets are a const char *, a bool ("yes", "true", "no" or "false", in any case), a uint64_t,
 * and an int64_t of microseconds (from one second on). */
yamlmap_read_fn yamlmap_read_text, yamlmap_read_bool;
yamlmap_read_fn yamlmap_read_number, yamlmap_read_duration;

/* Passes on each item of a list, which must not be empty; one text stands for a list of one. `ctx`
 * begins with the struct yamldoc. */
typedef void yamlmap_item_fn(void *ctx, const struct yamlmap_key *key, yaml_node_t *item);
void yamlmap_each(void *ctx, const struct yamlmap_key *key, yaml_node_t *value,
                  yamlmap_item_fn *read);

#endif
