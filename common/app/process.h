/* What a daemon owes its machine: limits, signals, files. */
#ifndef DRAINWATCH_COMMON_APP_PROCESS_H
#define DRAINWATCH_COMMON_APP_PROCESS_H

#include "common/base/buf.h"
#include "common/base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* No core file and no debugger (both would show secrets), files only for the owner, a write to a
 * closed socket or beyond a limit is an error and no signal, standard streams that are there, and
 * as many descriptors as the machine lets us have. */
void process_harden(void);

/* A descriptor that reads SIGTERM, SIGINT, SIGHUP and SIGCHLD, which from now on do nothing else.
 * Returns it, or ERR_IO. */
int process_signals(struct err *err);
/* Writes to standard output or error unless that would wait: a reader that has stopped reading must
 * not stop us. False, with errno, where it would (EAGAIN) or cannot be written; what did not fit is
 * dropped. */
bool process_write(int fd, const void *bytes, size_t n);

/* The next signal that came, 0 if none did. */
int process_next_signal(int fd);
/* Gives a child process, between fork and exec, its signals back. */
void process_unblock_signals(void);

/* A random number that nobody outside can know, for hash tables. */
uint64_t process_seed(void);

/* Appends the whole file. Returns 0, ERR_IO (no such file, unreadable), ERR_FULL (larger than the
 * buffer's ceiling) or ERR_NOMEM. */
int process_read_file(const char *path, struct buf *out, struct err *err);

/* Whether process_make_folder could make the folder, or find it writable. Makes nothing. Returns 0
 * or ERR_INPUT. */
int process_check_folder(const char *path, struct err *err);

/* Makes the folder with all above it, for the owner alone, unless it is there. Returns 0 or
 * ERR_INPUT. */
int process_make_folder(const char *path, struct err *err);

#endif
