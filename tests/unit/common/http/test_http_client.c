/* The http_client against a real HTTP server on loopback, in threads of this program. What a
 * request asks for in its body is how the server behaves. */
#include "tests/unit/unit.h"

#include "common/http/http_client.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define TOKEN "xoxb-secret-token-0123456789"

enum { CONNECTIONS_MAX = 64, REQUEST_MAX = 16 << 10 };

static struct server {
    int fd;
    uint16_t port;
    pthread_t thread;
    pthread_mutex_t lock;
    int connections[CONNECTIONS_MAX];
    pthread_t threads[CONNECTIONS_MAX];
    int n_connections;
    int n_requests;
    int n_closed;
    char last[REQUEST_MAX]; /* the last request, whole */
} server = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* --- the server --- */

static void put(int fd, const char *text)
{
    size_t n = strlen(text);

    while (n > 0) {
        ssize_t done = send(fd, text, n, MSG_NOSIGNAL);

        if (done <= 0)
            return;
        text += done;
        n -= (size_t)done;
    }
}

static void answer(int fd, const char *head, const char *body)
{
    char text[REQUEST_MAX];

    snprintf(text, sizeof text, "HTTP/1.1 %s\r\nContent-Length: %zu\r\n\r\n%s", head, strlen(body),
             body);
    put(fd, text);
}

static void answer_huge(int fd)
{
    char block[4097];

    memset(block, 'x', sizeof block - 1);
    block[sizeof block - 1] = '\0';
    put(fd, "HTTP/1.1 200 OK\r\nContent-Length: 1048576\r\n\r\n");
    for (int i = 0; i < 256; i++)
        put(fd, block);
}

/* Sends the line until the client closes the connection. */
static void answer_for_ever(int fd, const char *head, const char *line)
{
    char block[8193] = "";

    while (strlen(block) + strlen(line) < sizeof block)
        strcat(block, line);
    put(fd, head);
    while (send(fd, block, strlen(block), MSG_NOSIGNAL) > 0)
        ;
}

#define CHUNKED "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

/* Waits until the client, or the end of the test, closes the connection. */
static void hang(int fd)
{
    char c;

    while (recv(fd, &c, 1, 0) > 0)
        ;
}

/* False where the connection is at its end. */
static bool behave(int fd, const char *request, const char *body)
{
    const char *authorization = strcasestr(request, "Authorization: ");

    if (strcmp(body, "hang") == 0)
        hang(fd);
    else if (strcmp(body, "cut") == 0)
        put(fd, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"ok\":true");
    else if (strcmp(body, "garbage") == 0)
        put(fd, "this is not HTTP\r\n\r\n");
    else if (strcmp(body, "huge") == 0)
        answer_huge(fd);
    else if (strcmp(body, "heads") == 0)
        answer_for_ever(fd, "", "HTTP/1.1 103 Early Hints\r\n\r\n");
    else if (strcmp(body, "trailers") == 0)
        answer_for_ever(fd, CHUNKED "0\r\n", "a: b\r\n");
    else if (strcmp(body, "extension") == 0)
        answer_for_ever(fd, CHUNKED "1;", "x");
    else if (strcmp(body, "ok") == 0)
        return answer(fd, "200 OK", "{\"ok\":true}"), true;
    else if (strcmp(body, "429") == 0)
        return answer(fd, "429 Slow down\r\nRetry-After: 7", "{}"), true;
    else if (strcmp(body, "302") == 0)
        return answer(fd, "302 Found\r\nLocation: /elsewhere", ""), true;
    else if (strcmp(body, "echo") == 0 && authorization != NULL)
        return answer(fd, "200 OK", authorization), true;
    else if (strcmp(body, "bye") == 0)
        answer(fd, "200 OK", "{\"ok\":true}");
    return false; /* "close", and any unknown request */
}

