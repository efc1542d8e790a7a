#include "alerter/deliver/dispatch.h"

#include "alerter/deliver/http_client.h"
#include "alerter/deliver/slack.h"
#include "common/app/log.h"
#include "common/app/process.h"
#include "common/base/buf.h"
#include "common/base/time.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FDS_MAX = 4 };
static const int64_t PRINT_AGAIN_US = 5 * TIME_S;

/* A message that is being posted. */
struct flight {
    int64_t row; /* 0: this one is free */
    char id[WIRE_ID_SIZE];
    char rule[128];
    char channel[128];
    struct retry_facts facts;
};

struct dispatch {
    struct outbox *outbox;
    struct http_client *http_client; /* NULL: no token, or switched off */
    bool print;
    struct flight flights[HTTP_CLIENT_SLOTS];
    struct buf text;
    int64_t say_unprinted_us;
    int64_t now_us; /* of the call in hand */
    struct err *err;
};

int dispatch_open(const struct settings *settings, struct outbox *outbox, struct dispatch **out,
                  struct err *err)
{
    struct dispatch *d = calloc(1, sizeof *d);
    int rc = 0;

    if (d == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    d->outbox = outbox;
    buf_init(&d->text, SLACK_BODY_MAX > SLACK_PRINT_MAX ? SLACK_BODY_MAX : SLACK_PRINT_MAX);
    d->print = settings->enabled && settings->slack_token == NULL;
    if (settings->enabled && settings->slack_token != NULL)
        rc = http_client_new(&(struct http_client_settings){.api_url = settings->slack_api_url,
                                                            .token = settings->slack_token,
                                                            .version = DRAINWATCH_VERSION},
                             &d->http_client, err);
    if (rc != 0) {
        dispatch_close(d);
        return rc;
    }
    *out = d;
    return 0;
}

void dispatch_close(struct dispatch *d)
{
    if (d == NULL)
        return;
    http_client_free(d->http_client);
    buf_close(&d->text);
    free(d);
}

int dispatch_wait(struct dispatch *d, struct pollfd *fds, unsigned n, int timeout_ms,
                  struct err *err)
{
    struct curl_waitfd extra[FDS_MAX];

