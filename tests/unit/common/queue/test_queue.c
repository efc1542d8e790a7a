/* One end of the queue against the other, and against strangers, over real sockets. */
#include "tests/unit/unit.h"

#include "common/app/clock.h"
#include "common/base/time.h"
#include "common/queue/queue.h"
#include "common/queue/queue_curve.h"
#include "common/record/wire.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <zmq.h>

/* Real sockets take real time; nothing here waits longer than this for them. */
#define DEADLINE_US (20 * TIME_S)

static char folder[64];
static char ipc[128];
static const struct secret SECRETS[] = {
    {"0123456789abcdef0123456789abcdef", 32},
    {"another-secret-another-secret-an", 32},
    {"a-third-one-a-third-one-a-third-", 32},
};
#define A SECRETS[0]
#define B SECRETS[1]
#define C SECRETS[2]

static int make_folder(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/test_queue.XXXXXX");
    if (mkdtemp(folder) == NULL)
        return -1;
    snprintf(ipc, sizeof ipc, "ipc://%s/q", folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    unlink(ipc + 6);
    return rmdir(folder);
}

/* A port of 127.0.0.1 that nobody uses at the moment. */
static uint16_t free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)&address, size), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    close(fd);
    return ntohs(address.sin_port);
}

static void tcp_endpoint(char out[64], uint16_t port)
{
    snprintf(out, 64, "tcp://127.0.0.1:%u", port);
}

static struct queue *bound(const char *endpoint, const struct secret *secrets, size_t n)
{
    struct queue_options options = {endpoint, secrets, n};
    struct queue *q = NULL;
    struct err err;

    if (queue_bind(&options, &q, &err) != 0)
        fail_msg("%s", err.text);
    return q;
}

static struct queue *dialled(const char *endpoint, const struct secret *secrets, size_t n)
{
    struct queue_options options = {endpoint, secrets, n};
    struct queue *q = NULL;
    struct err err;

    if (queue_connect(&options, clock_boot_us(), &q, &err) != 0)
        fail_msg("%s", err.text);
    return q;
}

/* One turn of both ends' loops: waits for at most 20 ms. Either may be NULL. */
static void turn(struct queue *a, struct queue *b)
{
    struct pollfd fds[2] = {{.fd = a == NULL ? -1 : queue_fd(a), .events = POLLIN},
                            {.fd = b == NULL ? -1 : queue_fd(b), .events = POLLIN}};
    bool pending = (a != NULL && queue_pending(a)) || (b != NULL && queue_pending(b));

    poll(fds, 2, pending ? 0 : 20);
    if (a != NULL)
        queue_tend(a, clock_boot_us());
    if (b != NULL)
        queue_tend(b, clock_boot_us());
}

static void send_soon(struct queue *from, struct queue *other, const void *bytes, size_t n)
{
    int64_t end_us = clock_boot_us() + DEADLINE_US;
    int rc;

    while ((rc = queue_send(from, NULL, bytes, n)) == ERR_FULL && clock_boot_us() < end_us)
        turn(from, other);
    assert_int_equal(rc, 0);
}

static void receive_soon(struct queue *to, struct queue *other, struct source_peer *peer,
                         const void **bytes, size_t *n)
{
    int64_t end_us = clock_boot_us() + DEADLINE_US;
    int rc;

    while ((rc = queue_receive(to, peer, bytes, n)) == 0 && clock_boot_us() < end_us)
        turn(to, other);
    assert_int_equal(rc, 1);
}

/* Linked with -Wl,--wrap=zmq_send,--wrap=zmq_msg_recv: whether a signal interrupts each other call.
 */
static bool is_interrupted;

static bool interrupts(void)
{
    static bool now;

    now = is_interrupted && !now;
    if (now)
        errno = EINTR;
    return now;
}

int __real_zmq_send(void *socket, const void *bytes, size_t n, int flags);
int __real_zmq_msg_recv(zmq_msg_t *message, void *socket, int flags);
int __wrap_zmq_send(void *socket, const void *bytes, size_t n, int flags);
int __wrap_zmq_msg_recv(zmq_msg_t *message, void *socket, int flags);

int __wrap_zmq_send(void *socket, const void *bytes, size_t n, int flags)
{
    return interrupts() ? -1 : __real_zmq_send(socket, bytes, n, flags);
}

int __wrap_zmq_msg_recv(zmq_msg_t *message, void *socket, int flags)
{
    return interrupts() ? -1 : __real_zmq_msg_recv(message, socket, flags);
}

