#include "common/base/err.h"
#include "common/base/time.h"
#include "common/rules/expression.h"
#include "common/rules/rules_impl.h"

#include <assert.h>
#include <string.h>
#include <strings.h>

#define WITHIN_MAX_US (31 * TIME_DAY)
#define COOLDOWN_MAX_US (365 * TIME_DAY)
#define COOLDOWN_DEFAULT_US (5 * TIME_MINUTE)

enum {
    MORE_THAN_MAX = 1000000000,
    TEXT_MAX_BYTES = 1000,
    TITLE_MAX_BYTES = 150, /* a Slack header holds 150 characters */
    SOURCE_MAX_BYTES = 48, /* APP-NAME and PROCID, RFC 5424 section 6 */
    PROCESS_MAX_BYTES = 128,
    GROUP_KEY_MAX_BYTES = 100,
    MENTIONS_MAX = 20, /* of one rule: a message has to hold them */
    /* Of the file: each is compiled when the rules are read, in 1 ms or some, and all of them into
     * one database. */
    REDACTS_MAX = 500,
};

static void read_text(void *ctx, const struct yamldoc_key *key, yaml_node_t *value, void *target)
{
    struct rules_reader *r = ctx;
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
    struct rules_reader *r = ctx;
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

/* An id of Slack's, of one of these kinds. */
static bool is_id(const char *text, const char *kinds)
{
    return *text != '\0' && strchr(kinds, *text) != NULL &&
           text[strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")] == '\0';
}

/* chat.postMessage takes an id or a name, the name with or without "#". */
void rules_read_channel(void *ctx, const struct yamldoc_key *key, yaml_node_t *value, void *target)
{
    char shown[YAMLDOC_SHOWN_SIZE];
    struct rules_reader *r = ctx;
    const char *text = yamlvalue_text(&r->doc, key, value);

    if (text == NULL)
        return;
    if (strpbrk(text, " \t") != NULL)
        yamldoc_fault(&r->doc, value,
                      "channel: \"%s\" holds a space (write one channel's id, or its name as "
                      "'#name')",
                      yamldoc_shown(value, shown));
    else if (strcmp(text, "#") == 0)
        yamldoc_fault(&r->doc, value,
                      "channel: \"#\" names no channel (write the id, such as C0123456789, or the "
                      "name, such as '#general')");
    else
        *(const char **)target = text;
}

static void read_more_than(void *ctx, const struct yamldoc_key *key, yaml_node_t *value,
                           void *target)
{
    struct rules_reader *r = ctx;

    yamlvalue_number(&r->doc, key, value, MORE_THAN_MAX, target);
}

static void read_within(void *ctx, const struct yamldoc_key *key, yaml_node_t *value, void *target)
{
    struct rules_reader *r = ctx;

    yamlvalue_duration(&r->doc, key, value, WITHIN_MAX_US, target);
}

static void read_cooldown(void *ctx, const struct yamldoc_key *key, yaml_node_t *value,
                          void *target)
{
    struct rules_reader *r = ctx;

    yamlvalue_duration(&r->doc, key, value, COOLDOWN_MAX_US, target);
}

static void read_sample(void *ctx, const struct yamldoc_key *key, yaml_node_t *value, void *target)
{
    struct rules_reader *r = ctx;

    yamlvalue_bool(&r->doc, key, value, target);
}

static void read_severity(void *ctx, const struct yamldoc_key *key, yaml_node_t *value,
                          void *target)
{
    static const char *const known[] = {"info", "warning", "error", "critical"};
    char shown[YAMLDOC_SHOWN_SIZE];
    struct rules_reader *r = ctx;
    const char *text = yamlvalue_text(&r->doc, key, value);

    if (text == NULL)
        return;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (strcmp(text, known[i]) == 0) {
            *(const char **)target = text;
            return;
        }
    }
    yamldoc_fault(&r->doc, value,
                  "severity: \"%s\" is not a severity (write info, warning, error or critical)",
                  yamldoc_shown(value, shown));
}

static void read_list(struct rules_reader *r, const struct yamldoc_key *key, yaml_node_t *value,
                      yamlvalue_item_fn *read, struct rules_list *target)
{
    const char *const *first = r->out->items + r->n_items;
    size_t before = r->n_items;

    yamlvalue_each(&r->doc, key, value, read, r);
    *target = (struct rules_list){.items = first, .n = r->n_items - before};
}

/* Reports a list that is too long, or holds an item twice. */
static void check_list(struct rules_reader *r, const struct yamldoc_key *key, yaml_node_t *value,
                       const struct rules_list *list, size_t most)
{
    if (list->n > most)
        yamldoc_fault(&r->doc, value, "%s: is a list of %zu (keep %zu at most)", key->name, list->n,
                      most);
    else
        rules_report_twice(r, key->name, list);
}

static void read_source_item(void *ctx, const struct yamldoc_key *key, yaml_node_t *item)
{
    char shown[YAMLDOC_SHOWN_SIZE];
    struct rules_reader *r = ctx;
    const char *text = yamlvalue_text(&r->doc, key, item);
    const char *own;

    if (text == NULL)
        return;
    own = strcasecmp(text, "heroku") == 0 ? "heroku" : strcasecmp(text, "app") == 0 ? "app" : NULL;
    if (!is_plain(text, "[]*\","))
        yamldoc_fault(
            &r->doc, item,
            "source: \"%s\" is not a log source (write one whole name, such as \"heroku\" "
            "or \"app\"; the name in brackets is a process)",
            yamldoc_shown(item, shown));
    else if (own != NULL && strcmp(text, own) != 0)
        yamldoc_fault(&r->doc, item,
                      "source: \"%s\" matches no line (log sources are lower case: write \"%s\")",
                      yamldoc_shown(item, shown), own);
    else
        rules_take_item(r, text, yamldoc_line(item));
}

static void read_process_item(void *ctx, const struct yamldoc_key *key, yaml_node_t *item)
{
    char shown[YAMLDOC_SHOWN_SIZE];
    struct rules_reader *r = ctx;
    const char *text = yamlvalue_text(&r->doc, key, item);
    const char *star;

    if (text == NULL)
        return;
    star = strchr(text, '*');
    if (!is_plain(text, "[]\",") || (star != NULL && star[1] != '\0'))
        yamldoc_fault(
            &r->doc, item,
            "process: \"%s\" is not a process (write a whole name, such as \"router\", or "
            "its beginning and one \"*\", such as \"web.*\")",
            yamldoc_shown(item, shown));
    else
        rules_take_item(r, text, yamldoc_line(item));
}

static void read_any_item(void *ctx, const struct yamldoc_key *key, yaml_node_t *item)
{
    struct rules_reader *r = ctx;
    const char *text = yamlvalue_text(&r->doc, key, item);

    if (text != NULL)
        rules_take_item(r, text, yamldoc_line(item));
}

/* Whether the expression can be used, which else is reported for the text that holds it. */
static bool check_expression(struct rules_reader *r, const struct yamldoc_key *key,
                             yaml_node_t *item, const char *expression, enum expression_use use)
{
    char shown[YAMLDOC_SHOWN_SIZE];
    struct err err;
    int rc;

    yamldoc_shown(item, shown); /* before a field is split, and so cut */
    rc = expression_check(expression, use, &err);
    if (rc == ERR_NOMEM)
        r->doc.out_of_memory = true;
    else if (rc != 0)
        yamldoc_fault(&r->doc, item, "%s: \"%s\" cannot be used: %s", key->name, shown, err.text);
    return rc == 0;
}

static void read_line_item(void *ctx, const struct yamldoc_key *key, yaml_node_t *item)
{
    struct rules_reader *r = ctx;
    const char *text = yamlvalue_text(&r->doc, key, item);

    if (text != NULL && check_expression(r, key, item, text, EXPRESSION_LINE))
        rules_take_item(r, text, yamldoc_line(item));
}

static void read_redact_item(void *ctx, const struct yamldoc_key *key, yaml_node_t *item)
{
    struct rules_reader *r = ctx;
    const char *text = yamlvalue_text(&r->doc, key, item);

    if (text == NULL || ++r->n_redacts > REDACTS_MAX + 1)
        return;
    if (r->n_redacts > REDACTS_MAX)
        yamldoc_fault(&r->doc, item,
                      "redact: the file holds more than %d of these expressions (put some together "
                      "as \"a|b\", or write what all rules share once, at the top of the file)",
                      REDACTS_MAX);
    else if (check_expression(r, key, item, text, EXPRESSION_REDACT))
        rules_take_item(r, text, yamldoc_line(item));
}

/* Splits the text where it lies: its first "=" becomes the end of the key. */
static void read_field_item(void *ctx, const struct yamldoc_key *key, yaml_node_t *item)
{
    char shown[YAMLDOC_SHOWN_SIZE];
    struct rules_reader *r = ctx;
    char *text = yamlvalue_text(&r->doc, key, item);
    struct rules_field field = {.key = text};
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
    field.value = equals + 1;
    field.is_pattern = strpbrk(field.value, "\\^$.[]|()?*+{}") != NULL;
    if (field.is_pattern && !check_expression(r, key, item, field.value, EXPRESSION_VALUE))
        return;
    *equals = '\0';
    r->out->fields[r->n_fields++] = field;
}

static void read_group_item(void *ctx, const struct yamldoc_key *key, yaml_node_t *item)
{
    char shown[YAMLDOC_SHOWN_SIZE];
    struct rules_reader *r = ctx;
    const char *text = yamlvalue_text(&r->doc, key, item);

    if (text == NULL)
        return;
    if (strpbrk(text, " \t,=\"'") != NULL)
        yamldoc_fault(&r->doc, item,
                      "group_by: \"%s\" is not a key (write \"process\", or the key alone of a "
                      "KEY=VALUE pair; several as a list, such as \"group_by: [process, path]\")",
                      yamldoc_shown(item, shown));
    else
        rules_take_item(r, text, yamldoc_line(item));
}

/* The word for everybody that was meant, "@" or not, or NULL. */
static const char *mention_word(const char *text)
{
    static const char *const words[] = {"here", "channel", "everyone", "none"};

    text += text[0] == '@';
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strcasecmp(text, words[i]) == 0)
            return words[i];
    }
    return NULL;
}

