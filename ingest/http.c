#include "ingest/http.h"

#include "common/log.h"
#include "common/time.h"
#include "ingest/body.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utlist.h>

static const int64_t LOOK_US = TIME_S;

enum {
    /* The pool of a connection is cleared for every request: 18 µs a request at 32 to 48 KiB, 27 at
     * 128 KiB, 74 at 512 KiB (measured). */
    POOL_BYTES = 48 << 10,
    /* Logplex closes an idle connection after 4 minutes (logplex_http_drain.erl); it shall be the
     * one that closes, so that it never posts into a connection that we just dropped. */
    IDLE_SECONDS = 330,
    CONNECTIONS_MAX = 4096,
    RETRY_AFTER_SECONDS = 5,
    SPARE_REQUESTS = 64,
    /* A chunk extension that does not fit into the pool leaves libmicrohttpd (0.9.75) saying "at
     * once" for as long as the connection lasts. Nothing healthy needs so many runs before a
     * request shows; from then on the rest is looked at so often. */
    STUCK_RUNS = 32,
    STUCK_MS = 10,
};

enum state {
    RECEIVING,
    FAILED,  /* what is left of the body is read and forgotten: an answer can only follow it */
    WAITING, /* suspended until its record is in the journal */
    DECIDED, /* http_answer has resumed it */
};

struct request {
    struct http_delivery delivery; /* first, so that the caller's pointer leads back here */
    struct MHD_Connection *connection;
    struct client *client; /* NULL: there was no memory for it */
    struct body *body;
    enum state state;
    struct request *next_spare;
};

/* A connection. */
struct client {
    int fd;
    bool at_end;             /* when last looked at, it had sent all that it will */
    struct request *request; /* NULL: no delivery has begun, or it is answered */
    struct client *prev, *next;
};

struct refusals {
    uint64_t since_said;
    int64_t say_again_us; /* 0: nothing was refused lately */
    char last[256];
};

struct http {
    struct http_options options;
    struct MHD_Daemon *daemon;
    struct MHD_Response *accepted; /* 204, shared by all */
    struct MHD_Response *accepted_last;
    int64_t now_us;
    bool stopping;
    size_t open;
    struct client *clients;
    int64_t looked_us; /* when they were last looked at */
    int64_t failed_us; /* when a failure was last said */
    uint64_t calls;    /* of on_request */
    unsigned stuck_runs;
    struct http_delivery **pending;
    size_t n_pending, cap_pending;
    struct http_delivery **answering; /* the other half: a turn is emptied before it is answered */
    size_t cap_answering;
    struct request *spare;
    size_t n_spare;
    struct refusals refusals;
};

/* ---- requests ---- */

static void request_free(struct request *r)
{
    if (r == NULL)
        return;
    body_free(r->body);
    free(r);
}

static struct request *request_take(struct http *h)
{
    struct request *r = h->spare;

    if (r != NULL) {
        h->spare = r->next_spare;
        h->n_spare--;
    } else {
        r = calloc(1, sizeof *r);
        if (r == NULL || (r->body = body_new()) == NULL) {
            request_free(r);
            return NULL;
        }
    }
    h->open++;
    return r;
}

static void request_give_back(struct http *h, struct request *r)
{
    h->open--;
    if (r->client != NULL)
        r->client->request = NULL;
    if (h->n_spare == SPARE_REQUESTS) {
        request_free(r);
        return;
    }
    r->next_spare = h->spare;
    h->spare = r;
    h->n_spare++;
}

/* ---- connections ---- */

static void on_connection(void *ctx, struct MHD_Connection *connection, void **slot,
                          enum MHD_ConnectionNotificationCode code)
{
    struct http *h = ctx;
    struct client *c = *slot;

    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        c = calloc(1, sizeof *c);
        *slot = c;
        if (c == NULL)
            return;
        c->fd = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
        DL_APPEND(h->clients, c);
    } else if (c != NULL) {
        DL_DELETE(h->clients, c);
        free(c);
    }
}

static struct client *client_of(struct MHD_Connection *connection)
{
    return MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
}

