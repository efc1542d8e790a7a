/* One delivery over HTTP: who may deliver, its body, its answer; called by server and routes. */
#include "ingest/http/request.h"

#include "common/base/hash.h"
#include "ingest/http/body.h"
#include "ingest/http/intake.h"
#include "ingest/input/input.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

/* A request keeps its body's memory for the next one: without that a delivery costs 9 to 12 %
 * more. */
enum { SPARE_MAX = 64, SPARE_BYTES = 128 << 10 };

static const char RETRY_AFTER_SECONDS[] = "5";

enum state {
    RECEIVING,
    WAITING, /* until its records are in the journal */
    HELD,    /* accepted, until its records are in the database, too, or time is up */
    DECIDED, /* it is accepted or not, and answered when it is next asked */
};

struct request {
    struct incoming incoming;
    struct requests *all;
    struct intake_body body;
    enum state state;
    bool accepted;
    enum request_kept kept;
    struct request_place place;
    const struct wire_record *records;
    size_t n_records;
    struct delivery_counts counts;
    bool is_damaged;
    char drain[AUTH_NAME_SIZE];
    uint64_t frame;              /* a hash of drain and Frame-Id; 0: it has none */
    struct request *prev, *next; /* in `stalled`, `waiting`, `held` or `spare` */
};

struct requests {
    struct requests_options options;
    struct refusals *refusals;
    struct intake intake;
    size_t open;
    struct request *stalled; /* suspended until its drain may push again, oldest first */
    struct request *waiting;
    struct request *held;
    struct request *spare;
    size_t n_spare;
};

static const struct incoming_ops ops;

static struct request *of(struct incoming *i)
{
    return (struct request *)i;
}

/* ---- all of them ---- */

static void request_free(struct request *r)
{
    body_free(r->body.body);
    free(r);
}

static void free_spare(struct requests *rs)
{
    struct request *r, *next;

    DL_FOREACH_SAFE(rs->spare, r, next)
    {
        request_free(r);
    }
    rs->spare = NULL;
    rs->n_spare = 0;
}

struct requests *requests_new(const struct requests_options *options, struct refusals *refusals)
{
    struct requests *rs = calloc(1, sizeof *rs);

    if (rs == NULL)
        return NULL;
    rs->options = *options;
    rs->refusals = refusals;
    intake_init(&rs->intake, options->max_body_bytes, options->clock_us);
    rulebook_hold(rs->options.book);
    return rs;
}

void requests_free(struct requests *rs)
{
    if (rs == NULL)
        return;
    assert(rs->open == 0);
    free_spare(rs);
    intake_close(&rs->intake);
    rulebook_release(rs->options.book);
    free(rs);
}

void requests_set_book(struct requests *rs, struct rulebook *book)
{
    struct rulebook *old = rs->options.book;

    rs->options.book = rulebook_hold(book);
    free_spare(rs); /* each of them holds the old book */
    rulebook_release(old);
}

size_t requests_open(const struct requests *rs)
{
    return rs->open;
}

static struct request *take_spare(struct requests *rs)
{
    struct request *r = rs->spare;

    if (r == NULL)
        return NULL;
    DL_DELETE(rs->spare, r);
    rs->n_spare--;
    return r;
}

static void put_spare(struct requests *rs, struct request *r)
{
    if (rs->n_spare == SPARE_MAX || r->body.body == NULL ||
        body_book(r->body.body) != rs->options.book ||
        body_held_bytes(r->body.body) > SPARE_BYTES) {
        request_free(r);
        return;
    }
    DL_PREPEND(rs->spare, r);
    rs->n_spare++;
}

static struct request *request_new(struct requests *rs, const char *drain)
{
    struct request *r = take_spare(rs);
    struct body *body = r != NULL ? r->body.body : body_new();

    if (r == NULL)
        r = malloc(sizeof *r);
    if (r == NULL || body == NULL) {
        body_free(body);
        free(r);
        return NULL;
    }
    *r = (struct request){.all = rs, .body = {.body = body}};
    if (intake_add(&rs->intake, &r->body, drain) != 0) {
        request_free(r);
        return NULL;
    }
    strcpy(r->drain, drain);
    rs->open++;
    return r;
}

