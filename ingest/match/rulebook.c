#include "ingest/match/rulebook.h"

#include <assert.h>
#include <stddef.h>
#include <stdlib.h>

struct rulebook {
    size_t holders;
    const struct rules *rules;
    struct match *match;
};

int rulebook_new(const struct rules *rules, struct rulebook **out, struct err *err)
{
    struct rulebook *b = calloc(1, sizeof *b);
    int rc;

    if (b == NULL) {
        rules_free(rules);
        return err_set(err, ERR_NOMEM, "out of memory");
    }
    b->holders = 1;
    b->rules = rules;
    rc = match_new(rules, &b->match, err);
    if (rc != 0) {
        rulebook_release(b);
        return rc;
    }
    *out = b;
    return 0;
}

struct rulebook *rulebook_hold(struct rulebook *b)
{
    b->holders++;
    return b;
}

void rulebook_release(struct rulebook *b)
{
    if (b == NULL)
        return;
    assert(b->holders > 0);
    if (--b->holders > 0)
        return;
    match_free(b->match);
    rules_free(b->rules);
    free(b);
}

const struct rules *rulebook_rules(const struct rulebook *b)
{
    return b->rules;
}

struct match *rulebook_match(const struct rulebook *b)
{
    return b->match;
}