/* Whether nothing can come of a connection any more. */
static bool is_broken_off(struct client *c)
{
    char byte;
    bool was_at_end = c->at_end;

    c->at_end = recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
    if (!c->at_end)
        return false;
    if (c->request != NULL)
        return c->request->state <= FAILED;
    return was_at_end; /* the first time, an answer may be on its way */
}

/* libmicrohttpd (0.9.75) overlooks an end of stream that was there before it read the bytes in
 * front of it: its epoll tells of both at once, and a short read makes it wait for news that never
 * come. What breaks off so would stay open until the idle timeout, fill the table of connections,
 * and hold up our own end. Shutting the socket down is news. */
static void end_broken_off(struct http *h)
{
    struct client *c;

    if (h->now_us >= h->looked_us && h->now_us - h->looked_us < LOOK_US)
        return;
    h->looked_us = h->now_us;
    DL_FOREACH(h->clients, c)
    {
        if (is_broken_off(c))
            shutdown(c->fd, SHUT_RDWR);
    }
}

/* ---- answers ---- */

static void add_header(struct MHD_Response *response, const char *name, const char *value)
{
    if (MHD_add_response_header(response, name, value) != MHD_YES)
        log_warning("an answer goes without its %s header: out of memory", name);
}

static struct MHD_Response *new_response(const struct http *h, const char *text)
{
    struct MHD_Response *response =
        MHD_create_response_from_buffer_with_free_callback(strlen(text), strdup(text), free);

    if (response != NULL && h->stopping)
        add_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
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
    add_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, "text/plain; charset=utf-8");
    if (name != NULL)
        add_header(response, name, value);
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

static const char *find(struct MHD_Connection *connection, const char *name)
{
    return MHD_lookup_connection_value(connection, MHD_HEADER_KIND, name);
}

static const char *header(struct MHD_Connection *connection, const char *name)
{
    const char *value = find(connection, name);

    return value == NULL ? "" : value;
}

/* The first refusal is said at once, those of the next minute are summed up at its end. */
static void say_refusals(struct http *h)
{
    struct refusals *f = &h->refusals;

    if (f->say_again_us == 0 || h->now_us < f->say_again_us)
        return;
    if (f->since_said > 0)
        log_warning("401: %llu more deliveries were refused in the last minute, the last one: %s",
                    (unsigned long long)f->since_said, f->last);
    f->say_again_us = f->since_said > 0 ? h->now_us + TIME_MINUTE : 0;
    f->since_said = 0;
}

static void note_refusal(struct http *h, const char *why, const char *name)
{
    struct refusals *f = &h->refusals;
    char shown[AUTH_NAME_SIZE] = "a token where the name should be";

    if (auth_may_show(name)) {
        snprintf(shown, sizeof shown, "%s", name);
        shown[log_without_secrets(shown, strlen(shown))] = '\0'; /* before it is cut */
    }
    snprintf(f->last, sizeof f->last, "%s%s%.100s", why, *shown ? ": " : "", shown);
    if (f->say_again_us == 0) {
        log_warning("401: a delivery was refused: %s", f->last);
        f->say_again_us = h->now_us + TIME_MINUTE;
    } else {
        f->since_said++;
    }
}

/* Either form is enough. `name` gets the drain's name where one was right, and the name that was
 * claimed where none was. */
