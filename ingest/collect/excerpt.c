/* Takes samples and group values out of messages. collect calls it. */
#include "ingest/collect/excerpt.h"

#include "common/base/err.h"
#include "common/base/hash.h"
#include "common/base/text.h"
#include "ingest/match/logfmt.h"

#include <assert.h>
#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

enum {
    /* Of a message in which every other byte became a "…" of three, twice. */
    MESSAGE_MAX = 4 * LINE_BYTES_MAX + 8,
    KEEP_BYTES = 32 << 10, /* Logplex cuts a line at 10,000 bytes (logplex.app.src) */
    UUID_BYTES = 36,
    HEX_MIN = 16,
};

static const char ellipsis[] = "\xe2\x80\xa6"; /* "…" */
enum { MARK = sizeof ellipsis - 1 };

void excerpt_init(struct excerpt *e)
{
    *e = (struct excerpt){0};
    buf_init(&e->message, MESSAGE_MAX);
    buf_init(&e->copy, MESSAGE_MAX);
    buf_init(&e->shown, MESSAGE_MAX);
    buf_init(&e->value, EXCERPT_VALUE_MAX);
}

void excerpt_close(struct excerpt *e)
{
    buf_close(&e->value);
    buf_close(&e->shown);
    buf_close(&e->copy);
    buf_close(&e->message);
}

size_t excerpt_bytes(const struct excerpt *e)
{
    return e->message.cap + e->copy.cap + e->shown.cap;
}

static void close_large(struct buf *b)
{
    if (b->cap > KEEP_BYTES)
        buf_close(b);
}

void excerpt_begin(struct excerpt *e, const struct rulebook *book)
{
    close_large(&e->message);
    close_large(&e->copy);
    close_large(&e->shown);
    e->rules = rulebook_rules(book);
    e->match = rulebook_match(book);
    e->redact = rulebook_redact(book);
    excerpt_forget(e);
}

void excerpt_forget(struct excerpt *e)
{
    e->source = (struct line_text){0};
}

/* Secrets go first: an expression could take the name that a secret is known by, and leave the
 * secret. */
static void redact_secrets(struct buf *text)
{
    text->len = text_redact_line((char *)text->data, text->len);
}

/* Redacts what the rule's expressions match, in the place of `text`. */
static int redact_matches(struct excerpt *e, uint32_t rule, struct buf *text)
{
    struct buf redacted = e->copy;

    e->copy = *text;
    *text = redacted;
    buf_clear(text);
    return redact_append(e->redact, rule, buf_text(&e->copy), e->copy.len, text);
}

static int redact_message(struct excerpt *e, uint32_t rule)
{
    redact_secrets(&e->message);
    return redact_is_needed(e->redact, rule) ? redact_matches(e, rule, &e->message) : 0;
}

static int make_message(struct excerpt *e, uint32_t rule, struct line_text message)
{
    int rc;

    buf_clear(&e->message);
    rc = buf_append(&e->message, message.data, message.len);
    if (rc == 0)
        rc = redact_message(e, rule);
    if (rc != 0 || memchr(buf_text(&e->message), '\033', e->message.len) == NULL)
        return rc;
    e->message.len = text_strip_terminal((char *)e->message.data, e->message.len);
    return redact_message(e, rule);
}

/* Makes the message as the rule may show it, unless it is there. After an error none of it may be
 * shown. */
static int read_message(struct excerpt *e, uint32_t rule, struct line_text message)
{
    uint32_t alike = redact_alike(e->redact, rule);
    int rc;

    if (message.len > 0 && message.data == e->source.data && message.len == e->source.len &&
        alike == e->alike)
        return 0;
    excerpt_forget(e);
    rc = make_message(e, rule, message);
    if (rc == 0) {
        e->source = message;
        e->alike = alike;
    }
    return rc;
}

/* ---- samples ---- */

/* Appends the stretch of the message from `start` on, but never a part of a character. */
static int append_stretch(const struct buf *message, size_t start, struct buf *out)
{
    const char *text = buf_text(message);
    size_t room = start > 0 ? WIRE_SAMPLE_MAX - MARK : WIRE_SAMPLE_MAX, n;
    int rc = start > 0 ? buf_puts(out, ellipsis) : 0;

    while (start < message->len && (text[start] & 0xc0) == 0x80)
        start++;
    n = message->len - start;
    if (n > room)
        n = text_cut(text + start, n, room - MARK);
    if (rc == 0)
        rc = buf_append(out, text + start, n);
    return rc == 0 && start + n < message->len ? buf_puts(out, ellipsis) : rc;
}

