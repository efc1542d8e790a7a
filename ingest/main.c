/* drainwatch-ingest: takes deliveries, keeps what matched, hands it to the alerter. */
#include "common/clock.h"
#include "common/err.h"
#include "common/journal.h"
#include "common/log.h"
#include "common/process.h"
#include "common/startup.h"
#include "common/time.h"
#include "ingest/auth.h"
#include "ingest/courier.h"
#include "ingest/http.h"
#include "ingest/match.h"
#include "ingest/receipt.h"
#include "ingest/solo.h"

#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* A dyno gets 30 s from SIGTERM to SIGKILL. */
static const int64_t HAND_OVER_US = 25 * TIME_S;
static const int64_t CHILD_STOP_US = 28 * TIME_S;
static const int64_t SAY_AGAIN_US = TIME_MINUTE;
/* A journal that is nearly full has room for one delivery and not for the next, many times a
 * second.
 */
static const int64_t SETTLED_US = 5 * TIME_S;
/* What waits so long for an ack is said: an alerter out of reach must not look like peace. */
static const int64_t UNACKED_US = 30 * TIME_S;
/* Committing when the sockets run dry batches best; a stream that never does is cut off here. */
enum { ROUNDS_MAX = 8 };

static const struct startup_program program = {
    .name = "drainwatch-ingest",
    .summary = "takes Heroku log drain deliveries and hands what matches the rules to the alerter",
    .usage = "  drainwatch-ingest            serve\n",
};

/* Something that is wrong for a while: said at once, again each minute, and when it is over. */
struct trouble {
    bool now;
    bool said; /* and not yet that it is over */
    int64_t say_again_us;
    int64_t last_us; /* when it was last there */
};

struct ingest {
    struct startup_config config;
    struct match *match;
    struct auth *auth;
    struct journal *journal;
    struct courier *courier;
    struct http *http;
    struct solo solo;
    struct receipt receipt;
    int signals;
    int64_t started_us;
    int64_t look_us;    /* when the state folder is looked at again */
    int64_t stopped_us; /* when somebody asked us to stop */
    int64_t stop_by_us; /* 0: nobody did */
    struct trouble alerter_away;
    struct trouble journal_bad;
    char journal_error[sizeof(struct err)];
};

/* ---- what is said ---- */

/* True where it is to be said now that the trouble is there. */
static bool trouble_due(struct trouble *t, int64_t now_us)
{
    t->now = true;
    t->last_us = now_us;
    if (t->said && now_us < t->say_again_us)
        return false;
    t->said = true;
    t->say_again_us = now_us + SAY_AGAIN_US;
    return true;
}

/* True where it is to be said that the trouble is over, which it is after so long without it. */
static bool trouble_settled(struct trouble *t, int64_t quiet_us, int64_t now_us)
{
    if (!t->said || t->now || now_us - t->last_us < quiet_us)
        return false;
    t->said = false;
    return true;
}

static void say_receipt(char line[RECEIPT_SIZE])
{
    size_t n = strlen(line);

    line[n] = '\n';
    (void)process_write(STDOUT_FILENO, line, n + 1); /* nobody reads: nobody misses it */
    line[n] = '\0';
}

static void on_receipt(void *ctx, uint64_t lines)
{
    struct ingest *in = ctx;
    char line[RECEIPT_SIZE];

    if (receipt_add(&in->receipt, lines, clock_boot_us(), line))
        say_receipt(line);
}

static void say_receipts(struct ingest *in, int64_t now_us, bool all)
{
    char line[RECEIPT_SIZE];

    if (receipt_due(&in->receipt, now_us, all, line))
        say_receipt(line);
}

static void say_alerter(struct ingest *in, int64_t now_us)
{
    struct courier_health health;

    courier_health(in->courier, now_us, &health);
    if (health.ok && health.waiting_us < UNACKED_US) {
        in->alerter_away.now = false;
        if (trouble_settled(&in->alerter_away, 0, now_us))
            log_info("the alerter answers again");
        return;
    }
    /* At a common start the alerter may come a little later. */
    if (now_us - in->started_us < COURIER_SILENCE_US)
        return;
    if (trouble_due(&in->alerter_away, now_us)) {
        if (health.ok)
            log_error("%" PRIu64 " records wait for the alerter's ack, none came for %lld s",
                      health.waiting, (long long)(health.waiting_us / TIME_S));
        else
            log_error("%s; no alert is sent while this lasts", health.reason);
    }
}

