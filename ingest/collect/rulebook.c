/* Holds compiled rules. Start, reload and `scan` make books, deliveries use them. */
#include "ingest/collect/rulebook.h"

#include <assert.h>
#include <stddef.h>
#include <stdlib.h>

struct rulebook {
    size_t holders;
    const struct rules *rules;
    const struct rules *owned; /* NULL: the rules are borrowed */
    struct match *match;
    struct redact *redact;
};

int rulebook_new_borrowed(const struct rules *rules, struct rulebook **out, struct err *err)
{
    struct rulebook *b = calloc(1, sizeof *b);
    int rc;

    *out = NULL;
    if (b == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    b->holders = 1;
    b->rules = rules;
    rc = match_new(rules, &b->match, err);
    if (rc == 0)
        rc = redact_new(rules, &b->redact, err);
    if (rc == 0)
        *out = b;
    else
        rulebook_release(b);
    return rc;
}

int rulebook_new(const struct rules *rules, struct rulebook **out, struct err *err)
{
    int rc = rulebook_new_borrowed(rules, out, err);

    if (rc == 0)
        (*out)->owned = rules;
    else
        rules_free(rules);
    return rc;
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
    redact_free(b->redact);
    match_free(b->match);
    rules_free(b->owned);
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

struct redact *rulebook_redact(const struct rulebook *b)
{
    return b->redact;
}
