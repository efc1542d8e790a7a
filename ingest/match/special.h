/* Lines that mean something without any rule: what Logplex says that it dropped, what drainwatch
 * wrote itself, and the router's lines about its path. Pure. */
#ifndef DRAINWATCH_INGEST_MATCH_SPECIAL_H
#define DRAINWATCH_INGEST_MATCH_SPECIAL_H

#include "ingest/input/line.h"

#include <stdbool.h>
#include <stdint.h>

/* What one line can say was dropped is cut to this, so that a nonsensical number stays a number. */
#define SPECIAL_LOST_MAX UINT64_C(1000000000)

/* Expressions of which each such line holds one. */
enum { SPECIAL_EXPRESSIONS = 4 };
extern const char *const special_expressions[SPECIAL_EXPRESSIONS];

/* Whether drainwatch printed the line: it begins with one of our names, after the time of our log or
 * without it. The source does not matter: a drain may watch the app that drainwatch runs in. */
bool special_is_ours(const struct line *line);

/* The router's line about a request to our own path. */
bool special_is_about_us(const struct line *line);

/* How many lines Logplex (heroku[logplex]) says in this line that it dropped, L10; else 0. */
uint64_t special_lost(const struct line *line);

#endif
