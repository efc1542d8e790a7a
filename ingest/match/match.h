/* Which lines match which rules.
 *
 * One pass of Hyperscan over the bytes in which many lines lie finds candidates, and what for; each
 * candidate is then judged exactly, by its parts. The pass finds a superset, always: it may name a
 * line that matches nothing and never misses one that does. Pure. */
#ifndef DRAINWATCH_INGEST_MATCH_MATCH_H
#define DRAINWATCH_INGEST_MATCH_MATCH_H

#include "common/base/err.h"
#include "common/rules/rules.h"
#include "ingest/input/line.h"
#include "ingest/match/redact.h"

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

/* Finds in one pass what lines may match, before it is known where they begin. Until
 * match_look_away the bytes must stay, and match_candidates and match_line refer to what was found
 * in them. *ends gets the offsets of the last bytes of what was found, ascending and valid as long;
 * NULL where each line has to be looked at by itself, because match_is_line_by_line or there is too
 * much. Returns 0 or ERR_IO (Hyperscan failed). */
int match_look(struct match *m, const char *bytes, size_t n, const uint32_t **ends, size_t *n_ends);
void match_look_away(struct match *m);

struct match_candidate {
    uint32_t line;  /* its index */
    uint32_t n;     /* how much was found in it; 0: it was not looked at */
    uint32_t first; /* of what was found in the bytes */
};

/* Those of up to LINE_BATCH_MAX lines that may match, ascending, each once: all, where their
 * region does not lie in the bytes that are looked at. Returns how many; valid until the next call.
 */
size_t match_candidates(struct match *m, const char *region, const struct line_span *lines,
                        size_t n, const struct match_candidate **out);

struct match_result {
    const uint32_t
        *rules; /* indexes of the rules that match, ascending; valid until the next call */
    size_t n_rules;
    uint64_t lost; /* what Logplex says in this line that it dropped (L10), else 0 */
    bool own;      /* written by drainwatch, or the router's line about its path; no own line of
                      drainwatch matches a rule */
};

/* Judges one line exactly. `match` and `unless` see the message alone: ^ and $ are its ends. As a
 * candidate it must lie in the bytes that are looked at; NULL: it is none, and costs a search of
 * its own. Returns 0 or ERR_IO, where Hyperscan failed or could not compile what the line asks for.
 */
int match_line(struct match *m, const struct line *line, const struct match_candidate *candidate,
               struct match_result *out);

#endif