/* There and back again. */
static void assert_talk(struct queue *server, struct queue *client)
{
    struct source_peer peer;
    const void *bytes;
    size_t n;

    send_soon(client, server, "ping", 4);
    receive_soon(server, client, &peer, &bytes, &n);
    assert_int_equal(n, 4);
    assert_memory_equal(bytes, "ping", 4);
    assert_int_equal(queue_send(server, &peer, "pong!", 5), 0);
    receive_soon(client, server, NULL, &bytes, &n);
    assert_int_equal(n, 5);
    assert_memory_equal(bytes, "pong!", 5);
}

/* Until the server has seen that many failed handshakes; the client must not come in meanwhile. */
static void assert_kept_out(struct queue *server, struct queue *client, uint64_t failures)
{
    int64_t end_us = clock_boot_us() + DEADLINE_US;

    while (queue_failed(server) < failures && clock_boot_us() < end_us) {
        turn(server, client);
        assert_int_equal(queue_send(client, NULL, "x", 1), ERR_FULL);
    }
    assert_true(queue_failed(server) >= failures);
    assert_int_equal(queue_epoch(server), 0);
}

UNIT_TEST(test_endpoints)
{
    static const struct {
        const char *text;
        const char *fault; /* NULL: it is good */
    } table[] = {
        {"ipc:///run/drainwatch/queue.sock", NULL},
        {"ipc://state/queue.sock", NULL},
        {"tcp://127.0.0.1:5555", NULL},
        {"tcp://*:1", NULL},
        {"tcp://worker.my-app.app.localspace:65535", NULL},
        {"tcp://[::1]:5555", NULL},
        {"", "is not a queue's endpoint"},
        {"/run/q.sock", "is not a queue's endpoint"},
        {"inproc://x", "is not a queue's endpoint"},
        {"udp://h:1", "is not a queue's endpoint"},
        {"TCP://h:1", "is not a queue's endpoint"},
        {"ipc://", "names no file"},
        {"ipc://*", "is not a file"},
        {"ipc://@abstract", "is not a file"},
        {"tcp://host", "has no port"},
        {"tcp://host:", "has no port"},
        {"tcp://host:0", "has no port"},
        {"tcp://host:65536", "has no port"},
        {"tcp://host:100000000000", "has no port"},
        {"tcp://host:55 ", "has no port"},
        {"tcp://host:*", "has no port"},
        {"tcp://:5555", "names no host"},
        {"tcp://eth0;h:5555", "names no host"},
        {"tcp://a b:5555", "names no host"},
        {"tcp://[:5555", "names no host"},
        {"tcp://::1:5555", "names no host"},
    };
    char text[400] = "ipc:///";
    struct err err;

    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        int rc = queue_check_endpoint(table[i].text, &err);

        if (table[i].fault == NULL ? rc != 0 : rc != ERR_INPUT || !strstr(err.text, table[i].fault))
            fail_msg("\"%s\": %d, %s", table[i].text, rc, rc == 0 ? "" : err.text);
    }
    memset(text + 7, 'p', 106); /* with its slash as long as a socket's path may be */
    assert_int_equal(queue_check_endpoint(text, &err), 0);
    memset(text + 7, 'p', 107);
    assert_int_equal(queue_check_endpoint(text, &err), ERR_INPUT);
    assert_non_null(strstr(err.text, "108 bytes, and a socket's may have 107"));
    memset(text + 7, 'p', 300);
    assert_int_equal(queue_check_endpoint(text, &err), ERR_INPUT);
}

/* Each purpose has its own key, other secrets have others, and they are the same in every build. */
UNIT_TEST(test_keys)
{
    const struct secret secrets[] = {A, A, B};
    struct queue_keys *keys;
    struct err err;

    assert_int_equal(queue_keys_new(secrets, 3, &keys, &err), 0);
    assert_memory_equal(&keys[0], &keys[1], sizeof *keys);
    assert_string_not_equal(keys[0].server_public, keys[2].server_public);
    assert_string_not_equal(keys[0].server_secret, keys[0].client_secret);
    /* computed with another implementation of HKDF and Z85 */
    assert_string_equal(keys[0].server_secret, "umR#nFX4#6udkGc.i^x5N<8}6TTIR1+OB^ArQ/-&");
    assert_string_equal(keys[0].client_secret, ":=.pz-rIdS&/PS1w4bvFy7$O.4:d=R+G8AR(awTg");
    queue_keys_forget(keys, 3, true);
    assert_string_equal(keys[2].client_secret, "");
    assert_string_not_equal(keys[2].server_secret, "");
    queue_keys_forget(keys, 3, false);
    assert_string_equal(keys[2].server_secret, "");
    queue_keys_free(keys, 3);
}

