/* Drives libmicrohttpd and its connections; called by ingest's loop. */
#include "ingest/http/server.h"

#include "common/app/log.h"
#include "ingest/http/clients.h"
#include "ingest/http/framing.h"
#include "ingest/http/port.h"
#include "ingest/http/routes.h"

#include <assert.h>
#include <linux/tcp.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utlist.h>

enum {
    /* libmicrohttpd clears a connection's pool for every request: 18 µs at 32 to 48 KiB, 27 at 128
     * KiB, 74 at 512 KiB. */
    POOL_BYTES = 48 << 10,
    /* Half of it is the read buffer: with it 200 KB under load take 9 reads. */
    READ_BYTES = POOL_BYTES / 2,
    /* A chunk extension that does not fit into the pool makes libmicrohttpd (0.9.75) ask for a run
     * at once for as long as the connection lasts. After so many runs in which nothing came we look
     * for such a connection and end it. */
    STUCK_RUNS = 32,
    PROBES_MAX = 200, /* of one body: each takes room */
};

/* The other end of a connection. */
struct peer {
    struct client client;
    struct MHD_Connection *connection;
    struct framing_target target; /* of the request whose head is coming */
    bool is_chunked;              /* the request that is coming; it is the connection's last */
    uint64_t looked_bytes;        /* body_bytes at the last look */
    uint64_t arrived_bytes;       /* of the connection, at the last look */
    bool has_room;                /* for more than these bytes, as a probe found */
    unsigned probes;
};

struct server {
    struct MHD_Daemon *daemon;
    struct requests *requests;
    struct handovers *handovers; /* NULL: none are taken */
    struct refusals refusals;
    struct routes routes;
    struct clients clients;
    struct MHD_Response *empty;
    int64_t now_us;
    struct answer answer; /* of the call of on_request that runs */
    uint64_t calls;       /* of on_request */
    unsigned idle_runs;
    bool stopping;
};

/* ---- connections ---- */

/* NULL: there was no memory for it. Then the connection ends with its first request. */
static struct peer *peer_of(struct MHD_Connection *connection)
{
    return MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
}

static void on_connection(void *ctx, struct MHD_Connection *connection, void **slot,
                          enum MHD_ConnectionNotificationCode code)
{
    struct server *s = ctx;
    struct peer *p = *slot;

    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        p = calloc(1, sizeof *p);
        *slot = p;
        if (p == NULL)
            return;
        p->connection = connection;
        clients_add(
            &s->clients, &p->client,
            MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd);
    } else if (p != NULL) {
        clients_remove(&s->clients, &p->client);
        free(p);
    }
}

/* The bytes that came over the connection, read or not. */
static uint64_t count_arrived(const struct peer *p)
{
    struct tcp_info info = {.tcpi_bytes_received = 0};
    socklen_t n = sizeof info;

    getsockopt(p->client.fd, IPPROTO_TCP, TCP_INFO, &info, &n);
    return info.tcpi_bytes_received > 0 ? info.tcpi_bytes_received : p->arrived_bytes + 1;
}

/* Whether the connection is to be probed: its body does not go on, and bytes have come since a
 * probe found room, or since the last look, when they may not have been read. So nobody else can
 * use up the probes of a body that waits. */
static bool is_suspect(struct peer *p)
{
    uint64_t arrived = count_arrived(p);
    bool is_quiet = arrived == p->arrived_bytes;
    bool goes_on = p->client.body_bytes != p->looked_bytes;
    bool had_room = p->has_room;

    p->arrived_bytes = arrived;
    p->looked_bytes = p->client.body_bytes;
    p->has_room = is_quiet && !goes_on;
    return !goes_on && !(is_quiet && had_room);
}

/* Whether libmicrohttpd's buffer of the connection is full of bytes that it cannot use. It gives
 * room for one more value unless its read buffer fills the pool; no value of this kind is read. */
static bool is_stuck(struct peer *p)
{
    if (p->client.step != CLIENTS_BODY || !p->is_chunked || !is_suspect(p))
        return false;
    return p->probes++ >= PROBES_MAX ||
           MHD_set_connection_value(p->connection, MHD_POSTDATA_KIND, "", "") != MHD_YES;
}

static void end_stuck(struct server *s)
{
    struct client *c, *next;

    s->idle_runs = 0;
    DL_FOREACH_SAFE(s->clients.known, c, next)
    {
        if (is_stuck((struct peer *)c))
            clients_end(&s->clients, c, CLIENTS_STUCK);
    }
}

/* ---- requests, as libmicrohttpd reports them ---- */

