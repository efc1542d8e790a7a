/* Posts deliveries as Logplex does, one at a time on each of many connections.
 *
 *     post PORT CONNECTIONS BODIES DRAINS (requests|seconds) AMOUNT [RATE]
 *
 * Each request takes the next body and the next drain of its lists and has a Frame-Id of its own.
 * With a RATE (requests a second) it keeps to that, else it posts as fast as it is answered. A
 * server that closes a connection after its answer gets a new one. Prints one JSON object: the
 * answers, how many of them were 204 and told that the delivery is on ingest's disk alone, the time
 * they took, and the longest time without any answer. */
#include "tests/bench/pool.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { EVENTS = 256, ANSWER_MAX = 4096, SAMPLES_MAX = 4 << 20 };
static const int64_t SECOND_NS = 1000000000;
static const int64_t PATIENCE_NS = 10 * SECOND_NS; /* without any answer */

struct connection {
    int fd;
    bool busy;
    int64_t began_ns;
    char head[POOL_HEAD_MAX];
    struct iovec rest[2]; /* of the request, not written yet */
    char answer[ANSWER_MAX];
    size_t n_answer;
};

struct post {
    unsigned port;
    struct pool pool;
    struct connection *connections;
    size_t n;
    struct connection **idle;
    size_t n_idle;
    int epoll;
    uint64_t run;
    uint64_t begun, ended, accepted, on_disk, bytes;
    uint64_t most;    /* requests; UINT64_MAX: no bound */
    int64_t until_ns; /* INT64_MAX: no bound */
    double per_ns;    /* 0: as fast as it goes */
    int64_t start_ns, now_ns, answered_ns, gap_ns;
    uint32_t *took_us;
    size_t n_took;
};

static int64_t clock_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * SECOND_NS + t.tv_nsec;
}

static _Noreturn void fail(const char *what)
{
    fprintf(stderr, "post: %s\n", what);
    exit(1);
}

/* ---- one connection ---- */

static void open_connection(struct post *p, struct connection *c)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};

    c->fd = pool_connect(p->port);
    fcntl(c->fd, F_SETFL, O_NONBLOCK);
    if (epoll_ctl(p->epoll, EPOLL_CTL_ADD, c->fd, &event) != 0)
        fail("epoll_ctl");
}

static void wait_for(struct post *p, struct connection *c, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = c};

    if (epoll_ctl(p->epoll, EPOLL_CTL_MOD, c->fd, &event) != 0)
        fail("epoll_ctl");
}

/* Writes what the socket takes. True: the request is out. */
static bool write_some(struct connection *c)
{
    struct msghdr message = {.msg_iov = c->rest, .msg_iovlen = 2};
    ssize_t n;

    while (c->rest[0].iov_len + c->rest[1].iov_len > 0) {
        n = sendmsg(c->fd, &message, MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN)
            return false;
        if (n < 0)
            fail("the server closed a connection in the middle of a request");
        for (int i = 0; i < 2; i++) {
            size_t part = (size_t)n < c->rest[i].iov_len ? (size_t)n : c->rest[i].iov_len;

            c->rest[i].iov_base = (char *)c->rest[i].iov_base + part;
            c->rest[i].iov_len -= part;
            n -= (ssize_t)part;
        }
    }
    return true;
}

static void begin_request(struct post *p, struct connection *c)
{
    const struct pool_body *body = pool_body(&p->pool, p->begun);

    c->rest[0] = (struct iovec){c->head, pool_head(&p->pool, p->run, p->begun, c->head)};
    c->rest[1] = (struct iovec){(char *)(uintptr_t)body->bytes, body->len};
    c->busy = true;
    c->began_ns = p->now_ns;
    p->begun++;
    p->bytes += body->len;
    if (!write_some(c))
        wait_for(p, c, EPOLLIN | EPOLLOUT);
}

static void note_answer(struct post *p, struct connection *c)
{
    int64_t took_us = (p->now_ns - c->began_ns) / 1000;

    p->ended++;
    if (strncmp(c->answer, "HTTP/1.1 204", 12) == 0)
        p->accepted++;
    if (strstr(c->answer, "\r\nDrainwatch-Kept: disk") != NULL)
        p->on_disk++;
    if (p->now_ns - p->answered_ns > p->gap_ns)
        p->gap_ns = p->now_ns - p->answered_ns;
    p->answered_ns = p->now_ns;
    if (p->n_took < SAMPLES_MAX)
        p->took_us[p->n_took++] = (uint32_t)took_us;
    p->idle[p->n_idle++] = c;
    c->busy = false;
}

static void close_connection(struct post *p, struct connection *c)
{
    close(c->fd);
    c->n_answer = 0;
    if (c->busy)
        fail("the server closed a connection without an answer");
    open_connection(p, c);
}

static void read_answer(struct post *p, struct connection *c)
{
    ssize_t n = recv(c->fd, c->answer + c->n_answer, ANSWER_MAX - 1 - c->n_answer, 0);

    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0) {
        close_connection(p, c);
        return;
    }
    c->n_answer += (size_t)n;
    c->answer[c->n_answer] = '\0';
    if (!c->busy || strstr(c->answer, "\r\n\r\n") == NULL)
        return;
    note_answer(p, c);
    /* Any answer but 204 has a body. It is not read, so the connection is not used again. */
    if (strncmp(c->answer, "HTTP/1.1 204", 12) != 0 ||
        strcasestr(c->answer, "\r\nConnection: close") != NULL)
        close_connection(p, c);
    c->n_answer = 0;
}

