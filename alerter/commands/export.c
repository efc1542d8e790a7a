/* `drainwatch-alerter export`: writes the stream as a capture. */
#include "alerter/commands/commands.h"

#include "alerter/commands/output.h"
#include "common/app/args.h"
#include "common/app/clock.h"
#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/time.h"
#include "common/record/capture.h"
#include "common/storage/storage.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct export
{
    int64_t since_us; /* 0: from the stream's beginning */
    struct buf out;
    struct err *err;
};

static int write_out(struct export *e)
{
    if (fwrite(e->out.data, 1, e->out.len, stdout) != e->out.len)
        return err_set(e->err, ERR_IO, "cannot write to standard output: %s", strerror(errno));
    buf_clear(&e->out);
    return 0;
}

static int write_entry(void *ctx, int64_t position, const struct wire_entry *entry,
                       struct wire_bytes raw)
{
    struct export *e = ctx;

    (void)entry, (void)position;
    if (capture_write(&e->out, raw) != 0)
        return err_set(e->err, ERR_NOMEM, "no memory for an entry of %zu bytes", raw.len);
    return write_out(e);
}

/* Begins at the newest snapshot that is old enough, so that a replay decides as the alerter did. */
static int write_stream(void *ctx, const struct settings *settings, struct storage *storage,
                        struct err *err)
{
    struct export *e = ctx;
    int64_t from = 0;
    int rc = 0;

    (void)settings;
    e->err = err;
    buf_init(&e->out, (size_t)CAPTURE_ENTRY_MAX + CAPTURE_OVERHEAD_MAX);
    if (e->since_us != 0)
        rc = storage->ops->find_snapshot(storage, e->since_us, INT64_MAX, &from, err);
    if (rc == 0 && capture_write_header(&e->out) != 0)
        rc = err_set(err, ERR_NOMEM, "out of memory");
    if (rc == 0)
        rc = write_out(e);
    if (rc == 0)
        rc = storage_read(storage, from, write_entry, e, err);
    buf_close(&e->out);
    return rc;
}

int export_command(const struct startup_program *program, int argc, char **argv)
{
    struct export e = {0};
    const char *since = NULL;
    const struct args_option options[] = {{"since", &since, NULL}, {0}};

    if (args_read(program, argc, argv, options, 0) < 0)
        return STARTUP_USAGE;
    if (since != NULL) {
        if (!time_parse_duration(since, strlen(since), &e.since_us))
            return args_wrong(program, "--since takes a duration such as 2h, not", since);
        e.since_us = clock_wall_us() - e.since_us;
    }
    if (isatty(STDOUT_FILENO))
        return startup_fail(program, "a capture is binary: send it to a file or a pipe "
                                     "(drainwatch-alerter export > stream.capture)");
    return output_from_storage(program, write_stream, &e);
}