/* Reads one request into `text`; returns its body, or NULL at the connection's end. */
static char *read_request(int fd, char text[REQUEST_MAX])
{
    size_t len = 0;
    ssize_t n;

    while ((n = recv(fd, text + len, REQUEST_MAX - 1 - len, 0)) > 0) {
        char *end, *length;

        len += (size_t)n;
        text[len] = '\0';
        end = strstr(text, "\r\n\r\n");
        length = strcasestr(text, "Content-Length: ");
        if (end != NULL && strlen(end + 4) >= (size_t)(length != NULL ? atoi(length + 16) : 0))
            return end + 4;
    }
    return NULL;
}

static void *serve_connection(void *arg)
{
    int fd = *(int *)arg;
    char text[REQUEST_MAX], *body;

    while ((body = read_request(fd, text)) != NULL) {
        pthread_mutex_lock(&server.lock);
        server.n_requests++;
        strcpy(server.last, text);
        pthread_mutex_unlock(&server.lock);
        if (!behave(fd, text, body))
            break;
    }
    shutdown(fd, SHUT_RDWR);
    pthread_mutex_lock(&server.lock);
    server.n_closed++;
    pthread_mutex_unlock(&server.lock);
    return NULL;
}

static void *serve(void *arg)
{
    int fd;

    (void)arg;
    while ((fd = accept(server.fd, NULL, NULL)) >= 0 && server.n_connections < CONNECTIONS_MAX) {
        int i = server.n_connections;

        pthread_mutex_lock(&server.lock);
        server.connections[i] = fd;
        server.n_connections++;
        pthread_mutex_unlock(&server.lock);
        pthread_create(&server.threads[i], NULL, serve_connection, &server.connections[i]);
    }
    return NULL;
}

static int server_listen(void **state)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;

    (void)state;
    server.n_connections = server.n_requests = server.n_closed = 0;
    server.fd = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(server.fd, (struct sockaddr *)&at, len) != 0 || listen(server.fd, 64) != 0 ||
        getsockname(server.fd, (struct sockaddr *)&at, &len) != 0)
        return -1;
    server.port = ntohs(at.sin_port);
    return 0;
}

static int server_unlisten(void **state)
{
    (void)state;
    return close(server.fd);
}

static int server_start(void **state)
{
    int rc = server_listen(state);

    return rc != 0 ? rc : pthread_create(&server.thread, NULL, serve, NULL);
}

static int server_stop(void **state)
{
    shutdown(server.fd, SHUT_RDWR);
    pthread_join(server.thread, NULL);
    for (int i = 0; i < server.n_connections; i++) {
        shutdown(server.connections[i], SHUT_RDWR);
        pthread_join(server.threads[i], NULL);
        close(server.connections[i]);
    }
    return server_unlisten(state);
}

static int counted(const int *counter)
{
    int n;

    pthread_mutex_lock(&server.lock);
    n = *counter;
    pthread_mutex_unlock(&server.lock);
    return n;
}

/* --- a name that takes its time: libcurl's lookups come by here --- */

static struct lookup {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool held;
    int inside;
} lookup = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

