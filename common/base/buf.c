/* A byte buffer with a ceiling; called everywhere. */
#include "common/base/buf.h"

#include "common/base/err.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_CAP = 256 };

void buf_init(struct buf *b, size_t max_bytes)
{
    *b = (struct buf){.max_bytes = max_bytes};
}

void buf_close(struct buf *b)
{
    free(b->data);
    buf_init(b, b->max_bytes);
}

void buf_clear(struct buf *b)
{
    b->len = 0;
    b->failed = 0;
    if (b->data != NULL)
        b->data[0] = 0;
}

__attribute__((cold, noinline)) static int fail(struct buf *b, int rc)
{
    if (b->failed != ERR_NOMEM)
        b->failed = rc;
    return rc;
}

static int grow(struct buf *b, size_t n)
{
    size_t cap = b->cap ? b->cap : FIRST_CAP;
    uint8_t *data;

    if (n > b->max_bytes || b->len > b->max_bytes - n)
        return fail(b, ERR_FULL);
    if (b->len + n > SIZE_MAX / 4) /* so that doubling cannot overflow */
        return fail(b, ERR_NOMEM);
    while (cap <= b->len + n) /* one byte stays free for the zero after the content */
        cap *= 2;
    if (cap > b->max_bytes)
        cap = b->max_bytes + 1;
    data = realloc(b->data, cap);
    if (data == NULL)
        return fail(b, ERR_NOMEM);
    b->data = data;
    b->cap = cap;
    return 0;
}

int buf_reserve(struct buf *b, size_t n)
{
    return n < b->cap - b->len ? 0 : grow(b, n);
}

int buf_append(struct buf *b, const void *bytes, size_t n)
{
    int rc = n < b->cap - b->len ? 0 : grow(b, n);

    if (rc != 0)
        return rc;
    if (n > 0)
        memcpy(b->data + b->len, bytes, n);
    b->len += n;
    b->data[b->len] = 0;
    return 0;
}

int buf_puts(struct buf *b, const char *text)
{
    return buf_append(b, text, strlen(text));
}

int buf_printf(struct buf *b, const char *fmt, ...)
{
    va_list ap;
    int n, rc;

    va_start(ap, fmt);
    n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    assert(n >= 0);
    rc = buf_reserve(b, (size_t)n);
    if (rc != 0)
        return rc;
    va_start(ap, fmt);
    vsnprintf((char *)b->data + b->len, (size_t)n + 1, fmt, ap);
    va_end(ap);
    b->len += (size_t)n;
    return 0;
}

const char *buf_text(const struct buf *b)
{
    return b->data == NULL ? "" : (const char *)b->data;
}
