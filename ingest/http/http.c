#include "ingest/http/http.h"

#include "common/app/log.h"
#include "common/base/time.h"
#include "ingest/http/http_impl.h"
#include "ingest/http/port.h"

#include <assert.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utlist.h>

static const int64_t LOOK_US = TIME_S;

enum {
    /* The pool of a connection is cleared for every request: 18 µs a request at 32 to 48 KiB, 27 at
     * 128 KiB, 74 at 512 KiB (measured). */
    POOL_BYTES = 48 << 10,
    /* Half of it is the read buffer. It grows before each read that has less room than this, so for
     * every piece of a long body but the first: under load 200 KB take 9 reads instead of 10. */
    READ_BYTES = POOL_BYTES / 2,
    /* Logplex closes an idle connection after 4 minutes (logplex_http_drain.erl); it shall be the
     * one that closes, so that it never posts into a connection that we just dropped. */
    IDLE_SECONDS = 330,
    CONNECTIONS_MAX = 4096,
    SPARE_REQUESTS = 64,
    /* A chunk extension that does not fit into the pool leaves libmicrohttpd (0.9.75) saying "at
     * once" for as long as the connection lasts. Nothing healthy needs so many runs before a
     * request shows; from then on the rest is looked at so often. */
    STUCK_RUNS = 32,
    STUCK_MS = 10,
};

/* ---- requests ---- */

static void request_free(struct request *r)
{
    if (r == NULL)
        return;
    body_free(r->body);
    free(r);
}

struct client *http_client(struct MHD_Connection *connection)
{
    return MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
}

struct request *http_take_request(struct http *h, struct MHD_Connection *connection)
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
    r->connection = connection;
    r->client = http_client(connection);
    if (r->client != NULL)
        r->client->request = r;
    h->open++;
    return r;
}

void http_give_back_request(struct http *h, struct request *r)
{
    h->open--;
    if (r->client != NULL)
        r->client->request = NULL;
    /* One that is kept keeps its book, too: it must not be an old one. */
    if (h->n_spare == SPARE_REQUESTS || body_book(r->body) != h->options.book) {
        request_free(r);
        return;
    }
    r->next_spare = h->spare;
    h->spare = r;
    h->n_spare++;
}

static void free_spare_requests(struct http *h)
{
    while (h->spare != NULL) {
        struct request *r = h->spare;

        h->spare = r->next_spare;
        request_free(r);
    }
    h->n_spare = 0;
}

void http_set_book(struct http *h, struct rulebook *book)
{
    struct rulebook *old = h->options.book;

    h->options.book = rulebook_hold(book);
    free_spare_requests(h);
    rulebook_release(old);
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

/* ---- the daemon ---- */

void http_add_header(struct MHD_Response *response, const char *name, const char *value)
{
    if (MHD_add_response_header(response, name, value) != MHD_YES)
        log_warning("an answer goes without its %s header: out of memory", name);
}

static struct MHD_Response *empty_response(bool last)
{
    struct MHD_Response *response =
        MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);

    if (response != NULL && last)
        http_add_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
    return response;
}

/* libmicrohttpd's own epoll thread can stall for ever when epoll_wait returns exactly 128 events
 * (0.9.75), so there is no such thread: our loop polls its descriptor and calls MHD_run. */
static struct MHD_Daemon *start_daemon(struct http *h, int fd)
{
    return MHD_start_daemon(
        MHD_USE_EPOLL, h->options.port, NULL, NULL, http_on_request, h, MHD_OPTION_LISTEN_SOCKET,
        fd, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)POOL_BYTES,
        MHD_OPTION_CONNECTION_MEMORY_INCREMENT, (size_t)READ_BYTES, MHD_OPTION_CONNECTION_TIMEOUT,
        (unsigned)IDLE_SECONDS, MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS_MAX,
        MHD_OPTION_NOTIFY_COMPLETED, http_on_completed, h, MHD_OPTION_NOTIFY_CONNECTION,
        on_connection, h, MHD_OPTION_END);
}

int http_open(const struct http_options *options, struct http **out, struct err *err)
{
    struct http *h = calloc(1, sizeof *h);
    int fd;

    if (h == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    h->options = *options;
    rulebook_hold(h->options.book);
    h->accepted = empty_response(false);
    h->accepted_last = empty_response(true);
    fd = port_open(options->port, err);
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

void http_close(struct http *h)
{
    if (h == NULL)
        return;
    if (h->daemon != NULL)
        MHD_stop_daemon(h->daemon);
    if (h->accepted != NULL)
        MHD_destroy_response(h->accepted);
    if (h->accepted_last != NULL)
        MHD_destroy_response(h->accepted_last);
    free_spare_requests(h);
    rulebook_release(h->options.book);
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
        return http_has_refusals(h) ? 60000 : -1;
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
    http_say_refusals(h);
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
    for (size_t i = 0; i < n; i++)
        ((struct request *)turn[i])->state = DECIDED;
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