int getaddrinfo(const char *restrict node, const char *restrict service,
                const struct addrinfo *restrict hints, struct addrinfo **restrict out)
{
    char port[8];
    struct sockaddr_in *address;
    struct addrinfo *info;
    struct timespec end;
    int rc = 0;

    (void)hints;
    clock_gettime(CLOCK_REALTIME, &end);
    end.tv_sec += 10; /* who waits for us on the loop must fail the test, not hang it */
    pthread_mutex_lock(&lookup.lock);
    lookup.inside++;
    pthread_cond_broadcast(&lookup.changed);
    while (lookup.held && strcmp(node, "slow.invalid") == 0 && rc == 0)
        rc = pthread_cond_timedwait(&lookup.changed, &lookup.lock, &end);
    lookup.inside--;
    pthread_cond_broadcast(&lookup.changed);
    pthread_mutex_unlock(&lookup.lock);
    if (strcmp(node, "slow.invalid") == 0)
        return EAI_NONAME;
    snprintf(port, sizeof port, "%s", service);
    info = calloc(1, sizeof *info + sizeof *address);
    if (info == NULL)
        return EAI_MEMORY;
    address = (struct sockaddr_in *)(void *)(info + 1);
    *address = (struct sockaddr_in){.sin_family = AF_INET,
                                    .sin_port = htons((uint16_t)atoi(port)),
                                    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    *info = (struct addrinfo){.ai_family = AF_INET,
                              .ai_socktype = SOCK_STREAM,
                              .ai_addrlen = sizeof *address,
                              .ai_addr = (struct sockaddr *)address};
    *out = info;
    return 0;
}

void freeaddrinfo(struct addrinfo *info)
{
    free(info);
}

/* --- helpers --- */

static int64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* A client, and the calls that it has in flight; a call's number is its `ctx`. */
struct poster {
    struct http_client *client;
    char url[128];
    struct http_call *calls[100];
    int in_flight;
};

struct result {
    int n;
    struct http_reply reply; /* valid until the poster is freed */
};

static struct poster *new_poster(const char *host, int connect_ms, int whole_ms)
{
    struct poster *p = calloc(1, sizeof *p);
    struct err err;

    snprintf(p->url, sizeof p->url, "http://%s:%d/api/post", host, server.port);
    assert_int_equal(http_client_new(&(struct http_client_options){.user_agent = "drainwatch/1.2.3",
                                                                   .connect_ms = connect_ms,
                                                                   .whole_ms = whole_ms},
                                     &p->client, &err),
                     0);
    return p;
}

static void free_poster(struct poster *p)
{
    for (int i = 0; i < 100; i++)
        http_call_free(p->calls[i]);
    http_client_free(p->client);
    free(p);
}

static void post(struct poster *p, int n, const char *body)
{
    struct http_request request;
    struct err err;

    http_call_free(p->calls[n]);
    http_request_init(&request);
    assert_int_equal(buf_puts(&request.url, p->url), 0);
    assert_int_equal(buf_puts(&request.headers, "Content-Type: application/json\n"
                                                "Authorization: Bearer " TOKEN "\n"),
                     0);
    assert_int_equal(buf_puts(&request.body, body), 0);
    request.secret = TOKEN;
    assert_int_equal(http_client_send(p->client, &request, &p->calls[n], &p->calls[n], &err), 0);
    http_request_close(&request);
    p->in_flight++;
}

static bool next(struct poster *p, struct result *r)
{
    struct http_call **call = http_client_next(p->client, &r->reply);

    if (call == NULL)
        return false;
    r->n = (int)(call - p->calls);
    p->in_flight--;
    return true;
}

static void turn(struct poster *p, int timeout_ms)
{
    struct err err;

    assert_int_equal(http_client_poll(p->client, NULL, 0, timeout_ms, &err), 0);
}

/* Turns the loop until one post has ended. */
static struct result wait_one(struct poster *p)
{
    struct result r;
    const int64_t end = now_ms() + 20000;

    while (!next(p, &r)) {
        assert_true(now_ms() < end);
        turn(p, 1000);
    }
    return r;
}

static struct http_reply post_one(struct poster *p, int n, const char *body)
{
    struct result r;

    post(p, n, body);
    r = wait_one(p);
    assert_int_equal(r.n, n);
    return r.reply;
}

/* --- tests --- */

UNIT_TEST(test_a_post_as_it_was_asked_for)
{
    struct poster *p = new_poster("127.0.0.1", 0, 0);
    struct http_reply r = post_one(p, 42, "ok");

    assert_int_equal(r.status, 200);
    assert_string_equal(r.error, "");
    assert_int_equal(r.retry_after_s, 0);
    assert_int_equal(r.body_len, strlen("{\"ok\":true}"));
    assert_memory_equal(r.body, "{\"ok\":true}", r.body_len);
    assert_int_equal(p->in_flight, 0);
    assert_ptr_equal(strstr(server.last, "POST /api/post HTTP/1.1\r\n"), server.last);
    assert_non_null(strcasestr(server.last, "\r\nAuthorization: Bearer " TOKEN "\r\n"));
    assert_non_null(strcasestr(server.last, "\r\nContent-Type: application/json\r\n"));
    assert_non_null(strcasestr(server.last, "\r\nUser-Agent: drainwatch/1.2.3\r\n"));
    assert_null(strcasestr(server.last, "\r\nExpect:"));
    assert_null(strcasestr(server.last, "\r\nTransfer-Encoding:"));
    free_poster(p);
}

UNIT_TEST(test_connections_are_kept)
{
    struct poster *p = new_poster("127.0.0.1", 0, 0);

    for (int i = 0; i < 5; i++)
        assert_int_equal(post_one(p, i, "ok").status, 200);
    assert_int_equal(counted(&server.n_requests), 5);
    assert_int_equal(counted(&server.n_connections), 1);
    free_poster(p);
}

UNIT_TEST(test_a_kept_connection_that_closes_costs_a_try)
{
    struct poster *p = new_poster("127.0.0.1", 0, 0);
    struct http_reply r;

    assert_int_equal(post_one(p, 1, "ok").status, 200);
    r = post_one(p, 2, "close");
    assert_string_equal(r.error, "the connection was closed without an answer");
    assert_int_equal(counted(&server.n_requests),
                     2); /* libcurl by itself would have sent it once more */
    assert_int_equal(post_one(p, 3, "ok").status, 200);
    free_poster(p);
}

/* One that Slack closed while it was idle, as it does after a minute or so, costs nothing. */
UNIT_TEST(test_a_connection_that_was_closed_while_idle)
{
    struct poster *p = new_poster("127.0.0.1", 0, 0);
    const int64_t end = now_ms() + 5000;

    assert_int_equal(post_one(p, 1, "bye").status, 200);
    while (counted(&server.n_closed) == 0 && now_ms() < end)
        turn(p, 1);
    assert_string_equal(post_one(p, 2, "ok").error, "");
    assert_int_equal(counted(&server.n_connections), 2);
    free_poster(p);
}

UNIT_TEST(test_retry_after)
{
    struct poster *p = new_poster("127.0.0.1", 0, 0);
    struct http_reply r = post_one(p, 1, "429");

    assert_int_equal(r.status, 429);
    assert_int_equal(r.retry_after_s, 7);
    assert_string_equal(r.error, "");
    r = post_one(p, 2, "ok"); /* a call remembers nothing of it */
    assert_int_equal(r.retry_after_s, 0);
    free_poster(p);
}

UNIT_TEST(test_a_redirect_is_not_followed)
{
    struct poster *p = new_poster("127.0.0.1", 0, 0);
    struct http_reply r = post_one(p, 1, "302");

    assert_int_equal(r.status, 302);
    assert_int_equal(r.body_len, 0);
    assert_string_equal(r.body, "");
    assert_int_equal(counted(&server.n_requests), 1);
    free_poster(p);
}

UNIT_TEST(test_broken_answers_are_errors)
{
    static const char *const kinds[] = {"close", "cut", "garbage", "huge"};
    struct poster *p = new_poster("127.0.0.1", 0, 0);

    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        struct http_reply r = post_one(p, (int)i, kinds[i]);

        assert_string_not_equal(r.error, "");
        assert_true(r.body_len <= HTTP_CLIENT_REPLY_MAX);
    }
    assert_string_equal(post_one(p, 9, "ok").error, "");
    free_poster(p);
}

