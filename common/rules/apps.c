/* Reads which drain belongs to which app; called for two rows of rules.c, and at its end. */
#include "common/rules/apps.h"

#include "common/base/nearest.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    SHOWN_MAX = 400,     /* bytes of the names of apps in a fault */
    COMPARED_MAX = 1000, /* apps that an unknown one is compared with */
};

static const char *read_app_name(struct reader *r, const struct yamlmap_key *key,
                                 yaml_node_t *value)
{
    const char *text = yamlmap_text(&r->doc, key, value);

    if (text == NULL)
        return NULL;
    if (text[strspn(text, " \t")] == '\0')
        yamldoc_fault(&r->doc, value, "%s: holds nothing but spaces (write \"%s\")", key->name,
                      key->example);
    else if (strstr(text, "${") != NULL)
        yamldoc_refuse(&r->doc, value, key->name,
                       "is not replaced by a variable's value (write the name itself)");
    else
        return text;
    return NULL;
}

void apps_read_app(void *ctx, const struct yamlmap_key *key, yaml_node_t *value, void *target)
{
    const char *text = read_app_name(ctx, key, value);

    if (text != NULL)
        *(const char **)target = text;
}

/* One of `apps`, while its keys are read. */
struct app {
    const char *name;
    size_t line;
};

static void read_name(void *ctx, const struct yamlmap_key *key, yaml_node_t *value, void *target)
{
    struct app *app = target;

    app->name = read_app_name(ctx, key, value);
    app->line = yamldoc_line(value);
}

/* Returns the name of a drain, or NULL after a fault. Shows nothing that follows a ":", because it
 * may be the password of the Basic credentials. */
static const char *read_drain_name(struct reader *r, const struct yamlmap_key *key,
                                   yaml_node_t *item)
{
    const char *text = yamlmap_text(&r->doc, key, item);
    char shown[YAMLDOC_SHOWN_SIZE];

    if (text == NULL || strpbrk(text, " \t,:\"'") == NULL)
        return text;
    yamldoc_shown(item, shown);
    shown[strcspn(shown, ":")] = '\0';
    yamldoc_fault(&r->doc, item,
                  "%s: \"%s\" is not a drain (write its token, or the name of its Basic "
                  "credentials without the \":\" and the password; several as a list, such as "
                  "\"%s: [d.1234, shop]\")",
                  key->name, shown, key->name);
    return NULL;
}

static void read_drain_item(void *ctx, const struct yamlmap_key *key, yaml_node_t *item)
{
    struct reader *r = ctx;
    const char *text = read_drain_name(r, key, item);
    size_t n = r->out->rules.n_drains;

    if (text == NULL)
        return;
    r->drain_lines[n] = yamldoc_line(item);
    r->out->drains[n] = (struct rules_drain){.drain = text};
    r->out->rules.n_drains++;
}

static void read_refused_item(void *ctx, const struct yamlmap_key *key, yaml_node_t *item)
{
    const char *text = read_drain_name(ctx, key, item);

    if (text != NULL)
        reader_take(ctx, text, yamldoc_line(item));
}

void apps_read_refuse(void *ctx, const struct yamlmap_key *key, yaml_node_t *value, void *target)
{
    reader_read_list(ctx, key, value, read_refused_item, target);
}

static void read_drain(void *ctx, const struct yamlmap_key *key, yaml_node_t *value, void *target)
{
    struct reader *r = ctx;

    (void)target;
    yamlmap_each(r, key, value, read_drain_item);
}

static const struct yamlmap_key app_keys[] = {
    {"name", read_name, 0, true, APPS_NAME_MAX_BYTES, "name: my-app"},
    {"drain", read_drain, 0, true, APPS_DRAIN_MAX_BYTES,
     "drain: d.01234567-89ab-cdef-0123-456789abcdef"},
};
enum { APP_KEYS = sizeof app_keys / sizeof app_keys[0] };

/* The drains may come before the name, so they get it once both were read. */
static void read_one(void *ctx, const struct yamlmap_key *key, yaml_node_t *item)
{
    struct reader *r = ctx;
    size_t first = r->out->rules.n_drains;
    struct app app = {0};

    (void)key;
    yamlmap_read(r, item, "the app", app_keys, APP_KEYS, &app);
    for (size_t i = first; i < r->out->rules.n_drains; i++)
        r->out->drains[i].app = app.name;
    if (app.name != NULL) {
        r->apps[r->n_apps] =
            (struct reader_name){.name = app.name, .line = app.line, .index = r->n_apps};
        r->n_apps++;
    }
}

void apps_read_apps(void *ctx, const struct yamlmap_key *key, yaml_node_t *value, void *target)
{
    struct reader *r = ctx;

    (void)target;
    yamlmap_each(r, key, value, read_one);
}

/* `app` and then the others, in the order of the file. */
static void list_apps(struct reader *r)
{
    struct rules *rules = &r->out->rules;
    size_t first = r->n_items;

    rules->app_names.items = r->out->items + first;
    if (rules->app != NULL)
        reader_take(r, rules->app, 0);
    for (size_t i = 0; i < r->n_apps; i++) {
        if (rules->app == NULL || strcmp(r->apps[i].name, rules->app) != 0)
            reader_take(r, r->apps[i].name, r->apps[i].line);
    }
    rules->app_names.n = r->n_items - first;
}

