/* The parts of a message that a record shows: a sample line, and the values that tell a rule's
 * groups apart.
 *
 * A sample goes through redaction first, in this order: the secrets of text_redact_line, then the
 * rules' `redact` expressions on the whole message, as an expression may need the text around a
 * secret. A message with terminal sequences is redacted again after these are removed, as they
 * could split a secret. Only then is it cut. If redaction fails, nothing of the message is shown.
 * Many rules can match a line, so the last message is kept as it may be shown.
 *
 * Pairs are read from the message as it came, so that a group is named by the text that `field`
 * sees, and no visitor can change where a pair ends. Each value is then redacted. If the rule has
 * expressions, a value that stands differently in the redacted message is not shown. Pure. */
#ifndef DRAINWATCH_INGEST_COLLECT_EXCERPT_H
#define DRAINWATCH_INGEST_COLLECT_EXCERPT_H

#include "common/base/buf.h"
#include "common/record/wire.h"
#include "common/rules/rules.h"
#include "ingest/collect/rulebook.h"
#include "ingest/input/line.h"

#include <stddef.h>
#include <stdint.h>

enum {
    EXCERPT_VALUE_MAX = 256, /* bytes of a group's value: all groups of a flood are stored */
    EXCERPT_VALUE_SIZE = EXCERPT_VALUE_MAX + 1,
};

struct excerpt {
    const struct rules *rules;
    struct match *match;
    struct redact *redact;
    struct buf message;      /* as it may be shown */
    struct line_text source; /* the message that `message` was made of; NULL: none */
    uint32_t alike;          /* for the rules that hide the same as this one */
    struct buf copy;         /* without drain tokens, on the way there */
    struct buf shown;        /* a pair's content as it may be shown */
    struct buf value;
};

void excerpt_init(struct excerpt *e);
void excerpt_close(struct excerpt *e);
size_t excerpt_bytes(const struct excerpt *e); /* of memory that grows with the lines */

/* Starts a delivery under this book, which the caller holds. Frees the memory of an unusually large
 * delivery before. */
void excerpt_begin(struct excerpt *e, const struct rulebook *book);
/* To be called before the bytes of a message that it got may change or go. */
void excerpt_forget(struct excerpt *e);

/* Writes the sample line; nothing if it must not be shown. A message of more than WIRE_SAMPLE_MAX
 * bytes is cut to the stretch around the rule's match, with "…" at each cut. Returns 0 or
 * ERR_NOMEM.
 */
int excerpt_sample(struct excerpt *e, uint32_t rule, struct line_text message, struct buf *out);

/* Lists the keys of the rule's group_by that are read from messages: all but "process". Returns
 * their number. */
size_t excerpt_keys(const struct rule *rule, const char *keys[RULES_GROUP_BY_MAX]);

/* Appends one value for each of these keys, as printable text with a zero byte after it: the
 * content of the first pair with the key, of `path` without the query and with its ids folded if
 * the rule says so. It is "" if there is no such pair or its end is not known, and "…" if it must
 * not be shown. A longer value than EXCERPT_VALUE_MAX is cut and ends in "…" and a hash of all of
 * it, so that values which differ stay different. Returns 0 or ERR_NOMEM. */
int excerpt_append_values(struct excerpt *e, uint32_t index, struct line_text message,
                          struct buf *out);

/* Appends "…" for each of them. Returns 0 or ERR_NOMEM. */
int excerpt_append_no_values(const struct rule *rule, struct buf *out);

#endif
