/* The alerter's loop: waits, takes a turn, sends, acks. main calls it. */
#include "alerter/loop_impl.h"

#include "common/app/log.h"
#include "common/app/process.h"
#include "common/app/startup.h"
#include "common/base/time.h"

#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

/* A dyno gets 30 s from SIGTERM to SIGKILL. */
static const int64_t STOP_US = 25 * TIME_S;
/* How long a stopping alerter waits for records. An ingest that stops, too, may have a last
 * delivery under way, which Logplex gives 5 s (docs/facts.md); one that goes on keeps its records
 * in its journal. */
static const int64_t STOP_IDLE_US = 5 * TIME_S;
/* A message that is due so soon is still sent: the pace of a channel is a message a second. */
static const int64_t STOP_DUE_US = 1500 * TIME_MS;

/* ---- the loop ---- */

/* Stops the alerter if its folder is gone: nobody could read again what it writes there. */
static int check_folder(struct loop *d, struct err *err)
{
    if (d->now_us < d->look_us)
        return 0;
    d->look_us = d->now_us + TIME_S;
    return storage_is_gone(d->storage)
               ? err_set(err, ERR_IO,
                         "%s was removed or replaced while in use; start the alerter again",
                         d->settings->state_dir)
               : 0;
}

static int unpark(struct loop *d, struct err *err)
{
    size_t n = 0;
    int rc = storage_begin(d->storage, err);

    if (rc == 0)
        rc = outbox_unpark(d->outbox, &n, err);
    if (rc == 0)
        rc = outbox_commit(d->outbox, err);
    else
        outbox_rollback(d->outbox);
    if (rc == 0 && n > 0)
        log_info("%zu alert%s that could not be delivered %s tried again", n, n == 1 ? "" : "s",
                 n == 1 ? "is" : "are");
    return rc;
}

/* A second signal changes nothing: in a solo dyno both the platform and ingest send one. */
static void ask_to_stop(struct loop *d)
{
    if (d->stop_by_us != 0)
        return;
    log_info("stopping: taking what ingest still has");
    d->stop_by_us = d->now_us + STOP_US;
    d->busy_us = d->now_us;
}

static void take_signals(struct loop *d)
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

static bool is_done(struct loop *d)
{
    if (d->stop_by_us == 0)
        return false;
    if (d->now_us >= d->stop_by_us)
        return true;
    return (receiver_all_gone(d->receiver, d->now_us) || d->now_us - d->busy_us >= STOP_IDLE_US) &&
           !receiver_pending(d->receiver) &&
           !dispatch_is_busy(d->dispatch, d->now_us + STOP_DUE_US) && !outbox_unsaved(d->outbox);
}

static int wait_ms(struct loop *d)
{
    int64_t until_us = d->now_us + (d->stop_by_us != 0 ? 20 * TIME_MS : TIME_S);
    int64_t send_us = dispatch_wake_us(d->dispatch);

    if (d->pause_until_us > d->now_us)
        return (int)((d->pause_until_us - d->now_us) / TIME_MS) + 1;
    if (d->rules.is_new || receiver_pending(d->receiver) || outbox_unsaved(d->outbox))
        return 0;
    if (send_us < until_us)
        until_us = send_us;
    return until_us <= d->now_us ? 0 : (int)((until_us - d->now_us + 999) / 1000);
}

int loop_serve(struct loop *d, struct err *err)
{
    struct pollfd fds[] = {
        {.fd = d->signals, .events = POLLIN},
        {.fd = receiver_fd(d->receiver), .events = POLLIN}, /* last: left out while a pause lasts */
    };
    const unsigned all = sizeof fds / sizeof fds[0];
    enum turn turn;
    int rc = 0;

    notices_begin(&d->notices, d->settings, d->fold.engine);
    startup_log_notes(d->notes);
    while (rc == 0 && !is_done(d)) {
        rc = dispatch_wait(d->dispatch, fds, d->pause_until_us != 0 ? all - 1 : all, wait_ms(d),
                           err);
        d->now_us = clock_steady_us(&d->clock);
        dispatch_collect(d->dispatch, d->now_us);
        if (rc == 0)
            rc = dispatch_expire(d->dispatch, d->now_us, err);
        if (rc == 0)
            rc = loop_take_turn(d, &turn, err);
        if (rc == 0)
            rc = dispatch_send(d->dispatch, d->now_us, err);
        if (rc == 0)
            loop_end_turn(d, turn);
        notices_say(&d->notices, d->receiver, d->fold.engine, d->settings->queue, d->now_us);
        take_signals(d);
        if (rc == 0)
            rc = check_folder(d, err);
    }
    if (rc == 0)
        log_info("stopped");
    return rc;
}

/* ---- start and end ---- */

static int open_storage(struct loop *d, struct err *err)
{
    char path[4096], aside[512];
    int rc;

    snprintf(path, sizeof path, "%s/alerter.db", d->settings->state_dir);
    rc = storage_open(
        &(struct storage_options){.location = path, .sync_full = d->settings->sync_full},
        &d->storage, aside, err);
    if (rc == 0 && aside[0] != '\0')
        log_error("the journal was damaged and is set aside as %s: windows and cooldowns start "
                  "empty, alerts that waited are lost",
                  aside);
    return rc;
}

/* Damage in a large file shows only when it is read. Opening the file once more then sets it aside.
 */
static int open_folded(struct loop *d, struct err *err)
{
    int rc = open_storage(d, err);

    if (rc == 0)
        rc = fold_restore(&d->fold, d->storage, err);
    if (rc != ERR_DAMAGED)
        return rc;
    log_error("%s", err->text);
    storage_close(d->storage);
    d->storage = NULL;
    rc = open_storage(d, err);
    return rc != 0 ? rc : fold_restore(&d->fold, d->storage, err);
}

static int open_all(struct loop *d, const struct loop_options *options, struct err *err)
{
    const struct settings *s = d->settings;
    const struct queue_options queue = {s->queue, s->secrets, s->n_secrets};
    const struct receiver_calls calls = loop_inbox_calls(d);
    int rc = open_folded(d, err);

    if (rc == 0)
        rc = outbox_open(d->storage, &d->outbox, err);
    if (rc != 0)
        return rc;
    d->clock = clock_steady_start(d->fold.last_us);
    d->now_us = clock_steady_us(&d->clock);
    if (!engine_has_rules_text(d->fold.engine, options->rules_text, options->rules_len))
        rc = loop_feed_rules(d, options->rules_text, options->rules_len, err);
    if (rc == 0)
        rc = loop_commit(d, err);
    if (rc == 0)
        rc = unpark(d, err);
    if (rc == 0)
        rc = dispatch_open(s, d->outbox, &d->dispatch, err);
    return rc != 0 ? rc : receiver_open(&queue, &calls, &d->receiver, err);
}

int loop_open(const struct loop_options *options, struct loop **out, struct err *err)
{
    struct loop *d = calloc(1, sizeof *d);
    int rc;

    if (d == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    d->settings = options->settings;
    d->signals = options->signals;
    d->notes = options->notes;
    rc = open_all(d, options, err);
    if (rc != 0) {
        loop_close(d);
        return rc;
    }
    *out = d;
    return 0;
}

void loop_close(struct loop *d)
{
    if (d == NULL)
        return;
    receiver_close(d->receiver);
    dispatch_close(d->dispatch);
    fold_close(&d->fold);
    rulesfile_close(&d->rules);
    outbox_close(d->outbox);
    storage_close(d->storage);
    free(d);
}