static void check_app_names(struct reader *r)
{
    size_t first = 0;

    reader_sort(r->apps, r->n_apps);
    for (size_t i = 1; i < r->n_apps; i++) {
        if (strcmp(r->apps[i].name, r->apps[first].name) != 0)
            first = i;
        else
            yamldoc_fault_at(&r->doc, r->apps[i].line,
                             "name: \"%s\" is the name of the app on line %zu too (list all drains "
                             "of an app in one place)",
                             r->apps[i].name, r->apps[first].line);
    }
}

static void report_drain(struct reader *r, const struct reader_name *again,
                         const struct reader_name *first)
{
    const char *app = r->out->drains[first->index].app, *other = r->out->drains[again->index].app;

    if (app == NULL || other == NULL || strcmp(app, other) == 0)
        yamldoc_fault_at(&r->doc, again->line,
                         "drain: \"%.200s\" comes twice, first on line %zu (keep one of them)",
                         again->name, first->line);
    else
        yamldoc_fault_at(&r->doc, again->line,
                         "drain: \"%.200s\" is a drain of \"%s\" too, on line %zu (a drain belongs "
                         "to one app: keep one of them)",
                         again->name, app, first->line);
}

static void check_drains(struct reader *r)
{
    size_t n = r->out->rules.n_drains, first = 0;

    for (size_t i = 0; i < n; i++)
        r->scratch[i] = (struct reader_name){
            .name = r->out->drains[i].drain, .line = r->drain_lines[i], .index = i};
    reader_sort(r->scratch, n);
    for (size_t i = 1; i < n; i++) {
        if (strcmp(r->scratch[i].name, r->scratch[first].name) != 0)
            first = i;
        else
            report_drain(r, &r->scratch[i], &r->scratch[first]);
    }
}

static int by_drain(const void *a, const void *b)
{
    const struct rules_drain *x = a, *y = b;

    return strcmp(x->drain, y->drain);
}

static int by_name(const void *a, const void *b)
{
    const char *const *x = a, *const *y = b;

    return strcmp(*x, *y);
}

static int name_is(const void *name, const void *named)
{
    const struct reader_name *n = named;

    return strcmp(name, n->name);
}

static bool is_known(const struct reader *r, const char *name)
{
    const char *app = r->out->rules.app;

    return (app != NULL && strcmp(name, app) == 0) ||
           bsearch(name, r->apps, r->n_apps, sizeof *r->apps, name_is) != NULL;
}

/* Writes the apps of the file; the nearest name comes first. */
static void show_apps(const struct reader *r, const char *unknown, char out[SHOWN_MAX])
{
    const struct rules_list *all = &r->out->rules.app_names;
    struct nearest nearest;
    size_t len = 0, shown = 0;

    nearest_begin(&nearest, unknown, strlen(unknown));
    for (size_t i = 0; i < all->n && i < COMPARED_MAX; i++)
        nearest_offer(&nearest, all->items[i]);
    if (nearest.best != NULL) {
        len = (size_t)snprintf(out, SHOWN_MAX, "\"%s\"", nearest.best);
        shown++;
    }
    for (size_t i = 0; i < all->n; i++) {
        if (all->items[i] == nearest.best)
            continue;
        if (len + strlen(all->items[i]) + 40 > SHOWN_MAX) /* the end needs room, too */
            break;
        len += (size_t)snprintf(out + len, SHOWN_MAX - len, "%s\"%s\"", shown > 0 ? ", " : "",
                                all->items[i]);
        shown++;
    }
    if (shown < all->n)
        snprintf(out + len, SHOWN_MAX - len, " or one of %zu more", all->n - shown);
}

static void report_unknown(struct reader *r, const char *name, size_t line)
{
    char known[SHOWN_MAX];

    if (r->out->rules.app_names.n == 0) {
        yamldoc_fault_at(&r->doc, line,
                         "apps: \"%s\" is an app that the file does not name (add \"app: %s\" to "
                         "the file, or list the app with its drain under the file's \"apps\")",
                         name, name);
        return;
    }
    known[0] = '\0';
    if (r->doc.n_left_out == 0) /* else the list, which takes time, would not be shown */
        show_apps(r, name, known);
    yamldoc_fault_at(&r->doc, line,
                     "apps: \"%s\" is an app that the file does not name (write %s, or list the "
                     "app with its drain under the file's \"apps\")",
                     name, known);
}

static void check_rule(struct reader *r, const struct rule *rule)
{
    for (size_t i = 0; i < rule->apps.n; i++) {
        if (!is_known(r, rule->apps.items[i]))
            report_unknown(r, rule->apps.items[i], reader_line(r, &rule->apps, i));
    }
    reader_report_twice(r, "apps", &rule->apps);
}

void apps_check(struct reader *r)
{
    struct rules *rules = &r->out->rules;

    list_apps(r); /* in the order of the file, so before sorting */
    check_app_names(r);
    check_drains(r);
    qsort(r->out->drains, rules->n_drains, sizeof *r->out->drains, by_drain);
    rules->drains = r->out->drains;
    reader_report_twice(r, "refuse", &rules->refused);
    if (rules->refused.n > 0)
        qsort(r->out->items + (rules->refused.items - r->out->items), rules->refused.n,
              sizeof *r->out->items, by_name);
    for (size_t i = 0; i < rules->n; i++)
        check_rule(r, &r->out->list[i]);
}
