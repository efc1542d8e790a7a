#include "ingest/tally.h"

#include "common/buf.h"
#include "common/err.h"
#include "common/text.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum {
    FIRST_GROUPS = 8,
    FIRST_TIMES = 16,
    /* Memory beyond this is given back when the next delivery begins: a storm must not stay. */
    KEEP_GROUPS = 256,
    KEEP_TIMES = 64 << 10,
    /* On the wire, at most: each field's tag and length, and the first time of a part, which is
     * told from the time of receipt. */
    GROUP_OVERHEAD = 48,
};

/* A source or process as it is shown. */
struct name {
    char text[TALLY_NAME_MAX + 1];
    size_t len;
};

struct group {
    uint32_t rule;
    uint32_t hash;
    struct name source;
    struct name process;
    int64_t *times;
    size_t n_times;
    size_t cap;
    struct buf sample;
    struct logplex_text last; /* the newest line's message, where the sample is not yet taken */
};

struct tally {
    const struct rules *rules;
    int64_t received_us;
    struct group *groups; /* those behind n_groups keep their memory for later */
    size_t n_groups;
    size_t cap_groups;
    uint32_t *table; /* by hash: 1 + index of a group, 0: none; twice as many as groups */
    size_t n_matches;
    struct buf shown;
    struct wire_matches *matches;
    size_t n_wire;
    size_t cap_wire;
    struct tally_part *parts;
    size_t n_parts;
    size_t cap_parts;
};

struct tally *tally_new(void)
{
    struct tally *t = calloc(1, sizeof *t);

    if (t != NULL)
        buf_init(&t->shown, TALLY_NAME_MAX);
    return t;
}