/* Called when the request line has come. The result becomes on_request's `slot`. */
static void *on_target(void *ctx, const char *uri, struct MHD_Connection *connection)
{
    struct peer *p = peer_of(connection);

    (void)ctx;
    if (p != NULL)
        p->target = framing_target(uri);
    return NULL;
}

static struct incoming *begin(struct server *s, struct peer *p, const char *url, const char *method,
                              const char *version, struct answer *answer)
{
    const char *fault = framing_fault(p->connection, &p->target, method, version, &p->is_chunked);
    struct incoming *i;

    if (fault != NULL) {
        refusals_head(&s->refusals, fault, s->now_us);
        answer_set(answer, MHD_HTTP_BAD_REQUEST, "%s\n", fault);
        return NULL;
    }
    i = routes_begin(&s->routes, p->connection, url, method, s->now_us, answer);
    if (i != NULL)
        clients_know(&s->clients, &p->client, i->ops->sender(i));
    clients_go_to(&s->clients, &p->client, CLIENTS_BODY);
    return i;
}

/* Returns how many of the bytes were not taken. */
static size_t push(struct peer *p, struct incoming *i, const char *data, size_t n)
{
    if (!i->ops->push(i, p->connection, data, n))
        return n;
    p->client.body_bytes += n;
    return 0;
}

static void finish(struct server *s, struct peer *p, struct incoming *i, struct answer *answer)
{
    if (p->client.step == CLIENTS_BODY)
        clients_go_to(&s->clients, &p->client, CLIENTS_WAIT);
    i->ops->finish(i, p->connection, s->now_us, answer);
}

/* Called when the head is complete, for each piece of the body, and after it until there is an
 * answer. While a delivery waits for the journal libmicrohttpd calls again at each run and says
 * that its loop must not wait. Suspending the connection instead costs 2.5 µs a delivery, which the
 * longer wait for a database is worth. */
static enum MHD_Result on_request(void *ctx, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *data,
                                  size_t *n, void **slot)
{
    struct server *s = ctx;
    struct peer *p = peer_of(connection);
    struct incoming *i = *slot;
    struct answer *answer = &s->answer;
    size_t left = 0;
    bool last;

    if (p == NULL)
        return MHD_NO;
    s->calls++;
    answer_init(answer);
    if (i == NULL)
        *slot = begin(s, p, url, method, version, answer);
    else if (*n == 0)
        finish(s, p, i, answer);
    else
        left = push(p, i, data, *n);
    *n = left;
    if (answer->status == 0)
        return MHD_YES;
    clients_go_to(&s->clients, &p->client, CLIENTS_ANSWER);
    last = s->stopping || p->is_chunked || answer->status == MHD_HTTP_BAD_REQUEST;
    return answer_send(answer, connection, last, s->empty);
}

static void on_completed(void *ctx, struct MHD_Connection *connection, void **slot,
                         enum MHD_RequestTerminationCode code)
{
    struct server *s = ctx;
    struct peer *p = peer_of(connection);
    struct incoming *i = *slot;

    (void)code; /* an incomplete delivery counts for nothing: its client tries again */
    if (p != NULL)
        clients_go_to(&s->clients, &p->client, CLIENTS_HEAD);
    if (i != NULL)
        i->ops->end(i);
    *slot = NULL;
}

/* Called with libmicrohttpd's messages. It tells in no other way of a head that it refuses. */
static void on_message(void *ctx, const char *format, va_list args)
{
    static const char refused[] = "Error processing request (HTTP response code is %u";
    struct server *s = ctx;

    if (strncmp(format, refused, sizeof refused - 1) == 0 &&
        va_arg(args, unsigned) == MHD_HTTP_BAD_REQUEST)
        refusals_head(&s->refusals, "libmicrohttpd cannot read the head", s->now_us);
}

/* ---- the server ---- */

/* libmicrohttpd's own epoll thread can stall for ever when epoll_wait returns exactly 128 events
 * (0.9.75), so it gets none: our loop polls its descriptor and calls MHD_run. */
static struct MHD_Daemon *start_daemon(struct server *s, uint16_t port, int fd)
{
    return MHD_start_daemon(
        MHD_USE_EPOLL | MHD_USE_ERROR_LOG | MHD_ALLOW_SUSPEND_RESUME, port, NULL, NULL, on_request,
        s, MHD_OPTION_EXTERNAL_LOGGER, on_message, s, MHD_OPTION_LISTEN_SOCKET, fd,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)POOL_BYTES,
        MHD_OPTION_CONNECTION_MEMORY_INCREMENT, (size_t)READ_BYTES, MHD_OPTION_CONNECTION_TIMEOUT,
        (unsigned)CLIENTS_IDLE_S, MHD_OPTION_CONNECTION_LIMIT, s->clients.max,
        MHD_OPTION_URI_LOG_CALLBACK, on_target, s, MHD_OPTION_NOTIFY_COMPLETED, on_completed, s,
        MHD_OPTION_NOTIFY_CONNECTION, on_connection, s, MHD_OPTION_END);
}

