/* The body of one request: undoes gzip, enforces the size limit, collects the records. */
#ifndef DRAINWATCH_INGEST_HTTP_BODY_H
#define DRAINWATCH_INGEST_HTTP_BODY_H

#include "common/record/wire.h"
#include "ingest/collect/delivery.h"
#include "ingest/collect/rulebook.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct body;

struct body *body_new(void); /* NULL: no memory */
void body_free(struct body *b);

/* begin, push, go_on and finish return 0 or an error of the delivery (ERR_NOMEM, ERR_IO, ERR_FULL),
 * after which only begin and free are allowed. push and go_on inflate `*room` bytes at most and
 * subtract them; the compressed bytes that are left wait for go_on. `max_bytes` bounds the body
 * both before and after gzip is undone. The book is held until the next begin, or free: its rules'
 * names are in the records. */
int body_begin(struct body *b, struct rulebook *book, const struct delivery_head *head, bool gzip,
               int64_t max_bytes);
int body_push(struct body *b, const void *bytes, size_t n, size_t *room);
/* Inflates more of the bytes that wait. */
int body_go_on(struct body *b, size_t *room);
bool body_is_behind(const struct body *b); /* compressed bytes wait */

/* The bytes of memory that the body holds now. */
size_t body_held_bytes(const struct body *b);

bool body_is_too_large(const struct body *b); /* then the rest of it need not be pushed */

/* The body is complete, not behind and not too large. Sets the records to keep, as delivery_finish
 * does. The readable part of a damaged gzip stream counts, and the damage counts as a malformed
 * frame. */
int body_finish(struct body *b, const struct wire_record **records, size_t *n);

struct delivery_counts body_counts(const struct body *b);
/* Whether a gzip stream was damaged or cut off; known after finish. */
bool body_is_damaged(const struct body *b);
/* The book of the last begin; NULL: there was none. */
const struct rulebook *body_book(const struct body *b);

#endif
