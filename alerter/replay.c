#include "alerter/replay.h"

#include "alerter/fold.h"
#include "alerter/show.h"
#include "common/buf.h"
#include "common/capture.h"
#include "common/err.h"
#include "common/wire.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { READ_BYTES = 256 << 10 };

struct replay {
    const struct startup_program *program;
    const char *name; /* of the input, for messages */
    int fd;
    bool json;
    struct fold fold;
    struct wire *wire;
    struct capture_reader reader;
    struct buf input; /* read, and not replayed yet, from `at` on */
    size_t at;
    struct err err;
};

static int replay_entry(struct replay *r, struct wire_bytes bytes)
{
    struct wire_entry entry;
    struct engine_alerts alerts;
    int rc = wire_unpack_entry(r->wire, bytes.data, bytes.len, &entry, &r->err);

    if (rc == 0)
        rc = fold_entry(&r->fold, &entry, &alerts, &r->err);
    if (rc == ERR_INPUT && entry.input == WIRE_INPUT_RULES) {
        fprintf(stderr, "%s: recorded rules that this build refuses are left out: %s\n",
                r->program->name, r->err.text);
        return 0;
    }
    for (size_t i = 0; rc == 0 && i < alerts.n; i++)
        rc = show_alert(&alerts.alerts[i], r->json, &r->err);
    return rc;
}

/* Replays all whole entries that are in the buffer. */
static int replay_buffered(struct replay *r)
{
    struct wire_bytes entry;
    size_t used;
    int rc;

    while ((rc = capture_read(&r->reader, r->input.data + r->at, r->input.len - r->at, &used,
                              &entry, &r->err)) == 1) {
        rc = replay_entry(r, entry);
        r->at += used;
        if (rc != 0)
            return rc;
    }
    r->at += used;
    return rc;
}

/* Reads on, with what is not replayed moved to the front. 1, 0 at the end, or an error. */
static int read_more(struct replay *r)
{
    size_t left = r->input.len - r->at;
    ssize_t n;

    if (left > 0)
        memmove(r->input.data, r->input.data + r->at, left);
    r->input.len = left;
    r->at = 0;
    if (buf_reserve(&r->input, READ_BYTES) != 0)
        return err_set(&r->err, ERR_NOMEM, "no memory for an entry of the capture");
    n = read(r->fd, r->input.data + r->input.len, READ_BYTES);
    if (n < 0)
        return err_set(&r->err, ERR_IO, "%s", strerror(errno));
    r->input.len += (size_t)n;
    return n > 0;
}

static int replay_all(struct replay *r)
{
    int rc;

    while ((rc = read_more(r)) == 1) {
        rc = replay_buffered(r);
        if (rc != 0)
            return rc;
    }
    return rc != 0 ? rc : capture_end(&r->reader, r->input.len - r->at, &r->err);
}

static int run(struct replay *r)
{
    int rc = fold_open(&r->fold, &r->err);

    r->wire = wire_new();
    if (rc == 0 && r->wire == NULL)
        rc = err_set(&r->err, ERR_NOMEM, "out of memory");
    buf_init(&r->input, (size_t)CAPTURE_ENTRY_MAX + CAPTURE_OVERHEAD_MAX + READ_BYTES);
    if (rc == 0)
        rc = replay_all(r);
    buf_close(&r->input);
    wire_free(r->wire);
    fold_close(&r->fold);
    if (fflush(stdout) != 0 && rc == 0)
        rc = err_set(&r->err, ERR_IO, "cannot write: %s", strerror(errno));
    return rc;
}

static int exit_code_of(const struct replay *r, int rc)
{
    if (rc == 0)
        return STARTUP_OK;
    fprintf(stderr, "%s: %s: %s\n", r->program->name, r->name, r->err.text);
    return rc == ERR_DAMAGED || rc == ERR_INPUT || rc == ERR_VERSION ? STARTUP_DATA
                                                                     : STARTUP_FAILED;
}

int replay_stream(const struct startup_program *program, int argc, char **argv)
{
    struct replay r = {.program = program, .name = "standard input", .fd = STDIN_FILENO};
    int code;

    for (int i = 2; i < argc; i++) {
        if (strcmp(argv[i], "--format") == 0) {
            if (!show_format(program, i + 1 < argc ? argv[i + 1] : "", &r.json))
                return STARTUP_USAGE;
            i++;
        } else if (argv[i][0] == '-' && argv[i][1] != '\0') {
            return startup_usage(program, "unknown argument", argv[i]);
        } else if (r.fd != STDIN_FILENO) {
            return startup_usage(program, "one capture at a time, not also", argv[i]);
        } else if (strcmp(argv[i], "-") != 0) {
            r.name = argv[i];
            r.fd = open(argv[i], O_RDONLY | O_CLOEXEC);
            if (r.fd < 0) {
                err_set(&r.err, ERR_IO, "%s", strerror(errno));
                return exit_code_of(&r, ERR_IO);
            }
        }
    }
    if (isatty(r.fd))
        return startup_usage(program, "replay reads a capture from a file or a pipe, not",
                             "a terminal");
    code = exit_code_of(&r, run(&r));
    if (r.fd != STDIN_FILENO)
        close(r.fd);
    return code;
}
