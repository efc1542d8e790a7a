/* Ingest's loop: takes deliveries, records them, sends and answers; called by main. */
#include "ingest/loop.h"

#include "common/app/clock.h"
#include "common/app/log.h"
#include "common/app/process.h"
#include "common/app/startup.h"
#include "common/base/text.h"
#include "common/base/time.h"
#include "ingest/collect/rulebook.h"
#include "ingest/http/auth.h"
#include "ingest/http/server.h"
#include "ingest/notices.h"
#include "ingest/reload.h"
#include "ingest/sibling.h"
#include "ingest/solo.h"
#include "ingest/spool.h"
#include "ingest/takeover.h"

#include <inttypes.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A dyno gets 30 s from SIGTERM to SIGKILL. */
static const int64_t HAND_OVER_US = 25 * TIME_S;
static const int64_t CHILD_STOP_US = 28 * TIME_S;
/* libcurl, which hands records over by then, has no descriptor in our poll. */
static const int64_t STOPPING_STEP_US = 5 * TIME_MS;
/* Under load more deliveries have come when the first ones are answered. The same turn takes them:
 * that saves 3 % of a delivery with a match. */
enum { ROUNDS_MAX = 8 };

struct loop {
    const struct settings *settings;
    const struct buf *notes;
    int signals;
    struct rulebook *book;
    struct reload reload;
    struct auth *auth;
    struct spool spool;
    struct server *server;
    struct takeover takeover;
    struct sibling sibling;
    struct solo solo;
    struct notices notices;
    int64_t stopped_us; /* when somebody asked us to stop */
    int64_t stop_by_us; /* 0: nobody did */
};

/* Called by the server for anybody who asks, so no reason holds an address or a folder. */
static bool is_healthy(void *ctx, char *reason, size_t size)
{
    struct loop *l = ctx;
    struct sender_health health;

    if (l->auth == NULL) {
        snprintf(reason, size, "deliveries are answered 501: the flag is off or no secret is set");
        return false;
    }
    if (!notices_is_healthy(&l->notices, reason, size))
        return false;
    spool_health(&l->spool, clock_boot_us(), &health);
    snprintf(reason, size, "%s", health.ok ? health.trouble : health.reason);
    return reason[0] == '\0';
}

static bool has_database(const struct loop *l)
{
    return l->settings->database_url != NULL;
}

/* Records that went into the database by another ingest's hand would be read by nobody if the queue
 * carried them. */
static bool carries_by_database(const struct loop *l)
{
    return has_database(l) && l->settings->queue == NULL;
}

static enum request_kept kept(void *ctx, const struct request *r)
{
    return spool_kept(ctx, r, clock_boot_us());
}

/* ---- a turn ---- */

static void push_records(struct loop *l)
{
    int64_t now_us = clock_boot_us();
    struct err err;

    notices_send(&l->notices, spool_push(&l->spool, now_us, &err) == 0 ? NULL : &err, now_us);
}

/* Records are sent before their deliveries are answered, so that an alert waits for nobody. */
static void record_deliveries(struct loop *l, struct request *waiting)
{
    struct err err;
    int rc = spool_record(&l->spool, waiting, clock_boot_us(), &err);

    notices_write(&l->notices, rc == 0 ? NULL : &err, clock_boot_us());
    push_records(l);
    server_answer(l->server, clock_wall_us());
}

static void take_deliveries(struct loop *l)
{
    struct request *waiting;

    server_run(l->server, clock_wall_us());
    for (int i = 0; i < ROUNDS_MAX; i++) {
        waiting = requests_waiting(server_requests(l->server));
        if (waiting == NULL)
            return;
        record_deliveries(l, waiting);
    }
}

/* A delivery's transaction also trims. Without deliveries acked records would stay in the journal,
 * so this trims alone. */
static void trim_journal(struct loop *l, int64_t now_us)
{
    struct err err;

    if (!spool_trim_due(&l->spool, now_us))
        return;
    notices_write(&l->notices, spool_record(&l->spool, NULL, now_us, &err) == 0 ? NULL : &err,
                  now_us);
    push_records(l);
}

