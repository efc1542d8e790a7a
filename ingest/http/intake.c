/* Bounds the memory and the work of all bodies; called by request. */
#include "ingest/http/intake.h"

#include "common/base/err.h"
#include "common/base/table.h"

#include <assert.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

enum {
    SERVED_MAX = 64,  /* in a turn: finding a body to go on with looks at all of them */
    DRAINS_KEPT = 64, /* without a body, or each new delivery of a drain would go first again */
};

struct intake_drain {
    UT_hash_handle hh;
    size_t n_open;
    size_t held_bytes;
    uint64_t turn; /* that the next three are about */
    bool has_pushed;
    int64_t spent_us;
    unsigned n_resumed;
    uint64_t served; /* when one of its bodies went on last, in order */
    char name[];
};

void intake_init(struct intake *in, int64_t max_body_bytes, int64_t (*clock_us)(void))
{
    size_t bodies = (size_t)max_body_bytes * INTAKE_BODIES_LEAST;

    *in = (struct intake){
        .max_bytes = bodies > INTAKE_MEMORY_LEAST ? bodies : INTAKE_MEMORY_LEAST,
        .clock_us = clock_us,
    };
}

/* ---- drains ---- */

static struct intake_drain *get_drain(struct intake *in, const char *name)
{
    size_t n = strlen(name);
    struct intake_drain *d;

    HASH_FIND(hh, in->drains, name, n, d);
    if (d != NULL)
        return d;
    HASH_ADD_NAMED(in->drains, name, n, d);
    in->n_drains += d != NULL;
    return d;
}

static void free_drain(struct intake *in, struct intake_drain *d)
{
    HASH_DELETE(hh, in->drains, d);
    in->n_drains--;
    free(d);
}

static void release_drain(struct intake *in, struct intake_drain *d)
{
    d->n_open--;
    if (d->n_open == 0 && in->n_drains > DRAINS_KEPT)
        free_drain(in, d);
}

void intake_close(struct intake *in)
{
    struct intake_drain *d, *next;

    assert(in->open == NULL);
    HASH_ITER(hh, in->drains, d, next)
    {
        free_drain(in, d);
    }
}

/* ---- memory ---- */

static void set_held(struct intake *in, struct intake_body *b, size_t bytes)
{
    in->held_bytes += bytes - b->held_bytes;
    b->drain->held_bytes += bytes - b->held_bytes;
    b->held_bytes = bytes;
    if (in->held_bytes > in->most_bytes)
        in->most_bytes = in->held_bytes;
}

static void drop(struct intake *in, struct intake_body *b)
{
    in->n_behind -= intake_is_behind(b);
    body_free(b->body);
    b->body = NULL;
    set_held(in, b, 0);
}

static void give_up(struct intake *in, struct intake_body *b, const char *why)
{
    b->failure = why;
    drop(in, b);
}

/* The largest body that is coming in, of one drain or (NULL) of all. */
static struct intake_body *find_largest(const struct intake *in, const struct intake_drain *drain)
{
    struct intake_body *b, *largest = NULL;

    DL_FOREACH(in->open, b)
    {
        if ((drain == NULL || b->drain == drain) &&
            b->held_bytes > (largest == NULL ? 0 : largest->held_bytes))
            largest = b;
    }
    return largest;
}

static void keep_bounds(struct intake *in, const struct intake_drain *drain)
{
    struct intake_body *b = NULL;

    while (drain->held_bytes > in->max_bytes / 2 && (b = find_largest(in, drain)) != NULL)
        give_up(in, b,
                "the deliveries that its drain has begun hold more memory than one drain "
                "may have");
    while (in->held_bytes > in->max_bytes && (b = find_largest(in, NULL)) != NULL)
        give_up(in, b,
                "the deliveries that have begun hold more memory than they may have, and "
                "it was the largest");
}

static const char *failure_text(int rc)
{
    return rc == ERR_FULL    ? "it has more matches than a delivery may have"
           : rc == ERR_NOMEM ? "out of memory"
                             : "its lines cannot be searched";
}

