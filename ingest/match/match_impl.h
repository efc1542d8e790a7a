/* The parts of match that its files share. Not for others, but for tests. */
#ifndef DRAINWATCH_INGEST_MATCH_MATCH_IMPL_H
#define DRAINWATCH_INGEST_MATCH_MATCH_IMPL_H

#include "ingest/match/match.h"

struct hs_database;
struct hs_scratch;

/* Expressions that the pass holds as they are; of more it holds a stretch of bytes each. */
enum { MATCH_FULL_MAX = 48 };

/* What one look may find. In what libmicrohttpd hands over at once there are about a hundred lines;
 * where more is found, most lines are candidates anyway. */
enum { MATCH_LOOK_MAX = 2048 };

enum match_kind {
    MATCH_EXPRESSION, /* `text` is found in the message */
    MATCH_FIELD,      /* a pair is there with the value `text` */
    MATCH_VALUE,      /* a pair is there whose value `text`, an expression, matches as a whole */
};

/* What a line is tried for, with the rules that ask for it: what many rules share is tried once. */
struct match_test {
    enum match_kind kind;
    const char *key; /* of the pair */
    const char *text;
    uint32_t first_user;    /* into `users`: the rules of whose `match` or `field` it is an item */
    uint32_t n_users;       /* 0: it only stands in `unless`, and the pass does not know it */
    size_t settled;         /* so many bytes long is what the pass names: then there is nothing left
                               to try. 0: there is */
    struct hs_database *db; /* of an expression; NULL until it is first tried */
    uint64_t named;         /* serial of the last line for which the pass named it */
    uint64_t tried;         /* serial of the last line that it was tried on … */
    bool passed;            /* … and what came of it */
};

/* The tests of a rule's `unless`, a stretch of match.unless. */
struct match_unless {
    uint32_t first;
    uint32_t n;
};

struct match_progress {
    uint64_t serial; /* of the line that `passed` is about */
    unsigned passed; /* the parts of the rule that the line passed */
};

/* At the bytes that are looked at. */
struct match_look {
    const char *bytes;
    size_t n; /* 0: at none */
    size_t n_hits;
    bool sorted;                   /* expressions of different kinds report in turns */
    uint64_t hits[MATCH_LOOK_MAX]; /* where one ends: the offset of its last byte, and behind that
                                      32 bits for what it is: a test, or n_tests for `special` */
    uint32_t ends[MATCH_LOOK_MAX];
};

struct match {
    const struct rules *rules;
    struct redact *redact;
    struct match_test *tests;
    size_t n_tests;
    uint32_t *users;  /* indexes of rules, the users of each test together */
    uint32_t *unless; /* indexes of tests, those of each rule together */
    struct match_unless *rule_unless;
    struct hs_database *pass; /* NULL: Hyperscan takes the sum of them not */
    uint32_t *always;         /* tests that the pass does not hold, to be tried on each line */
    size_t n_always;
    struct hs_scratch *scratch; /* for every database */
    uint64_t serial;            /* of the line being judged */
    bool special;               /* the pass named what only special lines hold, or was not asked */
    uint32_t *hits;             /* tests that the pass named for it, and all of `always` */
    size_t n_hits;
    struct match_progress *progress; /* of each rule */
    uint32_t *matched;               /* rules that match the line */
    size_t n_matched;
    struct match_look look;
    struct match_candidate candidates[LINE_BATCH_MAX];
};

/* match_new with a number of its own in the place of MATCH_FULL_MAX. */
int match_make(const struct rules *rules, size_t full_max, struct match **out, struct err *err);

/* Makes the pass of tests with users, notes which they are settled by it and lists `always`.
 * Returns 0 or ERR_NOMEM: a pass that cannot be is done without. */
int match_compile_pass(struct match *m, size_t full_max, struct err *err);

/* Makes the database of an expression's or value's test, if there is none yet. Returns 0, ERR_INPUT
 * or ERR_NOMEM. */
int match_compile_test(struct match *m, struct match_test *test, struct err *err);

#endif
