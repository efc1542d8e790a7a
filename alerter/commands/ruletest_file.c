/* Reads a test file. Called by ruletest. */
#include "alerter/commands/ruletest_file.h"

#include "common/base/err.h"
#include "common/base/time.h"
#include "common/record/arena.h"
#include "common/rules/yamlmap.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
    NAME_MAX_BYTES = 200,
    PATH_MAX_BYTES = 4000,
    TEXT_MAX_BYTES = 1000, /* a drain, an app, a rule */
    COUNT_MAX = 1000000000,
    /* The texts lie in the document; no struct made of a node is larger than this. */
    NODE_BYTES = 2 * sizeof(struct ruletest_alert),
};

/* The last moment that can be written. */
static const int64_t LAST_US = INT64_C(253402300799999999); /* 9999-12-31T23:59:59.999999Z */

struct owned {
    struct ruletest_file file; /* first, so that one is the other */
    yaml_document_t tree;
    struct arena arena;
};

struct reader {
    struct yamldoc doc; /* first, as yamlmap_read asks */
    struct owned *out;
    int64_t start_us;  /* of the test in hand */
    const char *drain; /* likewise */
    uint64_t n_lines;  /* of all deliveries so far */
};

static void *take(struct reader *r, size_t n, size_t size)
{
    void *piece = arena_alloc(&r->out->arena, (n + 1) * size);

    if (piece == NULL)
        r->doc.out_of_memory = true;
    else
        memset(piece, 0, (n + 1) * size);
    return piece;
}

/* ---- values ---- */

/* Zero is a duration here, unlike in the rules, and so are milliseconds. */
static void read_every(void *ctx, const struct yamlmap_key *key, yaml_node_t *value, void *target)
{
    struct reader *r = ctx;
    const char *text = yamlmap_text(&r->doc, key, value);
    char shown[YAMLDOC_SHOWN_SIZE];

    if (text != NULL && !time_parse_duration(text, strlen(text), target))
        yamldoc_fault(&r->doc, value, "%s: \"%s\" is not a duration (write \"%s\")", key->name,
                      yamldoc_shown(value, shown), key->example);
}

/* A time since the start or one of its own. */
static void read_time(void *ctx, const struct yamlmap_key *key, yaml_node_t *value, void *target)
{
    struct reader *r = ctx;
    const char *text = yamlmap_text(&r->doc, key, value);
    char shown[YAMLDOC_SHOWN_SIZE];
    int64_t us;

    if (text == NULL)
        return;
    if (time_parse_duration(text, strlen(text), &us))
        us += r->start_us;
    else if (!time_parse_rfc3339(text, strlen(text), &us)) {
        yamldoc_fault(&r->doc, value,
                      "%s: \"%s\" is neither a time since the start (\"90s\") nor an RFC 3339 time "
                      "(\"2026-05-07T08:00:00Z\")",
                      key->name, yamldoc_shown(value, shown));
        return;
    }
    *(int64_t *)target = us;
}

static bool start_of(const yaml_node_t *value, int64_t *us)
{
    return value->type == YAML_SCALAR_NODE &&
           time_parse_rfc3339((const char *)value->data.scalar.value, value->data.scalar.length,
                              us);
}

static void read_start(void *ctx, const struct yamlmap_key *key, yaml_node_t *value, void *target)
{
    struct reader *r = ctx;
    char shown[YAMLDOC_SHOWN_SIZE];

    if (yamlmap_text(&r->doc, key, value) != NULL && !start_of(value, target))
        yamldoc_fault(&r->doc, value, "%s: \"%s\" is not an RFC 3339 time (write \"%s\")",
                      key->name, yamldoc_shown(value, shown), key->example);
}

/* Memory for the items of a list. NULL: it is no list, which is a fault, or there is no memory. */
static void *items_of(struct reader *r, const struct yamlmap_key *key, const yaml_node_t *value,
                      size_t size, size_t *n)
{
    if (value->type != YAML_SEQUENCE_NODE) {
        yamldoc_fault(&r->doc, value, "%s: is not a list (write \"%s\")", key->name, key->example);
        return NULL;
    }
    *n = yamldoc_length(value);
    return take(r, *n, size);
}

/* ---- lines ---- */

