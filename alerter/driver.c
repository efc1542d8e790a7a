#include "alerter/driver.h"

#include "alerter/dispatch.h"
#include "alerter/fold.h"
#include "alerter/inbox.h"
#include "alerter/rulesfile.h"
#include "alerter/show.h"
#include "alerter/store.h"
#include "alerter/troubles.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/process.h"
#include "common/time.h"

#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A dyno gets 30 s from SIGTERM to SIGKILL. */
static const int64_t STOP_US = 25 * TIME_S;
/* An ingest that lives on is not waited for: what it still takes in waits in its journal. One that
 * was told to stop, too, may have a last delivery under way, which Logplex gives 5 s
 * (docs/facts.md). */
static const int64_t STOP_IDLE_US = 5 * TIME_S;
/* The pace of a channel is a message a second: what waits for no more than that is still sent. */
static const int64_t STOP_DUE_US = 1500 * TIME_MS;
/* How much a start has to fold again at the most. */
static const int64_t SNAPSHOT_US = 10 * TIME_MINUTE;
/* After a turn that failed: the disk may need a moment, and ingest keeps everything meanwhile. */
static const int64_t FAILED_PAUSE_US = 500 * TIME_MS;

struct driver {
    const struct settings *settings;
    int signals;
    struct clock_steady clock;
    struct store *store;
    struct fold fold;
    struct inbox *inbox;
    struct dispatch *dispatch;
    int64_t now_us;      /* of the turn in hand */
    bool in_transaction; /* begun when the first thing is to be stored */
    size_t taken;        /* records, in this turn */
    bool snapshot_wanted;
    int64_t pause_until_us; /* 0: the last turn went well */
    struct troubles troubles;
    struct rulesfile rules; /* read anew, and not yet in force */
    int64_t look_us;        /* when the state folder is looked at again */
    int64_t stop_by_us;     /* 0: nobody asked us to stop */
    int64_t busy_us;        /* when a record was last taken, or when we were asked to stop */
};

/* ---- what a turn stores ---- */

static int need_transaction(struct driver *d, struct err *err)
{
    int rc = d->in_transaction ? 0 : store_begin(d->store, err);

    if (rc == 0)
        d->in_transaction = true;
    return rc;
}

static int last_taken(void *ctx, const uint8_t sender[WIRE_SENDER_BYTES], uint64_t *taken,
                      struct err *err)
{
    struct driver *d = ctx;

    return store_taken(d->store, sender, taken, err);
}

static int set_taken(void *ctx, const uint8_t sender[WIRE_SENDER_BYTES], uint64_t taken,
                     struct err *err)
{
    struct driver *d = ctx;
    int rc = need_transaction(d, err);

    return rc != 0 ? rc : store_take(d->store, sender, taken, d->now_us, err);
}

static int put_alert(struct driver *d, const struct wire_alert *alert, struct err *err)
{
    int64_t row;
    int rc = outbox_put(store_outbox(d->store), alert, &row, err);

    if (rc != 0)
        return rc;
    show_decided(alert);
    if (d->settings->enabled)
        return 0;
    /* Decided while alerting is off, it must not go out when somebody turns it on. */
    return outbox_mark(store_outbox(d->store), row,
                       &(struct outbox_mark){.state = OUTBOX_EXPIRED,
                                             .now_us = d->now_us,
                                             .answer = "alerting was switched off"},
                       err);
}

/* Append, then decide: what the engine was fed is in the stream, in the same transaction. */
static int take(void *ctx, struct wire_bytes bytes, const struct wire_record *record,
                struct err *err)
{
    struct driver *d = ctx;
    const struct wire_entry entry = {d->now_us, WIRE_INPUT_RECORD, bytes};
    struct engine_alerts alerts;
    int rc = need_transaction(d, err);

    d->busy_us = d->now_us;
    if (rc == 0)
        rc = store_append_entry(d->store, &entry, NULL, err);
    if (rc == ERR_FULL && d->taken > 0)
        return INBOX_NOT_NOW; /* the disk is full: room is made for the next turn */
    d->taken++;
    if (rc == 0)
        rc = fold_record(&d->fold, record, d->now_us, &alerts, err);
    for (size_t i = 0; rc == 0 && i < alerts.n; i++)
        rc = put_alert(d, &alerts.alerts[i], err);
    return rc;
}

