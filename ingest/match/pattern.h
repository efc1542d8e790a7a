/* A regular expression rewritten into one that matches wherever it does, whatever stands around.
 *
 * The pass over many lines at once sees a line's neighbours where the rule's author meant its ends.
 * So what depends on the surroundings (^ $ \b \B \A \z \Z) is taken out, and what is left matches a
 * superset. A trailing `.*` or `.+` goes too: it adds nothing but one report a byte. Pure. */
#ifndef DRAINWATCH_INGEST_MATCH_PATTERN_H
#define DRAINWATCH_INGEST_MATCH_PATTERN_H

#include "common/base/buf.h"

/* Appends the superset of `pattern` (Hyperscan's dialect of PCRE, no flags set) to `out`. Returns
 * 0; ERR_INPUT where the pattern holds a construct whose surroundings are not understood (look-
 * around, verbs such as (*UTF8), conditions, and what is malformed), and then only a look at each
 * line by itself is safe; ERR_FULL or ERR_NOMEM. The result may match nothing at all ("^a*$"), for
 * which Hyperscan refuses it. */
int pattern_superset(const char *pattern, struct buf *out);

/* The length of the bracketed class that begins at `class`, 0 where it is not closed. */
size_t pattern_class_len(const char *class);

#endif
