/* One request: where it goes, who may deliver, what it is answered. */
#include "common/app/log.h"
#include "common/base/time.h"
#include "ingest/http/http_impl.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RETRY_AFTER_SECONDS = 5 };

/* ---- answers ---- */

static struct MHD_Response *new_response(const struct http *h, const char *text)
{
    struct MHD_Response *response =
        MHD_create_response_from_buffer_with_free_callback(strlen(text), strdup(text), free);

    if (response != NULL && h->stopping)
        http_add_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
    return response;
}

static enum MHD_Result send_response(struct MHD_Connection *connection, unsigned status,
                                     struct MHD_Response *response)
{
    enum MHD_Result result = MHD_queue_response(connection, status, response);

    MHD_destroy_response(response);
    return result;
}

/* One line of plain text that says what is wrong and what would be right. `name` and `value` are a
 * header that the status calls for, or NULL. */
static enum MHD_Result answer_text(struct http *h, struct MHD_Connection *connection,
                                   unsigned status, const char *text, const char *name,
                                   const char *value)
{
    struct MHD_Response *response = new_response(h, text);

    if (response == NULL)
        return MHD_NO;
    http_add_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, "text/plain; charset=utf-8");
    if (name != NULL)
        http_add_header(response, name, value);
    return send_response(connection, status, response);
}

static enum MHD_Result answer_health(struct http *h, struct MHD_Connection *connection)
{
    char reason[512], text[sizeof reason + 2];
    bool healthy = h->options.is_healthy(h->options.ctx, reason, sizeof reason);

    snprintf(text, sizeof text, "%s\n", healthy ? "ok" : reason);
    return answer_text(h, connection, healthy ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE, text,
                       MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
}

static enum MHD_Result answer_accepted(struct http *h, struct request *r)
{
    struct delivery_counts counts = body_counts(r->body);
    bool damaged = body_is_damaged(r->body);

    if (counts.malformed > 0) /* a damaged body is counted as one more malformed frame */
        h->options.on_damage(h->options.ctx, r->drain, counts.malformed - damaged, damaged);
    /* A drain may watch the app that we run in: without this, each receipt would be delivered to us
     * as a line, and be receipted. */
    if (counts.own_lines < counts.lines || counts.lines == 0)
        h->options.on_receipt(h->options.ctx, counts.lines);
    return MHD_queue_response(r->connection, MHD_HTTP_NO_CONTENT,
                              h->stopping ? h->accepted_last : h->accepted);
}

static enum MHD_Result answer_unavailable(struct http *h, struct request *r)
{
    char seconds[16];

    snprintf(seconds, sizeof seconds, "%d", RETRY_AFTER_SECONDS);
    return answer_text(h, r->connection, MHD_HTTP_SERVICE_UNAVAILABLE,
                       "nothing was recorded: the journal is full or cannot be written, or the "
                       "delivery is more than can be taken\n",
                       MHD_HTTP_HEADER_RETRY_AFTER, seconds);
}

static enum MHD_Result answer_too_large(struct http *h, struct MHD_Connection *connection)
{
    char text[128];

    snprintf(text, sizeof text, "the body is over %lld bytes (DRAINWATCH_MAX_BODY_BYTES)\n",
             (long long)h->options.max_body_bytes);
    return answer_text(h, connection, MHD_HTTP_CONTENT_TOO_LARGE, text, NULL, NULL);
}

/* ---- who may deliver ---- */

/* What we read of a request's head; NULL: there is none. */
struct head {
    const char *drain; /* Logplex-Drain-Token */
    const char *credentials;
    const char *token; /* the URL's drain_token */
    const char *encoding;
    const char *length;
    const char *frame_id;
    const char *msg_count;
    const char *drop_count;
    const char *lost_count;
};

static const char *or_empty(const char *value)
{
    return value == NULL ? "" : value;
}

/* Keeps one value. Of several with one name the first counts. */
static enum MHD_Result take_value(void *ctx, enum MHD_ValueKind kind, const char *name, size_t len,
                                  const char *value, size_t value_len)
{
    static const struct {
        const char *name;
        size_t len;
        enum MHD_ValueKind kind;
        size_t to;
    } wanted[] = {
#define WANTED(kind, name, field) {name, sizeof name - 1, kind, offsetof(struct head, field)}
        WANTED(MHD_GET_ARGUMENT_KIND, "drain_token", token),
        WANTED(MHD_HEADER_KIND, "Authorization", credentials),
        WANTED(MHD_HEADER_KIND, "Content-Encoding", encoding),
        WANTED(MHD_HEADER_KIND, "Content-Length", length),
        WANTED(MHD_HEADER_KIND, "Logplex-Drain-Token", drain),
        WANTED(MHD_HEADER_KIND, "Logplex-Drop-Count", drop_count),
        WANTED(MHD_HEADER_KIND, "Logplex-Frame-Id", frame_id),
        WANTED(MHD_HEADER_KIND, "Logplex-Lost-Count", lost_count),
        WANTED(MHD_HEADER_KIND, "Logplex-Msg-Count", msg_count),
#undef WANTED
    };

    (void)value_len;
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        const char **to = (const char **)((char *)ctx + wanted[i].to);

        if (wanted[i].len == len && wanted[i].kind == kind && *to == NULL &&
            strncasecmp(wanted[i].name, name, len) == 0) {
            *to = value;
            break;
        }
    }
    return MHD_YES;
}

