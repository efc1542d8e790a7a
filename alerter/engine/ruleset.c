/* The rules in force, found by name. Called by the engine and by the commands that try rules. */

#include "alerter/engine/ruleset.h"

#include <stdlib.h>
#include <string.h>

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

static int file_all(struct ruleset *set)
{
    set->named = calloc(set->rules->n + 1, sizeof *set->named);
    if (set->named == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < set->rules->n; i++) {
        struct ruleset_named *named = &set->named[i];

        named->rule = &set->rules->rules[i];
        HASH_ADD_KEYPTR(hh, set->table, named->rule->name, strlen(named->rule->name), named);
        if (named->hh.tbl == NULL) /* uthash found no memory */
            return ERR_NOMEM;
    }
    return 0;
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
    return file_all(set) == 0 ? 0 : no_memory(set, err);
}

void ruleset_close(struct ruleset *set)
{
    HASH_CLEAR(hh, set->table);
    free(set->named);
    rules_free(set->rules);
    free(set->text);
    *set = (struct ruleset){0};
}

const struct rule *ruleset_find(const struct ruleset *set, const char *name)
{
    struct ruleset_named *named;

    HASH_FIND_STR(set->table, name, named);
    return named == NULL ? NULL : named->rule;
}

size_t ruleset_index(const struct ruleset *set, const struct rule *rule)
{
    return (size_t)(rule - set->rules->rules);
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

bool ruleset_same_lines(const struct rule *a, const struct rule *b)
{
    return same_list(&a->sources, &b->sources) && same_list(&a->processes, &b->processes) &&
           same_list(&a->matches, &b->matches) && same_list(&a->unless, &b->unless) &&
           a->outside_quotes == b->outside_quotes && same_fields(a, b);
}

bool ruleset_same_matching(const struct rule *a, const struct rule *b)
{
    return ruleset_same_lines(a, b) && same_list(&a->group_by, &b->group_by) &&
           a->fold_ids == b->fold_ids;
}

bool ruleset_has_groups(const struct rule *recorded, const struct rule *tried)
{
    if (tried->fold_ids != recorded->fold_ids)
        return false;
    for (size_t i = 0; i < tried->group_by.n; i++) {
        const char *key = tried->group_by.items[i];
        size_t at = 0;

        while (at < recorded->group_by.n && strcmp(recorded->group_by.items[at], key) != 0)
            at++;
        if (at == recorded->group_by.n && strcmp(key, "process") != 0) /* which each match has */
            return false;
    }
    return true;
}
