/* Takes the records that lie in a shared storage, as its alerter would: stores them, decides under
 * the rules in force, and leaves the alerts in the outbox. It posts nothing. */
#ifndef DRAINWATCH_ALERTER_COMMANDS_DRAIN_H
#define DRAINWATCH_ALERTER_COMMANDS_DRAIN_H

#include "common/app/settings.h"
#include "common/base/err.h"
#include "common/storage/storage.h"

/* On a restored storage whose lease the caller holds, while no ingest can add records. `keep` is
 * called between two turns and keeps the lease. Returns 0 once no record is left; ERR_BUSY if some
 * cannot be taken; or an error of `keep` or the storage. */
int drain_inbox(struct storage *s, const struct settings *settings,
                int (*keep)(void *ctx, struct err *err), void *ctx, struct err *err);

#endif
