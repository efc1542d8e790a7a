/* Tests the server between two of its runs: deliveries that wait for the journal or the database,
 * and clients that leave meanwhile. tests/system tests all answers with the real program. */
#include "tests/unit/unit.h"

#include "common/base/buf.h"
#include "ingest/http/server.h"
#include "ingest/input/input.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { RUNS_MAX = 2000, CROWD = 100, CLIENTS = 50, LARGE = 100000, LINE = 5 };

struct fixture {
    struct auth *auth;
    struct rulebook *book;
    struct server *server;
    uint16_t port;
    uint64_t receipts;
    int64_t acked; /* a held delivery up to this position is in the database */
    bool is_late;  /* the others are on the disk alone */
};

static void on_receipt(void *ctx, uint64_t lines, uint64_t frame)
{
    struct fixture *f = ctx;

    (void)frame;
    f->receipts += lines;
}

static void on_damage(void *ctx, const char *drain, uint64_t frames, bool body)
{
    (void)ctx, (void)drain, (void)frames, (void)body;
    fail_msg("nothing is damaged");
}

static enum request_kept kept(void *ctx, const struct request *r)
{
    struct fixture *f = ctx;

    if (request_place(r)->position <= f->acked)
        return REQUEST_KEPT_DATABASE;
    return f->is_late ? REQUEST_KEPT_DISK : REQUEST_KEPT_NOWHERE;
}

static bool is_healthy(void *ctx, char *reason, size_t size)
{
    (void)ctx, (void)reason, (void)size;
    return true;
}

static struct rulebook *new_book(void)
{
    static const char text[] = "app: a\nslack: {channel: C0123456789}\nrules:\n"
                               "  - {name: r, match: STORM, more_than: 1, within: 5m}\n";
    const struct rules *rules;
    struct rulebook *book;
    struct buf faults;
    struct err err;

    buf_init(&faults, RULES_FAULTS_MAX);
    assert_int_equal(rules_parse(text, strlen(text), "rules.yaml", &rules, &faults), 0);
    buf_close(&faults);
    assert_int_equal(rulebook_new(rules, &book, &err), 0);
    return book;
}

static uint16_t free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t len = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    close(fd);
    return ntohs(address.sin_port);
}

/* Each piece of a body takes 100 us. */
static int64_t clock_us(void)
{
    static int64_t now_us;

    return now_us += 100;
}

static int open_server(void **state, bool has_database)
{
    static struct fixture f;
    struct err err;

    f = (struct fixture){.auth = auth_new(), .book = new_book(), .port = free_port()};
    assert_non_null(f.auth);
    assert_true(auth_add_secret(f.auth, "k", 1));
    assert_int_equal(
        server_open(&(struct server_options){.port = f.port,
                                             .deliveries = {.max_body_bytes = 1 << 20,
                                                            .clock_us = clock_us,
                                                            .auth = f.auth,
                                                            .book = f.book,
                                                            .on_receipt = on_receipt,
                                                            .on_damage = on_damage,
                                                            .kept = has_database ? kept : NULL,
                                                            .kept_ctx = &f,
                                                            .ctx = &f},
                                             .takes_handovers = has_database,
                                             .is_healthy = is_healthy,
                                             .ctx = &f},
                    &f.server, &err),
        0);
    *state = &f;
    return 0;
}

static int set_up(void **state)
{
    return open_server(state, false);
}

static int set_up_with_database(void **state)
{
    return open_server(state, true);
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    server_close(f->server);
    rulebook_release(f->book);
    auth_free(f->auth);
    return 0;
}

/* printf d | openssl dgst -sha256 -hmac k */
#define TOKEN "e7ea21c3bcb63a4da3ad78503168d36bdca0be622382ea60a108fad4e4966679"

/* printf e | openssl dgst -sha256 -hmac k */
#define TOKEN_E "1769c8a8837bf5253d1657c58271a919b21e4a9ba5e23fba6d3880590516f983"

static void send_delivery_of(int fd, const char *drain, const char *token, const char *body)
{
    static char request[LARGE + 1024];
    int n = snprintf(request, sizeof request,
                     "POST %s?drain_token=%s HTTP/1.1\r\nHost: h\r\n"
                     "Logplex-Drain-Token: %s\r\nContent-Length: %zu\r\n\r\n%s",
                     input_logplex.path, token, drain, strlen(body), body);

    assert_int_equal(send(fd, request, (size_t)n, MSG_NOSIGNAL), n);
}