UNIT_TEST(test_an_answer_without_an_end_is_cut_off)
{
    static const char *const kinds[] = {"heads", "trailers", "extension"};
    struct poster *p = new_poster("127.0.0.1", 0, 0);

    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        assert_string_equal(post_one(p, (int)i, kinds[i]).error,
                            "the answer is larger than 256 KiB");
    assert_string_equal(post_one(p, 9, "ok").error, "");
    free_poster(p);
}

UNIT_TEST(test_nobody_listens)
{
    struct poster *p = new_poster("127.0.0.1", 0, 0);
    struct http_reply r;

    shutdown(server.fd, SHUT_RDWR); /* server_stop does it again, to no effect */
    pthread_join(server.thread, NULL);
    pthread_create(&server.thread, NULL, serve, NULL); /* ends at once, for server_stop to join */
    r = post_one(p, 1, "ok");
    assert_int_equal(r.status, 0);
    assert_string_not_equal(r.error, "");
    free_poster(p);
}

UNIT_TEST(test_the_token_stays_here)
{
    struct poster *p = new_poster("127.0.0.1", 0, 0);
    struct http_reply r = post_one(p, 1, "echo");

    assert_int_equal(r.status, 200);
    assert_non_null(memmem(r.body, r.body_len, "Bearer ****", 11));
    assert_null(memmem(r.body, r.body_len, TOKEN, strlen(TOKEN)));
    free_poster(p);
}

