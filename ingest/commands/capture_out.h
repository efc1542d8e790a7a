/* The capture that scan writes to standard output. */
#ifndef DRAINWATCH_INGEST_COMMANDS_CAPTURE_OUT_H
#define DRAINWATCH_INGEST_COMMANDS_CAPTURE_OUT_H

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/record/wire.h"

#include <stdbool.h>
#include <stdint.h>

struct capture_out {
    struct buf record, entry, out;
    uint64_t sequence;
    bool reader_gone; /* a write failed because nobody reads the pipe any more */
};

void capture_out_init(struct capture_out *o);
void capture_out_close(struct capture_out *o);

/* All return 0, ERR_NOMEM or ERR_IO with a message. The rules come first, at time 0. */
int capture_out_rules(struct capture_out *o, const struct buf *text, struct err *err);
/* Gives the record the next sequence. */
int capture_out_record(struct capture_out *o, const struct wire_record *record, struct err *err);
/* Writes what is gathered. */
int capture_out_flush(struct capture_out *o, struct err *err);

#endif