static void send_delivery(int fd, const char *body)
{
    send_delivery_of(fd, "d", TOKEN, body);
}

static int open_connection(struct fixture *f)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(f->port)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

static int post(struct fixture *f, const char *body)
{
    int fd = open_connection(f);

    send_delivery(fd, body);
    return fd;
}

static void run(struct fixture *f)
{
    struct pollfd fd = {.fd = server_fd(f->server), .events = POLLIN};

    poll(&fd, 1, 1);
    server_run(f->server, 1);
}

static size_t pending(struct fixture *f)
{
    size_t n = 0;

    for (struct request *r = requests_waiting(server_requests(f->server)); r != NULL;
         r = request_next(r))
        n++;
    return n;
}

static void run_until_pending(struct fixture *f, size_t n)
{
    for (int i = 0; i < RUNS_MAX && pending(f) != n; i++)
        run(f);
    assert_int_equal(pending(f), n);
}

static void answer_all(struct fixture *f, bool accepted)
{
    for (struct request *r = requests_waiting(server_requests(f->server)); r != NULL;
         r = request_next(r))
        request_set_accepted(r, accepted);
    server_answer(f->server, 1);
}

static char answered[512]; /* the last answer */

/* The status of the answer; 0: there is none yet. */
static int answer(int fd)
{
    int status = 0;

    memset(answered, 0, sizeof answered);
    recv(fd, answered, sizeof answered - 1, MSG_DONTWAIT);
    sscanf(answered, "HTTP/1.1 %d", &status);
    return status;
}

static int await_answer(struct fixture *f, int fd)
{
    int status = 0;

    for (int i = 0; i < RUNS_MAX && status == 0; i++) {
        run(f);
        status = answer(fd);
    }
    return status;
}

static void test_a_waiting_delivery_is_answered_once_it_is_decided(void **state)
{
    struct fixture *f = *state;
    int fd = post(f, "STORM\n");

    run_until_pending(f, 1);
    /* libmicrohttpd must call again, and must say that it wants to. */
    for (int i = 0; i < 10; i++) {
        assert_int_equal(server_timeout_ms(f->server), 0);
        server_run(f->server, 1);
        assert_int_equal(pending(f), 1);
    }
    assert_int_equal(answer(fd), 0);
    assert_int_equal(f->receipts, 0);
    answer_all(f, true);
    assert_int_equal(await_answer(f, fd), 204);
    assert_null(strstr(answered, "Drainwatch-Kept"));
    assert_int_equal(f->receipts, 1);
    run_until_pending(f, 0);
    assert_int_equal(requests_open(server_requests(f->server)), 0);
    close(fd);
}

static void test_a_delivery_that_cannot_be_recorded_is_answered_503(void **state)
{
    struct fixture *f = *state;
    int fd = post(f, "STORM\n");

    run_until_pending(f, 1);
    answer_all(f, false);
    assert_int_equal(await_answer(f, fd), 503);
    assert_int_equal(f->receipts, 0);
    close(fd);
}

static void test_others_are_answered_while_one_waits(void **state)
{
    struct fixture *f = *state;
    int waits = post(f, "STORM\n"), other;

    run_until_pending(f, 1);
    other = post(f, "calm\n");
    assert_int_equal(await_answer(f, other), 204);
    assert_int_equal(pending(f), 1);
    assert_int_equal(answer(waits), 0);
    answer_all(f, true);
    assert_int_equal(await_answer(f, waits), 204);
    close(waits);
    close(other);
}

/* Its connection is reset: an answer can go nowhere, and its memory is used again. */
static void leave(int fd)
{
    const struct linger now = {.l_onoff = 1};

    setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    close(fd);
}

static void test_a_client_that_leaves_takes_its_waiting_delivery_along(void **state)
{
    struct fixture *f = *state;
    int fds[3];
    size_t n;

    for (size_t i = 0; i < 3; i++) {
        fds[i] = post(f, "STORM\n");
        run_until_pending(f, i + 1);
    }
    leave(fds[1]);
    run_until_pending(f, 2);
    assert_int_equal(requests_open(server_requests(f->server)), 2);
    for (struct request *r = requests_waiting(server_requests(f->server)); r != NULL;
         r = request_next(r)) {
        assert_non_null(request_records(r, &n));
        assert_int_equal(n, 1);
    }
    fds[1] = post(f, "STORM\n");
    run_until_pending(f, 3);
    answer_all(f, true);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(await_answer(f, fds[i]), 204);
        close(fds[i]);
    }
    assert_int_equal(f->receipts, 3);
}

