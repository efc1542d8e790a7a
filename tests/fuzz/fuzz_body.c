/* Any bytes as a body, plain or as gzip: each way to cut them gives the same records and counts,
 * gzip changes nothing, the size limit holds, and the queue's form can hold each record. */
#include "tests/fuzz/book.h"

#include "ingest/http/body.h"
#include "ingest/input/input.h"

#include <zlib.h>

enum { LARGE = 32 << 10 }; /* bytes of the largest body */

struct outcome {
    struct delivery_counts counts;
    struct buf records; /* packed, one after the other */
    bool too_large;
    bool damaged;
    uint64_t matches;
};

static void check_record(const struct wire_record *r, struct outcome *o)
{
    static struct wire *wire;
    struct wire_record again;
    size_t before = o->records.len;
    struct err err;

    if (wire == NULL)
        wire = wire_new();
    assert(wire != NULL && wire_pack_record(r, &o->records) == 0);
    assert(wire_unpack_record(wire, o->records.data + before, o->records.len - before, &again,
                              &err) == 0);
    assert(again.n_matches == r->n_matches && strcmp(again.drain, r->drain) == 0);
    for (size_t i = 0; i < r->n_matches; i++) {
        const struct wire_matches *m = &r->matches[i];

        o->matches += m->n_times;
        feed_check_line(m->source);
        feed_check_line(m->process);
        for (size_t k = 0; k < m->n_group; k++)
            feed_check_line(m->group[k].value);
        assert(m->n_times > 0 && m->sample.len <= WIRE_SAMPLE_MAX);
        assert(memmem(m->sample.data, m->sample.len, "user=", 5) == NULL ||
               memmem(m->sample.data, m->sample.len, "user=a", 6) == NULL);
    }
}

/* Inflates up to `most` bytes at once. */
static void push(struct body *b, struct feed part, size_t most)
{
    uint8_t *copy = feed_copy(part.data, part.n);
    size_t room = most;

    assert(body_push(b, copy, part.n, &room) == 0 && room <= most);
    free(copy);
    while (body_is_behind(b)) {
        room = most;
        assert(body_go_on(b, &room) == 0 && room < most);
    }
}

static struct outcome take(struct body *b, const struct delivery_head *head, struct feed in,
                           bool gzip, int64_t max_bytes, size_t chunk)
{
    static struct rulebook *book;
    const struct wire_record *records = NULL;
    struct outcome o = {0};
    size_t n = 0;

    if (book == NULL)
        book = book_new();
    assert(body_begin(b, book, head, gzip, max_bytes) == 0);
    while (in.n > 0) {
        struct feed part = feed_part(&in, chunk);

        push(b, part, 64 + chunk);
    }
    o.too_large = body_is_too_large(b);
    if (!o.too_large)
        assert(body_finish(b, &records, &n) == 0);
    buf_init(&o.records, 16 << 20);
    for (size_t i = 0; i < n; i++)
        check_record(&records[i], &o);
    o.counts = body_counts(b);
    o.damaged = body_is_damaged(b);
    assert(o.too_large || (int64_t)o.counts.bytes <= max_bytes);
    assert(o.too_large || n > 0 || o.counts.lost == 0);
    return o;
}

/* What a body that is too large was counted for does not matter. */
static void check_same(const struct outcome *a, const struct outcome *b)
{
    assert(a->too_large == b->too_large);
    if (a->too_large)
        return;
    assert(a->damaged == b->damaged && a->matches == b->matches);
    assert(a->counts.lines == b->counts.lines && a->counts.own_lines == b->counts.own_lines);
    assert(a->counts.bytes == b->counts.bytes && a->counts.malformed == b->counts.malformed);
    assert(a->counts.lost == b->counts.lost && a->counts.count_differs == b->counts.count_differs);
    assert(a->records.len == b->records.len);
    assert(a->records.len == 0 || memcmp(a->records.data, b->records.data, a->records.len) == 0);
}

static void check_pieces(const struct delivery_head *head, struct feed in, bool gzip,
                         int64_t max_bytes, const struct outcome *whole)
{
    static const size_t chunks[] = {1, 100, 4096};
    struct body *b = body_new();

    assert(b != NULL);
    for (size_t i = in.n > 2000; i < sizeof chunks / sizeof chunks[0]; i++) {
        struct outcome cut = take(b, head, in, gzip, max_bytes, chunks[i]);

        check_same(whole, &cut);
        buf_close(&cut.records);
    }
    body_free(b);
}

/* The input as two gzip members, as a client may send it. */
static struct feed pack(struct feed in)
{
    size_t room = 2 * compressBound((uLong)in.n) + 64, half = in.n / 2;
    z_stream z = {.next_out = malloc(room), .avail_out = (uInt)room};
    uint8_t *out = z.next_out;

    assert(out != NULL);
    for (int i = 0; i < 2; i++) {
        assert(deflateInit2(&z, 1, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY) == Z_OK);
        z.next_in = (Bytef *)(uintptr_t)(in.data + (i == 0 ? 0 : half));
        z.avail_in = (uInt)(i == 0 ? half : in.n - half);
        assert(deflate(&z, Z_FINISH) == Z_STREAM_END);
        deflateEnd(&z);
    }
    return (struct feed){out, room - z.avail_out};
}

static void check_packed(const struct delivery_head *head, struct feed in,
                         const struct outcome *plain)
{
    struct body *b = body_new();
    struct feed packed = pack(in);
    struct outcome o;

    assert(b != NULL);
    o = take(b, head, packed, true, LARGE, packed.n);
    check_same(plain, &o);
    check_pieces(head, packed, true, LARGE, &o);
    buf_close(&o.records);
    free((void *)(uintptr_t)packed.data);
    body_free(b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct feed in = {data, size};
    unsigned how = feed_choice(&in, 4);
    bool gzip = how == 1, small = how == 2;
    int64_t max_bytes = small ? 64 : LARGE;
    char *frame_id = feed_text(&in), *count = feed_text(&in);
    struct delivery_head head = {.received_us = BOOK_RECEIVED,
                                 .drain = "d.1",
                                 .frame_id = frame_id,
                                 .msg_count = count,
                                 .drop_count = count};
    struct body *b = body_new();
    struct outcome whole;

    assert(b != NULL);
    whole = take(b, &head, in, gzip, max_bytes, size + 1);
    check_pieces(&head, in, gzip, max_bytes, &whole);
    if (how == 3 && in.n < LARGE / 2) /* gzip makes random bytes longer */
        check_packed(&head, in, &whole);
    buf_close(&whole.records);
    body_free(b);
    free(frame_id);
    free(count);
    return 0;
}
