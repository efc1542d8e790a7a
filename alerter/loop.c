/* Waits, runs one turn after the other, posts, and stops in order. Called by main. */
#include "alerter/loop.h"

#include "alerter/deliver/dispatch.h"
#include "alerter/notices.h"
#include "alerter/role.h"
#include "alerter/turn.h"
#include "common/app/clock.h"
#include "common/app/log.h"
#include "common/app/process.h"
#include "common/app/startup.h"
#include "common/base/text.h"
#include "common/base/time.h"

#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>

/* A dyno gets 30 s from SIGTERM to SIGKILL. */
static const int64_t STOP_US = 25 * TIME_S;
/* An ingest that is not stopping is not waited for: its records wait in its journal. One that is
 * stopping may have a last delivery under way, which Logplex gives 5 s (docs/facts.md). */
static const int64_t STOP_IDLE_US = 5 * TIME_S;
/* A channel takes a message a second, so a message that is due within this is still sent, and a
 * tick that may decide one is waited for. */
static const int64_t STOP_DUE_US = 1500 * TIME_MS;
/* Another alerter takes the records, and the alerts that are due, so only posts in flight are
 * waited for. Each of them has 15 s (HTTP_CLIENT_WHOLE_MS). */
static const int64_t LEAVE_US = 16 * TIME_S;
/* For records, the storage, and signals. */
enum { FDS = 3 };

struct loop {
    const struct settings *settings;
    int signals;
    const struct buf *notes; /* borrowed */
    struct notices notices;
    struct turn turn;
    struct dispatch *dispatch;
    struct role role;
    int64_t now_us;     /* of this step */
    int64_t look_us;    /* when to check the state folder again */
    int64_t stop_by_us; /* 0: nobody asked us to stop */
    int64_t stop_asked_us;
};

/* Stops before anything is written into files that nobody can read again. */
static int check_folder(struct loop *l, struct err *err)
{
    if (l->now_us < l->look_us)
        return 0;
    l->look_us = l->now_us + TIME_S;
    return l->turn.storage->ops->is_gone(l->turn.storage)
               ? err_set(err, ERR_IO, "%s was removed or replaced while in use (start again)",
                         l->settings->state_dir)
               : 0;
}

/* With records that come through a shared storage, or without a turn to take, there is nothing that
 * the next active alerter could not do. */
static bool is_leaving(const struct loop *l)
{
    return l->stop_by_us != 0 && storage_is_shared(l->turn.storage) &&
           (l->settings->queue == NULL || !role_is_active(&l->role));
}

/* A second signal changes nothing. In solo mode there are always two: the platform's and ingest's.
 */
static void ask_to_stop(struct loop *l)
{
    if (l->stop_by_us != 0)
        return;
    l->stop_by_us = l->now_us + STOP_US;
    l->stop_asked_us = l->now_us;
    l->role.is_leaving = true;
    log_info("stopping: %s", is_leaving(l) ? "waiting for the replies to posts in flight"
                                           : "taking the records that ingest still has");
}

static void take_signals(struct loop *l)
{
    struct err err;
    int sig;

    while ((sig = process_next_signal(l->signals)) != 0) {
        if (sig == SIGTERM || sig == SIGINT)
            ask_to_stop(l);
        if (sig != SIGHUP)
            continue;
        turn_read_rules(&l->turn);
        if (role_is_active(&l->role) && turn_unpark(&l->turn, &err) != 0)
            log_error("%s", err.text);
    }
}

/* Whether no ingest has sent or will send anything for a while. */
static bool is_quiet(struct loop *l)
{
    int64_t busy_us = l->turn.last_record_us;

    if (busy_us < l->stop_asked_us)
        busy_us = l->stop_asked_us;
    return receiver_all_gone(l->turn.receiver, l->now_us) || l->now_us - busy_us >= STOP_IDLE_US;
}

static bool is_done(struct loop *l)
{
    const struct outbox *outbox = l->turn.outbox;

    if (l->stop_by_us == 0)
        return false;
    if (is_leaving(l))
        return (outbox_in_flight(outbox) == 0 && !outbox_unsaved(outbox)) ||
               l->now_us - l->stop_asked_us >= LEAVE_US;
    if (l->now_us >= l->stop_by_us)
        return true;
    return is_quiet(l) && !receiver_pending(l->turn.receiver) &&
           turn_wake_us(&l->turn) > l->now_us + STOP_DUE_US &&
           !dispatch_is_busy(l->dispatch, l->now_us + STOP_DUE_US) && !outbox_unsaved(outbox);
}

static int64_t earlier(int64_t a_us, int64_t b_us)
{
    return a_us < b_us ? a_us : b_us;
}

/* On the turn's clock. */
static int64_t role_due_us(const struct loop *l)
{
    const int64_t boot_us = role_wake_us(&l->role);

    return boot_us == INT64_MAX ? boot_us : boot_us + l->turn.clock.offset_us;
}

