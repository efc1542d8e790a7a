/* The rules in force: their text, and each rule by its name. Pure. */
#ifndef DRAINWATCH_ALERTER_ENGINE_RULESET_H
#define DRAINWATCH_ALERTER_ENGINE_RULESET_H

#include "common/base/err.h"
#include "common/base/table.h"
#include "common/rules/rules.h"

#include <stdbool.h>
#include <stddef.h>

struct ruleset_named {
    const struct rule *rule;
    UT_hash_handle hh;
};

struct ruleset {
    char *text;
    size_t len;
    const struct rules *rules;
    struct ruleset_named *named; /* one for each rule */
    struct ruleset_named *table; /* of them, by name */
};

/* Reads a text. Returns 0, ERR_INPUT (err holds the first fault and how many more there are) or
 * ERR_NOMEM; if it is not 0, there is nothing to close. */
int ruleset_read(struct ruleset *set, const char *text, size_t len, struct err *err);
void ruleset_close(struct ruleset *set); /* also of one that is all zeros */

/* NULL: no rule has this name. */
const struct rule *ruleset_find(const struct ruleset *set, const char *name);
/* The place of one of its rules in the file. */
size_t ruleset_index(const struct ruleset *set, const struct rule *rule);

/* Whether two rules take the same lines and tell the same groups apart: source, process, field,
 * match, unless, group_by and fold_ids are equal, item for item. */
bool ruleset_same_matching(const struct rule *a, const struct rule *b);
/* The first part alone: whether both take the same lines. And whether a record of matches of
 * `recorded` holds every key that `tried` groups by.
 */
bool ruleset_same_lines(const struct rule *a, const struct rule *b);
bool ruleset_has_groups(const struct rule *recorded, const struct rule *tried);

#endif
