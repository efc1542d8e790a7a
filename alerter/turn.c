/* Stores, decides and commits what a turn received, reads the rules again, and starts over if a
 * turn fails. Called by loop. */
#include "alerter/turn.h"

#include "alerter/engine/ruleset.h"
#include "common/app/log.h"
#include "common/app/startup.h"
#include "common/base/text.h"
#include "common/base/time.h"
#include "common/queue/source_both.h"
#include "common/queue/source_queue.h"

#include <stdio.h>

/* The longest part of the stream that a start has to read again; fold_wants_snapshot bounds its
 * bytes. */
static const int64_t SNAPSHOT_US = 10 * TIME_MINUTE;
/* After a failed turn: the disk may need a moment, and ingest keeps everything meanwhile. */
static const int64_t FAILED_PAUSE_US = 500 * TIME_MS;
/* After a snapshot that found no room: to make one anew takes the time of many records. */
static const int64_t SNAPSHOT_RETRY_US = 10 * TIME_S;
/* A turn that took longer than this takes no further record, so that alerts, acks and signals do
 * not wait for a backlog. */
static const int64_t TURN_US = 50 * TIME_MS;
/* Time after the last record until the store may wait for the disk. During a storm an idle turn
 * lies between any two alerts. Waiting for the disk in those delayed alerts by 2 to 6 ms. */
static const int64_t MAINTAIN_AFTER_US = 500 * TIME_MS;

/* ---- storing ---- */

static int need_transaction(struct turn *t, struct err *err)
{
    return storage_in_transaction(t->storage) ? 0 : storage_begin(t->storage, err);
}

/* The log tells of decisions once they are kept, so that none is logged twice. */
static int commit(struct turn *t, struct err *err)
{
    int rc = storage_in_transaction(t->storage) ? outbox_commit(t->outbox, err) : 0;

    if (rc == 0)
        notices_decided(t->notices, t->now_us);
    return rc;
}

static int last_taken(void *ctx, const uint8_t sender[WIRE_SENDER_BYTES], uint64_t *taken,
                      struct err *err)
{
    struct turn *t = ctx;

    return t->storage->ops->get_sequence(t->storage, sender, taken, err);
}

static int set_taken(void *ctx, const uint8_t sender[WIRE_SENDER_BYTES], uint64_t taken,
                     struct err *err)
{
    struct turn *t = ctx;
    int rc = need_transaction(t, err);

    return rc != 0 ? rc : t->storage->ops->put_sequence(t->storage, sender, taken, t->now_us, err);
}

static int put_alert(struct turn *t, const struct wire_alert *alert, struct err *err)
{
    /* An alert decided while alerting is off must not go out when somebody turns it on. */
    const char *refusal = t->settings->enabled ? NULL : "alerting was switched off";
    int rc = outbox_put(t->outbox, alert, refusal, err);

    if (rc == 0)
        notices_alert(t->notices, alert);
    return rc;
}

static int put_outcomes(struct turn *t, const struct engine_outcomes *outcomes, struct err *err)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < outcomes->n_alerts; i++)
        rc = put_alert(t, &outcomes->alerts[i], err);
    for (size_t i = 0; rc == 0 && i < outcomes->n_cooled; i++)
        notices_cooled(t->notices, &outcomes->cooled[i], t->now_us);
    return rc;
}

/* Appends, then decides: every event of the engine is in the stream, in the same transaction. */
static int take(void *ctx, struct wire_bytes bytes, const struct wire_record *record,
                struct err *err)
{
    struct turn *t = ctx;
    const struct wire_entry entry = {t->now_us, WIRE_INPUT_RECORD, bytes};
    const struct engine_event event = engine_record_event(record, t->now_us);
    struct engine_outcomes outcomes;
    int rc;

    if (t->taken > 0 &&
        (storage_is_long(t->storage) || clock_steady_us(&t->clock) - t->now_us >= TURN_US))
        return RECEIVER_NOT_NOW;
    rc = need_transaction(t, err);
    t->last_record_us = t->now_us;
    if (rc == 0)
        rc = storage_append(t->storage, &entry, NULL, err);
    if (rc == ERR_FULL && t->taken > 0)
        return RECEIVER_NOT_NOW; /* the disk is full: the next turn makes room */
    t->taken++;
    if (rc == 0)
        rc = fold_event(&t->fold, &event, bytes.len, &outcomes, err);
    return rc != 0 ? rc : put_outcomes(t, &outcomes, err);
}

