/* Posts the records that an ingest still holds when it stops to the next one; called by the loop.
 */
#include "ingest/sibling.h"

#include "common/app/log.h"
#include "common/base/text.h"
#include "common/base/time.h"
#include "ingest/http/handover.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CONNECT_MS = 3000, WHOLE_MS = 8000 };

static const int64_t RETRY_US = TIME_S;

void sibling_begin(struct sibling *s, const struct settings *settings, struct spool *spool,
                   const struct auth *auth, int64_t now_us)
{
    *s = (struct sibling){.settings = settings, .auth = auth, .begun_us = now_us};
    http_request_init(&s->request);
    if (auth_write_handover(auth, s->credentials))
        s->spool = spool;
}

void sibling_close(struct sibling *s)
{
    http_call_free(s->call);
    http_client_free(s->client);
    if (s->settings != NULL)
        http_request_close(&s->request);
    explicit_bzero(s->credentials, sizeof s->credentials);
    *s = (struct sibling){0};
}

/* ---- steps ---- */

/* Both lanes go to one database, which is late with an ack or with the answer to a question. */
static bool is_late(const struct sibling *s, int64_t now_us)
{
    if (now_us - s->begun_us >= SENDER_LATE_US && !spool_is_sure(s->spool, s->begun_us))
        return true;
    for (enum backlog_lane lane = 0; lane < BACKLOG_LANES; lane++) {
        const struct sender *sender = spool_sender(s->spool, lane);

        if (sender != NULL && sender_is_late(sender, now_us))
            return true;
    }
    return false;
}

/* If the database takes pushes in time, no help is needed. */
static enum sibling_step step_of(const struct sibling *s, enum backlog_lane lane, int64_t now_us)
{
    const struct sender *sender = spool_sender(s->spool, lane);
    enum sibling_step step = s->steps[lane];
    bool is_waiting;

    if (sender == NULL)
        return SIBLING_DONE;
    is_waiting = sender_waiting(sender) > 0;
    if (step == SIBLING_BYE && !is_waiting)
        return SIBLING_BYE;
    if (!is_late(s, now_us))
        return SIBLING_DONE;
    if (step == SIBLING_ASK)
        return is_waiting || sender_has_kept(sender) ? SIBLING_ASK : SIBLING_DONE;
    return is_waiting ? SIBLING_HAND : SIBLING_DONE;
}

bool sibling_is_needed(const struct sibling *s, int64_t now_us)
{
    for (enum backlog_lane lane = 0; s->spool != NULL && lane < BACKLOG_LANES; lane++) {
        if (step_of(s, lane, now_us) != SIBLING_DONE)
            return true;
    }
    return false;
}

/* ---- a try ---- */

static void fail(struct sibling *s, const char *why, int64_t now_us)
{
    bool is_first = s->why[0] == '\0';

    text_copy_printable(s->why, sizeof s->why, why);
    s->try_us = now_us + RETRY_US;
    if (is_first)
        log_warning("the next ingest does not take the records yet: %s; trying each second",
                    s->why);
}

static int open_client(struct sibling *s, struct err *err)
{
    if (s->client != NULL)
        return 0;
    log_info("the database is late or away: handing the records to the next ingest at %s",
             s->settings->public_url);
    return http_client_new(
        &(struct http_client_options){.user_agent = "drainwatch/" DRAINWATCH_VERSION,
                                      .ca_file = s->settings->ca_file,
                                      .ca_dir = s->settings->ca_dir,
                                      .no_proxy = true,
                                      .connect_ms = CONNECT_MS,
                                      .whole_ms = WHOLE_MS},
        &s->client, err);
}

/* The records go both ways, so the own way may have told of more than the sibling did. */
static int learn_have(struct sibling *s, struct sender *sender, struct err *err)
{
    uint64_t acked;
    int rc = sender_acked_sequence(sender, &acked, err);

    if (rc == 0 && acked > s->have[s->lane])
        s->have[s->lane] = acked;
    return rc;
}

static int write_body(struct sibling *s, struct sender *sender, enum sibling_step step,
                      struct err *err)
{
    int rc = learn_have(s, sender, err);

    s->last = 0;
    s->taken_back = sender_taken_back(sender);
    if (rc != 0)
        return rc;
    if (step == SIBLING_HAND)
        return sender_pack_next(sender, &s->request.body, &s->last, err);
    return sender_pack_empty(sender, step == SIBLING_BYE, &s->request.body, err);
}

