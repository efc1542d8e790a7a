/* Whether a regular expression is one that the matcher can compile, and what to do if it is not.
 *
 * The dialect is Hyperscan's part of PCRE over bytes, without flags. Pure. */
#ifndef DRAINWATCH_COMMON_EXPRESSION_H
#define DRAINWATCH_COMMON_EXPRESSION_H

#include "common/err.h"

/* Returns 0; ERR_INPUT with a message "what is wrong (what would be right)" where the expression
 * cannot be compiled or would match an empty line; or ERR_NOMEM. */
int expression_check(const char *expression, struct err *err);

#endif
