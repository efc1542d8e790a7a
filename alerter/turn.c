#include "alerter/loop_impl.h"

#include "alerter/commands/show.h"
#include "common/app/log.h"
#include "common/base/time.h"

#include <assert.h>

/* How much a start has to fold again at the most. */
static const int64_t SNAPSHOT_US = 10 * TIME_MINUTE;
/* After a turn that failed: the disk may need a moment, and ingest keeps everything meanwhile. */
static const int64_t FAILED_PAUSE_US = 500 * TIME_MS;
/* How long after the last record nobody is taken to wait. Between two alerts of a storm there are
 * turns with nothing to store, when Slack answers: the disk, asked for then, kept the next alert
 * waiting for 2 to 6 ms, and was asked three times as often (30 syncs in 600 alerts, now 9). */
static const int64_t REST_AFTER_US = 500 * TIME_MS;

/* ---- what a turn stores ---- */

static int need_transaction(struct loop *d, struct err *err)
{
    int rc = d->in_transaction ? 0 : storage_begin(d->storage, err);

    if (rc == 0)
        d->in_transaction = true;
    return rc;
}

static int last_taken(void *ctx, const uint8_t sender[WIRE_SENDER_BYTES], uint64_t *taken,
                      struct err *err)
{
    struct loop *d = ctx;

    return storage_get_sequence(d->storage, sender, taken, err);
}

static int set_taken(void *ctx, const uint8_t sender[WIRE_SENDER_BYTES], uint64_t taken,
                     struct err *err)
{
    struct loop *d = ctx;
    int rc = need_transaction(d, err);

    return rc != 0 ? rc : storage_put_sequence(d->storage, sender, taken, d->now_us, err);
}

static int put_alert(struct loop *d, const struct wire_alert *alert, struct err *err)
{
    /* An alert that is decided while alerting is off must not go out when somebody turns it on. */
    const char *refusal = d->settings->enabled ? NULL : "alerting was switched off";
    int rc = outbox_put(d->outbox, alert, refusal, err);

    if (rc == 0)
        show_decided(alert);
    return rc;
}

/* Append, then decide: what the engine was fed is in the stream, in the same transaction. */
static int take(void *ctx, struct wire_bytes bytes, const struct wire_record *record,
                struct err *err)
{
    struct loop *d = ctx;
    const struct wire_entry entry = {d->now_us, WIRE_INPUT_RECORD, bytes};
    const struct engine_event event = engine_record_event(record, d->now_us);
    struct engine_outcomes outcomes;
    int rc = need_transaction(d, err);

    d->busy_us = d->now_us;
    if (rc == 0)
        rc = storage_append(d->storage, &entry, NULL, err);
    if (rc == ERR_FULL && d->taken > 0)
        return RECEIVER_NOT_NOW; /* the disk is full: room is made for the next turn */
    d->taken++;
    if (rc == 0)
        rc = fold_event(&d->fold, &event, &outcomes, err);
    for (size_t i = 0; rc == 0 && i < outcomes.n_alerts; i++)
        rc = put_alert(d, &outcomes.alerts[i], err);
    for (size_t i = 0; rc == 0 && i < outcomes.n_cooled; i++)
        show_cooled(&outcomes.cooled[i], d->now_us);
    return rc;
}

static int set_aside(void *ctx, const uint8_t sender[WIRE_SENDER_BYTES], uint64_t sequence,
                     struct wire_bytes bytes, const char *why, struct err *err)
{
    struct loop *d = ctx;
    int rc = need_transaction(d, err);

    log_error("a record of %zu bytes from ingest can never be read and is set aside: %s", bytes.len,
              why);
    return rc != 0 ? rc
                   : storage_put_refused(d->storage, sender, sequence, bytes, why, d->now_us, err);
}

struct receiver_calls loop_inbox_calls(struct loop *d)
{
    return (struct receiver_calls){.ctx = d,
                                   .last_taken = last_taken,
                                   .take = take,
                                   .set_aside = set_aside,
                                   .set_taken = set_taken};
}

static bool snapshot_due(const struct loop *d)
{
    return d->fold.since_saved > 0 &&
           (d->snapshot_wanted || d->now_us - d->fold.saved_us >= SNAPSHOT_US);
}

/* What is not a delivery's but goes along with its transaction: a snapshot, trimming, the marks of
 * what was posted. */
static int keep_house(struct loop *d, struct err *err)
{
    const struct settings *s = d->settings;
    enum storage_trimmed next = STORAGE_TRIM_DONE;
    int rc = 0;

    if (snapshot_due(d) || outbox_unsaved(d->outbox) ||
        storage_trim_due(d->storage, d->now_us, s->history_us, s->history_max_bytes))
        rc = need_transaction(d, err);
    if (rc == 0 && snapshot_due(d))
        rc = fold_save(&d->fold, d->storage, d->now_us, err);
    if (rc == ERR_FULL) /* nothing was changed, and no record is held up for it */
        rc = 0;
    if (rc == 0 && d->in_transaction)
        rc = storage_trim(d->storage, d->now_us, s->history_us, s->history_max_bytes, &next, err);
    d->snapshot_wanted = next == STORAGE_TRIM_NEEDS_SNAPSHOT;
    return rc;
}

