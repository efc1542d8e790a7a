#include "ingest/loop.h"

#include "common/app/clock.h"
#include "common/app/log.h"
#include "common/app/process.h"
#include "common/base/time.h"
#include "common/queue/sender.h"
#include "common/storage/journal.h"
#include "ingest/http/auth.h"
#include "ingest/http/http.h"
#include "ingest/collect/rulebook.h"
#include "ingest/notices.h"
#include "ingest/reload.h"
#include "ingest/solo.h"

#include <inttypes.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

/* A dyno gets 30 s from SIGTERM to SIGKILL. */
static const int64_t HAND_OVER_US = 25 * TIME_S;
static const int64_t CHILD_STOP_US = 28 * TIME_S;
/* Committing when the sockets run dry batches best; a stream that never does is cut off here. */
enum { ROUNDS_MAX = 8 };

struct loop {
    const struct settings *settings;
    int signals;
    struct rulebook *book;
    struct reload reload;
    struct auth *auth;
    struct journal *journal;
    struct sender *sender;
    struct http *http;
    struct solo solo;
    struct notices notices;
    int64_t look_us;    /* when the state folder is looked at again */
    int64_t stopped_us; /* when somebody asked us to stop */
    int64_t stop_by_us; /* 0: nobody did */
};

/* ---- what http asks and tells ---- */

static void on_receipt(void *ctx, uint64_t lines)
{
    struct loop *d = ctx;

    notices_receipt(&d->notices, lines, clock_boot_us());
}

static void on_damage(void *ctx, const char *drain, uint64_t frames, bool body)
{
    struct loop *d = ctx;

    notices_damage(&d->notices, drain, frames, body, clock_boot_us());
}

static bool is_healthy(void *ctx, char *reason, size_t size)
{
    struct loop *d = ctx;
    const char *journal_fault = notices_journal_fault(&d->notices);
    struct sender_health health;

    sender_health(d->sender, clock_boot_us(), &health);
    if (d->auth == NULL)
        snprintf(reason, size, "deliveries are answered 501: the flag is off or no secret is set");
    else if (journal_fault != NULL)
        snprintf(reason, size, "%s", journal_fault);
    else if (!health.ok)
        snprintf(reason, size, "%s", health.reason);
    else
        return true;
    return false;
}

/* ---- a turn ---- */

/* Appends all records of a delivery. False: it must be refused; *torn where some are in already. */
static bool append_delivery(struct loop *d, const struct http_delivery *delivery, bool *torn,
                            struct err *err)
{
    for (size_t i = 0; i < delivery->n_records; i++) {
        struct wire_record record = delivery->records[i];

        if (sender_append(d->sender, &record, err) != 0) {
            *torn = i > 0;
            return false;
        }
    }
    return true;
}

/* Appends what is not refused yet. False: a delivery was torn, so the transaction has to be begun
 * again without it. */
static bool append_turn(struct loop *d, struct http_delivery **turn, size_t n, struct err *err,
                        bool *failed)
{
    for (size_t i = 0; i < n; i++) {
        bool torn = false;

        if (!turn[i]->accepted || append_delivery(d, turn[i], &torn, err))
            continue;
        turn[i]->accepted = false;
        *failed = true;
        if (torn)
            return false;
    }
    return true;
}

static void undo_turn(struct loop *d)
{
    journal_rollback(d->journal);
    sender_rollback(d->sender);
}

/* Journals a turn's deliveries in one transaction; each is then accepted or not. */
static void record_turn(struct loop *d, struct http_delivery **turn, size_t n)
{
    struct err err;
    bool failed = false, whole = false;

    for (size_t i = 0; i < n; i++)
        turn[i]->accepted = true;
    while (!whole) {
        if (journal_begin(d->journal, &err) != 0)
            break;
        whole = append_turn(d, turn, n, &err, &failed);
        if (!whole)
            undo_turn(d);
    }
    if (!whole || sender_trim(d->sender, &err) != 0 || journal_commit(d->journal, &err) != 0) {
        undo_turn(d);
        for (size_t i = 0; i < n; i++)
            turn[i]->accepted = false;
        failed = true;
    }
    if (failed)
        notices_journal_failed(&d->notices, &err, clock_boot_us());
    else
        notices_journal_worked(&d->notices);
}

