#include "common/rules.h"

#include "common/err.h"
#include "common/expression.h"
#include "common/time.h"
#include "common/yamldoc.h"
#include "common/yamlvalue.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define WITHIN_MAX_US (31 * TIME_DAY)
#define COOLDOWN_MAX_US (365 * TIME_DAY)
#define COOLDOWN_DEFAULT_US (5 * TIME_MINUTE)

enum {
    MORE_THAN_MAX = 1000000000,
    NAME_MAX_BYTES = 100,
    TEXT_MAX_BYTES = 1000,
    TITLE_MAX_BYTES = 150,  /* a Slack header holds 150 characters */
    CHANNEL_MAX_BYTES = 80, /* Slack's names are shorter, its ids much */
    SOURCE_MAX_BYTES = 48,  /* APP-NAME and PROCID, RFC 5424 section 6 */
    PROCESS_MAX_BYTES = 128,
    EXPRESSION_MAX_BYTES = 16000, /* Hyperscan's own limit */
};

/* What rules_parse hands out. The texts lie in the document, which lives as long; the arrays are
 * as long as the document has nodes, so no list can outgrow them. */
struct owned {
    struct rules rules; /* first, so that one is the other */
    yaml_document_t tree;
    struct rule *list;
    const char **items;
    struct rules_field *fields;
};

struct reader {
    struct yamldoc doc;
    struct owned *out;
    size_t n_items;      /* taken of out->items */
    size_t n_fields;     /* taken of out->fields */
    yaml_node_t *rules;  /* the sequence whose items are out->list, one for one; NULL: none */
    const char *channel; /* slack.channel */
};

static void read_text(void *ctx, const struct yamldoc_key *key, yaml_node_t *value, void *target)
{
    struct reader *r = ctx;
    const char *text = yamlvalue_text(&r->doc, key, value);

    if (text != NULL)
        *(const char **)target = text;
}

/* Whether `text` holds nothing but printable ASCII, and none of `but`. */
static bool is_plain(const char *text, const char *but)
{
    for (; *text != '\0'; text++) {
        if (*text <= ' ' || *text > '~' || strchr(but, *text) != NULL)
            return false;
    }
    return true;
}

static void read_name(void *ctx, const struct yamldoc_key *key, yaml_node_t *value, void *target)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyz"
                                  "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
    char shown[YAMLDOC_SHOWN_SIZE];
    struct reader *r = ctx;
    const char *text = yamlvalue_text(&r->doc, key, value);

    if (text == NULL)
        return;
    if (text[strspn(text, allowed)] != '\0')
        yamldoc_fault(&r->doc, value,
                      "name: \"%s\" is not a name (use letters, digits, \"-\", \"_\" and \".\")",
                      yamldoc_shown(value, shown));
    else
        *(const char **)target = text;
}

static void read_channel(void *ctx, const struct yamldoc_key *key, yaml_node_t *value, void *target)
{
    char shown[YAMLDOC_SHOWN_SIZE];
    struct reader *r = ctx;
    const char *text = yamlvalue_text(&r->doc, key, value);

    if (text == NULL)
        return;
    if (strpbrk(text, " \t") != NULL)
        yamldoc_fault(&r->doc, value,
                      "channel: \"%s\" holds a space (write one channel's id, or its name as "
                      "'#name')",
                      yamldoc_shown(value, shown));
    else
        *(const char **)target = text;
}

static void read_more_than(void *ctx, const struct yamldoc_key *key, yaml_node_t *value,
                           void *target)
{
    struct reader *r = ctx;

    yamlvalue_number(&r->doc, key, value, MORE_THAN_MAX, target);
}

static void read_within(void *ctx, const struct yamldoc_key *key, yaml_node_t *value, void *target)
{
    struct reader *r = ctx;

    yamlvalue_duration(&r->doc, key, value, WITHIN_MAX_US, target);
}

static void read_cooldown(void *ctx, const struct yamldoc_key *key, yaml_node_t *value,
                          void *target)
{
    struct reader *r = ctx;

    yamlvalue_duration(&r->doc, key, value, COOLDOWN_MAX_US, target);
}