static const char *sender(const struct incoming *i)
{
    return ((const struct request *)i)->drain;
}

static void end(struct incoming *i)
{
    struct request *r = of(i);
    struct requests *rs = r->all;

    if (r->state == WAITING)
        DL_DELETE(rs->waiting, r);
    else if (r->state == HELD)
        DL_DELETE(rs->held, r);
    rs->open--;
    intake_remove(&rs->intake, &r->body);
    put_spare(rs, r);
}

/* ---- turns ---- */

static void stop_stalling(struct requests *rs, struct request *r)
{
    DL_DELETE(rs->stalled, r);
    incoming_resume(&r->incoming);
}

void requests_begin_turn(struct requests *rs)
{
    struct request *r, *next;

    intake_begin_turn(&rs->intake);
    DL_FOREACH_SAFE(rs->stalled, r, next)
    {
        if (intake_may_resume(&rs->intake, &r->body))
            stop_stalling(rs, r);
    }
}

void requests_end_turn(struct requests *rs)
{
    intake_work(&rs->intake);
}

void requests_give_back(struct requests *rs)
{
    intake_give_back(&rs->intake);
}

bool requests_are_behind(const struct requests *rs)
{
    return rs->intake.n_behind > 0 || rs->stalled != NULL;
}

/* ---- answers ---- */

static void answer_accepted(struct request *r, struct answer *answer)
{
    const struct requests_options *o = &r->all->options;
    const struct delivery_counts *counts = &r->counts;

    if (counts->malformed > 0) /* a damaged body is counted as one more malformed frame */
        o->on_damage(o->ctx, r->drain, counts->malformed - r->is_damaged, r->is_damaged);
    /* A drain may watch the app that we run in: without this, each receipt would be delivered to us
     * as a line, and be receipted. */
    if (counts->own_lines < counts->lines || counts->lines == 0)
        o->on_receipt(o->ctx, counts->lines, r->frame);
    answer->status = MHD_HTTP_NO_CONTENT;
    if (o->kept != NULL)
        answer_set_header(answer, "Drainwatch-Kept",
                          r->kept == REQUEST_KEPT_DISK ? "disk" : "database");
}

static void answer_unavailable(struct answer *answer)
{
    answer_set(answer, MHD_HTTP_SERVICE_UNAVAILABLE,
               "nothing was recorded: the journal is full or cannot be written, or the delivery is "
               "more than can be taken\n");
    answer_set_header(answer, MHD_HTTP_HEADER_RETRY_AFTER, RETRY_AFTER_SECONDS);
}

static void answer_too_large(const struct requests *rs, const char *name, int64_t now_us,
                             struct answer *answer)
{
    refusals_too_large(rs->refusals, name, rs->options.max_body_bytes, now_us);
    answer_set(answer, MHD_HTTP_CONTENT_TOO_LARGE,
               "the body is over %" PRId64 " bytes (DRAINWATCH_MAX_BODY_BYTES)\n",
               rs->options.max_body_bytes);
}

/* ---- the head ---- */

static const char *or_empty(const char *value)
{
    return value == NULL ? "" : value;
}

static bool is_gzip(const char *encoding)
{
    return strcasecmp(encoding, "gzip") == 0 || strcasecmp(encoding, "x-gzip") == 0;
}

bool headers_are_plain(const struct headers *h)
{
    const char *encoding = or_empty(h->encoding);

    return *encoding == '\0' || strcasecmp(encoding, "identity") == 0;
}

