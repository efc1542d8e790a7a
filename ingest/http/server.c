/* Drives libmicrohttpd and its connections; called by ingest's loop. */
#include "ingest/http/server.h"

#include "common/base/time.h"
#include "ingest/http/port.h"
#include "ingest/http/routes.h"

#include <assert.h>
#include <microhttpd.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utlist.h>

static const int64_t LOOK_US = TIME_S;

enum {
    /* libmicrohttpd clears a connection's pool for every request: 18 µs at 32 to 48 KiB, 27 at 128
     * KiB, 74 at 512 KiB. */
    POOL_BYTES = 48 << 10,
    /* Half of it is the read buffer: with it 200 KB under load take 9 reads. */
    READ_BYTES = POOL_BYTES / 2,
    /* Logplex closes an idle connection after 4 minutes (logplex_http_drain.erl). It must be the
     * side that closes, so that it never posts into a connection that we just dropped. */
    IDLE_SECONDS = 330,
    CONNECTIONS_MAX = 4096,
    /* A chunk extension that does not fit into the pool makes libmicrohttpd (0.9.75) ask for a run
     * at once for as long as the connection lasts. No healthy request needs so many runs to begin;
     * after them we run it only so often. */
    STUCK_RUNS = 32,
    STUCK_MS = 10,
};

/* A connection. */
struct client {
    int fd;
    bool at_end;             /* the last look found that it had sent everything it will */
    struct request *request; /* NULL: no delivery has begun, or it is answered */
    struct client *prev, *next;
};

struct server {
    struct MHD_Daemon *daemon;
    struct requests *requests;
    struct refusals refusals;
    struct routes routes;
    struct client *clients;
    int64_t now_us;
    int64_t looked_us; /* at the clients */
    uint64_t calls;    /* of on_request */
    unsigned stuck_runs;
    bool stopping;
};

/* ---- connections ---- */

/* NULL: there was no memory for it. */
static struct client *client_of(struct MHD_Connection *connection)
{
    return MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
}

static void on_connection(void *ctx, struct MHD_Connection *connection, void **slot,
                          enum MHD_ConnectionNotificationCode code)
{
    struct server *s = ctx;
    struct client *c = *slot;

    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        c = calloc(1, sizeof *c);
        *slot = c;
        if (c == NULL)
            return;
        c->fd = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
        DL_APPEND(s->clients, c);
    } else if (c != NULL) {
        DL_DELETE(s->clients, c);
        free(c);
    }
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
        return request_is_receiving(c->request);
    return was_at_end; /* the first time, an answer may be on its way */
}

/* libmicrohttpd (0.9.75) overlooks an end of stream that arrives together with the last bytes. Such
 * a connection would stay open until the idle timeout, fill the table of connections, and delay our
 * own end. Shutting its socket down makes epoll report it. */
static void end_broken_off(struct server *s)
{
    struct client *c;

    if (s->now_us >= s->looked_us && s->now_us - s->looked_us < LOOK_US)
        return;
    s->looked_us = s->now_us;
    DL_FOREACH(s->clients, c)
    {
        if (is_broken_off(c))
            shutdown(c->fd, SHUT_RDWR);
    }
}

/* ---- requests, as libmicrohttpd reports them ---- */

static struct request *begin(struct server *s, struct MHD_Connection *connection, const char *url,
                             const char *method, struct answer *answer)
{
    struct request *r = routes_begin(&s->routes, connection, url, method, s->now_us, answer);
    struct client *c = client_of(connection);

    if (c != NULL)
        c->request = r;
    return r;
}

/* Called when the head is complete, for each piece of the body, and after it until there is an
 * answer. While a delivery waits for the journal libmicrohttpd calls again at each run and says
 * that its loop must not wait. Suspending the connection instead costs 2.5 µs a delivery. */