static void read_list(struct reader *r, const struct yamldoc_key *key, yaml_node_t *value,
                      yamlvalue_item_fn *read, struct rules_list *target)
{
    const char *const *first = r->out->items + r->n_items;
    size_t before = r->n_items;

    yamlvalue_each(&r->doc, key, value, read, r);
    *target = (struct rules_list){.items = first, .n = r->n_items - before};
}

static void take_item(struct reader *r, const char *text)
{
    r->out->items[r->n_items++] = text;
}

static void read_source_item(void *ctx, const struct yamldoc_key *key, yaml_node_t *item)
{
    char shown[YAMLDOC_SHOWN_SIZE];
    struct reader *r = ctx;
    const char *text = yamlvalue_text(&r->doc, key, item);

    if (text == NULL)
        return;
    if (!is_plain(text, "[]*\""))
        yamldoc_fault(
            &r->doc, item,
            "source: \"%s\" is not a log source (write one whole name, such as \"heroku\" "
            "or \"app\"; the name in brackets is a process)",
            yamldoc_shown(item, shown));
    else
        take_item(r, text);
}

static void read_process_item(void *ctx, const struct yamldoc_key *key, yaml_node_t *item)
{
    char shown[YAMLDOC_SHOWN_SIZE];
    struct reader *r = ctx;
    const char *text = yamlvalue_text(&r->doc, key, item);
    const char *star;

    if (text == NULL)
        return;
    star = strchr(text, '*');
    if (!is_plain(text, "[]\"") || (star != NULL && star[1] != '\0'))
        yamldoc_fault(
            &r->doc, item,
            "process: \"%s\" is not a process (write a whole name, such as \"router\", or "
            "its beginning and one \"*\", such as \"web.*\")",
            yamldoc_shown(item, shown));
    else
        take_item(r, text);
}

static void read_match_item(void *ctx, const struct yamldoc_key *key, yaml_node_t *item)
{
    char shown[YAMLDOC_SHOWN_SIZE];
    struct reader *r = ctx;
    const char *text = yamlvalue_text(&r->doc, key, item);
    struct err err;
    int rc;

    if (text == NULL)
        return;
    rc = expression_check(text, &err);
    if (rc == ERR_NOMEM)
        r->doc.out_of_memory = true;
    else if (rc != 0)
        yamldoc_fault(&r->doc, item, "match: \"%s\" cannot be used: %s", yamldoc_shown(item, shown),
                      err.text);
    else
        take_item(r, text);
}

/* Splits the text where it lies: its first "=" becomes the end of the key. */
static void read_field_item(void *ctx, const struct yamldoc_key *key, yaml_node_t *item)
{
    char shown[YAMLDOC_SHOWN_SIZE];
    struct reader *r = ctx;
    char *text = yamlvalue_text(&r->doc, key, item);
    char *equals;

    if (text == NULL)
        return;
    equals = strchr(text, '=');
    if (equals == NULL || equals == text || strpbrk(text, " \t\"") != NULL ||
        memchr(text, '\'', (size_t)(equals - text)) != NULL) {
        yamldoc_fault(&r->doc, item,
                      "field: \"%s\" is not KEY=VALUE without spaces and quotes (write \"%s\"; use "
                      "\"match\" for other text)",
                      yamldoc_shown(item, shown), key->example);
        return;
    }
    *equals = '\0';
    r->out->fields[r->n_fields++] = (struct rules_field){.key = text, .value = equals + 1};
}

static void read_source(void *ctx, const struct yamldoc_key *key, yaml_node_t *value, void *target)
{
    read_list(ctx, key, value, read_source_item, target);
}

static void read_process(void *ctx, const struct yamldoc_key *key, yaml_node_t *value, void *target)
{
    read_list(ctx, key, value, read_process_item, target);
}

static void read_match(void *ctx, const struct yamldoc_key *key, yaml_node_t *value, void *target)
{
    read_list(ctx, key, value, read_match_item, target);
}