UNIT_TEST(test_ipc)
{
    struct queue *server = bound(ipc, NULL, 0);
    struct queue *client = dialled(ipc, NULL, 0);
    struct stat st;

    assert_int_equal(stat(ipc + 6, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_talk(server, client);
    assert_int_equal(queue_epoch(client), 1);
    queue_close(client);
    queue_close(server);
}

UNIT_TEST(test_signals_leave_messages_whole)
{
    struct queue *server = bound(ipc, NULL, 0);
    struct queue *client = dialled(ipc, NULL, 0);

    is_interrupted = true;
    for (int i = 0; i < 4; i++)
        assert_talk(server, client);
    is_interrupted = false;
    queue_close(client);
    queue_close(server);
}

UNIT_TEST(test_ipc_in_use)
{
    struct queue *server = bound(ipc, NULL, 0), *second = NULL, *client;
    struct queue_options options = {.endpoint = ipc};
    struct err err;

    assert_int_equal(queue_bind(&options, &second, &err), ERR_BUSY);
    assert_null(second);
    assert_non_null(strstr(err.text, "in use by another process"));
    client = dialled(ipc, NULL, 0); /* the first one was not harmed */
    assert_talk(server, client);
    queue_close(client);
    queue_close(server);
}

UNIT_TEST(test_ipc_after_a_death)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    struct queue *server, *client;

    strcpy(address.sun_path, ipc + 6);
    unlink(ipc + 6);
    assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof address), 0);
    close(fd); /* as a killed process leaves it: the file is there, and nobody listens */
    assert_int_equal(access(ipc + 6, F_OK), 0);
    server = bound(ipc, NULL, 0);
    client = dialled(ipc, NULL, 0);
    assert_talk(server, client);
    queue_close(client);
    queue_close(server);
}

UNIT_TEST(test_ipc_over_a_file)
{
    struct queue_options options = {.endpoint = ipc};
    struct queue *q = NULL;
    struct err err;
    FILE *f;

    unlink(ipc + 6);
    f = fopen(ipc + 6, "w");
    assert_non_null(f);
    fclose(f);
    assert_int_equal(queue_bind(&options, &q, &err), ERR_INPUT);
    assert_non_null(strstr(err.text, "is a file and no socket"));
    assert_int_equal(access(ipc + 6, F_OK), 0); /* and it is still there */
    unlink(ipc + 6);
}

static void assert_distrusted(const char *endpoint, const char *want)
{
    struct queue *server = NULL, *client = dialled(endpoint, NULL, 0);
    struct queue_options options = {.endpoint = endpoint};
    struct err err;

    assert_non_null(strstr(queue_distrust(client), want));
    assert_false(queue_is_up(client));
    assert_true(queue_wake_us(client) <= clock_boot_us() + TIME_S);
    assert_int_equal(queue_bind(&options, &server, &err), ERR_INPUT);
    assert_non_null(strstr(err.text, want));
    queue_close(client);
}

UNIT_TEST(an_endpoint_that_others_can_take_is_not_dialled)
{
    struct queue *server, *client;

    assert_int_equal(chmod(folder, 01777), 0);
    assert_distrusted(ipc, "other users can write to the folder");
    client = dialled(ipc, NULL, 0);
    assert_int_equal(chmod(folder, 0700), 0);
    server = bound(ipc, NULL, 0);
    assert_talk(server, client); /* it was tried again */
    assert_string_equal(queue_distrust(client), "");
    queue_close(client);
    queue_close(server);
}

UNIT_TEST(an_endpoint_of_another_user_is_not_dialled)
{
    char text[200];

    if (geteuid() != 0)
        skip();
    assert_int_equal(chown(folder, 65534, 65534), 0);
    snprintf(text, sizeof text, "user 65534 owns the folder %s/", folder);
    assert_distrusted(ipc, text);
    assert_int_equal(chown(folder, 0, 0), 0);
}

UNIT_TEST(test_ipc_without_folder)
{
    struct queue_options options = {.endpoint = "ipc:///nowhere/at/all/q"};
    struct queue *q = NULL;
    struct err err;

    assert_int_equal(queue_bind(&options, &q, &err), ERR_IO);
    assert_non_null(strstr(err.text, "ipc:///nowhere/at/all/q cannot be bound: No such file"));
}