static int set_aside(void *ctx, const uint8_t sender[WIRE_SENDER_BYTES], uint64_t sequence,
                     struct wire_bytes bytes, const char *why, struct err *err)
{
    struct driver *d = ctx;
    int rc = need_transaction(d, err);

    log_error("a record of %zu bytes from ingest can never be read and is set aside: %s", bytes.len,
              why);
    return rc != 0 ? rc : store_refuse(d->store, sender, sequence, bytes, why, d->now_us, err);
}

static bool snapshot_due(const struct driver *d)
{
    return d->fold.since_saved > 0 &&
           (d->snapshot_wanted || d->now_us - d->fold.saved_us >= SNAPSHOT_US);
}

/* What is not a delivery's but goes along with its transaction: a snapshot, trimming, the marks of
 * what was posted. */
static int keep_house(struct driver *d, struct err *err)
{
    const struct settings *s = d->settings;
    enum store_next next = STORE_DONE;
    int rc = 0;

    if (snapshot_due(d) || outbox_unsaved(store_outbox(d->store)) ||
        store_history_due(d->store, d->now_us, s->history_us, s->history_max_bytes))
        rc = need_transaction(d, err);
    if (rc == 0 && snapshot_due(d))
        rc = fold_save(&d->fold, d->store, d->now_us, err);
    if (rc == ERR_FULL) /* nothing was changed, and no record is held up for it */
        rc = 0;
    if (rc == 0 && d->in_transaction)
        rc = store_history(d->store, d->now_us, s->history_us, s->history_max_bytes, &next, err);
    d->snapshot_wanted = next == STORE_SNAPSHOT;
    return rc;
}

/* Rules are an input like any other: recorded, then fed. */
static int feed_rules(struct driver *d, const char *text, size_t len, struct err *err)
{
    const struct wire_entry entry = {
        d->now_us,
        WIRE_INPUT_RULES,
        {(const uint8_t *)text, len},
    };
    struct engine_alerts none;
    int rc = need_transaction(d, err);

    if (rc == 0)
        rc = store_append_entry(d->store, &entry, NULL, err);
    return rc != 0 ? rc : fold_entry(&d->fold, &entry, &none, err);
}

static int commit(struct driver *d, struct err *err)
{
    if (!d->in_transaction)
        return 0;
    d->in_transaction = false;
    return store_commit(d->store, err);
}

/* ---- a turn that fails ---- */

/* A snapshot in a transaction of its own, if there is anything new and room for it. */
static int save_now(struct driver *d, bool *saved, struct err *err)
{
    struct err full;
    int rc = 0;

    *saved = false;
    if (d->fold.since_saved == 0)
        return 0;
    if (store_begin(d->store, &full) != 0)
        return 0;
    if (fold_save(&d->fold, d->store, d->now_us, &full) != 0)
        store_rollback(d->store);
    else
        *saved = store_commit(d->store, &full) == 0;
    if (!*saved)
        rc = fold_restore(&d->fold, d->store, err);
    return rc;
}

/* On a full disk history goes first. What lies behind the newest snapshot cannot go; so each time
 * that some room was won a new one is taken of it, and all before that can go the next time. */
static int make_room(struct driver *d, struct err *err)
{
    struct err full;
    bool saved, won = store_free_room(d->store, &full) == 0;
    int rc = save_now(d, &saved, err);

    if (rc != 0)
        return rc;
    if (!won && saved)
        won = store_free_room(d->store, &full) == 0;
    if (won) {
        log_warning("the disk is full: the oldest history was dropped to go on");
        d->pause_until_us = 0;
    }
    return 0;
}

/* The engine has seen what was not kept: it is thrown away and folded anew. Nobody was acked, so
 * ingest sends it all again. */
static int start_over(struct driver *d, int why, struct err *err)
{
    int rc;

    if (d->in_transaction)
        store_rollback(d->store);
    d->in_transaction = false;
    inbox_rollback(d->inbox);
    troubles_turn_failed(&d->troubles, err, d->now_us);
    d->pause_until_us = d->now_us + FAILED_PAUSE_US;
    if (why == ERR_DAMAGED) /* the next start sets the file aside */
        return why;
    rc = fold_restore(&d->fold, d->store, err);
    return rc == 0 && why == ERR_FULL ? make_room(d, err) : rc;
}

/* Rules that were read anew come before the turn's records. They wait in the driver until they are
 * committed, so a turn that fails leaves the old ones in force and the next one tries again. */
