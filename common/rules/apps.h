/* Reads the file's `app` and `apps`: which drain belongs to which app. Pure. */
#ifndef DRAINWATCH_COMMON_RULES_APPS_H
#define DRAINWATCH_COMMON_RULES_APPS_H

#include "common/rules/reader.h"

enum {
    APPS_NAME_MAX_BYTES = 100,
    APPS_DRAIN_MAX_BYTES = 256, /* the longest name that ingest takes */
};

/* The target is a const char *. */
yamlmap_read_fn apps_read_app;
/* Fills the reader's apps and drains; it has no target. */
yamlmap_read_fn apps_read_apps;

/* The target is a struct rules_list, which apps_check sorts. */
yamlmap_read_fn apps_read_refuse;

/* Checks, after the whole file was read, that no app or drain comes twice and that each app of a
 * rule is known. Fills app_names and sorts both lists of drains. */
void apps_check(struct reader *r);

#endif
