/* One key of the oracle: every match by itself. */
#ifndef DRAINWATCH_TESTS_ORACLE_KEY_H
#define DRAINWATCH_TESTS_ORACLE_KEY_H

#include "tests/sim/oracle.h"

#define HOUR_US (INT64_C(3600) * 1000000)

struct oracle_match {
    int64_t us;
    bool fresh; /* of the record in hand */
};

struct oracle_key {
    char app[ORACLE_NAME];
    char rule[ORACLE_NAME];
    char values[ORACLE_GROUP_BY][ORACLE_NAME]; /* "" beyond the values of the rule */
    struct oracle_match *matches;
    size_t n;
    bool merged;
    int64_t merged_us;
    bool alerted;
    int64_t alerted_us;
    bool withheld; /* that alert got no message */
    uint64_t since;
    bool noted;       /* a breach in the cooldown after the last alert was reported */
    bool has_late;    /* a match counts at its receive time since its own was too old */
    int64_t late_us;  /* the newest such receive time */
    uint64_t touched; /* the number of the touch: the smallest is the stalest */
    bool judged;      /* in the step in hand */
};

/* More memory for an array, or the end of the program. */
void *oracle_grown(void *items, size_t n, size_t size);

/* Drops matches that are too old; returns how many of them were fresh. */
uint64_t oracle_key_keep_young(struct oracle_key *key, const struct oracle_rule *rule);
/* How many distinct times there are, and the oldest two. */
size_t oracle_key_times(const struct oracle_key *key, int64_t *oldest, int64_t *second);
void oracle_key_merge(struct oracle_key *key, size_t max_times);
/* The interval that an alert would count. */
struct oracle_alert oracle_key_largest(const struct oracle_key *key,
                                       const struct oracle_rule *rule);

#endif
