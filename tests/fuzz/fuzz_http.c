/* Any bytes as a connection of an HTTP client, sent in pieces to the real server over loopback: it
 * answers nothing but well-formed answers of its own, ends every request, and takes a delivery or a
 * handover only with right credentials.
 *
 * The first bytes choose a form, because a head with right credentials cannot be guessed. */
#include "tests/fuzz/book.h"

#include "common/app/clock.h"
#include "ingest/http/server.h"
#include "ingest/input/input.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zlib.h>

/* printf d | openssl dgst -sha256 -hmac k */
#define TOKEN "e7ea21c3bcb63a4da3ad78503168d36bdca0be622382ea60a108fad4e4966679"
#define PATH "/api/internal/heroku-log-drain"
#define HEAD "POST " PATH "?drain_token=" TOKEN " HTTP/1.1\r\nLogplex-Drain-Token: d\r\n"

enum { SENT_MAX = 64 << 10, ANSWER_MAX = 64 << 10, TURNS_MAX = 200 };

static struct server *server;
static uint16_t port;
static size_t taken; /* deliveries with records */

static void on_receipt(void *ctx, uint64_t lines, uint64_t frame)
{
    (void)ctx, (void)lines, (void)frame;
}

static void on_damage(void *ctx, const char *drain, uint64_t frames, bool body)
{
    (void)ctx;
    assert(strcmp(drain, "d") == 0 && (frames > 0 || body));
}

/* Some deliveries are held back for some turns. */
static enum request_kept kept(void *ctx, const struct request *r)
{
    static unsigned asked;

    (void)ctx, (void)r;
    asked++;
    return asked % 4 == 0   ? REQUEST_KEPT_DATABASE
           : asked % 4 == 1 ? REQUEST_KEPT_DISK
                            : REQUEST_KEPT_NOWHERE;
}

static bool is_healthy(void *ctx, char *reason, size_t size)
{
    (void)ctx, (void)reason, (void)size;
    return true;
}

static uint16_t free_port(void)
{
    struct sockaddr_in address = {.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    address.sin_family = AF_INET;
    assert(bind(fd, (struct sockaddr *)&address, sizeof address) == 0);
    assert(getsockname(fd, (struct sockaddr *)&address, &len) == 0);
    close(fd);
    return ntohs(address.sin_port);
}

/* The log of refusals is not looked at, and would hide what a fuzzer prints. */
static void open_server(void)
{
    struct server_options options = {.is_healthy = is_healthy};
    struct err err;

    options.deliveries.max_body_bytes = 32 << 10;
    options.deliveries.clock_us = clock_boot_us;
    options.deliveries.auth = auth_new();
    options.deliveries.book = book_new();
    options.deliveries.on_receipt = on_receipt;
    options.deliveries.on_damage = on_damage;
    options.deliveries.kept = kept;
    assert(auth_add_secret(options.deliveries.auth, "k", 1));
    options.takes_handovers = true;
    options.port = port = free_port();
    assert(server_open(&options, &server, &err) == 0);
}

static void decide_handover(void)
{
    static unsigned decided;
    struct handover *h = handovers_next(server_handovers(server));
    const struct wire_push *push;
    struct wire_bytes packed;

    if (h == NULL)
        return;
    push = handover_push(h);
    packed = handover_packed(h);
    assert(push->n_records == 0 || (push->first > 0 && push->first + push->n_records <= INT64_MAX));
    assert(packed.len > 0 && packed.len <= HANDOVER_BODY_MAX);
    handover_decide(h, (enum handover_result)(decided++ % 3), 12);
    taken++;
}

static void turn(int64_t now_us)
{
    struct requests *all = server_requests(server);
    const struct wire_record *records;
    struct request *r;
    size_t n;

    server_run(server, now_us);
    decide_handover();
    server_answer_held(server, now_us);
    if (requests_waiting(all) == NULL)
        return;
    for (r = requests_waiting(all); r != NULL; r = request_next(r), taken++) {
        records = request_records(r, &n);
        assert(n > 0 && strcmp(records[0].drain, "d") == 0);
        request_set_accepted(r, taken % 8 != 7);
    }
    server_answer(server, now_us);
}

/* From one of many addresses in turn: the ports of one would all be used up within a minute. */
static int join(void)
{
    static uint32_t joined;
    const struct sockaddr_in from = {.sin_family = AF_INET,
                                     .sin_addr.s_addr = htonl(INADDR_LOOPBACK + joined++ % 250)};
    const struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const int yes = 1, fd = socket(AF_INET, SOCK_STREAM, 0);

    assert(fd >= 0);
    assert(setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &yes, sizeof yes) == 0);
    assert(bind(fd, (const struct sockaddr *)&from, sizeof from) == 0);
    assert(connect(fd, (const struct sockaddr *)&to, sizeof to) == 0);
    return fd;
}

/* Appends the answers that have come. Returns false once the server has closed. */
static bool hear(int fd, struct buf *answers)
{
    uint8_t bytes[4096];
    ssize_t n = recv(fd, bytes, sizeof bytes, MSG_DONTWAIT);

    if (n > 0)
        (void)buf_append(answers, bytes, (size_t)n);
    return n != 0;
}

