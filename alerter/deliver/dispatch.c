/* Delivers alerts from the outbox to their destination; called by the alerter's loop. */
#include "alerter/deliver/dispatch.h"

#include "alerter/deliver/destination.h"
#include "common/app/clock.h"
#include "common/app/log.h"
#include "common/app/process.h"
#include "common/base/text.h"
#include "common/base/time.h"
#include "common/http/http_client.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    FDS_MAX = 4,
    REASON_SHOWN = 159, /* bytes of a reason in the log and in the outbox */
    IN_FLIGHT_MAX = 8,  /* posts at once; the outbox allows one a channel */
};

struct dispatch {
    const struct settings *settings;
    const struct destination *destination; /* NULL: alerting is off */
    struct storage *storage;
    struct outbox *outbox;
    struct http_client *client;
    struct http_request request;
    int64_t now_us; /* of the call in hand */
    struct err *err;
};

int dispatch_open(const struct settings *settings, struct storage *storage, struct outbox *outbox,
                  struct dispatch **out, struct err *err)
{
    struct dispatch *d = calloc(1, sizeof *d);
    int rc;

    if (d == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    d->settings = settings;
    d->destination = settings->enabled ? destination_of(settings) : NULL;
    d->storage = storage;
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
    for (struct post *post = outbox_posts(d->outbox); post != NULL; post = post->hh.next) {
        http_call_free(post->call);
        post->call = NULL;
    }
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

size_t dispatch_drop(struct dispatch *d)
{
    struct post *post;
    size_t n = 0;

    while ((post = outbox_posts(d->outbox)) != NULL) {
        http_call_free(post->call);
        outbox_drop_post(d->outbox, post);
        n++;
    }
    return n;
}

/* ---- outcomes ---- */

/* An error if somebody must act, although the alert is not lost. */
static void log_outcome(const struct dispatch *d, const struct post *post,
                        const struct destination_verdict *v)
{
    const char *name = d->destination->name, *colon = v->remedy[0] != '\0' ? ": " : "";

    if (v->outcome == DESTINATION_DELIVERED)
        log_info("alert %s (%s) was delivered to %s", post->id, post->rule,
                 d->destination->transport == DESTINATION_STDOUT ? name : post->channel);
    else if (v->outcome == DESTINATION_RETRY)
        log_write(v->remedy[0] != '\0' ? "error" : "warning",
                  "alert %s (%s) to %s: %s: %s%s%s; try %d failed, the next is in %.1f s", post->id,
                  post->rule, post->channel, name, v->reason, colon, v->remedy, post->facts.tries,
                  (double)(post->next_try_us - d->now_us) / (double)TIME_S);
    else
        log_error("alert %s (%s) to %s is NOT delivered: %s: %s%s%s; it is kept, and posted "
                  "after a restart or SIGHUP",
                  post->id, post->rule, post->channel, name, v->reason, colon, v->remedy);
}

/* Slack, or a proxy in its place, may name a secret in its answer. Returns the reason without it.
 */
static const char *hide_secrets(struct destination_verdict *v)
{
    size_t len = log_without_secrets(v->reason, strlen(v->reason));

    len = text_redact_secrets(v->reason, len);
    v->reason[text_cut(v->reason, len, REASON_SHOWN)] = '\0';
    return v->reason;
}

/* Judges the reply to a post and ends it. */
static void end_post(struct dispatch *d, struct post *post, const struct http_reply *reply)
{
    static const enum outbox_state states[] = {
        [DESTINATION_DELIVERED] = OUTBOX_DELIVERED,
        [DESTINATION_RETRY] = OUTBOX_WAITING,
        [DESTINATION_REFUSED] = OUTBOX_FAILED,
    };
    const struct destination_try attempt = {post->channel, post->facts.tries + 1, post->answer};
    struct destination_verdict verdict;

    d->destination->judge(&attempt, reply, &verdict);
    post->facts.tries++;
    post->facts.last_try_us = d->now_us;
    post->facts.retry_after_us = verdict.retry_after_us;
    post->next_try_us = d->now_us + retry_delay_us(&post->facts);
    outbox_end_post(post, states[verdict.outcome], hide_secrets(&verdict));
    log_outcome(d, post, &verdict);
    http_call_free(post->call);
    post->call = NULL;
}

void dispatch_collect(struct dispatch *d, int64_t now_us)
{
    struct http_reply reply;
    struct post *post;

    d->now_us = now_us;
    while ((post = http_client_next(d->client, &reply)) != NULL)
        end_post(d, post, &reply);
}

/* ---- due messages ---- */

/* Without stdio, which would keep bytes that it could not write, and print them twice. */
static void print(struct dispatch *d, struct post *post)
{
    struct http_reply reply = {.error = ""};

    if (!process_write(STDOUT_FILENO, d->request.body.data, d->request.body.len))
        reply.error = strerror(errno);
    end_post(d, post, &reply);
}

static void send_request(struct dispatch *d, struct post *post)
{
    struct err err;

    if (http_client_send(d->client, &d->request, post, &post->call, &err) == 0)
        return;
    log_warning("alert %s waits: %s", post->id, err.text);
    outbox_defer(d->outbox, post->row, d->now_us + TIME_S);
    outbox_drop_post(d->outbox, post);
}

static int post_message(struct dispatch *d, const struct outbox_message *m)
{
    const struct destination_try attempt = {m->channel, m->facts.tries + 1, m->last_answer};
    struct post *post;

    http_request_clear(&d->request);
    if (d->destination->request(d->settings, &m->alert, &attempt, &d->request) != 0)
        return err_set(d->err, ERR_NOMEM, "no memory for a message to %s", d->destination->name);
    post = outbox_start_post(d->outbox, m);
    if (post == NULL)
        return err_set(d->err, ERR_NOMEM, "no memory for a post to %s", d->destination->name);
    if (d->destination->transport == DESTINATION_STDOUT)
        print(d, post);
    else
        send_request(d, post);
    return 0;
}

static int park_unreadable(struct dispatch *d, const struct outbox_message *m)
{
    struct post *post = outbox_start_post(d->outbox, m);

    if (post == NULL)
        return err_set(d->err, ERR_NOMEM, "no memory for a post");
    log_error("outbox row %" PRId64 " was written by a newer build; it is kept for that one",
              m->row);
    post->facts.last_try_us = d->now_us;
    outbox_end_post(post, OUTBOX_FAILED, "written by a newer build");
    return 0;
}

/* Messages that were decided then or before are given up. */
static int64_t expired_us(int64_t now_us)
{
    return now_us - TIME_DAY;
}

/* Asked right before a post begins, with the time of that moment. */
static bool may_post(const struct dispatch *d)
{
    return storage_may_post(d->storage, clock_boot_us());
}

static int send_message(void *ctx, const struct outbox_message *m)
{
    struct dispatch *d = ctx;
    int64_t next_us;

    if (m->facts.decided_us <= expired_us(d->now_us))
        return 0; /* dispatch_expire gives up so many in one turn, and this one later */
    if (!m->is_readable)
        return park_unreadable(d, m);
    next_us = retry_next_us(&m->facts, d->destination->pace_us, d->now_us);
    if (next_us <= d->now_us && outbox_in_flight(d->outbox) < IN_FLIGHT_MAX && may_post(d))
        return post_message(d, m);
    if (next_us <= d->now_us)
        next_us = d->now_us + 100 * TIME_MS; /* a reply makes room before, or a turn the right */
    outbox_defer(d->outbox, m->row, next_us);
    return 0;
}

int dispatch_send(struct dispatch *d, int64_t now_us, struct err *err)
{
    d->now_us = now_us;
    d->err = err;
    return d->destination != NULL ? outbox_due(d->outbox, now_us, send_message, d, err) : 0;
}

static int log_expired(void *ctx, const struct outbox_message *m)
{
    (void)ctx;
    log_error("alert %s (%s) to %s could not be delivered for a day and is given up after %d "
              "%s; the last answer was: %s",
              m->alert.id, m->alert.rule, m->channel, m->facts.tries,
              text_plural((uint64_t)m->facts.tries, "try", "tries"),
              m->last_answer[0] != '\0' ? m->last_answer : "none");
    return 0;
}

int dispatch_expire(struct dispatch *d, int64_t now_us, struct err *err)
{
    return outbox_expire(d->outbox, expired_us(now_us), now_us, log_expired, NULL, err);
}

int64_t dispatch_wake_us(struct dispatch *d)
{
    struct err err;
    int64_t due_us;

    if (d->destination == NULL || outbox_next_due(d->outbox, &due_us, &err) != 0)
        return INT64_MAX;
    return due_us;
}

bool dispatch_is_busy(struct dispatch *d, int64_t by_us)
{
    return outbox_in_flight(d->outbox) > 0 || dispatch_wake_us(d) <= by_us;
}
