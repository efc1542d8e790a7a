/* Reads the values of a YAML file by their rows; called by the readers of rules and rule tests. */
#include "common/rules/yamlvalue.h"

#include "common/base/time.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

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

char *yamlvalue_text(struct yamldoc *d, const struct yamlmap_key *key, yaml_node_t *value)
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

void yamlvalue_read_text(void *ctx, const struct yamlmap_key *key, yaml_node_t *value, void *target)
{
    const char *text = yamlvalue_text(ctx, key, value);

    if (text != NULL)
        *(const char **)target = text;
}

void yamlvalue_read_bool(void *ctx, const struct yamlmap_key *key, yaml_node_t *value, void *target)
{
    const char *text = yamlvalue_text(ctx, key, value);

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
void yamlvalue_read_number(void *ctx, const struct yamlmap_key *key, yaml_node_t *value,
                           void *target)
{
    const char *text = yamlvalue_text(ctx, key, value);
    uint64_t n = 0;
    size_t i = 0;

    assert(key->max <= UINT64_MAX / 10 - 1);
    if (text == NULL)
        return;
    for (; text[i] >= '0' && text[i] <= '9' && n <= key->max; i++)
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

void yamlvalue_read_duration(void *ctx, const struct yamlmap_key *key, yaml_node_t *value,
                             void *target)
{
    const char *text = yamlvalue_text(ctx, key, value);
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

void yamlvalue_each(void *ctx, const struct yamlmap_key *key, yaml_node_t *value,
                    yamlvalue_item_fn *read)
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
