/* Hides the stretches of a message that the rules' `redact` expressions match.
 *
 * Every byte that some match covers goes, for all ends that a match can have, and each run of such
 * bytes becomes one "…". So a byte stays only if no reading of an expression covers it. Pure. */
#ifndef DRAINWATCH_INGEST_COLLECT_REDACT_H
#define DRAINWATCH_INGEST_COLLECT_REDACT_H

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/rules/rules.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct redact;

/* Compiles the expressions of the file and of its rules, which must outlive the result. Returns 0,
 * ERR_INPUT (together they are too large; each by itself was tried by the rules reader) or
 * ERR_NOMEM. */
int redact_new(const struct rules *rules, struct redact **out, struct err *err);
void redact_free(struct redact *r); /* NULL is fine */

/* Whether this rule (its index) has expressions, or the file. */
bool redact_is_needed(const struct redact *r, uint32_t rule);

/* The first rule that hides the same as this one. */
uint32_t redact_alike(const struct redact *r, uint32_t rule);

/* Appends the text as this rule may show it. Returns 0, ERR_IO (Hyperscan failed: show
 * nothing of the text), ERR_FULL or ERR_NOMEM. */
int redact_append(struct redact *r, uint32_t rule, const char *text, size_t n, struct buf *out);

#endif