/* In a message "@anna" is plain text: Slack knows members and groups by their ids alone. */
static void read_mention_item(void *ctx, const struct yamldoc_key *key, yaml_node_t *item)
{
    char shown[YAMLDOC_SHOWN_SIZE];
    struct rules_reader *r = ctx;
    const char *text = yamlvalue_text(&r->doc, key, item);
    const char *word;

    if (text == NULL)
        return;
    word = mention_word(text);
    if (is_id(text, "UWS") || (word != NULL && strcmp(text, word) == 0))
        rules_take_item(r, text, yamldoc_line(item));
    else if (word != NULL)
        yamldoc_fault(&r->doc, item, "mention: \"%s\" is not known to Slack (write \"%s\")",
                      yamldoc_shown(item, shown), word);
    else
        yamldoc_fault(
            &r->doc, item,
            "mention: \"%s\" is neither an id nor here, channel, everyone or none (nobody "
            "is mentioned by name: write a member's id, such as U0123456789, or a user "
            "group's, such as S0123456789)",
            yamldoc_shown(item, shown));
}

static void read_source(void *ctx, const struct yamldoc_key *key, yaml_node_t *value, void *target)
{
    read_list(ctx, key, value, read_source_item, target);
}

static void read_process(void *ctx, const struct yamldoc_key *key, yaml_node_t *value, void *target)
{
    read_list(ctx, key, value, read_process_item, target);
}