static void speak_to_alerter(struct loop *l, int64_t now_us)
{
    struct err err;

    notices_send(&l->notices, spool_exchange(&l->spool, now_us, &err) == 0 ? NULL : &err, now_us);
    server_answer_held(l->server, clock_wall_us());
    trim_journal(l, now_us);
}

static void take_over(struct loop *l, int64_t now_us)
{
    struct handovers *handovers = server_handovers(l->server);

    if (handovers != NULL && takeover_run(&l->takeover, handovers, now_us))
        server_run(l->server, clock_wall_us());
}

static void set_alone(struct loop *l, const struct sender_health *health, int64_t now_us)
{
    struct spool_alone alone = spool_alone(&l->spool, now_us);

    notices_set_alone(&l->notices, alone.records, alone.since_us, health, now_us);
}

static void say_notices(struct loop *l, int64_t now_us)
{
    struct sender_health health;

    spool_health(&l->spool, now_us, &health);
    if (has_database(l))
        set_alone(l, &health, now_us);
    notices_say(&l->notices, &health, now_us);
}

static void take_rules(struct loop *l)
{
    struct rulebook *book = reload_take(&l->reload);
    char event[512];

    if (book == NULL)
        return;
    requests_set_book(server_requests(l->server), book);
    rulebook_release(l->book);
    l->book = book;
    snprintf(event, sizeof event, "%s was read again", l->settings->rules_path);
    notices_rules(event, rulebook_rules(l->book), settings_queue_text(l->settings));
    malloc_trim(0); /* as after the start */
}

static void begin_stopping(struct loop *l, int64_t now_us)
{
    log_info("stopping: handing over what is here, for %" PRId64 " s at most",
             HAND_OVER_US / TIME_S);
    l->stopped_us = now_us;
    l->stop_by_us = now_us + HAND_OVER_US;
    server_stop(l->server);
    if (carries_by_database(l) && l->settings->public_url != NULL && l->auth != NULL)
        sibling_begin(&l->sibling, l->settings, &l->spool, l->auth, now_us);
    if (carries_by_database(l))
        spool_ask(&l->spool, now_us);
}

/* The alerter of a solo run gets new rules first: a match of a new rule must not reach it before it
 * knows that rule. */
static void take_signals(struct loop *l, int64_t now_us)
{
    int sig;

    while ((sig = process_next_signal(l->signals)) != 0) {
        if (sig == SIGCHLD) {
            solo_child_died(&l->solo, now_us);
            continue;
        }
        if (sig != SIGHUP && l->stop_by_us == 0)
            begin_stopping(l, now_us);
        solo_signal(&l->solo, sig);
        if (sig == SIGHUP)
            reload_begin(&l->reload);
    }
}

static int turn(struct loop *l, struct err *err)
{
    int64_t now_us;

    take_deliveries(l);
    now_us = clock_boot_us();
    speak_to_alerter(l, now_us);
    sibling_run(&l->sibling, now_us);
    take_over(l, now_us);
    spool_maintain(&l->spool, false);
    say_notices(l, now_us);
    take_signals(l, now_us);
    take_rules(l);
    if (l->settings->solo)
        solo_run(&l->solo, now_us);
    return spool_check(&l->spool, now_us, err);
}

/* ---- the loop ---- */

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t hold_ends_us(const struct loop *l)
{
    const struct request *held = requests_held(server_requests(l->server));

    return held == NULL ? INT64_MAX : request_place(held)->at_us + HOLD_US;
}

