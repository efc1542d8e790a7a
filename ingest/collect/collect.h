/* The matches of one delivery, by rule, source, process and group, on their way into wire records.
 *
 * Each match is kept with its time, none is ever left out. What would make one record too large for
 * the queue becomes several. Pure.
 *
 * Memory, kept for the next delivery: about 1,200 bytes a group of the largest one so far, its
 * sample among them, and 8 a match; given back to malloc behind one of more than 256 groups or
 * 65,536 matches. */
#ifndef DRAINWATCH_INGEST_COLLECT_COLLECT_H
#define DRAINWATCH_INGEST_COLLECT_COLLECT_H

#include "common/record/wire.h"
#include "ingest/collect/rulebook.h"
#include "ingest/input/line.h"

#include <stddef.h>
#include <stdint.h>

enum {
    /* Groups of (rule, source, process, group values), and two more for each rule: what goes beyond
     * is put into one of its rule without source and process, whose group values are all "…". A
     * process name or a path can come from anywhere. */
    COLLECT_GROUPS_MAX = 4096,
    COLLECT_NAME_MAX = 64,   /* bytes of a source or process, shown as printable text */
    COLLECT_VALUE_MAX = 128, /* and of a group's value: what differs beyond that is one group */
    /* 64 MiB of times: no rule file of some rules gets there within 8 MiB of lines. */
    COLLECT_MATCHES_MAX = 8 << 20,
    /* Bytes of the matches in one record. Half of what the queue takes, as a time can take eight
     * bytes of memory for one on the wire where it is unpacked (WIRE_MEMORY_MAX). */
    COLLECT_RECORD_BYTES = WIRE_MESSAGE_MAX / 2,
};

struct collect;

struct collect *collect_new(void); /* NULL: no memory */
void collect_free(struct collect *t);

/* Forgets all and begins anew. The book must be held while the parts are used. */
void collect_begin(struct collect *t, const struct rulebook *book, int64_t received_us);

/* Counts a line that matched these rules, once for each. Returns 0, ERR_FULL (COLLECT_MATCHES_MAX)
 * or ERR_NOMEM. The line's bytes must stay until collect_settle. */
int collect_add(struct collect *t, const struct line *line, int64_t time_us, const uint32_t *rules,
                size_t n_rules);

/* Takes copies of the samples: the lines that were added may go. Returns 0 or ERR_NOMEM. */
int collect_settle(struct collect *t);

size_t collect_matches(const struct collect *t);

/* The matches of one record. */
struct collect_part {
    const struct wire_matches *matches;
    size_t n;
};

/* All that was added since begin, in parts that fit a record each: none where nothing was added.
 * Valid until the next begin. Returns 0 or ERR_NOMEM. */
int collect_parts(struct collect *t, const struct collect_part **parts, size_t *n);

#endif
