/* Reads the file's `app` and `apps`: which drain belongs to which app. Pure. */
#ifndef DRAINWATCH_COMMON_RULES_APPS_H
#define DRAINWATCH_COMMON_RULES_APPS_H

#include "common/rules/reader.h"

enum { APPS_NAME_MAX_BYTES = 100 };

/* The target is a const char *. */
yamlmap_read_fn apps_read_app;
/* Fills the reader's apps and drains; it has no target. */
yamlmap_read_fn apps_read_apps;

/* Checks, after the whole file was read, that no app or drain comes twice and that each app of a
 * rule is known. Fills app_names and sorts the drains. */
void apps_check(struct reader *r);

#endif
