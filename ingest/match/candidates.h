/* The lines of a chunk that may match: scans the chunk once with the pass, then finds the lines in
 * which the reported places lie. Pure. */
#ifndef DRAINWATCH_INGEST_MATCH_CANDIDATES_H
#define DRAINWATCH_INGEST_MATCH_CANDIDATES_H

#include "ingest/input/line.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hs_database;
struct hs_scratch;

/* Reports that are kept of one chunk. A chunk from libmicrohttpd holds about a hundred lines; with
 * more reports than this most of its lines are candidates anyway. */
enum { CANDIDATES_HITS_MAX = 2048 };

struct candidate {
    uint32_t line;  /* its index */
    uint32_t n;     /* how many reports lie in it; 0: its chunk was not scanned */
    uint32_t first; /* the first of these reports */
};

struct candidates {
    const char *bytes; /* the scanned chunk */
    size_t n;          /* its length; 0: none was scanned */
    size_t n_hits;
    bool sorted;                        /* expressions of different kinds report in turns */
    uint64_t hits[CANDIDATES_HITS_MAX]; /* offset of a match's last byte << 32 | what the pass
                                           reported */
    uint32_t ends[CANDIDATES_HITS_MAX]; /* the offsets alone */
    struct candidate found[LINE_BATCH_MAX];
};

/* Scans a chunk, which must stay until candidates_forget. Returns 0, ERR_FULL (too many reports,
 * nothing is kept) or ERR_IO (Hyperscan failed). */
int candidates_scan(struct candidates *c, const struct hs_database *pass,
                    struct hs_scratch *scratch, const char *bytes, size_t n);
void candidates_forget(struct candidates *c);

/* Whether this byte lies in the scanned chunk. */
bool candidates_cover(const struct candidates *c, const char *at);

/* Finds the candidates among up to LINE_BATCH_MAX lines, in order, each once. All lines are
 * candidates if their region does not lie in the scanned chunk. Returns their number; `*out` is
 * valid until the next call. */
size_t candidates_find(struct candidates *c, const char *region, const struct line_span *lines,
                       size_t n, const struct candidate **out);

#endif