static void test_a_client_that_leaves_once_it_is_decided_harms_nobody(void **state)
{
    struct fixture *f = *state;
    int fd = post(f, "STORM\n");

    run_until_pending(f, 1);
    leave(fd);
    answer_all(f, true);
    for (int i = 0; i < RUNS_MAX && requests_open(server_requests(f->server)) > 0; i++)
        run(f);
    assert_int_equal(requests_open(server_requests(f->server)), 0);
}

/* A drain's bodies come at once, on many connections. */
static void post_many(struct fixture *f, int fds[CLIENTS])
{
    static char body[LARGE + 1];

    for (size_t i = 0; i < LARGE; i++)
        body[i] = "calm\n"[i % LINE];
    for (size_t i = 0; i < CLIENTS; i++)
        fds[i] = post(f, body);
}

static void test_large_bodies_of_one_drain_take_turns(void **state)
{
    struct fixture *f = *state;
    int fds[CLIENTS], runs = 0, honest;

    post_many(f, fds);
    run(f);
    honest = open_connection(f);
    send_delivery_of(honest, "e", TOKEN_E, "calm\n");
    for (int i = 0; i < 5; i++)
        run(f);
    assert_int_equal(answer(honest), 204);
    assert_true(f->receipts < CLIENTS * LARGE / LINE / 2);
    assert_int_equal(server_timeout_ms(f->server), 0); /* the others wait for us */
    for (; f->receipts < 1 + CLIENTS * LARGE / LINE && runs < RUNS_MAX; runs++)
        run(f);
    assert_in_range(runs, 5, 50);
    for (size_t i = 0; i < CLIENTS; i++) {
        assert_int_equal(await_answer(f, fds[i]), 204);
        close(fds[i]);
    }
    close(honest);
}

static void test_a_client_that_leaves_while_its_body_waits_harms_nobody(void **state)
{
    struct fixture *f = *state;
    int fds[CLIENTS];

    post_many(f, fds);
    for (int i = 0; i < 3; i++)
        run(f);
    for (size_t i = 0; i < CLIENTS; i++)
        leave(fds[i]);
    for (int i = 0; i < RUNS_MAX && requests_open(server_requests(f->server)) > 0; i++)
        run(f);
    assert_int_equal(requests_open(server_requests(f->server)), 0);
}

/* Begins a chunked body: a line is complete, and the size of the next chunk came. */
static int begin_chunks(struct fixture *f, const char *drain, const char *token)
{
    char request[512];
    int fd = open_connection(f);
    int n = snprintf(request, sizeof request,
                     "POST %s?drain_token=%s HTTP/1.1\r\nHost: h\r\nLogplex-Drain-Token: %s\r\n"
                     "Transfer-Encoding: chunked\r\n\r\n5\r\ncalm\n\r\n5",
                     input_logplex.path, token, drain);

    assert_int_equal(send(fd, request, (size_t)n, MSG_NOSIGNAL), n);
    return fd;
}

static bool is_closed(int fd)
{
    char byte;
    ssize_t n = recv(fd, &byte, 1, MSG_DONTWAIT);

    return n == 0 || (n < 0 && errno == ECONNRESET);
}

static bool is_closed_soon(struct fixture *f, int fd)
{
    for (int i = 0; i < RUNS_MAX && !is_closed(fd); i++)
        server_run(f->server, 1);
    return is_closed(fd);
}

static bool send_extension(int fd)
{
    static char extension[LARGE];

    memset(extension, ';', sizeof extension);
    return send(fd, extension, sizeof extension, MSG_NOSIGNAL) == sizeof extension;
}

/* A look at the connections finds the one that is stuck, however many looks there were before, and
 * never one that waits. */
static void test_endless_extensions_end_their_own_connections_alone(void **state)
{
    enum { STUCK = 300 };
    struct fixture *f = *state;
    int waits = begin_chunks(f, "e", TOKEN_E), drips = begin_chunks(f, "d", TOKEN), ends;
    int silent = begin_chunks(f, "d", TOKEN);

    for (int i = 0; i < STUCK; i++) {
        int fd = begin_chunks(f, "d", TOKEN);

        assert_true(send_extension(fd));
        assert_true(is_closed_soon(f, fd));
        close(fd);
        (void)send(drips, ";", 1, MSG_NOSIGNAL);
    }
    assert_true(is_closed_soon(f, drips));
    (void)send_extension(silent);
    assert_true(is_closed_soon(f, silent));
    ends = (int)send(waits, "\r\ncalm\n\r\n0\r\n\r\n", 14, MSG_NOSIGNAL);
    assert_int_equal(ends, 14);
    assert_int_equal(await_answer(f, waits), 204);
    close(waits);
    close(drips);
    close(silent);
}

