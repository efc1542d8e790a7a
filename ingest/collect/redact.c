/* Compiles and applies the `redact` expressions. excerpt calls it. */
#include "ingest/collect/redact.h"

#include "ingest/match/expressions.h"

#include <assert.h>
#include <hs/hs.h>
#include <stdlib.h>
#include <string.h>

static const char mark[] = "…";

struct redact {
    const struct rules *rules;
    struct hs_database *db; /* NULL: nothing is ever redacted */
    struct hs_scratch *scratch;
    unsigned n_everywhere; /* ids below this are the file's expressions */
    unsigned *ids;         /* of the rules' own expressions, rule after rule */
    size_t *first;         /* of each rule, into `ids`; the last one is the end */
    uint32_t *alike;       /* of each rule: the first rule with the same expressions of its own */
    uint32_t rule;         /* whose text is being redacted */
    uint32_t *beyond;      /* of each byte, and the end: see free_from */
    size_t beyond_cap;
};

/* ---- compiling ---- */

/* Lists an expression, once however many rules have it. */
static int list_expression(struct expressions *list, const char *text, unsigned *id)
{
    for (*id = 0; *id < list->n; (*id)++) {
        if (strcmp(list->texts[*id], text) == 0)
            return 0;
    }
    return expressions_add(list, text, HS_FLAG_SOM_LEFTMOST, *id);
}

static int list_all(struct redact *r, struct expressions *list)
{
    const struct rules *rules = r->rules;
    size_t n = 0;
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < rules->redacts.n; i++)
        rc = list_expression(list, rules->redacts.items[i], &r->ids[0]);
    r->n_everywhere = (unsigned)list->n;
    for (size_t i = 0; i < rules->n; i++) {
        const struct rules_list *own = &rules->rules[i].redacts;

        for (size_t j = 0; rc == 0 && j < own->n; j++)
            rc = list_expression(list, own->items[j], &r->ids[n++]);
        r->first[i + 1] = n;
    }
    return rc;
}

static bool have_same(const struct redact *r, uint32_t a, uint32_t b)
{
    size_t n = r->first[a + 1] - r->first[a];

    return n == r->first[b + 1] - r->first[b] &&
           memcmp(r->ids + r->first[a], r->ids + r->first[b], n * sizeof *r->ids) == 0;
}

static void find_alike(struct redact *r)
{
    for (uint32_t i = 0; i < r->rules->n; i++) {
        while (!have_same(r, r->alike[i], i))
            r->alike[i]++;
    }
}

static int compile(struct redact *r, struct err *err)
{
    struct expressions list = {0};
    int rc = list_all(r, &list);

    if (rc == 0 && list.n > 0)
        rc = expressions_compile(&list, &r->db, NULL, err);
    if (rc == 0 && list.n > 0 && hs_alloc_scratch(r->db, &r->scratch) != HS_SUCCESS)
        rc = ERR_NOMEM;
    expressions_close(&list);
    return rc;
}

int redact_new(const struct rules *rules, struct redact **out, struct err *err)
{
    struct redact *r = calloc(1, sizeof *r);
    size_t n_own = 0;
    int rc = ERR_NOMEM;

    *out = NULL;
    if (r == NULL)
        goto out;
    for (size_t i = 0; i < rules->n; i++)
        n_own += rules->rules[i].redacts.n;
    r->rules = rules;
    r->ids = calloc(n_own + 1, sizeof *r->ids);
    r->first = calloc(rules->n + 1, sizeof *r->first);
    r->alike = calloc(rules->n + 1, sizeof *r->alike);
    if (r->ids != NULL && r->first != NULL && r->alike != NULL)
        rc = compile(r, err);
    if (rc == 0) {
        find_alike(r);
        *out = r;
    } else {
        redact_free(r);
    }
out:
    if (rc == ERR_NOMEM)
        err_set(err, rc, "redact: no memory to compile the expressions");
    return rc;
}

void redact_free(struct redact *r)
{
    if (r == NULL)
        return;
    hs_free_scratch(r->scratch);
    hs_free_database(r->db);
    free(r->beyond);
    free(r->alike);
    free(r->first);
    free(r->ids);
    free(r);
}

bool redact_is_needed(const struct redact *r, uint32_t rule)
{
    assert(rule < r->rules->n);
    return r->rules->redacts.n > 0 || r->rules->rules[rule].redacts.n > 0;
}

uint32_t redact_alike(const struct redact *r, uint32_t rule)
{
    assert(rule < r->rules->n);
    return r->alike[rule];
}

/* ---- one text ---- */

/* The first byte at or behind `i` that no match has covered so far. `beyond[i]` is `i` for such a
 * byte, else one on the way to the next. The paths are halved as they are walked, so that each byte
 * is covered once: ".*x" alone can report as many stretches as there are bytes, each of them from
 * the first byte on. */
static uint32_t free_from(uint32_t *beyond, uint32_t i)
{
    while (beyond[i] != i)
        i = beyond[i] = beyond[beyond[i]];
    return i;
}

static bool is_asked(const struct redact *r, unsigned id)
{
    bool asked = id < r->n_everywhere;

    for (size_t i = r->first[r->rule]; !asked && i < r->first[r->rule + 1]; i++)
        asked = r->ids[i] == id;
    return asked;
}

static int on_match(unsigned id, unsigned long long from, unsigned long long to, unsigned flags,
                    void *context)
{
    struct redact *r = context;

    (void)flags;
    if (!is_asked(r, id))
        return 0;
    for (uint32_t i = free_from(r->beyond, (uint32_t)from); i < to; i = free_from(r->beyond, i))
        r->beyond[i] = i + 1;
    return 0;
}

static int begin_text(struct redact *r, uint32_t rule, size_t n)
{
    assert(n < UINT32_MAX);
    if (n >= r->beyond_cap) {
        uint32_t *beyond = reallocarray(r->beyond, n + 1, sizeof *beyond);

        if (beyond == NULL)
            return ERR_NOMEM;
        r->beyond = beyond;
        r->beyond_cap = n + 1;
    }
    for (uint32_t i = 0; i <= n; i++)
        r->beyond[i] = i;
    r->rule = rule;
    return 0;
}

/* The text with a mark for each run of covered bytes. */
static int append_rest(struct redact *r, const char *text, size_t n, struct buf *out)
{
    uint32_t at = 0;
    int rc = 0;

    while (rc == 0 && at < n) {
        uint32_t end = free_from(r->beyond, at);

        if (end > at) {
            rc = buf_puts(out, mark);
        } else {
            while (end < n && r->beyond[end] == end)
                end++;
            rc = buf_append(out, text + at, end - at);
        }
        at = end;
    }
    return rc;
}

int redact_append(struct redact *r, uint32_t rule, const char *text, size_t n, struct buf *out)
{
    size_t before = out->len;
    int rc;

    if (!redact_is_needed(r, rule) || n == 0)
        return buf_append(out, text, n);
    rc = begin_text(r, rule, n);
    if (rc == 0 && hs_scan(r->db, text, (unsigned)n, 0, r->scratch, on_match, r) != HS_SUCCESS)
        rc = ERR_IO;
    if (rc == 0)
        rc = append_rest(r, text, n, out);
    if (rc != 0 && out->data != NULL) {
        out->len = before;
        out->data[before] = 0;
    }
    return rc;
}