UNIT_TEST(test_one_that_hangs_holds_up_no_other)
{
    struct poster *p = new_poster("127.0.0.1", 0, 600);
    struct result r;
    int64_t begun = now_ms();
    int turns = 0;

    post(p, 1, "hang");
    for (int i = 10; i < 15; i++)
        assert_int_equal(post_one(p, i, "ok").status, 200);
    assert_true(now_ms() - begun < 600);
    assert_int_equal(p->in_flight, 1);
    for (; !next(p, &r); turns++)
        turn(p, 1000);
    assert_int_equal(r.n, 1);
    assert_int_equal(r.reply.status, 0);
    assert_string_not_equal(r.reply.error, "");
    assert_true(now_ms() - begun >= 600);
    assert_true(turns < 50); /* it slept meanwhile */
    free_poster(p);
}

UNIT_TEST(test_each_of_many_ends_once)
{
    struct poster *p = new_poster("127.0.0.1", 0, 400);
    bool seen[20] = {false};

    for (int i = 0; i < 20; i++)
        post(p, i, i % 2 == 0 ? "hang" : "ok");
    for (int i = 0; i < 20; i++) {
        struct result r = wait_one(p);

        assert_false(seen[r.n]);
        seen[r.n] = true;
        assert_int_equal(r.reply.status, r.n % 2 == 0 ? 0 : 200);
    }
    assert_int_equal(p->in_flight, 0);
    free_poster(p);
}

/* The poll returns at once for it, though nothing happens on any descriptor. */
UNIT_TEST(test_a_call_that_failed_at_once_is_not_slept_over)
{
    struct poster *p = new_poster("127.0.0.1", 0, 0);
    int64_t begun = now_ms();

    snprintf(p->url, sizeof p->url, "gopher://127.0.0.1/");
    assert_string_not_equal(post_one(p, 1, "ok").error, "");
    assert_true(now_ms() - begun < 900);
    free_poster(p);
}

UNIT_TEST(test_on_a_kept_connection_a_post_is_out_at_once)
{
    struct poster *p = new_poster("127.0.0.1", 0, 0);
    const int64_t end = now_ms() + 20000;

    post_one(p, 1, "ok");
    post(p, 2, "ok");
    while (counted(&server.n_requests) < 2) /* the loop does not turn meanwhile */
        assert_true(now_ms() < end);
    assert_int_equal(wait_one(p).n, 2);
    free_poster(p);
}

