/* Packs small records into one row. Called by journal.c. */
#include "common/storage/shared_row.h"

#include <assert.h>

void shared_row_init(struct shared_row *row)
{
    row->n = 0;
    buf_init(&row->bytes, SHARED_ROW_BYTES);
}

void shared_row_clear(struct shared_row *row)
{
    row->n = 0;
    buf_clear(&row->bytes);
}

void shared_row_close(struct shared_row *row)
{
    buf_close(&row->bytes);
}

bool shared_row_takes(const struct shared_row *row, size_t n)
{
    return n <= SHARED_ROW_RECORD_BYTES &&
           row->bytes.len + n + (row->n + 1) * SHARED_ROW_LEN_BYTES <= SHARED_ROW_BYTES;
}

int shared_row_add(struct shared_row *row, const void *bytes, size_t n)
{
    uint8_t *len = row->lens + row->n * SHARED_ROW_LEN_BYTES;
    int rc = buf_append(&row->bytes, bytes, n);

    assert(n <= SHARED_ROW_RECORD_BYTES);
    if (rc != 0)
        return rc;
    len[0] = (uint8_t)n;
    len[1] = (uint8_t)(n >> 8);
    row->n++;
    return 0;
}

size_t shared_row_len(const uint8_t *lens, size_t i)
{
    return (size_t)(lens[SHARED_ROW_LEN_BYTES * i] | lens[SHARED_ROW_LEN_BYTES * i + 1] << 8);
}

bool shared_row_is_sound(const uint8_t *lens, size_t n, size_t n_bytes)
{
    size_t sum = 0;

    for (size_t i = 0; i < n; i++)
        sum += shared_row_len(lens, i);
    return n > 0 && sum == n_bytes;
}
