/* Groups the matches of a delivery. The delivery adds each matching line and takes the matches.
 */
#include "ingest/collect/collect.h"

#include "common/base/err.h"
#include "common/base/hash.h"
#include "common/base/table.h"
#include "common/base/text.h"
#include "ingest/collect/excerpt.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
    FIRST_TIMES = 16,
    NEAR_GROUPS = 16, /* searched without a key */
    /* So many groups are kept for the next delivery, if they have no more times than this: at most
     * 80 KiB. */
    KEEP_GROUPS = 16,
    KEEP_TIMES = 256,
    VALUES_MAX = RULES_GROUP_BY_MAX * EXCERPT_VALUE_SIZE,
    KEY_MAX = sizeof(uint32_t) + 2 * (COLLECT_NAME_MAX + 1) + VALUES_MAX,
};

static_assert((int)RULES_GROUP_BY_MAX <= (int)WIRE_GROUP_MAX, "a reader would refuse the record");

struct group {
    UT_hash_handle hh;
    uint32_t rule;
    struct line_text source; /* in the key, as the pairs' values */
    struct line_text process;
    struct wire_group pairs[RULES_GROUP_BY_MAX];
    size_t n_pairs;
    int64_t *times;
    size_t n_times;
    size_t cap;
    struct buf sample;
    struct line_text last; /* the newest line's message, until the sample is kept */
    /* The rule's index, then source, process and the values of group_by, a zero behind each. */
    struct buf key;
};

struct collect {
    const struct rules *rules;
    struct group *groups; /* by key, and in the order of their first lines */
    uint32_t *n_of_rule;  /* groups of each rule, NULL while there is room for all */
    size_t n_matches;
    size_t held_bytes;               /* of groups, their times and their samples */
    struct group *kept[KEEP_GROUPS]; /* unused ones */
    size_t n_kept;
    struct buf name;
    struct buf key; /* of the match that is being added */
    struct excerpt excerpt;
    struct wire_matches *matches; /* of each group */
};

struct collect *collect_new(void)
{
    struct collect *t = calloc(1, sizeof *t);

    if (t == NULL)
        return NULL;
    buf_init(&t->name, COLLECT_NAME_MAX);
    buf_init(&t->key, KEY_MAX);
    excerpt_init(&t->excerpt);
    return t;
}

static void free_group(struct group *g)
{
    free(g->times);
    buf_close(&g->sample);
    buf_close(&g->key);
    free(g);
}

static void forget_groups(struct collect *t)
{
    struct group *g = t->groups, *next;

    HASH_CLEAR(hh, t->groups); /* and leaves the list */
    for (; g != NULL; g = next) {
        next = g->hh.next;
        if (g->cap <= KEEP_TIMES && t->n_kept < KEEP_GROUPS)
            t->kept[t->n_kept++] = g;
        else
            free_group(g);
    }
    free(t->n_of_rule);
    t->n_of_rule = NULL;
    free(t->matches);
    t->matches = NULL;
    t->n_matches = t->held_bytes = 0;
}

void collect_free(struct collect *t)
{
    if (t == NULL)
        return;
    forget_groups(t);
    while (t->n_kept > 0)
        free_group(t->kept[--t->n_kept]);
    excerpt_close(&t->excerpt);
    buf_close(&t->key);
    buf_close(&t->name);
    free(t);
}

size_t collect_held_bytes(const struct collect *t)
{
    return t->held_bytes + excerpt_bytes(&t->excerpt);
}

void collect_begin(struct collect *t, const struct rulebook *book)
{
    forget_groups(t);
    t->rules = rulebook_rules(book);
    excerpt_begin(&t->excerpt, book);
}

/* ---- keys ---- */

