/* Compiles lists of expressions with Hyperscan. The pass, the matcher and redact call it. */
#include "ingest/match/expressions.h"

#include "common/base/buf.h"

#include <hs/hs.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_CAP = 16 };

static int grow(struct expressions *list)
{
    size_t cap = list->cap > 0 ? list->cap * 2 : FIRST_CAP;
    char **texts = reallocarray(list->texts, cap, sizeof *texts);
    unsigned *flags, *ids;

    if (texts == NULL)
        return ERR_NOMEM;
    list->texts = texts;
    flags = reallocarray(list->flags, cap, sizeof *flags);
    if (flags == NULL)
        return ERR_NOMEM;
    list->flags = flags;
    ids = reallocarray(list->ids, cap, sizeof *ids);
    if (ids == NULL)
        return ERR_NOMEM;
    list->ids = ids;
    list->cap = cap;
    return 0;
}

int expressions_add(struct expressions *list, const char *text, unsigned flags, unsigned id)
{
    int rc = list->n == list->cap ? grow(list) : 0;

    if (rc != 0)
        return rc;
    list->texts[list->n] = strdup(text);
    if (list->texts[list->n] == NULL)
        return ERR_NOMEM;
    list->flags[list->n] = flags;
    list->ids[list->n] = id;
    list->n++;
    return 0;
}

void expressions_append_literal(const char *bytes, struct buf *out)
{
    for (; *bytes != '\0'; bytes++)
        buf_printf(out, "\\x%02x", (unsigned char)*bytes);
}

int expressions_add_literal(struct expressions *list, const char *bytes, unsigned flags,
                            unsigned id)
{
    struct buf text;
    int rc;

    /* Literals and expressions cannot share a database, but an escaped literal is an expression. */
    buf_init(&text, SIZE_MAX / 8);
    expressions_append_literal(bytes, &text);
    rc = text.failed != 0 ? text.failed : expressions_add(list, buf_text(&text), flags, id);
    buf_close(&text);
    return rc;
}

void expressions_remove(struct expressions *list, size_t index)
{
    size_t behind = list->n - index - 1;

    free(list->texts[index]);
    memmove(list->texts + index, list->texts + index + 1, behind * sizeof *list->texts);
    memmove(list->flags + index, list->flags + index + 1, behind * sizeof *list->flags);
    memmove(list->ids + index, list->ids + index + 1, behind * sizeof *list->ids);
    list->n--;
}

void expressions_close(struct expressions *list)
{
    for (size_t i = 0; i < list->n; i++)
        free(list->texts[i]);
    free(list->texts);
    free(list->flags);
    free(list->ids);
    *list = (struct expressions){0};
}

/* Only Hyperscan's message tells a lack of memory from a bad expression. */
static int explain(const struct expressions *list, const hs_compile_error_t *complaint,
                   struct err *err)
{
    if (complaint == NULL || strstr(complaint->message, "allocate memory") != NULL)
        return err_set(err, ERR_NOMEM, "no memory to compile expressions");
    if (complaint->expression >= 0)
        return err_set(err, ERR_INPUT, "expression \"%.200s\": %.300s",
                       list->texts[complaint->expression], complaint->message);
    return err_set(err, ERR_INPUT, "all expressions together: %.300s (use fewer, or simpler ones)",
                   complaint->message);
}

int expressions_compile(const struct expressions *list, struct hs_database **out, size_t *culprit,
                        struct err *err)
{
    hs_compile_error_t *complaint = NULL;
    int rc;

    *out = NULL;
    if (culprit != NULL)
        *culprit = SIZE_MAX;
    if (hs_compile_multi((const char *const *)list->texts, list->flags, list->ids,
                         (unsigned)list->n, HS_MODE_BLOCK, NULL, out, &complaint) == HS_SUCCESS)
        return 0;
    rc = explain(list, complaint, err);
    if (culprit != NULL && complaint != NULL && complaint->expression >= 0)
        *culprit = (size_t)complaint->expression;
    hs_free_compile_error(complaint);
    return rc;
}
