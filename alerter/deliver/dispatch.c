#include "alerter/deliver/dispatch.h"

#include "alerter/deliver/destination.h"
#include "alerter/deliver/http_client.h"
#include "common/app/log.h"
#include "common/app/process.h"
#include "common/base/time.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    FDS_MAX = 4,
    IN_FLIGHT_MAX = 8, /* messages at once; retry.h allows one a channel */
};

/* A message that is being posted. */
struct flight {
    int64_t row; /* 0: this one is free */
    struct http_call *call;
    char last_answer[OUTBOX_ANSWER_SIZE];
    char id[WIRE_ID_SIZE];
    char rule[128];
    char channel[128];
    struct retry_facts facts;
};

struct dispatch {
    const struct settings *settings;
    const struct destination *destination; /* NULL: alerting is off */
    struct outbox *outbox;
    struct http_client *client;
    struct http_request request;
    struct flight flights[IN_FLIGHT_MAX];
    int64_t now_us; /* of the call in hand */
    struct err *err;
};

int dispatch_open(const struct settings *settings, struct outbox *outbox, struct dispatch **out,
                  struct err *err)
{
    struct dispatch *d = calloc(1, sizeof *d);
    int rc;

    if (d == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    d->settings = settings;
    d->destination = settings->enabled ? destination_of(settings) : NULL;
    d->outbox = outbox;
    http_request_init(&d->request);
    rc = http_client_new(
        &(struct http_client_options){.user_agent = "drainwatch/" DRAINWATCH_VERSION,
                                      .ca_file = settings->ca_file,
                                      .ca_dir = settings->ca_dir},
        &d->client, err);
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
    for (size_t i = 0; i < IN_FLIGHT_MAX; i++)
        http_call_free(d->flights[i].call);
    http_client_free(d->client);
    http_request_close(&d->request);
    free(d);
}

int dispatch_wait(struct dispatch *d, struct pollfd *fds, unsigned n, int timeout_ms,
                  struct err *err)
{
    struct curl_waitfd extra[FDS_MAX];

    assert(n <= FDS_MAX);
    for (unsigned i = 0; i < n; i++)
        extra[i] = (struct curl_waitfd){.fd = fds[i].fd, .events = CURL_WAIT_POLLIN};
    return http_client_poll(d->client, extra, n, timeout_ms, err);
}

/* ---- what came back ---- */

static struct flight *find_flight(struct dispatch *d, int64_t row)
{
    for (size_t i = 0; i < IN_FLIGHT_MAX; i++) {
        if (d->flights[i].row == row)
            return &d->flights[i];
    }
    return NULL;
}

/* An error if somebody must act, although the alert is not lost. */
static void say_verdict(const struct dispatch *d, const struct flight *f,
                        const struct destination_verdict *v, int64_t again_us)
{
    const char *name = d->destination->name, *colon = v->remedy[0] != '\0' ? ": " : "";

    if (v->outcome == DESTINATION_DELIVERED)
        log_info("alert %s (%s) was delivered to %s", f->id, f->rule, f->channel);
    else if (v->outcome == DESTINATION_RETRY)
        (v->remedy[0] != '\0' ? log_error : log_warning)(
            "alert %s (%s) to %s: %s: %s%s%s; try %d failed, the next is in %.1f s", f->id, f->rule,
            f->channel, name, v->reason, colon, v->remedy, f->facts.tries,
            (double)again_us / (double)TIME_S);
    else
        log_error("alert %s (%s) to %s is NOT delivered: %s: %s%s%s; it is kept, and posted "
                  "after a restart or SIGHUP",
                  f->id, f->rule, f->channel, name, v->reason, colon, v->remedy);
}

static int end_try(struct dispatch *d, struct flight *f, const struct http_reply *reply,
                   struct err *err)
{
    static const enum outbox_state states[] = {
        [DESTINATION_DELIVERED] = OUTBOX_DELIVERED,
        [DESTINATION_RETRY] = OUTBOX_WAITING,
        [DESTINATION_REFUSED] = OUTBOX_FAILED,
    };
    const struct destination_try attempt = {f->channel, f->facts.tries + 1, f->last_answer};
    struct destination_verdict verdict;
    int64_t again_us;
    int rc;