/* A line may hold any byte but one that would end it. */
static void read_line(struct reader *r, const struct yamlmap_key *key, yaml_node_t *item,
                      const char **line)
{
    const char *text = (const char *)item->data.scalar.value;
    size_t n = item->type == YAML_SCALAR_NODE ? item->data.scalar.length : 0;

    if (n == 0)
        yamldoc_fault(&r->doc, item, "line: is no text (write \"%s\")", key->example);
    else if (strcspn(text, "\r\n") < n)
        yamldoc_fault(&r->doc, item,
                      "line: holds a line end or a zero byte (several lines of one delivery are a "
                      "list: \"line: ['first', 'second']\")");
    else if (n > RULETEST_LINE_MAX)
        yamldoc_fault(&r->doc, item, "line: is %zu bytes long (make it %d at most)", n,
                      RULETEST_LINE_MAX);
    else
        *line = text;
}

static void read_lines(void *ctx, const struct yamlmap_key *key, yaml_node_t *value, void *target)
{
    struct ruletest_delivery *d = target;
    struct reader *r = ctx;
    bool is_list = value->type == YAML_SEQUENCE_NODE;
    size_t n = is_list ? yamldoc_length(value) : 1;
    const char **lines = take(r, n, sizeof *lines);

    if (lines == NULL)
        return;
    if (n == 0)
        yamldoc_fault(&r->doc, value, "line: is an empty list (write \"%s\")", key->example);
    for (size_t i = 0; i < n; i++)
        read_line(r, key, is_list ? yamldoc_item(&r->doc, value, i) : value, &lines[i]);
    d->lines = lines;
    d->n_lines = n;
}

#define AT(member) offsetof(struct ruletest_delivery, member)
static const struct yamlmap_key delivery_keys[] = {
    {"at", read_time, AT(at_us), true, TEXT_MAX_BYTES, "at: 10s"},
    {"line", read_lines, 0, true, 0, "line: 'heroku[router]: at=error code=H12'"},
    {"every", read_every, AT(every_us), false, TEXT_MAX_BYTES, "every: 1s"},
    {"times", yamlmap_read_number, AT(times), false, COUNT_MAX, "times: 3"},
    {"drain", yamlmap_read_text, AT(drain), false, TEXT_MAX_BYTES, "drain: d.shop"},
};
#undef AT
enum { DELIVERY_KEYS = sizeof delivery_keys / sizeof delivery_keys[0] };

static void check_repeats(struct reader *r, yaml_node_t *node, struct ruletest_delivery *d)
{
    bool has_every = yamldoc_find(&r->doc, node, "every") != NULL;

    if (has_every != (yamldoc_find(&r->doc, node, "times") != NULL)) {
        yamldoc_fault(&r->doc, node, "\"%s\" stands alone (add \"%s\")",
                      has_every ? "every" : "times", has_every ? "times: 3" : "every: 1s");
        return;
    }
    if (d->times == 0)
        yamldoc_fault(&r->doc, node, "times: 0 is no delivery (make it 1 or more, or remove it)");
    else if (d->every_us > 0 && (uint64_t)((LAST_US - d->at_us) / d->every_us) < d->times - 1)
        yamldoc_fault(&r->doc, node,
                      "every: the last of them would come after the year 9999 "
                      "(make \"times\" smaller)");
}

/* So that a test ends: a slip of the finger can ask for years of lines. */
static void check_number(struct reader *r, yaml_node_t *node, const struct ruletest_delivery *d)
{
    bool was_over = r->n_lines > RULETEST_LINES_MAX;

    r->n_lines += d->times * d->n_lines;
    if (r->n_lines > RULETEST_LINES_MAX && !was_over)
        yamldoc_fault(&r->doc, node,
                      "times: with these lines the file has more than %d (make \"times\" smaller)",
                      RULETEST_LINES_MAX);
    if (r->n_lines > RULETEST_LINES_MAX)
        r->n_lines = RULETEST_LINES_MAX + 1; /* no overflow, however many follow */
}

static void read_delivery(struct reader *r, yaml_node_t *node, struct ruletest_delivery *d)
{
    *d = (struct ruletest_delivery){
        .line = yamldoc_line(node), .drain = r->drain, .at_us = r->start_us, .times = 1};
    yamlmap_read(r, node, "an item of \"lines\"", delivery_keys, DELIVERY_KEYS, d);
    if (node->type != YAML_MAPPING_NODE)
        return;
    if (d->at_us < r->start_us)
        yamldoc_fault(&r->doc, node,
                      "at: lies before the start of the test (a line may have an "
                      "earlier time of its own)");
    check_repeats(r, node, d);
    check_number(r, node, d);
}

