/* A capture as `export` and `scan` write it, read entry by entry from a file or standard input. */
#ifndef DRAINWATCH_ALERTER_COMMANDS_CAPTURED_H
#define DRAINWATCH_ALERTER_COMMANDS_CAPTURED_H

#include "common/app/progress.h"
#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/record/capture.h"
#include "common/record/wire.h"

struct captured {
    const char *name; /* for messages; borrowed */
    int fd;
    struct progress progress; /* end it before printing to the terminal */
    struct wire *wire;
    struct capture_reader reader;
    struct buf input; /* from `at` on not yet handed on */
    size_t at;
};

/* Opens a file; NULL or "-" is standard input. `what` names the command that reads it. Returns 0,
 * ERR_IO or ERR_NOMEM; if it is not 0, there is nothing to close. */
int captured_open(struct captured *c, const char *path, const char *what, struct err *err);
void captured_close(struct captured *c);

/* Gets an entry, valid during the call. A value other than 0 ends the reading and is returned. */
typedef int captured_fn(void *ctx, const struct wire_entry *entry, struct err *err);

/* Hands on all entries. Returns 0; ERR_DAMAGED or ERR_VERSION, after all entries before the fault
 * were handed on, with its offset in the message; ERR_IO; ERR_NOMEM; or the value of `fn`, with the
 * entry's offset in the message of its ERR_DAMAGED and ERR_VERSION. */
int captured_each(struct captured *c, captured_fn *fn, void *ctx, struct err *err);

#endif
