/* One push of an ingest that stops, posted to this one; called by server and routes. */
#include "ingest/http/handover.h"

#include "common/base/buf.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

enum state {
    RECEIVING,
    WAITING,
    IN_WORK, /* until handover_decide */
    DECIDED,
};

struct handover {
    struct incoming incoming;
    struct handovers *all;
    enum state state;
    struct buf body;
    const char *signature; /* the request's; NULL: it has none */
    bool is_too_large;
    bool is_gone; /* its client is, while it was in work */
    struct wire_push push;
    enum handover_result result;
    int64_t have;                 /* HANDOVER_HAVE; once decided, the answer's */
    struct handover *prev, *next; /* in `waiting` or `in_work` */
};

struct handovers {
    struct auth *auth;
    const char *off_reason;
    struct refusals *refusals;
    size_t open;
    bool is_stopping;
    struct handover *waiting; /* in order of arrival */
    struct handover *in_work;
};

static struct handover *of(struct incoming *i)
{
    return (struct handover *)i;
}

/* ---- all of them ---- */

struct handovers *handovers_new(struct auth *auth, const char *off_reason,
                                struct refusals *refusals)
{
    struct handovers *hs = calloc(1, sizeof *hs);

    if (hs != NULL)
        *hs = (struct handovers){.auth = auth, .off_reason = off_reason, .refusals = refusals};
    return hs;
}

static void handover_free(struct handover *h)
{
    buf_close(&h->body);
    free(h);
}

void handovers_free(struct handovers *hs)
{
    struct handover *h, *next;

    if (hs == NULL)
        return;
    assert(hs->open == 0);
    DL_FOREACH_SAFE(hs->in_work, h, next)
    {
        handover_free(h);
    }
    free(hs);
}

size_t handovers_open(const struct handovers *hs)
{
    return hs->open;
}

void handovers_stop(struct handovers *hs)
{
    hs->is_stopping = true;
}

void handovers_release_all(struct handovers *hs)
{
    struct handover *h;

    DL_FOREACH(hs->waiting, h)
    {
        incoming_resume(&h->incoming);
    }
    DL_FOREACH(hs->in_work, h)
    {
        incoming_resume(&h->incoming);
    }
}

/* ---- answers ---- */

static void answer_later(struct answer *answer, const char *why)
{
    answer_set(answer, MHD_HTTP_SERVICE_UNAVAILABLE, "%s\n", why);
    answer_set_header(answer, MHD_HTTP_HEADER_RETRY_AFTER, "1");
}

static void answer_too_large(struct answer *answer)
{
    answer_set(answer, MHD_HTTP_CONTENT_TOO_LARGE, "the body is over %d bytes\n",
               HANDOVER_BODY_MAX);
}

static void answer_stranger(const struct handovers *hs, const char *why, int64_t now_us,
                            struct answer *answer)
{
    refusals_stranger(hs->refusals, why, "", now_us);
    answer_unauthorized(answer, why);
}

static void answer_malformed(const struct handovers *hs, const char *why, int64_t now_us,
                             struct answer *answer)
{
    refusals_handover(hs->refusals, why, now_us);
    answer_set(answer, MHD_HTTP_BAD_REQUEST, "%s\n", why);
}

static void answer_decided(const struct handover *h, struct answer *answer)
{
    if (h->result == HANDOVER_NOT_NOW)
        answer_later(answer, "the database does not take it now");
    else if (h->result == HANDOVER_KNOWN)
        answer_set(answer, MHD_HTTP_OK, "%" PRId64 "\n", h->have);
    else
        answer->status = MHD_HTTP_NO_CONTENT;
}

/* ---- the body ---- */

static bool push_body(struct incoming *i, struct MHD_Connection *connection, const void *bytes,
                      size_t n)
{
    struct handover *h = of(i);

    (void)connection;
    if (!h->is_too_large && buf_append(&h->body, bytes, n) == ERR_FULL) {
        h->is_too_large = true;
        buf_close(&h->body);
    }
    return true;
}

/* Sequences are stored as numbers with a sign. */
static bool is_in_bounds(const struct wire_push *p)
{
    return p->oldest <= INT64_MAX && p->first <= INT64_MAX - p->n_records &&
           (p->n_records == 0 || (p->first > 0 && p->oldest <= p->first));
}

static int unpack(struct handover *h, struct err *err)
{
    struct wire *wire = wire_new();
    int rc;

    if (wire == NULL)
        return ERR_NOMEM;
    rc = wire_unpack_push(wire, h->body.data, h->body.len, &h->push, err);
    h->push.records = NULL; /* they lie in `wire` */
    wire_free(wire);
    if (rc == 0 && !is_in_bounds(&h->push))
        rc = err_set(err, ERR_INPUT, "the push's sequences are out of their bounds");
    return rc;
}

