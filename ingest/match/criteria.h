/* What lines are tried for: every expression and pair of the rules, each listed once together with
 * the rules that use it. So what many rules share is tried once a line. Pure. */
#ifndef DRAINWATCH_INGEST_MATCH_CRITERIA_H
#define DRAINWATCH_INGEST_MATCH_CRITERIA_H

#include "common/rules/rules.h"
#include "ingest/input/line.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum criterion_kind {
    CRITERION_EXPRESSION, /* the message matches `text` somewhere */
    CRITERION_FIELD,      /* the message holds a pair with the value `text` */
    CRITERION_VALUE,      /* the message holds a pair whose whole value matches `text` */
};

struct criterion {
    enum criterion_kind kind;
    const char *key; /* of the pair; "" for an expression */
    const char *text;
    bool outside_quotes; /* an expression that must match outside of double quotes, too */
    uint32_t first_user; /* into criteria.users: the rules that list it as `match` or `field` */
    uint32_t n_users;    /* 0: it only stands in `unless` */
};

/* The criteria of a rule's `unless`: a stretch of criteria.unless. */
struct criteria_span {
    uint32_t first;
    uint32_t n;
};

struct criteria {
    struct criterion *items; /* sorted by kind, key, text and outside_quotes */
    size_t n;
    uint32_t *users;  /* indexes of rules */
    uint32_t *unless; /* indexes of criteria */
    struct criteria_span *rule_unless;
};

/* Lists the criteria of the rules, which must outlive the result. Returns 0 or ERR_NOMEM; close it
 * in both cases. */
int criteria_open(struct criteria *c, const struct rules *rules);
void criteria_close(struct criteria *c);

/* The first criterion of this kind on a pair with this key, or criteria.n. The others with the key
 * follow it. */
size_t criteria_find(const struct criteria *c, enum criterion_kind kind, struct line_text key);
/* Whether the criterion has this kind and key. */
bool criterion_is_on(const struct criterion *criterion, enum criterion_kind kind,
                     struct line_text key);

#endif