static void read_field(void *ctx, const struct yamldoc_key *key, yaml_node_t *value, void *target)
{
    struct reader *r = ctx;
    struct rule *rule = target;
    size_t before = r->n_fields;

    yamlvalue_each(&r->doc, key, value, read_field_item, r);
    rule->fields = r->out->fields + before;
    rule->n_fields = r->n_fields - before;
}

/* The keys of a rule. A new key is a row here, a member of struct rule, and a function above. */
static const struct yamldoc_key rule_keys[] = {
    {"name", read_name, offsetof(struct rule, name), true, NAME_MAX_BYTES,
     "name: h12-request-timeout"},
    {"title", read_text, offsetof(struct rule, title), false, TITLE_MAX_BYTES,
     "title: H12 request timeouts"},
    {"source", read_source, offsetof(struct rule, sources), false, SOURCE_MAX_BYTES,
     "source: heroku"},
    {"process", read_process, offsetof(struct rule, processes), false, PROCESS_MAX_BYTES,
     "process: router"},
    {"field", read_field, 0, false, TEXT_MAX_BYTES, "field: code=H12"},
    {"match", read_match, offsetof(struct rule, matches), false, EXPRESSION_MAX_BYTES,
     "match: 'WORKER TIMEOUT'"},
    {"more_than", read_more_than, offsetof(struct rule, more_than), true, TEXT_MAX_BYTES,
     "more_than: 3"},
    {"within", read_within, offsetof(struct rule, within_us), true, TEXT_MAX_BYTES, "within: 5m"},
    {"cooldown", read_cooldown, offsetof(struct rule, cooldown_us), false, TEXT_MAX_BYTES,
     "cooldown: 5m"},
    {"runbook", read_text, offsetof(struct rule, runbook), false, TEXT_MAX_BYTES,
     "runbook: docs/runbook.md"},
    {"channel", read_channel, offsetof(struct rule, channel), false, CHANNEL_MAX_BYTES,
     "channel: C0123456789"},
};
enum { RULE_KEYS = sizeof rule_keys / sizeof rule_keys[0] };

static void read_rule(struct reader *r, yaml_node_t *node, struct rule *rule)
{
    *rule = (struct rule){.runbook = "", .cooldown_us = COOLDOWN_DEFAULT_US};
    yamldoc_read_mapping(&r->doc, node, "the rule", rule_keys, RULE_KEYS, r, rule);
    if (rule->title == NULL)
        rule->title = rule->name;
    if (node->type == YAML_MAPPING_NODE && yamldoc_find(&r->doc, node, "field") == NULL &&
        yamldoc_find(&r->doc, node, "match") == NULL)
        yamldoc_fault(&r->doc, node,
                      "the rule has neither \"field\" nor \"match\" (add one, such as \"field: "
                      "code=H12\" or \"match: 'WORKER TIMEOUT'\")");
}

