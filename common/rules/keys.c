/* Reads one rule by the table of its keys; called by rules.c for each. */
#include "common/rules/keys.h"

#include "common/base/time.h"
#include "common/rules/apps.h"
#include "common/rules/conditions.h"
#include "common/rules/recipients.h"

#include <stdlib.h>
#include <string.h>

#define WITHIN_MAX_US ((size_t)(31 * TIME_DAY))
#define COOLDOWN_MAX_US ((size_t)(365 * TIME_DAY))
#define COOLDOWN_DEFAULT_US (5 * TIME_MINUTE)

enum {
    MORE_THAN_MAX = 1000000000,
    TEXT_MAX_BYTES = 1000,
    TITLE_MAX_BYTES = 150, /* a Slack header holds 150 characters */
    GROUP_KEY_MAX_BYTES = 100,
    MESSAGES_MAX = 1000,
};

static void read_name(void *ctx, const struct yamlmap_key *key, yaml_node_t *value, void *target)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyz"
                                  "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
    struct reader *r = ctx;
    const char *text = yamlmap_text(&r->doc, key, value);

    if (text == NULL)
        return;
    if (text[strspn(text, allowed)] != '\0')
        yamldoc_refuse(&r->doc, value, key->name,
                       "is not a name (use letters, digits, \"-\", \"_\" and \".\")");
    else
        *(const char **)target = text;
}

static void read_severity(void *ctx, const struct yamlmap_key *key, yaml_node_t *value,
                          void *target)
{
    static const char *const known[] = {"info", "warning", "error", "critical"};
    struct reader *r = ctx;
    const char *text = yamlmap_text(&r->doc, key, value);

    if (text == NULL)
        return;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (strcmp(text, known[i]) == 0) {
            *(const char **)target = text;
            return;
        }
    }
    yamldoc_refuse(&r->doc, value, key->name,
                   "is not a severity (write info, warning, error or critical)");
}

/* "5/1m"; false for anything else. */
static bool parse_messages(const char *text, struct rules_messages *messages)
{
    const char *slash = strchr(text, '/');
    const size_t digits = strspn(text, "0123456789");

    if (slash == NULL || digits == 0 || digits > 9 || text + digits != slash)
        return false;
    messages->n = strtoul(text, NULL, 10);
    return time_parse_duration(slash + 1, strlen(slash + 1), &messages->period_us);
}

void keys_read_messages(void *ctx, const struct yamlmap_key *key, yaml_node_t *value, void *target)
{
    struct rules_messages messages;
    struct reader *r = ctx;
    const char *text = yamlmap_text(&r->doc, key, value);

    if (text == NULL)
        return;
    if (!parse_messages(text, &messages))
        yamldoc_refuse(&r->doc, value, key->name,
                       "is not a number of messages in a time (write \"%s\")", key->example);
    else if (messages.n < 1 || messages.n > MESSAGES_MAX)
        yamldoc_refuse(&r->doc, value, key->name, "has a wrong number (write 1 to %d messages)",
                       MESSAGES_MAX);
    else if (messages.period_us < TIME_S || messages.period_us > TIME_HOUR)
        yamldoc_refuse(&r->doc, value, key->name, "has a wrong time (write 1s to 1h)");
    else
        *(struct rules_messages *)target = messages;
}

static void read_any_item(void *ctx, const struct yamlmap_key *key, yaml_node_t *item)
{
    struct reader *r = ctx;
    const char *text = yamlmap_text(&r->doc, key, item);

    if (text != NULL)
        reader_take(r, text, yamldoc_line(item));
}

static void read_group_item(void *ctx, const struct yamlmap_key *key, yaml_node_t *item)
{
    struct reader *r = ctx;
    const char *text = yamlmap_text(&r->doc, key, item);

    if (text == NULL)
        return;
    if (strpbrk(text, " \t,=\"'") != NULL)
        yamldoc_refuse(&r->doc, item, key->name,
                       "is not a key (write \"process\", or the key alone of a KEY=VALUE pair; "
                       "several as a list, such as \"group_by: [process, path]\")");
    else
        reader_take(r, text, yamldoc_line(item));
}

/* apps_check compares them with the apps of the file once all of it was read. */
static void read_apps(void *ctx, const struct yamlmap_key *key, yaml_node_t *value, void *target)
{
    reader_read_list(ctx, key, value, read_any_item, target);
}

static void read_group_by(void *ctx, const struct yamlmap_key *key, yaml_node_t *value,
                          void *target)
{
    reader_read_list(ctx, key, value, read_group_item, target);
    reader_check_list(ctx, key, value, target, RULES_GROUP_BY_MAX);
}