static bool is_authorized(struct requests *rs, const struct headers *h, int64_t now_us,
                          char name[AUTH_NAME_SIZE], struct answer *answer)
{
    const struct auth_claim claim = {h->drain, h->token, h->credentials};
    const struct rules *rules = rulebook_rules(rs->options.book);
    const char *why = auth_refusal(rs->options.auth, &claim, name);

    if (why == NULL && !delivery_takes_name(name))
        why = "the drain's name is over 256 bytes, with each control character as four";
    if (why != NULL) {
        refusals_stranger(rs->refusals, why, name, now_us);
        answer_unauthorized(answer, why);
    } else if (rules_refuses(rules, name)) {
        refusals_shut_out(rs->refusals, name, now_us);
        answer_unauthorized(answer, "the rules refuse this drain");
    } else if (rules_app(rules, name) == NULL) {
        refusals_unlisted(rs->refusals, name, now_us);
        answer_unauthorized(answer,
                            "this drain is authenticated, but no app of the rules lists it");
    }
    return answer->status == 0;
}

/* Decides all that the head can decide, in the documented order. True: the body may come, from the
 * drain `name`. */
static bool may_begin(struct requests *rs, const struct headers *h, int64_t now_us,
                      char name[AUTH_NAME_SIZE], struct answer *answer)
{
    const char *encoding = or_empty(h->encoding);

    if (rs->options.auth == NULL) {
        answer_set(answer, MHD_HTTP_NOT_IMPLEMENTED, "%s\n", rs->options.off_reason);
    } else if (!is_authorized(rs, h, now_us, name, answer)) {
        return false;
    } else if (strtoll(or_empty(h->length), NULL, 10) > rs->options.max_body_bytes) {
        answer_too_large(rs, name, now_us, answer);
    } else if (!is_gzip(encoding) && !headers_are_plain(h)) {
        refusals_encoding(rs->refusals, name, encoding, now_us);
        answer_set(answer, MHD_HTTP_UNSUPPORTED_MEDIA_TYPE,
                   "Content-Encoding must be gzip or identity\n");
        answer_set_header(answer, MHD_HTTP_HEADER_ACCEPT_ENCODING, "gzip, identity");
    }
    return answer->status == 0;
}

static uint64_t hash_frame(const char *drain, const char *frame_id)
{
    size_t n = strlen(frame_id);

    if (n == 0 || n > DELIVERY_FRAME_ID_MAX)
        return 0;
    return hash_quick(hash_quick(hash_seed(), drain, strlen(drain)), frame_id, n);
}

static int begin_body(struct request *r, const struct input_format *format, const struct headers *h,
                      int64_t now_us)
{
    const struct requests_options *o = &r->all->options;

    return body_begin(r->body.body, o->book,
                      &(struct delivery_head){
                          .format = format,
                          .received_us = now_us,
                          .drain = r->drain,
                          .frame_id = h->frame_id,
                          .msg_count = h->msg_count,
                          .drop_count = h->drop_count,
                          .lost_count = h->lost_count,
                      },
                      is_gzip(or_empty(h->encoding)), o->max_body_bytes);
}

struct incoming *requests_begin(struct requests *rs, const char *path, const struct headers *h,
                                int64_t now_us, struct answer *answer)
{
    char name[AUTH_NAME_SIZE];
    struct request *r;

    if (!may_begin(rs, h, now_us, name, answer))
        return NULL;
    r = request_new(rs, name);
    if (r == NULL || begin_body(r, input_at(path), h, now_us) != 0) {
        if (r != NULL)
            end(&r->incoming);
        answer_unavailable(answer);
        return NULL;
    }
    r->incoming.ops = &ops;
    r->frame = hash_frame(name, or_empty(h->frame_id));
    return &r->incoming;
}

/* ---- the body ---- */

static bool push(struct incoming *i, struct MHD_Connection *connection, const void *bytes, size_t n)
{
    struct request *r = of(i);
    struct requests *rs = r->all;

    assert(r->state == RECEIVING);
    if (!intake_has_room(&rs->intake, &r->body)) {
        incoming_suspend(&r->incoming, connection);
        DL_APPEND(rs->stalled, r);
        return false;
    }
    intake_push(&rs->intake, &r->body, bytes, n);
    return true;
}

