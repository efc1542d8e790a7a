#include "common/rules/rules.h"

#include "common/base/err.h"
#include "common/rules/rules_impl.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

void rules_take_item(struct rules_reader *r, const char *text, size_t line)
{
    r->lines[r->n_items] = line;
    r->out->items[r->n_items++] = text;
}

size_t rules_item_line(const struct rules_reader *r, const struct rules_list *list, size_t i)
{
    return r->lines[(size_t)(list->items - r->out->items) + i];
}

static int by_name_and_line(const void *a, const void *b)
{
    const struct rules_named *x = a, *y = b;
    int order = strcmp(x->name, y->name);

    return order != 0 ? order : (x->line > y->line) - (x->line < y->line);
}

void rules_sort_named(struct rules_named *names, size_t n)
{
    qsort(names, n, sizeof *names, by_name_and_line);
}

/* Equal names stand side by side once they are sorted. */
void rules_report_twice(struct rules_reader *r, const char *key, const struct rules_list *list)
{
    const struct rules_named *names = r->scratch;
    size_t first = 0;

    for (size_t i = 0; i < list->n; i++)
        r->scratch[i] = (struct rules_named){
            .name = list->items[i], .line = rules_item_line(r, list, i), .index = i};
    rules_sort_named(r->scratch, list->n);
    for (size_t i = 1; i < list->n; i++) {
        if (strcmp(names[i].name, names[first].name) != 0)
            first = i;
        else
            yamldoc_fault_at(&r->doc, names[i].line,
                             "%s: \"%s\" comes twice, first on line %zu (keep one of them)", key,
                             names[i].name, names[first].line);
    }
}

static void read_rules(void *ctx, const struct yamldoc_key *key, yaml_node_t *value, void *target)
{
    struct rules_reader *r = ctx;
    struct rules *rules = target;
    size_t n;

    if (value->type != YAML_SEQUENCE_NODE || (n = yamldoc_length(value)) == 0) {
        yamldoc_fault(&r->doc, value, "%s: is not a list of rules (begin each with \"  - %s\")",
                      key->name, RULES_NAME_EXAMPLE);
        return;
    }
    if (n > RULES_MAX) {
        yamldoc_fault(&r->doc, yamldoc_item(&r->doc, value, RULES_MAX),
                      "%s: here begins rule %d of %zu (keep %d at most; a rule's \"match\" and "
                      "\"field\" take lists)",
                      key->name, RULES_MAX + 1, n, RULES_MAX);
        return;
    }
    r->out->list = calloc(n, sizeof *r->out->list);
    if (r->out->list == NULL) {
        r->doc.out_of_memory = true;
        return;
    }
    r->rules = value;
    rules->rules = r->out->list;
    rules->n = n;
    for (size_t i = 0; i < n; i++)
        rules_read_rule(r, yamldoc_item(&r->doc, value, i), &r->out->list[i]);
}

static const struct yamldoc_key slack_keys[] = {
    {"channel", rules_read_channel, offsetof(struct rules_reader, channel), true,
     RULES_CHANNEL_MAX_BYTES, "channel: C0123456789"},
    {"mention", rules_read_mention, offsetof(struct rules_reader, mentions), false,
     RULES_MENTION_MAX_BYTES, "mention: here"},
};
enum { SLACK_KEYS = sizeof slack_keys / sizeof slack_keys[0] };

static void read_slack(void *ctx, const struct yamldoc_key *key, yaml_node_t *value, void *target)
{
    struct rules_reader *r = ctx;

    (void)target;
    yamldoc_read_mapping(&r->doc, value, key->name, slack_keys, SLACK_KEYS, r, r);
}

/* The keys of the file. */
static const struct yamldoc_key file_keys[] = {
    {"app", rules_read_app, offsetof(struct rules, app), false, RULES_NAME_MAX_BYTES,
     "app: my-app"},
    {"apps", rules_read_apps, 0, false, 0, "apps: [{name: my-app, drain: my-app}]"},
    {"slack", read_slack, 0, false, 0, "slack: {channel: C0123456789}"},
    {"redact", rules_read_redact, offsetof(struct rules, redacts), false,
     RULES_EXPRESSION_MAX_BYTES, "redact: 'token=\\S+'"},
    {"rules", read_rules, 0, true, 0, "rules:"},
};
enum { FILE_KEYS = sizeof file_keys / sizeof file_keys[0] };

/* Gives each rule that names no channel, or nobody to mention, the file's. A rule that mentions
 * nobody on purpose has a list of none. */
static void fill_from_slack(struct rules_reader *r)
{
    bool has_slack = yamldoc_find(&r->doc, yamldoc_root(&r->doc), "slack") != NULL;

    for (size_t i = 0; i < r->out->rules.n; i++) {
        yaml_node_t *node = yamldoc_item(&r->doc, r->rules, i);
        struct rule *rule = &r->out->list[i];

        if (rule->mentions.items == NULL)
            rule->mentions = r->mentions;
        if (rule->channel != NULL || node->type != YAML_MAPPING_NODE ||
            yamldoc_find(&r->doc, node, "channel") != NULL)
            continue;
        rule->channel = r->channel;
        if (!has_slack)
            yamldoc_fault(&r->doc, node,
                          "the rule has no channel (add \"slack: {channel: C0123456789}\" to the "
                          "file, or \"channel: C0123456789\" to the rule)");
    }
}