static void push_records(struct loop *d, int64_t now_us)
{
    struct err err;

    if (sender_push(d->sender, now_us, &err) != 0)
        notices_journal_failed(&d->notices, &err, now_us);
}

/* What was recorded first goes out before its clients are answered: an alert waits for nobody. What
 * else comes meanwhile goes out together, since each message wakes ZeroMQ's thread. */
static void take_deliveries(struct loop *d)
{
    struct http_delivery **turn;
    size_t n;

    http_run(d->http, clock_wall_us());
    for (int round = 0; round < ROUNDS_MAX && (n = http_pending(d->http, &turn)) > 0; round++) {
        record_turn(d, turn, n);
        if (round == 0)
            push_records(d, clock_boot_us());
        http_answer(d->http, clock_wall_us());
    }
}

/* Trims what is acked when no delivery came to do it along. It makes room, so it also finds out
 * whether a journal that could not be written can be again. */
static void trim_alone(struct loop *d, int64_t now_us)
{
    struct err err;

    if (!sender_trim_due(d->sender, now_us))
        return;
    if (journal_begin(d->journal, &err) != 0 || sender_trim(d->sender, &err) != 0 ||
        journal_commit(d->journal, &err) != 0) {
        undo_turn(d);
        notices_journal_failed(&d->notices, &err, now_us);
        return;
    }
    notices_journal_worked(&d->notices);
    push_records(d, now_us);
}

static void speak_to_alerter(struct loop *d, int64_t now_us)
{
    struct sender_health health;
    struct err err;

    if (sender_push(d->sender, now_us, &err) != 0 || sender_receive(d->sender, now_us, &err) != 0 ||
        sender_timer(d->sender, now_us, &err) != 0)
        notices_journal_failed(&d->notices, &err, now_us);
    trim_alone(d, now_us);
    sender_health(d->sender, now_us, &health);
    notices_alerter(&d->notices, &health, now_us);
}

/* ---- rules ---- */

static void take_rules(struct loop *d)
{
    struct rulebook *book = reload_take(&d->reload);
    char what[512];

    if (book == NULL)
        return;
    http_set_book(d->http, book);
    rulebook_release(d->book);
    d->book = book;
    snprintf(what, sizeof what, "%s was read anew", d->settings->rules_path);
    notices_rules(what, rulebook_rules(d->book), d->settings->queue);
    malloc_trim(0); /* see loop_serve */
}

/* ---- the loop ---- */

static void begin_stopping(struct loop *d, int64_t now_us)
{
    log_info("stopping: handing over what is here, for %lld s at most",
             (long long)(HAND_OVER_US / TIME_S));
    d->stopped_us = now_us;
    d->stop_by_us = now_us + HAND_OVER_US;
    http_stop(d->http);
}

/* The alerter of a solo run hears of new rules first: what one of them matches must not come to it
 * before it knows them. */
