#include "ingest/match/expressions.h"
#include "ingest/match/literal.h"
#include "ingest/match/match_impl.h"
#include "ingest/match/pattern.h"
#include "ingest/match/special.h"

#include <hs/hs.h>
#include <stdlib.h>
#include <string.h>

/* How the pass looks for an expression.
 *
 * Hyperscan compiles literals in no time, but expressions that are alike slow each other down: 125
 * such as `user_id=[0-9a-f]{8,32} .*NAME.*failed` take 0.5 s. So only so many stand in the pass as
 * they are, and for each of the others a stretch of bytes that every match of it holds. A stretch
 * that is on every line ("service=") would make every line a candidate. Which ones are cannot be
 * known, but short ones and those that many rules share are the likeliest, so their expressions
 * are the first to stand there as they are. */
enum {
    STRETCH_MIN = 4, /* bytes; a shorter one never stands for its expression */
    SHARED_MAX = 8,  /* nor does one that stands in more expressions than this */
    TRIES_MAX = 3,   /* to compile the pass, each without one more expression */
};

/* An expression that is more than a stretch. */
struct choice {
    uint32_t test;
    bool any_case;
    size_t at;           /* where its stretches begin in the plan's text */
    const char *stretch; /* the best of them, NULL where none is good */
    size_t len;
    size_t shared; /* how many expressions it stands in */
};

struct piece {
    const char *stretch;
    struct choice *choice;
};

struct plan {
    struct expressions list; /* of the pass */
    struct choice *choices;
    size_t n;
    struct buf text; /* stretches, a zero behind each */
};

/* ------------------------------------------------------------------------------------- choosing */

static int compare_pieces(const void *left, const void *right)
{
    return strcmp(((const struct piece *)left)->stretch, ((const struct piece *)right)->stretch);
}

/* The weakest first: those without a stretch, then those with a short one. */
static int compare_choices(const void *left, const void *right)
{
    const struct choice *a = left, *b = right;

    if (a->len != b->len)
        return a->len < b->len ? -1 : 1;
    return (a->test > b->test) - (a->test < b->test);
}

static int list_choice(struct plan *p, struct match_test *test, uint32_t index)
{
    struct literal_facts facts;
    size_t at = p->text.len;
    int rc = literal_stretches(test->text, &p->text, &facts);

    if (rc == 0 && facts.whole && test->kind == MATCH_EXPRESSION) {
        test->settled = strlen(buf_text(&p->text) + at);
        rc = expressions_add_literal(&p->list, buf_text(&p->text) + at,
                                     facts.any_case ? HS_FLAG_CASELESS : 0, index);
        p->text.len = at;
        return rc;
    }
    if (rc == 0 && test->kind == MATCH_VALUE)
        rc = buf_printf(&p->text, "%s=", test->key);
    if (rc == 0 && test->kind == MATCH_VALUE)
        rc = buf_append(&p->text, "", 1);
    p->choices[p->n++] = (struct choice){.test = index, .any_case = facts.any_case, .at = at};
    return rc;
}

static void offer(struct choice *choice, const char *stretch, size_t shared)
{
    size_t len = strlen(stretch);

    if (len < STRETCH_MIN || shared > SHARED_MAX)
        return;
    if (choice->stretch != NULL &&
        (choice->shared < shared || (choice->shared == shared && choice->len >= len)))
        return;
    choice->stretch = stretch;
    choice->len = len;
    choice->shared = shared;
}

static size_t list_pieces(struct plan *p, struct piece *pieces)
{
    const char *text = buf_text(&p->text);
    size_t n = 0;

    for (size_t i = 0; i < p->n; i++) {
        size_t end = i + 1 < p->n ? p->choices[i + 1].at : p->text.len;

        for (size_t at = p->choices[i].at; at < end; at += strlen(text + at) + 1)
            pieces[n++] = (struct piece){text + at, &p->choices[i]};
    }
    return n;
}

/* Gives each expression the stretch that the fewest share, of those the longest. */
static int choose(struct plan *p)
{
    struct piece *pieces = calloc(p->text.len + 1, sizeof *pieces);
    size_t n, end;

    if (pieces == NULL)
        return ERR_NOMEM;
    n = list_pieces(p, pieces);
    qsort(pieces, n, sizeof *pieces, compare_pieces);
    for (size_t i = 0; i < n; i = end) {
        for (end = i + 1; end < n && compare_pieces(&pieces[i], &pieces[end]) == 0; end++)
            ;
        for (size_t j = i; j < end; j++)
            offer(pieces[j].choice, pieces[j].stretch, end - i);
    }
    free(pieces);
    qsort(p->choices, p->n, sizeof *p->choices, compare_choices);
    return 0;
}

/* -------------------------------------------------------------------------------------- listing */

