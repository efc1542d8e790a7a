/* One request's body, or a saved log, to records: frames to lines, lines to matches, matches to
 * what crosses the queue. HTTP and `scan` go through it alike. Pure.
 *
 * An object is used for one delivery after the other and keeps its memory; nothing is allocated for
 * a line. No body is held: what a chunk matched waits here until the body is complete. */
#ifndef DRAINWATCH_INGEST_COLLECT_DELIVERY_H
#define DRAINWATCH_INGEST_COLLECT_DELIVERY_H

#include "common/record/wire.h"
#include "ingest/collect/rulebook.h"
#include "ingest/input/input.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    DELIVERY_DRAIN_MAX = 256, /* bytes of a drain's name as it is shown; what is beyond is cut */
    /* A longer Frame-Id is taken as none: cut ones could be equal and a delivery be lost as a
     * repeat. */
    DELIVERY_FRAME_ID_MAX = 128,
};

struct delivery;

/* What is known of a request before its body, borrowed for the call. NULL: there was no such
 * header. The numbers are text as it came: a count that is none differs from every number of lines,
 * what was dropped or lost adds nothing if it is no number. */
struct delivery_head {
    const struct input_format *format; /* of the body; NULL: input_logplex */
    int64_t received_us;
    const char *drain; /* never NULL */
    const char *frame_id;
    const char *msg_count;
    const char *drop_count; /* log-shuttle's Logplex-Drop-Count and Logplex-Lost-Count */
    const char *lost_count;
};

struct delivery_counts {
    uint64_t lines;
    uint64_t own_lines; /* of drainwatch itself, and the router's about our path */
    uint64_t bytes;
    uint64_t malformed;
    uint64_t matches; /* a line that matches two rules is two */
    uint64_t lost;    /* what Logplex or log-shuttle says that it dropped; one more for damage */
    bool count_differs;
};

/* `seed` is a random number: see collect_new. Returns NULL without memory. */
struct delivery *delivery_new(uint64_t seed);
void delivery_free(struct delivery *d);

/* Begins anew; what was not finished counts for nothing. The book must be held until the
 * next begin. Returns 0 or ERR_NOMEM. */
int delivery_begin(struct delivery *d, const struct rulebook *book,
                   const struct delivery_head *head);

/* Takes the next chunk, of any size. Returns 0, ERR_NOMEM, ERR_IO (Hyperscan failed) or ERR_FULL
 * (more than COLLECT_MATCHES_MAX matches); after anything but 0 only begin and free are allowed. */
int delivery_push(struct delivery *d, const void *bytes, size_t n);

/* The body's container was damaged, so that something of it is missing: counted as malformed, and
 * as one line lost, so that there is a record whatever the rest holds. */
void delivery_count_damage(struct delivery *d);

/* The body is complete. Returns as push does. The records are valid until the next begin; sender
 * and sequence are the caller's to fill. There is none where nothing matched and nothing was lost,
 * one nearly always, and several where one would be too large for the queue: all of them must be
 * kept, or none. Those behind the first have Frame-Ids of their own ("ID#2") and the counts 0, so
 * that a repeat is still known as one and sums stay right. */
int delivery_finish(struct delivery *d, const struct wire_record **records, size_t *n);

struct delivery_counts delivery_counts(const struct delivery *d); /* complete after finish */

/* For `scan` and rule tests: each line is a delivery by itself, received at its own time; a line
 * without one, at that of the line before it, or `start_us`. If
 * the format has continuations, a line without time and source continues the line before it, as a
 * stack trace does: it has the source and process of the last line with a head. Times before 1970
 * are taken as 0: a zone's offset can make one. `fn` gets each line that matched or tells of a
 * loss, as a record (as several, of which the first counts the line, where one would be too large);
 * a value other than 0 ends the push or the finish, which returns it. finish then answers no
 * records; the counts are those of all lines. */
typedef int delivery_record_fn(void *ctx, const struct wire_record *record);
int delivery_begin_lines(struct delivery *d, const struct input_format *format,
                         const struct rulebook *book, const char *drain, int64_t start_us,
                         delivery_record_fn *fn, void *ctx);

/* The time of the last line, for the lines that come next: complete after finish. */
int64_t delivery_time_us(const struct delivery *d);
/* Whether any of the lines had a time: complete after finish. */
bool delivery_has_time(const struct delivery *d);

#endif
