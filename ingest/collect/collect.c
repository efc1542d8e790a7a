/* Groups the matches of a delivery. The delivery adds each matching line and takes the matches.
 */
#define HASH_NONFATAL_OOM 1
#include "ingest/collect/collect.h"

#include "common/base/err.h"
#include "common/base/hash.h"
#include "common/base/text.h"
#include "ingest/collect/excerpt.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

enum {
    FIRST_TIMES = 16,
    FIRST_GROUPS = 8,
    KEEP_GROUPS = 256, /* more memory than this is freed when the next delivery begins */
    KEEP_TIMES = 64 << 10,
    VALUES_MAX = RULES_GROUP_BY_MAX * EXCERPT_VALUE_SIZE,
    KEY_MAX = sizeof(uint32_t) + 2 * (COLLECT_NAME_MAX + 1) + VALUES_MAX,
};

static_assert((int)RULES_GROUP_BY_MAX <= (int)WIRE_GROUP_MAX, "a reader would refuse the record");

struct group {
    UT_hash_handle hh;
    /* The rule's index, then source, process and the values of group_by, a zero behind each. */
    struct buf key;
    uint32_t rule;
    const char *source; /* in the key, as the pairs' values */
    const char *process;
    struct wire_group pairs[RULES_GROUP_BY_MAX];
    size_t n_pairs;
    int64_t *times;
    size_t n_times;
    size_t cap;
    struct buf sample;
    struct line_text last; /* the newest line's message, until the sample is kept */
};

struct collect {
    const struct rules *rules;
    uint64_t seed;
    struct group **groups; /* `n_made` of them exist; those behind `n_groups` wait for later */
    size_t n_groups;
    size_t n_made;
    size_t cap_groups;
    struct group *table; /* the groups by key */
    size_t n_matches;
    struct buf key; /* of the match that is being added */
    struct excerpt excerpt;
    struct wire_matches *matches; /* of each group */
};

struct collect *collect_new(uint64_t seed)
{
    struct collect *t = calloc(1, sizeof *t);

    if (t == NULL)
        return NULL;
    t->seed = seed;
    buf_init(&t->key, KEY_MAX);
    excerpt_init(&t->excerpt);
    return t;
}

static void free_groups(struct collect *t)
{
    for (size_t i = 0; i < t->n_made; i++) {
        free(t->groups[i]->times);
        buf_close(&t->groups[i]->sample);
        buf_close(&t->groups[i]->key);
        free(t->groups[i]);
    }
    free(t->groups);
    free(t->matches);
    t->groups = NULL;
    t->matches = NULL;
    t->n_made = t->cap_groups = 0;
}

void collect_free(struct collect *t)
{
    if (t == NULL)
        return;
    HASH_CLEAR(hh, t->table);
    free_groups(t);
    excerpt_close(&t->excerpt);
    buf_close(&t->key);
    free(t);
}

void collect_begin(struct collect *t, const struct rulebook *book)
{
    HASH_CLEAR(hh, t->table);
    if (t->n_made > KEEP_GROUPS || t->n_matches > KEEP_TIMES)
        free_groups(t);
    t->n_groups = t->n_matches = 0;
    t->rules = rulebook_rules(book);
    excerpt_begin(&t->excerpt, book);
}

/* ---- keys ---- */

/* A name that is too long is cut. */
static int append_name(struct buf *key, struct line_text name)
{
    size_t n = name.len < COLLECT_NAME_MAX ? name.len : COLLECT_NAME_MAX;
    int rc;

    key->max_bytes = key->len + COLLECT_NAME_MAX;
    rc = text_append_printable(key, name.data, n);
    key->max_bytes = KEY_MAX;
    return rc == ERR_NOMEM ? rc : buf_append(key, "", 1);
}

static int make_key(struct collect *t, const struct line *line, uint32_t rule)
{
    int rc;

    buf_clear(&t->key);
    rc = buf_append(&t->key, &rule, sizeof rule);
    if (rc == 0)
        rc = append_name(&t->key, line->source);
    if (rc == 0)
        rc = append_name(&t->key, line->process);
    return rc == 0 ? excerpt_append_values(&t->excerpt, rule, line->message, &t->key) : rc;
}

/* Makes the key of the group that takes all further matches of a rule. */
static int make_overflow_key(struct collect *t, uint32_t rule)
{
    int rc;

    buf_clear(&t->key);
    rc = buf_append(&t->key, &rule, sizeof rule);
    if (rc == 0)
        rc = buf_append(&t->key, "\0", 2);
    return rc == 0 ? excerpt_append_no_values(&t->rules->rules[rule], &t->key) : rc;
}

/* ---- groups ---- */

