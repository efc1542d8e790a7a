/* Compiles and applies the `redact` expressions. excerpt calls it. */
#include "ingest/collect/redact.h"

#include "ingest/match/expressions.h"

#include <assert.h>
#include <hs/hs.h>
#include <stdlib.h>
#include <string.h>

static const char mark[] = "…";

/* An expression of the file (no rule) or of a rule, on the way to its id. */
struct use {
    const char *text;
    uint32_t rule;
    bool everywhere;
};

/* The ids of a rule's own expressions, a stretch of redact.ids. */
struct span {
    uint32_t first;
    uint32_t n;
};

struct redact {
    const struct rules *rules;
    struct hs_database *db; /* NULL: nothing is ever redacted */
    struct hs_scratch *scratch;
    uint32_t *ids;
    struct span *spans; /* of each rule */
    bool *everywhere;   /* of each expression: whether it is the file's */
    uint64_t *asked;    /* of each expression: serial of the last text that it was to be tried on */
    uint64_t serial;    /* of the text being redacted */
    uint32_t *beyond;   /* of each byte, and the end: see free_from */
    size_t beyond_cap;
};

/* ---- compiling ---- */

static int compare_uses(const void *left, const void *right)
{
    const struct use *a = left, *b = right;

    return strcmp(a->text, b->text);
}

static size_t count_uses(const struct rules *rules)
{
    size_t n = rules->redacts.n;

    for (size_t i = 0; i < rules->n; i++)
        n += rules->rules[i].redacts.n;
    return n;
}

static void list_uses(const struct rules *rules, struct use *out)
{
    for (size_t i = 0; i < rules->redacts.n; i++)
        *out++ = (struct use){.text = rules->redacts.items[i], .everywhere = true};
    for (uint32_t i = 0; i < rules->n; i++) {
        const struct rules_list *own = &rules->rules[i].redacts;

        for (size_t j = 0; j < own->n; j++)
            *out++ = (struct use){.text = own->items[j], .rule = i};
    }
}

static void place_spans(struct redact *r)
{
    uint32_t next = 0;

    for (size_t i = 0; i < r->rules->n; i++) {
        r->spans[i].first = next;
        next += (uint32_t)r->rules->rules[i].redacts.n;
    }
}

/* Lists each expression once, with who uses it. The uses are sorted. */
static int list_expressions(struct redact *r, const struct use *uses, size_t n,
                            struct expressions *list)
{
    int rc = 0;

    place_spans(r);
    for (size_t i = 0; rc == 0 && i < n; i++) {
        if (i == 0 || compare_uses(&uses[i - 1], &uses[i]) != 0)
            rc = expressions_add(list, uses[i].text, HS_FLAG_SOM_LEFTMOST, (unsigned)list->n);
        if (rc != 0)
            return rc;
        if (uses[i].everywhere) {
            r->everywhere[list->n - 1] = true;
        } else {
            struct span *span = &r->spans[uses[i].rule];

            r->ids[span->first + span->n++] = (uint32_t)(list->n - 1);
        }
    }
    return rc;
}

static int compile(struct redact *r, const struct use *uses, size_t n, struct err *err)
{
    struct expressions list = {0};
    int rc = list_expressions(r, uses, n, &list);

    if (rc == 0 && n > 0)
        rc = expressions_compile(&list, &r->db, NULL, err);
    if (rc == 0 && n > 0 && hs_alloc_scratch(r->db, &r->scratch) != HS_SUCCESS)
        rc = ERR_NOMEM;
    expressions_close(&list);
    return rc;
}

static bool alloc_tables(struct redact *r, size_t n_uses)
{
    r->ids = calloc(n_uses + 1, sizeof *r->ids);
    r->everywhere = calloc(n_uses + 1, sizeof *r->everywhere);
    r->asked = calloc(n_uses + 1, sizeof *r->asked);
    r->spans = calloc(r->rules->n + 1, sizeof *r->spans);
    return r->ids && r->everywhere && r->asked && r->spans;
}

int redact_new(const struct rules *rules, struct redact **out, struct err *err)
{
    size_t n = count_uses(rules);
    struct redact *r = calloc(1, sizeof *r);
    struct use *uses = calloc(n + 1, sizeof *uses);
    int rc = ERR_NOMEM;

    *out = NULL;
    if (r == NULL || uses == NULL)
        goto out;
    r->rules = rules;
    if (!alloc_tables(r, n))
        goto out;
    list_uses(rules, uses);
    qsort(uses, n, sizeof *uses, compare_uses);
    rc = compile(r, uses, n, err);
out:
    free(uses);
    if (rc == 0)
        *out = r;
    else
        redact_free(r);
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
    free(r->spans);
    free(r->asked);
    free(r->everywhere);
    free(r->ids);
    free(r);
}

bool redact_is_needed(const struct redact *r, uint32_t rule)
{
    assert(rule < r->rules->n);
    return r->rules->redacts.n > 0 || r->spans[rule].n > 0;
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

static int on_match(unsigned id, unsigned long long from, unsigned long long to, unsigned flags,
                    void *context)
{
    struct redact *r = context;

    (void)flags;
    if (!r->everywhere[id] && r->asked[id] != r->serial)
        return 0;
    for (uint32_t i = free_from(r->beyond, (uint32_t)from); i < to; i = free_from(r->beyond, i))
        r->beyond[i] = i + 1;
    return 0;
}

static int begin_text(struct redact *r, uint32_t rule, size_t n)
{
    const struct span *span = &r->spans[rule];

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
    r->serial++;
    for (uint32_t i = 0; i < span->n; i++)
        r->asked[r->ids[span->first + i]] = r->serial;
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
