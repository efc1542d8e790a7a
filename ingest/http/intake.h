/* All bodies that are coming in, bounded together.
 *
 * The bodies hold so much memory at most, and those of one drain half of it. Beyond that the
 * largest one is given up and its memory freed. A turn spends so much time at most on the bodies of
 * one drain and of all, and inflates so many bytes. The compressed bytes that are left wait for the
 * next turns, in which the drains take turns. */
#ifndef DRAINWATCH_INGEST_HTTP_INTAKE_H
#define DRAINWATCH_INGEST_HTTP_INTAKE_H

#include "ingest/http/body.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    INTAKE_MEMORY_LEAST = 64 << 20, /* of all bodies, */
    INTAKE_BODIES_LEAST = 8,        /* and at least of so many largest ones */
    /* Inflated in one turn. With 128 KiB an honest delivery beside gzip bombs waits 1.5 times as
     * long. */
    INTAKE_TURN_BYTES = 32 << 10,
    INTAKE_DRAIN_US = 2000, /* of one turn, for one drain; 64 deliveries of 10 KB take 1,500 */
    INTAKE_TAKEN_US = 4000, /* for all drains; each drain may push once in any case */
    INTAKE_RESUMED = 8,     /* bodies of a drain that go on in a turn, after a wait */
    /* After a storm of so much memory the free part of it is given back to the system. */
    INTAKE_STORM_BYTES = 16 << 20,
};

struct intake_drain;

/* A body of one drain; all zeros before its first use. */
struct intake_body {
    struct body *body;   /* the owner's; NULL once the body is given up or too large */
    const char *failure; /* why it was given up, in words; NULL: it was not */
    bool is_too_large;
    struct intake_drain *drain;
    size_t held_bytes;
    struct intake_body *prev, *next;
};

struct intake {
    size_t max_bytes;
    size_t held_bytes, most_bytes; /* now, and at most since intake_give_back */
    size_t room;                   /* bytes to inflate in this turn */
    int64_t (*clock_us)(void);
    int64_t began_us; /* this turn */
    int64_t spent_us; /* when the last push of this turn ended; the time up to it is spent */
    uint64_t turn;
    size_t n_behind;
    uint64_t n_served;
    struct intake_body *open;
    struct intake_drain *drains; /* with a body, and some without */
    size_t n_drains;
};

/* `clock_us` gives the time, as clock_boot_us does. */
void intake_init(struct intake *in, int64_t max_body_bytes, int64_t (*clock_us)(void));
void intake_close(struct intake *in); /* no body may be in */

/* Adds a body that has begun. Returns 0 or ERR_NOMEM; then the body is not in. */
int intake_add(struct intake *in, struct intake_body *b, const char *drain);
/* Whether the body may be pushed to in this turn. If not, it is to wait for another one. */
bool intake_has_room(const struct intake *in, struct intake_body *b);
/* Whether a body that waited may go on in this turn. True at most INTAKE_RESUMED times a drain. */
bool intake_may_resume(const struct intake *in, struct intake_body *b);
void intake_push(struct intake *in, struct intake_body *b, const void *bytes, size_t n);
bool intake_is_behind(const struct intake_body *b); /* bytes wait: it cannot be finished yet */
/* The body is complete and not behind. Its records are in use until it is removed. None if it
 * failed or is too large. */
void intake_finish(struct intake *in, struct intake_body *b, const struct wire_record **records,
                   size_t *n);
/* The body stays with its owner, unless it is NULL. */
void intake_remove(struct intake *in, struct intake_body *b);

void intake_begin_turn(struct intake *in);
/* Inflates as much as the turn has room for. */
void intake_work(struct intake *in);

/* Returns the memory of a storm that is over to the system. To be called once a second. */
void intake_give_back(struct intake *in);

#endif
