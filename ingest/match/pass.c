/* Compiles the pass out of the criteria. The matcher calls it when it is made. */
#include "ingest/match/pass.h"

#include "ingest/match/expressions.h"
#include "ingest/match/literal.h"
#include "ingest/match/pattern.h"
#include "ingest/match/special.h"

#include <hs/hs.h>
#include <stdlib.h>
#include <string.h>

/* Hyperscan compiles literals at once, but similar expressions slow each other down: 125 of the
 * kind `user_id=[0-9a-f]{8,32} .*NAME.*failed` take 0.5 s. So the pass holds a bounded number of
 * expressions whole, and of each other one a stretch of bytes that all its matches hold. A stretch
 * that stands on every line ("service=") would make every line a candidate. Short stretches and
 * shared stretches are the likeliest to, so their expressions are held whole first. */
enum {
    STRETCH_MIN = 4, /* bytes; a shorter stretch is not used */
    SHARED_MAX = 8,  /* nor is one that stands in more expressions than this */
    TRIES_MAX = 3,   /* to compile the pass, each without one more expression */
};

/* An expression that is more than a stretch. */
struct choice {
    uint32_t criterion;
    bool any_case;
    size_t at;           /* the offset of its stretches in the plan's text */
    const char *stretch; /* the best of them, NULL if none is good */
    size_t len;
    size_t shared; /* how many expressions it stands in */
};

struct piece {
    const char *stretch;
    struct choice *choice;
};

struct plan {
    const struct criteria *criteria;
    struct pass *pass;
    struct expressions list; /* of the pass */
    struct choice *choices;
    size_t n;
    struct buf text; /* stretches, a zero behind each */
};

static int compare_pieces(const void *left, const void *right)
{
    return strcmp(((const struct piece *)left)->stretch, ((const struct piece *)right)->stretch);
}

/* The weakest first: without a stretch, then with a short one. */
static int compare_choices(const void *left, const void *right)
{
    const struct choice *a = left, *b = right;

    if (a->len != b->len)
        return a->len < b->len ? -1 : 1;
    return (a->criterion > b->criterion) - (a->criterion < b->criterion);
}

static int list_choice(struct plan *p, uint32_t index)
{
    const struct criterion *criterion = &p->criteria->items[index];
    struct literal_facts facts;
    size_t at = p->text.len;
    int rc = literal_stretches(criterion->text, &p->text, &facts);

    if (rc == 0 && facts.whole && criterion->kind == CRITERION_EXPRESSION) {
        if (!criterion->outside_quotes)
            p->pass->settled[index] = strlen(buf_text(&p->text) + at);
        rc = expressions_add_literal(&p->list, buf_text(&p->text) + at,
                                     facts.any_case ? HS_FLAG_CASELESS : 0, index);
        p->text.len = at;
        return rc;
    }
    if (rc == 0 && criterion->kind == CRITERION_VALUE)
        rc = buf_printf(&p->text, "%s=%c", criterion->key, '\0');
    p->choices[p->n++] = (struct choice){.criterion = index, .any_case = facts.any_case, .at = at};
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

/* Gives each expression the stretch that the fewest expressions share, and of those the longest. */
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

/* A line with the field holds KEY=VALUE or KEY="VALUE". */
static int add_field(struct expressions *list, const struct criterion *criterion, unsigned id)
{
    static const char *const quotes[] = {"", "\""};
    struct buf text;
    int rc = 0;

    buf_init(&text, SIZE_MAX / 8);
    for (size_t i = 0; rc == 0 && i < 2; i++) {
        buf_clear(&text);
        rc = buf_printf(&text, "%s=%s%s%s", criterion->key, quotes[i], criterion->text, quotes[i]);
        if (rc == 0)
            rc = expressions_add_literal(list, buf_text(&text), 0, id);
    }
    buf_close(&text);
    return rc;
}

/* The value's expression may leave a quotation or a comment open: see expression_append_whole. */
static int append_value_superset(const struct criterion *criterion, struct buf *out)
{
    size_t value;

    expressions_append_literal(criterion->key, out);
    buf_puts(out, "=");
    value = out->len;
    buf_puts(out, "\"?(?:");
    if (pattern_superset(criterion->text, out) == ERR_INPUT && out->failed == 0) {
        out->len = value; /* the pass then takes any value */
        out->data[value] = 0;
    } else {
        buf_puts(out, "\\E(?#\n(?#))");
    }
    return out->failed;
}

/* Whether the pass can hold the expression. Each is checked alone, as a compilation of all of them
 * names one culprit at a time. */
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

/* Returns ERR_INPUT if this expression cannot be part of the pass. */
static int add_whole(struct expressions *list, const struct criterion *criterion, unsigned id)
{
    struct buf text;
    int rc;

    buf_init(&text, SIZE_MAX / 8);
    rc = criterion->kind == CRITERION_VALUE ? append_value_superset(criterion, &text)
                                            : pattern_superset(criterion->text, &text);
    if (rc == 0)
        rc = is_sound(buf_text(&text)) ? expressions_add(list, buf_text(&text), 0, id) : ERR_INPUT;
    buf_close(&text);
    return rc;
}

static int add_choice(struct plan *p, const struct choice *choice, bool whole)
{
    int rc;

    if (choice->stretch != NULL && !whole)
        return expressions_add_literal(&p->list, choice->stretch,
                                       choice->any_case ? HS_FLAG_CASELESS : 0, choice->criterion);
    rc = add_whole(&p->list, &p->criteria->items[choice->criterion], choice->criterion);
    if (rc == ERR_INPUT) {
        p->pass->always[p->pass->n_always++] = choice->criterion;
        rc = 0;
    }
    return rc;
}

/* KEY=' for each key of a pair. */
static int add_quoted_keys(struct plan *p)
{
    const struct criteria *c = p->criteria;
    const char *last = "";
    struct buf text;
    int rc = 0;

    buf_init(&text, SIZE_MAX / 8);
    for (size_t i = 0; rc == 0 && i < c->n; i++) {
        if (strcmp(c->items[i].key, last) == 0)
            continue;
        last = c->items[i].key;
        buf_clear(&text);
        rc = buf_printf(&text, "%s='", last);
        if (rc == 0)
            rc = expressions_add_literal(&p->list, buf_text(&text), 0, pass_odd_pair(c));
    }
    buf_close(&text);
    return rc;
}

/* Each odd form of a pair holds one of these: see pass_odd_pair. All have three bytes or more.
 * Hyperscan looks at each second byte only if no literal is shorter, and a delivery without a match
 * then costs 18 % less with 1,000 rules. */
static int add_odd_pairs(struct plan *p)
{
    static const char *const forms[] = {" = ", "\\x1b\\[[0-9:;m]"}; /* the second is a colour */
    int rc = add_quoted_keys(p);

    for (size_t i = 0; rc == 0 && i < sizeof forms / sizeof *forms; i++)
        rc = expressions_add(&p->list, forms[i], 0, pass_odd_pair(p->criteria));
    return rc;
}

static int list_markers(struct plan *p)
{
    const struct criteria *c = p->criteria;
    bool pairs = c->n > 0 && c->items[c->n - 1].kind != CRITERION_EXPRESSION; /* they come last */
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < SPECIAL_EXPRESSIONS; i++)
        rc = expressions_add(&p->list, special_expressions[i], 0, pass_special(c));
    return rc == 0 && pairs ? add_odd_pairs(p) : rc;
}

