/* Rules in force: the text they were read from, and each found by its name. Pure. */
#ifndef DRAINWATCH_ALERTER_ENGINE_RULESET_H
#define DRAINWATCH_ALERTER_ENGINE_RULESET_H

#include "common/base/err.h"
#include "common/rules/rules.h"

#include <stdbool.h>
#include <stddef.h>

struct ruleset {
    char *text;
    size_t len;
    const struct rules *rules;
    const struct rule **places; /* found by the hash of the name; NULL where free */
    size_t n_places;            /* a power of two, at most half of them taken */
};

/* Reads a text. Returns 0, ERR_INPUT (err holds the first fault and how many more there are) or
 * ERR_NOMEM; if it is not 0, there is nothing to close. */
int ruleset_read(struct ruleset *set, const char *text, size_t len, struct err *err);
void ruleset_close(struct ruleset *set); /* also of one that is all zeros */

/* NULL: there is none of this name. */
const struct rule *ruleset_find(const struct ruleset *set, const char *name);

/* Whether two rules take the same lines and tell the same groups apart: source, process, field,
 * match, unless, group_by and fold_ids are equal, item for item. */
bool ruleset_same_matching(const struct rule *a, const struct rule *b);
/* The lines alone; and whether all that `tried` groups by is in a record of `recorded`'s matches.
 */
bool ruleset_same_lines(const struct rule *a, const struct rule *b);
bool ruleset_has_groups(const struct rule *recorded, const struct rule *tried);

#endif
