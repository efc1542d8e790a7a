/* Which lines match which rules.
 *
 * One pass of Hyperscan over the region in which many lines lie finds candidates; each candidate is
 * then judged exactly, by its parts. The pass finds a superset, always: it may name a line that
 * matches nothing and never misses one that does. Pure. */
#ifndef DRAINWATCH_INGEST_MATCH_H
#define DRAINWATCH_INGEST_MATCH_H

#include "common/err.h"
#include "common/rules.h"
#include "ingest/logplex.h"
#include "ingest/redact.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct match;

/* Compiles the rules, which must outlive the result. What judges a line is compiled when a line
 * first asks for it, 1 to 2 ms an expression. Returns 0, ERR_INPUT (a pattern that cannot be
 * compiled: the rules reader has tried each) or ERR_NOMEM. */
int match_new(const struct rules *rules, struct match **out, struct err *err);
void match_free(struct match *m); /* NULL is fine */

/* The rules it was made from. */
const struct rules *match_rules(const struct match *m);

/* What its rules' samples and groups go through. */
struct redact *match_redact(const struct match *m);

/* Whether some pattern cannot be searched for in many lines at once, so that every line is looked
 * at by itself: right, and several times slower. Such are patterns in UTF-8 mode and those that
 * match an empty line ("^$"). */
bool match_is_line_by_line(const struct match *m);

/* Finds the candidates among up to LOGPLEX_BATCH_MAX lines: their indexes, ascending, each once.
 * `found` has room for `n`. Returns how many, or ERR_IO where Hyperscan failed. */
int match_candidates(struct match *m, const char *region, size_t region_len,
                     const struct logplex_span *lines, size_t n, uint32_t *found);

/* What one pass over bytes found before it was known where lines begin in them. A chunk of an HTTP
 * body has about a hundred lines; where more is found it pays to know the lines first. */
enum { MATCH_LOOK_MAX = 512 };
struct match_look {
    const char *bytes;
    size_t n;
    bool all; /* it cannot be told, or there is more than fits: match_candidates is to be asked */
    size_t n_ends;
    uint32_t ends[MATCH_LOOK_MAX]; /* offsets of the last bytes of what was found; ascending */
};

/* Looks at bytes, which `out` refers to from then on. Returns 0 or ERR_IO (Hyperscan failed). */
int match_look(struct match *m, const char *bytes, size_t n, struct match_look *out);

/* What match_candidates finds among lines in a region within bytes that were looked at and are not
 * `all`. */
size_t match_looked(const struct match_look *look, const char *region,
                    const struct logplex_span *lines, size_t n, uint32_t *found);

struct match_result {
    const uint32_t
        *rules; /* indexes of the rules that match, ascending; valid until the next call */
    size_t n_rules;
    uint64_t lost; /* what Logplex says in this line that it dropped (L10), else 0 */
    bool own;      /* written by drainwatch, or the router's line about its path; no own line of
                      drainwatch matches a rule */
};

/* Judges one line exactly. `match` and `unless` see the message alone: ^ and $ are its ends.
 * Returns 0 or ERR_IO, where Hyperscan failed or could not compile what the line asks for. */
int match_line(struct match *m, const struct logplex_line *line, struct match_result *out);

#endif