static void journal_failed(struct ingest *in, int64_t now_us, const struct err *err)
{
    snprintf(in->journal_error, sizeof in->journal_error, "%s", err->text);
    if (trouble_due(&in->journal_bad, now_us))
        log_error("deliveries with matches are answered 503: %s", err->text);
}

static void journal_worked(struct ingest *in)
{
    in->journal_bad.now = false;
}

static void say_journal(struct ingest *in, int64_t now_us)
{
    if (trouble_settled(&in->journal_bad, SETTLED_US, now_us))
        log_info("the journal takes records again");
}

static bool is_healthy(void *ctx, char *reason, size_t size)
{
    struct ingest *in = ctx;
    struct courier_health health;

    courier_health(in->courier, clock_boot_us(), &health);
    if (in->auth == NULL)
        snprintf(reason, size, "deliveries are answered 501: the flag is off or no secret is set");
    else if (in->journal_bad.now)
        snprintf(reason, size, "%s", in->journal_error);
    else if (!health.ok)
        snprintf(reason, size, "%s", health.reason);
    else
        return true;
    return false;
}

/* ---- a turn ---- */

/* Appends all records of a delivery. False: it must be refused; *torn where some are in already. */
static bool append_delivery(struct ingest *in, const struct http_delivery *d, bool *torn,
                            struct err *err)
{
    for (size_t i = 0; i < d->n_records; i++) {
        struct wire_record record = d->records[i];

        if (courier_append(in->courier, &record, err) != 0) {
            *torn = i > 0;
            return false;
        }
    }
    return true;
}

/* Appends what is not refused yet. False: a delivery was torn, so the transaction has to be begun
 * again without it. */
static bool append_turn(struct ingest *in, struct http_delivery **turn, size_t n, struct err *err,
                        bool *failed)
{
    for (size_t i = 0; i < n; i++) {
        bool torn = false;

        if (!turn[i]->accepted || append_delivery(in, turn[i], &torn, err))
            continue;
        turn[i]->accepted = false;
        *failed = true;
        if (torn)
            return false;
    }
    return true;
}

static void undo_turn(struct ingest *in)
{
    journal_rollback(in->journal);
    courier_rollback(in->courier);
}

/* Journals a turn's deliveries in one transaction; each is then accepted or not. */
static void record_turn(struct ingest *in, struct http_delivery **turn, size_t n)
{
    struct err err;
    bool failed = false, whole = false;

    for (size_t i = 0; i < n; i++)
        turn[i]->accepted = true;
    while (!whole) {
        if (journal_begin(in->journal, &err) != 0)
            break;
        whole = append_turn(in, turn, n, &err, &failed);
        if (!whole)
            undo_turn(in);
    }
    if (!whole || courier_trim(in->courier, &err) != 0 || journal_commit(in->journal, &err) != 0) {
        undo_turn(in);
        for (size_t i = 0; i < n; i++)
            turn[i]->accepted = false;
        failed = true;
    }
    if (failed)
        journal_failed(in, clock_boot_us(), &err);
    else
        journal_worked(in);
}

static void take_deliveries(struct ingest *in)
{
    struct http_delivery **turn;
    size_t n;

    http_run(in->http, clock_wall_us());
    for (int round = 0; round < ROUNDS_MAX && (n = http_pending(in->http, &turn)) > 0; round++) {
        record_turn(in, turn, n);
        http_answer(in->http, clock_wall_us());
    }
}

/* Trims what is acked when no delivery came to do it along. It makes room, so it also finds out
 * whether a journal that could not be written can be again. */
static void trim_alone(struct ingest *in, int64_t now_us)
{
    struct err err;

    if (!courier_trim_due(in->courier, now_us))
        return;
    if (journal_begin(in->journal, &err) != 0 || courier_trim(in->courier, &err) != 0 ||
        journal_commit(in->journal, &err) != 0) {
        undo_turn(in);
        journal_failed(in, now_us, &err);
        return;
    }
    journal_worked(in);
    if (courier_push(in->courier, now_us, &err) != 0)
        journal_failed(in, now_us, &err);
}

static void speak_to_alerter(struct ingest *in, int64_t now_us)
{
    struct err err;

    if (courier_push(in->courier, now_us, &err) != 0 ||
        courier_receive(in->courier, now_us, &err) != 0 ||
        courier_timer(in->courier, now_us, &err) != 0)
        journal_failed(in, now_us, &err);
    trim_alone(in, now_us);
}