static int feed_new_rules(struct driver *d, struct err *err)
{
    int rc;

    if (!d->rules.is_new)
        return 0;
    rc = feed_rules(d, buf_text(&d->rules.text), d->rules.text.len, err);
    if (rc != ERR_INPUT)
        return rc;
    /* The reader took them, so the engine does, too; but a fault of ours is to hold up nothing. */
    log_error("the new rules are refused, the old ones stay in force: %s", err->text);
    rulesfile_close(&d->rules);
    return 0;
}

enum turn {
    TURN_NONE, /* it failed, or a pause lasts */
    TURN_IDLE, /* there was nothing to store */
    TURN_STORED,
};

/* receive → append → step → outbox → commit */
static int take_turn(struct driver *d, enum turn *turn, struct err *err)
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
        rc = inbox_receive(d->inbox, d->now_us, err);
    if (rc == 0)
        rc = keep_house(d, err);
    stored = d->in_transaction;
    if (rc == 0)
        rc = commit(d, err);
    if (rc != 0)
        return start_over(d, rc, err);
    *turn = stored ? TURN_STORED : TURN_IDLE;
    return 0;
}

/* An alert that the turn decided on is on its way by now: it waits for none of this. */
static void end_turn(struct driver *d, enum turn turn)
{
    if (turn == TURN_NONE)
        return;
    inbox_ack(d->inbox);
    if (turn == TURN_STORED) { /* a turn that had nothing to store shows nothing */
        troubles_turn_went_well(&d->troubles);
        rulesfile_in_force(&d->rules);
        store_settle(d->store);
    } else {
        store_rest(d->store);
    }
}

/* ---- the loop ---- */

/* What would otherwise be written where nobody can read it again. */
static int check_folder(struct driver *d, struct err *err)
{
    if (d->now_us < d->look_us)
        return 0;
    d->look_us = d->now_us + TIME_S;
    return store_is_gone(d->store)
               ? err_set(
                     err, ERR_IO,
                     "%s was removed or replaced while in use; starting again is all that helps",
                     d->settings->state_dir)
               : 0;
}

static int unpark(struct driver *d, struct err *err)
{
    size_t n = 0;
    int rc = store_begin(d->store, err);

    if (rc == 0)
        rc = outbox_unpark(store_outbox(d->store), &n, err);
    if (rc == 0)
        rc = store_commit(d->store, err);
    else
        store_rollback(d->store);
    if (rc == 0 && n > 0)
        log_info("%zu alert%s that could not be delivered %s tried again", n, n == 1 ? "" : "s",
                 n == 1 ? "is" : "are");
    return rc;
}

/* A second signal changes nothing: in a dyno that runs solo there are two by nature, the platform's
 * and ingest's. */
static void ask_to_stop(struct driver *d)
{
    if (d->stop_by_us != 0)
        return;
    log_info("stopping: taking what ingest still has");
    d->stop_by_us = d->now_us + STOP_US;
    d->busy_us = d->now_us;
}

static void take_signals(struct driver *d)
{
    struct err err;
    int sig;

    while ((sig = process_next_signal(d->signals)) != 0) {
        if (sig == SIGTERM || sig == SIGINT)
            ask_to_stop(d);
        if (sig != SIGHUP)
            continue;
        rulesfile_read(&d->rules, d->settings->rules_path, d->fold.engine);
        if (unpark(d, &err) != 0)
            log_error("%s", err.text);
    }
}

static bool is_done(struct driver *d)
{
    if (d->stop_by_us == 0)
        return false;
    if (d->now_us >= d->stop_by_us)
        return true;
    return (inbox_all_gone(d->inbox, d->now_us) || d->now_us - d->busy_us >= STOP_IDLE_US) &&
           !inbox_pending(d->inbox) && !dispatch_is_busy(d->dispatch, d->now_us + STOP_DUE_US) &&
           !outbox_unsaved(store_outbox(d->store));
}

static int wait_ms(struct driver *d)
{
    int64_t until_us = d->now_us + (d->stop_by_us != 0 ? 20 * TIME_MS : TIME_S);
    int64_t send_us = dispatch_wake_us(d->dispatch);

    if (d->pause_until_us > d->now_us)
        return (int)((d->pause_until_us - d->now_us) / TIME_MS) + 1;
    if (d->rules.is_new || inbox_pending(d->inbox) || outbox_unsaved(store_outbox(d->store)))
        return 0;
    if (send_us < until_us)
        until_us = send_us;
    return until_us <= d->now_us ? 0 : (int)((until_us - d->now_us + 999) / 1000);
}

