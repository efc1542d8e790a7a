/* What the halves of collect share: collect.c takes the matches of lines, collect_parts.c makes the
 * parts of records of them. */
#ifndef DRAINWATCH_INGEST_COLLECT_COLLECT_IMPL_H
#define DRAINWATCH_INGEST_COLLECT_COLLECT_IMPL_H

#include "common/base/buf.h"
#include "ingest/collect/collect.h"
#include "ingest/collect/excerpt.h"

enum {
    COLLECT_FIRST_GROUPS = 8,
    RECENT_BITS = 6,
    RECENT = 1 << RECENT_BITS,
};

/* A source or process as it is shown. */
struct name {
    char text[COLLECT_NAME_MAX + 1];
    size_t len;
};

struct group {
    uint32_t rule;
    uint32_t hash;
    struct name source;
    struct name process;
    struct buf values;
    struct wire_group pairs[RULES_GROUP_BY_MAX]; /* the same for the wire, pointing into `values` */
    size_t n_pairs;
    int64_t *times;
    size_t n_times;
    size_t cap;
    struct buf sample;
    struct line_text last; /* the newest line's message, where the sample is not yet taken */
};

struct collect {
    const struct rules *rules;
    int64_t received_us;
    struct group *groups; /* those behind n_groups keep their memory for later */
    size_t n_groups;
    size_t cap_groups;
    uint32_t *table; /* by hash: 1 + index of a group, 0: none; twice as many as groups */
    size_t n_matches;
    uint32_t recent[RECENT]; /* 1 + index of the group that a line of such names went to, 0: none */
    struct name source;      /* of the last line that was added */
    struct name process;
    struct buf shown;
    struct buf values; /* of the match that is being added */
    struct excerpt excerpt;
    struct wire_matches *matches;
    size_t n_wire;
    size_t cap_wire;
    struct collect_part *parts;
    size_t n_parts;
    size_t cap_parts;
};

#endif