/* Where the sample begins if the match ends at `at`: at the message's beginning if that leaves some
 * text behind the match, else half a sample before the match. */
static size_t sample_start(size_t at, size_t len)
{
    enum { HALF = WIRE_SAMPLE_MAX / 2, BEHIND = WIRE_SAMPLE_MAX / 8 };
    size_t last = len - (WIRE_SAMPLE_MAX - MARK);

    if (at + BEHIND <= WIRE_SAMPLE_MAX)
        return 0;
    return at - HALF < last ? at - HALF : last;
}

int excerpt_sample(struct excerpt *e, uint32_t rule, struct line_text message, struct buf *out)
{
    size_t start = 0, at;
    int rc;

    buf_clear(out);
    rc = read_message(e, rule, message);
    if (rc != 0)
        return rc == ERR_NOMEM ? rc : 0;
    if (e->message.len > WIRE_SAMPLE_MAX &&
        match_find(e->match, rule, buf_text(&e->message), e->message.len, &at))
        start = sample_start(at, e->message.len);
    return append_stretch(&e->message, start, out);
}

/* ---- values ---- */

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

/* Writes a long value's beginning, "…" and a hash of the whole. */
static int shorten_value(struct buf *value, const char *bytes, size_t n)
{
    enum { HASH_DIGITS = 16 };
    uint64_t hash = hash_finish(hash_add(HASH_START, bytes, n));

    value->len = text_cut(buf_text(value), value->len, EXCERPT_VALUE_MAX - MARK - HASH_DIGITS);
    return buf_printf(value, "%s%016" PRIx64, ellipsis, hash);
}

static int append_value(struct excerpt *e, const char *bytes, size_t n, struct buf *out)
{
    int rc;

    buf_clear(&e->value);
    rc = text_append_printable(&e->value, bytes, n);
    if (rc == ERR_FULL)
        rc = shorten_value(&e->value, bytes, n);
    if (rc != 0)
        return rc;
    return buf_append(out, buf_text(&e->value), e->value.len + 1);
}

static size_t count_of(const char *bytes, size_t n, const char *set)
{
    size_t count = 0;

    for (size_t i = 0; i < n; i++)
        count += bytes[i] != '\0' && strchr(set, bytes[i]) != NULL;
    return count;
}

static bool is_uuid(const char *s, size_t n, size_t n_hex)
{
    return n == UUID_BYTES && n_hex == n - 4 && s[8] == '-' && s[13] == '-' && s[18] == '-' &&
           s[23] == '-';
}

/* Whether the segment is a number, a UUID, or 16 and more hex digits of which one is 0 to 9. */
static bool is_id(const char *s, size_t n)
{
    size_t digits = count_of(s, n, "0123456789");
    size_t hex = digits + count_of(s, n, "abcdefABCDEF");

    if (n == 0 || digits == 0)
        return false;
    return digits == n || (hex == n && n >= HEX_MIN) || is_uuid(s, n, hex);
}

/* Appends the path with ":id" in the place of each segment that is an id. */
static int append_folded(const char *path, size_t n, struct buf *out)
{
    size_t start = 0;
    int rc = 0;

    while (rc == 0 && start < n) {
        const char *slash = memchr(path + start, '/', n - start);
        size_t end = slash != NULL ? (size_t)(slash - path) : n;

        rc = is_id(path + start, end - start) ? buf_puts(out, ":id")
                                              : buf_append(out, path + start, end - start);
        if (rc == 0 && slash != NULL)
            rc = buf_append(out, "/", 1);
        start = end + 1;
    }
    return rc;
}

static bool is_alike(const struct buf *shown, struct line_text other)
{
    return shown->len == other.len && memcmp(buf_text(shown), other.data, other.len) == 0;
}

/* Makes the content of a pair as the rule may show it. Where a pair ends is read from the message
 * as it came, because redaction may take a quote, and a visitor's text then stands outside. An
 * expression may need the text around the content: so it must be alike in the redacted message.
 * Returns 0; ERR_INPUT: it must not be shown; or another error. */