static void test_the_end_waits_for_no_body(void **state)
{
    struct fixture *f = *state;
    int fds[CLIENTS];

    post_many(f, fds);
    for (int i = 0; i < 3; i++)
        run(f);
    assert_true(requests_open(server_requests(f->server)) > 0);
    server_close(f->server);
    f->server = NULL;
    for (size_t i = 0; i < CLIENTS; i++)
        close(fds[i]);
}

static void test_the_end_waits_for_no_delivery(void **state)
{
    struct fixture *f = *state;
    int fd = post(f, "STORM\n");
    char byte;

    run_until_pending(f, 1);
    server_close(f->server);
    f->server = NULL;
    assert_int_equal(recv(fd, &byte, 1, 0), 0);
    close(fd);
}

/* ---- with a database ---- */

static bool is_kept(const char *where)
{
    const char *header = "Drainwatch-Kept: ", *at = strstr(answered, header);

    return at != NULL && strncmp(at + strlen(header), where, strlen(where)) == 0;
}

/* Accepts all that wait, as records at `*position` and after it, and gives held ones the time to
 * be suspended. */
static void accept_at(struct fixture *f, int64_t *position)
{
    for (struct request *r = requests_waiting(server_requests(f->server)); r != NULL;
         r = request_next(r)) {
        request_set_accepted(r, true);
        request_set_place(r, (struct request_place){.position = (*position)++});
    }
    server_answer(f->server, 1);
    run(f);
}

static int post_and_hold(struct fixture *f, int64_t position)
{
    int fd = post(f, "STORM\n");

    run_until_pending(f, 1);
    accept_at(f, &position);
    return fd;
}

static void ack(struct fixture *f, int64_t position)
{
    f->acked = position;
    server_answer_held(f->server, 1);
}

static void test_a_delivery_is_answered_once_it_is_in_the_database(void **state)
{
    struct fixture *f = *state;
    int fd = post_and_hold(f, 7);

    assert_int_equal(request_place(requests_held(server_requests(f->server)))->position, 7);
    for (int i = 0; i < 10; i++) {
        server_answer_held(f->server, 1);
        assert_int_not_equal(server_timeout_ms(f->server), 0); /* nobody is to spin meanwhile */
        assert_int_equal(answer(fd), 0);
    }
    ack(f, 6);
    assert_int_equal(answer(fd), 0);
    assert_int_equal(f->receipts, 0);
    ack(f, 7);
    assert_int_equal(await_answer(f, fd), 204);
    assert_true(is_kept("database"));
    assert_int_equal(f->receipts, 1);
    assert_null(requests_held(server_requests(f->server)));
    assert_int_equal(requests_open(server_requests(f->server)), 0);
    close(fd);
}

static void test_a_delivery_that_the_database_does_not_take_is_on_the_disk(void **state)
{
    struct fixture *f = *state;
    int held = post_and_hold(f, 1), next;

    f->is_late = true;
    server_answer_held(f->server, 1);
    assert_int_equal(await_answer(f, held), 204);
    assert_true(is_kept("disk"));
    next = post_and_hold(f, 2);
    assert_null(requests_held(server_requests(f->server)));
    assert_int_equal(await_answer(f, next), 204);
    assert_true(is_kept("disk"));
    close(held);
    close(next);
}

static void test_a_refused_delivery_is_not_held(void **state)
{
    struct fixture *f = *state;
    int fd = post(f, "STORM\n");

    run_until_pending(f, 1);
    answer_all(f, false);
    assert_int_equal(await_answer(f, fd), 503);
    assert_null(strstr(answered, "Drainwatch-Kept"));
    close(fd);
}

static void test_a_delivery_without_a_match_waits_for_no_database(void **state)
{
    struct fixture *f = *state;
    int held = post_and_hold(f, 1), other = post(f, "calm\n");

    assert_int_equal(await_answer(f, other), 204);
    assert_true(is_kept("database"));
    assert_int_equal(answer(held), 0);
    close(held);
    close(other);
}

