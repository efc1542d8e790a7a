/* Walks a YAML mapping by a table of its keys; called by the readers of rules and rule tests. */
#include "common/rules/yamlmap.h"

#include "common/base/nearest.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

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
