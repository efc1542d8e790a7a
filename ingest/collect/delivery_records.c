/* Makes the wire records of a delivery. The delivery calls it at its end. */
#include "ingest/collect/delivery_records.h"

#include "common/base/err.h"

#include <stdbool.h>
#include <stdio.h>
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

/* Whether all matches surely fit one record. The bytes of single times need no count then. */
static bool fit_one_record(const struct wire_matches *matches, size_t n)
{
    size_t bytes = 0;

    for (size_t i = 0; i < n && bytes <= DELIVERY_RECORDS_BYTES; i++)
        bytes += fixed_bytes(&matches[i]) + MATCHES_OVERHEAD + matches[i].n_times * TIME_BYTES_MAX;
    return bytes <= DELIVERY_RECORDS_BYTES;
}

static int open_record(struct delivery_records *r, const struct wire_record *whole)
{
    if (r->n == r->cap) {
        size_t cap = r->cap > 0 ? 2 * r->cap : 1;
        struct wire_record *items = reallocarray(r->items, cap, sizeof *items);
        char(*ids)[DELIVERY_RECORDS_ID_SIZE];

        if (items == NULL)
            return ERR_NOMEM;
        r->items = items;
        ids = reallocarray(r->ids, cap, sizeof *ids);
        if (ids == NULL)
            return ERR_NOMEM;
        r->ids = ids;
        r->cap = cap;
    }
    r->items[r->n] = *whole;
    if (r->n > 0)
        r->items[r->n] =
            (struct wire_record){.received_us = whole->received_us, .drain = whole->drain};
    r->n++;
    return 0;
}

/* Puts these times of `m` into the newest record. */
static int put_times(struct delivery_records *r, const struct wire_matches *m, size_t first,
                     size_t n)
{
    if (r->n_matches == r->cap_matches) {
        size_t cap = r->cap_matches > 0 ? 2 * r->cap_matches : 8;
        struct wire_matches *matches = reallocarray(r->matches, cap, sizeof *matches);

        if (matches == NULL)
            return ERR_NOMEM;
        r->matches = matches;
        r->cap_matches = cap;
    }
    r->matches[r->n_matches] = *m;
    r->matches[r->n_matches].times_us = m->times_us + first;
    r->matches[r->n_matches++].n_times = n;
    r->items[r->n - 1].n_matches++;
    return 0;
}

/* Puts `m` into the newest record, and the times that do not fit there into new records. `*bytes`
 * is the size of the newest record. Times are packed as differences. */
static int put_matches(struct delivery_records *r, const struct wire_record *whole,
                       const struct wire_matches *m, size_t *bytes)
{
    size_t fixed = fixed_bytes(m), first = 0;
    int rc = 0;

    while (rc == 0 && first < m->n_times) {
        size_t size = fixed, i = first;

        if (*bytes > 0 && *bytes + fixed > DELIVERY_RECORDS_BYTES) {
            *bytes = 0;
            rc = open_record(r, whole);
            continue;
        }
        do { /* at least one time, or it would never end */
            size +=
                varint_bytes(i > first ? m->times_us[i - 1] : whole->received_us, m->times_us[i]);
            i++;
        } while (i < m->n_times && *bytes + size + MATCHES_OVERHEAD <= DELIVERY_RECORDS_BYTES);
        rc = put_times(r, m, first, i - first);
        *bytes += size;
        first = i;
    }
    return rc;
}

/* The arrays may move while they grow, so the records get their pointers at the end. */
static void point_records(struct delivery_records *r, const struct wire_record *whole)
{
    const struct wire_matches *next = r->matches;

    for (size_t i = 0; i < r->n; i++) {
        r->items[i].matches = next;
        next += r->items[i].n_matches;
        if (i == 0)
            continue;
        r->items[i].frame_id = *whole->frame_id == '\0' ? "" : r->ids[i];
        snprintf(r->ids[i], sizeof r->ids[i], "%s#%zu", whole->frame_id, i + 1);
    }
}

int delivery_records_make(struct delivery_records *r, const struct wire_record *whole,
                          const struct wire_matches *matches, size_t n)
{
    size_t bytes = 0;
    int rc;

    r->n = r->n_matches = 0;
    if (n == 0 && whole->lost == 0)
        return 0;
    rc = open_record(r, whole);
    if (rc == 0 && fit_one_record(matches, n)) {
        r->items[0].matches = matches;
        r->items[0].n_matches = n;
        return 0;
    }
    for (size_t i = 0; rc == 0 && i < n; i++)
        rc = put_matches(r, whole, &matches[i], &bytes);
    point_records(r, whole);
    return rc;
}

void delivery_records_close(struct delivery_records *r)
{
    free(r->matches);
    free(r->ids);
    free(r->items);
    *r = (struct delivery_records){0};
}
