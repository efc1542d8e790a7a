/* The process and its operating system: limits, signals, files. */
#ifndef DRAINWATCH_COMMON_APP_PROCESS_H
#define DRAINWATCH_COMMON_APP_PROCESS_H

#include "common/base/buf.h"
#include "common/base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Forbids core files and debuggers (both would show secrets) and new rights by setuid programs,
 * makes files for the owner alone, turns the signals of failed writes into errors, opens standard
 * streams that are closed, raises the limit of descriptors, and sets the seed of hashes. */
void process_harden(void);

/* A name for people and for other instances: the dyno's or the machine's, and the process's number.
 */
enum { PROCESS_NAME_SIZE = 128 };
void process_name(char name[PROCESS_NAME_SIZE]);

/* Blocks SIGTERM, SIGINT, SIGHUP and SIGCHLD. Returns a descriptor to read them from, or ERR_IO. */
int process_signals(struct err *err);
/* Writes to standard output or error without waiting, because a reader that stopped reading must
 * not stop the program. Returns false, with errno, if it would have to wait (EAGAIN) or cannot
 * write; the rest of the bytes is dropped. */
bool process_write(int fd, const void *bytes, size_t n);

/* The next signal that came; 0: none. */
int process_next_signal(int fd);
/* Whether SIGTERM or SIGINT came and waits for process_next_signal. */
bool process_must_end(void);
/* Unblocks the signals in a child process, between fork and exec, for a program that calls
 * process_signals. SIGHUP stays blocked, or it would end that program while its libraries load. */
void process_unblock_signals(void);

/* Appends the whole file. Returns 0, ERR_IO (no such file, unreadable), ERR_FULL (larger than the
 * buffer's ceiling) or ERR_NOMEM. */
int process_read_file(const char *path, struct buf *out, struct err *err);

/* Whether process_make_folder would succeed. Makes nothing. To root any owner is right, because a
 * service may run as another user than its check. Returns 0 or ERR_INPUT. */
int process_check_folder(const char *path, struct err *err);

/* Makes the folder with all above it, for the owner alone, unless it is there. A folder that is
 * there, also behind a symbolic link, must be this user's and must not be writable by others.
 * Returns 0 or ERR_INPUT. */
int process_make_folder(const char *path, struct err *err);

#endif