    assert(n <= FDS_MAX);
    if (d->http_client == NULL) {
        if (poll(fds, n, timeout_ms) < 0 && errno != EINTR)
            return err_set(err, ERR_IO, "poll: %s", strerror(errno));
        return 0;
    }
    for (unsigned i = 0; i < n; i++)
        extra[i] = (struct curl_waitfd){.fd = fds[i].fd, .events = CURL_WAIT_POLLIN};
    return http_client_poll(d->http_client, extra, n, timeout_ms, err);
}

/* ---- what came back ---- */

static struct flight *find_flight(struct dispatch *d, int64_t row)
{
    for (size_t i = 0; i < HTTP_CLIENT_SLOTS; i++) {
        if (d->flights[i].row == row)
            return &d->flights[i];
    }
    return NULL;
}

static void say_verdict(const struct flight *f, const struct slack_verdict *v, int64_t again_us)
{
    const char *colon = v->remedy[0] != '\0' ? ": " : "";

    if (v->outcome == SLACK_DELIVERED)
        log_info("alert %s (%s) was delivered to %s", f->id, f->rule, f->channel);
    else if (v->outcome == SLACK_AGAIN)
        log_warning("alert %s (%s) to %s: Slack: %s%s%s; try %d failed, the next is in %.1f s",
                    f->id, f->rule, f->channel, v->reason, colon, v->remedy, f->facts.tries,
                    (double)again_us / (double)TIME_S);
    else
        log_error("alert %s (%s) to %s is NOT delivered: Slack: %s%s%s; it is kept, and tried "
                  "again after a restart or SIGHUP",
                  f->id, f->rule, f->channel, v->reason, colon, v->remedy);
}

static int take_answer(struct dispatch *d, const struct http_client_result *r, struct err *err)
{
    static const enum outbox_state states[] = {
        [SLACK_DELIVERED] = OUTBOX_DELIVERED,
        [SLACK_AGAIN] = OUTBOX_WAITING,
        [SLACK_FAILED] = OUTBOX_FAILED,
    };
    struct flight *f = find_flight(d, r->row_id);
    struct slack_verdict verdict;
    int64_t again_us;
    int rc;

    assert(f != NULL);
    f->facts.tries++;
    slack_answer(&(struct slack_reply){.error = r->error,
                                       .status = r->status,
                                       .retry_after_s = r->retry_after_s,
                                       .body = r->body,
                                       .body_len = r->body_len,
                                       .tries = f->facts.tries},
                 &verdict);
    f->facts.last_try_us = d->now_us;
    f->facts.retry_after_us = verdict.retry_after_us;
    again_us = retry_delay_us(&f->facts);
    rc = outbox_mark(d->outbox, f->row,
                     &(struct outbox_mark){.state = states[verdict.outcome],
                                           .now_us = d->now_us,
                                           .retry_after_us = verdict.retry_after_us,
                                           .next_try_us = d->now_us + again_us,
                                           .answer = verdict.reason},
                     err);
    say_verdict(f, &verdict, again_us);
    f->row = 0;
    return rc;
}

int dispatch_collect(struct dispatch *d, int64_t now_us, struct err *err)
{
    struct http_client_result result;
    int rc = 0;

    d->now_us = now_us;
    while (rc == 0 && d->http_client != NULL && http_client_done(d->http_client, &result))
        rc = take_answer(d, &result, err);
    return rc;
}

/* ---- what is due ---- */

static int mark(struct dispatch *d, int64_t row, enum outbox_state state, const char *answer)
{
    return outbox_mark(d->outbox, row,
                       &(struct outbox_mark){.state = state, .now_us = d->now_us, .answer = answer},
                       d->err);
}

static int print_message(struct dispatch *d, const struct outbox_message *m)
{
    buf_clear(&d->text);
    if (slack_print(&m->alert, &d->text) != 0)
        return err_set(d->err, ERR_NOMEM, "no memory to print an alert");
    /* Not by stdio, which would keep what could not be written, and print it twice. */
    if (process_write(STDOUT_FILENO, d->text.data, d->text.len)) {
        d->say_unprinted_us = 0;
        return mark(d, m->row, OUTBOX_DELIVERED, "printed, for SLACK_BOT_TOKEN is unset");
    }
    if (d->now_us >= d->say_unprinted_us) {
        log_error("alert %s (%s) cannot be printed: %s; it waits", m->alert.id, m->alert.rule,
                  strerror(errno));
        d->say_unprinted_us = d->now_us + TIME_MINUTE;
    }
    outbox_defer(d->outbox, m->row, d->now_us + PRINT_AGAIN_US);
    return 0;
}

static int post_message(struct dispatch *d, const struct outbox_message *m)
{
    struct flight *f = find_flight(d, 0);
    struct err err;

    if (f == NULL) { /* as many as may be are in flight: the next answer makes room */
        outbox_defer(d->outbox, m->row, d->now_us + 100 * TIME_MS);
        return 0;
    }
    buf_clear(&d->text);
    if (slack_render(&m->alert, m->channel, &d->text) != 0)
        return err_set(d->err, ERR_NOMEM, "no memory for a message to Slack");
    if (outbox_hold(d->outbox, m->row, d->err) != 0)
        return ERR_NOMEM;
    if (http_client_post(d->http_client, m->row, buf_text(&d->text), &err) != 0) {
        log_warning("alert %s waits: %s", m->alert.id, err.text);
        outbox_let_go(d->outbox, m->row);
        outbox_defer(d->outbox, m->row, d->now_us + TIME_S);
        return 0;
    }
    *f = (struct flight){.row = m->row, .facts = m->facts};
    memcpy(f->id, m->alert.id, sizeof f->id);
    f->facts.id = f->id;
    snprintf(f->rule, sizeof f->rule, "%s", m->alert.rule);
    snprintf(f->channel, sizeof f->channel, "%s", m->channel);
    return 0;
}

static void say_expired(const struct outbox_message *m)
{
    log_error("alert %s (%s) to %s could not be delivered for a day and is given up after %d "
              "tries; the last answer was: %s",
              m->alert.id, m->alert.rule, m->channel, m->facts.tries,
              m->last_answer[0] != '\0' ? m->last_answer : "none");
}

static int send_message(void *ctx, const struct outbox_message *m)
{
    struct dispatch *d = ctx;
    int64_t next_us;

    if (!m->readable) {
        log_error("an alert in the outbox was written by a newer build and is kept for that one");
        return mark(d, m->row, OUTBOX_FAILED, "written by a newer build");
    }
    if (d->print)
        return print_message(d, m);
    switch (retry_decide(&m->facts, d->now_us, &next_us)) {
    case RETRY_DUE:
        return post_message(d, m);
    case RETRY_LATER:
        outbox_defer(d->outbox, m->row, next_us);
        return 0;
    case RETRY_EXPIRED:
        break;
    }
    say_expired(m);
    return mark(d, m->row, OUTBOX_EXPIRED, m->last_answer);
}

static bool is_on(const struct dispatch *d)
{
    return d->print || d->http_client != NULL;
}

int dispatch_send(struct dispatch *d, int64_t now_us, struct err *err)
{
    d->now_us = now_us;
    d->err = err;
    return is_on(d) ? outbox_due(d->outbox, now_us, send_message, d, err) : 0;
}

static int expire_message(void *ctx, const struct outbox_message *m)
{
    (void)ctx;
    say_expired(m);
    return 0;
}

int dispatch_expire(struct dispatch *d, int64_t now_us, struct err *err)
{
    return outbox_expire(d->outbox, now_us - RETRY_EXPIRES_US, now_us, expire_message, d, err);
}

int64_t dispatch_wake_us(struct dispatch *d)
{
    struct err err;
    int64_t due_us;

    if (!is_on(d) || outbox_next_due(d->outbox, &due_us, &err) != 0)
        return INT64_MAX;
    return due_us;
}

bool dispatch_is_busy(struct dispatch *d, int64_t by_us)
{
    return (d->http_client != NULL && http_client_in_flight(d->http_client) > 0) ||
           dispatch_wake_us(d) <= by_us;
}
