/* Rules with what was compiled of them, shared by all that goes through them.
 *
 * Whoever uses a book holds it, and the last to release it frees it. So a delivery that had begun
 * when the rules were read anew ends with those that it began with, however long it takes. For one
 * thread. Pure. */
#ifndef DRAINWATCH_INGEST_MATCH_RULEBOOK_H
#define DRAINWATCH_INGEST_MATCH_RULEBOOK_H

#include "common/base/err.h"
#include "common/rules/rules.h"
#include "ingest/match/match.h"

struct rulebook;

/* Takes the rules, and frees them where it fails. Returns 0 with a book that is held once, or what
 * match_new does. */
int rulebook_new(const struct rules *rules, struct rulebook **out, struct err *err);

struct rulebook *rulebook_hold(struct rulebook *b); /* returns the same book */
void rulebook_release(struct rulebook *b);          /* NULL is fine */

/* Valid for as long as the book is held. */
const struct rules *rulebook_rules(const struct rulebook *b);
struct match *rulebook_match(const struct rulebook *b);

#endif