static void test_held_deliveries_are_answered_one_by_one(void **state)
{
    struct fixture *f = *state;
    int64_t position = 1;
    int fds[CROWD];

    for (size_t i = 0; i < CROWD; i++)
        fds[i] = post(f, "STORM\n");
    for (int i = 0; i < RUNS_MAX && position <= CROWD; i++) {
        run(f);
        accept_at(f, &position);
    }
    assert_int_equal(requests_open(server_requests(f->server)), CROWD);
    ack(f, CROWD / 2);
    for (int i = 0; i < RUNS_MAX && requests_open(server_requests(f->server)) > CROWD / 2; i++)
        run(f);
    assert_int_equal(requests_open(server_requests(f->server)), CROWD / 2);
    ack(f, CROWD);
    for (size_t i = 0; i < CROWD; i++) {
        assert_int_equal(await_answer(f, fds[i]), 204);
        assert_true(is_kept("database"));
        close(fds[i]);
    }
}

/* Its bytes lie in the socket while the connection is suspended. */
static void test_the_next_request_may_come_while_one_is_held(void **state)
{
    struct fixture *f = *state;
    int fd = post_and_hold(f, 1);

    send_delivery(fd, "calm\n");
    run(f);
    assert_int_equal(answer(fd), 0);
    ack(f, 1);
    assert_int_equal(await_answer(f, fd), 204);
    for (int i = 0; i < RUNS_MAX && f->receipts < 2; i++)
        run(f);
    assert_int_equal(f->receipts, 2);
    close(fd);
}

static void test_a_client_that_leaves_while_it_is_held_harms_nobody(void **state)
{
    struct fixture *f = *state;
    int resets = post_and_hold(f, 1), closes = post_and_hold(f, 2), stays = post_and_hold(f, 3);

    leave(resets);
    close(closes);
    for (int i = 0; i < 10; i++)
        run(f);
    ack(f, 3);
    assert_int_equal(await_answer(f, stays), 204);
    for (int i = 0; i < RUNS_MAX && requests_open(server_requests(f->server)) > 0; i++)
        run(f);
    assert_int_equal(requests_open(server_requests(f->server)), 0);
    close(stays);
}

static void test_a_stopping_server_answers_the_held_ones(void **state)
{
    struct fixture *f = *state;
    int fd = post_and_hold(f, 1);

    server_stop(f->server);
    run(f);
    assert_int_equal(answer(fd), 0);
    ack(f, 1);
    assert_int_equal(await_answer(f, fd), 204);
    assert_non_null(strstr(answered, "Connection: close"));
    close(fd);
}

static void test_the_end_waits_for_no_held_delivery(void **state)
{
    struct fixture *f = *state;
    int fd = post_and_hold(f, 1);
    char byte;

    server_close(f->server);
    f->server = NULL;
    assert_int_equal(recv(fd, &byte, 1, 0), 0);
    close(fd);
}

/* ---- handovers ---- */

static int post_handover(struct fixture *f, uint64_t first, size_t n)
{
    const struct wire_bytes records[] = {{(const uint8_t *)"a", 1}, {(const uint8_t *)"b", 1}};
    struct wire_push push = {.oldest = 1, .first = first, .records = records, .n_records = n};
    char credentials[AUTH_HANDOVER_SIZE], signature[AUTH_HEX + 1], head[512];
    int fd = open_connection(f), len;
    struct buf body;

    buf_init(&body, 1 << 10);
    assert_int_equal(wire_pack_push(&push, &body), 0);
    assert_true(auth_write_handover(f->auth, credentials));
    assert_true(auth_sign_push(f->auth, body.data, body.len, signature));
    len = snprintf(head, sizeof head,
                   "POST " HANDOVER_PATH
                   " HTTP/1.1\r\nHost: h\r\nAuthorization: %s\r\n" HANDOVER_SIGNATURE
                   ": %s\r\nContent-Length: %zu\r\n\r\n",
                   credentials, signature, body.len);
    assert_int_equal(send(fd, head, (size_t)len, MSG_NOSIGNAL), len);
    assert_int_equal(send(fd, body.data, body.len, MSG_NOSIGNAL), (ssize_t)body.len);
    buf_close(&body);
    return fd;
}

static struct handover *await_handover(struct fixture *f)
{
    struct handover *h = NULL;