/* Records an event that no ingest sent, then feeds it. */
static int feed(struct turn *t, const struct wire_entry *entry, struct err *err)
{
    struct engine_outcomes outcomes;
    int rc = need_transaction(t, err);

    if (rc == 0)
        rc = storage_append(t->storage, entry, NULL, err);
    if (rc == 0)
        rc = fold_entry(&t->fold, entry, &outcomes, err);
    return rc != 0 ? rc : put_outcomes(t, &outcomes, err);
}

/* A tick before its time would change nothing, so it is neither recorded nor fed. */
static int feed_tick(struct turn *t, struct err *err)
{
    if (engine_next_us(t->fold.engine) > t->now_us)
        return 0;
    return feed(t, &(struct wire_entry){.step_us = t->now_us, .input = WIRE_INPUT_TICK}, err);
}

static int set_aside(void *ctx, const uint8_t sender[WIRE_SENDER_BYTES], uint64_t sequence,
                     struct wire_bytes bytes, const char *why, struct err *err)
{
    struct turn *t = ctx;
    int rc = need_transaction(t, err);

    log_error("a record of %zu bytes from ingest is unreadable and is set aside: %s", bytes.len,
              why);
    return rc != 0 ? rc
                   : t->storage->ops->put_refused(t->storage, sender, sequence, bytes, why,
                                                  t->now_us, err);
}

/* ---- rules ---- */

/* Tells the operator how many rules keep their windows. */
static void describe_change(struct turn *t, const struct rules *next)
{
    const struct rules *old = engine_rules(t->fold.engine);
    size_t added = 0, changed = 0, kept = 0;

    for (size_t i = 0; i < next->n; i++) {
        const struct rule *before = engine_rule(t->fold.engine, next->rules[i].name);

        added += before == NULL;
        changed += before != NULL && !ruleset_same_matching(before, &next->rules[i]);
        kept += before != NULL;
    }
    snprintf(t->change, sizeof t->change,
             "%zu %s, %zu new, %zu gone; empty windows for %zu, kept windows for %zu", next->n,
             text_plural(next->n, "rule", "rules"), added, (old != NULL ? old->n : 0) - kept,
             added + changed, kept - changed);
}

static bool are_in_force(const struct turn *t)
{
    return engine_has_rules_text(t->fold.engine, buf_text(&t->rules), t->rules.len);
}

void turn_read_rules(struct turn *t)
{
    const bool is_working = turn_is_active(t) && !t->needs_restore;
    const char *path = t->settings->rules_path;
    const struct rules *rules;
    struct buf text;

    if (startup_reload_rules(path, &text, &rules) != 0)
        return;
    buf_close(&t->rules);
    t->rules = text;
    t->has_new_rules = is_working && !are_in_force(t);
    if (t->has_new_rules)
        describe_change(t, rules);
    else if (is_working)
        log_info("%s was read again: nothing has changed", path);
    else
        log_info("%s was read again: its rules come into force once this alerter is active", path);
    rules_free(rules);
}

static void log_rules_in_force(struct turn *t)
{
    if (t->has_new_rules)
        log_info("the rules were read again: %s", t->change);
    t->has_new_rules = false;
}

/* Rules are an event like any other: recorded, then fed. */
static int feed_rules(struct turn *t, struct err *err)
{
    return feed(t, &(struct wire_entry){t->now_us, WIRE_INPUT_RULES, {t->rules.data, t->rules.len}},
                err);
}

/* Rules that were read again come before the turn's records. They are kept until they are
 * committed, so a turn that fails leaves the old ones in force, and the next turn tries again. */
static int feed_new_rules(struct turn *t, struct err *err)
{
    int rc;

    if (!t->has_new_rules)
        return 0;
    rc = feed_rules(t, err);
    if (rc != ERR_INPUT)
        return rc;
    /* The reader accepted them, so the engine should; a fault of ours must not hold up records. */
    log_error("the new rules are refused, the old ones stay in force: %s", err->text);
    t->has_new_rules = false;
    return 0;
}

/* ---- upkeep ---- */

static bool snapshot_due(const struct turn *t)
{
    return t->fold.since_saved > 0 && t->now_us >= t->snapshot_retry_us &&
           (t->snapshot_wanted || fold_wants_snapshot(&t->fold) ||
            t->now_us - t->fold.saved_us >= SNAPSHOT_US);
}

/* Adds to the transaction the work that belongs to no record: a snapshot, trimming, and the results
 * of posts. */
