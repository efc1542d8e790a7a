/* A list of expressions, and the Hyperscan database made from it. Pure. */
#ifndef DRAINWATCH_INGEST_MATCH_EXPRESSIONS_H
#define DRAINWATCH_INGEST_MATCH_EXPRESSIONS_H

#include "common/base/buf.h"
#include "common/base/err.h"

#include <stddef.h>
#include <stdint.h>

struct hs_database;

/* Zero it to begin. */
struct expressions {
    char **texts;
    unsigned *flags; /* HS_FLAG_… */
    unsigned *ids;   /* the number in a report; several may share one */
    size_t n;
    size_t cap;
};

/* Return 0 or ERR_NOMEM. A literal may hold any bytes. */
int expressions_add(struct expressions *list, const char *text, unsigned flags, unsigned id);
int expressions_add_literal(struct expressions *list, const char *bytes, unsigned flags,
                            unsigned id);
/* Appends the expression that stands for these bytes. */
void expressions_append_literal(const char *bytes, struct buf *out);
void expressions_remove(struct expressions *list, size_t index);
void expressions_close(struct expressions *list);

/* Makes a database for whole blocks, which the caller frees with hs_free_database. Returns 0,
 * ERR_NOMEM, or ERR_INPUT if Hyperscan refuses an expression or the sum of them. `culprit` may be
 * NULL; with ERR_INPUT it gets the index of the refused expression, or SIZE_MAX. */
int expressions_compile(const struct expressions *list, struct hs_database **out, size_t *culprit,
                        struct err *err);

#endif