/* What a line with the field must hold: KEY=VALUE or KEY="VALUE". */
static int add_field(struct expressions *list, const struct match_test *test, unsigned id)
{
    static const char *const quotes[] = {"", "\""};
    struct buf text;
    int rc = 0;

    buf_init(&text, SIZE_MAX / 8);
    for (size_t i = 0; rc == 0 && i < 2; i++) {
        buf_clear(&text);
        rc = buf_printf(&text, "%s=%s%s%s", test->key, quotes[i], test->text, quotes[i]);
        if (rc == 0)
            rc = expressions_add_literal(list, buf_text(&text), 0, id);
    }
    buf_close(&text);
    return rc;
}

/* The value's expression may leave a quotation or a comment open: see expression_append_whole. */
static int append_value_superset(const struct match_test *test, struct buf *out)
{
    size_t value;
    int rc = expressions_append_literal(test->key, out);

    if (rc == 0)
        rc = buf_puts(out, "=");
    value = out->len;
    if (rc == 0)
        rc = buf_puts(out, "\"?(?:");
    if (rc == 0)
        rc = pattern_superset(test->text, out);
    if (rc == 0)
        rc = buf_puts(out, "\\E(?#\n(?#))");
    if (rc == ERR_INPUT) { /* any value, then */
        out->len = value;
        out->data[value] = 0;
        rc = 0;
    }
    return rc;
}

/* Whether the pass can hold it. Asked of each, because the compiler of all names one at a time. */
static bool is_sound(const char *expression)
{
    hs_compile_error_t *complaint = NULL;
    hs_expr_info_t *info = NULL;
    bool sound;

    if (hs_expression_info(expression, 0, &info, &complaint) != HS_SUCCESS) {
        hs_free_compile_error(complaint);
        return false;
    }
    sound = info->min_width > 0;
    free(info); /* allocated with malloc while hs_set_misc_allocator is not called */
    return sound;
}

/* ERR_INPUT: this one cannot be part of the pass. */
static int add_full(struct expressions *list, const struct match_test *test, unsigned id)
{
    struct buf text;
    int rc;

    buf_init(&text, SIZE_MAX / 8);
    rc = test->kind == MATCH_VALUE ? append_value_superset(test, &text)
                                   : pattern_superset(test->text, &text);
    if (rc == 0)
        rc = is_sound(buf_text(&text)) ? expressions_add(list, buf_text(&text), 0, id) : ERR_INPUT;
    buf_close(&text);
    return rc;
}

static int add_choice(struct match *m, struct plan *p, const struct choice *choice, bool full)
{
    const struct match_test *test = &m->tests[choice->test];
    int rc;

    if (choice->stretch != NULL && !full)
        return expressions_add_literal(&p->list, choice->stretch,
                                       choice->any_case ? HS_FLAG_CASELESS : 0, choice->test);
    rc = add_full(&p->list, test, choice->test);
    if (rc == ERR_INPUT) {
        m->always[m->n_always++] = choice->test;
        rc = 0;
    }
    return rc;
}

/* Every test with users goes into the list or into `always`. */
static int list_all(struct match *m, struct plan *p, size_t full_max)
{
    int rc = 0;

    for (uint32_t i = 0; rc == 0 && i < m->n_tests; i++) {
        if (m->tests[i].n_users == 0)
            continue;
        rc = m->tests[i].kind == MATCH_FIELD ? add_field(&p->list, &m->tests[i], i)
                                             : list_choice(p, &m->tests[i], i);
    }
    if (rc == 0)
        rc = choose(p);
    for (size_t i = 0; rc == 0 && i < p->n; i++)
        rc = add_choice(m, p, &p->choices[i], i < full_max);
    for (size_t i = 0; rc == 0 && i < SPECIAL_EXPRESSIONS; i++)
        rc = expressions_add(&p->list, special_expressions[i], 0, (unsigned)m->n_tests);
    return rc;
}

/* Their sum is too large for Hyperscan: every line is tried for everything. */
static void do_without(struct match *m)
{
    m->n_always = 0;
    for (uint32_t i = 0; i < m->n_tests; i++) {
        m->tests[i].settled = 0;
        if (m->tests[i].n_users > 0)
            m->always[m->n_always++] = i;
    }
}

/* What Hyperscan takes as it is it may find too large as its superset: "^([^a][^b]){260}c". */
static int compile(struct match *m, struct expressions *list, struct err *err)
{
    size_t culprit;
    int rc = expressions_compile(list, &m->pass, &culprit, err);

    for (int tries = 1; rc == ERR_INPUT && culprit != SIZE_MAX && tries < TRIES_MAX; tries++) {
        m->always[m->n_always++] = list->ids[culprit];
        expressions_remove(list, culprit);
        rc = expressions_compile(list, &m->pass, &culprit, err);
    }
    if (rc != ERR_INPUT)
        return rc;
    do_without(m);
    return 0;
}

int match_compile_pass(struct match *m, size_t full_max, struct err *err)
{
    struct plan p = {.choices = calloc(m->n_tests + 1, sizeof *p.choices)};
    int rc = ERR_NOMEM;

    buf_init(&p.text, SIZE_MAX / 8);
    if (p.choices != NULL)
        rc = list_all(m, &p, full_max);
    if (rc == 0)
        rc = compile(m, &p.list, err);
    expressions_close(&p.list);
    buf_close(&p.text);
    free(p.choices);
    return rc;
}