static int make_room(struct collect *t)
{
    size_t cap = t->cap_groups > 0 ? 2 * t->cap_groups : FIRST_GROUPS;
    struct wire_matches *matches = reallocarray(t->matches, cap, sizeof *matches);
    struct group **groups;

    if (matches == NULL)
        return ERR_NOMEM;
    t->matches = matches;
    groups = reallocarray(t->groups, cap, sizeof(struct group *));
    if (groups == NULL)
        return ERR_NOMEM;
    t->groups = groups;
    t->cap_groups = cap;
    return 0;
}

static int make_group(struct collect *t)
{
    int rc = t->n_made == t->cap_groups ? make_room(t) : 0;
    struct group *g;

    if (rc != 0)
        return rc;
    g = calloc(1, sizeof *g);
    if (g == NULL)
        return ERR_NOMEM;
    buf_init(&g->key, KEY_MAX);
    buf_init(&g->sample, WIRE_SAMPLE_MAX);
    t->groups[t->n_made++] = g;
    return 0;
}

/* Points the group's names and pairs into its key. */
static void read_key(struct group *g, const struct rule *rule)
{
    const char *keys[RULES_GROUP_BY_MAX], *value;

    g->source = (const char *)g->key.data + sizeof g->rule;
    g->process = g->source + strlen(g->source) + 1;
    value = g->process + strlen(g->process) + 1;
    g->n_pairs = excerpt_keys(rule, keys);
    for (size_t i = 0; i < g->n_pairs; i++) {
        g->pairs[i] = (struct wire_group){.key = keys[i], .value = value};
        value += strlen(value) + 1;
    }
}

static int add_group(struct collect *t, uint32_t rule, unsigned hash, struct group **out)
{
    int rc = t->n_groups == t->n_made ? make_group(t) : 0;
    struct group *g;

    if (rc != 0)
        return rc;
    g = t->groups[t->n_groups];
    buf_clear(&g->key);
    rc = buf_append(&g->key, t->key.data, t->key.len);
    if (rc != 0)
        return rc;
    g->rule = rule;
    g->n_times = 0;
    g->last = (struct line_text){0};
    buf_clear(&g->sample);
    read_key(g, &t->rules->rules[rule]);
    HASH_ADD_KEYPTR_BYHASHVALUE(hh, t->table, g->key.data, g->key.len, hash, g);
    if (g->hh.tbl == NULL) /* uthash's way to say that it found no memory */
        return ERR_NOMEM;
    t->n_groups++;
    *out = g;
    return 0;
}

/* Finds the group of the key that was made. */
static struct group *find_group(struct collect *t, unsigned *hash)
{
    struct group *g;

    *hash = (unsigned)hash_quick(t->seed, t->key.data, t->key.len);
    HASH_FIND_BYHASHVALUE(hh, t->table, t->key.data, t->key.len, *hash, g);
    return g;
}

/* Finds or makes the group of a line for a rule. */
static int get_group(struct collect *t, const struct line *line, uint32_t rule, struct group **out)
{
    unsigned hash;
    int rc = make_key(t, line, rule);

    if (rc != 0)
        return rc;
    *out = find_group(t, &hash);
    if (*out == NULL && t->n_groups >= COLLECT_GROUPS_MAX + t->rules->n) {
        rc = make_overflow_key(t, rule);
        if (rc != 0)
            return rc;
        *out = find_group(t, &hash);
    }
    return *out == NULL ? add_group(t, rule, hash, out) : 0;
}

/* ---- matches ---- */

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

static int add_match(struct collect *t, const struct line *line, int64_t time_us, uint32_t rule)
{
    struct group *g;
    int rc = get_group(t, line, rule, &g);

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

int collect_keep_samples(struct collect *t)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < t->n_groups; i++) {
        struct group *g = t->groups[i];

        if (g->last.data == NULL)
            continue;
        rc = excerpt_sample(&t->excerpt, g->rule, g->last, &g->sample);
        g->last = (struct line_text){0};
    }
    return rc;
}

int collect_matches(struct collect *t, const struct wire_matches **matches, size_t *n)
{
    int rc = collect_keep_samples(t);

    for (size_t i = 0; i < t->n_groups; i++) {
        const struct group *g = t->groups[i];

        t->matches[i] = (struct wire_matches){
            .rule = t->rules->rules[g->rule].name,
            .source = g->source,
            .process = g->process,
            .times_us = g->times,
            .n_times = g->n_times,
            .sample = {.data = g->sample.data, .len = g->sample.len},
            .group = g->pairs,
            .n_group = g->n_pairs,
        };
    }
    *n = t->n_groups;
    *matches = t->matches;
    return rc;
}