static int wait_ms(struct loop *l, int64_t now_us)
{
    int64_t until_us = now_us + TIME_S; /* notices are looked at once a second */
    int server_ms = server_timeout_ms(l->server);

    if (spool_pending(&l->spool) || server_ms == 0)
        return 0;
    if (server_ms > 0)
        until_us = earlier(until_us, now_us + server_ms * TIME_MS);
    until_us = earlier(until_us, spool_wake_us(&l->spool));
    until_us = earlier(until_us, hold_ends_us(l));
    until_us = earlier(until_us, notices_next_us(&l->notices));
    until_us = earlier(until_us, l->solo.start_again_us);
    if (l->stop_by_us != 0)
        until_us = earlier(until_us, now_us + STOPPING_STEP_US);
    return until_us <= now_us ? 0 : (int)((until_us - now_us + 999) / 1000);
}

static void wait_for_events(struct loop *l)
{
    struct pollfd fds[] = {
        {.fd = server_fd(l->server), .events = POLLIN},
        {.fd = spool_fd(&l->spool, BACKLOG_QUICK), .events = POLLIN},
        {.fd = spool_fd(&l->spool, BACKLOG_BULK), .events = POLLIN},
        {.fd = l->signals, .events = POLLIN},
        {.fd = reload_fd(&l->reload), .events = POLLIN},
        {.fd = takeover_fd(&l->takeover), .events = POLLIN},
    };
    int ms = wait_ms(l, clock_boot_us());

    /* With a wait of 0 a client may be waiting for an answer that is ready. */
    if (poll(fds, sizeof fds / sizeof fds[0], ms) == 0 && ms > 0)
        spool_maintain(&l->spool, true);
}

static bool is_idle(const struct loop *l)
{
    const struct handovers *handovers = server_handovers(l->server);

    return requests_open(server_requests(l->server)) == 0 && spool_waiting(&l->spool) == 0 &&
           (handovers == NULL || handovers_open(handovers) == 0);
}

/* A database may have lost commits since its last answer, and this disk may vanish. */
static bool is_sure(const struct loop *l)
{
    return !carries_by_database(l) || spool_is_sure(&l->spool, l->stopped_us);
}

static bool is_done(const struct loop *l)
{
    int64_t now_us = clock_boot_us();

    return l->stop_by_us != 0 &&
           (now_us >= l->stop_by_us ||
            (is_idle(l) && is_sure(l) && !sibling_is_needed(&l->sibling, now_us)));
}

static void say_end(const struct sibling *s, uint64_t left)
{
    char handed[96] = "", why[SIBLING_WHY_SIZE + 64] = "";

    if (s->handed > 0)
        snprintf(handed, sizeof handed, "%" PRIu64 " %s handed to the next ingest, ", s->handed,
                 text_plural(s->handed, "record was", "records were"));
    if (s->why[0] != '\0')
        snprintf(why, sizeof why, " (the next ingest did not take them: %s)", s->why);
    if (left > 0)
        log_warning("%s%" PRIu64 " %s not handed over: kept in the journal for the next start%s",
                    handed, left, text_plural(left, "record was", "records were"), why);
    else if (s->handed > 0)
        log_info("%snone is left here", handed);
}

static void say_goodbye(struct loop *l)
{
    uint64_t left = spool_waiting(&l->spool);
    struct err err;

    if (!is_sure(l))
        log_warning(
            "acked records of the last 10 minutes are kept in the journal for the next start, "
            "because the database did not say whether it still has them");
    if (carries_by_database(l)) /* the next start then knows which records still wait */
        (void)spool_record(&l->spool, NULL, clock_boot_us(), &err);
    notices_flush(&l->notices, clock_boot_us());
    spool_goodbye(&l->spool);
    say_end(&l->sibling, left);
    log_info("stopped");
}

static void close_connections(struct loop *l)
{
    sibling_close(&l->sibling);
    takeover_close(&l->takeover);
    server_close(l->server);
    l->server = NULL;
    spool_close(&l->spool);
}

