#include "alerter/ruleset.h"

#include <stdlib.h>
#include <string.h>

static int by_name(const void *a, const void *b)
{
    const struct rule *const *x = a, *const *y = b;

    return strcmp((*x)->name, (*y)->name);
}

static int name_is(const void *name, const void *rule)
{
    const struct rule *const *r = rule;

    return strcmp(name, (*r)->name);
}

/* An err is one line, so the first fault stands for all; `--check` shows each. */
static int refuse(const struct buf *faults, struct err *err)
{
    const char *text = buf_text(faults);
    size_t lines = 0, first = strcspn(text, "\n");

    for (const char *p = text; *p != 0; p++)
        lines += *p == '\n';
    if (lines > 1)
        return err_set(err, ERR_INPUT, "%.*s (and %zu more)", (int)first, text, lines - 1);
    return err_set(err, ERR_INPUT, "%.*s", (int)first, text);
}

static int parse(struct ruleset *set, struct err *err)
{
    struct buf faults;
    int rc;

    buf_init(&faults, RULES_FAULTS_MAX);
    rc = rules_parse(set->text, set->len, "rules", &set->rules, &faults);
    if (rc == ERR_NOMEM)
        err_set(err, rc, "rules: no memory");
    else if (rc != 0)
        rc = refuse(&faults, err);
    buf_close(&faults);
    return rc;
}

static int no_memory(struct ruleset *set, struct err *err)
{
    ruleset_close(set);
    return err_set(err, ERR_NOMEM, "rules: no memory");
}

int ruleset_read(struct ruleset *set, const char *text, size_t len, struct err *err)
{
    int rc;

    *set = (struct ruleset){.len = len};
    set->text = malloc(len + 1);
    if (set->text == NULL)
        return no_memory(set, err);
    if (len > 0)
        memcpy(set->text, text, len);
    set->text[len] = 0;
    rc = parse(set, err);
    if (rc != 0) {
        set->rules = NULL;
        ruleset_close(set);
        return rc;
    }
    set->by_name = malloc((set->rules->n + 1) * sizeof(struct rule *));
    if (set->by_name == NULL)
        return no_memory(set, err);
    for (size_t i = 0; i < set->rules->n; i++)
        set->by_name[i] = &set->rules->rules[i];
    qsort(set->by_name, set->rules->n, sizeof(struct rule *), by_name);
    return 0;
}

void ruleset_close(struct ruleset *set)
{
    free(set->by_name);
    rules_free(set->rules);
    free(set->text);
    *set = (struct ruleset){0};
}

const struct rule *ruleset_find(const struct ruleset *set, const char *name)
{
    const struct rule **found;

    if (set->rules == NULL)
        return NULL;
    found = bsearch(name, set->by_name, set->rules->n, sizeof(struct rule *), name_is);
    return found == NULL ? NULL : *found;
}

static bool same_list(const struct rules_list *a, const struct rules_list *b)
{
    if (a->n != b->n)
        return false;
    for (size_t i = 0; i < a->n; i++) {
        if (strcmp(a->items[i], b->items[i]) != 0)
            return false;
    }
    return true;
}

static bool same_fields(const struct rule *a, const struct rule *b)
{
    if (a->n_fields != b->n_fields)
        return false;
    for (size_t i = 0; i < a->n_fields; i++) {
        if (strcmp(a->fields[i].key, b->fields[i].key) != 0 ||
            strcmp(a->fields[i].value, b->fields[i].value) != 0 ||
            a->fields[i].is_pattern != b->fields[i].is_pattern)
            return false;
    }
    return true;
}

bool ruleset_same_matching(const struct rule *a, const struct rule *b)
{
    return same_list(&a->sources, &b->sources) && same_list(&a->processes, &b->processes) &&
           same_list(&a->matches, &b->matches) && same_list(&a->unless, &b->unless) &&
           same_list(&a->group_by, &b->group_by) && same_fields(a, b);
}
