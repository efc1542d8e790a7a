/* The state of reading a rules file: its document, and the arrays that its lists fill.
 *
 * The rules' texts lie in the document. Each array has room for all nodes of the document, so no
 * list can outgrow it. Pure. */
#ifndef DRAINWATCH_COMMON_RULES_READER_H
#define DRAINWATCH_COMMON_RULES_READER_H

#include "common/rules/rules.h"
#include "common/rules/yamlmap.h"

/* The rules that rules_parse returns, with all that they own. */
struct reader_rules {
    struct rules rules; /* first: rules_free gets its address */
    yaml_document_t tree;
    struct rule *list;
    const char **items; /* of all struct rules_list: two for each node */
    struct rules_field *fields;
    struct rules_drain *drains;
    char **made; /* texts that do not stand in the document */
    size_t n_made;
};

/* A name with its line, to find names that come twice. */
struct reader_name {
    const char *name;
    size_t line;
    size_t index; /* in its list */
};

struct reader {
    struct yamldoc doc; /* first, as yamlmap_read asks */
    struct reader_rules *out;
    size_t *lines;               /* of out->items, one for one */
    size_t *drain_lines;         /* of out->drains, one for one */
    struct reader_name *apps;    /* of the file's `apps`; apps_check sorts them */
    struct reader_name *scratch; /* for sorting */
    size_t n_items;              /* used of out->items */
    size_t n_fields;             /* used of out->fields */
    size_t n_redacts;            /* expressions of all `redact` */
    size_t n_apps;
    yaml_node_t *rules;         /* the sequence whose items are out->list, one for one, or NULL */
    const char *channel;        /* slack.channel */
    struct rules_list mentions; /* slack.mention */
};

/* Makes the arrays for a document that was opened, and takes it over. Returns 0, or ERR_NOMEM with
 * the document closed and nothing to free. */
int reader_open(struct reader *r);
/* Frees the arrays. The rules in r->out stay; reader_free_rules frees them. */
void reader_close(struct reader *r);
void reader_free_rules(struct reader_rules *o);

/* Adds a text, with its line, to the list that is being read. */
void reader_take(struct reader *r, const char *text, size_t line);
/* Adds `text` with `tail` after it, as a text of its own. */
void reader_take_joined(struct reader *r, const char *text, const char *tail, size_t line);
/* Reads all items of a key's list into `list`. */
void reader_read_list(struct reader *r, const struct yamlmap_key *key, yaml_node_t *value,
                      yamlmap_item_fn *read, struct rules_list *list);
/* The line of a list's item. */
size_t reader_line(const struct reader *r, const struct rules_list *list, size_t i);

/* Sorts the names; equal names by line. */
void reader_sort(struct reader_name *names, size_t n);
/* Reports each item of a key's list that stands in it before. */
void reader_report_twice(struct reader *r, const char *key, const struct rules_list *list);
/* Reports a list of more than `most` items, or one that holds an item twice. */
void reader_check_list(struct reader *r, const struct yamlmap_key *key, yaml_node_t *value,
                       const struct rules_list *list, size_t most);

#endif