static void read_rules(void *ctx, const struct yamldoc_key *key, yaml_node_t *value, void *target)
{
    struct reader *r = ctx;
    struct rules *rules = target;
    size_t n;

    if (value->type != YAML_SEQUENCE_NODE || (n = yamldoc_length(value)) == 0) {
        yamldoc_fault(&r->doc, value, "%s: is not a list of rules (begin each with \"  - %s\")",
                      key->name, rule_keys[0].example);
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
        read_rule(r, yamldoc_item(&r->doc, value, i), &r->out->list[i]);
}

static const struct yamldoc_key slack_keys[] = {
    {"channel", read_channel, offsetof(struct reader, channel), true, CHANNEL_MAX_BYTES,
     "channel: C0123456789"},
};
enum { SLACK_KEYS = sizeof slack_keys / sizeof slack_keys[0] };

static void read_slack(void *ctx, const struct yamldoc_key *key, yaml_node_t *value, void *target)
{
    struct reader *r = ctx;

    (void)target;
    yamldoc_read_mapping(&r->doc, value, key->name, slack_keys, SLACK_KEYS, r, r);
}

/* The keys of the file. */
static const struct yamldoc_key file_keys[] = {
    {"app", read_text, offsetof(struct rules, app), true, NAME_MAX_BYTES, "app: my-app"},
    {"slack", read_slack, 0, false, 0, "slack: {channel: C0123456789}"},
    {"rules", read_rules, 0, true, 0, "rules:"},
};
enum { FILE_KEYS = sizeof file_keys / sizeof file_keys[0] };

/* Gives each rule that names no channel the file's. */
static void fill_channels(struct reader *r)
{
    bool has_slack = yamldoc_find(&r->doc, yamldoc_root(&r->doc), "slack") != NULL;

    for (size_t i = 0; i < r->out->rules.n; i++) {
        yaml_node_t *node = yamldoc_item(&r->doc, r->rules, i);
        struct rule *rule = &r->out->list[i];

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

struct named {
    const char *name;
    size_t line;
};

static int by_name_and_line(const void *a, const void *b)
{
    const struct named *x = a, *y = b;
    int order = strcmp(x->name, y->name);

    return order != 0 ? order : (x->line > y->line) - (x->line < y->line);
}

/* Equal names stand side by side once they are sorted. */
static void check_names(struct reader *r)
{
    size_t n = 0, first = 0;
    struct named *names = calloc(r->out->rules.n + 1, sizeof *names);

    if (names == NULL) {
        r->doc.out_of_memory = true;
        return;
    }
    for (size_t i = 0; i < r->out->rules.n; i++) {
        size_t line = yamldoc_line(yamldoc_item(&r->doc, r->rules, i));

        if (r->out->list[i].name != NULL)
            names[n++] = (struct named){.name = r->out->list[i].name, .line = line};
    }
    qsort(names, n, sizeof *names, by_name_and_line);
    for (size_t i = 1; i < n; i++) {
        if (strcmp(names[i].name, names[first].name) != 0)
            first = i;
        else
            yamldoc_fault_at(&r->doc, names[i].line,
                             "name: \"%s\" is the name of the rule on line %zu too (rename one)",
                             names[i].name, names[first].line);
    }
    free(names);
}

static void read_file(struct reader *r)
{
    yaml_node_t *root = yamldoc_root(&r->doc);

    yamldoc_read_mapping(&r->doc, root, "the file", file_keys, FILE_KEYS, r, &r->out->rules);
    if (root->type != YAML_MAPPING_NODE)
        return;
    fill_channels(r);
    check_names(r);
}

static void free_owned(struct owned *o)
{
    yaml_document_delete(&o->tree);
    free(o->list);
    free(o->items);
    free(o->fields);
    free(o);
}

/* Takes the document over; NULL where memory ran out, and then it is gone. */
static struct owned *new_owned(struct yamldoc *d)
{
    size_t n = (size_t)(d->tree.nodes.top - d->tree.nodes.start);
    struct owned *o = calloc(1, sizeof *o);

    if (o == NULL) {
        yamldoc_close(d);
        return NULL;
    }
    o->tree = d->tree;
    o->items = calloc(n, sizeof *o->items);
    o->fields = calloc(n, sizeof *o->fields);
    if (o->items != NULL && o->fields != NULL)
        return o;
    free_owned(o);
    return NULL;
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
    struct reader r = {.doc = {.file = file, .faults = faults}};
    int rc;

    *out = NULL;
    if (len == 0)
        text = ""; /* it may be NULL then, which libyaml does not take */
    if (len > RULES_TEXT_MAX)
        return too_large(&r.doc, len);
    rc = yamldoc_open(&r.doc, text, len, file, faults);
    if (rc != 0)
        return rc;
    r.out = new_owned(&r.doc);
    if (r.out == NULL)
        return ERR_NOMEM;
    read_file(&r);
    rc = yamldoc_finish(&r.doc);
    if (rc == 0)
        *out = &r.out->rules;
    else
        free_owned(r.out);
    return rc;
}

void rules_free(const struct rules *rules)
{
    if (rules != NULL) /* only rules_parse makes them, as the first member of what it owns */
        free_owned((struct owned *)(uintptr_t)rules);
}

const char *rules_app(const struct rules *rules, const char *drain)
{
    (void)drain;
    return rules->app;
}
