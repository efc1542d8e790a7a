/* What ingest says while it serves: receipts on standard output, and what an operator should know
 * in the log. What lasts is said at once, again each minute, and when it is over. */
#ifndef DRAINWATCH_INGEST_NOTICES_H
#define DRAINWATCH_INGEST_NOTICES_H

#include "common/base/err.h"
#include "common/queue/sender.h"
#include "common/rules/rules.h"
#include "ingest/damage.h"
#include "ingest/receipt.h"

#include <stdbool.h>
#include <stdint.h>

struct trouble {
    bool now;
    bool said; /* and not yet that it is over */
    int64_t say_again_us;
    int64_t last_us; /* when it was last there */
};

/* All zeros at the beginning. Times are clock_boot_us. */
struct notices {
    int64_t started_us;
    struct receipt receipt;
    struct damage damage;
    struct trouble alerter_away;
    struct trouble journal_bad;
    char journal_error[sizeof(struct err)];
};

/* Of each delivery that was taken. */
void notices_receipt(struct notices *n, uint64_t lines, int64_t now_us);
/* Of one that was not whole, as damage_add says. */
void notices_damage(struct notices *n, const char *drain, uint64_t frames, bool body,
                    int64_t now_us);

/* The sums that are due, and at the end all that are held back. */
void notices_sums(struct notices *n, int64_t now_us, bool all);
/* When they are due next; INT64_MAX: not before the next delivery. */
int64_t notices_next_us(const struct notices *n);

/* Once a turn, or a second. */
void notices_alerter(struct notices *n, const struct sender_health *health, int64_t now_us);
void notices_journal(struct notices *n, int64_t now_us);

/* As each attempt to write the journal went. */
void notices_journal_failed(struct notices *n, const struct err *err, int64_t now_us);
void notices_journal_worked(struct notices *n);
/* Why it could not be written the last time; NULL where it could. */
const char *notices_journal_fault(const struct notices *n);

/* `what` happened, with which rules, for whom, and where the alerter is. */
void notices_rules(const char *what, const struct rules *rules, const char *queue);

#endif
