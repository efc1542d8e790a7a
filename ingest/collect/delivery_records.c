/* Makes wire records of a delivery's parts. The delivery calls it at its end. */
#include "ingest/collect/delivery_records.h"

#include "common/base/err.h"

#include <stdio.h>
#include <stdlib.h>

static int reserve(struct delivery_records *r, size_t n)
{
    struct wire_record *items;
    char(*ids)[DELIVERY_RECORDS_ID_SIZE];

    if (n <= r->cap)
        return 0;
    items = reallocarray(r->items, n, sizeof *items);
    if (items == NULL)
        return ERR_NOMEM;
    r->items = items;
    ids = reallocarray(r->ids, n, sizeof *ids);
    if (ids == NULL)
        return ERR_NOMEM;
    r->ids = ids;
    r->cap = n;
    return 0;
}

static const char *id_of(struct delivery_records *r, size_t i, const char *frame_id)
{
    if (*frame_id == '\0')
        return frame_id;
    snprintf(r->ids[i], sizeof r->ids[i], "%s#%zu", frame_id, i + 1);
    return r->ids[i];
}

int delivery_records_make(struct delivery_records *r, const struct wire_record *whole,
                          const struct part *parts, size_t n_parts)
{
    size_t n = n_parts == 0 && whole->lost > 0 ? 1 : n_parts;
    int rc = reserve(r, n);

    r->n = 0;
    for (; rc == 0 && r->n < n; r->n++) {
        struct wire_record *record = &r->items[r->n];

        *record = *whole;
        if (r->n > 0)
            *record = (struct wire_record){.received_us = whole->received_us,
                                           .drain = whole->drain,
                                           .frame_id = id_of(r, r->n, whole->frame_id)};
        if (r->n < n_parts) {
            record->matches = parts[r->n].matches;
            record->n_matches = parts[r->n].n;
        }
    }
    return rc;
}

void delivery_records_close(struct delivery_records *r)
{
    free(r->ids);
    free(r->items);
    *r = (struct delivery_records){0};
}