UNIT_TEST(test_the_loops_own_descriptors)
{
    struct poster *p = new_poster("127.0.0.1", 0, 0);
    struct err err;
    int ends[2];
    int64_t begun = now_ms();
    char c = 'x';
    struct curl_waitfd fds[1];

    assert_int_equal(pipe(ends), 0);
    fds[0] = (struct curl_waitfd){.fd = ends[0], .events = CURL_WAIT_POLLIN};
    post(p, 1, "hang");
    assert_int_equal(write(ends[1], &c, 1), 1);
    for (int i = 0; i < 100 && fds[0].revents == 0; i++)
        assert_int_equal(http_client_poll(p->client, fds, 1, 10000, &err), 0);
    assert_int_equal(fds[0].revents, CURL_WAIT_POLLIN);
    assert_true(now_ms() - begun < 5000);
    assert_int_equal(read(ends[0], &c, 1), 1);
    for (int i = 0; i < 5; i++) { /* set to 0 although nothing happens */
        fds[0].revents = CURL_WAIT_POLLIN;
        assert_int_equal(http_client_poll(p->client, fds, 1, 20, &err), 0);
        assert_int_equal(fds[0].revents, 0);
    }
    free_poster(p); /* with a post in flight */
    close(ends[0]);
    close(ends[1]);
}

static void ignore_alarm(int signal)
{
    (void)signal;
}

UNIT_TEST(test_a_signal_ends_the_wait)
{
    struct poster *p = new_poster("127.0.0.1", 0, 0);
    struct sigaction action = {.sa_handler = ignore_alarm}, old;
    struct itimerval in = {.it_value.tv_usec = 20000};
    int64_t begun = now_ms();

    sigaction(SIGALRM, &action, &old);
    setitimer(ITIMER_REAL, &in, NULL);
    turn(p, 10000);
    assert_true(now_ms() - begun < 5000);
    sigaction(SIGALRM, &old, NULL);
    free_poster(p);
}

/* The loop goes on while a name is looked up, when the lookup is given up, and at the end. */
UNIT_TEST(test_a_name_that_takes_its_time)
{
    struct poster *p = new_poster("slow.invalid", 200, 0);
    struct result r;
    const int64_t begun = now_ms();

    lookup.held = true;
    post(p, 1, "ok");
    while (!next(p, &r)) {
        turn(p, 50);
        assert_true(now_ms() - begun < 5000);
    }
    assert_int_equal(r.reply.status, 0);
    assert_string_not_equal(r.reply.error, "");
    post(p, 2, "ok");
    turn(p, 50);
    free_poster(p); /* with a lookup under way */
    pthread_mutex_lock(&lookup.lock);
    assert_true(lookup.inside > 0); /* nobody has waited for it */
    lookup.held = false;
    pthread_cond_broadcast(&lookup.changed);
    while (lookup.inside > 0)
        pthread_cond_wait(&lookup.changed, &lookup.lock);
    pthread_mutex_unlock(&lookup.lock);
}

/* A server with a certificate of an authority of its own. */
static SSL_CTX *self_signed(const char *file)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = X509_new();
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    X509_NAME *name = X509_get_subject_name(cert);
    X509V3_CTX v3;
    X509_EXTENSION *ip;
    FILE *out = fopen(file, "w");

    X509_set_version(cert, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"127.0.0.1", -1, -1,
                               0);
    X509_set_issuer_name(cert, name);
    X509_gmtime_adj(X509_getm_notBefore(cert), -3600);
    X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
    X509_set_pubkey(cert, key);
    X509V3_set_ctx_nodb(&v3);
    X509V3_set_ctx(&v3, cert, cert, NULL, NULL, 0);
    ip = X509V3_EXT_conf_nid(NULL, &v3, NID_subject_alt_name, "IP:127.0.0.1");
    assert_non_null(ip);
    X509_add_ext(cert, ip, -1);
    X509_EXTENSION_free(ip);
    assert_true(X509_sign(cert, key, EVP_sha256()) > 0);
    assert_int_equal(SSL_CTX_use_certificate(ctx, cert), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey(ctx, key), 1);
    assert_int_equal(PEM_write_X509(out, cert), 1);
    fclose(out);
    X509_free(cert);
    EVP_PKEY_free(key);
    return ctx;
}