static int64_t wake_us(struct loop *l)
{
    int64_t until_us = l->now_us + (l->stop_by_us != 0 ? 20 * TIME_MS : TIME_S);

    until_us = earlier(until_us, role_due_us(l));
    if (!role_is_active(&l->role))
        return until_us;
    if (l->turn.pause_until_us > l->now_us)
        return l->turn.pause_until_us;
    if (turn_is_pending(&l->turn))
        return l->now_us;
    until_us = earlier(until_us, dispatch_wake_us(l->dispatch));
    return earlier(until_us, turn_wake_us(&l->turn));
}

static int wait(struct loop *l, struct err *err)
{
    struct pollfd fds[FDS] = {{.fd = l->signals}};
    const int shared_fd = storage_fd(l->turn.storage);
    const int64_t until_us = wake_us(l);
    unsigned n = 1;

    if (shared_fd >= 0)
        fds[n++].fd = shared_fd;
    if (role_is_active(&l->role) && l->turn.pause_until_us == 0)
        fds[n++].fd = receiver_fd(l->turn.receiver);
    return dispatch_wait(l->dispatch, fds, n,
                         until_us <= l->now_us ? 0 : (int)((until_us - l->now_us + 999) / 1000),
                         err);
}

/* Takes a turn, posts the alerts that were decided, and acks. */
static int work(struct loop *l, struct err *err)
{
    enum turn_result result;
    int rc = dispatch_expire(l->dispatch, l->now_us, err);

    if (rc == 0 && is_leaving(l))
        return turn_save(&l->turn, l->now_us, &result, err);
    if (rc == 0)
        rc = turn_take(&l->turn, l->now_us, &result, err);
    if (rc == 0 && role_is_active(&l->role))
        rc = dispatch_send(l->dispatch, l->now_us, err);
    if (rc == 0)
        turn_end(&l->turn, result);
    return rc;
}

/* Collects replies, and works if it is this alerter that is active. */
static int step(struct loop *l, struct err *err)
{
    struct turn *t = &l->turn;
    const int64_t boot_us = l->now_us - t->clock.offset_us;
    int rc;

    dispatch_collect(l->dispatch, l->now_us);
    rc = role_tend(&l->role, boot_us, err);
    l->now_us = t->clock.offset_us + boot_us; /* an alerter that becomes active sets its clock */
    return rc == 0 && role_is_active(&l->role) ? work(l, err) : rc;
}

static void log_stopped(struct loop *l)
{
    struct err err;
    uint64_t n;

    if (outbox_undelivered(l->turn.outbox, &n, &err) != 0)
        log_error("%s", err.text);
    else if (n > 0 && turn_is_active(&l->turn))
        log_warning("%" PRIu64 " %s not delivered yet: kept in %s, and posted after the next start",
                    n, text_plural(n, "alert is", "alerts are"),
                    storage_is_shared(l->turn.storage) ? "the database" : l->settings->state_dir);
    log_info("stopped");
}

int loop_serve(struct loop *l, struct err *err)
{
    struct turn *t = &l->turn;
    int rc = 0;

    startup_log_notes(l->notes);
    if (turn_is_active(t))
        notices_begin(&l->notices, l->settings, t->fold.engine);
    while (rc == 0 && !is_done(l)) {
        rc = wait(l, err);
        l->now_us = clock_steady_us(&t->clock);
        if (rc == 0)
            rc = step(l, err);
        if (turn_is_active(t))
            notices_say(&l->notices, t->receiver, t->fold.engine, l->settings->queue, l->now_us);
        take_signals(l);
        if (rc == 0)
            rc = check_folder(l, err);
    }
    if (rc == 0) {
        storage_release(t->storage);
        log_stopped(l);
    }
    return rc;
}

int loop_open(const struct loop_options *options, struct loop **out, struct err *err)
{
    struct loop *l = calloc(1, sizeof *l);
    int rc;

    if (l == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    l->settings = options->settings;
    l->signals = options->signals;
    l->notes = options->notes;
    notices_init(&l->notices);
    rc = turn_open(&l->turn,
                   &(struct turn_options){.settings = l->settings,
                                          .notices = &l->notices,
                                          .rules_text = options->rules_text,
                                          .rules_len = options->rules_len},
                   err);
    if (rc == 0)
        rc = dispatch_open(l->settings, l->turn.storage, l->turn.outbox, &l->dispatch, err);
    if (rc != 0) {
        loop_close(l);
        return rc;
    }
    l->role = (struct role){.turn = &l->turn, .dispatch = l->dispatch, .notices = &l->notices};
    l->now_us = l->turn.now_us;
    *out = l;
    return 0;
}

void loop_close(struct loop *l)
{
    if (l == NULL)
        return;
    dispatch_close(l->dispatch);
    turn_close(&l->turn);
    notices_close(&l->notices);
    free(l);
}
