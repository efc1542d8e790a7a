/* Lists what the rules try lines for. The matcher calls it when it is made. */
#include "ingest/match/criteria.h"

#include "common/base/err.h"

#include <stdlib.h>
#include <string.h>

/* One item of one rule, on the way to its criterion. */
struct use {
    struct criterion criterion;
    uint32_t rule;
    bool unless;
};

static int compare_criteria(const struct criterion *a, const struct criterion *b)
{
    int order = (a->kind > b->kind) - (a->kind < b->kind);

    if (order == 0)
        order = strcmp(a->key, b->key);
    if (order == 0)
        order = strcmp(a->text, b->text);
    return order != 0 ? order : a->outside_quotes - b->outside_quotes;
}

/* By criterion. Of one criterion the users come before the uses in `unless`. */
static int compare_uses(const void *left, const void *right)
{
    const struct use *a = left, *b = right;
    int order = compare_criteria(&a->criterion, &b->criterion);

    if (order == 0)
        order = a->unless - b->unless;
    return order != 0 ? order : (a->rule > b->rule) - (a->rule < b->rule);
}

static size_t count_uses(const struct rules *rules)
{
    size_t n = 0;

    for (size_t i = 0; i < rules->n; i++)
        n += rules->rules[i].matches.n + rules->rules[i].unless.n + rules->rules[i].n_fields;
    return n;
}

static struct use *list_matches(const struct rule *rule, uint32_t index, struct use *out)
{
    for (size_t i = 0; i < rule->matches.n; i++)
        *out++ = (struct use){
            {.key = "", .text = rule->matches.items[i], .outside_quotes = rule->outside_quotes},
            index,
            false};
    return out;
}

static struct use *list_unless(const struct rule *rule, uint32_t index, struct use *out)
{
    for (size_t i = 0; i < rule->unless.n; i++)
        *out++ = (struct use){{.key = "", .text = rule->unless.items[i]}, index, true};
    return out;
}

static struct use *list_fields(const struct rule *rule, uint32_t index, struct use *out)
{
    for (size_t i = 0; i < rule->n_fields; i++) {
        const struct rules_field *field = &rule->fields[i];

        *out++ = (struct use){{.kind = field->is_pattern ? CRITERION_VALUE : CRITERION_FIELD,
                               .key = field->key,
                               .text = field->value},
                              index,
                              false};
    }
    return out;
}

static void list_uses(const struct rules *rules, struct use *out)
{
    for (uint32_t i = 0; i < rules->n; i++) {
        out = list_matches(&rules->rules[i], i, out);
        out = list_unless(&rules->rules[i], i, out);
        out = list_fields(&rules->rules[i], i, out);
    }
}

/* Gives each rule its stretch of `unless`, which is empty at first. */
static void place_unless(struct criteria *c, const struct rules *rules)
{
    uint32_t next = 0;

    for (size_t i = 0; i < rules->n; i++) {
        c->rule_unless[i].first = next;
        next += (uint32_t)rules->rules[i].unless.n;
    }
}

/* Makes a criterion of each run of equal uses. */
static void join_uses(struct criteria *c, const struct use *uses, size_t n)
{
    uint32_t n_users = 0;

    for (size_t i = 0; i < n; i++) {
        const struct use *use = &uses[i];

        if (i == 0 || compare_criteria(&uses[i - 1].criterion, &use->criterion) != 0) {
            c->items[c->n] = use->criterion;
            c->items[c->n++].first_user = n_users;
        }
        if (use->unless) {
            struct criteria_span *span = &c->rule_unless[use->rule];

            c->unless[span->first + span->n++] = (uint32_t)(c->n - 1);
        } else {
            c->users[n_users++] = use->rule;
            c->items[c->n - 1].n_users++;
        }
    }
}

int criteria_open(struct criteria *c, const struct rules *rules)
{
    size_t n = count_uses(rules);
    struct use *uses = calloc(n + 1, sizeof *uses);

    *c = (struct criteria){
        .items = calloc(n + 1, sizeof *c->items),
        .users = calloc(n + 1, sizeof *c->users),
        .unless = calloc(n + 1, sizeof *c->unless),
        .rule_unless = calloc(rules->n + 1, sizeof *c->rule_unless),
    };
    if (!uses || !c->items || !c->users || !c->unless || !c->rule_unless) {
        free(uses);
        return ERR_NOMEM;
    }
    list_uses(rules, uses);
    qsort(uses, n, sizeof *uses, compare_uses);
    place_unless(c, rules);
    join_uses(c, uses, n);
    free(uses);
    return 0;
}

void criteria_close(struct criteria *c)
{
    free(c->rule_unless);
    free(c->unless);
    free(c->users);
    free(c->items);
    *c = (struct criteria){0};
}

/* The order of a criterion and a pair: by kind, then by key as strcmp orders keys. */
static int compare_to_pair(const struct criterion *a, enum criterion_kind kind,
                           struct line_text key)
{
    size_t len = strlen(a->key);
    int order = (a->kind > kind) - (a->kind < kind);

    if (order == 0)
        order = memcmp(a->key, key.data, len < key.len ? len : key.len);
    return order != 0 ? order : (len > key.len) - (len < key.len);
}

size_t criteria_find(const struct criteria *c, enum criterion_kind kind, struct line_text key)
{
    size_t low = 0, high = c->n;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (compare_to_pair(&c->items[middle], kind, key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

bool criterion_is_on(const struct criterion *criterion, enum criterion_kind kind,
                     struct line_text key)
{
    return compare_to_pair(criterion, kind, key) == 0;
}
