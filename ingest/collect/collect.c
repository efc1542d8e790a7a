#include "common/base/err.h"
#include "common/base/text.h"
#include "ingest/collect/collect_impl.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum {
    FIRST_TIMES = 16,
    /* Memory beyond this is given back when the next delivery begins: a storm must not stay. */
    KEEP_GROUPS = 256,
    KEEP_TIMES = 64 << 10,
    VALUES_MAX = RULES_GROUP_BY_MAX * (COLLECT_VALUE_MAX + 1), /* with a zero byte behind each */
};

static_assert((int)RULES_GROUP_BY_MAX <= (int)WIRE_GROUP_MAX, "a reader would refuse the record");

/* What tells one group from another. */
struct key {
    uint32_t rule;
    const struct name *source;
    const struct name *process;
    const struct buf *values; /* of the rule's group_by, as excerpt_values writes them */
};

struct collect *collect_new(void)
{
    struct collect *t = calloc(1, sizeof *t);

    if (t == NULL)
        return NULL;
    buf_init(&t->shown, COLLECT_NAME_MAX);
    buf_init(&t->values, VALUES_MAX);
    excerpt_init(&t->excerpt, COLLECT_VALUE_MAX);
    return t;
}

static void release(struct collect *t)
{
    for (size_t i = 0; i < t->cap_groups; i++) {
        free(t->groups[i].times);
        buf_close(&t->groups[i].sample);
        buf_close(&t->groups[i].values);
    }
    free(t->groups);
    free(t->table);
    free(t->matches);
    free(t->parts);
    t->groups = NULL;
    t->table = NULL;
    t->matches = NULL;
    t->parts = NULL;
    t->cap_groups = t->cap_wire = t->cap_parts = 0;
}

void collect_free(struct collect *t)
{
    if (t == NULL)
        return;
    release(t);
    excerpt_close(&t->excerpt);
    buf_close(&t->values);
    buf_close(&t->shown);
    free(t);
}

void collect_begin(struct collect *t, const struct rulebook *book, int64_t received_us)
{
    if (t->cap_groups > KEEP_GROUPS || t->n_matches > KEEP_TIMES)
        release(t);
    else if (t->n_groups > 0)
        memset(t->table, 0, 2 * t->cap_groups * sizeof *t->table);
    if (t->n_groups > 0)
        memset(t->recent, 0, sizeof t->recent);
    t->n_groups = t->n_matches = t->n_wire = t->n_parts = 0;
    t->rules = rulebook_rules(book);
    t->received_us = received_us;
    excerpt_begin(&t->excerpt, book);
}

/* ---------------------------------------------------------------------------------------- groups
 */

/* Mostly it is the line before's: a text that reads as it is shown need not be shown anew. */
static int read_name(struct collect *t, struct line_text text, struct name *out)
{
    size_t n = text.len < COLLECT_NAME_MAX ? text.len : COLLECT_NAME_MAX;
    int rc;

    if (text.len == out->len && memcmp(text.data, out->text, out->len) == 0)
        return 0;
    buf_clear(&t->shown);
    rc = text_append_printable(&t->shown, text.data, n);
    if (rc == ERR_NOMEM)
        return rc;
    out->len = t->shown.len;
    memcpy(out->text, buf_text(&t->shown), out->len + 1);
    return 0;
}

/* FNV-1a over what tells groups apart. */
static uint32_t hash_bytes(uint32_t hash, const void *bytes, size_t n)
{
    const uint8_t *s = bytes;

    for (size_t i = 0; i < n; i++)
        hash = (hash ^ s[i]) * UINT32_C(16777619);
    return hash;
}

static uint32_t hash_key(const struct key *key)
{
    uint32_t hash = hash_bytes(UINT32_C(2166136261), &key->rule, sizeof key->rule);

    hash = hash_bytes(hash, key->source->text, key->source->len + 1);
    hash = hash_bytes(hash, key->process->text, key->process->len + 1);
    return hash_bytes(hash, key->values->data, key->values->len);
}

static bool same_name(const struct name *a, const struct name *b)
{
    return a->len == b->len && memcmp(a->text, b->text, a->len) == 0;
}

