/* Times the way from a line to its alert. It sends lines that each breach a rule and is also the
 * Slack that gets the alert, so one clock times both ends.
 *
 *     breach (post PORT DRAINS | append FILE) SLACK_PORT FIRST COUNT PAUSE_MS UNDER_WAY
 *
 * COUNT lines from number FIRST on: number N is an H12 of the path "/breach/N" (four digits), alone
 * in its delivery, or appended to a log file. The first byte of the request to SLACK_PORT that
 * names this path ends its time. At most UNDER_WAY lines wait for their alert; between two lines is
 * a pause of half PAUSE_MS to one and a half. Prints one JSON list: the microseconds of each line.
 */
#include "tests/bench/lines.h"
#include "tests/bench/pool.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { COUNT_MAX = 10000, CALLERS = 32, REQUEST_MAX = 64 << 10 };
static const int64_t PATIENCE_NS = INT64_C(20000000000);

/* A connection to the stand-in. */
struct caller {
    int fd;
    int64_t first_ns; /* of the request in hand; 0: none yet */
    size_t n;
    char request[REQUEST_MAX];
};

struct breach {
    unsigned port;
    const char *file; /* NULL: post */
    struct pool pool; /* the drains alone */
    int posting;      /* -1: no connection */
    bool answered;    /* the delivery in hand */
    int listener;
    struct caller callers[CALLERS];
    size_t n_callers;
    struct lines lines;
    size_t first, count, sent, told;
    size_t under_way;
    int64_t pause_ns, next_ns, moved_ns;
    int64_t began_ns[COUNT_MAX];
    int64_t took_ns[COUNT_MAX]; /* 0: not told yet */
};

static int64_t clock_ns(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

static _Noreturn void fail(const char *what)
{
    fprintf(stderr, "breach: %s\n", what);
    exit(1);
}

/* From the last line or alert on. */
static void rest(struct breach *b)
{
    b->next_ns = clock_ns(CLOCK_MONOTONIC) + b->pause_ns / 2 +
                 (int64_t)lines_random(&b->lines, (uint64_t)b->pause_ns);
}

/* ---- the lines ---- */

static int write_line(const struct breach *b, char line[LINES_MAX])
{
    time_t now = time(NULL);
    char when[64], text[512], frame[768];
    int n;

    strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%S.000000+00:00", gmtime(&now));
    snprintf(text, sizeof text,
             "at=error code=H12 desc=\"Request timeout\" method=GET path=\"/breach/%04zu\" "
             "host=console.raxx.example dyno=web.1 service=30000ms status=503",
             b->first + b->sent);
    if (b->file != NULL)
        return snprintf(line, LINES_MAX, "%s heroku[router]: %s\n", when, text);
    n = snprintf(frame, sizeof frame, "<158>1 %s host heroku router - %s\n", when, text);
    return snprintf(line, LINES_MAX, "%d %s", n, frame);
}

static void append(struct breach *b, const char *line, size_t n)
{
    int fd = open(b->file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);

    b->began_ns[b->sent] = clock_ns(CLOCK_MONOTONIC);
    if (fd < 0 || write(fd, line, n) != (ssize_t)n)
        fail("cannot append");
    close(fd);
    b->answered = true;
}

static void post(struct breach *b, const char *line, size_t n)
{
    const struct pool_drain *drain = &b->pool.drains[0];
    char request[2048];
    int len =
        snprintf(request, sizeof request,
                 "POST /api/internal/heroku-log-drain HTTP/1.1\r\nHost: drainwatch.example\r\n"
                 "Authorization: Basic %s\r\nContent-Type: application/logplex-1\r\n"
                 "Logplex-Msg-Count: 1\r\nLogplex-Frame-Id: breach-%" PRId64 "\r\n"
                 "Logplex-Drain-Token: %s\r\nContent-Length: %zu\r\n\r\n%.*s",
                 drain->credentials, clock_ns(CLOCK_MONOTONIC), drain->name, n, (int)n, line);

    if (b->posting < 0)
        b->posting = pool_connect(b->port);
    b->began_ns[b->sent] = clock_ns(CLOCK_MONOTONIC);
    b->answered = false;
    if (send(b->posting, request, (size_t)len, MSG_NOSIGNAL) != len)
        fail("cannot post");
}

static void send_line(struct breach *b)
{
    char line[LINES_MAX];
    size_t n = (size_t)write_line(b, line);

    if (b->file != NULL)
        append(b, line, n);
    else
        post(b, line, n);
    b->moved_ns = b->began_ns[b->sent++];
}

static void read_answer(struct breach *b)
{
    char answer[4096];
    ssize_t n = recv(b->posting, answer, sizeof answer - 1, 0);

    answer[n > 0 ? n : 0] = '\0';
    if (n > 0 && strncmp(answer, "HTTP/1.1 204", 12) != 0)
        fail("a delivery was not accepted");
    if (n <= 0 || strcasestr(answer, "\r\nConnection: close") != NULL) {
        close(b->posting);
        b->posting = -1;
    }
    if (n > 0)
        b->answered = true;
    else if (!b->answered)
        fail("a delivery was not answered");
}

/* ---- Slack ---- */

static int listen_on(unsigned port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) != 0 || listen(fd, 64) != 0)
        fail("cannot listen");
    return fd;
}