/* After each step of a body, with the step's result. */
static void take_step(struct intake *in, struct intake_body *b, bool was_behind, int rc)
{
    in->n_behind += (size_t)intake_is_behind(b) - was_behind;
    if (rc != 0) {
        give_up(in, b, failure_text(rc));
    } else if (body_is_too_large(b->body)) {
        b->is_too_large = true;
        drop(in, b);
    } else {
        set_held(in, b, body_held_bytes(b->body));
        keep_bounds(in, b->drain);
    }
}

/* ---- the life of a body ---- */

int intake_add(struct intake *in, struct intake_body *b, const char *drain)
{
    b->drain = get_drain(in, drain);
    if (b->drain == NULL)
        return ERR_NOMEM;
    b->failure = NULL;
    b->is_too_large = false;
    b->held_bytes = 0;
    b->drain->n_open++;
    DL_APPEND(in->open, b);
    return 0;
}

/* Begins the drain's time anew if this is another turn. */
static struct intake_drain *drain_in_turn(const struct intake *in, struct intake_drain *d)
{
    if (d->turn != in->turn) {
        d->turn = in->turn;
        d->spent_us = 0;
        d->n_resumed = 0;
        d->has_pushed = false;
    }
    return d;
}

bool intake_has_room(const struct intake *in, struct intake_body *b)
{
    const struct intake_drain *d = drain_in_turn(in, b->drain);

    return !d->has_pushed ||
           (d->spent_us < INTAKE_DRAIN_US && in->spent_us - in->began_us < INTAKE_TAKEN_US);
}

bool intake_may_resume(const struct intake *in, struct intake_body *b)
{
    return drain_in_turn(in, b->drain)->n_resumed++ < INTAKE_RESUMED;
}

/* The time since the push before this one: the connection's share of the turn counts, too. */
static void spend(struct intake *in, struct intake_drain *d)
{
    const int64_t now_us = in->clock_us();

    d->has_pushed = true;
    d->spent_us += now_us - in->spent_us;
    in->spent_us = now_us;
}

void intake_push(struct intake *in, struct intake_body *b, const void *bytes, size_t n)
{
    bool was_behind = intake_is_behind(b);

    if (b->body != NULL) /* or the rest is read and forgotten: an answer can only follow the body */
        take_step(in, b, was_behind, body_push(b->body, bytes, n, &in->room));
    spend(in, drain_in_turn(in, b->drain));
}

bool intake_is_behind(const struct intake_body *b)
{
    return b->body != NULL && body_is_behind(b->body);
}

void intake_finish(struct intake *in, struct intake_body *b, const struct wire_record **records,
                   size_t *n)
{
    int rc;

    *records = NULL;
    *n = 0;
    if (b->body == NULL)
        return;
    rc = body_finish(b->body, records, n);
    if (rc != 0)
        give_up(in, b, failure_text(rc));
    set_held(in, b, 0); /* it is answered in this turn, and must not be given up any more */
}

void intake_remove(struct intake *in, struct intake_body *b)
{
    in->n_behind -= intake_is_behind(b);
    set_held(in, b, 0);
    DL_DELETE(in->open, b);
    release_drain(in, b->drain);
    b->drain = NULL;
}

/* ---- turns ---- */

void intake_begin_turn(struct intake *in)
{
    in->room = INTAKE_TURN_BYTES;
    in->began_us = in->spent_us = in->clock_us();
    in->turn++;
}

/* The next body to go on with: of the drain that has waited longest, the one that has. */
static struct intake_body *find_next(const struct intake *in)
{
    struct intake_body *b, *next = NULL;

    DL_FOREACH(in->open, b)
    {
        if (intake_is_behind(b) && (next == NULL || b->drain->served < next->drain->served))
            next = b;
    }
    return next;
}

void intake_work(struct intake *in)
{
    for (int i = 0; i < SERVED_MAX && in->room > 0 && in->n_behind > 0; i++) {
        struct intake_body *b = find_next(in);

        b->drain->served = ++in->n_served;
        DL_DELETE(in->open, b);
        DL_APPEND(in->open, b);
        take_step(in, b, true, body_go_on(b->body, &in->room));
    }
}

void intake_give_back(struct intake *in)
{
    if (in->most_bytes >= INTAKE_STORM_BYTES && in->held_bytes < INTAKE_STORM_BYTES / 4) {
        malloc_trim(0);
        in->most_bytes = in->held_bytes;
    }
}