static int open_journal(struct ingest *in, struct err *err)
{
    const struct settings *s = &in->config.settings;
    char path[4096], set_aside[512];
    int rc;

    snprintf(path, sizeof path, "%s/ingest.db", s->state_dir);
    rc = journal_open(&(struct journal_options){.path = path,
                                                .sync_full = s->sync_full,
                                                .exclusive = true,
                                                .max_bytes = s->spool_max_bytes},
                      &in->journal, set_aside, err);
    if (rc == 0 && set_aside[0] != '\0')
        log_error("the journal was damaged and is set aside as %s; what it held is not delivered",
                  set_aside);
    return rc;
}

static int open_courier(struct ingest *in, struct err *err)
{
    const struct settings *s = &in->config.settings;
    const struct queue_options queue = {s->queue, s->secrets, s->n_secrets};

    return courier_open(&queue, in->journal, clock_boot_us(), &in->courier, err);
}

/* A journal that turned out to be damaged in mid-run is set aside at once: what it took from here
 * on would be answered 204 and be lost with it. */
static int replace_journal(struct ingest *in, struct err *err)
{
    int rc;

    courier_close(in->courier);
    in->courier = NULL;
    journal_close(in->journal);
    in->journal = NULL;
    rc = open_journal(in, err);
    return rc != 0 ? rc : open_courier(in, err);
}

static void begin_stopping(struct ingest *in, int64_t now_us)
{
    log_info("stopping: handing over what is here, for %lld s at most",
             (long long)(HAND_OVER_US / TIME_S));
    in->stopped_us = now_us;
    in->stop_by_us = now_us + HAND_OVER_US;
    http_stop(in->http);
}

static void take_signals(struct ingest *in, int64_t now_us)
{
    int sig;

    while ((sig = process_next_signal(in->signals)) != 0) {
        if (sig == SIGCHLD) {
            solo_child_died(&in->solo, now_us);
            continue;
        }
        if (sig != SIGHUP && in->stop_by_us == 0)
            begin_stopping(in, now_us);
        solo_signal(&in->solo, sig);
    }
}

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int wait_ms(struct ingest *in, int64_t now_us)
{
    int64_t until_us = now_us + TIME_S; /* troubles are looked at once a second */
    int http_ms = http_timeout_ms(in->http);

    if (courier_pending(in->courier) || http_ms == 0)
        return 0;
    if (http_ms > 0)
        until_us = earlier(until_us, now_us + http_ms * TIME_MS);
    until_us = earlier(until_us, courier_wake_us(in->courier));
    until_us = earlier(until_us, receipt_next_us(&in->receipt));
    until_us = earlier(until_us, in->solo.start_again_us);
    if (in->stop_by_us != 0)
        until_us = earlier(until_us, now_us + 20 * TIME_MS);
    return until_us <= now_us ? 0 : (int)((until_us - now_us + 999) / 1000);
}

static bool is_done(const struct ingest *in, int64_t now_us)
{
    if (in->stop_by_us == 0)
        return false;
    return now_us >= in->stop_by_us ||
           (http_open_requests(in->http) == 0 && courier_waiting(in->courier) == 0);
}

/* What would otherwise be answered 204 and be written where nobody can read it again. */
static int check_folder(struct ingest *in, int64_t now_us, struct err *err)
{
    if (now_us < in->look_us)
        return 0;
    in->look_us = now_us + TIME_S;
    return journal_is_gone(in->journal)
               ? err_set(
                     err, ERR_IO,
                     "%s was removed or replaced while in use; starting again is all that helps",
                     in->config.settings.state_dir)
               : 0;
}

static int serve(struct ingest *in, struct err *err)
{
    struct pollfd fds[] = {
        {.fd = http_fd(in->http), .events = POLLIN},
        {.fd = courier_fd(in->courier), .events = POLLIN},
        {.fd = in->signals, .events = POLLIN},
    };
    int64_t now_us = clock_boot_us();
    int rc = 0;

    in->started_us = now_us;
    while (rc == 0 && !is_done(in, now_us)) {
        if (poll(fds, sizeof fds / sizeof fds[0], wait_ms(in, now_us)) == 0)
            journal_rest(in->journal);
        take_deliveries(in);
        now_us = clock_boot_us();
        speak_to_alerter(in, now_us);
        say_receipts(in, now_us, false);
        say_alerter(in, now_us);
        say_journal(in, now_us);
        take_signals(in, now_us);
        if (in->config.settings.solo)
            solo_run(&in->solo, now_us);
        if (rc == 0)
            rc = check_folder(in, now_us, err);
        if (rc == 0 && journal_is_suspect(in->journal)) {
            rc = replace_journal(in, err);
            fds[1].fd = rc == 0 ? courier_fd(in->courier) : -1;
        }
    }
    return rc;
}

