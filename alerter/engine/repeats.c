#define HASH_NONFATAL_OOM 1

#include "alerter/engine/repeats.h"

#include "common/base/hash.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <uthash.h>
#include <utlist.h>

struct frame {
    uint64_t hash;
    int64_t step_us;
};

/* A ring of frames in the order they were taken, and a table of open addresses into it. */
struct repeats_drain {
    struct frame *ring;
    uint32_t *slots; /* two for each place of the ring: the place + 1, 0 where free */
    size_t cap;      /* places, a power of two */
    size_t head;
    size_t n;
    struct repeats_drain *prev, *next;
    UT_hash_handle hh;
    char name[];
};

enum { FIRST_PLACES = 8 };

void repeats_init(struct repeats *f)
{
    *f = (struct repeats){0};
}

static void drain_free(struct repeats_drain *d)
{
    if (d == NULL)
        return;
    free(d->ring);
    free(d->slots);
    free(d);
}

static void drop_drain(struct repeats *f, struct repeats_drain *d)
{
    HASH_DEL(f->table, d);
    DL_DELETE(f->stalest, d);
    f->n_drains--;
    f->total -= d->n;
    drain_free(d);
}

void repeats_close(struct repeats *f)
{
    while (f->stalest != NULL)
        drop_drain(f, f->stalest);
    repeats_init(f);
}

static size_t slot_of(const struct repeats_drain *d, uint64_t hash)
{
    return (size_t)hash & (2 * d->cap - 1);
}

/* The slot that names the frame with this hash, or the free one where it would go. */
static size_t find_slot(const struct repeats_drain *d, uint64_t hash)
{
    size_t slot = slot_of(d, hash);

    while (d->slots[slot] != 0 && d->ring[d->slots[slot] - 1].hash != hash)
        slot = (slot + 1) & (2 * d->cap - 1);
    return slot;
}

static bool holds(const struct repeats_drain *d, uint64_t hash)
{
    return d->n > 0 && d->slots[find_slot(d, hash)] != 0;
}

/* Frees a slot and moves up those behind it that probing would no longer reach, so that the table
 * needs no tombstones. */
static void free_slot(struct repeats_drain *d, size_t slot)
{
    size_t mask = 2 * d->cap - 1;

    for (size_t at = (slot + 1) & mask; d->slots[at] != 0; at = (at + 1) & mask) {
        size_t home = slot_of(d, d->ring[d->slots[at] - 1].hash);

        if (((at - home) & mask) >= ((at - slot) & mask)) {
            d->slots[slot] = d->slots[at];
            slot = at;
        }
    }
    d->slots[slot] = 0;
}

static void pop(struct repeats *f, struct repeats_drain *d)
{
    assert(d->n > 0);
    free_slot(d, find_slot(d, d->ring[d->head].hash));
    d->head = (d->head + 1) & (d->cap - 1);
    d->n--;
    f->total--;
}

static int grow(struct repeats_drain *d)
{
    size_t cap = d->cap == 0 ? FIRST_PLACES : 2 * d->cap;
    struct frame *ring = malloc(cap * sizeof *ring);
    uint32_t *slots = calloc(2 * cap, sizeof *slots);

    if (ring == NULL || slots == NULL) {
        free(ring);
        free(slots);
        return ERR_NOMEM;
    }
    for (size_t i = 0; i < d->n; i++)
        ring[i] = d->ring[(d->head + i) & (d->cap - 1)];
    free(d->ring);
    free(d->slots);
    d->ring = ring;
    d->slots = slots;
    d->cap = cap;
    d->head = 0;
    for (size_t i = 0; i < d->n; i++)
        slots[find_slot(d, ring[i].hash)] = (uint32_t)i + 1;
    return 0;
}

static int push(struct repeats *f, struct repeats_drain *d, struct frame frame)
{
    size_t place;

    if (d->n == d->cap && grow(d) != 0)
        return ERR_NOMEM;
    place = (d->head + d->n) & (d->cap - 1);
    d->ring[place] = frame;
    d->slots[find_slot(d, frame.hash)] = (uint32_t)place + 1;
    d->n++;
    f->total++;
    return 0;
}

static struct repeats_drain *find_drain(const struct repeats *f, const char *name, size_t len)
{
    struct repeats_drain *d;

    HASH_FIND(hh, f->table, name, len, d);
    return d;
}

static struct repeats_drain *add_drain(struct repeats *f, const char *name, size_t len)
{
    struct repeats_drain *d = calloc(1, sizeof *d + len + 1);