static int write_head(struct sibling *s, struct err *err)
{
    struct http_request *r = &s->request;
    char signature[AUTH_HEX + 1] = "";
    bool ok = auth_sign_push(s->auth, r->body.data, r->body.len, signature);

    (void)buf_printf(&r->url, "%s" HANDOVER_PATH, s->settings->public_url);
    (void)buf_printf(&r->headers,
                     "Authorization: %s\nContent-Type: application/x-protobuf\n" HANDOVER_HAVE
                     ": %" PRIu64 "\n" HANDOVER_SIGNATURE ": %s\n",
                     s->credentials, s->have[s->lane], signature);
    r->secret = strchr(s->credentials, ' ') + 1;
    return ok && r->url.failed + r->headers.failed == 0 ? 0
                                                        : err_set(err, ERR_NOMEM, "out of memory");
}

static int begin(struct sibling *s, enum sibling_step step, struct err *err)
{
    struct http_request *r = &s->request;
    int rc = open_client(s, err);

    if (rc != 0)
        return rc;
    http_request_clear(r);
    rc = write_body(s, spool_sender(s->spool, s->lane), step, err);
    if (rc == 0)
        rc = write_head(s, err);
    return rc != 0 ? rc : http_client_send(s->client, r, s, &s->call, err);
}

/* ---- the answer ---- */

/* Returns the sequence up to which the other side has all records, or false. */
static bool read_answer(const struct sibling *s, const struct http_reply *reply, uint64_t *taken)
{
    enum sibling_step step = s->steps[s->lane];
    char *end;

    *taken = s->last;
    if (step != SIBLING_ASK)
        return reply->error[0] == '\0' && reply->status == 204;
    *taken = strtoull(reply->body, &end, 10);
    return reply->error[0] == '\0' && reply->status == 200 && end > reply->body;
}

/* The database may be another one by the next try, and have less of each lane. */
static void ask_anew(struct sibling *s)
{
    for (enum backlog_lane lane = 0; lane < BACKLOG_LANES; lane++) {
        s->steps[lane] = SIBLING_ASK;
        s->have[lane] = 0;
    }
}

static void take_failure(struct sibling *s, const struct http_reply *reply, int64_t now_us)
{
    char why[SIBLING_WHY_SIZE];
    int line = (int)strcspn(reply->body, "\r\n");

    ask_anew(s);
    if (reply->error[0] != '\0') {
        fail(s, reply->error, now_us);
    } else {
        snprintf(why, sizeof why, "HTTP %ld: %.*s", reply->status, line, reply->body);
        fail(s, why, now_us);
    }
}

static void take_success(struct sibling *s, uint64_t taken, int64_t now_us)
{
    struct sender *sender = spool_sender(s->spool, s->lane);
    uint64_t before = sender_waiting(sender), after;
    struct err err;

    s->why[0] = '\0';
    if (sender_taken_back(sender) != s->taken_back) { /* what the answer says may be lost, too */
        ask_anew(s);
        return;
    }
    if (s->steps[s->lane] == SIBLING_BYE) {
        s->steps[s->lane] = SIBLING_DONE;
        return;
    }
    if (sender_take_ack(sender, taken, s->steps[s->lane] == SIBLING_ASK, now_us, &err) != 0) {
        fail(s, err.text, now_us);
        return;
    }
    s->have[s->lane] = taken;
    after = sender_waiting(sender);
    if (s->has_handed[s->lane] && after < before)
        s->handed += before - after;
    s->steps[s->lane] = after > 0 ? SIBLING_HAND : SIBLING_BYE;
}

static void take_answer(struct sibling *s, int64_t now_us)
{
    struct http_reply reply;
    uint64_t taken;

    if (http_client_next(s->client, &reply) == NULL)
        return;
    if (spool_sender(s->spool, s->lane) != NULL && read_answer(s, &reply, &taken))
        take_success(s, taken, now_us);
    else
        take_failure(s, &reply, now_us);
    http_call_free(s->call);
    s->call = NULL;
}

void sibling_run(struct sibling *s, int64_t now_us)
{
    struct err err;

    if (s->spool == NULL)
        return;
    if (s->call != NULL && http_client_poll(s->client, NULL, 0, 0, &err) != 0)
        fail(s, err.text, now_us);
    if (s->call != NULL)
        take_answer(s, now_us);
    for (enum backlog_lane lane = 0; lane < BACKLOG_LANES; lane++) {
        enum sibling_step step = step_of(s, lane, now_us);

        if (s->call != NULL || step == SIBLING_DONE || now_us < s->try_us)
            continue;
        s->lane = lane;
        s->steps[lane] = step;
        s->has_handed[lane] = s->has_handed[lane] || step == SIBLING_HAND;
        if (begin(s, step, &err) != 0)
            fail(s, err.text, now_us);
    }
}
