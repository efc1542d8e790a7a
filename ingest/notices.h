/* Prints and logs ingest's news while it serves: receipts on standard output, and in the log what
 * an operator should know. A fault that lasts is logged at once, again each minute, and when it is
 * over. */
#ifndef DRAINWATCH_INGEST_NOTICES_H
#define DRAINWATCH_INGEST_NOTICES_H

#include "common/app/throttle.h"
#include "common/base/err.h"
#include "common/queue/sender.h"
#include "common/rules/rules.h"
#include "ingest/damage.h"
#include "ingest/receipts.h"

#include <stdbool.h>
#include <stdint.h>

/* A fault of the journal. */
struct notices_fault {
    struct throttle throttle;
    bool lasts;      /* the last attempt failed */
    struct err last; /* how */
};

/* The journals alone hold records, because the database is late or away. */
struct notices_alone {
    struct throttle throttle;
    uint64_t records; /* 0: they do not */
    int64_t since_us; /* the database has taken none since then */
    int64_t now_us;
    char why[SENDER_REASON_SIZE]; /* the database takes none; "": not known */
};

struct notices {
    const char *folder;
    int64_t started_us;
    struct receipts receipts;
    struct damage damage;
    struct throttle alerter_away;
    enum sender_state away_state; /* as it was logged last */
    uint64_t taken_back;          /* acks, as the health last told */
    uint64_t lost;                /* records, likewise */
    bool is_pool_told;
    struct notices_fault writing;
    struct notices_fault sending;
    struct notices_alone alone;
};

/* `folder` is the journals', and must stay. All times are clock_boot_us. */
void notices_init(struct notices *n, const char *folder, int64_t now_us);

/* The calls of struct requests_options; `ctx` is the struct notices. See receipts_add and
 * damage_add.
 */
void notices_receipt(void *ctx, uint64_t lines, uint64_t frame);
void notices_damage(void *ctx, const char *drain, uint64_t frames, bool body);

/* To be called after each attempt to write to the journal; NULL: it worked. */
void notices_write(struct notices *n, const struct err *failed, int64_t now_us);
/* To be called after each attempt to send the journal's records; NULL: it worked. A failure costs
 * no delivery: accepted records are in the journal, and are sent later. */
void notices_send(struct notices *n, const struct err *failed, int64_t now_us);

/* With a database, once a turn: the records that the journals alone hold, and since when the
 * database has taken none, as spool_alone tells. */
void notices_set_alone(struct notices *n, uint64_t records, int64_t since_us,
                       const struct sender_health *health, int64_t now_us);

/* Returns true if the journal is well, and its records do not wait for a database that takes none,
 * or false with the reason in one line, which strangers may read. */
bool notices_is_healthy(const struct notices *n, char *reason, size_t size);

/* Logs the notices that are due. Call it once a turn, and at notices_next_us at the latest. */
void notices_say(struct notices *n, const struct sender_health *health, int64_t now_us);
int64_t notices_next_us(const struct notices *n);
/* Prints and logs all that is held back, at the end. */
void notices_flush(struct notices *n, int64_t now_us);

/* Logs an `event` with the rules in force, for whom they are, and where the alerter is. */
void notices_rules(const char *event, const struct rules *rules, const char *queue);

#endif