static bool is_open(void)
{
    return requests_open(server_requests(server)) > 0 ||
           handovers_open(server_handovers(server)) > 0;
}

static void exchange(const struct buf *sent, size_t piece, struct buf *answers)
{
    const struct linger at_once = {.l_onoff = 1};
    struct feed in = {sent->data, sent->len};
    int64_t now_us = BOOK_RECEIVED;
    int fd = join();

    while (in.n > 0) {
        struct feed part = feed_part(&in, piece);

        if (send(fd, part.data, part.n, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)part.n)
            break;
        turn(now_us);
        (void)hear(fd, answers);
    }
    shutdown(fd, SHUT_WR);
    for (int i = 0; i < TURNS_MAX && hear(fd, answers); i++)
        turn(now_us += 300000);
    /* A closed connection shall not keep its port. */
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    close(fd);
    for (int i = 0; i < TURNS_MAX && is_open(); i++)
        turn(now_us += 2000000);
    assert(!is_open());
}

/* Each answer is a status line of ours, and no byte of an answer is a control byte. */
static void check_answers(const struct buf *answers, bool knows_token)
{
    static const char *const statuses[] = {"100", "200", "204", "400", "401", "404", "405", "411",
                                           "413", "414", "415", "431", "500", "501", "503", "505"};
    const char *text = buf_text(answers);

    assert(answers->len == 0 || strncmp(text, "HTTP/1.1 ", 9) == 0 ||
           strncmp(text, "HTTP/1.0 ", 9) == 0);
    for (size_t i = 0; i < answers->len; i++)
        assert(isprint((unsigned char)text[i]) || text[i] == '\r' || text[i] == '\n' ||
               text[i] & 0x80);
    assert(text_is_utf8(text, answers->len));
    for (const char *at = strstr(text, "HTTP/1.1 "); at != NULL; at = strstr(at + 9, "HTTP/1.1 ")) {
        bool known = false;

        for (size_t i = 0; i < sizeof statuses / sizeof statuses[0]; i++)
            known = known || strncmp(at + 9, statuses[i], 3) == 0;
        assert(known || at != text);
        assert(knows_token || strncmp(at + 9, "204", 3) != 0);
    }
}

static void put_gzip(struct feed in, struct buf *out)
{
    z_stream z = {.next_in = (Bytef *)(uintptr_t)in.data, .avail_in = (uInt)in.n};

    assert(deflateInit2(&z, 1, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY) == Z_OK);
    assert(buf_reserve(out, in.n + 200) == 0);
    z.next_out = out->data + out->len;
    z.avail_out = (uInt)in.n + 200;
    assert(deflate(&z, Z_FINISH) == Z_STREAM_END);
    out->len += z.total_out;
    deflateEnd(&z);
}

static void put_chunks(struct feed in, struct buf *out)
{
    while (in.n > 0) {
        struct feed part = feed_part(&in, 1 + in.n / 3);

        assert(buf_printf(out, "%zx\r\n", part.n) == 0 && buf_append(out, part.data, part.n) == 0);
        assert(buf_puts(out, "\r\n") == 0);
    }
    assert(buf_puts(out, "0\r\n\r\n") == 0);
}

/* The connection's bytes. Returns whether they hold right credentials. */
static bool make(unsigned form, struct feed in, struct buf *out)
{
    struct buf packed;

    if (form > 1)
        assert(buf_puts(out, HEAD) == 0);
    switch (form) {
    case 3:
        assert(buf_printf(out, "Content-Length: %zu\r\n\r\n", in.n) == 0);
        assert(buf_append(out, in.data, in.n) == 0);
        break;
    case 4:
        assert(buf_puts(out, "Transfer-Encoding: chunked\r\n\r\n") == 0);
        put_chunks(in, out);
        break;
    case 5:
        buf_init(&packed, SENT_MAX);
        put_gzip(in, &packed);
        assert(buf_printf(out, "Content-Encoding: gzip\r\nContent-Length: %zu\r\n\r\n",
                          packed.len) == 0);
        assert(buf_append(out, packed.data, packed.len) == 0);
        buf_close(&packed);
        break;
    default:
        assert(buf_append(out, in.data, in.n) == 0);
    }
    return memmem(out->data, out->len, "e7ea21", 6) != NULL ||
           memmem(out->data, out->len, "E7EA21", 6) != NULL || strcasestr(buf_text(out), "basic");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const size_t pieces[] = {SENT_MAX, 1, 5, 64, 1000};
    struct feed in = {data, size < SENT_MAX / 4 ? size : SENT_MAX / 4};
    unsigned form = feed_choice(&in, 6), cut = feed_choice(&in, 5);
    size_t before = taken;
    struct buf sent, answers;
    bool knows_token;

    if (server == NULL)
        open_server();
    buf_init(&sent, SENT_MAX);
    buf_init(&answers, ANSWER_MAX);
    knows_token = make(form, in, &sent);
    exchange(&sent, pieces[sent.len > 1000 ? 0 : cut], &answers);
    assert(knows_token || taken == before);
    check_answers(&answers, knows_token);
    buf_close(&answers);
    buf_close(&sent);
    return 0;
}