static void read_deliveries(void *ctx, const struct yamlmap_key *key, yaml_node_t *value,
                            void *target)
{
    struct ruletest *test = target;
    struct reader *r = ctx;
    struct ruletest_delivery *all = items_of(r, key, value, sizeof *all, &test->n_deliveries);

    if (all == NULL)
        return;
    if (test->n_deliveries == 0)
        yamldoc_fault(&r->doc, value, "lines: is an empty list (write \"%s\")", key->example);
    for (size_t i = 0; i < test->n_deliveries; i++)
        read_delivery(r, yamldoc_item(&r->doc, value, i), &all[i]);
    test->deliveries = all;
}

/* ---- alerts ---- */

static const char *group_text(struct reader *r, const yaml_node_t *node)
{
    if (node->type == YAML_SCALAR_NODE &&
        strlen((const char *)node->data.scalar.value) == node->data.scalar.length)
        return (const char *)node->data.scalar.value;
    yamldoc_fault(&r->doc, node, "group: keys and values are texts (write \"group: {path: /x}\")");
    return "";
}

static void read_group(void *ctx, const struct yamlmap_key *key, yaml_node_t *value, void *target)
{
    struct ruletest_alert *alert = target;
    struct reader *r = ctx;
    const yaml_node_pair_t *pair;
    struct wire_group *all;
    size_t n = 0;

    if (value->type != YAML_MAPPING_NODE) {
        yamldoc_fault(&r->doc, value, "group: is not a mapping (write \"%s\")", key->example);
        return;
    }
    pair = value->data.mapping.pairs.start;
    all = take(r, (size_t)(value->data.mapping.pairs.top - pair), sizeof *all);
    if (all == NULL)
        return;
    for (; pair < value->data.mapping.pairs.top; pair++)
        all[n++] =
            (struct wire_group){group_text(r, yaml_document_get_node(&r->doc.tree, pair->key)),
                                group_text(r, yaml_document_get_node(&r->doc.tree, pair->value))};
    alert->group = all;
    alert->n_group = n;
}

#define AT(member) offsetof(struct ruletest_alert, member)
static const struct yamlmap_key alert_keys[] = {
    {"at", read_time, AT(at_us), true, TEXT_MAX_BYTES, "at: 12s"},
    {"rule", yamlmap_read_text, AT(rule), true, TEXT_MAX_BYTES, "rule: h12-request-timeout"},
    {"app", yamlmap_read_text, AT(app), false, TEXT_MAX_BYTES, "app: shop"},
    {"group", read_group, 0, false, 0, "group: {path: /x}"},
    {"count", yamlmap_read_number, AT(count), false, COUNT_MAX, "count: 4"},
    {"suppressed", yamlmap_read_number, AT(suppressed), false, COUNT_MAX, "suppressed: 0"},
    {"groups", yamlmap_read_number, AT(groups), false, COUNT_MAX, "groups: 12"},
    {"at_least", yamlmap_read_bool, AT(at_least), false, TEXT_MAX_BYTES, "at_least: no"},
    {"first", read_time, AT(first_us), false, TEXT_MAX_BYTES, "first: 0s"},
    {"last", read_time, AT(last_us), false, TEXT_MAX_BYTES, "last: 12s"},
};
#undef AT
enum { ALERT_KEYS = sizeof alert_keys / sizeof alert_keys[0] };

/* One whose time cannot be read is taken to come no earlier than the one before. */
static void read_alert(struct reader *r, yaml_node_t *node, int64_t before_us,
                       struct ruletest_alert *alert)
{
    *alert = (struct ruletest_alert){.line = yamldoc_line(node),
                                     .at_us = before_us,
                                     .count = RULETEST_ANY_COUNT,
                                     .suppressed = RULETEST_ANY_COUNT,
                                     .groups = RULETEST_ANY_COUNT,
                                     .first_us = RULETEST_ANY_TIME,
                                     .last_us = RULETEST_ANY_TIME};
    yamlmap_read(r, node, "an item of \"alerts\"", alert_keys, ALERT_KEYS, alert);
    if (node->type == YAML_MAPPING_NODE)
        alert->has_at_least = yamldoc_find(&r->doc, node, "at_least") != NULL;
}

static void read_alerts(void *ctx, const struct yamlmap_key *key, yaml_node_t *value, void *target)
{
    struct ruletest *test = target;
    struct reader *r = ctx;
    struct ruletest_alert *all = items_of(r, key, value, sizeof *all, &test->n_alerts);

    if (all == NULL)
        return;
    for (size_t i = 0; i < test->n_alerts; i++) {
        yaml_node_t *item = yamldoc_item(&r->doc, value, i);

        read_alert(r, item, i > 0 ? all[i - 1].at_us : r->start_us, &all[i]);
        if (i > 0 && all[i].at_us < all[i - 1].at_us)
            yamldoc_fault(&r->doc, item,
                          "alerts: this one is earlier than the one before (put them in the order "
                          "in which they are decided)");
    }
    test->alerts = all;
}

