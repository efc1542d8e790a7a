/* Reads a rules file as a whole; both programs and most commands call it. */
#include "common/rules/rules.h"

#include "common/base/err.h"
#include "common/base/time.h"
#include "common/rules/apps.h"
#include "common/rules/conditions.h"
#include "common/rules/keys.h"
#include "common/rules/recipients.h"

#include <stdlib.h>
#include <string.h>

enum { TEXT_MAX_BYTES = 1000 };

static const struct rules_messages MESSAGES_DEFAULT = {.n = 5, .period_us = TIME_MINUTE};

static void read_rules(void *ctx, const struct yamlmap_key *key, yaml_node_t *value, void *target)
{
    struct reader *r = ctx;
    struct rules *rules = target;
    size_t n;

    if (value->type != YAML_SEQUENCE_NODE || (n = yamldoc_length(value)) == 0) {
        yamldoc_fault(&r->doc, value, "%s: is not a list of rules (begin each with \"  - %s\")",
                      key->name, KEYS_NAME_EXAMPLE);
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
        keys_read_rule(r, yamldoc_item(&r->doc, value, i), &r->out->list[i]);
}

static const struct yamlmap_key slack_keys[] = {
    {"channel", recipients_read_channel, offsetof(struct reader, channel), true,
     RECIPIENTS_CHANNEL_MAX_BYTES, RECIPIENTS_CHANNEL_EXAMPLE},
    {"mention", recipients_read_mention, offsetof(struct reader, mentions), false,
     RECIPIENTS_MENTION_MAX_BYTES, RECIPIENTS_MENTION_EXAMPLE},
};
enum { SLACK_KEYS = sizeof slack_keys / sizeof slack_keys[0] };

static void read_slack(void *ctx, const struct yamlmap_key *key, yaml_node_t *value, void *target)
{
    struct reader *r = ctx;

    (void)target;
    yamlmap_read(r, value, key->name, slack_keys, SLACK_KEYS, r);
}

/* The keys of the file. */
static const struct yamlmap_key file_keys[] = {
    {"app", apps_read_app, offsetof(struct rules, app), false, APPS_NAME_MAX_BYTES, "app: my-app"},
    {"apps", apps_read_apps, 0, false, 0, "apps: [{name: my-app, drain: my-app}]"},
    {"refuse", apps_read_refuse, offsetof(struct rules, refused), false, APPS_DRAIN_MAX_BYTES,
     "refuse: [old-app, d.01234567-89ab-cdef-0123-456789abcdef]"},
    {"slack", read_slack, 0, false, 0, "slack: {channel: C0123456789}"},
    {"redact", conditions_read_redact, offsetof(struct rules, redacts), false,
     CONDITIONS_EXPRESSION_MAX_BYTES, "redact: 'token=\\S+'"},
    {"messages", keys_read_messages, offsetof(struct rules, messages), false, TEXT_MAX_BYTES,
     KEYS_MESSAGES_EXAMPLE},
    {"rules", read_rules, 0, true, 0, "rules:"},
};
enum { FILE_KEYS = sizeof file_keys / sizeof file_keys[0] };

/* Gives each rule without a channel or mentions the file's. "mention: none" made an empty list. */
static void fill_from_slack(struct reader *r)
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

/* Gives each rule without a budget of messages the file's. */
static void fill_messages(struct reader *r)
{
    const struct rules_messages *messages = &r->out->rules.messages;

    for (size_t i = 0; i < r->out->rules.n; i++)
        if (r->out->list[i].messages.n == 0)
            r->out->list[i].messages = messages->n != 0 ? *messages : MESSAGES_DEFAULT;
}

/* Notes where the two values stand that a new user has to edit. */
static void note_lines(struct reader *r, yaml_node_t *root)
{
    struct rules *rules = &r->out->rules;
    yaml_node_t *app = yamldoc_find(&r->doc, root, "app");
    yaml_node_t *slack = yamldoc_find(&r->doc, root, "slack"), *channel = NULL;

    if (slack != NULL && slack->type == YAML_MAPPING_NODE)
        channel = yamldoc_find(&r->doc, slack, "channel");
    rules->channel = r->channel;
    rules->app_line = app != NULL ? yamldoc_line(app) : 0;
    rules->channel_line = channel != NULL ? yamldoc_line(channel) : 0;
}

static void check_names(struct reader *r)
{
    struct reader_name *names = r->scratch;
    size_t n = 0, first = 0;

    for (size_t i = 0; i < r->out->rules.n; i++) {
        size_t line = yamldoc_line(yamldoc_item(&r->doc, r->rules, i));

        if (r->out->list[i].name != NULL)
            names[n++] =
                (struct reader_name){.name = r->out->list[i].name, .line = line, .index = i};
    }
    reader_sort(names, n);
    for (size_t i = 1; i < n; i++) {
        if (strcmp(names[i].name, names[first].name) != 0)
            first = i;
        else
            yamldoc_fault_at(&r->doc, names[i].line,
                             "name: \"%s\" is the name of the rule on line %zu too (rename one)",
                             names[i].name, names[first].line);
    }
}

static void read_file(struct reader *r)
{
    yaml_node_t *root = yamldoc_root(&r->doc);
    uint32_t rows = yamlmap_read(r, root, "the file", file_keys, FILE_KEYS, &r->out->rules);

    if (root->type != YAML_MAPPING_NODE)
        return;
    if (!yamlmap_came(rows, file_keys, FILE_KEYS, "app") &&
        !yamlmap_came(rows, file_keys, FILE_KEYS, "apps"))
        yamldoc_fault(&r->doc, root,
                      "the file has neither \"app\" nor \"apps\" (add \"app: my-app\" as the name "
                      "of every drain, or \"apps: [{name: my-app, drain: my-app}]\" with a drain's "
                      "token or name for each app)");
    note_lines(r, root);
    fill_from_slack(r);
    fill_messages(r);
    check_names(r);
    apps_check(r);
}

/* Reads the document that was opened. The rules are in r->out if it returns 0. */
static int read_document(struct reader *r)
{
    int rc = reader_open(r);

    if (rc != 0)
        return rc;
    read_file(r);
    rc = yamldoc_finish(&r->doc);
    reader_close(r);
    if (rc != 0)
        reader_free_rules(r->out);
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
    struct reader r = {.doc = {.file = file, .faults = faults}};
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
    if (rules != NULL) /* rules_parse made them, as the first member of a struct reader_rules */
        reader_free_rules((struct reader_rules *)(uintptr_t)rules);
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

static int name_is(const void *name, const void *listed)
{
    const char *const *n = listed;

    return strcmp(name, *n);
}

bool rules_refuses(const struct rules *rules, const char *drain)
{
    const struct rules_list *list = &rules->refused;

    return list->n > 0 &&
           bsearch(drain, list->items, list->n, sizeof *list->items, name_is) != NULL;
}
