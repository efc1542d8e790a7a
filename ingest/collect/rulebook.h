/* The rules with everything compiled from them: matcher and redactor.
 *
 * Each user holds the book, and the last release frees it. So a delivery that began before a reload
 * ends with the rules that it began with. For one thread. Pure. */
#ifndef DRAINWATCH_INGEST_COLLECT_RULEBOOK_H
#define DRAINWATCH_INGEST_COLLECT_RULEBOOK_H

#include "common/base/err.h"
#include "common/rules/rules.h"
#include "ingest/collect/redact.h"
#include "ingest/match/match.h"

struct rulebook;

/* Compiles the rules and takes them over; frees them on failure, too. Returns 0 with a book that is
 * held once, or an error of match_new or redact_new. */
int rulebook_new(const struct rules *rules, struct rulebook **out, struct err *err);

/* The same for rules that stay the caller's and must outlive the book. */
int rulebook_new_borrowed(const struct rules *rules, struct rulebook **out, struct err *err);

struct rulebook *rulebook_hold(struct rulebook *b); /* returns the same book */
void rulebook_release(struct rulebook *b);          /* NULL is fine */

/* Valid while the book is held. */
const struct rules *rulebook_rules(const struct rulebook *b);
struct match *rulebook_match(const struct rulebook *b);
struct redact *rulebook_redact(const struct rulebook *b);

#endif
