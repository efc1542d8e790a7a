/* Any bytes as a capture: each way to cut them gives the same entries and the same end, and the
 * entries are read back from a capture that is written from them. */
#include "tests/fuzz/feed.h"

#include "common/base/hash.h"
#include "common/record/capture.h"

struct seen {
    uint64_t entries, hash;
    int rc;
};

/* Reads messages from `bytes` until one is incomplete or bad; returns how many bytes it took. */
static size_t read_messages(struct capture_reader *r, const uint8_t *bytes, size_t n,
                            struct seen *seen, struct buf *copy)
{
    size_t at = 0, used;
    struct wire_bytes entry;
    struct err err;

    do {
        uint8_t *rest = feed_copy(bytes + at, n - at);

        seen->rc = capture_read(r, rest, n - at, &used, &entry, &err);
        assert(seen->rc < 0 || used <= n - at);
        if (seen->rc == 1) {
            assert(entry.data >= rest && entry.data + entry.len <= rest + used);
            seen->entries++;
            seen->hash = hash_add(hash_add_u64(seen->hash, entry.len), entry.data, entry.len);
            if (copy != NULL)
                assert(capture_write(copy, entry) == 0);
        } else if (seen->rc < 0) {
            feed_check_line(err.text);
        }
        at += seen->rc >= 0 ? used : 0;
        free(rest);
    } while (seen->rc >= 0 && used > 0);
    return at;
}

static struct seen read_all(const uint8_t *bytes, size_t n, size_t chunk, struct buf *copy)
{
    struct capture_reader r = {0};
    struct seen seen = {.hash = HASH_START};
    struct err err;
    size_t at = 0, end = 0;

    while (seen.rc >= 0 && end < n) {
        end = n - end < chunk ? n : end + chunk;
        at += read_messages(&r, bytes + at, end - at, &seen, copy);
    }
    if (seen.rc >= 0)
        seen.rc = capture_end(&r, n - at, &err);
    assert(seen.rc == 0 || seen.rc == ERR_DAMAGED || seen.rc == ERR_VERSION);
    return seen;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct seen whole, cut, again;
    struct buf copy, same;

    buf_init(&copy, 64 << 20);
    buf_init(&same, 64 << 20);
    assert(capture_write_header(&copy) == 0 && capture_write_header(&same) == 0);
    whole = read_all(data, size, size + 1, &copy);
    for (size_t chunk = size < 2000 ? 1 : 100; chunk < size; chunk = 7 * chunk + 2) {
        cut = read_all(data, size, chunk, NULL);
        assert(cut.entries == whole.entries && cut.hash == whole.hash && cut.rc == whole.rc);
    }
    again = read_all(copy.data, copy.len, copy.len + 1, &same);
    assert(again.rc == 0 && again.entries == whole.entries && again.hash == whole.hash);
    assert(same.len == copy.len && memcmp(same.data, copy.data, copy.len) == 0);
    buf_close(&copy);
    buf_close(&same);
    return 0;
}
