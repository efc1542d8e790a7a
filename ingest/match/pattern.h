/* A regular expression rewritten into one that matches a superset, whatever its surroundings are.
 *
 * The rule's author means the ends of a line, but the pass sees the line's neighbours there. So
 * every assertion about surroundings (^ $ \b \B \A \z \Z) is removed. A trailing `.*` or `.+` goes,
 * too: it only adds a report for each byte. Pure. */
#ifndef DRAINWATCH_INGEST_MATCH_PATTERN_H
#define DRAINWATCH_INGEST_MATCH_PATTERN_H

#include "common/base/buf.h"

/* Appends the superset of `pattern` (Hyperscan's dialect of PCRE, no flags set) to `out`. Returns
 * 0, ERR_FULL, ERR_NOMEM, or ERR_INPUT if the pattern holds a construct that is not understood:
 * look-around, a verb such as (*UTF8), a condition, a syntax error. Then each line has to be judged
 * by itself. The result may match an empty text ("^a*$"), and Hyperscan refuses it then. */
int pattern_superset(const char *pattern, struct buf *out);

/* The length of the bracketed class that begins at `class`, or 0 if it is not closed. */
size_t pattern_class_len(const char *class);

#endif
