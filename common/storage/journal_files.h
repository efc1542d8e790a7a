/* The files beside a journal's database: PATH.lock, which tells the owner, and PATH.suspect, which
 * tells the next open to set the database aside.
 *
 * PATH.lock is never removed. The functions take the PATH of the database. */
#ifndef DRAINWATCH_COMMON_STORAGE_JOURNAL_FILES_H
#define DRAINWATCH_COMMON_STORAGE_JOURNAL_FILES_H

#include "common/base/err.h"

#include <stdbool.h>

/* Returns ERR_INPUT if one of the files is a symbolic link, because the journal would then be kept
 * at its target; ERR_IO if the path is too long; else 0. */
int journal_files_refuse_links(const char *path, struct err *err);

/* Locks the journal; close(*fd) gives it up. Returns 0, ERR_BUSY (another process has it) or
 * ERR_IO. */
int journal_files_lock(const char *path, int *fd, struct err *err);
/* True if a process has the lock. It takes no lock itself, so it never gets in an owner's way. */
bool journal_files_are_owned(const char *path);
/* True if the lock's file was removed or replaced. */
bool journal_files_are_gone(const char *path, int lock_fd);

/* A mark that cannot be made is only missed: the next open checks the file as always. */
void journal_files_mark_suspect(const char *path);
bool journal_files_are_suspect(const char *path);

/* Renames the database to PATH.damaged-N, which `set_aside` gets, and removes the mark. The -wal
 * and -shm go along, so that SQLite's tools can still recover what is in them. */
int journal_files_set_aside(const char *path, char set_aside[512], struct err *err);

#endif