UNIT_TEST(test_tcp_refusals)
{
    uint16_t port = free_port();
    char endpoint[64];
    struct queue_options options = {endpoint, &A, 1};
    struct queue *server, *q = NULL;
    struct err err;

    tcp_endpoint(endpoint, port);
    server = bound(endpoint, &A, 1);
    assert_int_equal(queue_bind(&options, &q, &err), ERR_BUSY);
    assert_non_null(strstr(err.text, "in use by another process"));
    queue_close(server);
    options.n_secrets = 0;
    assert_int_equal(queue_bind(&options, &q, &err), ERR_INPUT);
    assert_non_null(strstr(err.text, "HEROKU_LOG_DRAIN_HMAC_SECRET"));
    assert_int_equal(queue_connect(&options, 0, &q, &err), ERR_INPUT);
    options = (struct queue_options){"tcp://*:5555", &A, 1};
    assert_int_equal(queue_connect(&options, 0, &q, &err), ERR_INPUT);
    assert_non_null(strstr(err.text, "where the alerter is"));
    options.endpoint = "tcp://192.0.2.1:5555"; /* RFC 5737: nobody's */
    assert_int_equal(queue_bind(&options, &q, &err), ERR_INPUT);
    assert_non_null(strstr(err.text, "tcp://*:5555 for the alerter"));
}

UNIT_TEST(test_nobody_there)
{
    struct queue *client = dialled(ipc, NULL, 0), *server;
    const void *bytes;
    size_t n;

    assert_int_equal(queue_send(client, NULL, "x", 1), ERR_FULL);
    assert_int_equal(queue_receive(client, NULL, &bytes, &n), 0);
    assert_int_equal(queue_epoch(client), 0);
    server = bound(ipc, NULL, 0);
    assert_talk(server, client);
    queue_close(server);
    while (queue_send(client, NULL, "x", 1) == 0) /* until it has noticed */
        turn(client, NULL);
    server = bound(ipc, NULL, 0);
    assert_talk(server, client);
    assert_int_equal(queue_epoch(client), 2);
    queue_close(client);
    queue_close(server);
}

/* A peer that does not read cannot make us hold more than the bound, and one that is gone is named.
 */
UNIT_TEST(test_bounds_and_gone_peers)
{
    struct queue *server = bound(ipc, NULL, 0), *client = dialled(ipc, NULL, 0);
    static char large[64 << 10];
    struct source_peer peer;
    const void *bytes;
    int sent = 0, rc;
    int64_t end_us = clock_boot_us() + DEADLINE_US;
    size_t n;

    send_soon(client, server, "hi", 2);
    receive_soon(server, client, &peer, &bytes, &n);
    for (int full = 0; full < 20 && sent < 10000;) { /* until it stays full */
        rc = queue_send(client, NULL, large, sizeof large);
        assert_true(rc == 0 || rc == ERR_FULL);
        sent += rc == 0;
        full = rc == 0 ? 0 : full + 1;
        if (rc == ERR_FULL)
            turn(client, NULL);
    }
    assert_true(sent >= QUEUE_HWM && sent < 4 * QUEUE_HWM);
    for (int i = 0; i < sent; i++)
        receive_soon(server, client, &peer, &bytes, &n);
    queue_close(client);
    while ((rc = queue_send(server, &peer, "late", 4)) != ERR_IO && clock_boot_us() < end_us)
        turn(server, NULL);
    assert_int_equal(rc, ERR_IO);
    queue_close(server);
}

UNIT_TEST(test_curve_secrets)
{
    char endpoint[64];
    /* The secrets of the server and of the client. */
    const struct secret ab[] = {A, B}, ba[] = {B, A}, cba[] = {C, B, A};
    const struct {
        const struct secret *server, *client;
        size_t n_server, n_client;
    } good[] = {
        {&A, &A, 1, 1}, {ab, ab, 2, 2}, {ab, ba, 2, 2},  {ba, ab, 2, 2},
        {ab, &A, 2, 1}, {&A, ba, 1, 2}, {&A, cba, 1, 3},
    };

    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        struct queue *server, *client;

        tcp_endpoint(endpoint, free_port());
        server = bound(endpoint, good[i].server, good[i].n_server);
        client = dialled(endpoint, good[i].client, good[i].n_client);
        assert_talk(server, client);
        queue_close(client);
        queue_close(server);
    }
}

