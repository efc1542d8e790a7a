/* Tests the server between two of its runs: deliveries that wait for the journal, and clients that
 * leave meanwhile. tests/system tests all answers with the real program. */
#include "tests/unit/unit.h"

#include "common/base/buf.h"
#include "ingest/http/server.h"
#include "ingest/input/input.h"

#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { RUNS_MAX = 2000 };

struct fixture {
    struct auth *auth;
    struct rulebook *book;
    struct server *server;
    uint16_t port;
    uint64_t receipts;
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

static int set_up(void **state)
{
    static struct fixture f;
    struct err err;

    f = (struct fixture){.auth = auth_new(), .book = new_book(), .port = free_port()};
    assert_non_null(f.auth);
    assert_true(auth_add_secret(f.auth, "k", 1));
    assert_int_equal(server_open(&(struct server_options){.port = f.port,
                                                          .deliveries = {.max_body_bytes = 1 << 20,
                                                                         .auth = f.auth,
                                                                         .book = f.book,
                                                                         .on_receipt = on_receipt,
                                                                         .on_damage = on_damage,
                                                                         .ctx = &f},
                                                          .is_healthy = is_healthy,
                                                          .ctx = &f},
                                 &f.server, &err),
                     0);
    *state = &f;
    return 0;
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

static int post(struct fixture *f, const char *body)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(f->port)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    char request[1024];
    int n = snprintf(request, sizeof request,
                     "POST %s?drain_token=" TOKEN " HTTP/1.1\r\nHost: h\r\n"
                     "Logplex-Drain-Token: d\r\nContent-Length: %zu\r\n\r\n%s",
                     input_logplex.path, strlen(body), body);

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(send(fd, request, (size_t)n, MSG_NOSIGNAL), n);
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

/* The status of the answer; 0: there is none yet. */
static int answer(int fd)
{
    char text[512] = "";
    int status = 0;

    recv(fd, text, sizeof text - 1, MSG_DONTWAIT);
    sscanf(text, "HTTP/1.1 %d", &status);
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
        cmocka_unit_test_setup_teardown(test_the_end_waits_for_no_delivery, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