static enum MHD_Result on_request(void *ctx, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *data,
                                  size_t *n, void **slot)
{
    struct server *s = ctx;
    struct request *r = *slot;
    struct answer answer;

    (void)version;
    s->calls++;
    answer_init(&answer);
    if (r == NULL)
        *slot = begin(s, connection, url, method, &answer);
    else if (*n == 0)
        request_finish(r, s->now_us, &answer);
    else
        request_push(r, data, *n);
    *n = 0;
    return answer.status == 0 ? MHD_YES : answer_send(&answer, connection, s->stopping);
}

static void on_completed(void *ctx, struct MHD_Connection *connection, void **slot,
                         enum MHD_RequestTerminationCode code)
{
    struct client *c = client_of(connection);

    (void)ctx;
    (void)code; /* an incomplete delivery counts for nothing: its client tries again */
    if (*slot == NULL)
        return;
    if (c != NULL)
        c->request = NULL;
    request_end(*slot);
    *slot = NULL;
}

/* ---- the server ---- */

/* libmicrohttpd's own epoll thread can stall for ever when epoll_wait returns exactly 128 events
 * (0.9.75), so it gets none: our loop polls its descriptor and calls MHD_run. */
static struct MHD_Daemon *start_daemon(struct server *s, uint16_t port, int fd)
{
    return MHD_start_daemon(MHD_USE_EPOLL, port, NULL, NULL, on_request, s,
                            MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
                            (size_t)POOL_BYTES, MHD_OPTION_CONNECTION_MEMORY_INCREMENT,
                            (size_t)READ_BYTES, MHD_OPTION_CONNECTION_TIMEOUT,
                            (unsigned)IDLE_SECONDS, MHD_OPTION_CONNECTION_LIMIT,
                            (unsigned)CONNECTIONS_MAX, MHD_OPTION_NOTIFY_COMPLETED, on_completed, s,
                            MHD_OPTION_NOTIFY_CONNECTION, on_connection, s, MHD_OPTION_END);
}

static int listen_and_start(struct server *s, const char *address, uint16_t port, struct err *err)
{
    int fd = port_open(address, port, err);

    if (fd < 0)
        return fd;
    s->daemon = start_daemon(s, port, fd);
    if (s->daemon != NULL)
        return 0;
    close(fd);
    return err_set(err, ERR_IO, "cannot start the HTTP server on port %u", port);
}

int server_open(const struct server_options *options, struct server **out, struct err *err)
{
    struct server *s = calloc(1, sizeof *s);
    int rc;

    if (s == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    s->requests = requests_new(&options->deliveries, &s->refusals);
    s->routes = (struct routes){s->requests, &s->refusals, options->is_healthy, options->ctx};
    rc = s->requests == NULL ? err_set(err, ERR_NOMEM, "out of memory")
                             : listen_and_start(s, options->address, options->port, err);
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
    if (s->daemon != NULL)
        MHD_stop_daemon(s->daemon);
    requests_free(s->requests);
    free(s);
}

struct requests *server_requests(struct server *s)
{
    return s->requests;
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

    if (MHD_get_timeout(s->daemon, &ms) != MHD_YES)
        return -1;
    if (ms == 0 && s->stuck_runs >= STUCK_RUNS)
        return STUCK_MS;
    return ms > 60000 ? 60000 : (int)ms;
}

void server_run(struct server *s, int64_t now_us)
{
    uint64_t before = s->calls;
    MHD_UNSIGNED_LONG_LONG ms;
    bool at_once;

    s->now_us = now_us;
    refusals_say(&s->refusals, now_us, false);
    MHD_run(s->daemon);
    at_once = MHD_get_timeout(s->daemon, &ms) == MHD_YES && ms == 0;
    s->stuck_runs = at_once && s->calls == before ? s->stuck_runs + 1 : 0;
    end_broken_off(s);
}

void server_answer(struct server *s, int64_t now_us)
{
    requests_decide(s->requests);
    server_run(s, now_us);
}

void server_stop(struct server *s)
{
    int fd = MHD_quiesce_daemon(s->daemon);

    s->stopping = true;
    refusals_say(&s->refusals, s->now_us, true);
    if (fd >= 0)
        close(fd);
}