static int keep_house(struct turn *t, struct err *err)
{
    const struct settings *s = t->settings;
    enum storage_trimmed next = STORAGE_TRIM_DONE;
    int rc = 0;

    if (snapshot_due(t) || outbox_unsaved(t->outbox) ||
        storage_trim_due(t->storage, t->now_us, s->history_us, s->history_max_bytes))
        rc = need_transaction(t, err);
    if (rc == 0 && snapshot_due(t))
        rc = fold_save(&t->fold, t->storage, t->now_us, err);
    if (rc == ERR_FULL) { /* the snapshot changed nothing; records go on */
        t->snapshot_retry_us = t->now_us + SNAPSHOT_RETRY_US;
        rc = 0;
    }
    if (rc == 0 && storage_in_transaction(t->storage))
        rc = storage_trim(t->storage, t->now_us, s->history_us, s->history_max_bytes, &next, err);
    t->snapshot_wanted = next == STORAGE_TRIM_NEEDS_SNAPSHOT;
    return rc;
}

/* ---- a turn that fails ---- */

/* A shared storage may have kept a transaction although it seems to have failed. */
static void undo(struct turn *t)
{
    if (storage_in_transaction(t->storage))
        outbox_rollback(t->outbox);
    t->needs_restore = storage_is_shared(t->storage);
}

/* Takes a snapshot in a transaction of its own, if there is anything new and room for it. */
static int save_now(struct turn *t, bool *saved, struct err *err)
{
    struct err full;

    *saved = false;
    if (t->fold.since_saved == 0 || storage_begin(t->storage, &full) != 0)
        return 0;
    *saved = fold_save(&t->fold, t->storage, t->now_us, &full) == 0 &&
             outbox_commit(t->outbox, &full) == 0;
    if (*saved)
        return 0;
    undo(t);
    return t->needs_restore ? 0 : fold_restore(&t->fold, t->storage, err);
}

static bool free_room(struct turn *t)
{
    struct err err;
    int rc = storage_free_room(t->storage, &err);

    if (rc == ERR_AWAY)
        t->needs_restore = true;
    return rc == 0;
}

/* On a full disk history goes first. The part after the newest snapshot cannot go, so a new
 * snapshot is taken whenever there is room for one; then the part before it can go next time. */
static int make_room(struct turn *t, struct err *err)
{
    bool saved, won = free_room(t);
    int rc = save_now(t, &saved, err);

    if (rc != 0)
        return rc;
    if (!won && saved)
        won = free_room(t);
    if (won) {
        log_warning("there was no room: dropped the oldest history to go on (free some space, or "
                    "lower DRAINWATCH_HISTORY_MAX_BYTES)");
        t->pause_until_us = 0;
    }
    return 0;
}

int turn_restore(struct turn *t, struct err *err)
{
    int rc = storage_restore(t->storage, err);

    if (storage_is_shared(t->storage) && turn_is_active(t))
        receiver_forget(t->receiver);
    if (rc == 0)
        rc = fold_restore(&t->fold, t->storage, err);
    t->needs_restore = rc != 0;
    if (rc == 0 && turn_is_active(t) && !are_in_force(t) && !t->has_new_rules) {
        snprintf(t->change, sizeof t->change, "they were read while the database was away");
        t->has_new_rules = true;
    }
    if (rc != 0 || !t->needs_room)
        return rc;
    t->needs_room = false;
    return make_room(t, err);
}

/* The engine has seen records that were not stored, so it is built anew from the stream, at a
 * shared storage once that can be reached. Nobody was acked, so ingest sends the records again. */
static int start_over(struct turn *t, int why, struct err *err)
{
    undo(t);
    notices_turn_failed(t->notices, err, t->now_us);
    t->pause_until_us = t->now_us + FAILED_PAUSE_US;
    t->needs_room = why == ERR_FULL;
    if (why == ERR_DAMAGED) /* the next start sets the file aside */
        return why;
    if (t->needs_restore)
        return why == ERR_IO ? why : 0;
    receiver_rollback(t->receiver);
    return turn_restore(t, err);
}

/* ---- a turn ---- */

static int end_turn(struct turn *t, int rc, enum turn_result *result, struct err *err)
{
    const bool stored = storage_in_transaction(t->storage);

    if (rc == 0)
        rc = commit(t, err);
    if (rc != 0)
        return start_over(t, rc, err);
    *result = stored ? TURN_STORED : TURN_IDLE;
    return 0;
}

int turn_take(struct turn *t, int64_t now_us, enum turn_result *result, struct err *err)
{
    int rc;

    *result = TURN_NONE;
    t->now_us = now_us;
    if (now_us < t->pause_until_us)
        return 0;
    t->pause_until_us = 0;
    t->taken = 0;
    rc = feed_tick(t, err);
    if (rc == 0)
        rc = feed_new_rules(t, err);
    if (rc == 0)
        rc = receiver_receive(t->receiver, now_us, err);
    if (rc == 0)
        rc = keep_house(t, err);
    return end_turn(t, rc, result, err);
}