static bool same_values(const struct buf *a, const struct buf *b)
{
    return a->len == b->len && (a->len == 0 || memcmp(a->data, b->data, a->len) == 0);
}

static bool is_of(const struct group *g, const struct key *key)
{
    return g->rule == key->rule && same_name(&g->source, key->source) &&
           same_name(&g->process, key->process) && same_values(&g->values, key->values);
}

/* The slot of the group, or the free one where it would go. */
static uint32_t *find_slot(const struct collect *t, uint32_t hash, const struct key *key)
{
    size_t mask = 2 * t->cap_groups - 1;

    for (size_t i = hash & mask;; i = (i + 1) & mask) {
        const struct group *g;

        if (t->table[i] == 0)
            return &t->table[i];
        g = &t->groups[t->table[i] - 1];
        if (g->hash == hash && is_of(g, key))
            return &t->table[i];
    }
}

static int grow_groups(struct collect *t)
{
    size_t cap = t->cap_groups > 0 ? 2 * t->cap_groups : COLLECT_FIRST_GROUPS;
    struct group *groups = reallocarray(t->groups, cap, sizeof *groups);
    uint32_t *table;

    if (groups == NULL)
        return ERR_NOMEM;
    t->groups = groups;
    table = calloc(2 * cap, sizeof *table);
    if (table == NULL)
        return ERR_NOMEM;
    for (size_t i = t->cap_groups; i < cap; i++) {
        groups[i] = (struct group){0};
        buf_init(&groups[i].sample, 2 * WIRE_SAMPLE_MAX);
        buf_init(&groups[i].values, VALUES_MAX);
    }
    free(t->table);
    t->table = table;
    t->cap_groups = cap;
    for (size_t i = 0; i < t->n_groups; i++) {
        const struct group *g = &groups[i];
        struct key key = {g->rule, &g->source, &g->process, &g->values};

        *find_slot(t, g->hash, &key) = (uint32_t)i + 1;
    }
    return 0;
}

/* Points the group's pairs to its values, which stay where they are when groups move. */
static void point_pairs(struct group *g, const struct rule *rule)
{
    const char *keys[RULES_GROUP_BY_MAX], *value = buf_text(&g->values);

    g->n_pairs = excerpt_keys(rule, keys);
    for (size_t i = 0; i < g->n_pairs; i++) {
        g->pairs[i] = (struct wire_group){.key = keys[i], .value = value};
        value += strlen(value) + 1;
    }
}

static int add_group(struct collect *t, uint32_t *slot, uint32_t hash, const struct key *key,
                     struct group **out)
{
    struct group *g = &t->groups[t->n_groups];
    int rc = 0;

    buf_clear(&g->values);
    if (key->values->len > 0)
        rc = buf_append(&g->values, key->values->data, key->values->len);
    if (rc != 0)
        return rc;
    *slot = (uint32_t)++t->n_groups;
    g->rule = key->rule;
    g->hash = hash;
    g->source = *key->source;
    g->process = *key->process;
    g->n_times = 0;
    g->last = (struct line_text){0};
    buf_clear(&g->sample);
    point_pairs(g, &t->rules->rules[g->rule]);
    *out = g;
    return 0;
}

/* What stands for all groups of a rule that there is no room for. */
static int overflow_key(struct collect *t, uint32_t rule, struct key *key)
{
    static const struct name none;

    *key = (struct key){rule, &none, &none, &t->values};
    return excerpt_no_values(&t->rules->rules[rule], &t->values);
}

/* The group, made where there is none. Where there are too many already it is the rule's own
 * without names and values, of which there can only be as many as rules. */
static int get_group(struct collect *t, const struct key *key, struct group **out)
{
    uint32_t hash = hash_key(key), *slot;
    struct key overflow;
    int rc = t->n_groups == t->cap_groups ? grow_groups(t) : 0;

    if (rc != 0)
        return rc;
    slot = find_slot(t, hash, key);
    if (*slot == 0 && t->n_groups >= COLLECT_GROUPS_MAX + t->rules->n) {
        rc = overflow_key(t, key->rule, &overflow);
        if (rc != 0)
            return rc;
        key = &overflow;
        hash = hash_key(key);
        slot = find_slot(t, hash, key);
    }
    if (*slot == 0)
        return add_group(t, slot, hash, key, out);
    *out = &t->groups[*slot - 1];
    return 0;
}

