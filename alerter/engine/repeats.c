/* Remembers Frame-Ids, so that the engine counts a delivery once that Logplex sent twice. */

#include "alerter/engine/repeats.h"

#include "common/base/hash.h"
#include "common/base/table.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <utlist.h>

struct frame {
    uint64_t id; /* a hash of the Frame-Id */
    int64_t step_us;
    UT_hash_handle hh;
};

struct repeats_drain {
    struct frame *frames; /* a table that keeps the order of adding: the first is the oldest */
    int64_t newest_us;
    struct repeats_drain *prev, *next;
    UT_hash_handle hh;
    char name[];
};

static void drop_oldest(struct repeats *f, struct repeats_drain *d)
{
    struct frame *oldest = d->frames;

    HASH_DEL(d->frames, oldest);
    free(oldest);
    f->total--;
}

static void drop_drain(struct repeats *f, struct repeats_drain *d)
{
    while (d->frames != NULL)
        drop_oldest(f, d);
    HASH_DEL(f->table, d);
    DL_DELETE(f->stalest, d);
    f->n_drains--;
    free(d);
}

void repeats_close(struct repeats *f)
{
    while (f->stalest != NULL)
        drop_drain(f, f->stalest);
}

static bool holds(const struct repeats_drain *d, uint64_t id)
{
    struct frame *frame;

    HASH_FIND(hh, d->frames, &id, sizeof id, frame);
    return frame != NULL;
}

static int add_frame(struct repeats *f, struct repeats_drain *d, uint64_t id, int64_t step_us)
{
    struct frame *frame = calloc(1, sizeof *frame);

    if (frame == NULL)
        return ERR_NOMEM;
    frame->id = id;
    frame->step_us = step_us;
    HASH_ADD(hh, d->frames, id, sizeof id, frame);
    if (frame->hh.tbl == NULL) { /* uthash found no memory */
        free(frame);
        return ERR_NOMEM;
    }
    d->newest_us = step_us;
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
    struct repeats_drain *d;

    HASH_ADD_NAMED(f->table, name, len, d);
    if (d == NULL)
        return NULL;
    DL_APPEND(f->stalest, d);
    f->n_drains++;
    return d;
}

/* Drops drains from the stalest on; `taken`, the last of the list, stays. */
static void keep_limits(struct repeats *f, const struct repeats_drain *taken, int64_t old_us,
                        const struct repeats_limits *limits)
{
    while (f->stalest != taken && (f->n_drains > limits->drains || f->total > limits->total ||
                                   f->stalest->newest_us <= old_us))
        drop_drain(f, f->stalest);
}

int repeats_take(struct repeats *f, const char *drain, const char *frame_id, int64_t step_us,
                 int64_t memory_us, const struct repeats_limits *limits)
{
    const uint64_t id = hash_finish(hash_add_text(HASH_START, frame_id));
    const int64_t old_us = step_us - memory_us;
    const size_t len = strlen(drain);
    struct repeats_drain *d = find_drain(f, drain, len);

    assert(limits->per_drain > 0);
    while (d != NULL && d->frames != NULL && d->frames->step_us <= old_us)
        drop_oldest(f, d);
    if (d != NULL && holds(d, id))
        return 1;
    if (d == NULL && (d = add_drain(f, drain, len)) == NULL)
        return ERR_NOMEM;
    while (HASH_COUNT(d->frames) >= limits->per_drain)
        drop_oldest(f, d);
    if (add_frame(f, d, id, step_us) != 0) {
        if (d->frames == NULL) /* no drain is ever held empty */
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
        snapshot_put_u64(out, HASH_COUNT(d->frames));
        for (const struct frame *frame = d->frames; frame != NULL; frame = frame->hh.next) {
            snapshot_put_fixed64(out, frame->id);
            snapshot_put_u64(out, (uint64_t)(frame->step_us - before_us));
            before_us = frame->step_us;
        }
    }
}

static int load_frames(struct repeats *f, struct repeats_drain *d, struct snapshot_reader *in,
                       int64_t step_us, const struct repeats_limits *limits)
{
    size_t n = snapshot_get_count(in, 9);
    int64_t at_us = 0;

    if (n == 0 || n > limits->per_drain)
        return ERR_DAMAGED;
    for (size_t i = 0; i < n; i++) {
        uint64_t id = snapshot_get_fixed64(in);

        at_us += (int64_t)snapshot_get_max(in, (uint64_t)(step_us - at_us));
        if (in->bad || holds(d, id))
            return ERR_DAMAGED;
        if (add_frame(f, d, id, at_us) != 0)
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