static void take_caller(struct breach *b)
{
    struct caller *c = &b->callers[b->n_callers];

    if (b->n_callers == CALLERS)
        fail("too many connections");
    c->fd = accept4(b->listener, NULL, NULL, SOCK_CLOEXEC);
    if (c->fd < 0)
        fail("cannot accept");
    c->first_ns = 0;
    c->n = 0;
    b->n_callers++;
}

static bool is_whole(const struct caller *c)
{
    const char *end = strstr(c->request, "\r\n\r\n");
    const char *length = strcasestr(c->request, "\r\nContent-Length:");

    return end != NULL && (length == NULL ||
                           c->n >= (size_t)(end + 4 - c->request) +
                                       strtoul(length + strlen("\r\nContent-Length:"), NULL, 10));
}

static void note_paths(struct breach *b, const struct caller *c)
{
    static const char path[] = "/breach/";

    for (const char *hit = c->request; (hit = strstr(hit, path)) != NULL;) {
        size_t line = strtoul(hit += strlen(path), NULL, 10) - b->first;

        if (line < b->sent && b->took_ns[line] == 0) {
            b->took_ns[line] = c->first_ns - b->began_ns[line];
            b->moved_ns = c->first_ns;
            b->told++;
        }
    }
}

/* False: the connection is gone. */
static bool hear_caller(struct breach *b, struct caller *c)
{
    static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                                 "Content-Length: 52\r\n\r\n"
                                 "{\"ok\":true,\"channel\":\"C0\",\"ts\":\"1778141172.000001\"}\n";
    int64_t now_ns = clock_ns(CLOCK_MONOTONIC);
    ssize_t n = recv(c->fd, c->request + c->n, REQUEST_MAX - 1 - c->n, 0);

    if (n <= 0)
        return false;
    if (c->first_ns == 0)
        c->first_ns = now_ns;
    c->n += (size_t)n;
    c->request[c->n] = '\0';
    if (!is_whole(c))
        return true;
    note_paths(b, c);
    rest(b);
    c->first_ns = 0;
    c->n = 0;
    return send(c->fd, answer, sizeof answer - 1, MSG_NOSIGNAL) == sizeof answer - 1;
}

/* ---- in turn ---- */

static void turn(struct breach *b, int wait_ms)
{
    struct pollfd fds[CALLERS + 2] = {{.fd = b->listener, .events = POLLIN},
                                      {.fd = b->posting, .events = POLLIN}};

    for (size_t i = 0; i < b->n_callers; i++)
        fds[i + 2] = (struct pollfd){.fd = b->callers[i].fd, .events = POLLIN};
    poll(fds, b->n_callers + 2, wait_ms);
    for (size_t i = b->n_callers; i-- > 0;) {
        if (fds[i + 2].revents == 0 || hear_caller(b, &b->callers[i]))
            continue;
        close(b->callers[i].fd);
        b->callers[i] = b->callers[--b->n_callers];
    }
    if (fds[1].revents != 0)
        read_answer(b);
    if (fds[0].revents != 0)
        take_caller(b);
}

static void measure(struct breach *b)
{
    b->answered = true;
    b->next_ns = b->moved_ns = clock_ns(CLOCK_MONOTONIC);
    while (b->told < b->count) {
        int64_t now_ns = clock_ns(CLOCK_MONOTONIC);
        bool may_send = b->answered && b->sent < b->count && b->sent - b->told < b->under_way;

        if (now_ns - b->moved_ns > PATIENCE_NS)
            fail("no alert for 20 s");
        if (may_send && now_ns >= b->next_ns) {
            send_line(b);
            rest(b);
        }
        turn(b, may_send && b->sent < b->count ? 1 : 100);
    }
}

int main(int argc, char **argv)
{
    static struct breach b = {.posting = -1, .lines = {.state = 7}};
    bool appends;

    if (argc < 2 || argc != (strcmp(argv[1], "append") == 0 ? 8 : 9))
        fail("usage: breach (post PORT DRAINS | append FILE) SLACK_PORT FIRST COUNT PAUSE_MS "
             "UNDER_WAY");
    appends = strcmp(argv[1], "append") == 0;
    if (appends) {
        b.file = argv[2];
    } else {
        b.port = (unsigned)atoi(argv[2]);
        pool_read_drains(&b.pool, argv[3]);
    }
    argv += appends ? 3 : 4;
    b.listener = listen_on((unsigned)atoi(argv[0]));
    b.first = strtoul(argv[1], NULL, 10);
    b.count = strtoul(argv[2], NULL, 10);
    b.pause_ns = (int64_t)(strtod(argv[3], NULL) * 1e6) + 1;
    b.under_way = strtoul(argv[4], NULL, 10);
    if (b.count > COUNT_MAX)
        fail("too many lines");
    measure(&b);
    for (size_t i = 0; i < b.count; i++)
        printf("%c%" PRId64, i == 0 ? '[' : ',', b.took_ns[i] / 1000);
    printf("]\n");
    return 0;
}
