/* What a record shows of a message: a sample line, and the values that tell a rule's groups apart.
 *
 * Whatever is taken out goes through the rules' `redact` expressions first and as a whole, for an
 * expression may need what stands around a secret to know it; then drain tokens go; only then is it
 * cut. Where redaction fails nothing of the message is shown. Pure. */
#ifndef DRAINWATCH_INGEST_COLLECT_EXCERPT_H
#define DRAINWATCH_INGEST_COLLECT_EXCERPT_H

#include "common/base/buf.h"
#include "common/rules/rules.h"
#include "ingest/collect/rulebook.h"
#include "ingest/input/line.h"

#include <stddef.h>
#include <stdint.h>

struct excerpt {
    const struct rules *rules;
    struct redact *redact; /* made from the same rules */
    struct buf message;    /* as it may be shown */
    struct buf copy;       /* without drain tokens, on the way there */
    struct buf value;
};

/* A group's value has at most `value_max` bytes. */
void excerpt_init(struct excerpt *e, size_t value_max);
void excerpt_close(struct excerpt *e);

/* Works for these rules from here on, and gives an unusual amount of memory back. */
void excerpt_begin(struct excerpt *e, const struct rulebook *book);

/* Writes the sample line, cut to WIRE_SAMPLE_MAX bytes; nothing where it must not be shown. `out`
 * has room for twice as much. Returns 0 or ERR_NOMEM. */
int excerpt_sample(struct excerpt *e, uint32_t rule, struct line_text message, struct buf *out);

/* How many keys of the rule's group_by are read from messages: all but "process". */
size_t excerpt_keys(const struct rule *rule, const char *keys[RULES_GROUP_BY_MAX]);

/* Writes one value for each of these keys, as printable text with a zero byte behind it: the
 * content of the first pair with this key outside of quotes, "" where there is none or its end is
 * not known, "…" where it must not be shown. Returns 0 or ERR_NOMEM. */
int excerpt_values(struct excerpt *e, uint32_t rule, struct line_text message, struct buf *out);

/* Writes "…" for each of them. Returns 0 or ERR_NOMEM. */
int excerpt_no_values(const struct rule *rule, struct buf *out);

#endif