    if (d == NULL)
        return NULL;
    memcpy(d->name, name, len);
    HASH_ADD_KEYPTR(hh, f->table, d->name, len, d);
    if (d->hh.tbl == NULL) { /* uthash's way to say that it found no memory */
        free(d);
        return NULL;
    }
    DL_APPEND(f->stalest, d);
    f->n_drains++;
    return d;
}

/* Goes by the list, whose first drain has the oldest newest frame; `taken` is the last of it. */
static void keep_limits(struct repeats *f, const struct repeats_drain *taken, int64_t old_us,
                        const struct repeats_limits *limits)
{
    while (f->stalest != taken) {
        struct repeats_drain *d = f->stalest;
        size_t newest = (d->head + d->n - 1) & (d->cap - 1);

        if (f->n_drains <= limits->drains && f->total <= limits->total &&
            d->ring[newest].step_us > old_us)
            return;
        drop_drain(f, d);
    }
}

int repeats_take(struct repeats *f, const char *drain, const char *frame_id, int64_t step_us,
                 int64_t memory_us, const struct repeats_limits *limits)
{
    struct frame frame = {.hash = hash_finish(hash_add_text(HASH_START, frame_id)),
                          .step_us = step_us};
    int64_t old_us = step_us - memory_us;
    size_t len = strlen(drain);
    struct repeats_drain *d = find_drain(f, drain, len);

    assert(limits->per_drain > 0);
    while (d != NULL && d->n > 0 && d->ring[d->head].step_us <= old_us)
        pop(f, d);
    if (d != NULL && holds(d, frame.hash))
        return 1;
    if (d == NULL)
        d = add_drain(f, drain, len);
    if (d == NULL)
        return ERR_NOMEM;
    while (d->n >= limits->per_drain)
        pop(f, d);
    if (push(f, d, frame) != 0) {
        if (d->n == 0) /* no drain is ever held empty */
            drop_drain(f, d);
        return ERR_NOMEM;
    }
    DL_DELETE(f->stalest, d);
    DL_APPEND(f->stalest, d);
    keep_limits(f, d, old_us, limits);
    return 0;
}

void repeats_save(const struct repeats *f, struct snapshot_writer *out)
{
    const struct repeats_drain *d;

    snapshot_put_u64(out, f->n_drains);
    DL_FOREACH(f->stalest, d)
    {
        int64_t before_us = 0;

        snapshot_put_bytes(out, d->name, strlen(d->name));
        snapshot_put_u64(out, d->n);
        for (size_t i = 0; i < d->n; i++) {
            const struct frame *frame = &d->ring[(d->head + i) & (d->cap - 1)];

            snapshot_put_fixed64(out, frame->hash);
            snapshot_put_u64(out, (uint64_t)(frame->step_us - before_us));
            before_us = frame->step_us;
        }
    }
}

static int load_frames(struct repeats *f, struct repeats_drain *d, struct snapshot_reader *in,
                       int64_t step_us, const struct repeats_limits *limits)
{
    size_t n = snapshot_get_count(in, 9);
    struct frame frame = {0};

    if (n == 0 || n > limits->per_drain)
        return ERR_DAMAGED;
    for (size_t i = 0; i < n; i++) {
        frame.hash = snapshot_get_fixed64(in);
        frame.step_us += (int64_t)snapshot_get_max(in, (uint64_t)(step_us - frame.step_us));
        if (in->bad || holds(d, frame.hash))
            return ERR_DAMAGED;
        if (push(f, d, frame) != 0)
            return ERR_NOMEM;
    }
    return 0;
}

static int load_drain(struct repeats *f, struct snapshot_reader *in, int64_t step_us,
                      const struct repeats_limits *limits)
{
    struct repeats_drain *d;
    size_t len;
    const char *name = (const char *)snapshot_get_bytes(in, &len);

    if (in->bad || memchr(name, 0, len) != NULL || find_drain(f, name, len) != NULL)
        return ERR_DAMAGED;
    d = add_drain(f, name, len);
    return d == NULL ? ERR_NOMEM : load_frames(f, d, in, step_us, limits);
}

int repeats_load(struct repeats *f, struct snapshot_reader *in, int64_t step_us,
                 const struct repeats_limits *limits)
{
    size_t n = snapshot_get_count(in, 11);
    int rc = 0;

    if (n > limits->drains)
        return ERR_DAMAGED;
    for (size_t i = 0; i < n && rc == 0; i++)
        rc = load_drain(f, in, step_us, limits);
    if (rc == 0 && (in->bad || f->total > limits->total))
        return ERR_DAMAGED;
    return rc;
}