/* ---- tests ---- */

#define AT(member) offsetof(struct ruletest, member)
static const struct yamlmap_key test_keys[] = {
    {"name", yamlmap_read_text, AT(name), true, NAME_MAX_BYTES, "name: the fourth H12 alerts"},
    {"lines", read_deliveries, 0, true, 0, "lines: [{at: 0s, line: 'text'}]"},
    {"alerts", read_alerts, 0, true, 0, "alerts: []"},
    {"start", read_start, AT(start_us), false, TEXT_MAX_BYTES, "start: 2026-05-07T08:00:00Z"},
    {"drain", yamlmap_read_text, AT(drain), false, TEXT_MAX_BYTES, "drain: d.shop"},
};
#undef AT
enum { TEST_KEYS = sizeof test_keys / sizeof test_keys[0] };

/* What the other keys of a test rest on, wherever it stands among them. What is wrong with it is
 * reported when its row is read. */
static void look_ahead(struct reader *r, const yaml_node_t *node)
{
    const yaml_node_t *start = NULL, *drain = NULL;

    if (node->type == YAML_MAPPING_NODE) {
        start = yamldoc_find(&r->doc, node, "start");
        drain = yamldoc_find(&r->doc, node, "drain");
    }
    r->start_us = RULETEST_START;
    r->drain = RULETEST_DRAIN;
    if (start != NULL)
        (void)start_of(start, &r->start_us);
    if (drain != NULL && drain->type == YAML_SCALAR_NODE)
        r->drain = (const char *)drain->data.scalar.value;
}

static void read_tests(void *ctx, const struct yamlmap_key *key, yaml_node_t *value, void *target)
{
    struct ruletest_file *file = target;
    struct reader *r = ctx;
    struct ruletest *all = items_of(r, key, value, sizeof *all, &file->n_tests);

    if (all == NULL)
        return;
    if (file->n_tests == 0)
        yamldoc_fault(&r->doc, value, "tests: is an empty list (add \"%s\")", key->example);
    for (size_t i = 0; i < file->n_tests; i++) {
        yaml_node_t *node = yamldoc_item(&r->doc, value, i);

        look_ahead(r, node);
        all[i] = (struct ruletest){
            .line = yamldoc_line(node), .start_us = r->start_us, .drain = r->drain};
        yamlmap_read(r, node, "a test", test_keys, TEST_KEYS, &all[i]);
    }
    file->tests = all;
}

static const struct yamlmap_key file_keys[] = {
    {"tests", read_tests, 0, true, 0, "tests: [{name: …, lines: […], alerts: […]}]"},
    {"rules", yamlmap_read_text, offsetof(struct ruletest_file, rules), false, PATH_MAX_BYTES,
     "rules: ../../rules.yaml"},
};
enum { FILE_KEYS = sizeof file_keys / sizeof file_keys[0] };

/* ---- the whole ---- */

static void free_owned(struct owned *o)
{
    yaml_document_delete(&o->tree);
    arena_close(&o->arena);
    free(o);
}

/* Takes the document over; NULL, with the document freed, if memory ran out. */
static struct owned *new_owned(struct yamldoc *d)
{
    size_t n = (size_t)(d->tree.nodes.top - d->tree.nodes.start);
    struct owned *o = calloc(1, sizeof *o);

    if (o == NULL) {
        yamldoc_close(d);
        return NULL;
    }
    o->tree = d->tree;
    arena_reset(&o->arena, (n + 1) * 2 * NODE_BYTES); /* a list of none takes a place, too */
    return o;
}

int ruletest_file_parse(const char *text, size_t len, const char *file,
                        const struct ruletest_file **out, struct buf *faults)
{
    struct reader r = {.doc = {.file = file, .faults = faults}};
    int rc;

    *out = NULL;
    rc = yamldoc_open(&r.doc, len == 0 ? "" : text, len, file, faults);
    if (rc != 0)
        return rc;
    r.out = new_owned(&r.doc);
    if (r.out == NULL)
        return ERR_NOMEM;
    yamlmap_read(&r, yamldoc_root(&r.doc), "the file", file_keys, FILE_KEYS, &r.out->file);
    rc = yamldoc_finish(&r.doc);
    if (rc == 0)
        *out = &r.out->file;
    else
        free_owned(r.out);
    return rc;
}

void ruletest_file_free(const struct ruletest_file *tests)
{
    if (tests != NULL) /* ruletest_file_parse makes it as the first member of a larger struct */
        free_owned((struct owned *)(uintptr_t)tests);
}