int loop_serve(struct loop *l, struct err *err)
{
    const char *address = l->settings->bind_address;
    char event[96];
    int rc = 0;

    snprintf(event, sizeof event, "listening on port %u%s%s", l->settings->port,
             address == NULL ? "" : " of ", address == NULL ? "" : address);
    notices_rules(event, rulebook_rules(l->book), settings_queue_text(l->settings));
    startup_log_notes(l->notes);
    /* Hyperscan's compiler leaves free memory behind: 1.5 of 3.8 MB with 2 rules, 3.3 of 9.3 with
     * 200. */
    malloc_trim(0);
    while (rc == 0 && !is_done(l)) {
        wait_for_events(l);
        rc = turn(l, err);
    }
    if (rc == 0)
        say_goodbye(l);
    else
        begin_stopping(l, clock_boot_us());
    /* The alerter that we started must hear that nothing more comes before we wait for its end. */
    close_connections(l);
    solo_stop(&l->solo, l->stopped_us + CHILD_STOP_US - clock_boot_us());
    return rc;
}

/* ---- start and end ---- */

static int open_auth(struct loop *l, struct err *err)
{
    const struct settings *s = l->settings;
    bool ok = true;

    if (!s->enabled || s->n_secrets == 0)
        return 0;
    l->auth = auth_new();
    for (size_t i = 0; l->auth != NULL && ok && i < s->n_secrets; i++)
        ok = auth_add_secret(l->auth, s->secrets[i].bytes, s->secrets[i].len);
    return l->auth != NULL && ok ? 0 : err_set(err, ERR_NOMEM, "out of memory");
}

static const char *off_reason(const struct settings *s)
{
    return s->enabled ? "no secret is set (HEROKU_LOG_DRAIN_HMAC_SECRET)"
                      : "alerting is off (FLAG_CONSOLE_HEROKU_LOG_DRAIN_ALERTING)";
}

static int open_server(struct loop *l, struct err *err)
{
    return server_open(
        &(struct server_options){.port = l->settings->port,
                                 .address = l->settings->bind_address,
                                 .deliveries = {.max_body_bytes = l->settings->max_body_bytes,
                                                .clock_us = clock_boot_us,
                                                .auth = l->auth,
                                                .off_reason = off_reason(l->settings),
                                                .book = l->book,
                                                .on_receipt = notices_receipt,
                                                .on_damage = notices_damage,
                                                .kept = has_database(l) ? kept : NULL,
                                                .kept_ctx = &l->spool,
                                                .ctx = &l->notices},
                                 .takes_handovers = carries_by_database(l),
                                 .is_healthy = is_healthy,
                                 .ctx = l},
        &l->server, err);
}

static int open_all(struct loop *l, const struct rules *rules, struct err *err)
{
    int rc = rulebook_new(rules, &l->book, err);

    if (rc == 0)
        rc = reload_open(&l->reload, l->settings->rules_path, err);
    if (rc == 0)
        rc = open_auth(l, err);
    if (rc == 0)
        rc = spool_open(&l->spool, l->settings, clock_boot_us(), err);
    if (rc == 0)
        rc = open_server(l, err);
    if (rc == 0 && l->settings->solo)
        rc = solo_start(&l->solo, l->settings, clock_boot_us(), err);
    return rc;
}

int loop_open(const struct loop_options *options, struct loop **out, struct err *err)
{
    struct loop *l = calloc(1, sizeof *l);
    int rc;

    if (l == NULL) {
        rules_free(options->rules);
        return err_set(err, ERR_NOMEM, "out of memory");
    }
    l->settings = options->settings;
    l->signals = options->signals;
    l->notes = options->notes;
    l->solo.start_again_us = INT64_MAX;
    takeover_init(&l->takeover, l->settings);
    reload_init(&l->reload);
    notices_init(&l->notices, l->settings->state_dir, clock_boot_us());
    rc = open_all(l, options->rules, err);
    if (rc != 0) {
        loop_close(l);
        return rc;
    }
    *out = l;
    return 0;
}

void loop_close(struct loop *l)
{
    if (l == NULL)
        return;
    close_connections(l);
    auth_free(l->auth);
    reload_close(&l->reload);
    rulebook_release(l->book);
    free(l);
}