static void finish_body(struct handover *h, struct MHD_Connection *connection, int64_t now_us,
                        struct answer *answer)
{
    bool is_whole = !h->is_too_large && h->body.failed == 0;
    bool is_signed =
        is_whole && auth_is_push_signed(h->all->auth, h->body.data, h->body.len, h->signature);
    struct err err;
    int rc = is_signed ? unpack(h, &err) : 0;

    if (h->is_too_large) {
        answer_too_large(answer);
    } else if (!is_whole || rc == ERR_NOMEM) {
        answer_later(answer, "there is no memory for it");
    } else if (!is_signed) {
        answer_stranger(h->all, "this handover is not signed with the secret", now_us, answer);
    } else if (rc != 0) {
        answer_malformed(h->all, err.text, now_us, answer);
    } else {
        h->state = WAITING;
        DL_APPEND(h->all->waiting, h);
        incoming_suspend(&h->incoming, connection);
    }
}

static void finish(struct incoming *i, struct MHD_Connection *connection, int64_t now_us,
                   struct answer *answer)
{
    struct handover *h = of(i);

    if (h->state == RECEIVING)
        finish_body(h, connection, now_us, answer);
    else if (h->state == DECIDED)
        answer_decided(h, answer);
}

static const char *sender(const struct incoming *i)
{
    (void)i;
    return AUTH_HANDOVER;
}

static void end(struct incoming *i)
{
    struct handover *h = of(i);

    h->all->open--;
    i->suspended = NULL;
    if (h->state == WAITING)
        DL_DELETE(h->all->waiting, h);
    if (h->state == IN_WORK)
        h->is_gone = true;
    else
        handover_free(h);
}

static const struct incoming_ops ops = {push_body, finish, sender, end};

/* ---- the head ---- */

static bool may_begin(const struct handovers *hs, const struct headers *h, int64_t now_us,
                      struct answer *answer)
{
    if (hs->auth == NULL) {
        answer_set(answer, MHD_HTTP_NOT_IMPLEMENTED, "%s\n", hs->off_reason);
    } else if (!auth_is_handover(hs->auth, h->credentials)) {
        answer_stranger(hs, "these are no credentials for a handover", now_us, answer);
    } else if (h->length != NULL && strtoll(h->length, NULL, 10) > HANDOVER_BODY_MAX) {
        answer_too_large(answer);
    } else if (!headers_are_plain(h)) {
        answer_set(answer, MHD_HTTP_UNSUPPORTED_MEDIA_TYPE, "Content-Encoding must be identity\n");
    } else if (hs->is_stopping) {
        answer_later(answer, "this one is stopping, too");
    } else if (hs->open == HANDOVERS_MAX) {
        answer_later(answer, "others are being taken over");
    }
    return answer->status == 0;
}

struct incoming *handovers_begin(struct handovers *hs, const struct headers *headers,
                                 int64_t now_us, struct answer *answer)
{
    struct handover *h;

    if (!may_begin(hs, headers, now_us, answer))
        return NULL;
    h = calloc(1, sizeof *h);
    if (h == NULL) {
        answer_later(answer, "there is no memory for it");
        return NULL;
    }
    h->incoming.ops = &ops;
    h->all = hs;
    h->have = headers->have == NULL ? 0 : strtoll(headers->have, NULL, 10);
    h->signature = headers->signature;
    buf_init(&h->body, HANDOVER_BODY_MAX);
    hs->open++;
    return &h->incoming;
}

/* ---- the wait for the database ---- */

struct handover *handovers_next(struct handovers *hs)
{
    struct handover *h = hs->waiting;

    if (h == NULL)
        return NULL;
    DL_DELETE(hs->waiting, h);
    DL_APPEND(hs->in_work, h);
    h->state = IN_WORK;
    return h;
}

const struct wire_push *handover_push(const struct handover *h)
{
    return &h->push;
}

struct wire_bytes handover_packed(const struct handover *h)
{
    return (struct wire_bytes){h->body.data, h->body.len};
}

int64_t handover_have(const struct handover *h)
{
    return h->have;
}

void handover_decide(struct handover *h, enum handover_result result, int64_t have)
{
    assert(h->state == IN_WORK);
    DL_DELETE(h->all->in_work, h);
    if (h->is_gone) {
        handover_free(h);
        return;
    }
    h->state = DECIDED;
    h->result = result;
    h->have = have;
    incoming_resume(&h->incoming);
}
