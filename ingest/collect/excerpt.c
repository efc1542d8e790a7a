#include "ingest/collect/excerpt.h"

#include "common/base/err.h"
#include "common/base/text.h"
#include "common/record/wire.h"
#include "ingest/match/logfmt.h"

#include <assert.h>
#include <stdbool.h>
#include <string.h>

enum {
    /* Of a message, where every other byte became a "…" of three. */
    MESSAGE_MAX = 2 * LINE_BYTES_MAX + 4,
    KEEP_BYTES = 32 << 10, /* Logplex cuts a line at 10,000 bytes (logplex.app.src) */
};

static const char hidden[] = "\xe2\x80\xa6"; /* "…" */

void excerpt_init(struct excerpt *e, size_t value_max)
{
    *e = (struct excerpt){0};
    buf_init(&e->message, MESSAGE_MAX);
    buf_init(&e->copy, LINE_BYTES_MAX);
    buf_init(&e->value, value_max);
}

void excerpt_close(struct excerpt *e)
{
    buf_close(&e->value);
    buf_close(&e->copy);
    buf_close(&e->message);
}

void excerpt_begin(struct excerpt *e, const struct rulebook *book)
{
    if (e->message.cap > KEEP_BYTES)
        buf_close(&e->message);
    if (e->copy.cap > KEEP_BYTES)
        buf_close(&e->copy);
    e->rules = rulebook_rules(book);
    e->redact = rulebook_redact(book);
}

static int copy_without_tokens(struct line_text message, struct buf *out)
{
    int rc;

    buf_clear(out);
    rc = buf_append(out, message.data, message.len);
    if (rc == 0)
        out->len = text_redact_token((char *)out->data, out->len);
    return rc;
}

/* Makes the message as the rule may show it. Tokens go first: an expression could take the name
 * that a token is known by, and not the token. Returns 0, ERR_NOMEM, or whatever else says that
 * none of it may be shown. */
static int read_message(struct excerpt *e, uint32_t rule, struct line_text message)
{
    int rc;

    if (!redact_is_needed(e->redact, rule))
        return copy_without_tokens(message, &e->message);
    buf_clear(&e->message);
    rc = copy_without_tokens(message, &e->copy);
    return rc != 0 ? rc
                   : redact_append(e->redact, rule, buf_text(&e->copy), e->copy.len, &e->message);
}

/* --------------------------------------------------------------------------------------- samples
 */

/* Where nothing but drain tokens is to be redacted, what lies far behind the cut need not be
 * copied. */
static int copy_sample(struct line_text message, struct buf *out)
{
    size_t n = text_cut(message.data, message.len, 2 * WIRE_SAMPLE_MAX);
    int rc = buf_append(out, message.data, n);

    if (rc != 0)
        return rc;
    n = text_redact_token((char *)out->data, n);
    out->len = text_cut((const char *)out->data, n, WIRE_SAMPLE_MAX);
    return 0;
}

int excerpt_sample(struct excerpt *e, uint32_t rule, struct line_text message, struct buf *out)
{
    int rc;

    buf_clear(out);
    if (!redact_is_needed(e->redact, rule))
        return copy_sample(message, out);
    rc = read_message(e, rule, message);
    if (rc != 0)
        return rc == ERR_NOMEM ? rc : 0;
    return buf_append(out, e->message.data,
                      text_cut(buf_text(&e->message), e->message.len, WIRE_SAMPLE_MAX));
}

/* ---------------------------------------------------------------------------------------- values
 */

size_t excerpt_keys(const struct rule *rule, const char *keys[RULES_GROUP_BY_MAX])
{
    size_t n = 0;

    assert(rule->group_by.n <= RULES_GROUP_BY_MAX);
    for (size_t i = 0; i < rule->group_by.n; i++) {
        if (strcmp(rule->group_by.items[i], "process") != 0)
            keys[n++] = rule->group_by.items[i];
    }
    return n;
}

static int append_value(struct excerpt *e, const char *bytes, size_t n, struct buf *out)
{
    int rc;

    buf_clear(&e->value);
    rc = text_append_printable(&e->value, bytes, n);
    if (rc == ERR_NOMEM)
        return rc;
    return buf_append(out, buf_text(&e->value), e->value.len + 1);
}

/* Finds the first pair of each key; one that is not there stays empty. */
static void find_pairs(const struct buf *message, const char *const *keys, size_t n,
                       struct logfmt_pair *found)
{
    struct logfmt_pair pair;
    size_t at = 0, missing = n;

    memset(found, 0, n * sizeof *found);
    while (missing > 0 && logfmt_next(buf_text(message), message->len, &at, &pair)) {
        for (size_t i = 0; i < n; i++) {
            if (found[i].key == NULL && strlen(keys[i]) == pair.key_len &&
                memcmp(keys[i], pair.key, pair.key_len) == 0) {
                found[i] = pair;
                missing--;
            }
        }
    }
}

int excerpt_values(struct excerpt *e, uint32_t rule, struct line_text message, struct buf *out)
{
    struct logfmt_pair found[RULES_GROUP_BY_MAX];
    const char *keys[RULES_GROUP_BY_MAX];
    size_t n = excerpt_keys(&e->rules->rules[rule], keys);
    int rc;

    buf_clear(out);
    if (n == 0)
        return 0;
    rc = read_message(e, rule, message);
    if (rc != 0)
        return rc == ERR_NOMEM ? rc : excerpt_no_values(&e->rules->rules[rule], out);
    find_pairs(&e->message, keys, n, found);
    for (size_t i = 0; rc == 0 && i < n; i++) {
        bool known = found[i].key != NULL && !found[i].cut;

        rc = append_value(e, known ? found[i].content : "", known ? found[i].content_len : 0, out);
    }
    return rc;
}

int excerpt_no_values(const struct rule *rule, struct buf *out)
{
    const char *keys[RULES_GROUP_BY_MAX];
    int rc = 0;

    buf_clear(out);
    for (size_t n = excerpt_keys(rule, keys); rc == 0 && n > 0; n--)
        rc = buf_append(out, hidden, sizeof hidden);
    return rc;
}