UNIT_TEST(test_curve_wrong_secret)
{
    const struct secret bc[] = {B, C};
    char endpoint[64];
    struct queue *server, *client;

    tcp_endpoint(endpoint, free_port());
    server = bound(endpoint, &A, 1);
    client = dialled(endpoint, bc, 2);
    assert_kept_out(server, client, 4); /* two rounds */
    assert_true(queue_failed(client) > 0);
    queue_close(client);
    client = dialled(endpoint, &A, 1); /* and the right one comes in after that */
    assert_talk(server, client);
    queue_close(client);
    queue_close(server);
}

/* A raw socket of ZeroMQ, to be what ours never are. */
struct raw {
    void *context;
    void *socket;
};

static struct raw raw_open(int type)
{
    struct raw r = {.context = zmq_ctx_new()};
    int none = 0;

    r.socket = zmq_socket(r.context, type);
    assert_int_equal(zmq_setsockopt(r.socket, ZMQ_LINGER, &none, sizeof none), 0);
    return r;
}

static void raw_close(struct raw r)
{
    zmq_close(r.socket);
    zmq_ctx_term(r.context);
}

static void assert_raw_kept_out(struct queue *server, struct raw r, const char *endpoint)
{
    int64_t end_us = clock_boot_us() + DEADLINE_US;
    struct source_peer peer;
    const void *bytes;
    size_t n;

    assert_int_equal(zmq_connect(r.socket, endpoint), 0);
    assert_int_equal(zmq_send(r.socket, "let me in", 9, 0), 9);
    while (queue_failed(server) == 0 && clock_boot_us() < end_us) {
        turn(server, NULL);
        assert_int_equal(queue_receive(server, &peer, &bytes, &n), 0);
    }
    assert_true(queue_failed(server) > 0);
    assert_int_equal(queue_epoch(server), 0);
}

UNIT_TEST(test_curve_plain_client)
{
    char endpoint[64];
    struct queue *server, *client;
    struct raw r = raw_open(ZMQ_DEALER);

    tcp_endpoint(endpoint, free_port());
    server = bound(endpoint, &A, 1);
    assert_raw_kept_out(server, r, endpoint);
    raw_close(r);
    client = dialled(endpoint, &A, 1);
    assert_talk(server, client);
    queue_close(client);
    queue_close(server);
}

/* A client that learned the server's public key, which is no secret, still does not come in. */
UNIT_TEST(test_curve_foreign_client_key)
{
    char endpoint[64], public_key[QUEUE_KEY_SIZE], secret_key[QUEUE_KEY_SIZE];
    struct raw r = raw_open(ZMQ_DEALER);
    struct queue_keys *keys;
    struct queue *server;
    struct err err;

    assert_int_equal(queue_keys_new(&A, 1, &keys, &err), 0);
    assert_int_equal(zmq_curve_keypair(public_key, secret_key), 0);
    zmq_setsockopt(r.socket, ZMQ_CURVE_SERVERKEY, keys->server_public, 40);
    queue_keys_free(keys, 1);
    zmq_setsockopt(r.socket, ZMQ_CURVE_PUBLICKEY, public_key, 40);
    zmq_setsockopt(r.socket, ZMQ_CURVE_SECRETKEY, secret_key, 40);
    tcp_endpoint(endpoint, free_port());
    server = bound(endpoint, &A, 1);
    assert_raw_kept_out(server, r, endpoint);
    raw_close(r);
    queue_close(server);
}

/* An impostor on the alerter's port gets nothing. */
UNIT_TEST(test_curve_client_against_plain_server)
{
    char endpoint[64];
    struct raw r = raw_open(ZMQ_ROUTER);
    struct queue *client, *server;
    int64_t end_us = clock_boot_us() + DEADLINE_US;

    tcp_endpoint(endpoint, free_port());
    assert_int_equal(zmq_bind(r.socket, endpoint), 0);
    client = dialled(endpoint, &A, 1);
    while (queue_failed(client) == 0 && clock_boot_us() < end_us) {
        turn(client, NULL);
        assert_int_equal(queue_send(client, NULL, "secret", 6), ERR_FULL);
    }
    assert_true(queue_failed(client) > 0);
    raw_close(r);
    /* After such an error ZeroMQ gives the endpoint up. We do not. */
    server = bound(endpoint, &A, 1);
    assert_talk(server, client);
    queue_close(client);
    queue_close(server);
}

