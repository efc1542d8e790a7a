/* The matches of one delivery, by rule, source, process and group, on their way into wire records.
 *
 * Each match is kept with its time; none is ever left out. Pure.
 *
 * Memory, until the next delivery begins: about 1,600 bytes a group, its sample among them, the
 * bytes of its values, and 8 bytes a match. Up to 80 KiB of them are kept for that delivery. */
#ifndef DRAINWATCH_INGEST_COLLECT_COLLECT_H
#define DRAINWATCH_INGEST_COLLECT_COLLECT_H

#include "common/record/wire.h"
#include "ingest/collect/rulebook.h"
#include "ingest/input/line.h"

#include <stddef.h>
#include <stdint.h>

enum {
    /* Groups of a delivery. Each rule may have this number divided by the number of rules, and two
     * more, even if all others are in use. Matches beyond them go into one group of their rule,
     * without source and process, whose values are all "…": anybody can make up process names and
     * paths. */
    COLLECT_GROUPS_MAX = 4096,
    COLLECT_NAME_MAX = 64, /* bytes of a source or process, shown as printable text */
    /* 64 MiB of times. 8 MiB of lines reach it only if each line matches a dozen rules. */
    COLLECT_MATCHES_MAX = 8 << 20,
};

struct collect;

struct collect *collect_new(void); /* NULL: no memory */
void collect_free(struct collect *t);

/* The bytes of memory that the matches hold now. */
size_t collect_held_bytes(const struct collect *t);

/* Forgets all and begins anew. The book must be held while the matches are used. */
void collect_begin(struct collect *t, const struct rulebook *book);

/* Counts a line that matched these rules, once for each. Returns 0, ERR_FULL (COLLECT_MATCHES_MAX)
 * or ERR_NOMEM. The line's bytes must stay until collect_keep_samples or collect_matches. */
int collect_add(struct collect *t, const struct line *line, int64_t time_us, const uint32_t *rules,
                size_t n_rules);

/* Copies the newest line of each group as its sample, so that the lines added so far may go.
 * Returns 0 or ERR_NOMEM. */
int collect_keep_samples(struct collect *t);

/* Keeps the samples and gets everything that was added since begin, valid until the next begin.
 * Returns 0 or ERR_NOMEM. */
int collect_matches(struct collect *t, const struct wire_matches **matches, size_t *n);

#endif