static void finish_body(struct request *r, int64_t now_us, struct answer *answer)
{
    struct requests *rs = r->all;

    intake_finish(&rs->intake, &r->body, &r->records, &r->n_records);
    if (r->body.failure != NULL) {
        refusals_failure(rs->refusals, r->drain, r->body.failure, now_us);
        answer_unavailable(answer);
    } else if (r->body.is_too_large) {
        answer_too_large(rs, r->drain, now_us, answer);
    } else {
        r->counts = body_counts(r->body.body);
        r->is_damaged = body_is_damaged(r->body.body);
        if (r->n_records == 0) {
            answer_accepted(r, answer);
        } else {
            DL_APPEND(rs->waiting, r);
            r->state = WAITING;
        }
    }
}

static void refuse(const struct request *r, int64_t now_us, struct answer *answer)
{
    refusals_failure(r->all->refusals, r->drain,
                     "the journal is full or cannot be written, so its matches are not kept",
                     now_us);
    answer_unavailable(answer);
}

static void finish(struct incoming *i, struct MHD_Connection *connection, int64_t now_us,
                   struct answer *answer)
{
    struct request *r = of(i);

    if (r->state == RECEIVING && !intake_is_behind(&r->body))
        finish_body(r, now_us, answer);
    else if (r->state == HELD)
        incoming_suspend(&r->incoming, connection);
    else if (r->state == DECIDED && r->accepted)
        answer_accepted(r, answer);
    else if (r->state == DECIDED)
        refuse(r, now_us, answer);
}

static const struct incoming_ops ops = {push, finish, sender, end};

/* ---- the wait for the journal ---- */

struct request *requests_waiting(struct requests *rs)
{
    return rs->waiting;
}

struct request *request_next(const struct request *r)
{
    return r->next;
}

const struct wire_record *request_records(const struct request *r, size_t *n)
{
    *n = r->n_records;
    return r->records;
}

void request_set_accepted(struct request *r, bool accepted)
{
    assert(r->state == WAITING);
    r->accepted = accepted;
}

bool request_is_accepted(const struct request *r)
{
    return r->accepted;
}

/* The records of a request that is held are in the journal, and many may be held. */
static void hold(struct requests *rs, struct request *r)
{
    r->state = HELD;
    r->records = NULL;
    if (body_held_bytes(r->body.body) > SPARE_BYTES) {
        body_free(r->body.body);
        r->body.body = NULL;
    }
    DL_APPEND(rs->held, r);
}

void requests_decide(struct requests *rs)
{
    struct request *r, *next;

    DL_FOREACH_SAFE(rs->waiting, r, next)
    {
        DL_DELETE(rs->waiting, r);
        if (r->accepted && rs->options.kept != NULL)
            hold(rs, r);
        else
            r->state = DECIDED;
    }
    (void)requests_release(rs);
}

/* ---- the wait for the database ---- */

void request_set_place(struct request *r, struct request_place place)
{
    r->place = place;
}

const struct request_place *request_place(const struct request *r)
{
    return &r->place;
}

const struct request *requests_held(const struct requests *rs)
{
    return rs->held;
}

static void release(struct requests *rs, struct request *r, enum request_kept kept)
{
    DL_DELETE(rs->held, r);
    r->state = DECIDED;
    r->kept = kept;
    incoming_resume(&r->incoming);
}

bool requests_release(struct requests *rs)
{
    struct request *r, *next;
    bool is_any = false;

    DL_FOREACH_SAFE(rs->held, r, next)
    {
        enum request_kept kept = rs->options.kept(rs->options.kept_ctx, r);

        if (kept != REQUEST_KEPT_NOWHERE)
            release(rs, r, kept);
        is_any = is_any || kept != REQUEST_KEPT_NOWHERE;
    }
    return is_any;
}

void requests_release_all(struct requests *rs)
{
    while (rs->stalled != NULL)
        stop_stalling(rs, rs->stalled);
    while (rs->held != NULL)
        release(rs, rs->held, REQUEST_KEPT_DISK);
}