/* One walk over the list: a lookup of each by itself costs 0.3 µs a request more. */
static struct head read_head(struct MHD_Connection *connection)
{
    struct head head = {0};

    MHD_get_connection_values_n(connection, MHD_HEADER_KIND | MHD_GET_ARGUMENT_KIND, take_value,
                                &head);
    return head;
}

/* The first refusal is said at once, those of the next minute are summed up at its end. */
static void say_refusals(struct refusals *f, int64_t now_us)
{
    if (f->say_again_us == 0 || now_us < f->say_again_us)
        return;
    if (f->since_said > 0)
        log_warning("401: %llu more deliveries were refused in the last minute, the last one: %s",
                    (unsigned long long)f->since_said, f->last);
    f->say_again_us = f->since_said > 0 ? now_us + TIME_MINUTE : 0;
    f->since_said = 0;
}

void http_say_refusals(struct http *h)
{
    say_refusals(&h->strangers, h->now_us);
    say_refusals(&h->unlisted, h->now_us);
}

bool http_has_refusals(const struct http *h)
{
    return h->strangers.say_again_us != 0 || h->unlisted.say_again_us != 0;
}

/* `f->last` says what happened. */
static void note_refusal(struct refusals *f, int64_t now_us)
{
    if (f->say_again_us == 0) {
        log_warning("401: a delivery was refused: %s", f->last);
        f->say_again_us = now_us + TIME_MINUTE;
    } else {
        f->since_said++;
    }
}

static void note_stranger(struct http *h, const char *why, const char *name)
{
    struct refusals *f = &h->strangers;
    char shown[AUTH_NAME_SIZE] = "a token where the name should be";

    if (auth_may_show(name)) {
        snprintf(shown, sizeof shown, "%s", name);
        shown[log_without_secrets(shown, strlen(shown))] = '\0'; /* before it is cut */
    }
    snprintf(f->last, sizeof f->last, "%s%s%.100s", why, *shown ? ": " : "", shown);
    note_refusal(f, h->now_us);
}

static void note_unlisted(struct http *h, const char *name)
{
    struct refusals *f = &h->unlisted;

    snprintf(f->last, sizeof f->last,
             "drain \"%.100s\" is authenticated, but no app of the rules lists it: add it to apps, "
             "or set app",
             name);
    note_refusal(f, h->now_us);
}

/* Either form is enough. `name` gets the drain's name where one was right, and the name that was
 * claimed where none was. */
static const char *authenticate(struct http *h, const struct head *head, char name[AUTH_NAME_SIZE])
{
    const char *drain = or_empty(head->drain);
    const char *credentials = or_empty(head->credentials);
    const char *token = head->token;

    name[0] = '\0';
    if (token != NULL && *drain != '\0' && strlen(drain) < AUTH_NAME_SIZE &&
        auth_check(h->options.auth, drain, token)) {
        snprintf(name, AUTH_NAME_SIZE, "%s", drain);
        return NULL;
    }
    if (auth_check_basic(h->options.auth, credentials, name))
        return NULL;
    if (*credentials != '\0')
        return "the Basic credentials are not NAME:HMAC-SHA256(secret, NAME)";
    snprintf(name, AUTH_NAME_SIZE, "%s", drain);
    if (token == NULL)
        return "neither drain_token in the URL nor Basic credentials";
    return *drain == '\0' ? "drain_token needs the header Logplex-Drain-Token"
                          : "drain_token is not HMAC-SHA256(secret, Logplex-Drain-Token)";
}