/* Puts every criterion with users into the list or into `always`. */
static int list_all(struct plan *p, size_t whole_max)
{
    const struct criteria *c = p->criteria;
    int rc = 0;

    for (uint32_t i = 0; rc == 0 && i < c->n; i++) {
        if (c->items[i].n_users == 0)
            continue;
        rc = c->items[i].kind == CRITERION_FIELD ? add_field(&p->list, &c->items[i], i)
                                                 : list_choice(p, i);
    }
    if (rc == 0)
        rc = choose(p);
    for (size_t i = 0; rc == 0 && i < p->n; i++)
        rc = add_choice(p, &p->choices[i], i < whole_max);
    return rc == 0 ? list_markers(p) : rc;
}

/* Hyperscan refuses the sum of the expressions, so every line is tried for everything. */
static void do_without(struct plan *p)
{
    struct pass *pass = p->pass;

    pass->n_always = 0;
    for (uint32_t i = 0; i < p->criteria->n; i++) {
        pass->settled[i] = 0;
        if (p->criteria->items[i].n_users > 0)
            pass->always[pass->n_always++] = i;
    }
}

/* Hyperscan may take an expression and refuse its superset as too large: "^([^a][^b]){260}c". */
static int compile(struct plan *p, struct err *err)
{
    struct pass *pass = p->pass;
    size_t culprit;
    int rc = expressions_compile(&p->list, &pass->db, &culprit, err);

    for (int tries = 1; rc == ERR_INPUT && culprit != SIZE_MAX && tries < TRIES_MAX; tries++) {
        pass->always[pass->n_always++] = p->list.ids[culprit];
        expressions_remove(&p->list, culprit);
        rc = expressions_compile(&p->list, &pass->db, &culprit, err);
    }
    if (rc != ERR_INPUT)
        return rc;
    do_without(p);
    return 0;
}

int pass_open(struct pass *pass, const struct criteria *criteria, size_t whole_max, struct err *err)
{
    struct plan p = {
        .criteria = criteria, .pass = pass, .choices = calloc(criteria->n + 1, sizeof *p.choices)};
    int rc = ERR_NOMEM;

    *pass = (struct pass){.always = calloc(criteria->n + 1, sizeof *pass->always),
                          .settled = calloc(criteria->n + 1, sizeof *pass->settled)};
    buf_init(&p.text, SIZE_MAX / 8);
    if (p.choices != NULL && pass->always != NULL && pass->settled != NULL)
        rc = list_all(&p, whole_max);
    if (rc == 0)
        rc = compile(&p, err);
    expressions_close(&p.list);
    buf_close(&p.text);
    free(p.choices);
    return rc;
}

void pass_close(struct pass *p)
{
    hs_free_database(p->db);
    free(p->settled);
    free(p->always);
    *p = (struct pass){0};
}
