#include "ingest/match/expressions.h"
#include "ingest/match/match_impl.h"

#include "common/base/buf.h"
#include "common/rules/expression.h"

#include <hs/hs.h>
#include <stdlib.h>
#include <string.h>

/* One item of one rule, on the way to its test. */
struct use {
    enum match_kind kind;
    const char *key; /* "" for an expression */
    const char *text;
    uint32_t rule;
    bool unless;
};

/* By test, and within one the users before those that stand in `unless`. */
static int compare_tests(const struct use *a, const struct use *b)
{
    int order = (a->kind > b->kind) - (a->kind < b->kind);

    if (order == 0)
        order = strcmp(a->key, b->key);
    return order != 0 ? order : strcmp(a->text, b->text);
}

static int compare_uses(const void *left, const void *right)
{
    const struct use *a = left, *b = right;
    int order = compare_tests(a, b);

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

static struct use *list_expressions(const struct rules_list *items, uint32_t rule, bool unless,
                                    struct use *out)
{
    for (size_t i = 0; i < items->n; i++)
        *out++ = (struct use){.key = "", .text = items->items[i], .rule = rule, .unless = unless};
    return out;
}

static void list_uses(const struct rules *rules, struct use *out)
{
    for (uint32_t i = 0; i < rules->n; i++) {
        const struct rule *rule = &rules->rules[i];

        out = list_expressions(&rule->matches, i, false, out);
        out = list_expressions(&rule->unless, i, true, out);
        for (size_t j = 0; j < rule->n_fields; j++) {
            const struct rules_field *field = &rule->fields[j];

            *out++ = (struct use){.kind = field->is_pattern ? MATCH_VALUE : MATCH_FIELD,
                                  .key = field->key,
                                  .text = field->value,
                                  .rule = i};
        }
    }
}

static bool alloc_tables(struct match *m, size_t n_uses)
{
    m->tests = calloc(n_uses + 1, sizeof *m->tests);
    m->users = calloc(n_uses + 1, sizeof *m->users);
    m->unless = calloc(n_uses + 1, sizeof *m->unless);
    m->always = calloc(n_uses + 1, sizeof *m->always);
    m->hits = calloc(n_uses + 1, sizeof *m->hits);
    m->rule_unless = calloc(m->rules->n + 1, sizeof *m->rule_unless);
    m->progress = calloc(m->rules->n + 1, sizeof *m->progress);
    m->matched = calloc(m->rules->n + 1, sizeof *m->matched);
    return m->tests && m->users && m->unless && m->always && m->hits && m->rule_unless &&
           m->progress && m->matched;
}

/* Each rule's stretch of `unless`, empty at first. */
static void place_unless(struct match *m)
{
    uint32_t next = 0;

    for (size_t i = 0; i < m->rules->n; i++) {
        m->rule_unless[i].first = next;
        next += (uint32_t)m->rules->rules[i].unless.n;
    }
}

/* Fills the tests, and lists with whom they stand. The uses are sorted. */
static void list_tests(struct match *m, const struct use *uses, size_t n)
{
    uint32_t n_users = 0;

    place_unless(m);
    for (size_t i = 0; i < n; i++) {
        const struct use *use = &uses[i];

        if (i == 0 || compare_tests(&uses[i - 1], use) != 0)
            m->tests[m->n_tests++] = (struct match_test){
                .kind = use->kind, .key = use->key, .text = use->text, .first_user = n_users};
        if (use->unless) {
            struct match_unless *list = &m->rule_unless[use->rule];

            m->unless[list->first + list->n++] = (uint32_t)(m->n_tests - 1);
        } else {
            m->users[n_users++] = use->rule;
            m->tests[m->n_tests - 1].n_users++;
        }
    }
}

static int alloc_scratch(struct match *m, const struct hs_database *db)
{
    return hs_alloc_scratch(db, &m->scratch) == HS_SUCCESS ? 0 : ERR_NOMEM;
}

/* By itself an expression takes 0.03 to 2 ms, in a database with 1,000 others several times that,
 * and the most are never tried: so each is compiled by itself when a line first asks for it. */
int match_compile_test(struct match *m, struct match_test *test, struct err *err)
{
    struct expressions list = {0};
    struct buf whole;
    int rc = 0;

    if (test->db != NULL)
        return 0;
    buf_init(&whole, SIZE_MAX / 8);
    if (test->kind == MATCH_VALUE)
        rc = expression_append_whole(test->text, &whole);
    if (rc == 0)
        rc = expressions_add(&list, test->kind == MATCH_VALUE ? buf_text(&whole) : test->text,
                             HS_FLAG_SINGLEMATCH, 0);
    if (rc == 0)
        rc = expressions_compile(&list, &test->db, NULL, err);
    if (rc == 0)
        rc = alloc_scratch(m, test->db);
    expressions_close(&list);
    buf_close(&whole);
    return rc;
}

static int compile(struct match *m, size_t full_max, struct err *err)
{
    int rc = match_compile_pass(m, full_max, err);

    if (rc == 0 && m->pass != NULL)
        rc = alloc_scratch(m, m->pass);
    /* They will be needed with the first line. */
    for (size_t i = 0; rc == 0 && i < m->n_always; i++) {
        struct match_test *test = &m->tests[m->always[i]];

        if (test->kind != MATCH_FIELD)
            rc = match_compile_test(m, test, err);
    }
    return rc;
}

int match_make(const struct rules *rules, size_t full_max, struct match **out, struct err *err)
{
    size_t n = count_uses(rules);
    struct match *m = calloc(1, sizeof *m);
    struct use *uses = calloc(n + 1, sizeof *uses);
    int rc = ERR_NOMEM;

    *out = NULL;
    if (m == NULL || uses == NULL)
        goto out;
    m->rules = rules;
    if (!alloc_tables(m, n))
        goto out;
    list_uses(rules, uses);
    qsort(uses, n, sizeof *uses, compare_uses);
    list_tests(m, uses, n);
    rc = compile(m, full_max, err);
    if (rc == 0)
        rc = redact_new(rules, &m->redact, err);
out:
    free(uses);
    if (rc == 0)
        *out = m;
    else
        match_free(m);
    if (rc == ERR_NOMEM)
        err_set(err, rc, "the rules: no memory to compile them");
    return rc;
}

int match_new(const struct rules *rules, struct match **out, struct err *err)
{
    return match_make(rules, MATCH_FULL_MAX, out, err);
}

void match_free(struct match *m)
{
    if (m == NULL)
        return;
    redact_free(m->redact);
    hs_free_scratch(m->scratch);
    hs_free_database(m->pass);
    for (size_t i = 0; i < m->n_tests; i++)
        hs_free_database(m->tests[i].db);
    free(m->matched);
    free(m->progress);
    free(m->rule_unless);
    free(m->hits);
    free(m->always);
    free(m->unless);
    free(m->users);
    free(m->tests);
    free(m);
}
