/* Whether a rule takes lines of this source and process. Pure. */
#ifndef DRAINWATCH_INGEST_MATCH_ORIGIN_H
#define DRAINWATCH_INGEST_MATCH_ORIGIN_H

#include "common/rules/rules.h"
#include "ingest/input/line.h"

#include <stdbool.h>

/* Whether the line's source and process pass the rule. A bare line, which names neither, passes. */
bool origin_passes(const struct rule *rule, const struct line *line);

#endif
