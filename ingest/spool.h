/* Ingest's journal with the sender that carries it to the alerter: records of accepted deliveries
 * lie here until the alerter has them. */
#ifndef DRAINWATCH_INGEST_SPOOL_H
#define DRAINWATCH_INGEST_SPOOL_H

#include "common/app/settings.h"
#include "common/base/err.h"
#include "common/queue/sender.h"
#include "common/storage/journal.h"
#include "ingest/http/request.h"

#include <stdbool.h>
#include <stdint.h>

struct spool {
    const struct settings *settings;
    struct journal *journal;
    struct sender *sender;
    int64_t look_us; /* when the state folder is looked at again */
};

/* Opens the state folder's journal and connects to the alerter. `settings` is borrowed. Returns 0;
 * ERR_BUSY (another instance has the folder), or an error of journal_open or sender_open. Times are
 * clock_boot_us. */
int spool_open(struct spool *s, const struct settings *settings, int64_t now_us, struct err *err);
void spool_close(struct spool *s); /* all zeros is fine */

/* Records all of these requests in one transaction, and sets for each whether it is accepted. What
 * fits is accepted even if others do not fit. Removes acked records, too, so call it without
 * requests if sender_trim_due. Returns 0 if all are accepted, or the error of one that is not. */
int spool_record(struct spool *s, struct request *waiting, struct err *err);
/* Sends records to the alerter, as many as may be in flight, and takes its acks. Returns 0 or an
 * error of reading the journal; records are then sent later. */
int spool_exchange(struct spool *s, int64_t now_us, struct err *err);

/* To be called once a turn, outside of a transaction. Fails with ERR_IO if the state folder was
 * removed or replaced, because nobody could read its records again. Sets a damaged journal
 * aside and opens a new one: records that it took from then on would be lost with it. */
int spool_check(struct spool *s, int64_t now_us, struct err *err);

#endif
