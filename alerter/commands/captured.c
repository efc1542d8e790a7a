/* Reads a capture entry by entry. Called by replay. */
#include "alerter/commands/captured.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

enum { READ_BYTES = 256 << 10 };

int captured_open(struct captured *c, const char *path, const char *what, struct err *err)
{
    *c = (struct captured){.name = "standard input", .fd = STDIN_FILENO, .wire = wire_new()};
    if (c->wire == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    if (path != NULL && strcmp(path, "-") != 0) {
        c->name = path;
        c->fd = open(path, O_RDONLY | O_CLOEXEC);
        if (c->fd < 0) {
            wire_free(c->wire);
            return err_set(err, ERR_IO, "%s", strerror(errno));
        }
    }
    buf_init(&c->input, (size_t)CAPTURE_ENTRY_MAX + CAPTURE_OVERHEAD_MAX + READ_BYTES);
    progress_begin(&c->progress, what);
    progress_expect(&c->progress, c->fd);
    return 0;
}

void captured_close(struct captured *c)
{
    progress_end(&c->progress);
    wire_free(c->wire);
    buf_close(&c->input);
    if (c->fd != STDIN_FILENO)
        close(c->fd);
}

/* Adds the offset of the entry's first byte to a message about it. */
static int locate(int rc, uint64_t offset, struct err *err)
{
    struct err what;

    if (rc != ERR_DAMAGED && rc != ERR_VERSION)
        return rc;
    what = *err;
    return err_set(err, rc, "the entry at byte %" PRIu64 ": %s", offset, what.text);
}

static int hand_on(struct captured *c, struct wire_bytes bytes, captured_fn *fn, void *ctx,
                   struct err *err)
{
    struct wire_entry entry;
    int rc = wire_unpack_entry(c->wire, bytes.data, bytes.len, &entry, err);

    if (rc == ERR_INPUT) /* its checksum is right, so it was written damaged */
        rc = ERR_DAMAGED;
    return rc != 0 ? rc : fn(ctx, &entry, err);
}

/* Hands on all complete entries in the buffer. */
static int each_buffered(struct captured *c, captured_fn *fn, void *ctx, struct err *err)
{
    int rc;

    do {
        const uint8_t *from = c->input.data + c->at;
        uint64_t offset = c->reader.offset;
        struct wire_bytes entry;
        size_t used;

        rc = capture_read(&c->reader, from, c->input.len - c->at, &used, &entry, err);
        c->at += used;
        progress_add(&c->progress, used);
        if (rc <= 0)
            return rc;
        offset += (uint64_t)(entry.data - from);
        rc = locate(hand_on(c, entry, fn, ctx, err), offset, err);
    } while (rc == 0);
    return rc;
}

/* Reads more after moving the incomplete entry to the front. Returns 1, 0 at the end, or an error.
 */
static int read_more(struct captured *c, struct err *err)
{
    size_t left = c->input.len - c->at;
    ssize_t n;

    if (left > 0)
        memmove(c->input.data, c->input.data + c->at, left);
    c->input.len = left;
    c->at = 0;
    if (buf_reserve(&c->input, READ_BYTES) != 0)
        return err_set(err, ERR_NOMEM, "no memory for an entry of the capture");
    n = read(c->fd, c->input.data + c->input.len, READ_BYTES);
    if (n < 0)
        return err_set(err, ERR_IO, "%s", strerror(errno));
    c->input.len += (size_t)n;
    return n > 0;
}

int captured_each(struct captured *c, captured_fn *fn, void *ctx, struct err *err)
{
    int rc;

    while ((rc = read_more(c, err)) == 1) {
        rc = each_buffered(c, fn, ctx, err);
        if (rc != 0)
            return rc;
    }
    return rc != 0 ? rc : capture_end(&c->reader, c->input.len - c->at, err);
}