/* Each is one of the file's, which is known when all of it was read. */
static void read_apps(void *ctx, const struct yamldoc_key *key, yaml_node_t *value, void *target)
{
    read_list(ctx, key, value, read_any_item, target);
}

static void read_expressions(void *ctx, const struct yamldoc_key *key, yaml_node_t *value,
                             void *target)
{
    read_list(ctx, key, value, read_line_item, target);
}

void rules_read_redact(void *ctx, const struct yamldoc_key *key, yaml_node_t *value, void *target)
{
    read_list(ctx, key, value, read_redact_item, target);
}

static void read_group_by(void *ctx, const struct yamldoc_key *key, yaml_node_t *value,
                          void *target)
{
    read_list(ctx, key, value, read_group_item, target);
    check_list(ctx, key, value, target, RULES_GROUP_BY_MAX);
}

void rules_read_mention(void *ctx, const struct yamldoc_key *key, yaml_node_t *value, void *target)
{
    struct rules_reader *r = ctx;
    struct rules_list *list = target;

    read_list(r, key, value, read_mention_item, list);
    check_list(r, key, value, list, MENTIONS_MAX);
    for (size_t i = 0; i < list->n && list->n > 1; i++) {
        if (strcmp(list->items[i], "none") == 0)
            yamldoc_fault_at(&r->doc, rules_item_line(r, list, i),
                             "mention: \"none\" stands with others (leave it out, or write "
                             "\"mention: none\" alone)");
    }
    if (list->n == 1 && strcmp(list->items[0], "none") == 0)
        list->n = 0;
}