/* --------------------------------------------------------------------------------------- adding */

static int add_time(struct group *g, int64_t time_us)
{
    if (g->n_times == g->cap) {
        size_t cap = g->cap > 0 ? 2 * g->cap : FIRST_TIMES;
        int64_t *times = reallocarray(g->times, cap, sizeof *times);

        if (times == NULL)
            return ERR_NOMEM;
        g->times = times;
        g->cap = cap;
    }
    g->times[g->n_times++] = time_us;
    return 0;
}

/* Finds or makes the group of a line for a rule. */
static int find_group(struct collect *t, const struct line *line, uint32_t index,
                      struct group **out)
{
    static const struct buf no_values;
    const struct rule *rule = &t->rules->rules[index];
    struct key key = {index, &t->source, &t->process, &no_values};
    int rc = read_name(t, line->source, &t->source);

    if (rc == 0)
        rc = read_name(t, line->process, &t->process);
    if (rc == 0 && rule->group_by.n > 0) { /* for these rules alone is the message read */
        key.values = &t->values;
        rc = excerpt_values(&t->excerpt, index, line->message, &t->values);
    }
    return rc != 0 ? rc : get_group(t, &key, out);
}

/* Where a group that takes lines of such names is noted. Names mostly differ in their ends: web.1,
 * web.2. */
static uint32_t *recent_of(struct collect *t, const struct line *line, uint32_t rule)
{
    size_t n = line->process.len;
    uint32_t last = n > 0 ? (uint8_t)line->process.data[n - 1] : 0;
    uint32_t mark = rule ^ (uint32_t)line->source.len << 8 ^ (uint32_t)n << 16 ^ last << 24;

    return &t->recent[mark * UINT32_C(2654435769) >> (32 - RECENT_BITS)];
}

static bool text_is_name(struct line_text text, const struct name *name)
{
    return text.len == name->len && memcmp(text.data, name->text, name->len) == 0;
}

/* Nearly all lines of a storm are of a few names. Where they read as those of a group that has no
 * values there is nothing to be shown and to be hashed: a fifth of the instructions. */
static int group_of(struct collect *t, const struct line *line, uint32_t rule, struct group **out)
{
    uint32_t *recent = recent_of(t, line, rule);
    int rc;

    if (*recent != 0) {
        struct group *g = &t->groups[*recent - 1];

        if (g->rule == rule && text_is_name(line->process, &g->process) &&
            text_is_name(line->source, &g->source)) {
            *out = g;
            return 0;
        }
    }
    rc = find_group(t, line, rule, out);
    if (rc == 0 && (*out)->n_pairs == 0)
        *recent = (uint32_t)(*out - t->groups) + 1;
    return rc;
}

static int add_match(struct collect *t, const struct line *line, int64_t time_us, uint32_t rule)
{
    struct group *g;
    int rc = group_of(t, line, rule, &g);

    if (rc == 0)
        rc = add_time(g, time_us);
    if (rc != 0)
        return rc;
    if (t->rules->rules[rule].sample)
        g->last = line->message;
    t->n_matches++;
    return 0;
}

int collect_add(struct collect *t, const struct line *line, int64_t time_us, const uint32_t *rules,
                size_t n_rules)
{
    int rc = 0;

    if (n_rules > COLLECT_MATCHES_MAX - t->n_matches)
        return ERR_FULL;
    for (size_t i = 0; rc == 0 && i < n_rules; i++)
        rc = add_match(t, line, time_us, rules[i]);
    return rc;
}

/* Of the many lines of a batch only each group's last is copied. */
int collect_settle(struct collect *t)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < t->n_groups; i++) {
        struct group *g = &t->groups[i];

        if (g->last.data == NULL)
            continue;
        rc = excerpt_sample(&t->excerpt, g->rule, g->last, &g->sample);
        g->last = (struct line_text){0};
    }
    return rc;
}

size_t collect_matches(const struct collect *t)
{
    return t->n_matches;
}