static const char *authenticate(struct http *h, struct MHD_Connection *connection,
                                char name[AUTH_NAME_SIZE])
{
    const char *drain = header(connection, "Logplex-Drain-Token");
    const char *credentials = header(connection, MHD_HTTP_HEADER_AUTHORIZATION);
    const char *token =
        MHD_lookup_connection_value(connection, MHD_GET_ARGUMENT_KIND, "drain_token");

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

static enum MHD_Result refuse(struct http *h, struct MHD_Connection *connection, const char *why,
                              const char *name)
{
    char text[256];

    note_refusal(h, why, name);
    snprintf(text, sizeof text, "%s\n", why);
    return answer_text(h, connection, MHD_HTTP_UNAUTHORIZED, text, MHD_HTTP_HEADER_WWW_AUTHENTICATE,
                       "Basic realm=\"drainwatch\"");
}

static bool is_declared_too_large(const struct http *h, struct MHD_Connection *connection)
{
    const char *length = header(connection, MHD_HTTP_HEADER_CONTENT_LENGTH);

    return strtoll(length, NULL, 10) > h->options.max_body_bytes;
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

/* The headers are there, the body is not: everything that they can decide is decided here. */
static enum MHD_Result begin_delivery(struct http *h, struct MHD_Connection *connection,
                                      struct request **out)
{
    char name[AUTH_NAME_SIZE];
    const char *encoding = header(connection, MHD_HTTP_HEADER_CONTENT_ENCODING);
    const char *why;
    struct request *r;

    if (h->options.auth == NULL)
        return answer_text(h, connection, MHD_HTTP_NOT_IMPLEMENTED, h->options.off_reason, NULL,
                           NULL);
    why = authenticate(h, connection, name);
    if (why != NULL)
        return refuse(h, connection, why, name);
    if (is_declared_too_large(h, connection))
        return answer_too_large(h, connection);
    if (!is_gzip(encoding) && !is_identity(encoding))
        return answer_text(h, connection, MHD_HTTP_UNSUPPORTED_MEDIA_TYPE,
                           "Content-Encoding must be gzip or identity\n",
                           MHD_HTTP_HEADER_ACCEPT_ENCODING, "gzip, identity");
    r = request_take(h);
    if (r == NULL)
        return MHD_NO;
    r->connection = connection;
    r->client = client_of(connection);
    if (r->client != NULL)
        r->client->request = r;
    r->state = RECEIVING;
    r->delivery = (struct http_delivery){0};
    *out = r;
    return note_failure(h, r,
                        body_begin(r->body, h->options.match,
                                   &(struct delivery_head){
                                       .received_us = h->now_us,
                                       .drain = name,
                                       .frame_id = find(connection, "Logplex-Frame-Id"),
                                       .msg_count = find(connection, "Logplex-Msg-Count"),
                                       .drop_count = find(connection, "Logplex-Drop-Count"),
                                       .lost_count = find(connection, "Logplex-Lost-Count"),
                                   },
                                   is_gzip(encoding), h->options.max_body_bytes));
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
    MHD_suspend_connection(r->connection);
    return MHD_YES;
}

static enum MHD_Result go_on(struct http *h, struct request *r, const char *data, size_t *n)
{
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

static enum MHD_Result on_request(void *ctx, struct MHD_Connection *connection, const char *url,
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

static void on_completed(void *ctx, struct MHD_Connection *connection, void **slot,
                         enum MHD_RequestTerminationCode code)
{
    (void)connection;
    (void)code; /* an incomplete delivery counts for nothing: its client will try again */
    if (*slot != NULL)
        request_give_back(ctx, *slot);
    *slot = NULL;
}

/* ---- the daemon ---- */

static int listen_on(int family, uint16_t port)
{
    int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons(port)};
    const struct sockaddr *address =
        family == AF_INET6 ? (const struct sockaddr *)&six : (const struct sockaddr *)&four;
    socklen_t size = family == AF_INET6 ? sizeof six : sizeof four;
    int on = 1, off = 0, saved;

    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    if (bind(fd, address, size) == 0 && listen(fd, SOMAXCONN) == 0)
        return fd;
    saved = errno;
    close(fd);
    errno = saved;
    return -1;
}

static int open_port(uint16_t port, struct err *err)
{
    int fd = listen_on(AF_INET6, port);

    if (fd < 0 && errno != EADDRINUSE && errno != EACCES)
        fd = listen_on(AF_INET, port); /* a machine without IPv6 */
    if (fd >= 0)
        return fd;
    if (errno == EADDRINUSE)
        return err_set(err, ERR_BUSY,
                       "port %u is in use by another process (stop it, or set PORT to another one)",
                       port);
    return err_set(err, ERR_IO, "cannot listen on port %u: %s", port, strerror(errno));
}

static struct MHD_Response *empty_response(bool last)
{
    struct MHD_Response *response =
        MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);

    if (response != NULL && last)
        add_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
    return response;
}

/* libmicrohttpd's own epoll thread can stall for ever when epoll_wait returns exactly 128 events
 * (0.9.75), so there is no such thread: our loop polls its descriptor and calls MHD_run. */
static struct MHD_Daemon *start_daemon(struct http *h, int fd)
{
    return MHD_start_daemon(
        MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME, h->options.port, NULL, NULL, on_request, h,
        MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)POOL_BYTES,
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE_SECONDS, MHD_OPTION_CONNECTION_LIMIT,
        (unsigned)CONNECTIONS_MAX, MHD_OPTION_NOTIFY_COMPLETED, on_completed, h,
        MHD_OPTION_NOTIFY_CONNECTION, on_connection, h, MHD_OPTION_END);
}

int http_open(const struct http_options *options, struct http **out, struct err *err)
{
    struct http *h = calloc(1, sizeof *h);
    int fd;

    if (h == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    h->options = *options;
    h->accepted = empty_response(false);
    h->accepted_last = empty_response(true);
    fd = open_port(options->port, err);
    if (fd < 0) {
        http_close(h);
        return fd;
    }
    if (h->accepted != NULL && h->accepted_last != NULL)
        h->daemon = start_daemon(h, fd);
    if (h->daemon == NULL) {
        close(fd);
        http_close(h);
        return err_set(err, ERR_IO, "cannot start the HTTP server on port %u", options->port);
    }
    *out = h;
    return 0;
}

/* A suspended connection cannot be ended: wake them all. */
static void abandon_pending(struct http *h)
{
    for (size_t i = 0; i < h->n_pending; i++) {
        struct request *r = (struct request *)h->pending[i];

        r->state = DECIDED;
        MHD_resume_connection(r->connection);
    }
    h->n_pending = 0;
    MHD_run(h->daemon);
}

void http_close(struct http *h)
{
    if (h == NULL)
        return;
    if (h->daemon != NULL) {
        abandon_pending(h);
        MHD_stop_daemon(h->daemon);
    }
    if (h->accepted != NULL)
        MHD_destroy_response(h->accepted);
    if (h->accepted_last != NULL)
        MHD_destroy_response(h->accepted_last);
    while (h->spare != NULL) {
        struct request *r = h->spare;

        h->spare = r->next_spare;
        request_free(r);
    }
    free(h->pending);
    free(h->answering);
    free(h);
}

int http_fd(const struct http *h)
{
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(h->daemon, MHD_DAEMON_INFO_EPOLL_FD);

    assert(info != NULL);
    return info->epoll_fd;
}

int http_timeout_ms(const struct http *h)
{
    MHD_UNSIGNED_LONG_LONG ms;

    if (MHD_get_timeout(h->daemon, &ms) != MHD_YES)
        return h->refusals.say_again_us != 0 ? 60000 : -1;
    if (ms == 0 && h->stuck_runs >= STUCK_RUNS)
        return STUCK_MS;
    return ms > 60000 ? 60000 : (int)ms;
}

void http_run(struct http *h, int64_t now_us)
{
    uint64_t before = h->calls;
    MHD_UNSIGNED_LONG_LONG ms;
    bool at_once;

    h->now_us = now_us;
    say_refusals(h);
    MHD_run(h->daemon);
    at_once = MHD_get_timeout(h->daemon, &ms) == MHD_YES && ms == 0;
    h->stuck_runs = at_once && h->calls == before ? h->stuck_runs + 1 : 0;
    end_broken_off(h);
}

size_t http_pending(struct http *h, struct http_delivery ***out)
{
    *out = h->pending;
    return h->n_pending;
}

void http_answer(struct http *h, int64_t now_us)
{
    struct http_delivery **turn = h->pending;
    size_t n = h->n_pending, cap = h->cap_pending;

    /* Deliveries that come in during the MHD_run below belong to the next turn. */
    h->pending = h->answering;
    h->cap_pending = h->cap_answering;
    h->n_pending = 0;
    h->answering = turn;
    h->cap_answering = cap;
    for (size_t i = 0; i < n; i++) {
        struct request *r = (struct request *)turn[i];

        r->state = DECIDED;
        MHD_resume_connection(r->connection);
    }
    /* MHD_get_timeout knows nothing of resumed connections: run at once, or answers wait. */
    http_run(h, now_us);
}

void http_stop(struct http *h)
{
    int fd;

    h->stopping = true;
    fd = MHD_quiesce_daemon(h->daemon);
    if (fd >= 0)
        close(fd);
}

size_t http_open_requests(const struct http *h)
{
    return h->open;
}
