#include "common/rules/yamlvalue.h"

#include "common/base/time.h"

#include <assert.h>
#include <inttypes.h>
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

/* Tabs are let through: in an expression they are a byte like any other. */
static bool holds_control(const yaml_node_t *scalar)
{
    const unsigned char *value = scalar->data.scalar.value;

    for (size_t i = 0; i < scalar->data.scalar.length; i++) {
        if ((value[i] < ' ' && value[i] != '\t') || value[i] == 0x7f)
            return true;
    }
    return false;
}

char *yamlvalue_text(struct yamldoc *d, const struct yamldoc_key *key, yaml_node_t *value)
{
    assert(key->max_bytes > 0);
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
    else if (value->data.scalar.length > key->max_bytes)
        yamldoc_fault(d, value, "%s: is %zu bytes long (make it %zu at most)", key->name,
                      value->data.scalar.length, key->max_bytes);
    else
        return (char *)value->data.scalar.value;
    return NULL;
}

bool yamlvalue_bool(struct yamldoc *d, const struct yamldoc_key *key, yaml_node_t *value, bool *out)
{
    const char *text = yamlvalue_text(d, key, value);
    char shown[YAMLDOC_SHOWN_SIZE];

    if (text == NULL)
        return false;
    if (strcasecmp(text, "yes") == 0 || strcasecmp(text, "true") == 0) {
        *out = true;
        return true;
    }
    if (strcasecmp(text, "no") == 0 || strcasecmp(text, "false") == 0) {
        *out = false;
        return true;
    }
    yamldoc_fault(d, value, "%s: \"%s\" is neither yes nor no (write \"%s\")", key->name,
                  yamldoc_shown(value, shown), key->example);
    return false;
}

/* YAML 1.1 reads 010 as eight and "5" as a text, so neither is let through. */
bool yamlvalue_number(struct yamldoc *d, const struct yamldoc_key *key, yaml_node_t *value,
                      uint64_t max, uint64_t *out)
{
    const char *text = yamlvalue_text(d, key, value);
    char shown[YAMLDOC_SHOWN_SIZE];
    uint64_t n = 0;
    size_t i = 0;

    assert(max <= UINT64_MAX / 10 - 1);
    if (text == NULL)
        return false;
    for (; text[i] >= '0' && text[i] <= '9' && n <= max; i++)
        n = n * 10 + (uint64_t)(text[i] - '0');
    if (text[i] == '\0' && (text[0] != '0' || i == 1) && n <= max &&
        value->data.scalar.style == YAML_PLAIN_SCALAR_STYLE) {
        *out = n;
        return true;
    }
    yamldoc_fault(d, value,
                  "%s: \"%s\" is not a whole number from 0 to %" PRIu64
                  ", without quotes (write \"%s\")",
                  key->name, yamldoc_shown(value, shown), max, key->example);
    return false;
}

/* Writes what was probably meant: the text without its spaces, or its digits with the unit that the
 * next letter names; an example where there is more than that. */
static void guess_duration(const char *text, char out[YAMLDOC_SHOWN_SIZE])
{
    size_t digits = strspn(text, "0123456789"), n = 0;
    const char *rest = text + digits + strspn(text + digits, " ");
    char unit = *rest == '\0' ? '\0' : (char)(*rest | ('a' - 'A'));
    int64_t us;

    for (const char *s = text; *s != '\0' && n < YAMLDOC_SHOWN_SIZE - 1; s++) {
        if (*s != ' ')
            out[n++] = *s;
    }
    out[n] = '\0';
    if (time_parse_duration(out, n, &us))
        return;
    if (digits == 0 || digits > 6)
        snprintf(out, YAMLDOC_SHOWN_SIZE, "5m");
    else if (unit == '\0')
        snprintf(out, YAMLDOC_SHOWN_SIZE, "%.*ss\" or \"%.*sm", (int)digits, text, (int)digits,
                 text);
    else if (strpbrk(rest, ".,0123456789") != NULL)
        snprintf(out, YAMLDOC_SHOWN_SIZE, "1h30m");
    else if (unit == 'w')
        snprintf(out, YAMLDOC_SHOWN_SIZE, "%lud", 7 * strtoul(text, NULL, 10));
    else
        snprintf(out, YAMLDOC_SHOWN_SIZE, "%.*s%c", (int)digits, text,
                 strchr("dhs", unit) != NULL ? unit : 'm');
}

bool yamlvalue_duration(struct yamldoc *d, const struct yamldoc_key *key, yaml_node_t *value,
                        int64_t max_us, int64_t *out_us)
{
    char shown[YAMLDOC_SHOWN_SIZE], guess[YAMLDOC_SHOWN_SIZE], most[TIME_WORDS_SIZE];
    const char *text = yamlvalue_text(d, key, value);
    int64_t us;

    if (text == NULL)
        return false;
    if (!time_parse_duration(text, strlen(text), &us)) {
        guess_duration(text, guess);
        yamldoc_fault(d, value, "%s: \"%s\" is not a duration (try \"%s\")", key->name,
                      yamldoc_shown(value, shown), guess);
        return false;
    }
    if (us < TIME_S || us > max_us) {
        time_format_words(max_us, most);
        yamldoc_fault(d, value, "%s: \"%s\" is too %s (from 1 second to %s)", key->name,
                      yamldoc_shown(value, shown), us < TIME_S ? "short" : "long", most);
        return false;
    }
    *out_us = us;
    return true;
}

void yamlvalue_each(struct yamldoc *d, const struct yamldoc_key *key, yaml_node_t *value,
                    yamlvalue_item_fn *read, void *ctx)
{
    if (value->type != YAML_SEQUENCE_NODE) {
        read(ctx, key, value);
        return;
    }
    if (yamldoc_length(value) == 0)
        yamldoc_fault(d, value, "%s: is an empty list (write \"%s\", or remove the key)", key->name,
                      key->example);
    for (size_t i = 0; i < yamldoc_length(value); i++)
        read(ctx, key, yamldoc_item(d, value, i));
}