static void read_field(void *ctx, const struct yamldoc_key *key, yaml_node_t *value, void *target)
{
    struct rules_reader *r = ctx;
    struct rule *rule = target;
    size_t before = r->n_fields;

    yamlvalue_each(&r->doc, key, value, read_field_item, r);
    rule->fields = r->out->fields + before;
    rule->n_fields = r->n_fields - before;
}

/* The keys of a rule. A new key is a row here, a member of struct rule, and a function above. */
static const struct yamldoc_key rule_keys[] = {
    {"name", read_name, offsetof(struct rule, name), true, RULES_NAME_MAX_BYTES,
     RULES_NAME_EXAMPLE},
    {"title", read_text, offsetof(struct rule, title), false, TITLE_MAX_BYTES,
     "title: H12 request timeouts"},
    {"severity", read_severity, offsetof(struct rule, severity), false, TEXT_MAX_BYTES,
     "severity: critical"},
    {"source", read_source, offsetof(struct rule, sources), false, SOURCE_MAX_BYTES,
     "source: heroku"},
    {"process", read_process, offsetof(struct rule, processes), false, PROCESS_MAX_BYTES,
     "process: router"},
    {"apps", read_apps, offsetof(struct rule, apps), false, RULES_NAME_MAX_BYTES, "apps: my-app"},
    {"field", read_field, 0, false, TEXT_MAX_BYTES, "field: code=H12"},
    {"match", read_expressions, offsetof(struct rule, matches), false, RULES_EXPRESSION_MAX_BYTES,
     "match: 'WORKER TIMEOUT'"},
    {"unless", read_expressions, offsetof(struct rule, unless), false, RULES_EXPRESSION_MAX_BYTES,
     "unless: 'path=\"/healthz\"'"},
    {"more_than", read_more_than, offsetof(struct rule, more_than), true, TEXT_MAX_BYTES,
     "more_than: 3"},
    {"within", read_within, offsetof(struct rule, within_us), true, TEXT_MAX_BYTES, "within: 5m"},
    {"cooldown", read_cooldown, offsetof(struct rule, cooldown_us), false, TEXT_MAX_BYTES,
     "cooldown: 5m"},
    {"group_by", read_group_by, offsetof(struct rule, group_by), false, GROUP_KEY_MAX_BYTES,
     "group_by: path"},
    {"redact", rules_read_redact, offsetof(struct rule, redacts), false, RULES_EXPRESSION_MAX_BYTES,
     "redact: 'token=\\S+'"},
    {"sample", read_sample, offsetof(struct rule, sample), false, TEXT_MAX_BYTES, "sample: no"},
    {"runbook", read_text, offsetof(struct rule, runbook), false, TEXT_MAX_BYTES,
     "runbook: docs/runbook.md"},
    {"channel", rules_read_channel, offsetof(struct rule, channel), false, RULES_CHANNEL_MAX_BYTES,
     "channel: C0123456789"},
    {"mention", rules_read_mention, offsetof(struct rule, mentions), false, RULES_MENTION_MAX_BYTES,
     "mention: here"},
};
enum { RULE_KEYS = sizeof rule_keys / sizeof rule_keys[0] };

static bool came(uint32_t rows, const char *name)
{
    return yamldoc_came(rows, rule_keys, RULE_KEYS, name);
}

void rules_read_rule(struct rules_reader *r, yaml_node_t *node, struct rule *rule)
{
    uint32_t rows;

    *rule = (struct rule){
        .severity = "", .runbook = "", .sample = true, .cooldown_us = COOLDOWN_DEFAULT_US};
    rows = yamldoc_read_mapping(&r->doc, node, "the rule", rule_keys, RULE_KEYS, r, rule);
    if (rule->title == NULL)
        rule->title = rule->name;
    if (!came(rows, "field") && !came(rows, "match"))
        yamldoc_fault(&r->doc, node,
                      "the rule has neither \"field\" nor \"match\"%s (add one, such as \"field: "
                      "code=H12\" or \"match: 'WORKER TIMEOUT'\")",
                      came(rows, "unless") ? ", and \"unless\" only takes lines away" : "");
}
