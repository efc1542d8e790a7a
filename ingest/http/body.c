/* Takes the body of a delivery: gzip, size limit; called by request. */
#include "ingest/http/body.h"

#include "common/app/process.h"
#include "common/base/err.h"

#include <stdlib.h>
#include <zlib.h>

enum {
    INFLATED_BYTES = 32 << 10,
    GZIP_ONLY = 16 + MAX_WBITS, /* zlib: demand a gzip header, allow the largest window */
};

struct body {
    struct delivery *delivery;
    struct rulebook *book; /* the delivery's */
    int64_t max_bytes;
    int64_t raw_bytes; /* before inflation */
    int64_t bytes;     /* after it */
    bool gzip;
    bool too_large;
    bool stream_ended; /* the next bytes are another gzip stream, or rubbish */
    bool stream_damaged;
    bool inflate_ready;
    z_stream inflate;
};

struct body *body_new(void)
{
    struct body *b = calloc(1, sizeof *b);

    if (b == NULL)
        return NULL;
    b->delivery = delivery_new(process_seed());
    if (b->delivery == NULL) {
        free(b);
        return NULL;
    }
    return b;
}

void body_free(struct body *b)
{
    if (b == NULL)
        return;
    if (b->inflate_ready)
        inflateEnd(&b->inflate);
    delivery_free(b->delivery);
    rulebook_release(b->book);
    free(b);
}

static int ready_inflate(struct body *b)
{
    int rc = b->inflate_ready ? inflateReset(&b->inflate) : inflateInit2(&b->inflate, GZIP_ONLY);

    if (rc != Z_OK)
        return ERR_NOMEM;
    b->inflate_ready = true;
    return 0;
}

int body_begin(struct body *b, struct rulebook *book, const struct delivery_head *head, bool gzip,
               int64_t max_bytes)
{
    struct rulebook *old = b->book;
    int rc = delivery_begin(b->delivery, book, head);

    b->book = rulebook_hold(book);
    rulebook_release(old);
    b->max_bytes = max_bytes;
    b->raw_bytes = b->bytes = 0;
    b->gzip = gzip;
    b->too_large = b->stream_ended = b->stream_damaged = false;
    return rc == 0 && gzip ? ready_inflate(b) : rc;
}

static int push_plain(struct body *b, const void *bytes, size_t n)
{
    b->bytes += (int64_t)n;
    if (b->bytes > b->max_bytes) {
        b->too_large = true;
        return 0;
    }
    return delivery_push(b->delivery, bytes, n);
}

/* Inflates once. True while more output can follow. */
static bool inflate_some(struct body *b, unsigned char out[INFLATED_BYTES], size_t *made)
{
    int rc;

    if (b->stream_ended) { /* RFC 1952 section 2.2: a file may hold several members */
        b->stream_ended = false;
        inflateReset(&b->inflate);
    }
    b->inflate.next_out = out;
    b->inflate.avail_out = INFLATED_BYTES;
    rc = inflate(&b->inflate, Z_NO_FLUSH);
    *made = INFLATED_BYTES - b->inflate.avail_out;
    b->stream_ended = rc == Z_STREAM_END;
    b->stream_damaged = rc != Z_OK && rc != Z_STREAM_END && rc != Z_BUF_ERROR;
    if (b->inflate.avail_in > 0)
        return !b->stream_damaged;
    /* If `out` is full zlib may hold back more, unless the stream ended. */
    return b->inflate.avail_out == 0 && !b->stream_ended;
}

static int push_gzip(struct body *b, const void *bytes, size_t n)
{
    unsigned char out[INFLATED_BYTES];
    bool more = true;
    int rc = 0;

    /* zlib does not write through next_in, but its type says so only under ZLIB_CONST. */
    b->inflate.next_in = (z_const Bytef *)(uintptr_t)bytes;
    b->inflate.avail_in = (uInt)n;
    while (rc == 0 && more && !b->stream_damaged && !b->too_large) {
        size_t made;

        more = inflate_some(b, out, &made);
        rc = push_plain(b, out, made);
    }
    return rc;
}

int body_push(struct body *b, const void *bytes, size_t n)
{
    b->raw_bytes += (int64_t)n;
    if (b->raw_bytes > b->max_bytes)
        b->too_large = true;
    if (b->too_large) /* read and forget the rest: an answer can only follow the body */
        return 0;
    return b->gzip ? push_gzip(b, bytes, n) : push_plain(b, bytes, n);
}

int body_finish(struct body *b, bool *too_large, const struct wire_record **records, size_t *n)
{
    *records = NULL;
    *n = 0;
    *too_large = b->too_large;
    if (b->too_large)
        return 0;
    if (body_is_damaged(b))
        delivery_count_damage(b->delivery);
    return delivery_finish(b->delivery, records, n);
}

struct delivery_counts body_counts(const struct body *b)
{
    return delivery_counts(b->delivery);
}

bool body_is_damaged(const struct body *b)
{
    return b->gzip && b->raw_bytes > 0 && !b->stream_ended;
}

const struct rulebook *body_book(const struct body *b)
{
    return b->book;
}
