/* Which lines match which rules.
 *
 * One pass of Hyperscan over a raw chunk finds the lines that may match. Each of these candidates
 * is then judged exactly. Pure. */
#ifndef DRAINWATCH_INGEST_MATCH_MATCH_H
#define DRAINWATCH_INGEST_MATCH_MATCH_H

#include "common/base/err.h"
#include "common/rules/rules.h"
#include "ingest/input/line.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Reports that are kept of one chunk. A chunk from libmicrohttpd holds about a hundred lines; with
 * more reports than this most of its lines are candidates anyway. */
enum { MATCH_HITS_MAX = 2048 };

struct match;

/* Compiles the pass of the rules, which must outlive the result. An exact expression is compiled
 * when a line first needs it, in 1 to 2 ms. Returns 0, ERR_INPUT (an expression that cannot be
 * compiled, which the rules reader refuses) or ERR_NOMEM. */
int match_new(const struct rules *rules, struct match **out, struct err *err);
/* For tests: the same, with another number of whole expressions than PASS_WHOLE_MAX. */
int match_new_bounded(const struct rules *rules, size_t whole_max, struct match **out,
                      struct err *err);
void match_free(struct match *m); /* NULL is fine */

/* Whether every line has to be judged by itself: right, but several times slower. The reason is an
 * expression that the pass cannot hold, in UTF-8 mode or one that matches an empty line ("^$"). */
bool match_is_line_by_line(const struct match *m);

/* Scans a chunk once, before its lines are known. The chunk must stay until match_forget;
 * match_candidates and match_line refer to it. `*ends` gets the offsets of the last bytes of all
 * reports, ascending, valid until match_forget. It is NULL if each line has to be judged by itself:
 * match_is_line_by_line, or too many reports. Returns 0 or ERR_IO (Hyperscan failed). */
int match_scan(struct match *m, const char *bytes, size_t n, const uint32_t **ends, size_t *n_ends);
void match_forget(struct match *m);

/* A line that may match. */
struct candidate {
    uint32_t line;  /* its index */
    uint32_t n;     /* how many reports lie in it; 0: its chunk was not scanned */
    uint32_t first; /* the first of these reports */
};

/* Finds the candidates among up to LINE_BATCH_MAX lines, in order, each once. All lines are
 * candidates if their region does not lie in the scanned chunk. Returns their number; `*out` is
 * valid until the next call. */
size_t match_candidates(struct match *m, const char *region, const struct line_span *lines,
                        size_t n, const struct candidate **out);

struct match_result {
    const uint32_t *rules; /* indexes of the matching rules, ascending; valid until the next call */
    size_t n_rules;
    uint64_t lost; /* the lines that Logplex dropped, if this line reports a loss (L10); else 0 */
    bool own;      /* drainwatch wrote it, or it is the router's line about our path; what
                      drainwatch wrote matches no rule */
};

/* Judges one line exactly. `match` and `unless` see the message alone: ^ and $ are its ends. A
 * candidate must lie in the scanned chunk. For NULL the message is scanned by itself. Returns 0, or
 * ERR_IO if Hyperscan failed or cannot compile an expression. */
int match_line(struct match *m, const struct line *line, const struct candidate *candidate,
               struct match_result *out);

/* Finds the place in a message that made it match the rule: the end of the first match of `match`,
 * or of the pair of `field`; of both, the later one. Returns whether there is one. */
bool match_find(struct match *m, uint32_t rule, const char *message, size_t len, size_t *end);

#endif
