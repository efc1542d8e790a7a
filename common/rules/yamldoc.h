/* A YAML text as libyaml's tree of nodes, and the list of its faults.
 *
 * Each fault is one line "FILE:LINE: fault (remedy)", and reading goes on after it, so that a
 * person sees all faults at once. Anchors, aliases and tags are refused: the text then means
 * exactly what it shows, and no node is reached twice. Pure. */
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
    size_t n_faults;    /* of all faults found */
    size_t n_left_out;  /* of the faults that found no room in `faults` */
    bool out_of_memory; /* stays set; nothing that was read is valid then */
};

/* Loads the one document of a text. Returns 0; ERR_INPUT with the faults in `faults`; or ERR_NOMEM.
 * Unless it returns 0 there is nothing to close. After 0 there may be faults already (n_faults);
 * walking the tree can still find the others. */
int yamldoc_open(struct yamldoc *d, const char *text, size_t len, const char *file,
                 struct buf *faults);
void yamldoc_close(struct yamldoc *d);
/* Appends how many faults were left out. Returns 0, ERR_INPUT if there was any, or ERR_NOMEM. */
int yamldoc_finish(struct yamldoc *d);

/* Reports a fault of a node, or of a line (counted from 1). */
void yamldoc_fault(struct yamldoc *d, const yaml_node_t *node, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void yamldoc_fault_at(struct yamldoc *d, size_t line, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* Reports a fault of a key's scalar as 'KEY: "VALUE" MESSAGE'. */
void yamldoc_refuse(struct yamldoc *d, const yaml_node_t *scalar, const char *key, const char *fmt,
                    ...) __attribute__((format(printf, 4, 5)));
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

#endif