/* Returns how many bytes the first client entrusted to it, and replies if there are any. */
static void *serve_tls(void *arg)
{
    static const char reply[] = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    SSL *tls = SSL_new(arg);
    int fd = accept(server.fd, NULL, NULL);
    char bytes[1024] = "";
    size_t n = 0, got;

    SSL_set_fd(tls, fd);
    if (SSL_accept(tls) == 1) /* a body that nobody reads would reset the connection */
        while (strstr(bytes, "\r\n\r\nok") == NULL &&
               SSL_read_ex(tls, bytes + n, sizeof bytes - 1 - n, &got) == 1)
            n += got;
    if (n > 0)
        SSL_write(tls, reply, sizeof reply - 1);
    SSL_free(tls);
    close(fd);
    return (void *)(intptr_t)n;
}

/* Posts to a server with a certificate of its own; returns the bytes that it got. */
static intptr_t post_over_tls(bool is_trusted, char error[CURL_ERROR_SIZE])
{
    char file[] = "/tmp/test_http_client.XXXXXX";
    SSL_CTX *ctx;
    pthread_t thread;
    void *entrusted;
    struct err err;
    struct poster *p = calloc(1, sizeof *p);

    close(mkstemp(file));
    ctx = self_signed(file);
    pthread_create(&thread, NULL, serve_tls, ctx);
    snprintf(p->url, sizeof p->url, "https://127.0.0.1:%d", server.port);
    assert_int_equal(
        http_client_new(&(struct http_client_options){.user_agent = "drainwatch/1",
                                                      .ca_file = is_trusted ? file : NULL},
                        &p->client, &err),
        0);
    snprintf(error, CURL_ERROR_SIZE, "%s", post_one(p, 1, "ok").error);
    free_poster(p);
    pthread_join(thread, &entrusted);
    SSL_CTX_free(ctx);
    unlink(file);
    return (intptr_t)entrusted;
}

UNIT_TEST(test_a_server_of_an_unknown_authority_gets_nothing)
{
    char error[CURL_ERROR_SIZE];

    assert_int_equal(post_over_tls(false, error), 0);
    assert_non_null(strstr(error, "certificate"));
    assert_non_null(strstr(error, "SSL_CERT_FILE"));
}

UNIT_TEST(test_an_authority_of_ones_own_is_trusted)
{
    char error[CURL_ERROR_SIZE];

    assert_true(post_over_tls(true, error) > 0);
    assert_string_equal(error, "");
}

#define WITH_SERVER(test) cmocka_unit_test_setup_teardown(test, server_start, server_stop)
#define WITH_LISTENER(test) cmocka_unit_test_setup_teardown(test, server_listen, server_unlisten)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_SERVER(test_a_post_as_it_was_asked_for),
        WITH_SERVER(test_connections_are_kept),
        WITH_SERVER(test_a_kept_connection_that_closes_costs_a_try),
        WITH_SERVER(test_a_connection_that_was_closed_while_idle),
        WITH_SERVER(test_retry_after),
        WITH_SERVER(test_a_redirect_is_not_followed),
        WITH_SERVER(test_broken_answers_are_errors),
        WITH_SERVER(test_an_answer_without_an_end_is_cut_off),
        WITH_SERVER(test_nobody_listens),
        WITH_SERVER(test_the_token_stays_here),
        WITH_SERVER(test_one_that_hangs_holds_up_no_other),
        WITH_SERVER(test_each_of_many_ends_once),
        WITH_SERVER(test_a_call_that_failed_at_once_is_not_slept_over),
        WITH_SERVER(test_on_a_kept_connection_a_post_is_out_at_once),
        WITH_SERVER(test_the_loops_own_descriptors),
        WITH_SERVER(test_a_signal_ends_the_wait),
        WITH_SERVER(test_a_name_that_takes_its_time),
        WITH_LISTENER(test_a_server_of_an_unknown_authority_gets_nothing),
        WITH_LISTENER(test_an_authority_of_ones_own_is_trusted),
    };

    unsetenv("http_proxy"); /* the server is on loopback, whatever the machine's way out is */
    unsetenv("https_proxy");
    unsetenv("HTTPS_PROXY");
    unsetenv("all_proxy");
    unsetenv("ALL_PROXY");
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
