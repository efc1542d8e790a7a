/* Takes the body of a delivery: gzip, size limit; called by request. */
#include "ingest/http/body.h"

#include "common/base/err.h"

#include <assert.h>
#include <stdlib.h>
#include <zlib.h>

enum {
    INFLATED_BYTES = 32 << 10,
    GZIP_ONLY = 16 + MAX_WBITS, /* zlib: demand a gzip header, allow the largest window */
    CALL_BYTES = 64,       /* that a call costs besides, so that empty members are bounded, too */
    WAITING_MAX = 1 << 30, /* bytes to inflate at once; z_stream counts in 32 bits */
    INFLATE_MEMORY = 40 << 10, /* zlib's window and tables */
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
    bool more; /* zlib may have more output, or compressed bytes wait */
    z_stream inflate;
    struct buf waiting; /* compressed bytes, from `waiting_at` on */
    size_t waiting_at;
};

struct body *body_new(void)
{
    struct body *b = calloc(1, sizeof *b);

    if (b == NULL)
        return NULL;
    buf_init(&b->waiting, SIZE_MAX / 2); /* the body's limit bounds it */
    b->delivery = delivery_new();
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
    buf_close(&b->waiting);
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
    b->too_large = b->stream_ended = b->stream_damaged = b->more = false;
    buf_clear(&b->waiting);
    b->waiting_at = 0;
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

/* Inflates from next_in while there is room. */
static int inflate_all(struct body *b, size_t *room)
{
    unsigned char out[INFLATED_BYTES];
    int rc = 0;

    b->more = true;
    while (rc == 0 && b->more && *room > 0) {
        size_t made;

        b->more = inflate_some(b, out, &made);
        rc = push_plain(b, out, made);
        made += CALL_BYTES;
        *room -= made < *room ? made : *room;
        b->more = b->more && !b->stream_damaged && !b->too_large;
    }
    return rc;
}

static void set_input(struct body *b, const void *bytes, size_t n)
{
    /* zlib does not write through next_in, but its type says so only under ZLIB_CONST. */
    b->inflate.next_in = (z_const Bytef *)(uintptr_t)bytes;
    b->inflate.avail_in = (uInt)n;
}

int body_go_on(struct body *b, size_t *room)
{
    size_t n = b->waiting.len - b->waiting_at;
    int rc;

    n = n < WAITING_MAX ? n : WAITING_MAX;
    set_input(b, buf_text(&b->waiting) + b->waiting_at, n);
    rc = inflate_all(b, room);
    b->waiting_at += n - b->inflate.avail_in;
    b->more = b->more || (b->waiting_at < b->waiting.len && !b->stream_damaged && !b->too_large);
    if (!b->more) {
        buf_close(&b->waiting);
        b->waiting_at = 0;
    }
    return rc;
}

static int push_gzip(struct body *b, const void *bytes, size_t n, size_t *room)
{
    int rc;

    if (b->more)
        return buf_append(&b->waiting, bytes, n);
    set_input(b, bytes, n);
    rc = inflate_all(b, room);
    if (rc == 0 && b->more && b->inflate.avail_in > 0)
        rc = buf_append(&b->waiting, b->inflate.next_in, b->inflate.avail_in);
    return rc;
}

int body_push(struct body *b, const void *bytes, size_t n, size_t *room)
{
    b->raw_bytes += (int64_t)n;
    if (b->raw_bytes > b->max_bytes)
        b->too_large = true;
    if (b->too_large ||
        b->stream_damaged) /* read and forget the rest: an answer follows the body */
        return 0;
    return b->gzip ? push_gzip(b, bytes, n, room) : push_plain(b, bytes, n);
}

bool body_is_behind(const struct body *b)
{
    return b->more;
}

size_t body_held_bytes(const struct body *b)
{
    return delivery_held_bytes(b->delivery) + b->waiting.cap +
           (b->inflate_ready ? INFLATE_MEMORY : 0);
}

bool body_is_too_large(const struct body *b)
{
    return b->too_large;
}

int body_finish(struct body *b, const struct wire_record **records, size_t *n)
{
    assert(!b->more && !b->too_large);
    *records = NULL;
    *n = 0;
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