/* Rules are an input like any other: recorded, then fed. */
int loop_feed_rules(struct loop *d, const char *text, size_t len, struct err *err)
{
    const struct wire_entry entry = {
        d->now_us,
        WIRE_INPUT_RULES,
        {(const uint8_t *)text, len},
    };
    struct engine_outcomes none;
    int rc = need_transaction(d, err);

    if (rc == 0)
        rc = storage_append(d->storage, &entry, NULL, err);
    return rc != 0 ? rc : fold_entry(&d->fold, &entry, &none, err);
}

int loop_commit(struct loop *d, struct err *err)
{
    if (!d->in_transaction)
        return 0;
    d->in_transaction = false;
    return outbox_commit(d->outbox, err);
}

/* ---- a turn that fails ---- */

/* A snapshot in a transaction of its own, if there is anything new and room for it. */
static int save_now(struct loop *d, bool *saved, struct err *err)
{
    struct err full;
    int rc = 0;

    *saved = false;
    if (d->fold.since_saved == 0)
        return 0;
    if (storage_begin(d->storage, &full) != 0)
        return 0;
    if (fold_save(&d->fold, d->storage, d->now_us, &full) != 0)
        outbox_rollback(d->outbox);
    else
        *saved = outbox_commit(d->outbox, &full) == 0;
    if (!*saved)
        rc = fold_restore(&d->fold, d->storage, err);
    return rc;
}

/* On a full disk history goes first. What lies behind the newest snapshot cannot go; so each time
 * that some room was won a new one is taken of it, and all before that can go the next time. */
static int make_room(struct loop *d, struct err *err)
{
    struct err full;
    bool saved, won = storage_free_room(d->storage, &full) == 0;
    int rc = save_now(d, &saved, err);

    if (rc != 0)
        return rc;
    if (!won && saved)
        won = storage_free_room(d->storage, &full) == 0;
    if (won) {
        log_warning("the disk is full: the oldest history was dropped to go on");
        d->pause_until_us = 0;
    }
    return 0;
}

/* The engine has seen what was not kept: it is thrown away and folded anew. Nobody was acked, so
 * ingest sends it all again. */
static int start_over(struct loop *d, int why, struct err *err)
{
    int rc;

    if (d->in_transaction)
        outbox_rollback(d->outbox);
    d->in_transaction = false;
    receiver_rollback(d->receiver);
    notices_turn_failed(&d->notices, err, d->now_us);
    d->pause_until_us = d->now_us + FAILED_PAUSE_US;
    if (why == ERR_DAMAGED) /* the next start sets the file aside */
        return why;
    rc = fold_restore(&d->fold, d->storage, err);
    return rc == 0 && why == ERR_FULL ? make_room(d, err) : rc;
}

/* Rules that were read anew come before the turn's records. They wait in the driver until they are
 * committed, so a turn that fails leaves the old ones in force and the next one tries again. */
static int feed_new_rules(struct loop *d, struct err *err)
{
    int rc;

    if (!d->rules.is_new)
        return 0;
    rc = loop_feed_rules(d, buf_text(&d->rules.text), d->rules.text.len, err);
    if (rc != ERR_INPUT)
        return rc;
    /* The reader took them, so the engine does, too; but a fault of ours is to hold up nothing. */
    log_error("the new rules are refused, the old ones stay in force: %s", err->text);
    rulesfile_close(&d->rules);
    return 0;
}

/* receive → append → step → outbox → commit */
int loop_take_turn(struct loop *d, enum turn *turn, struct err *err)
{
    bool stored;
    int rc;

    *turn = TURN_NONE;
    if (d->now_us < d->pause_until_us)
        return 0;
    d->pause_until_us = 0;
    d->taken = 0;
    rc = feed_new_rules(d, err);
    if (rc == 0)
        rc = receiver_receive(d->receiver, d->now_us, err);
    if (rc == 0)
        rc = keep_house(d, err);
    stored = d->in_transaction;
    if (rc == 0)
        rc = loop_commit(d, err);
    if (rc != 0)
        return start_over(d, rc, err);
    *turn = stored ? TURN_STORED : TURN_IDLE;
    return 0;
}

/* Tells ingest's /healthz why alerts are not delivered; "" if they are. */
static const char *trouble_of(struct loop *d)
{
    struct delivery_health health;
    struct err err;

    if (outbox_health(d->outbox, &health, &err) != 0)
        return "";
    delivery_health_text(&health, d->trouble, sizeof d->trouble);
    return d->trouble;
}

/* An alert that the turn decided on is on its way by now: it waits for none of this. */
void loop_end_turn(struct loop *d, enum turn turn)
{
    if (turn == TURN_NONE)
        return;
    receiver_ack(d->receiver, trouble_of(d));
    if (turn == TURN_STORED) { /* a turn that had nothing to store shows nothing */
        notices_turn_went_well(&d->notices, d->now_us);
        rulesfile_in_force(&d->rules);
    }
    storage_maintain(d->storage, turn == TURN_IDLE && d->now_us - d->busy_us >= REST_AFTER_US);
}