/* ---- a delivery ---- */

static bool is_gzip(const char *encoding)
{
    return strcasecmp(encoding, "gzip") == 0 || strcasecmp(encoding, "x-gzip") == 0;
}

static bool is_identity(const char *encoding)
{
    return *encoding == '\0' || strcasecmp(encoding, "identity") == 0;
}

static enum MHD_Result refuse(struct http *h, struct MHD_Connection *connection, const char *why)
{
    char text[256];

    snprintf(text, sizeof text, "%s\n", why);
    return answer_text(h, connection, MHD_HTTP_UNAUTHORIZED, text, MHD_HTTP_HEADER_WWW_AUTHENTICATE,
                       "Basic realm=\"drainwatch\"");
}

static bool is_declared_too_large(const struct http *h, const struct head *head)
{
    return strtoll(or_empty(head->length), NULL, 10) > h->options.max_body_bytes;
}

/* `rc` is what body answered. A delivery that cannot be taken is answered 503 in the end, so that
 * its client tries again. */
static enum MHD_Result note_failure(struct http *h, struct request *r, int rc)
{
    if (rc == 0)
        return MHD_YES;
    r->state = FAILED;
    if (h->now_us >= h->failed_us + TIME_MINUTE || h->now_us < h->failed_us) {
        h->failed_us = h->now_us;
        log_error("a delivery is answered 503: %s", rc == ERR_FULL
                                                        ? "it matches more often than one may"
                                                    : rc == ERR_NOMEM ? "out of memory"
                                                                      : "it cannot be scanned");
    }
    return MHD_YES;
}

/* Everything about a delivery that its headers can decide, in the order in which it is documented.
 * True: the body may come, from the drain `name`; else *answered is the answer. */
static bool may_begin(struct http *h, struct MHD_Connection *connection, const struct head *head,
                      char name[AUTH_NAME_SIZE], enum MHD_Result *answered)
{
    const char *encoding = or_empty(head->encoding);
    const char *why;

    if (h->options.auth == NULL) {
        *answered =
            answer_text(h, connection, MHD_HTTP_NOT_IMPLEMENTED, h->options.off_reason, NULL, NULL);
    } else if ((why = authenticate(h, head, name)) != NULL) {
        note_stranger(h, why, name);
        *answered = refuse(h, connection, why);
    } else if (rules_app(rulebook_rules(h->options.book), name) == NULL) {
        note_unlisted(h, name);
        *answered = refuse(h, connection,
                           "this drain is authenticated, but no app of the rules "
                           "lists it");
    } else if (is_declared_too_large(h, head)) {
        *answered = answer_too_large(h, connection);
    } else if (!is_gzip(encoding) && !is_identity(encoding)) {
        *answered = answer_text(h, connection, MHD_HTTP_UNSUPPORTED_MEDIA_TYPE,
                                "Content-Encoding must be gzip or identity\n",
                                MHD_HTTP_HEADER_ACCEPT_ENCODING, "gzip, identity");
    } else {
        return true;
    }
    return false;
}

/* The headers are there, the body is not. */
static enum MHD_Result begin_delivery(struct http *h, struct MHD_Connection *connection,
                                      struct request **out)
{
    const struct head head = read_head(connection);
    char name[AUTH_NAME_SIZE];
    enum MHD_Result answered;
    struct request *r;

    if (!may_begin(h, connection, &head, name, &answered))
        return answered;
    r = http_take_request(h, connection);
    if (r == NULL)
        return MHD_NO;
    r->state = RECEIVING;
    r->delivery = (struct http_delivery){0};
    memcpy(r->drain, name, strlen(name) + 1);
    *out = r;
    return note_failure(h, r,
                        body_begin(r->body, h->options.book,
                                   &(struct delivery_head){
                                       .received_us = h->now_us,
                                       .drain = name,
                                       .frame_id = head.frame_id,
                                       .msg_count = head.msg_count,
                                       .drop_count = head.drop_count,
                                       .lost_count = head.lost_count,
                                   },
                                   is_gzip(or_empty(head.encoding)), h->options.max_body_bytes));
}

