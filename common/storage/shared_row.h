/* Several small records in one row of a journal, because a row costs SQLite several times what
 * their bytes do: with rows of one record each the alerter needs a quarter more processor time a
 * record.
 *
 * Stored, such a row is found by the position of its last record. One column holds the records one
 * behind the other, another their lengths, 16 bits each, the lower byte first. Pure. */
#ifndef DRAINWATCH_COMMON_STORAGE_SHARED_ROW_H
#define DRAINWATCH_COMMON_STORAGE_SHARED_ROW_H

#include "common/base/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    SHARED_ROW_BYTES = 2000,       /* with lengths: two rows fill a page */
    SHARED_ROW_RECORD_BYTES = 500, /* a larger record has a row of its own */
    SHARED_ROW_LEN_BYTES = 2,
};

struct shared_row {
    struct buf bytes;
    size_t n;
    uint8_t lens[SHARED_ROW_BYTES];
};

void shared_row_init(struct shared_row *row);
void shared_row_clear(struct shared_row *row);
void shared_row_close(struct shared_row *row);

/* Whether a record of `n` bytes may be added to those in the row. */
bool shared_row_takes(const struct shared_row *row, size_t n);
int shared_row_add(struct shared_row *row, const void *bytes, size_t n); /* 0 or ERR_NOMEM */

/* Of stored lengths: the i-th, and whether all of them make `n_bytes`. */
size_t shared_row_len(const uint8_t *lens, size_t i);
bool shared_row_is_sound(const uint8_t *lens, size_t n, size_t n_bytes);

#endif
