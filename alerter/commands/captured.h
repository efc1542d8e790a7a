/* A capture, read entry by entry from a file or standard input: what `export` and `scan` write. */
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
    struct progress progress; /* to be ended before anything is shown on the terminal */
    struct wire *wire;
    struct capture_reader reader;
    struct buf input; /* read, and not handed on yet, from `at` on */
    size_t at;
};

/* Opens a file; NULL or "-" is standard input. `what` names the command that reads it. Returns 0,
 * ERR_IO or ERR_NOMEM; if it is not 0, there is nothing to close. */
int captured_open(struct captured *c, const char *path, const char *what, struct err *err);
void captured_close(struct captured *c);

/* Gets an entry, valid during the call. A value other than 0 ends the reading, which returns it. */
typedef int captured_fn(void *ctx, const struct wire_entry *entry, struct err *err);

/* Hands on all entries. Returns 0; ERR_DAMAGED or ERR_VERSION, after all before the place were
 * handed on, with its offset in the message; ERR_IO; ERR_NOMEM; or what `fn` returned, whose
 * ERR_DAMAGED and ERR_VERSION get the entry's offset, too. */
int captured_each(struct captured *c, captured_fn *fn, void *ctx, struct err *err);

#endif