/* A name that is too long is cut. */
static int append_name(struct collect *t, struct line_text name)
{
    size_t n = name.len < COLLECT_NAME_MAX ? name.len : COLLECT_NAME_MAX;

    buf_clear(&t->name);
    if (text_append_printable(&t->name, name.data, n) == ERR_NOMEM)
        return ERR_NOMEM;
    return buf_append(&t->key, buf_text(&t->name), t->name.len + 1);
}

static int make_key(struct collect *t, const struct line *line, uint32_t rule)
{
    int rc;

    buf_clear(&t->key);
    rc = buf_append(&t->key, &rule, sizeof rule);
    if (rc == 0)
        rc = append_name(t, line->source);
    if (rc == 0)
        rc = append_name(t, line->process);
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

/* Points the group's names and pairs into its key. */
static void read_key(struct group *g, const struct rule *rule)
{
    const char *keys[RULES_GROUP_BY_MAX], *value = buf_text(&g->key) + sizeof g->rule;

    g->source = (struct line_text){value, strlen(value)};
    value += g->source.len + 1;
    g->process = (struct line_text){value, strlen(value)};
    value += g->process.len + 1;
    g->n_pairs = excerpt_keys(rule, keys);
    for (size_t i = 0; i < g->n_pairs; i++) {
        g->pairs[i] = (struct wire_group){.key = keys[i], .value = value};
        value += strlen(value) + 1;
    }
}

/* Takes a kept group or makes one. */
static struct group *new_group(struct collect *t)
{
    struct group *g;

    if (t->n_kept > 0)
        return t->kept[--t->n_kept];
    g = calloc(1, sizeof *g);
    if (g == NULL)
        return NULL;
    buf_init(&g->sample, WIRE_SAMPLE_MAX);
    buf_init(&g->key, KEY_MAX);
    return g;
}

/* Fills in a group for the key that was made. Returns 0 or ERR_NOMEM. */
static int fill_group(struct collect *t, struct group *g, uint32_t rule)
{
    buf_clear(&g->key);
    buf_clear(&g->sample);
    g->rule = rule;
    g->n_times = 0;
    g->last = (struct line_text){0};
    if (buf_append(&g->key, t->key.data, t->key.len) != 0)
        return ERR_NOMEM;
    read_key(g, &t->rules->rules[rule]);
    return 0;
}

static int add_group(struct collect *t, uint32_t rule, unsigned hash, struct group **out)
{
    struct group *g = new_group(t);

    if (g == NULL)
        return ERR_NOMEM;
    if (fill_group(t, g, rule) != 0) {
        free_group(g);
        return ERR_NOMEM;
    }
    HASH_ADD_KEYPTR_BYHASHVALUE(hh, t->groups, g->key.data, g->key.len, hash, g);
    if (g->hh.tbl == NULL) { /* uthash's way to say that it found no memory */
        free_group(g);
        return ERR_NOMEM;
    }
    t->held_bytes += sizeof *g + g->key.cap + g->sample.cap + g->cap * sizeof *g->times;
    if (t->n_of_rule != NULL)
        t->n_of_rule[rule]++;
    *out = g;
    return 0;
}

/* Finds the group of the key that was made. */
static struct group *find_group(struct collect *t, unsigned *hash)
{
    struct group *g;

    HASH_VALUE(t->key.data, t->key.len, *hash);
    HASH_FIND_BYHASHVALUE(hh, t->groups, t->key.data, t->key.len, *hash, g);
    return g;
}

static bool same_text(struct line_text a, struct line_text b)
{
    return a.len == b.len && memcmp(a.data, b.data, a.len) == 0;
}

/* Finds the group of a line among the first ones by its names, which mostly print as they are. Then
 * no key is made and hashed: a delivery with many matches takes 12 % fewer instructions. */
static struct group *find_near(const struct collect *t, const struct line *line, uint32_t rule)
{
    struct group *g = t->groups;

    for (size_t i = 0; i < NEAR_GROUPS && g != NULL; i++, g = g->hh.next) {
        if (g->rule == rule && g->n_pairs == 0 && same_text(g->process, line->process) &&
            same_text(g->source, line->source))
            return g;
    }
    return NULL;
}

static int count_groups(struct collect *t)
{
    t->n_of_rule = calloc(t->rules->n, sizeof *t->n_of_rule);
    if (t->n_of_rule == NULL)
        return ERR_NOMEM;
    t->held_bytes += t->rules->n * sizeof *t->n_of_rule;
    for (const struct group *g = t->groups; g != NULL; g = g->hh.next)
        t->n_of_rule[g->rule]++;
    return 0;
}

/* Whether a rule may have no further group. Many groups of one rule take none from another. */
static int is_full(struct collect *t, uint32_t rule, bool *full)
{
    int rc = 0;

    *full = false;
    if (HASH_COUNT(t->groups) < COLLECT_GROUPS_MAX)
        return 0;
    if (t->n_of_rule == NULL)
        rc = count_groups(t);
    *full = rc == 0 && t->n_of_rule[rule] >= COLLECT_GROUPS_MAX / t->rules->n + 1;
    return rc;
}

/* Finds or makes the group of a line for a rule. */
static int get_group(struct collect *t, const struct line *line, uint32_t rule, struct group **out)
{
    bool full = false;
    unsigned hash;
    int rc;

    *out = find_near(t, line, rule);
    if (*out != NULL)
        return 0;
    rc = make_key(t, line, rule);
    if (rc != 0)
        return rc;
    *out = find_group(t, &hash);
    if (*out == NULL)
        rc = is_full(t, rule, &full);
    if (rc == 0 && full) {
        rc = make_overflow_key(t, rule);
        *out = rc == 0 ? find_group(t, &hash) : NULL;
    }
    return rc == 0 && *out == NULL ? add_group(t, rule, hash, out) : rc;
}

/* ---- matches ---- */

static int add_time(struct collect *t, struct group *g, int64_t time_us)
{
    if (g->n_times == g->cap) {
        size_t cap = g->cap > 0 ? 2 * g->cap : FIRST_TIMES;
        int64_t *times = reallocarray(g->times, cap, sizeof *times);

        if (times == NULL)
            return ERR_NOMEM;
        t->held_bytes += (cap - g->cap) * sizeof *times;
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
        rc = add_time(t, g, time_us);
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
    excerpt_forget(&t->excerpt);
    for (size_t i = 0; rc == 0 && i < n_rules; i++)
        rc = add_match(t, line, time_us, rules[i]);
    return rc;
}

int collect_keep_samples(struct collect *t)
{
    int rc = 0;

    for (struct group *g = t->groups; rc == 0 && g != NULL; g = g->hh.next) {
        size_t before = g->sample.cap;

        if (g->last.data == NULL)
            continue;
        rc = excerpt_sample(&t->excerpt, g->rule, g->last, &g->sample);
        t->held_bytes += g->sample.cap - before;
        g->last = (struct line_text){0};
    }
    excerpt_forget(&t->excerpt);
    return rc;
}

int collect_matches(struct collect *t, const struct wire_matches **matches, size_t *n)
{
    *n = 0;
    free(t->matches);
    *matches = t->matches = calloc(HASH_COUNT(t->groups) + 1, sizeof *t->matches);
    if (t->matches == NULL || collect_keep_samples(t) != 0)
        return ERR_NOMEM;
    t->held_bytes += HASH_COUNT(t->groups) * sizeof *t->matches;
    for (const struct group *g = t->groups; g != NULL; g = g->hh.next)
        t->matches[(*n)++] = (struct wire_matches){
            .rule = t->rules->rules[g->rule].name,
            .source = g->source.data,
            .process = g->process.data,
            .times_us = g->times,
            .n_times = g->n_times,
            .sample = {.data = g->sample.data, .len = g->sample.len},
            .group = g->pairs,
            .n_group = g->n_pairs,
        };
    return 0;
}