/* ---- all of them ---- */

/* How many requests may have begun by now. */
static uint64_t due(const struct post *p)
{
    uint64_t n = p->most;

    if (p->now_ns >= p->until_ns)
        return p->begun;
    if (p->per_ns > 0) {
        uint64_t paced = (uint64_t)((double)(p->now_ns - p->start_ns) * p->per_ns) + 1;

        n = paced < n ? paced : n;
    }
    return n;
}

static void begin_due(struct post *p)
{
    uint64_t n = due(p);

    while (p->n_idle > 0 && p->begun < n)
        begin_request(p, p->idle[--p->n_idle]);
}

static bool is_over(const struct post *p)
{
    return p->n_idle == p->n && (p->begun == p->most || p->now_ns >= p->until_ns);
}

/* With a rate, until the next request is due; else until something happens. */
static struct timespec patience(const struct post *p)
{
    int64_t ns = SECOND_NS;

    if (p->per_ns > 0 && p->n_idle > 0) {
        ns = p->start_ns + (int64_t)((double)p->begun / p->per_ns) - p->now_ns;
        ns = ns < 0 ? 0 : ns > SECOND_NS ? SECOND_NS : ns;
    }
    return (struct timespec){.tv_sec = ns / SECOND_NS, .tv_nsec = ns % SECOND_NS};
}

static void turn(struct post *p)
{
    struct epoll_event events[EVENTS];
    struct timespec wait = patience(p);
    int n = epoll_pwait2(p->epoll, events, EVENTS, &wait, NULL);

    p->now_ns = clock_ns();
    for (int i = 0; i < n; i++) {
        struct connection *c = events[i].data.ptr;

        if ((events[i].events & EPOLLOUT) && write_some(c))
            wait_for(p, c, EPOLLIN);
        if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))
            read_answer(p, c);
    }
    if (p->n_idle < p->n && p->now_ns - p->answered_ns > PATIENCE_NS)
        fail("no answer for 10 s");
    begin_due(p);
}

static void post_all(struct post *p)
{
    p->start_ns = p->now_ns = p->answered_ns = clock_ns();
    if (p->until_ns != INT64_MAX)
        p->until_ns += p->start_ns;
    begin_due(p);
    while (!is_over(p))
        turn(p);
}

/* ---- begin and end ---- */

static int compare(const void *left, const void *right)
{
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;

    return (a > b) - (a < b);
}

static uint32_t quantile(const struct post *p, double q)
{
    return p->n_took == 0 ? 0 : p->took_us[(size_t)(q * (double)(p->n_took - 1))];
}

static void report(struct post *p)
{
    qsort(p->took_us, p->n_took, sizeof *p->took_us, compare);
    printf(
        "{\"requests\": %" PRIu64 ", \"accepted\": %" PRIu64 ", \"on_disk\": %" PRIu64
        ", \"bytes\": %" PRIu64 ", \"seconds\": %.6f, \"p50_us\": %" PRIu32 ", \"p95_us\": %" PRIu32
        ", \"p99_us\": %" PRIu32 ", \"max_us\": %" PRIu32 ", \"gap_us\": %" PRId64 "}\n",
        p->ended, p->accepted, p->on_disk, p->bytes, (double)(p->now_ns - p->start_ns) / 1e9,
        quantile(p, 0.5), quantile(p, 0.95), quantile(p, 0.99), quantile(p, 1.0), p->gap_ns / 1000);
}

static void open_all(struct post *p)
{
    p->connections = calloc(p->n, sizeof *p->connections);
    p->idle = calloc(p->n, sizeof(struct connection *));
    p->took_us = malloc(SAMPLES_MAX * sizeof *p->took_us);
    p->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (p->connections == NULL || p->idle == NULL || p->took_us == NULL || p->epoll < 0)
        fail("out of memory");
    for (size_t i = 0; i < p->n; i++) {
        open_connection(p, &p->connections[i]);
        p->idle[p->n_idle++] = &p->connections[i];
    }
}

int main(int argc, char **argv)
{
    static struct post post = {.most = UINT64_MAX, .until_ns = INT64_MAX};

    if (argc < 7 || argc > 8 || (strcmp(argv[5], "requests") && strcmp(argv[5], "seconds")))
        fail("usage: post PORT CONNECTIONS BODIES DRAINS (requests|seconds) AMOUNT [RATE]");
    post.port = (unsigned)atoi(argv[1]);
    post.n = (size_t)atoi(argv[2]);
    pool_read(&post.pool, argv[3], argv[4]);
    if (strcmp(argv[5], "requests") == 0)
        post.most = strtoull(argv[6], NULL, 10);
    else
        post.until_ns = (int64_t)(strtod(argv[6], NULL) * 1e9);
    post.per_ns = argc > 7 ? strtod(argv[7], NULL) / 1e9 : 0;
    post.run = (uint64_t)clock_ns() ^ (uint64_t)getpid() << 48;
    open_all(&post);
    post_all(&post);
    report(&post);
    return 0;
}