static bool reserve_pending(struct http *h)
{
    size_t cap = h->cap_pending ? 2 * h->cap_pending : 64;
    struct http_delivery **grown;

    if (h->n_pending < h->cap_pending)
        return true;
    grown = realloc(h->pending, cap * sizeof *grown);
    if (grown == NULL)
        return false;
    h->pending = grown;
    h->cap_pending = cap;
    return true;
}

static enum MHD_Result finish_delivery(struct http *h, struct request *r)
{
    enum body_verdict verdict = BODY_COMPLETE;

    if (r->state == RECEIVING)
        note_failure(h, r,
                     body_finish(r->body, &verdict, &r->delivery.records, &r->delivery.n_records));
    if (r->state == FAILED)
        return answer_unavailable(h, r);
    if (verdict == BODY_TOO_LARGE)
        return answer_too_large(h, r->connection);
    if (r->delivery.n_records == 0)
        return answer_accepted(h, r);
    if (!reserve_pending(h))
        return answer_unavailable(h, r);
    h->pending[h->n_pending++] = &r->delivery;
    r->state = WAITING;
    return MHD_YES;
}

/* Where a whole request has no answer yet, libmicrohttpd asks for it again at each run, and tells
 * its loop not to wait. So there is no need to suspend a connection and wake it again, which costs
 * two epoll_ctl and a recv: 2.5 µs a delivery. */
static enum MHD_Result go_on(struct http *h, struct request *r, const char *data, size_t *n)
{
    if (r->state == WAITING)
        return MHD_YES;
    if (r->state == DECIDED)
        return r->delivery.accepted ? answer_accepted(h, r) : answer_unavailable(h, r);
    assert(r->state == RECEIVING || r->state == FAILED);
    if (*n == 0)
        return finish_delivery(h, r);
    if (r->state == RECEIVING)
        note_failure(h, r, body_push(r->body, data, *n));
    *n = 0;
    return MHD_YES;
}

enum MHD_Result http_on_request(void *ctx, struct MHD_Connection *connection, const char *url,
                                const char *method, const char *version, const char *data,
                                size_t *n, void **slot)
{
    struct http *h = ctx;
    bool is_get = strcmp(method, MHD_HTTP_METHOD_GET) == 0;

    (void)version;
    h->calls++;
    if (*slot != NULL)
        return go_on(h, *slot, data, n);
    if (strcmp(url, HTTP_HEALTH_PATH) == 0) {
        if (is_get || strcmp(method, MHD_HTTP_METHOD_HEAD) == 0)
            return answer_health(h, connection);
        return answer_text(h, connection, MHD_HTTP_METHOD_NOT_ALLOWED,
                           HTTP_HEALTH_PATH " takes GET\n", MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
    }
    if (strcmp(url, HTTP_DRAIN_PATH) != 0)
        return answer_text(h, connection, MHD_HTTP_NOT_FOUND,
                           "there are " HTTP_DRAIN_PATH " and " HTTP_HEALTH_PATH "\n", NULL, NULL);
    if (strcmp(method, MHD_HTTP_METHOD_POST) != 0)
        return answer_text(h, connection, MHD_HTTP_METHOD_NOT_ALLOWED,
                           HTTP_DRAIN_PATH " takes POST\n", MHD_HTTP_HEADER_ALLOW, "POST");
    return begin_delivery(h, connection, (struct request **)slot);
}

static void give_up(struct http *h, struct request *r)
{
    /* The client is gone, and nobody has looked at its delivery yet. */
    for (size_t i = 0; r->state == WAITING && i < h->n_pending; i++) {
        if (h->pending[i] != &r->delivery)
            continue;
        h->n_pending--;
        memmove(&h->pending[i], &h->pending[i + 1], (h->n_pending - i) * sizeof *h->pending);
        break;
    }
    http_give_back_request(h, r);
}

void http_on_completed(void *ctx, struct MHD_Connection *connection, void **slot,
                       enum MHD_RequestTerminationCode code)
{
    (void)connection;
    (void)code; /* an incomplete delivery counts for nothing: its client will try again */
    if (*slot != NULL)
        give_up(ctx, *slot);
    *slot = NULL;
}
