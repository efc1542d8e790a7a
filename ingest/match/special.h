/* Lines that count without any rule: Logplex's reports of dropped lines, drainwatch's own lines,
 * and the router's lines about our path. Pure. */
#ifndef DRAINWATCH_INGEST_MATCH_SPECIAL_H
#define DRAINWATCH_INGEST_MATCH_SPECIAL_H

#include "ingest/input/line.h"

#include <stdbool.h>
#include <stdint.h>

/* The most that one line can report as dropped: a nonsensical number becomes this. */
#define SPECIAL_LOST_MAX UINT64_C(1000000000)

/* Each such line holds one of these expressions. */
enum { SPECIAL_EXPRESSIONS = 2 };
extern const char *const special_expressions[SPECIAL_EXPRESSIONS];

/* Whether the line begins as drainwatch's own lines do, with the time of its log or without. Its
 * source may be any: a drain may watch the app that drainwatch runs in. */
bool special_is_ours(const struct line *line);

/* Whether it is the router's line about a request to our own path. */
bool special_is_about_us(const struct line *line);

/* The number of dropped lines that this line of Logplex (heroku[logplex]) reports, L10; else 0. */
uint64_t special_lost(const struct line *line);

#endif