static void take_signals(struct loop *d, int64_t now_us)
{
    int sig;

    while ((sig = process_next_signal(d->signals)) != 0) {
        if (sig == SIGCHLD) {
            solo_child_died(&d->solo, now_us);
            continue;
        }
        if (sig != SIGHUP && d->stop_by_us == 0)
            begin_stopping(d, now_us);
        solo_signal(&d->solo, sig);
        if (sig == SIGHUP)
            reload_begin(&d->reload);
    }
}

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int wait_ms(struct loop *d, int64_t now_us)
{
    int64_t until_us = now_us + TIME_S; /* notices are looked at once a second */
    int http_ms = http_timeout_ms(d->http);

    if (sender_pending(d->sender) || http_ms == 0)
        return 0;
    if (http_ms > 0)
        until_us = earlier(until_us, now_us + http_ms * TIME_MS);
    until_us = earlier(until_us, sender_wake_us(d->sender));
    until_us = earlier(until_us, notices_next_us(&d->notices));
    until_us = earlier(until_us, d->solo.start_again_us);
    if (d->stop_by_us != 0)
        until_us = earlier(until_us, now_us + 20 * TIME_MS);
    return until_us <= now_us ? 0 : (int)((until_us - now_us + 999) / 1000);
}

static bool is_done(const struct loop *d, int64_t now_us)
{
    if (d->stop_by_us == 0)
        return false;
    return now_us >= d->stop_by_us ||
           (http_open_requests(d->http) == 0 && sender_waiting(d->sender) == 0);
}

/* What would otherwise be answered 204 and be written where nobody can read it again. */
static int check_folder(struct loop *d, int64_t now_us, struct err *err)
{
    if (now_us < d->look_us)
        return 0;
    d->look_us = now_us + TIME_S;
    return journal_is_gone(d->journal)
               ? err_set(
                     err, ERR_IO,
                     "%s was removed or replaced while in use; starting again is all that helps",
                     d->settings->state_dir)
               : 0;
}

static int open_journal(struct loop *d, struct err *err)
{
    char path[4096], set_aside[512];
    int rc;

    snprintf(path, sizeof path, "%s/ingest.db", d->settings->state_dir);
    rc = journal_open(&(struct journal_options){.path = path,
                                                .sync_full = d->settings->sync_full,
                                                .exclusive = true,
                                                .max_bytes = d->settings->spool_max_bytes},
                      &d->journal, set_aside, err);
    if (rc == 0 && set_aside[0] != '\0')
        log_error("the journal was damaged and is set aside as %s; what it held is not delivered",
                  set_aside);
    return rc;
}

static int open_courier(struct loop *d, struct err *err)
{
    const struct settings *s = d->settings;
    const struct queue_options queue = {s->queue, s->secrets, s->n_secrets};

    return sender_open(&queue, d->journal, clock_boot_us(), &d->sender, err);
}

/* A journal that turned out to be damaged in mid-run is set aside at once: what it took from here
 * on would be answered 204 and be lost with it. */
static int replace_journal(struct loop *d, struct err *err)
{
    int rc;

    sender_close(d->sender);
    d->sender = NULL;
    journal_close(d->journal);
    d->journal = NULL;
    rc = open_journal(d, err);
    return rc != 0 ? rc : open_courier(d, err);
}

static int run(struct loop *d, struct err *err)
{
    struct pollfd fds[] = {
        {.fd = http_fd(d->http), .events = POLLIN},
        {.fd = sender_fd(d->sender), .events = POLLIN},
        {.fd = d->signals, .events = POLLIN},
        {.fd = reload_fd(&d->reload), .events = POLLIN},
    };
    int64_t now_us = clock_boot_us();
    int rc = 0;

    d->notices.started_us = now_us;
    while (rc == 0 && !is_done(d, now_us)) {
        int ms = wait_ms(d, now_us);

        /* Where it is 0 somebody may wait: for an answer that is ready to be sent. */
        if (poll(fds, sizeof fds / sizeof fds[0], ms) == 0 && ms > 0)
            journal_rest(d->journal);
        take_deliveries(d);
        now_us = clock_boot_us();
        speak_to_alerter(d, now_us);
        journal_settle(d->journal);
        notices_sums(&d->notices, now_us, false);
        notices_journal(&d->notices, now_us);
        take_signals(d, now_us);
        take_rules(d);
        if (d->settings->solo)
            solo_run(&d->solo, now_us);
        rc = check_folder(d, now_us, err);
        if (rc == 0 && journal_is_suspect(d->journal)) {
            rc = replace_journal(d, err);
            fds[1].fd = rc == 0 ? sender_fd(d->sender) : -1;
        }
    }
    return rc;
}