int driver_serve(struct driver *d, struct err *err)
{
    struct pollfd fds[] = {
        {.fd = d->signals, .events = POLLIN},
        {.fd = inbox_fd(d->inbox), .events = POLLIN}, /* last: left out while a pause lasts */
    };
    const unsigned all = sizeof fds / sizeof fds[0];
    enum turn turn;
    int rc = 0;

    troubles_begin(&d->troubles, d->settings, d->fold.engine);
    process_forget_start();
    while (rc == 0 && !is_done(d)) {
        rc = dispatch_wait(d->dispatch, fds, d->pause_until_us != 0 ? all - 1 : all, wait_ms(d),
                           err);
        d->now_us = clock_steady_us(&d->clock);
        if (rc == 0)
            rc = dispatch_collect(d->dispatch, d->now_us, err);
        if (rc == 0)
            rc = dispatch_expire(d->dispatch, d->now_us, err);
        if (rc == 0)
            rc = take_turn(d, &turn, err);
        if (rc == 0)
            rc = dispatch_send(d->dispatch, d->now_us, err);
        if (rc == 0)
            end_turn(d, turn);
        troubles_say(&d->troubles, d->inbox, d->fold.engine, d->settings->queue, d->now_us);
        take_signals(d);
        if (rc == 0)
            rc = check_folder(d, err);
    }
    if (rc == 0)
        log_info("stopped");
    return rc;
}

/* ---- start and end ---- */

static int open_store(struct driver *d, struct err *err)
{
    char path[4096], aside[512];
    int rc;

    snprintf(path, sizeof path, "%s/alerter.db", d->settings->state_dir);
    rc = store_open(&(struct store_options){.path = path, .sync_full = d->settings->sync_full},
                    &d->store, aside, err);
    if (rc == 0 && aside[0] != '\0')
        log_error("the journal was damaged and is set aside as %s: windows and cooldowns start "
                  "empty, alerts that waited are lost",
                  aside);
    return rc;
}

/* In a large file damage only shows when it is read; then it is opened once more, which sets it
 * aside. */
static int open_folded(struct driver *d, struct err *err)
{
    int rc = open_store(d, err);

    if (rc == 0)
        rc = fold_restore(&d->fold, d->store, err);
    if (rc != ERR_DAMAGED)
        return rc;
    log_error("%s", err->text);
    store_close(d->store);
    d->store = NULL;
    rc = open_store(d, err);
    return rc != 0 ? rc : fold_restore(&d->fold, d->store, err);
}

static int open_all(struct driver *d, const struct driver_options *options, struct err *err)
{
    const struct settings *s = d->settings;
    const struct queue_options queue = {s->queue, s->secrets, s->n_secrets};
    const struct inbox_calls calls = {d, last_taken, take, set_aside, set_taken};
    int rc = open_folded(d, err);

    if (rc != 0)
        return rc;
    d->clock = clock_steady_start(d->fold.last_us);
    d->now_us = clock_steady_us(&d->clock);
    if (!engine_has_rules_text(d->fold.engine, options->rules_text, options->rules_len))
        rc = feed_rules(d, options->rules_text, options->rules_len, err);
    if (rc == 0)
        rc = commit(d, err);
    if (rc == 0)
        rc = unpark(d, err);
    if (rc == 0)
        rc = dispatch_open(s, store_outbox(d->store), &d->dispatch, err);
    return rc != 0 ? rc : inbox_open(&queue, &calls, &d->inbox, err);
}

int driver_open(const struct driver_options *options, struct driver **out, struct err *err)
{
    struct driver *d = calloc(1, sizeof *d);
    int rc;

    if (d == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    d->settings = options->settings;
    d->signals = options->signals;
    rc = open_all(d, options, err);
    if (rc != 0) {
        driver_close(d);
        return rc;
    }
    *out = d;
    return 0;
}

void driver_close(struct driver *d)
{
    if (d == NULL)
        return;
    inbox_close(d->inbox);
    dispatch_close(d->dispatch);
    fold_close(&d->fold);
    rulesfile_close(&d->rules);
    store_close(d->store);
    free(d);
}
