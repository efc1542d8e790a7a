/* Reads YAML mappings and their values; called by the readers of rules and of rule tests. */
#include "common/rules/yamlmap.h"

#include "common/base/nearest.h"
#include "common/base/text.h"
#include "common/base/time.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* The row whose key is nearest to a word; `n` if none is near. */
static size_t nearest_row(const char *word, size_t len, const struct yamlmap_key *keys, size_t n)
{
    struct nearest nearest;
    size_t i = 0;

    nearest_begin(&nearest, word, len);
    for (size_t k = 0; k < n; k++)
        nearest_offer(&nearest, keys[k].name);
    while (i < n && keys[i].name != nearest.best)
        i++;
    return i;
}

/* A row's key in the mapping that is read. */
struct seen {
    size_t line; /* 0: it did not come */
    bool meant;  /* an unknown key was probably this one */
};

static void report_unknown(struct yamldoc *d, const yaml_node_t *key,
                           const struct yamlmap_key *keys, size_t n_keys, struct seen *seen)
{
    char shown[YAMLDOC_SHOWN_SIZE], known[512];
    size_t near =
        nearest_row((const char *)key->data.scalar.value, key->data.scalar.length, keys, n_keys);
    size_t len = 0;

    if (near < n_keys) {
        seen[near].meant = true;
        yamldoc_fault(d, key, "unknown key \"%s\" (did you mean \"%s\"?)",
                      yamldoc_shown(key, shown), keys[near].name);
        return;
    }
    for (size_t i = 0; i < n_keys && len < sizeof known; i++)
        len += (size_t)snprintf(known + len, sizeof known - len, "%s%s", i > 0 ? ", " : "",
                                keys[i].name);
    yamldoc_fault(d, key, "unknown key \"%s\" (known here: %s)", yamldoc_shown(key, shown), known);
}

static void read_pair(void *ctx, const yaml_node_pair_t *pair, const struct yamlmap_key *keys,
                      size_t n_keys, struct seen *seen, void *target)
{
    struct yamldoc *d = ctx;
    const yaml_node_t *key = yaml_document_get_node(&d->tree, pair->key);
    size_t i = 0;

    if (key->type != YAML_SCALAR_NODE) {
        yamldoc_fault(d, key,
                      "a key is a list or a mapping (a key is one word; quote a text that "
                      "begins with \"[\" or \"{\")");
        return;
    }
    while (i < n_keys && !yamldoc_is(key, keys[i].name))
        i++;
    if (i == n_keys) {
        report_unknown(d, key, keys, n_keys, seen);
    } else if (seen[i].line != 0) {
        yamldoc_fault(d, key, "%s: comes twice, first on line %zu (keep one of them)", keys[i].name,
                      seen[i].line);
    } else {
        seen[i].line = yamldoc_line(key);
        keys[i].read(ctx, &keys[i], yaml_document_get_node(&d->tree, pair->value),
                     (char *)target + keys[i].offset);
    }
}

uint32_t yamlmap_read(void *ctx, yaml_node_t *node, const char *what,
                      const struct yamlmap_key *keys, size_t n_keys, void *target)
{
    struct yamldoc *d = ctx;
    struct seen seen[YAMLMAP_KEYS_MAX] = {0};
    const yaml_node_pair_t *pair;
    uint32_t rows = 0;

    assert(n_keys <= YAMLMAP_KEYS_MAX);
    if (node->type != YAML_MAPPING_NODE) {
        yamldoc_fault(d, node, "%s is not a mapping (write \"key: value\" lines, such as \"%s\")",
                      what, keys[0].example);
        return UINT32_MAX;
    }
    for (pair = node->data.mapping.pairs.start; pair < node->data.mapping.pairs.top; pair++)
        read_pair(ctx, pair, keys, n_keys, seen, target);
    for (size_t i = 0; i < n_keys; i++) {
        if (seen[i].line != 0 || seen[i].meant)
            rows |= UINT32_C(1) << i;
        else if (keys[i].required)
            yamldoc_fault(d, node, "%s has no \"%s\" (add \"%s\")", what, keys[i].name,
                          keys[i].example);
    }
    return rows;
}