/* The keys of a rule. A new key is a row here, a member of struct rule, and a function above. */
static const struct yamlmap_key rule_keys[] = {
    {"name", read_name, offsetof(struct rule, name), true, APPS_NAME_MAX_BYTES, KEYS_NAME_EXAMPLE},
    {"title", yamlmap_read_text, offsetof(struct rule, title), false, TITLE_MAX_BYTES,
     "title: H12 request timeouts"},
    {"severity", read_severity, offsetof(struct rule, severity), false, TEXT_MAX_BYTES,
     "severity: critical"},
    {"source", conditions_read_source, offsetof(struct rule, sources), false,
     CONDITIONS_SOURCE_MAX_BYTES, "source: heroku"},
    {"process", conditions_read_process, offsetof(struct rule, processes), false,
     CONDITIONS_PROCESS_MAX_BYTES, "process: router"},
    {"apps", read_apps, offsetof(struct rule, apps), false, APPS_NAME_MAX_BYTES, "apps: my-app"},
    {"field", conditions_read_field, 0, false, TEXT_MAX_BYTES, "field: code=H12"},
    {"match", conditions_read_expressions, offsetof(struct rule, matches), false,
     CONDITIONS_EXPRESSION_MAX_BYTES, "match: 'WORKER TIMEOUT'"},
    {"outside_quotes", yamlmap_read_bool, offsetof(struct rule, outside_quotes), false,
     TEXT_MAX_BYTES, "outside_quotes: yes"},
    {"unless", conditions_read_expressions, offsetof(struct rule, unless), false,
     CONDITIONS_EXPRESSION_MAX_BYTES, "unless: 'path=\"/healthz\"'"},
    {"more_than", yamlmap_read_number, offsetof(struct rule, more_than), true, MORE_THAN_MAX,
     "more_than: 3"},
    {"within", yamlmap_read_duration, offsetof(struct rule, within_us), true, WITHIN_MAX_US,
     "within: 5m"},
    {"cooldown", yamlmap_read_duration, offsetof(struct rule, cooldown_us), false, COOLDOWN_MAX_US,
     "cooldown: 5m"},
    {"messages", keys_read_messages, offsetof(struct rule, messages), false, TEXT_MAX_BYTES,
     KEYS_MESSAGES_EXAMPLE},
    {"group_by", read_group_by, offsetof(struct rule, group_by), false, GROUP_KEY_MAX_BYTES,
     "group_by: path"},
    {"fold_ids", yamlmap_read_bool, offsetof(struct rule, fold_ids), false, TEXT_MAX_BYTES,
     "fold_ids: yes"},
    {"redact", conditions_read_redact, offsetof(struct rule, redacts), false,
     CONDITIONS_EXPRESSION_MAX_BYTES, "redact: 'token=\\S+'"},
    {"sample", yamlmap_read_bool, offsetof(struct rule, sample), false, TEXT_MAX_BYTES,
     "sample: no"},
    {"runbook", yamlmap_read_text, offsetof(struct rule, runbook), false, TEXT_MAX_BYTES,
     "runbook: docs/runbook.md"},
    {"channel", recipients_read_channel, offsetof(struct rule, channel), false,
     RECIPIENTS_CHANNEL_MAX_BYTES, RECIPIENTS_CHANNEL_EXAMPLE},
    {"mention", recipients_read_mention, offsetof(struct rule, mentions), false,
     RECIPIENTS_MENTION_MAX_BYTES, RECIPIENTS_MENTION_EXAMPLE},
};
enum { RULE_KEYS = sizeof rule_keys / sizeof rule_keys[0] };

static bool came(uint32_t rows, const char *name)
{
    return yamlmap_came(rows, rule_keys, RULE_KEYS, name);
}

static bool groups_by(const struct rule *rule, const char *key)
{
    for (size_t i = 0; i < rule->group_by.n; i++) {
        if (strcmp(rule->group_by.items[i], key) == 0)
            return true;
    }
    return false;
}

void keys_read_rule(struct reader *r, yaml_node_t *node, struct rule *rule)
{
    uint32_t rows;

    *rule = (struct rule){
        .severity = "", .runbook = "", .sample = true, .cooldown_us = COOLDOWN_DEFAULT_US};
    rows = yamlmap_read(r, node, "the rule", rule_keys, RULE_KEYS, rule);
    if (rule->title == NULL)
        rule->title = rule->name;
    if (rule->fold_ids && !groups_by(rule, "path"))
        yamldoc_fault(&r->doc, node,
                      "fold_ids: there is no path to fold ids in (add \"group_by: path\", or take "
                      "\"fold_ids\" out)");
    if (rule->outside_quotes && !came(rows, "match"))
        yamldoc_fault(&r->doc, node,
                      "outside_quotes: there is no match that it could bind (a field never counts "
                      "inside of quotes: take \"outside_quotes\" out)");
    if (!came(rows, "field") && !came(rows, "match"))
        yamldoc_fault(&r->doc, node,
                      "the rule has neither \"field\" nor \"match\"%s (add one, such as \"field: "
                      "code=H12\" or \"match: 'WORKER TIMEOUT'\")",
                      came(rows, "unless") ? ", and \"unless\" only takes lines away" : "");
}