    d->destination->judge(&attempt, reply, &verdict);
    f->facts.tries++;
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
    say_verdict(d, f, &verdict, again_us);
    http_call_free(f->call);
    *f = (struct flight){0};
    return rc;
}

int dispatch_collect(struct dispatch *d, int64_t now_us, struct err *err)
{
    struct http_reply reply;
    struct flight *f;
    int rc = 0;

    d->now_us = now_us;
    while (rc == 0 && (f = http_client_next(d->client, &reply)) != NULL)
        rc = end_try(d, f, &reply, err);
    return rc;
}

/* ---- what is due ---- */

static int mark(struct dispatch *d, int64_t row, enum outbox_state state, const char *answer)
{
    return outbox_mark(d->outbox, row,
                       &(struct outbox_mark){.state = state, .now_us = d->now_us, .answer = answer},
                       d->err);
}

static void begin_flight(struct flight *f, const struct outbox_message *m)
{
    *f = (struct flight){.row = m->row, .facts = m->facts};
    memcpy(f->id, m->alert.id, sizeof f->id);
    f->facts.id = f->id;
    snprintf(f->rule, sizeof f->rule, "%s", m->alert.rule);
    snprintf(f->channel, sizeof f->channel, "%s", m->channel);
    snprintf(f->last_answer, sizeof f->last_answer, "%s", m->last_answer);
}

/* Not by stdio, which would keep bytes that it could not write, and print them twice. */
static int print_message(struct dispatch *d, struct flight *f)
{
    struct http_reply reply = {.error = ""};

    if (!process_write(STDOUT_FILENO, d->request.body.data, d->request.body.len))
        reply.error = strerror(errno);
    return end_try(d, f, &reply, d->err);
}

static int post_message(struct dispatch *d, const struct outbox_message *m)
{
    const struct destination_try attempt = {m->channel, m->facts.tries + 1, m->last_answer};
    struct flight *f = find_flight(d, 0);
    struct err err;

    if (f == NULL) { /* the next reply makes room */
        outbox_defer(d->outbox, m->row, d->now_us + 100 * TIME_MS);
        return 0;
    }
    http_request_clear(&d->request);
    if (d->destination->request(d->settings, &m->alert, &attempt, &d->request) != 0)
        return err_set(d->err, ERR_NOMEM, "no memory for a message to %s", d->destination->name);
    if (outbox_hold(d->outbox, m->row, d->err) != 0)
        return ERR_NOMEM;
    begin_flight(f, m);
    if (d->destination->transport == DESTINATION_STDOUT)
        return print_message(d, f);
    if (http_client_send(d->client, &d->request, f, &f->call, &err) != 0) {
        log_warning("alert %s waits: %s", m->alert.id, err.text);
        *f = (struct flight){0};
        outbox_let_go(d->outbox, m->row);
        outbox_defer(d->outbox, m->row, d->now_us + TIME_S);
    }
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
    switch (retry_decide(&m->facts, d->destination->pace_us, d->now_us, &next_us)) {
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

int dispatch_send(struct dispatch *d, int64_t now_us, struct err *err)
{
    d->now_us = now_us;
    d->err = err;
    return d->destination != NULL ? outbox_due(d->outbox, now_us, send_message, d, err) : 0;
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

    if (d->destination == NULL || outbox_next_due(d->outbox, &due_us, &err) != 0)
        return INT64_MAX;
    return due_us;
}

static bool is_in_flight(const struct dispatch *d)
{
    for (size_t i = 0; i < IN_FLIGHT_MAX; i++)
        if (d->flights[i].row != 0)
            return true;
    return false;
}

bool dispatch_is_busy(struct dispatch *d, int64_t by_us)
{
    return is_in_flight(d) || dispatch_wake_us(d) <= by_us;
}