    for (int i = 0; i < RUNS_MAX && h == NULL; i++) {
        run(f);
        h = handovers_next(server_handovers(f->server));
    }
    assert_non_null(h);
    return h;
}

static void test_a_handover_is_answered_once_it_is_decided(void **state)
{
    static const struct {
        enum handover_result result;
        int status;
    } rows[] = {{HANDOVER_COMMITTED, 204}, {HANDOVER_KNOWN, 200}, {HANDOVER_NOT_NOW, 503}};
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        int fd = post_handover(f, 7, 2);
        struct handover *h = await_handover(f);

        assert_int_equal(handover_push(h)->first, 7);
        assert_int_equal(handover_push(h)->n_records, 2);
        assert_int_not_equal(server_timeout_ms(f->server), 0); /* it costs nothing meanwhile */
        assert_int_equal(answer(fd), 0);
        handover_decide(h, rows[i].result, 12);
        assert_int_equal(await_answer(f, fd), rows[i].status);
        assert_int_equal(strstr(answered, "\r\n\r\n12\n") != NULL, rows[i].status == 200);
        close(fd);
    }
}

static void test_handovers_are_taken_in_turn_and_bounded(void **state)
{
    struct fixture *f = *state;
    int fds[HANDOVERS_MAX + 1];

    for (int i = 0; i < HANDOVERS_MAX; i++) {
        fds[i] = post_handover(f, 10 + (uint64_t)i, 1);
        for (int k = 0; k < RUNS_MAX && handovers_open(server_handovers(f->server)) <= (size_t)i;
             k++)
            run(f);
    }
    fds[HANDOVERS_MAX] = post_handover(f, 1, 1);
    assert_int_equal(await_answer(f, fds[HANDOVERS_MAX]), 503);
    for (int i = 0; i < HANDOVERS_MAX; i++) {
        struct handover *h = await_handover(f);

        assert_int_equal(handover_push(h)->first, 10 + i);
        handover_decide(h, HANDOVER_COMMITTED, 0);
        assert_int_equal(await_answer(f, fds[i]), 204);
    }
    for (int i = 0; i <= HANDOVERS_MAX; i++)
        close(fds[i]);
}

static void test_the_end_waits_for_no_handover(void **state)
{
    struct fixture *f = *state;
    int in_work = post_handover(f, 1, 1), waiting;
    char byte;

    assert_non_null(await_handover(f));
    waiting = post_handover(f, 2, 1);
    for (int i = 0; i < RUNS_MAX && handovers_open(server_handovers(f->server)) < 2; i++)
        run(f);
    run(f);
    server_close(f->server);
    f->server = NULL;
    assert_int_equal(recv(in_work, &byte, 1, 0), 0);
    assert_int_equal(recv(waiting, &byte, 1, 0), 0);
    close(in_work);
    close(waiting);
}

#define WITH_DATABASE(test) cmocka_unit_test_setup_teardown(test, set_up_with_database, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_waiting_delivery_is_answered_once_it_is_decided,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_delivery_that_cannot_be_recorded_is_answered_503,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_others_are_answered_while_one_waits, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_a_client_that_leaves_takes_its_waiting_delivery_along,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_client_that_leaves_once_it_is_decided_harms_nobody,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_large_bodies_of_one_drain_take_turns, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_a_client_that_leaves_while_its_body_waits_harms_nobody,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_endless_extensions_end_their_own_connections_alone,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_the_end_waits_for_no_body, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_the_end_waits_for_no_delivery, set_up, tear_down),
        WITH_DATABASE(test_a_delivery_is_answered_once_it_is_in_the_database),
        WITH_DATABASE(test_a_delivery_that_the_database_does_not_take_is_on_the_disk),
        WITH_DATABASE(test_a_refused_delivery_is_not_held),
        WITH_DATABASE(test_a_delivery_without_a_match_waits_for_no_database),
        WITH_DATABASE(test_held_deliveries_are_answered_one_by_one),
        WITH_DATABASE(test_the_next_request_may_come_while_one_is_held),
        WITH_DATABASE(test_a_client_that_leaves_while_it_is_held_harms_nobody),
        WITH_DATABASE(test_a_stopping_server_answers_the_held_ones),
        WITH_DATABASE(test_the_end_waits_for_no_held_delivery),
        WITH_DATABASE(test_a_handover_is_answered_once_it_is_decided),
        WITH_DATABASE(test_handovers_are_taken_in_turn_and_bounded),
        WITH_DATABASE(test_the_end_waits_for_no_handover),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