int turn_save(struct turn *t, int64_t now_us, enum turn_result *result, struct err *err)
{
    *result = TURN_NONE;
    t->now_us = now_us;
    if (now_us < t->pause_until_us)
        return 0;
    return end_turn(t, outbox_unsaved(t->outbox) ? need_transaction(t, err) : 0, result, err);
}

/* Tells ingest's /healthz why alerts are not delivered; "" if they are. */
static const char *trouble_of(struct turn *t)
{
    const char *text;
    struct err err;

    return outbox_health(t->outbox, t->now_us, &text, &err) == 0 ? text : "";
}

void turn_end(struct turn *t, enum turn_result result)
{
    if (result == TURN_NONE)
        return;
    receiver_ack(t->receiver, trouble_of(t));
    if (result == TURN_STORED) { /* an idle turn does not show that storing works again */
        notices_turn_went_well(t->notices, t->now_us);
        log_rules_in_force(t);
    }
    t->storage->ops->maintain(t->storage, result == TURN_IDLE &&
                                              t->now_us - t->last_record_us >= MAINTAIN_AFTER_US);
}

int64_t turn_wake_us(const struct turn *t)
{
    return engine_next_us(t->fold.engine);
}

bool turn_is_pending(struct turn *t)
{
    return t->has_new_rules || receiver_pending(t->receiver) || outbox_unsaved(t->outbox);
}

int turn_unpark(struct turn *t, struct err *err)
{
    size_t n = 0;
    int rc = storage_begin(t->storage, err);

    if (rc == 0)
        rc = outbox_unpark(t->outbox, &n, err);
    if (rc == 0)
        rc = outbox_commit(t->outbox, err);
    if (rc != 0)
        undo(t);
    else if (n > 0)
        log_info("retrying %zu kept %s", n, text_plural(n, "alert", "alerts"));
    return rc;
}

/* ---- start and end ---- */

bool turn_is_active(const struct turn *t)
{
    return t->receiver != NULL;
}

static int open_storage(struct turn *t, const struct storage_ops *backing, struct err *err)
{
    struct startup_storage place;
    char aside[512];
    int rc;

    startup_storage(t->settings, "alerter", &place);
    place.options.backing = backing;
    rc = storage_open(&place.options, &t->storage, aside, err);
    if (rc == 0 && aside[0] != '\0')
        log_error("the journal was damaged and is set aside as %s: windows and cooldowns start "
                  "empty, alerts that waited are lost",
                  aside);
    return rc;
}

/* In a large file damage may show only when it is read. It is then opened once more, which sets it
 * aside. */
static int open_folded(struct turn *t, const struct storage_ops *backing, struct err *err)
{
    int rc = open_storage(t, backing, err);

    if (rc == 0 && storage_is_shared(t->storage)) {
        t->needs_restore = true;
        return 0;
    }
    if (rc == 0)
        rc = fold_restore(&t->fold, t->storage, err);
    if (rc != ERR_DAMAGED)
        return rc;
    log_error("%s", err->text);
    storage_close(t->storage);
    t->storage = NULL;
    rc = open_storage(t, backing, err);
    return rc != 0 ? rc : fold_restore(&t->fold, t->storage, err);
}

static int refuse_folder(const struct turn *t, struct err *err)
{
    const char *folder = t->settings->state_dir, *place = t->storage->moved;

    return place[0] == '/'
               ? err_set(err, ERR_INPUT,
                         "all that %s kept was moved to %s: set DRAINWATCH_STATE_DIR to that "
                         "folder (if it is empty, run the move again; to go back, run "
                         "\"drainwatch-alerter move %s NEW\" and set DRAINWATCH_STATE_DIR to the "
                         "folder NEW)",
                         folder, place, place)
               : err_set(err, ERR_INPUT,
                         "all that %s kept was moved to %s: set DRAINWATCH_DATABASE_URL and "
                         "DRAINWATCH_SCHEMA (if that schema is empty, run the move again; to go "
                         "back, run \"drainwatch-alerter move database NEW\" and set "
                         "DRAINWATCH_STATE_DIR to the folder NEW)",
                         folder, place);
}

int turn_check_place(const struct turn *t, struct err *err)
{
    const char *place = t->storage->moved;

    if (place[0] == '\0')
        return 0;
    if (!storage_is_shared(t->storage))
        return refuse_folder(t, err);
    return err_set(err, ERR_INPUT,
                   "all that this database kept was moved to %s: unset DRAINWATCH_DATABASE_URL and "
                   "start the alerter there (if that folder is empty, run the move again; to go "
                   "back, set DRAINWATCH_SCHEMA to a new name and run \"drainwatch-alerter move %s "
                   "database\")",
                   place, place);
}