static void check_names(struct rules_reader *r)
{
    struct rules_named *names = r->scratch;
    size_t n = 0, first = 0;

    for (size_t i = 0; i < r->out->rules.n; i++) {
        size_t line = yamldoc_line(yamldoc_item(&r->doc, r->rules, i));

        if (r->out->list[i].name != NULL)
            names[n++] =
                (struct rules_named){.name = r->out->list[i].name, .line = line, .index = i};
    }
    rules_sort_named(names, n);
    for (size_t i = 1; i < n; i++) {
        if (strcmp(names[i].name, names[first].name) != 0)
            first = i;
        else
            yamldoc_fault_at(&r->doc, names[i].line,
                             "name: \"%s\" is the name of the rule on line %zu too (rename one)",
                             names[i].name, names[first].line);
    }
}

static void read_file(struct rules_reader *r)
{
    yaml_node_t *root = yamldoc_root(&r->doc);
    uint32_t rows =
        yamldoc_read_mapping(&r->doc, root, "the file", file_keys, FILE_KEYS, r, &r->out->rules);

    if (root->type != YAML_MAPPING_NODE)
        return;
    if (!yamldoc_came(rows, file_keys, FILE_KEYS, "app") &&
        !yamldoc_came(rows, file_keys, FILE_KEYS, "apps"))
        yamldoc_fault(&r->doc, root,
                      "the file has neither \"app\" nor \"apps\" (add \"app: my-app\" as the name "
                      "of every drain, or \"apps: [{name: my-app, drain: my-app}]\" with a drain's "
                      "token or name for each app)");
    fill_from_slack(r);
    check_names(r);
    rules_check_apps(r);
}

static void free_owned(struct rules_owned *o)
{
    yaml_document_delete(&o->tree);
    free(o->list);
    free(o->items);
    free(o->fields);
    free(o->drains);
    free(o);
}

/* Takes the document over; NULL where memory ran out, and then it is gone. */
static struct rules_owned *new_owned(struct yamldoc *d, size_t n)
{
    struct rules_owned *o = calloc(1, sizeof *o);

    if (o == NULL) {
        yamldoc_close(d);
        return NULL;
    }
    o->tree = d->tree;
    o->items = calloc(n, sizeof *o->items);
    o->fields = calloc(n, sizeof *o->fields);
    o->drains = calloc(n, sizeof *o->drains);
    if (o->items != NULL && o->fields != NULL && o->drains != NULL)
        return o;
    free_owned(o);
    return NULL;
}

/* Reads the document that was opened; the rules are in r->out where it returns 0. */
static int read_document(struct rules_reader *r)
{
    size_t n = (size_t)(r->doc.tree.nodes.top - r->doc.tree.nodes.start);
    int rc = ERR_NOMEM;

    r->out = new_owned(&r->doc, n);
    if (r->out == NULL)
        return rc;
    r->lines = calloc(n, sizeof *r->lines);
    r->drain_lines = calloc(n, sizeof *r->drain_lines);
    r->apps = calloc(n, sizeof *r->apps);
    r->scratch = calloc(n, sizeof *r->scratch);
    if (r->lines != NULL && r->drain_lines != NULL && r->apps != NULL && r->scratch != NULL) {
        read_file(r);
        rc = yamldoc_finish(&r->doc);
    }
    free(r->scratch);
    free(r->apps);
    free(r->drain_lines);
    free(r->lines);
    if (rc != 0)
        free_owned(r->out);
    return rc;
}

static int too_large(struct yamldoc *d, size_t len)
{
    yamldoc_fault_at(d, 1,
                     "the file is %zu bytes long (keep it to %d; a rule's \"match\" and \"field\" "
                     "take lists)",
                     len, RULES_TEXT_MAX);
    return yamldoc_finish(d);
}

int rules_parse(const char *text, size_t len, const char *file, const struct rules **out,
                struct buf *faults)
{
    struct rules_reader r = {.doc = {.file = file, .faults = faults}};
    int rc;

    *out = NULL;
    if (len == 0)
        text = ""; /* it may be NULL then, which libyaml does not take */
    if (len > RULES_TEXT_MAX)
        return too_large(&r.doc, len);
    rc = yamldoc_open(&r.doc, text, len, file, faults);
    if (rc == 0)
        rc = read_document(&r);
    if (rc == 0)
        *out = &r.out->rules;
    return rc;
}

void rules_free(const struct rules *rules)
{
    if (rules != NULL) /* only rules_parse makes them, as the first member of what it owns */
        free_owned((struct rules_owned *)(uintptr_t)rules);
}

static int drain_is(const void *drain, const void *listed)
{
    const struct rules_drain *d = listed;

    return strcmp(drain, d->drain);
}

const char *rules_app(const struct rules *rules, const char *drain)
{
    const struct rules_drain *found = NULL;

    if (rules->n_drains > 0) /* bsearch does not take NULL, which rules made by hand may hold */
        found = bsearch(drain, rules->drains, rules->n_drains, sizeof *found, drain_is);
    return found != NULL ? found->app : rules->app;
}
