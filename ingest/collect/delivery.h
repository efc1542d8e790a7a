/* A request's body, or a saved log, to records: bytes to lines, lines to matches, matches to
 * records for the queue. HTTP and `scan` use it alike. Pure.
 *
 * An object serves one delivery after the other. It allocates memory for groups of matches, not for
 * lines. It holds no body: only the matches of a chunk wait here until the body is complete. */
#ifndef DRAINWATCH_INGEST_COLLECT_DELIVERY_H
#define DRAINWATCH_INGEST_COLLECT_DELIVERY_H

#include "common/record/wire.h"
#include "ingest/collect/rulebook.h"
#include "ingest/input/input.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    DELIVERY_DRAIN_MAX = 256, /* bytes of a drain's name as it is shown; a longer name is cut */
    /* A longer Frame-Id counts as none. Two that are cut could be equal, and the second delivery
     * would be lost as a repeat. */
    DELIVERY_FRAME_ID_MAX = 128,
};

struct delivery;

/* A request's headers, borrowed for the call. NULL: there was no such header. The numbers are raw
 * text: a message count that is no number differs from every number of lines, a drop or lost count
 * that is none adds nothing. */
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
    uint64_t lost; /* lines that Logplex or log-shuttle reports as dropped; one more for damage */
    bool count_differs;
    bool has_time;   /* in begin_lines: whether any of the lines had a time, */
    int64_t time_us; /* and the time of the last line, as a start for the next input */
};

/* Whether a drain's name is recorded whole. */
bool delivery_takes_name(const char *drain);

struct delivery *delivery_new(void); /* NULL: no memory */
void delivery_free(struct delivery *d);

/* Begins anew and forgets an unfinished delivery. The book must be held until the next begin.
 * Returns 0 or ERR_NOMEM. */
int delivery_begin(struct delivery *d, const struct rulebook *book,
                   const struct delivery_head *head);

/* Takes the next chunk, of any size. Returns 0, ERR_NOMEM, ERR_IO (Hyperscan failed) or ERR_FULL
 * (more than COLLECT_MATCHES_MAX matches); after anything but 0 only begin and free are allowed. */
int delivery_push(struct delivery *d, const void *bytes, size_t n);

/* Counts a body that arrived damaged, such as broken gzip: as malformed, and as one lost line, so
 * that there is a record even without a match. */
void delivery_count_damage(struct delivery *d);

/* Ends the body and makes its records. Returns as push does. The records are valid until the next
 * begin; the caller fills in sender and sequence. If nothing matched and nothing was lost there is
 * no record. A record too large for the queue becomes several: keep all of them, or none. The
 * second and later ones have Frame-Ids of their own ("ID#2"), so that a repeat is still known, and
 * counts of 0, so that sums stay right. */
int delivery_finish(struct delivery *d, const struct wire_record **records, size_t *n);

/* The bytes of memory that the delivery holds now; those of its fixed parts are left out. */
size_t delivery_held_bytes(const struct delivery *d);

struct delivery_counts delivery_counts(const struct delivery *d); /* complete after finish */

/* For `scan`: each line is a delivery by itself, received at its own time. A line without a time
 * has the time of the line before it, or `start_us`. A time before 1970 counts as 0: a zone's
 * offset can make one. If the format has continuations, a line without time and source continues
 * the line before it, as a stack trace does: it has the source and process of the last line with a
 * head. `fn` gets each line that matched or reports a loss, as a record (or as several if one would
 * be too large; the first counts the line). If `fn` returns another value than 0, the push or
 * finish ends and returns it. finish makes no records then; the counts cover all lines. */
typedef int delivery_record_fn(void *ctx, const struct wire_record *record);
int delivery_begin_lines(struct delivery *d, const struct input_format *format,
                         const struct rulebook *book, const char *drain, int64_t start_us,
                         delivery_record_fn *fn, void *ctx);

#endif