static int listen_and_start(struct server *s, const struct server_options *o, struct err *err)
{
    int fd = port_open(o->address, o->port, err);

    if (fd < 0)
        return fd;
    s->daemon = start_daemon(s, o->port, fd);
    if (s->daemon != NULL)
        return 0;
    close(fd);
    return err_set(err, ERR_IO, "cannot start the HTTP server on port %u", o->port);
}

static void limit_clients(struct server *s)
{
    struct rlimit files = {.rlim_cur = 0};

    getrlimit(RLIMIT_NOFILE, &files);
    clients_init(&s->clients, files.rlim_cur);
    if (s->clients.max < CLIENTS_MAX)
        log_info("at most %u connections are open at once, because %llu files may be (ulimit -n)",
                 s->clients.max, (unsigned long long)files.rlim_cur);
}

static int open_requests(struct server *s, const struct server_options *o, struct err *err)
{
    const struct requests_options *d = &o->deliveries;

    s->requests = requests_new(d, &s->refusals);
    if (o->takes_handovers)
        s->handovers = handovers_new(d->auth, d->off_reason, &s->refusals);
    s->routes = (struct routes){s->requests, s->handovers, &s->refusals, o->is_healthy, o->ctx};
    s->empty = answer_new_empty();
    if (s->requests == NULL || s->empty == NULL || (o->takes_handovers && s->handovers == NULL))
        return err_set(err, ERR_NOMEM, "out of memory");
    return 0;
}

int server_open(const struct server_options *options, struct server **out, struct err *err)
{
    struct server *s = calloc(1, sizeof *s);
    int rc;

    if (s == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    limit_clients(s);
    rc = open_requests(s, options, err);
    if (rc == 0)
        rc = listen_and_start(s, options, err);
    if (rc != 0) {
        server_close(s);
        return rc;
    }
    *out = s;
    return 0;
}

void server_close(struct server *s)
{
    if (s == NULL)
        return;
    if (s->daemon != NULL) {
        requests_release_all(s->requests);
        if (s->handovers != NULL)
            handovers_release_all(s->handovers);
        MHD_stop_daemon(s->daemon);
    }
    handovers_free(s->handovers);
    requests_free(s->requests);
    if (s->empty != NULL)
        MHD_destroy_response(s->empty);
    free(s);
}

struct requests *server_requests(struct server *s)
{
    return s->requests;
}

struct handovers *server_handovers(struct server *s)
{
    return s->handovers;
}

int server_fd(const struct server *s)
{
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(s->daemon, MHD_DAEMON_INFO_EPOLL_FD);

    assert(info != NULL);
    return info->epoll_fd;
}

int server_timeout_ms(const struct server *s)
{
    MHD_UNSIGNED_LONG_LONG ms;

    if (requests_are_behind(s->requests))
        return 0;
    if (MHD_get_timeout(s->daemon, &ms) != MHD_YES)
        return -1;
    return ms > 60000 ? 60000 : (int)ms;
}

/* A run in which nothing came although one was asked for at once. */
static bool was_idle(const struct server *s, uint64_t calls_before)
{
    MHD_UNSIGNED_LONG_LONG ms;

    return s->calls == calls_before && MHD_get_timeout(s->daemon, &ms) == MHD_YES && ms == 0;
}

void server_run(struct server *s, int64_t now_us)
{
    uint64_t before = s->calls;

    s->now_us = now_us;
    clients_set_time(&s->clients, now_us);
    refusals_say(&s->refusals, now_us, false);
    requests_begin_turn(s->requests);
    MHD_run(s->daemon);
    requests_end_turn(s->requests);
    s->idle_runs += was_idle(s, before);
    if (s->idle_runs >= STUCK_RUNS)
        end_stuck(s);
    if (clients_look(&s->clients))
        requests_give_back(s->requests);
}

void server_answer(struct server *s, int64_t now_us)
{
    requests_decide(s->requests);
    server_run(s, now_us);
}

void server_answer_held(struct server *s, int64_t now_us)
{
    if (requests_release(s->requests))
        server_run(s, now_us);
}

void server_stop(struct server *s)
{
    int fd = MHD_quiesce_daemon(s->daemon);

    s->stopping = true;
    if (s->handovers != NULL)
        handovers_stop(s->handovers);
    clients_stop(&s->clients);
    refusals_say(&s->refusals, s->now_us, true);
    clients_log_all(&s->clients);
    if (fd >= 0)
        close(fd);
}
