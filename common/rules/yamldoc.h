/* A YAML text as libyaml's tree of nodes, and a table-driven walk over it.
 *
 * Every fault of a text is found in one go and named as one line "FILE:LINE: what (remedy)". The
 * walk goes by tables: a row for each key that a mapping may have. Anchors, aliases and tags are
 * refused, so that a text means what it shows and no node is reached twice. Pure. */
#ifndef DRAINWATCH_COMMON_RULES_YAMLDOC_H
#define DRAINWATCH_COMMON_RULES_YAMLDOC_H

#include "common/base/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <yaml.h>

enum { YAMLDOC_SHOWN_SIZE = 128 };

struct yamldoc {
    yaml_document_t tree;
    const char *file;   /* borrowed */
    struct buf *faults; /* the caller's */
    size_t n_faults;    /* all that were found */
    size_t n_left_out;  /* of them, for which `faults` had no room */
    bool out_of_memory; /* sticky; what was read so far is worth nothing then */
};

struct yamldoc_key;

/* Reads the value of one key into `target`, which is `offset` into what yamldoc_read_mapping was
 * given. Faults are reported, not returned; `target` stays untouched then. */
typedef void yamldoc_read_fn(void *ctx, const struct yamldoc_key *key, yaml_node_t *value,
                             void *target);

struct yamldoc_key {
    const char *name;
    yamldoc_read_fn *read;
    size_t offset;
    bool required;
    size_t max_bytes;    /* of a text */
    const char *example; /* "within: 5m": the remedy where it is missing or of the wrong kind */
};

enum { YAMLDOC_KEYS_MAX = 32 }; /* rows of a table; one bit each */

/* Reads the one document of a text. Returns 0; ERR_INPUT with all that is known wrong in `faults`;
 * or ERR_NOMEM. Anything but 0 leaves nothing to close. After 0 there may be faults already
 * (n_faults), and the walk can still find the others. */
int yamldoc_open(struct yamldoc *d, const char *text, size_t len, const char *file,
                 struct buf *faults);
void yamldoc_close(struct yamldoc *d);
/* Says how many faults were left out. Returns 0, ERR_INPUT where there was any, or ERR_NOMEM. */
int yamldoc_finish(struct yamldoc *d);

/* Reports a fault: of a node, or of a line (counted from 1). */
void yamldoc_fault(struct yamldoc *d, const yaml_node_t *node, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void yamldoc_fault_at(struct yamldoc *d, size_t line, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
size_t yamldoc_line(const yaml_node_t *node);

/* Whether a scalar is exactly this text. */
bool yamldoc_is(const yaml_node_t *node, const char *text);
/* The start of a scalar's text, for a fault. */
const char *yamldoc_shown(const yaml_node_t *scalar, char shown[YAMLDOC_SHOWN_SIZE]);

yaml_node_t *yamldoc_root(struct yamldoc *d);
size_t yamldoc_length(const yaml_node_t *sequence);
yaml_node_t *yamldoc_item(struct yamldoc *d, const yaml_node_t *sequence, size_t i);
/* The value of a key that a mapping has, or NULL. */
yaml_node_t *yamldoc_find(struct yamldoc *d, const yaml_node_t *mapping, const char *name);

/* Hands the value of each key to its row's function. A node that is no mapping, an unknown key, a
 * key that comes twice and a required one that does not come are faults. `what` names the mapping
 * in them. Returns a bit for each row whose key came, or was probably meant by an unknown one; all
 * bits where the node is no mapping. */
uint32_t yamldoc_read_mapping(struct yamldoc *d, yaml_node_t *node, const char *what,
                              const struct yamldoc_key *keys, size_t n_keys, void *ctx,
                              void *target);
/* Whether the bit of the row with this name is set. */
bool yamldoc_came(uint32_t rows, const struct yamldoc_key *keys, size_t n_keys, const char *name);

#endif