static int tcp_dial(uint16_t port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

UNIT_TEST(test_rubbish_on_the_port)
{
    static const struct wire_bytes rubbish[] = {
        {(const uint8_t *)"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 27},
        {(const uint8_t *)"\xff\0\0\0\0\0\0\0\x01\x7f\x03\0CURVE, then no greeting", 36},
        {(const uint8_t *)"\0\0\0\0", 4},
    };
    uint16_t port = free_port();
    struct queue *server, *client;
    char endpoint[64];
    int fds[3];

    tcp_endpoint(endpoint, port);
    server = bound(endpoint, &A, 1);
    for (size_t i = 0; i < 3; i++) {
        fds[i] = tcp_dial(port);
        assert_int_equal(send(fds[i], rubbish[i].data, rubbish[i].len, MSG_NOSIGNAL),
                         (ssize_t)rubbish[i].len);
    }
    client = dialled(endpoint, &A, 1);
    assert_talk(server, client);
    for (size_t i = 0; i < 3; i++)
        close(fds[i]);
    assert_talk(server, client);
    queue_close(client);
    queue_close(server);
}

/* A message that is too large ends its connection; one of several parts is dropped. */
UNIT_TEST(test_unfit_messages)
{
    size_t size = WIRE_MESSAGE_MAX + (64u << 10), n;
    struct queue *server = bound(ipc, NULL, 0), *client;
    struct raw r = raw_open(ZMQ_DEALER);
    char *large = calloc(1, size);
    struct source_peer peer;
    const void *bytes;

    assert_int_equal(zmq_connect(r.socket, ipc), 0);
    assert_int_equal(zmq_send(r.socket, "a", 1, ZMQ_SNDMORE), 1);
    assert_int_equal(zmq_send(r.socket, "b", 1, 0), 1);
    assert_int_equal(zmq_send(r.socket, "whole", 5, 0), 5);
    receive_soon(server, NULL, &peer, &bytes, &n);
    assert_int_equal(n, 5);
    assert_int_equal(zmq_send(r.socket, large, size, 0), (int)size);
    client = dialled(ipc, NULL, 0);
    assert_talk(server, client); /* the large message did not come first */
    free(large);
    raw_close(r);
    queue_close(client);
    queue_close(server);
}

UNIT_TEST(large_messages_cross_tcp_in_parts)
{
    static const size_t sizes[] = {1, 32 << 10, (32 << 10) + 1, 100000, WIRE_MESSAGE_MAX};
    char *sent = malloc(WIRE_MESSAGE_MAX), endpoint[64];
    struct queue *server, *client;
    struct source_peer peer;
    const void *bytes;
    size_t n;

    assert_non_null(sent);
    for (size_t i = 0; i < WIRE_MESSAGE_MAX; i++)
        sent[i] = (char)(i * 7 + i / 4096);
    tcp_endpoint(endpoint, free_port());
    server = bound(endpoint, &A, 1);
    client = dialled(endpoint, &A, 1);
    assert_talk(server, client);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        assert_int_equal(queue_send(client, NULL, sent, sizes[i]), 0);
        receive_soon(server, client, &peer, &bytes, &n);
        assert_int_equal(n, sizes[i]);
        assert_memory_equal(bytes, sent, n);
        assert_int_equal(queue_send(server, &peer, sent, sizes[i]), 0);
        receive_soon(client, server, NULL, &bytes, &n);
        assert_int_equal(n, sizes[i]);
        assert_memory_equal(bytes, sent, n);
    }
    free(sent);
    queue_close(client);
    queue_close(server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_endpoints),
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_ipc),
        cmocka_unit_test(test_signals_leave_messages_whole),
        cmocka_unit_test(test_ipc_in_use),
        cmocka_unit_test(test_ipc_after_a_death),
        cmocka_unit_test(test_ipc_over_a_file),
        cmocka_unit_test(an_endpoint_that_others_can_take_is_not_dialled),
        cmocka_unit_test(an_endpoint_of_another_user_is_not_dialled),
        cmocka_unit_test(test_ipc_without_folder),
        cmocka_unit_test(test_tcp_refusals),
        cmocka_unit_test(test_nobody_there),
        cmocka_unit_test(test_bounds_and_gone_peers),
        cmocka_unit_test(test_curve_secrets),
        cmocka_unit_test(test_curve_wrong_secret),
        cmocka_unit_test(test_curve_plain_client),
        cmocka_unit_test(test_curve_foreign_client_key),
        cmocka_unit_test(test_curve_client_against_plain_server),
        cmocka_unit_test(test_rubbish_on_the_port),
        cmocka_unit_test(test_unfit_messages),
        cmocka_unit_test(large_messages_cross_tcp_in_parts),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
