/* Writes and reads captures. Called by scan, export and the commands that read a capture. */
#include "common/record/capture.h"

#include <inttypes.h>
#include <string.h>
#include <zlib.h>

static const char MAGIC[] = "drainwatch-capture";

/* Tags of protobuf's encoding: the field's number and, in the low three bits, its wire type. */
enum {
    TAG_MAGIC = 1 << 3 | 2,
    TAG_VERSION = 2 << 3 | 0,
    TAG_ENTRY = 1 << 3 | 2,
    TAG_CRC = 2 << 3 | 5,
    VARINT_MAX = 10,
};

static size_t put_varint(uint8_t *out, uint64_t value)
{
    size_t n = 0;

    for (; value >= 0x80; value >>= 7)
        out[n++] = (uint8_t)(value | 0x80);
    out[n++] = (uint8_t)value;
    return n;
}

/* Returns the bytes of a varint, 0 if it is incomplete, -1 if it is none. */
static int get_varint(const uint8_t *bytes, size_t n, uint64_t *value)
{
    *value = 0;
    for (size_t i = 0; i < n && i < VARINT_MAX; i++) {
        *value |= (uint64_t)(bytes[i] & 0x7f) << (7 * i);
        if ((bytes[i] & 0x80) == 0)
            return (int)i + 1;
    }
    return n >= VARINT_MAX ? -1 : 0;
}

static uint32_t checksum(struct wire_bytes bytes)
{
    return (uint32_t)crc32_z(crc32_z(0, NULL, 0), bytes.data, bytes.len);
}

int capture_write_header(struct buf *out)
{
    const uint8_t magic_len = sizeof MAGIC - 1;
    uint8_t head[] = {(uint8_t)(magic_len + 4), TAG_MAGIC, magic_len};
    uint8_t tail[] = {TAG_VERSION, CAPTURE_VERSION};
    int rc = buf_reserve(out, sizeof head + magic_len + sizeof tail);

    if (rc != 0)
        return rc;
    (void)buf_append(out, head, sizeof head);
    (void)buf_append(out, MAGIC, magic_len);
    (void)buf_append(out, tail, sizeof tail);
    return 0;
}

int capture_write(struct buf *out, struct wire_bytes entry)
{
    uint8_t inner[1 + VARINT_MAX], outer[VARINT_MAX], tail[5];
    uint32_t crc = checksum(entry);
    size_t n_inner, n_outer;
    int rc;

    inner[0] = TAG_ENTRY;
    n_inner = 1 + put_varint(inner + 1, entry.len);
    n_outer = put_varint(outer, n_inner + entry.len + sizeof tail);
    tail[0] = TAG_CRC;
    for (int i = 0; i < 4; i++)
        tail[1 + i] = (uint8_t)(crc >> (8 * i));
    rc = buf_reserve(out, n_outer + n_inner + entry.len + sizeof tail);
    if (rc != 0)
        return rc;
    (void)buf_append(out, outer, n_outer);
    (void)buf_append(out, inner, n_inner);
    (void)buf_append(out, entry.data, entry.len);
    (void)buf_append(out, tail, sizeof tail);
    return 0;
}

static int damaged(const struct capture_reader *r, struct err *err, const char *what)
{
    return err_set(err, ERR_DAMAGED, "damaged at byte %" PRIu64 ": %s", r->offset, what);
}

static int check_header(const uint8_t *message, size_t n, struct err *err)
{
    const size_t magic_len = sizeof MAGIC - 1;
    uint64_t version;

    if (n < magic_len + 4 || message[0] != TAG_MAGIC || message[1] != magic_len ||
        memcmp(message + 2, MAGIC, magic_len) != 0 || message[2 + magic_len] != TAG_VERSION ||
        get_varint(message + 3 + magic_len, n - 3 - magic_len, &version) <= 0)
        return err_set(err, ERR_DAMAGED,
                       "this is no capture (it should be what export or scan wrote)");
    if (version > CAPTURE_VERSION)
        return err_set(err, ERR_VERSION,
                       "a capture of version %" PRIu64 "; this build reads up to %d (update it)",
                       version, CAPTURE_VERSION);
    return 0;
}

static int check_entry(const struct capture_reader *r, const uint8_t *message, size_t n,
                       struct wire_bytes *entry, struct err *err)
{
    const uint8_t *tail;
    uint64_t len;
    uint32_t crc = 0;
    int used = n > 0 && message[0] == TAG_ENTRY ? get_varint(message + 1, n - 1, &len) : 0;

    if (used <= 0 || len > n || n != 1 + (size_t)used + len + 5)
        return damaged(r, err, "not an entry");
    *entry = (struct wire_bytes){message + 1 + used, (size_t)len};
    tail = message + n - 5;
    for (int i = 0; i < 4; i++)
        crc |= (uint32_t)tail[1 + i] << (8 * i);
    if (tail[0] != TAG_CRC || crc != checksum(*entry))
        return damaged(r, err, "an entry's checksum is wrong");
    return 1;
}

/* Finds a message at `bytes`. Returns 1, 0 (incomplete) or ERR_DAMAGED. */
static int next_message(const struct capture_reader *r, const uint8_t *bytes, size_t n,
                        size_t *head, size_t *len, struct err *err)
{
    uint64_t value;
    int used = get_varint(bytes, n, &value);

    if (used == 0)
        return 0;
    if (used < 0 ||
        value > (r->has_header ? CAPTURE_ENTRY_MAX + CAPTURE_OVERHEAD_MAX : CAPTURE_HEADER_MAX))
        return r->has_header ? damaged(r, err, "an impossible length") : check_header(NULL, 0, err);
    *head = (size_t)used;
    *len = (size_t)value;
    return n - *head >= *len;
}

int capture_read(struct capture_reader *r, const void *bytes, size_t n, size_t *used,
                 struct wire_bytes *entry, struct err *err)
{
    const uint8_t *at = bytes;
    size_t head = 0, len = 0;
    int rc;

    *used = 0;
    if (!r->has_header) {
        rc = next_message(r, at, n, &head, &len, err);
        if (rc > 0 && (rc = check_header(at + head, len, err)) == 0)
            rc = 1;
        if (rc <= 0)
            return rc;
        r->has_header = 1;
        r->offset += head + len;
        *used = head + len;
    }
    rc = next_message(r, at + *used, n - *used, &head, &len, err);
    if (rc <= 0)
        return rc;
    rc = check_entry(r, at + *used + head, len, entry, err);
    if (rc == 1) {
        r->offset += head + len;
        *used += head + len;
    }
    return rc;
}

int capture_end(const struct capture_reader *r, size_t left, struct err *err)
{
    if (!r->has_header)
        return check_header(NULL, 0, err);
    if (left > 0)
        return err_set(err, ERR_DAMAGED, "cut off at byte %" PRIu64 ": an entry is not whole",
                       r->offset);
    return 0;
}
