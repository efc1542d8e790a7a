/* One saved log as a stream of text: unpacked if it is gzip, without byte order mark and terminal
 * colours, its format recognised by its first bytes. */
#ifndef DRAINWATCH_INGEST_COMMANDS_LOG_FILE_H
#define DRAINWATCH_INGEST_COMMANDS_LOG_FILE_H

#include "common/base/err.h"
#include "ingest/input/colours.h"
#include "ingest/input/input.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <zlib.h>

enum { LOG_FILE_CHUNK = 256 << 10 };

struct log_file {
    const char *name; /* as messages name it; "-" before open: standard input */
    int fd;
    gzFile gz;                         /* NULL: not open; owns fd */
    const struct input_format *format; /* known after the first read */
    struct colours colours;            /* of text without frames; they are taken out */
};

/* Opens the file that has its name and is else all zeros. Returns 0, ERR_IO or ERR_NOMEM; nothing
 * is read yet. */
int log_file_open(struct log_file *f, struct err *err);
void log_file_close(struct log_file *f); /* all zeros are fine */

/* Reads the next bytes into `chunk` of LOG_FILE_CHUNK bytes. Returns how many, 0 at the end,
 * ERR_IO, or ERR_INPUT if it is damaged or packed in a way that must be undone first. */
ssize_t log_file_read(struct log_file *f, char *chunk, struct err *err);

/* The bytes of the file that were read, before unpacking; -1 if it cannot be told. */
off_t log_file_offset(const struct log_file *f);

#endif