static void release(struct tally *t)
{
    for (size_t i = 0; i < t->cap_groups; i++) {
        free(t->groups[i].times);
        buf_close(&t->groups[i].sample);
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

void tally_free(struct tally *t)
{
    if (t == NULL)
        return;
    release(t);
    buf_close(&t->shown);
    free(t);
}

void tally_begin(struct tally *t, const struct rules *rules, int64_t received_us)
{
    if (t->cap_groups > KEEP_GROUPS || t->n_matches > KEEP_TIMES)
        release(t);
    else if (t->n_groups > 0)
        memset(t->table, 0, 2 * t->cap_groups * sizeof *t->table);
    t->n_groups = t->n_matches = t->n_wire = t->n_parts = 0;
    t->rules = rules;
    t->received_us = received_us;
}

/* ---------------------------------------------------------------------------------------- groups
 */

static int read_name(struct tally *t, struct logplex_text text, struct name *out)
{
    size_t n = text.len < TALLY_NAME_MAX ? text.len : TALLY_NAME_MAX;
    int rc;

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

static uint32_t hash_key(uint32_t rule, const struct name *source, const struct name *process)
{
    uint32_t hash = hash_bytes(UINT32_C(2166136261), &rule, sizeof rule);

    hash = hash_bytes(hash, source->text, source->len + 1);
    return hash_bytes(hash, process->text, process->len);
}

static bool same_name(const struct name *a, const struct name *b)
{
    return a->len == b->len && memcmp(a->text, b->text, a->len) == 0;
}

/* The slot of the group, or the free one where it would go. */
static uint32_t *find_slot(const struct tally *t, uint32_t hash, uint32_t rule,
                           const struct name *source, const struct name *process)
{
    size_t mask = 2 * t->cap_groups - 1;

    for (size_t i = hash & mask;; i = (i + 1) & mask) {
        const struct group *g;

        if (t->table[i] == 0)
            return &t->table[i];
        g = &t->groups[t->table[i] - 1];
        if (g->hash == hash && g->rule == rule && same_name(&g->source, source) &&
            same_name(&g->process, process))
            return &t->table[i];
    }
}

static int grow_groups(struct tally *t)
{
    size_t cap = t->cap_groups > 0 ? 2 * t->cap_groups : FIRST_GROUPS;
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
    }
    free(t->table);
    t->table = table;
    t->cap_groups = cap;
    for (size_t i = 0; i < t->n_groups; i++) {
        struct group *g = &groups[i];

        *find_slot(t, g->hash, g->rule, &g->source, &g->process) = (uint32_t)i + 1;
    }
    return 0;
}

static struct group *add_group(struct tally *t, uint32_t *slot, uint32_t hash, uint32_t rule,
                               const struct name *source, const struct name *process)
{
    struct group *g = &t->groups[t->n_groups++];

    *slot = (uint32_t)t->n_groups;
    g->rule = rule;
    g->hash = hash;
    g->source = *source;
    g->process = *process;
    g->n_times = 0;
    g->last = (struct logplex_text){0};
    buf_clear(&g->sample);
    return g;
}

/* The group, made where there is none. Where there are too many already it is the rule's own
 * without names, of which there can only be as many as rules. */
static int get_group(struct tally *t, uint32_t rule, const struct name *source,
                     const struct name *process, struct group **out)
{
    static const struct name none;
    uint32_t hash = hash_key(rule, source, process), *slot;
    int rc = t->n_groups == t->cap_groups ? grow_groups(t) : 0;

    if (rc != 0)
        return rc;
    slot = find_slot(t, hash, rule, source, process);
    if (*slot == 0 && t->n_groups >= TALLY_GROUPS_MAX + t->rules->n) {
        source = process = &none;
        hash = hash_key(rule, source, process);
        slot = find_slot(t, hash, rule, source, process);
    }
    *out = *slot != 0 ? &t->groups[*slot - 1] : add_group(t, slot, hash, rule, source, process);
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

int tally_add(struct tally *t, const struct logplex_line *line, int64_t time_us,
              const uint32_t *rules, size_t n_rules)
{
    struct name source, process;
    int rc;

    if (n_rules > TALLY_MATCHES_MAX - t->n_matches)
        return ERR_FULL;
    rc = read_name(t, line->source, &source);
    if (rc == 0)
        rc = read_name(t, line->process, &process);
    for (size_t i = 0; rc == 0 && i < n_rules; i++) {
        struct group *g;

        rc = get_group(t, rules[i], &source, &process, &g);
        if (rc == 0)
            rc = add_time(g, time_us);
        if (rc == 0) {
            g->last = line->message;
            t->n_matches++;
        }
    }
    return rc;
}

/* Redacts before it cuts, so that what is cut off is not half a token's name. */
static int take_sample(struct group *g)
{
    size_t n = text_cut(g->last.data, g->last.len, 2 * WIRE_SAMPLE_MAX);
    int rc;

    buf_clear(&g->sample);
    rc = buf_append(&g->sample, g->last.data, n);
    if (rc != 0)
        return rc;
    n = text_redact_token((char *)g->sample.data, n);
    g->sample.len = text_cut((const char *)g->sample.data, n, WIRE_SAMPLE_MAX);
    g->last = (struct logplex_text){0};
    return 0;
}

/* Of the many lines of a batch only each group's last is copied. */
int tally_settle(struct tally *t)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < t->n_groups; i++) {
        if (t->groups[i].last.data != NULL)
            rc = take_sample(&t->groups[i]);
    }
    return rc;
}

size_t tally_matches(const struct tally *t)
{
    return t->n_matches;
}

/* ---------------------------------------------------------------------------------------- parts */

static size_t varint_bytes(int64_t from, int64_t to)
{
    uint64_t delta = (uint64_t)to - (uint64_t)from;
    uint64_t zigzag = (delta << 1) ^ (delta >> 63 ? UINT64_MAX : 0);
    size_t n = 1;

    for (; zigzag > 0x7f; zigzag >>= 7)
        n++;
    return n;
}

static int open_part(struct tally *t)
{
    if (t->n_parts == t->cap_parts) {
        size_t cap = t->cap_parts > 0 ? 2 * t->cap_parts : 1;
        struct tally_part *parts = reallocarray(t->parts, cap, sizeof *parts);

        if (parts == NULL)
            return ERR_NOMEM;
        t->parts = parts;
        t->cap_parts = cap;
    }
    t->parts[t->n_parts++] = (struct tally_part){0};
    return 0;
}

/* Puts these times of a group into the newest part. */
static int put_times(struct tally *t, const struct group *g, size_t first, size_t n)
{
    if (t->n_wire == t->cap_wire) {
        size_t cap = t->cap_wire > 0 ? 2 * t->cap_wire : FIRST_GROUPS;
        struct wire_matches *matches = reallocarray(t->matches, cap, sizeof *matches);

        if (matches == NULL)
            return ERR_NOMEM;
        t->matches = matches;
        t->cap_wire = cap;
    }
    t->matches[t->n_wire++] = (struct wire_matches){
        .rule = t->rules->rules[g->rule].name,
        .source = g->source.text,
        .process = g->process.text,
        .times_us = g->times + first,
        .n_times = n,
        .sample = {.data = g->sample.data, .len = g->sample.len},
    };
    t->parts[t->n_parts - 1].n++;
    return 0;
}

/* Puts a group into the newest part, and what does not fit there into new ones. `*bytes` is the
 * size of the newest part. */
static int put_group(struct tally *t, const struct group *g, size_t *bytes)
{
    size_t fixed = GROUP_OVERHEAD + strlen(t->rules->rules[g->rule].name) + g->source.len +
                   g->process.len + g->sample.len;
    size_t first = 0;
    int rc = 0;

    while (rc == 0 && first < g->n_times) {
        size_t size = fixed, i = first;

        if (*bytes > 0 && *bytes + fixed > TALLY_RECORD_BYTES) {
            *bytes = 0;
            rc = open_part(t);
            continue;
        }
        do { /* one time at least, so that it goes on whatever the sizes are */
            size += varint_bytes(i > first ? g->times[i - 1] : t->received_us, g->times[i]);
            i++;
        } while (i < g->n_times && *bytes + size + GROUP_OVERHEAD <= TALLY_RECORD_BYTES);
        rc = put_times(t, g, first, i - first);
        *bytes += size;
        first = i;
    }
    return rc;
}

/* The array of all matches may move while it grows, so the parts are pointed into it at the end. */
static void point_parts(struct tally *t)
{
    size_t first = 0;

    for (size_t i = 0; i < t->n_parts; i++) {
        t->parts[i].matches = t->matches + first;
        first += t->parts[i].n;
    }
}

int tally_parts(struct tally *t, const struct tally_part **parts, size_t *n)
{
    size_t bytes = 0;
    int rc = 0;

    t->n_wire = t->n_parts = 0;
    if (t->n_groups > 0)
        rc = open_part(t);
    for (size_t i = 0; rc == 0 && i < t->n_groups; i++) {
        assert(t->groups[i].last.data == NULL);
        rc = put_group(t, &t->groups[i], &bytes);
    }
    point_parts(t);
    *parts = t->parts;
    *n = t->n_parts;
    return rc;
}
