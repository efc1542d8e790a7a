/* What the parts of the rules reader share: rules.c has the file as a whole, rules_keys.c the keys
 * of a rule, rules_apps.c whom the drains belong to. Nobody else includes this. */
#ifndef DRAINWATCH_COMMON_RULES_RULES_IMPL_H
#define DRAINWATCH_COMMON_RULES_RULES_IMPL_H

#include "common/rules/rules.h"
#include "common/rules/yamldoc.h"
#include "common/rules/yamlvalue.h"

#define RULES_NAME_EXAMPLE "name: h12-request-timeout"

enum {
    RULES_NAME_MAX_BYTES = 100,
    RULES_CHANNEL_MAX_BYTES = 80,       /* Slack's names are shorter, its ids much */
    RULES_MENTION_MAX_BYTES = 32,       /* ids are shorter */
    RULES_EXPRESSION_MAX_BYTES = 16000, /* Hyperscan's own limit */
};

/* What rules_parse hands out. The texts lie in the document, which lives as long; the arrays are
 * as long as the document has nodes, so no list can outgrow them. */
struct rules_owned {
    struct rules rules; /* first, so that one is the other */
    yaml_document_t tree;
    struct rule *list;
    const char **items;
    struct rules_field *fields;
    struct rules_drain *drains;
};

/* A name and where it stands, to find what comes twice. */
struct rules_named {
    const char *name;
    size_t line;
    size_t index; /* in the list that it comes from */
};

/* The arrays here are as long as those above. */
struct rules_reader {
    struct yamldoc doc;
    struct rules_owned *out;
    size_t *lines;               /* of out->items, one for one */
    size_t *drain_lines;         /* of out->drains, one for one */
    struct rules_named *apps;    /* of the file's `apps`; sorted by rules_check_apps */
    struct rules_named *scratch; /* for rules_report_twice */
    size_t n_items;              /* taken of out->items */
    size_t n_fields;             /* taken of out->fields */
    size_t n_redacts;            /* expressions of all `redact` */
    size_t n_apps;
    yaml_node_t *rules;         /* the sequence whose items are out->list, one for one, or NULL */
    const char *channel;        /* slack.channel */
    struct rules_list mentions; /* slack.mention */
};

/* rules.c */

/* Takes a text, with its line, for the list that is being read. */
void rules_take_item(struct rules_reader *r, const char *text, size_t line);
/* The line of a list's item. */
size_t rules_item_line(const struct rules_reader *r, const struct rules_list *list, size_t i);
/* Sorts the names, by line where they are equal. */
void rules_sort_named(struct rules_named *names, size_t n);
/* Reports each item of a key's list that stands in it before. */
void rules_report_twice(struct rules_reader *r, const char *key, const struct rules_list *list);

/* rules_keys.c: values, as a row of a table reads them, and a whole rule. */
yamldoc_read_fn rules_read_channel, rules_read_mention, rules_read_redact;
void rules_read_rule(struct rules_reader *r, yaml_node_t *node, struct rule *rule);

/* rules_apps.c: the file's `app` and `apps`; then, when all is read, what drains and rules say of
 * them. */
yamldoc_read_fn rules_read_app, rules_read_apps;
void rules_check_apps(struct rules_reader *r);

#endif
