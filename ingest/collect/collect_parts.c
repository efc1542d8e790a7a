#include "common/base/err.h"
#include "ingest/collect/collect_impl.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum {
    /* On the wire, at most: each field's tag and length, and the first time of a part, which is
     * told from the time of receipt. */
    GROUP_OVERHEAD = 48,
    PAIR_OVERHEAD = 12,
    TIME_BYTES_MAX = 10,
};

static size_t varint_bytes(int64_t from, int64_t to)
{
    uint64_t delta = (uint64_t)to - (uint64_t)from;
    uint64_t zigzag = (delta << 1) ^ (delta >> 63 ? UINT64_MAX : 0);
    size_t n = 1;

    for (; zigzag > 0x7f; zigzag >>= 7)
        n++;
    return n;
}

static int open_part(struct collect *t)
{
    if (t->n_parts == t->cap_parts) {
        size_t cap = t->cap_parts > 0 ? 2 * t->cap_parts : 1;
        struct collect_part *parts = reallocarray(t->parts, cap, sizeof *parts);

        if (parts == NULL)
            return ERR_NOMEM;
        t->parts = parts;
        t->cap_parts = cap;
    }
    t->parts[t->n_parts++] = (struct collect_part){0};
    return 0;
}

/* Puts these times of a group into the newest part. */
static int put_times(struct collect *t, const struct group *g, size_t first, size_t n)
{
    if (t->n_wire == t->cap_wire) {
        size_t cap = t->cap_wire > 0 ? 2 * t->cap_wire : COLLECT_FIRST_GROUPS;
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
        .group = g->pairs,
        .n_group = g->n_pairs,
    };
    t->parts[t->n_parts - 1].n++;
    return 0;
}

/* What a group takes in each part that some of it is in, but for the times. */
static size_t fixed_bytes(const struct collect *t, const struct group *g)
{
    size_t n = GROUP_OVERHEAD + strlen(t->rules->rules[g->rule].name) + g->source.len +
               g->process.len + g->sample.len;

    for (size_t i = 0; i < g->n_pairs; i++)
        n += PAIR_OVERHEAD + strlen(g->pairs[i].key) + strlen(g->pairs[i].value);
    return n;
}

/* Whether all of it surely fits one part: then no time's bytes need be counted. */
static bool fits_one_part(const struct collect *t)
{
    size_t bytes = t->n_matches * TIME_BYTES_MAX;

    for (size_t i = 0; i < t->n_groups && bytes <= COLLECT_RECORD_BYTES; i++)
        bytes += fixed_bytes(t, &t->groups[i]) + GROUP_OVERHEAD;
    return bytes <= COLLECT_RECORD_BYTES;
}

/* Puts a group into the newest part, and what does not fit there into new ones. `*bytes` is the
 * size of the newest part. */
static int put_group(struct collect *t, const struct group *g, size_t *bytes)
{
    size_t fixed = fixed_bytes(t, g), first = 0;
    int rc = 0;

    while (rc == 0 && first < g->n_times) {
        size_t size = fixed, i = first;

        if (*bytes > 0 && *bytes + fixed > COLLECT_RECORD_BYTES) {
            *bytes = 0;
            rc = open_part(t);
            continue;
        }
        do { /* one time at least, so that it goes on whatever the sizes are */
            size += varint_bytes(i > first ? g->times[i - 1] : t->received_us, g->times[i]);
            i++;
        } while (i < g->n_times && *bytes + size + GROUP_OVERHEAD <= COLLECT_RECORD_BYTES);
        rc = put_times(t, g, first, i - first);
        *bytes += size;
        first = i;
    }
    return rc;
}

/* The array of all matches may move while it grows, so the parts are pointed into it at the end. */
static void point_parts(struct collect *t)
{
    size_t first = 0;

    for (size_t i = 0; i < t->n_parts; i++) {
        t->parts[i].matches = t->matches + first;
        first += t->parts[i].n;
    }
}

int collect_parts(struct collect *t, const struct collect_part **parts, size_t *n)
{
    bool one = fits_one_part(t);
    size_t bytes = 0;
    int rc = 0;

    t->n_wire = t->n_parts = 0;
    if (t->n_groups > 0)
        rc = open_part(t);
    for (size_t i = 0; rc == 0 && i < t->n_groups; i++) {
        const struct group *g = &t->groups[i];

        assert(g->last.data == NULL);
        rc = one ? put_times(t, g, 0, g->n_times) : put_group(t, g, &bytes);
    }
    point_parts(t);
    *parts = t->parts;
    *n = t->n_parts;
    return rc;
}
