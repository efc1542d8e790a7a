/* Encodes and decodes the bytes of a saved engine. Called by the modules that save their state. */
#include "alerter/engine/snapshot.h"

#include "common/base/hash.h"

#include <string.h>

enum { MAGIC_BYTES = 4, CHECKSUM_BYTES = 8 };
static const uint8_t MAGIC[MAGIC_BYTES] = {'D', 'W', 'S', 0};

static void put(struct snapshot_writer *w, const void *bytes, size_t n)
{
    if (w->rc == 0)
        w->rc = buf_append(w->out, bytes, n);
}

void snapshot_begin(struct snapshot_writer *w, struct buf *out)
{
    *w = (struct snapshot_writer){.out = out, .start = out->len};
    put(w, MAGIC, sizeof MAGIC);
    snapshot_put_u64(w, SNAPSHOT_VERSION);
}

void snapshot_put_u64(struct snapshot_writer *w, uint64_t number)
{
    uint8_t bytes[SNAPSHOT_U64_BYTES];

    put(w, bytes, snapshot_encode_u64(bytes, number));
}

void snapshot_put_i64(struct snapshot_writer *w, int64_t number)
{
    uint64_t twice = (uint64_t)number << 1;

    snapshot_put_u64(w, number < 0 ? ~twice : twice);
}

void snapshot_put_encoded(struct snapshot_writer *w, const uint8_t *bytes, size_t n)
{
    put(w, bytes, n);
}

void snapshot_put_fixed64(struct snapshot_writer *w, uint64_t number)
{
    uint8_t bytes[8];

    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(number >> (8 * i));
    put(w, bytes, sizeof bytes);
}

void snapshot_put_bytes(struct snapshot_writer *w, const void *bytes, size_t n)
{
    snapshot_put_u64(w, n);
    put(w, bytes, n);
}

static uint64_t checksum(const uint8_t *bytes, size_t n)
{
    return hash_finish(hash_add(HASH_START, bytes, n));
}

int snapshot_finish(struct snapshot_writer *w)
{
    if (w->rc == 0)
        snapshot_put_fixed64(w, checksum(w->out->data + w->start, w->out->len - w->start));
    if (w->rc != 0 && w->out->data != NULL) {
        w->out->len = w->start;
        w->out->data[w->start] = 0;
    }
    return w->rc;
}

int snapshot_open(struct snapshot_reader *r, const void *bytes, size_t n, struct err *err)
{
    const uint8_t *p = bytes;
    struct snapshot_reader tail;
    uint64_t version;

    if (n < MAGIC_BYTES + 1 + CHECKSUM_BYTES || memcmp(p, MAGIC, MAGIC_BYTES) != 0)
        return err_set(err, ERR_DAMAGED, "snapshot: damaged, it does not begin like a snapshot");
    n -= CHECKSUM_BYTES;
    tail = (struct snapshot_reader){.next = p + n, .end = p + n + CHECKSUM_BYTES};
    if (snapshot_get_fixed64(&tail) != checksum(p, n))
        return err_set(err, ERR_DAMAGED, "snapshot: damaged, its checksum is wrong");
    *r = (struct snapshot_reader){.next = p + MAGIC_BYTES, .end = p + n};
    version = snapshot_get_u64(r);
    if (r->bad)
        return err_set(err, ERR_DAMAGED, "snapshot: it has no version");
    if (version < SNAPSHOT_VERSION_OLDEST || version > SNAPSHOT_VERSION)
        return err_set(err, ERR_VERSION, "snapshot: version %llu, this build reads %d to %d",
                       (unsigned long long)version, SNAPSHOT_VERSION_OLDEST, SNAPSHOT_VERSION);
    r->version = (int)version;
    return 0;
}

/* After a fault nothing more is read: the form has no marks to resume at. */
static const uint8_t *get(struct snapshot_reader *r, size_t n)
{
    const uint8_t *p = r->next;

    if (r->bad || (size_t)(r->end - r->next) < n) {
        r->bad = true;
        return NULL;
    }
    r->next += n;
    return p;
}

uint64_t snapshot_get_u64(struct snapshot_reader *r)
{
    uint64_t number = 0;

    for (unsigned shift = 0; shift < 64; shift += 7) {
        const uint8_t *p = get(r, 1);
        uint64_t seven;

        if (p == NULL)
            return 0;
        seven = *p & 0x7f;
        if (shift == 63 && seven > 1)
            break;
        number |= seven << shift;
        if (*p < 0x80)
            return number;
    }
    r->bad = true;
    return 0;
}

uint64_t snapshot_get_max(struct snapshot_reader *r, uint64_t max)
{
    uint64_t number = snapshot_get_u64(r);

    if (number <= max)
        return number;
    r->bad = true;
    return 0;
}

int64_t snapshot_get_i64(struct snapshot_reader *r)
{
    uint64_t twice = snapshot_get_u64(r);
    int64_t half = (int64_t)(twice >> 1);

    return twice & 1 ? -half - 1 : half;
}

uint64_t snapshot_get_fixed64(struct snapshot_reader *r)
{
    const uint8_t *p = get(r, 8);
    uint64_t number = 0;

    for (size_t i = 0; p != NULL && i < 8; i++)
        number |= (uint64_t)p[i] << (8 * i);
    return number;
}

const uint8_t *snapshot_get_bytes(struct snapshot_reader *r, size_t *n)
{
    const uint8_t *p;

    *n = snapshot_get_count(r, 1);
    p = get(r, *n);
    if (p == NULL)
        *n = 0;
    return p;
}

size_t snapshot_get_count(struct snapshot_reader *r, size_t item_min)
{
    return (size_t)snapshot_get_max(r, (uint64_t)(r->end - r->next) / item_min);
}

bool snapshot_complete(const struct snapshot_reader *r)
{
    return !r->bad && r->next == r->end;
}
