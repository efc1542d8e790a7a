/* A storage in memory that several alerters share. The test gives the lease to one of them, cuts
 * them off, and says how a commit ends. It is fenced as a database's: a turn counts only if its
 * alerter has the lease and has seen all that was stored. */
#ifndef DRAINWATCH_TESTS_UNIT_ALERTER_SHARED_STORAGE_H
#define DRAINWATCH_TESTS_UNIT_ALERTER_SHARED_STORAGE_H

#include "common/storage/storage.h"

extern const struct storage_ops shared_storage;

#define SHARED_EPOCH_US INT64_C(1778141172000000) /* its clock, when the boot clock is 0 */

/* There is one such storage in a test program, empty after shared_begin. */
void shared_begin(void);
void shared_end(void);

/* A push of an ingest, which stays until its records are taken. */
void shared_push(const struct wire_push *push, const struct wire_bytes *records);

/* The lease of a side goes to `s`, in a new epoch, if storage_tend of it then finds itself not cut
 * off. NULL: nobody has it. */
void shared_give_lease(struct storage *s);
void shared_cut_off(struct storage *s, bool is_cut_off);

enum shared_fate {
    SHARED_COMMITS,
    SHARED_LOST_BEFORE, /* not kept; its answer is ERR_AWAY, and the alerter is cut off */
    SHARED_LOST_AFTER,  /* the same, but kept */
    SHARED_FULL,        /* not kept, ERR_FULL */
};
/* Of the next commit of `s`. */
void shared_set_fate(struct storage *s, enum shared_fate fate);

/* Keeps its present contents, and later goes back to them, as a failover that loses commits does.
 */
void shared_replicate(void);
void shared_fail_over(void);
/* `s` finds out that entries are lost, without having been cut off. */
void shared_lose(struct storage *s);

/* All of it was moved to another place. */
void shared_move(const char *place);

/* Sets its clock forth, or back. */
void shared_shift_clock(int64_t us);

/* Makes the newest entry one that only a newer build can read, and undoes that. */
void shared_set_unreadable(bool is_unreadable);
/* Deletes all before the newest snapshot, as the active alerter may do. */
void shared_trim(void);

/* Whether a snapshot finds no room; how many did. */
void shared_refuse_snapshots(bool is_refused);
int shared_refused(void);

int64_t shared_last(void); /* position of the newest entry */
size_t shared_rows(void);  /* of the outbox */
bool shared_is_released(void);
int shared_restores(const struct storage *s);

#endif
