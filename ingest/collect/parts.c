/* Splits matches into records that fit the queue. collect calls it at the end of a delivery. */
#include "ingest/collect/parts.h"

#include "common/base/err.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum {
    /* On the wire, at most: the tags and lengths of all fields, and of a pair. */
    MATCHES_OVERHEAD = 48,
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

/* The bytes of everything but the times. */
static size_t fixed_bytes(const struct wire_matches *m)
{
    size_t n =
        MATCHES_OVERHEAD + strlen(m->rule) + strlen(m->source) + strlen(m->process) + m->sample.len;

    for (size_t i = 0; i < m->n_group; i++)
        n += PAIR_OVERHEAD + strlen(m->group[i].key) + strlen(m->group[i].value);
    return n;
}

/* Whether all matches surely fit one part. The bytes of single times need no count then. */
static bool fit_one_part(const struct wire_matches *matches, size_t n)
{
    size_t bytes = 0;

    for (size_t i = 0; i < n && bytes <= PARTS_RECORD_BYTES; i++)
        bytes += fixed_bytes(&matches[i]) + MATCHES_OVERHEAD + matches[i].n_times * TIME_BYTES_MAX;
    return bytes <= PARTS_RECORD_BYTES;
}

static int open_part(struct parts *p)
{
    if (p->n_parts == p->cap_parts) {
        size_t cap = p->cap_parts > 0 ? 2 * p->cap_parts : 1;
        struct part *parts = reallocarray(p->parts, cap, sizeof *parts);

        if (parts == NULL)
            return ERR_NOMEM;
        p->parts = parts;
        p->cap_parts = cap;
    }
    p->parts[p->n_parts++] = (struct part){0};
    return 0;
}

/* Puts these times of `m` into the newest part. */
static int put_times(struct parts *p, const struct wire_matches *m, size_t first, size_t n)
{
    if (p->n_matches == p->cap_matches) {
        size_t cap = p->cap_matches > 0 ? 2 * p->cap_matches : 8;
        struct wire_matches *matches = reallocarray(p->matches, cap, sizeof *matches);

        if (matches == NULL)
            return ERR_NOMEM;
        p->matches = matches;
        p->cap_matches = cap;
    }
    p->matches[p->n_matches] = *m;
    p->matches[p->n_matches].times_us = m->times_us + first;
    p->matches[p->n_matches++].n_times = n;
    p->parts[p->n_parts - 1].n++;
    return 0;
}

/* Puts `m` into the newest part, and the times that do not fit there into new parts. `*bytes` is
 * the size of the newest part. */
static int put_matches(struct parts *p, const struct wire_matches *m, int64_t received_us,
                       size_t *bytes)
{
    size_t fixed = fixed_bytes(m), first = 0;
    int rc = 0;

    while (rc == 0 && first < m->n_times) {
        size_t size = fixed, i = first;

        if (*bytes > 0 && *bytes + fixed > PARTS_RECORD_BYTES) {
            *bytes = 0;
            rc = open_part(p);
            continue;
        }
        do { /* at least one time, or it would never end */
            size += varint_bytes(i > first ? m->times_us[i - 1] : received_us, m->times_us[i]);
            i++;
        } while (i < m->n_times && *bytes + size + MATCHES_OVERHEAD <= PARTS_RECORD_BYTES);
        rc = put_times(p, m, first, i - first);
        *bytes += size;
        first = i;
    }
    return rc;
}

/* The array of all matches may move while it grows, so the parts get their pointers at the end. */
static void point_parts(struct parts *p)
{
    size_t first = 0;

    for (size_t i = 0; i < p->n_parts; i++) {
        p->parts[i].matches = p->matches + first;
        first += p->parts[i].n;
    }
}

int parts_split(struct parts *p, const struct wire_matches *matches, size_t n, int64_t received_us)
{
    size_t bytes = 0;
    int rc;

    p->n_parts = p->n_matches = 0;
    if (n == 0)
        return 0;
    rc = open_part(p);
    if (rc == 0 && fit_one_part(matches, n)) {
        p->parts[0] = (struct part){matches, n};
        return 0;
    }
    for (size_t i = 0; rc == 0 && i < n; i++)
        rc = put_matches(p, &matches[i], received_us, &bytes);
    point_parts(p);
    return rc;
}

void parts_close(struct parts *p)
{
    free(p->matches);
    free(p->parts);
    *p = (struct parts){0};
}