static int show_content(struct excerpt *e, uint32_t rule, struct line_text content,
                        struct line_text redacted)
{
    int rc;

    buf_clear(&e->shown);
    rc = buf_append(&e->shown, content.data, content.len);
    if (rc != 0)
        return rc;
    e->shown.len = text_strip_terminal((char *)e->shown.data, e->shown.len);
    redact_secrets(&e->shown);
    if (!redact_is_needed(e->redact, rule) || is_alike(&e->shown, redacted))
        return 0;
    rc = redact_matches(e, rule, &e->shown);
    return rc != 0 ? rc : is_alike(&e->shown, redacted) ? 0 : ERR_INPUT;
}

static int append_path(struct excerpt *e, const struct rule *rule, struct buf *out)
{
    int rc;

    if (!rule->fold_ids)
        return append_value(e, buf_text(&e->shown), e->shown.len, out);
    buf_clear(&e->copy);
    rc = append_folded(buf_text(&e->shown), e->shown.len, &e->copy);
    return rc == 0 ? append_value(e, buf_text(&e->copy), e->copy.len, out) : rc;
}

/* A path counts without its query, which differs from one visitor to the next. */
static struct line_text content_of(const struct logfmt_pair *pair, bool is_path)
{
    struct line_text content = pair->content;
    const char *query = is_path && content.len > 0 ? memchr(content.data, '?', content.len) : NULL;

    if (query != NULL)
        content.len = (size_t)(query - content.data);
    return content;
}

/* `redacted` is the pair in the redacted message. */
static int append_pair(struct excerpt *e, uint32_t index, const char *key,
                       const struct logfmt_pair *pair, const struct logfmt_pair *redacted,
                       struct buf *out)
{
    const bool is_path = strcmp(key, "path") == 0;
    int rc;

    if (pair->key.data == NULL || pair->cut)
        return append_value(e, "", 0, out);
    rc = text_is_secret_key(key)
             ? ERR_INPUT
             : show_content(e, index, content_of(pair, is_path), content_of(redacted, is_path));
    if (rc == ERR_INPUT || rc == ERR_IO)
        return buf_append(out, ellipsis, sizeof ellipsis);
    if (rc != 0)
        return rc;
    return is_path ? append_path(e, &e->rules->rules[index], out)
                   : append_value(e, buf_text(&e->shown), e->shown.len, out);
}

/* Finds the first pair of each key. A key without a pair keeps an empty one. */
static void find_pairs(struct line_text message, const char *const *keys, size_t n,
                       struct logfmt_pair *found)
{
    struct logfmt_pair pair;
    struct logfmt pairs;
    size_t missing = n;

    memset(found, 0, n * sizeof *found);
    logfmt_begin(&pairs, message.data, message.len);
    while (missing > 0 && logfmt_next(&pairs, &pair)) {
        for (size_t i = 0; i < n; i++) {
            if (found[i].key.data == NULL && line_text_is(pair.key, keys[i])) {
                found[i] = pair;
                missing--;
            }
        }
    }
}

int excerpt_append_values(struct excerpt *e, uint32_t index, struct line_text message,
                          struct buf *out)
{
    const struct rule *rule = &e->rules->rules[index];
    struct logfmt_pair found[RULES_GROUP_BY_MAX], redacted[RULES_GROUP_BY_MAX] = {0};
    const char *keys[RULES_GROUP_BY_MAX];
    size_t n = excerpt_keys(rule, keys);
    int rc = 0;

    if (n == 0)
        return 0;
    if (redact_is_needed(e->redact, index)) {
        rc = read_message(e, index, message);
        if (rc == 0)
            find_pairs((struct line_text){buf_text(&e->message), e->message.len}, keys, n,
                       redacted);
    }
    if (rc != 0)
        return rc == ERR_NOMEM ? rc : excerpt_append_no_values(rule, out);
    find_pairs(message, keys, n, found);
    for (size_t i = 0; rc == 0 && i < n; i++)
        rc = append_pair(e, index, keys[i], &found[i], &redacted[i], out);
    return rc;
}

int excerpt_append_no_values(const struct rule *rule, struct buf *out)
{
    const char *keys[RULES_GROUP_BY_MAX];
    int rc = 0;

    for (size_t n = excerpt_keys(rule, keys); rc == 0 && n > 0; n--)
        rc = buf_append(out, ellipsis, sizeof ellipsis);
    return rc;
}
