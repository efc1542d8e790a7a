/* Keeps the arrays of a rules file that is being read; called by all readers of its keys. */
#include "common/rules/reader.h"

#include "common/base/err.h"

#include <stdlib.h>
#include <string.h>

void reader_free_rules(struct reader_rules *o)
{
    yaml_document_delete(&o->tree);
    for (size_t i = 0; i < o->n_made; i++)
        free(o->made[i]);
    free(o->made);
    free(o->list);
    free(o->items);
    free(o->fields);
    free(o->drains);
    free(o);
}

static struct reader_rules *new_rules(struct yamldoc *d, size_t n)
{
    struct reader_rules *o = calloc(1, sizeof *o);

    if (o == NULL) {
        yamldoc_close(d);
        return NULL;
    }
    o->tree = d->tree;
    o->items = calloc(2 * n, sizeof *o->items);
    o->fields = calloc(n, sizeof *o->fields);
    o->drains = calloc(n, sizeof *o->drains);
    o->made = calloc(n, sizeof *o->made);
    if (o->items != NULL && o->fields != NULL && o->drains != NULL && o->made != NULL)
        return o;
    reader_free_rules(o);
    return NULL;
}

int reader_open(struct reader *r)
{
    size_t n = (size_t)(r->doc.tree.nodes.top - r->doc.tree.nodes.start);

    r->out = new_rules(&r->doc, n);
    if (r->out == NULL)
        return ERR_NOMEM;
    r->lines = calloc(2 * n, sizeof *r->lines);
    r->drain_lines = calloc(n, sizeof *r->drain_lines);
    r->apps = calloc(n, sizeof *r->apps);
    r->scratch = calloc(2 * n, sizeof *r->scratch);
    if (r->lines != NULL && r->drain_lines != NULL && r->apps != NULL && r->scratch != NULL)
        return 0;
    reader_close(r);
    reader_free_rules(r->out);
    return ERR_NOMEM;
}

void reader_close(struct reader *r)
{
    free(r->scratch);
    free(r->apps);
    free(r->drain_lines);
    free(r->lines);
}

void reader_take(struct reader *r, const char *text, size_t line)
{
    r->lines[r->n_items] = line;
    r->out->items[r->n_items++] = text;
}

void reader_take_joined(struct reader *r, const char *text, const char *tail, size_t line)
{
    size_t n = strlen(text), size = n + strlen(tail) + 1;
    char *joined = malloc(size);

    if (joined == NULL) {
        r->doc.out_of_memory = true;
        return;
    }
    memcpy(joined, text, n);
    memcpy(joined + n, tail, size - n);
    r->out->made[r->out->n_made++] = joined;
    reader_take(r, joined, line);
}

void reader_read_list(struct reader *r, const struct yamlmap_key *key, yaml_node_t *value,
                      yamlmap_item_fn *read, struct rules_list *list)
{
    const char *const *first = r->out->items + r->n_items;
    size_t before = r->n_items;

    yamlmap_each(r, key, value, read);
    *list = (struct rules_list){.items = first, .n = r->n_items - before};
}

size_t reader_line(const struct reader *r, const struct rules_list *list, size_t i)
{
    return r->lines[(size_t)(list->items - r->out->items) + i];
}

static int by_name_and_line(const void *a, const void *b)
{
    const struct reader_name *x = a, *y = b;
    int order = strcmp(x->name, y->name);

    return order != 0 ? order : (x->line > y->line) - (x->line < y->line);
}

void reader_sort(struct reader_name *names, size_t n)
{
    qsort(names, n, sizeof *names, by_name_and_line);
}

/* Equal names stand side by side once they are sorted. */
void reader_report_twice(struct reader *r, const char *key, const struct rules_list *list)
{
    const struct reader_name *names = r->scratch;
    size_t first = 0;

    for (size_t i = 0; i < list->n; i++)
        r->scratch[i] = (struct reader_name){
            .name = list->items[i], .line = reader_line(r, list, i), .index = i};
    reader_sort(r->scratch, list->n);
    for (size_t i = 1; i < list->n; i++) {
        if (strcmp(names[i].name, names[first].name) != 0)
            first = i;
        else
            yamldoc_fault_at(&r->doc, names[i].line,
                             "%s: \"%s\" comes twice, first on line %zu (keep one of them)", key,
                             names[i].name, names[first].line);
    }
}

void reader_check_list(struct reader *r, const struct yamlmap_key *key, yaml_node_t *value,
                       const struct rules_list *list, size_t most)
{
    if (list->n > most)
        yamldoc_fault(&r->doc, value, "%s: is a list of %zu (keep %zu at most)", key->name, list->n,
                      most);
    else
        reader_report_twice(r, key->name, list);
}
