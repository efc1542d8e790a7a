/* How the event stream gets shorter at its old end, on any backing.
 *
 * The position at which the stream begins is stored. To trim is to move it to a later snapshot in
 * one small transaction, and then to delete the entries before it, a few hundred a turn. The calls
 * of storage.h for it (storage_trim, storage_trim_due, storage_free_room) are defined here. */
#ifndef DRAINWATCH_COMMON_STORAGE_HISTORY_H
#define DRAINWATCH_COMMON_STORAGE_HISTORY_H

#include "common/storage/storage.h"

/* Reads the state of the history, once. */
int history_open(struct storage *s, struct err *err);
/* An entry of `n` packed bytes was appended. */
void history_appended(struct storage *s, bool is_snapshot, int64_t position, int64_t step_us,
                      size_t n);

#endif