static int set_rules(struct turn *t, struct wire_bytes text, struct err *err)
{
    buf_init(&t->rules, text.len);
    return buf_append(&t->rules, text.data, text.len) == 0
               ? 0
               : err_set(err, ERR_NOMEM, "no memory for the rules");
}

static int open_own(struct turn *t, const struct turn_options *o, struct err *err)
{
    const struct wire_bytes text = {(const uint8_t *)o->rules_text, o->rules_len};
    int rc = set_rules(t, text, err);

    if (rc == 0)
        rc = open_folded(t, o->backing, err);
    return rc != 0 || storage_is_shared(t->storage) ? rc : turn_check_place(t, err);
}

static int borrow_storage(struct turn *t, struct storage *storage, struct err *err)
{
    int rc;

    t->storage = storage;
    t->is_borrowed = true;
    rc = fold_restore(&t->fold, storage, err);
    return rc != 0 ? rc : set_rules(t, engine_rules_text(t->fold.engine), err);
}

int turn_open(struct turn *t, const struct turn_options *options, struct err *err)
{
    int rc;

    t->settings = options->settings;
    t->notices = options->notices;
    rc = options->storage != NULL ? borrow_storage(t, options->storage, err)
                                  : open_own(t, options, err);
    if (rc == 0)
        rc = outbox_open(t->storage, &t->outbox, err);
    if (rc == 0 && !storage_is_shared(t->storage))
        rc = turn_activate(t, clock_boot_us(), err);
    return rc;
}

/* A shared storage has one clock for all alerters, so that no wrong clock of a machine rushes a
 * cooldown. */
static void start_clock(struct turn *t, int64_t boot_us)
{
    const struct storage_term *term = storage_term(t->storage);
    int64_t begin_us = t->fold.last_us;

    if (term == NULL) {
        t->clock = clock_steady_start(begin_us);
        return;
    }
    if (begin_us < term->taken_at_us)
        begin_us = term->taken_at_us;
    if (t->clock.offset_us < begin_us - boot_us) /* it never goes back */
        t->clock.offset_us = begin_us - boot_us;
}

static int open_source(struct turn *t, struct source **out, struct err *err)
{
    const struct queue_options options = {t->settings->queue, t->settings->secrets,
                                          t->settings->n_secrets};
    struct source *inbox = storage_source(t->storage), *queue;
    int rc;

    *out = inbox;
    if (options.endpoint == NULL)
        return 0;
    rc = source_queue_open(&options, &queue, err);
    if (rc == 0 && inbox != NULL)
        return source_both_open(inbox, queue, out, err);
    if (rc == 0)
        *out = queue;
    else if (inbox != NULL)
        inbox->ops->close(inbox);
    return rc;
}

static int open_receiver(struct turn *t, struct err *err)
{
    const struct receiver_calls calls = {.ctx = t,
                                         .last_taken = last_taken,
                                         .take = take,
                                         .set_aside = set_aside,
                                         .set_taken = set_taken};
    struct source *source;
    int rc = open_source(t, &source, err);

    return rc != 0 ? rc : receiver_open(source, &calls, &t->receiver, err);
}

int turn_activate(struct turn *t, int64_t boot_us, struct err *err)
{
    int rc;

    start_clock(t, boot_us);
    t->now_us = t->clock.offset_us + boot_us;
    rc = storage_is_shared(t->storage) ? outbox_take_over(t->outbox, t->now_us, err) : 0;
    if (rc == 0)
        rc = feed_tick(t, err);
    if (rc == 0 && !are_in_force(t))
        rc = feed_rules(t, err);
    t->has_new_rules = false;
    if (rc == 0)
        rc = commit(t, err);
    if (rc == 0)
        rc = turn_unpark(t, err);
    if (rc == 0)
        rc = open_receiver(t, err);
    if (rc != 0)
        undo(t);
    return rc;
}

void turn_deactivate(struct turn *t)
{
    receiver_close(t->receiver);
    t->receiver = NULL;
    t->has_new_rules = false;
    t->pause_until_us = 0;
    t->needs_restore = true;
    notices_forget(t->notices);
}

void turn_close(struct turn *t)
{
    receiver_close(t->receiver);
    fold_close(&t->fold);
    buf_close(&t->rules);
    outbox_close(t->outbox);
    if (!t->is_borrowed)
        storage_close(t->storage);
}
