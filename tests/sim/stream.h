/* What the simulation feeds: rules, records and times by chance, all from one number. */
#ifndef DRAINWATCH_TESTS_STREAM_H
#define DRAINWATCH_TESTS_STREAM_H

#include "tests/sim/oracle.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    STREAM_TIMES = 12,  /* of one group of matches */
    STREAM_PAIRS = 3,   /* beside it */
    STREAM_IDS = 12,    /* Frame-Ids that may come again */
    STREAM_TEXT = 8192, /* room for a rules file */
};

struct stream {
    uint64_t random;
    int64_t grain_us; /* of all times, so that bounds are often met exactly */
    int64_t now_us;
    struct oracle_rules rules;
    char ids[STREAM_IDS][ORACLE_NAME];
    uint64_t n_ids;
    uint64_t n_records;
};

/* A record with room for what it points to. */
struct stream_record {
    struct wire_record record;
    int64_t step_us;
    struct wire_matches matches[ORACLE_MATCHES];
    struct wire_group pairs[ORACLE_MATCHES][STREAM_PAIRS];
    int64_t times[ORACLE_MATCHES][STREAM_TIMES];
    char samples[ORACLE_MATCHES][ORACLE_NAME];
    char frame_id[ORACLE_NAME];
};

uint64_t stream_below(struct stream *s, uint64_t n);
bool stream_chance(struct stream *s, uint64_t percent);

/* Begins anew, without rules. */
void stream_open(struct stream *s, uint64_t seed);

/* Each rule stays, changes its numbers, its groups, its apps or its matching, goes, or comes
 * (back); drains come to other apps or to none. At least one rule is left. */
void stream_change_rules(struct stream *s);
/* The rules as the file that says them. Returns its length. */
size_t stream_write_rules(const struct stream *s, char text[STREAM_TEXT]);

void stream_next(struct stream *s, struct stream_record *out);

#endif
