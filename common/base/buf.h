/* A growing byte buffer with a ceiling.
 *
 * The ceiling is set when the buffer is made, so that no input can make it grow without end. An
 * append that would pass it, or for which memory ran out, fails and changes nothing. */
#ifndef DRAINWATCH_COMMON_BASE_BUF_H
#define DRAINWATCH_COMMON_BASE_BUF_H

#include <stddef.h>
#include <stdint.h>

struct buf {
    uint8_t *data; /* NULL until something is appended */
    size_t len;
    size_t cap;
    size_t max_bytes;
    int failed; /* ERR_NOMEM if memory ran out since the last init or clear, ERR_FULL if the ceiling
                   was met, else 0; a caller of many appends checks it once at the end */
};

void buf_init(struct buf *b, size_t max_bytes);
/* Frees the bytes; the buffer may be used again, with the same ceiling. */
void buf_close(struct buf *b);
/* Forgets the content and keeps the memory. */
void buf_clear(struct buf *b);

/* All three return 0, ERR_FULL or ERR_NOMEM. */
int buf_append(struct buf *b, const void *bytes, size_t n);
int buf_puts(struct buf *b, const char *text);
int buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Makes room for `n` more bytes after `len` without changing it. Returns 0, ERR_FULL or ERR_NOMEM.
 */
int buf_reserve(struct buf *b, size_t n);

/* The content as a string, owned by the buffer and valid until the buffer changes. A zero byte
 * follows the content; an empty buffer gives "". */
const char *buf_text(const struct buf *b);

#endif