bool yamlmap_came(uint32_t rows, const struct yamlmap_key *keys, size_t n_keys, const char *name)
{
    size_t i = 0;

    while (i < n_keys && strcmp(keys[i].name, name) != 0)
        i++;
    assert(i < n_keys);
    return (rows & UINT32_C(1) << i) != 0;
}

/* ---- values ---- */

static bool is_null(const yaml_node_t *scalar)
{
    return scalar->data.scalar.length == 0 ||
           (scalar->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
            (yamldoc_is(scalar, "~") || yamldoc_is(scalar, "null") || yamldoc_is(scalar, "Null") ||
             yamldoc_is(scalar, "NULL")));
}

/* A tab is let through: an expression may hold one. */
static bool holds_control(const yaml_node_t *scalar)
{
    const unsigned char *value = scalar->data.scalar.value;

    for (size_t i = 0; i < scalar->data.scalar.length; i++) {
        if ((value[i] < ' ' && value[i] != '\t') || value[i] == 0x7f)
            return true;
    }
    return false;
}

/* Whether an unquoted text begins with a quote of a word processor, which YAML takes as a letter.
 */
static bool has_typographic_quote(const yaml_node_t *scalar)
{
    static const char *const quotes[] = {"\u201c", "\u201d", "\u201e", "\u2018",
                                         "\u2019", "\u201a", "\u00ab"};
    const char *text = (const char *)scalar->data.scalar.value;

    if (scalar->data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
        return false;
    for (size_t i = 0; i < sizeof quotes / sizeof quotes[0]; i++) {
        if (strncmp(text, quotes[i], strlen(quotes[i])) == 0)
            return true;
    }
    return false;
}

char *yamlmap_text(struct yamldoc *d, const struct yamlmap_key *key, yaml_node_t *value)
{
    assert(key->max > 0);
    if (value->type != YAML_SCALAR_NODE)
        yamldoc_fault(d, value, "%s: is a list or a mapping, not one text (write \"%s\")",
                      key->name, key->example);
    else if (is_null(value))
        yamldoc_fault(d, value,
                      "%s: has no value (write \"%s\"; quote a text that begins with \"#\")",
                      key->name, key->example);
    else if (holds_control(value))
        yamldoc_fault(d, value,
                      "%s: holds a line end or another control character (write it on one line, or "
                      "with \">-\" instead of \"|\" or \">\")",
                      key->name);
    else if (has_typographic_quote(value))
        yamldoc_refuse(d, value, key->name,
                       "begins with a typographic quote (write ' or \" instead; put the whole text "
                       "in ' if the mark belongs to it)");
    else if (value->data.scalar.length > key->max)
        yamldoc_fault(d, value, "%s: is %zu bytes long (make it %zu at most)", key->name,
                      value->data.scalar.length, key->max);
    else
        return (char *)value->data.scalar.value;
    return NULL;
}

void yamlmap_read_text(void *ctx, const struct yamlmap_key *key, yaml_node_t *value, void *target)
{
    const char *text = yamlmap_text(ctx, key, value);

    if (text != NULL)
        *(const char **)target = text;
}

void yamlmap_read_bool(void *ctx, const struct yamlmap_key *key, yaml_node_t *value, void *target)
{
    const char *text = yamlmap_text(ctx, key, value);

    if (text == NULL)
        return;
    if (strcasecmp(text, "yes") == 0 || strcasecmp(text, "true") == 0)
        *(bool *)target = true;
    else if (strcasecmp(text, "no") == 0 || strcasecmp(text, "false") == 0)
        *(bool *)target = false;
    else
        yamldoc_refuse(ctx, value, key->name, "is neither yes nor no (write \"%s\")", key->example);
}

/* YAML 1.1 reads 010 as eight and "5" as a text, so neither is let through. */
void yamlmap_read_number(void *ctx, const struct yamlmap_key *key, yaml_node_t *value, void *target)
{
    const char *text = yamlmap_text(ctx, key, value);
    uint64_t n = 0;
    size_t i = 0;

    assert(key->max <= UINT64_MAX / 10 - 1);
    if (text == NULL)
        return;
    for (; text_is_digit(text[i]) && n <= key->max; i++)
        n = n * 10 + (uint64_t)(text[i] - '0');
    if (text[i] == '\0' && (text[0] != '0' || i == 1) && n <= key->max &&
        value->data.scalar.style == YAML_PLAIN_SCALAR_STYLE)
        *(uint64_t *)target = n;
    else
        yamldoc_refuse(ctx, value, key->name,
                       "is not a whole number from 0 to %zu, without quotes (write \"%s\")",
                       key->max, key->example);
}

static bool is_duration(const char *text, int64_t max_us)
{
    int64_t us;

    return time_parse_duration(text, strlen(text), &us) && us >= TIME_S && us <= max_us;
}

/* Copies `text` without its blanks. */
static void squeeze(const char *text, char out[YAMLDOC_SHOWN_SIZE])
{
    size_t n = 0;

    for (; *text != '\0' && n < YAMLDOC_SHOWN_SIZE - 1; text++) {
        if (*text != ' ')
            out[n++] = *text;
    }
    out[n] = '\0';
}

/* Writes the duration that was probably meant: the text without its blanks, or its number with the
 * unit that the next letter names. An example stands for anything else, so that the remedy is
 * always a duration that is accepted. */
static void guess_duration(const char *text, int64_t max_us, char out[YAMLDOC_SHOWN_SIZE])
{
    size_t digits = strspn(text, "0123456789");
    const char *rest = text + digits + strspn(text + digits, " ");
    unsigned long n = digits <= 6 ? strtoul(text, NULL, 10) : 0;
    char unit = (char)(*rest | ('a' - 'A'));

    squeeze(text, out);
    if (is_duration(out, max_us))
        return;
    if (digits > 0 && strpbrk(rest, ".,0123456789") != NULL)
        snprintf(out, YAMLDOC_SHOWN_SIZE, "1h30m");
    else if (*rest != '\0' && unit == 'w')
        snprintf(out, YAMLDOC_SHOWN_SIZE, "%lud", 7 * n);
    else
        snprintf(out, YAMLDOC_SHOWN_SIZE, "%lu%c", n,
                 *rest != '\0' && strchr("dhs", unit) != NULL ? unit : 'm');
    if (!is_duration(out, max_us))
        snprintf(out, YAMLDOC_SHOWN_SIZE, digits > 0 && digits <= 6 && n == 0 ? "1s" : "5m");
}

static void refuse_duration(struct yamldoc *d, const struct yamlmap_key *key, yaml_node_t *value,
                            const char *text, int64_t max_us)
{
    char guess[YAMLDOC_SHOWN_SIZE], seconds[YAMLDOC_SHOWN_SIZE];

    guess_duration(text, max_us, guess);
    snprintf(seconds, sizeof seconds, "%.20ss", text);
    if (text[strspn(text, "0123456789")] == '\0' && is_duration(seconds, max_us))
        yamldoc_refuse(d, value, key->name, "is not a duration (try \"%s\" or \"%s\")", seconds,
                       guess);
    else
        yamldoc_refuse(d, value, key->name, "is not a duration (try \"%s\")", guess);
}

void yamlmap_read_duration(void *ctx, const struct yamlmap_key *key, yaml_node_t *value,
                           void *target)
{
    const char *text = yamlmap_text(ctx, key, value);
    const int64_t max_us = (int64_t)key->max;
    char most[TIME_WORDS_SIZE];
    int64_t us;

    if (text == NULL)
        return;
    if (!time_parse_duration(text, strlen(text), &us)) {
        refuse_duration(ctx, key, value, text, max_us);
    } else if (us < TIME_S || us > max_us) {
        time_format_words(max_us, most);
        yamldoc_refuse(ctx, value, key->name, "is too %s (from 1 second to %s)",
                       us < TIME_S ? "short" : "long", most);
    } else {
        *(int64_t *)target = us;
    }
}

void yamlmap_each(void *ctx, const struct yamlmap_key *key, yaml_node_t *value,
                  yamlmap_item_fn *read)
{
    if (value->type != YAML_SEQUENCE_NODE) {
        read(ctx, key, value);
        return;
    }
    if (yamldoc_length(value) == 0)
        yamldoc_fault(ctx, value, "%s: is an empty list (write \"%s\", or remove the key)",
                      key->name, key->example);
    for (size_t i = 0; i < yamldoc_length(value); i++)
        read(ctx, key, yamldoc_item(ctx, value, i));
}