static void say_goodbye(struct loop *d)
{
    uint64_t left = sender_waiting(d->sender);

    notices_sums(&d->notices, clock_boot_us(), true);
    sender_goodbye(d->sender);
    if (left > 0)
        log_warning("%" PRIu64 " records were not handed over; they stay in the journal for the "
                    "next start",
                    left);
    log_info("stopped");
}

int loop_serve(struct loop *d, struct err *err)
{
    char what[48];
    int rc;

    snprintf(what, sizeof what, "listening on port %u", d->settings->port);
    notices_rules(what, rulebook_rules(d->book), d->settings->queue);
    /* Hyperscan's compiler leaves free memory behind: 1.5 of 3.8 MB with 2 rules, 3.3 of 9.3 with
     * 200. */
    malloc_trim(0);
    rc = run(d, err);
    if (rc == 0)
        say_goodbye(d);
    else
        begin_stopping(d, clock_boot_us());
    /* The alerter that we started is to hear that nothing more comes before it is waited for. */
    http_close(d->http);
    sender_close(d->sender);
    d->http = NULL;
    d->sender = NULL;
    solo_stop(&d->solo, d->stopped_us + CHILD_STOP_US - clock_boot_us());
    return rc;
}

/* ---- start and end ---- */

static int open_auth(struct loop *d, struct err *err)
{
    const struct settings *s = d->settings;
    bool ok = true;

    if (!s->enabled || s->n_secrets == 0)
        return 0;
    d->auth = auth_new();
    for (size_t i = 0; d->auth != NULL && ok && i < s->n_secrets; i++)
        ok = auth_add_secret(d->auth, s->secrets[i].bytes, s->secrets[i].len);
    return d->auth != NULL && ok ? 0 : err_set(err, ERR_NOMEM, "out of memory");
}

static const char *off_reason(const struct settings *s)
{
    return s->enabled ? "no secret is set (HEROKU_LOG_DRAIN_HMAC_SECRET)\n"
                      : "alerting is off (FLAG_CONSOLE_HEROKU_LOG_DRAIN_ALERTING)\n";
}

static int open_http(struct loop *d, struct err *err)
{
    return http_open(&(struct http_options){.port = d->settings->port,
                                            .max_body_bytes = d->settings->max_body_bytes,
                                            .auth = d->auth,
                                            .off_reason = off_reason(d->settings),
                                            .book = d->book,
                                            .on_receipt = on_receipt,
                                            .on_damage = on_damage,
                                            .is_healthy = is_healthy,
                                            .ctx = d},
                     &d->http, err);
}

int loop_open(const struct loop_options *options, struct loop **out, struct err *err)
{
    struct loop *d = calloc(1, sizeof *d);
    int rc;

    if (d == NULL) {
        rules_free(options->rules);
        return err_set(err, ERR_NOMEM, "out of memory");
    }
    d->settings = options->settings;
    d->signals = options->signals;
    d->solo.start_again_us = INT64_MAX;
    reload_init(&d->reload);
    rc = rulebook_new(options->rules, &d->book, err);
    if (rc == 0)
        rc = reload_open(&d->reload, d->settings->rules_path, err);
    if (rc == 0)
        rc = open_auth(d, err);
    if (rc == 0)
        rc = open_journal(d, err);
    if (rc == 0)
        rc = open_courier(d, err);
    if (rc == 0)
        rc = open_http(d, err);
    if (rc == 0 && d->settings->solo)
        rc = solo_start(&d->solo, clock_boot_us(), err);
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
    http_close(d->http);
    sender_close(d->sender);
    journal_close(d->journal);
    auth_free(d->auth);
    reload_close(&d->reload);
    rulebook_release(d->book);
    free(d);
}