/* ---- start and end ---- */

static int open_auth(struct ingest *in)
{
    const struct settings *s = &in->config.settings;

    if (!s->enabled || s->n_secrets == 0)
        return 0;
    in->auth = auth_new();
    for (size_t i = 0; in->auth != NULL && i < s->n_secrets; i++) {
        if (!auth_add_secret(in->auth, s->secrets[i].bytes, s->secrets[i].len))
            return ERR_NOMEM;
    }
    return in->auth == NULL ? ERR_NOMEM : 0;
}

static const char *off_reason(const struct settings *s)
{
    return s->enabled ? "no secret is set (HEROKU_LOG_DRAIN_HMAC_SECRET)\n"
                      : "alerting is off (FLAG_CONSOLE_HEROKU_LOG_DRAIN_ALERTING)\n";
}

static int open_all(struct ingest *in, struct err *err)
{
    const struct settings *s = &in->config.settings;
    int rc;

    in->signals = process_signals(err);
    if (in->signals < 0)
        return in->signals;
    rc = process_make_folder(s->state_dir, err);
    if (rc == 0)
        rc = match_new(in->config.rules, &in->match, err);
    if (rc == 0 && (rc = open_auth(in)) != 0)
        err_set(err, rc, "out of memory");
    if (rc == 0)
        rc = open_journal(in, err);
    if (rc == 0)
        rc = open_courier(in, err);
    if (rc == 0)
        rc = http_open(&(struct http_options){.port = s->port,
                                              .max_body_bytes = s->max_body_bytes,
                                              .auth = in->auth,
                                              .off_reason = off_reason(s),
                                              .match = in->match,
                                              .on_receipt = on_receipt,
                                              .is_healthy = is_healthy,
                                              .ctx = in},
                       &in->http, err);
    if (rc == 0 && s->solo)
        rc = solo_start(&in->solo, clock_boot_us(), err);
    return rc;
}

static void close_all(struct ingest *in)
{
    http_close(in->http);
    courier_close(in->courier);
    journal_close(in->journal);
    auth_free(in->auth);
    match_free(in->match);
    if (in->signals >= 0)
        close(in->signals);
    startup_release(&in->config);
}

static void say_goodbye(struct ingest *in)
{
    uint64_t left = courier_waiting(in->courier);

    say_receipts(in, clock_boot_us(), true);
    courier_goodbye(in->courier);
    if (left > 0)
        log_warning("%" PRIu64 " records were not handed over; they stay in the journal for the "
                    "next start",
                    left);
    log_info("stopped");
}

static int run(struct ingest *in)
{
    struct err err;
    int rc;

    in->signals = -1;
    in->solo.start_again_us = INT64_MAX;
    rc = open_all(in, &err);
    if (rc != 0) {
        close_all(in);
        return startup_cannot(&program, rc, err.text);
    }
    log_info("listening on port %u; %zu rules for %s; queue %s", in->config.settings.port,
             in->config.rules->n, in->config.rules->app, in->config.settings.queue);
    rc = serve(in, &err);
    if (rc == 0)
        say_goodbye(in);
    else
        begin_stopping(in, clock_boot_us());
    http_close(in->http);
    courier_close(in->courier);
    in->http = NULL;
    in->courier = NULL;
    solo_stop(&in->solo, in->stopped_us + CHILD_STOP_US - clock_boot_us());
    close_all(in);
    return rc == 0 ? STARTUP_OK : startup_fail(&program, err.text);
}

int main(int argc, char **argv)
{
    static const char *const commands[] = {NULL};
    static struct ingest ingest;
    int exit_code;
    enum startup_verb verb = startup_arguments(&program, argc, argv, commands, &exit_code);

    if (verb == STARTUP_DONE)
        return exit_code;
    process_harden();
    log_open(program.name);
    exit_code = startup_configure(&program, false, &ingest.config);
    if (exit_code != STARTUP_OK)
        return exit_code;
    if (verb == STARTUP_CHECK) {
        startup_report(&program, &ingest.config);
        startup_release(&ingest.config);
        return STARTUP_OK;
    }
    return run(&ingest);
}
