/* Checks whether the matcher can compile a regular expression. The dialect is Hyperscan's part of
 * PCRE over bytes, without flags. Pure. */
#ifndef DRAINWATCH_COMMON_RULES_EXPRESSION_H
#define DRAINWATCH_COMMON_RULES_EXPRESSION_H

#include "common/base/buf.h"
#include "common/base/err.h"

enum expression_use {
    EXPRESSION_LINE,   /* found anywhere in a message: match, unless */
    EXPRESSION_REDACT, /* the same, but the place where it begins is needed, too */
    EXPRESSION_VALUE,  /* the whole of a logfmt pair's value */
};

/* Returns 0; ERR_INPUT with a message "fault (remedy)" if the expression cannot be compiled for
 * this use or would match an empty text; or ERR_NOMEM. */
int expression_check(const char *expression, enum expression_use use, struct err *err);

/* Appends the expression that matches a value if `expression` matches all of it. Returns as buf's
 * functions do. */
int expression_append_whole(const char *expression, struct buf *out);

#endif
