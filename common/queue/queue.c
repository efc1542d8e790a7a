/* One end of the queue, on libzmq. Called by sender (ingest) and receiver (alerter). */
#include "common/queue/queue.h"

#include "common/base/buf.h"
#include "common/base/time.h"
#include "common/queue/queue_curve.h"
#include "common/queue/queue_endpoint.h"
#include "common/record/wire.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zmq.h>

enum {
    CURVE_MAX = 4 << 10, /* bytes that CURVE adds to a part, and of a handshake */
    /* Bytes of a part over tcp. ZeroMQ holds one of each connection before it knows the key. */
    TCP_PART_BYTES = 32 << 10,
    HEARTBEAT_MS = 2000, /* a peer that is silent for three is gone */
    HANDSHAKE_MS = 5000,
    /* Between tries; when nobody is there for long, the second ones. A try costs nothing on the
     * same machine. */
    RECONNECT_TCP_MS = 100,
    RECONNECT_IPC_MS = 10,
    RECONNECT_TCP_MAX_MS = 5000,
    RECONNECT_IPC_MAX_MS = 1000,
    EVENTS_PER_TEND = 1000,
    MALFORMED_PER_CALL = 1000,   /* then the loop goes on; queue_pending tells that there is more */
    REDIAL_MIN_US = 1000 * 1000, /* after all secrets failed; doubles */
    REDIAL_MAX_US = 5 * 1000 * 1000,
    PATIENCE_US = 10 * 1000 * 1000, /* without a connection: dial again with the next secret */
};

#define MONITOR_ENDPOINT "inproc://monitor"
#define HANDSHAKE_FAILED                                                                           \
    (ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL | ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL |                  \
     ZMQ_EVENT_HANDSHAKE_FAILED_AUTH)

struct queue {
    void *context; /* each endpoint's own, so that its ZAP answers for it alone */
    void *socket;
    void *monitor;
    void *zap; /* NULL but for a server over tcp */
    int epoll;
    bool server;
    char endpoint[QUEUE_ENDPOINT_MAX + 1];
    struct queue_keys *keys; /* NULL over ipc */
    size_t n_keys;
    bool up;            /* of a client: connected, by the monitor's last event */
    size_t key;         /* index of the key in use */
    size_t failed_keys; /* attempts since the last connection */
    int64_t dialled_us; /* when it was last dialled or connected */
    int64_t redial_us;  /* INT64_MAX: not due */
    int64_t redial_wait_us;
    struct err distrust; /* why it was not dialled, "" if it was */
    size_t part_max;     /* bytes of one part of a message */
    struct buf joined;   /* the last message received, if it had several parts */
    zmq_msg_t message;   /* the last part received; always initialised */
    uint64_t epoch;      /* connections so far */
    uint64_t failed;     /* handshakes */
};

static bool set_int(void *socket, int option, int value)
{
    return zmq_setsockopt(socket, option, &value, sizeof value) == 0;
}

static bool set_text(void *socket, int option, const char *value)
{
    return zmq_setsockopt(socket, option, value, strlen(value)) == 0;
}

static bool set_common_options(struct queue *q)
{
    bool tcp = queue_endpoint_is_tcp(q->endpoint);
    int64_t part_max = (int64_t)q->part_max + CURVE_MAX;
    void *s = q->socket;

    return set_int(s, ZMQ_LINGER, 0) && set_int(s, ZMQ_SNDHWM, QUEUE_HWM) &&
           set_int(s, ZMQ_RCVHWM, QUEUE_HWM) && set_int(s, ZMQ_HANDSHAKE_IVL, HANDSHAKE_MS) &&
           set_int(s, ZMQ_RECONNECT_IVL, tcp ? RECONNECT_TCP_MS : RECONNECT_IPC_MS) &&
           set_int(s, ZMQ_RECONNECT_IVL_MAX, tcp ? RECONNECT_TCP_MAX_MS : RECONNECT_IPC_MAX_MS) &&
           set_int(s, ZMQ_IPV6, queue_endpoint_is_ipv6(q->endpoint)) &&
           zmq_setsockopt(s, ZMQ_MAXMSGSIZE, &part_max, sizeof part_max) == 0 &&
           /* Across a network a peer can vanish without a word. */
           (!tcp || (set_int(s, ZMQ_HEARTBEAT_IVL, HEARTBEAT_MS) &&
                     set_int(s, ZMQ_HEARTBEAT_TIMEOUT, 3 * HEARTBEAT_MS) &&
                     set_int(s, ZMQ_HEARTBEAT_TTL, 3 * HEARTBEAT_MS)));
}

static bool set_server_options(struct queue *q)
{
    void *s = q->socket;
    bool ok;

    /* A send to a lost peer fails instead of vanishing. */
    if (!set_int(s, ZMQ_ROUTER_MANDATORY, 1))
        return false;
    if (q->keys == NULL)
        return true;
    q->zap = queue_zap_open(q->context);
    ok = q->zap != NULL && set_text(s, ZMQ_ZAP_DOMAIN, QUEUE_ZAP_DOMAIN) &&
         set_int(s, ZMQ_CURVE_SERVER, 1) &&
         set_text(s, ZMQ_CURVE_SECRETKEY, q->keys[0].server_secret);
    queue_keys_forget(q->keys, q->n_keys, false); /* ZeroMQ has its own copy */
    return ok;
}

static bool set_client_keys(struct queue *q)
{
    const struct queue_keys *k = q->keys == NULL ? NULL : &q->keys[q->key];

    return k == NULL || (set_text(q->socket, ZMQ_CURVE_SERVERKEY, k->server_public) &&
                         set_text(q->socket, ZMQ_CURVE_PUBLICKEY, k->client_public) &&
                         set_text(q->socket, ZMQ_CURVE_SECRETKEY, k->client_secret));
}

static bool watch(struct queue *q, void *socket)
{
    struct epoll_event event = {.events = EPOLLIN};
    size_t size = sizeof event.data.fd;

    return zmq_getsockopt(socket, ZMQ_FD, &event.data.fd, &size) == 0 &&
           epoll_ctl(q->epoll, EPOLL_CTL_ADD, event.data.fd, &event) == 0;
}

/* ZeroMQ reports handshakes and lost connections only here. The number of waiting events has no
 * bound, because ZeroMQ's own thread would block at one. */
static bool open_monitor(struct queue *q)
{
    int events = ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_DISCONNECTED | HANDSHAKE_FAILED;

    if (zmq_socket_monitor(q->socket, MONITOR_ENDPOINT, events) != 0)
        return false;
    q->monitor = zmq_socket(q->context, ZMQ_PAIR);
    return q->monitor != NULL && set_int(q->monitor, ZMQ_LINGER, 0) &&
           set_int(q->monitor, ZMQ_RCVHWM, 0) && zmq_connect(q->monitor, MONITOR_ENDPOINT) == 0;
}

static bool open_sockets(struct queue *q)
{
    q->epoll = epoll_create1(EPOLL_CLOEXEC);
    q->context = zmq_ctx_new();
    if (q->epoll < 0 || q->context == NULL)
        return false;
    q->socket = zmq_socket(q->context, q->server ? ZMQ_ROUTER : ZMQ_DEALER);
    if (q->socket == NULL || !set_common_options(q))
        return false;
    /* IMMEDIATE: a send without a connection fails instead of being queued. */
    if (!(q->server ? set_server_options(q) : set_int(q->socket, ZMQ_IMMEDIATE, 1)))
        return false;
    return open_monitor(q) && watch(q, q->socket) && watch(q, q->monitor) &&
           (q->zap == NULL || watch(q, q->zap));
}

static int derive_keys(struct queue *q, const struct queue_options *options, struct err *err)
{
    int rc;

    if (options->n_secrets == 0)
        return err_set(err, ERR_INPUT,
                       "%s needs a secret, from which the keys of its encryption are derived (set "
                       "HEROKU_LOG_DRAIN_HMAC_SECRET on both sides, or use ipc://)",
                       options->endpoint);
    q->n_keys = options->n_secrets;
    rc = queue_keys_new(options->secrets, q->n_keys, &q->keys, err);
    if (rc == 0)
        queue_keys_forget(q->keys, q->n_keys, q->server);
    return rc;
}

static int queue_open(const struct queue_options *options, bool server, struct queue **out,
                      struct err *err)
{
    struct queue *q;
    int rc = queue_check_endpoint(options->endpoint, err);

    if (rc != 0)
        return rc;
    q = calloc(1, sizeof *q);
    if (q == NULL)
        return err_set(err, ERR_NOMEM, "no memory for the queue");
    *q = (struct queue){.epoll = -1, .server = server, .redial_us = INT64_MAX};
    zmq_msg_init(&q->message);
    strcpy(q->endpoint, options->endpoint); /* its length was checked */
    buf_init(&q->joined, WIRE_MESSAGE_MAX);
    q->part_max = queue_endpoint_is_tcp(q->endpoint) ? TCP_PART_BYTES : WIRE_MESSAGE_MAX;
    if (queue_endpoint_is_tcp(q->endpoint))
        rc = derive_keys(q, options, err);
    if (rc == 0 && !open_sockets(q))
        rc = err_set(err, ERR_IO, "%s: %s", q->endpoint, zmq_strerror(errno));
    if (rc != 0) {
        queue_close(q);
        return rc;
    }
    *out = q;
    return 0;
}

static int bind_error(const struct queue *q, int code, struct err *err)
{
    switch (code) {
    case EADDRINUSE:
        return err_set(err, ERR_BUSY,
                       "%s is in use by another process (stop that one, or choose another port in "
                       "DRAINWATCH_QUEUE)",
                       q->endpoint);
    case ENODEV:
    case EADDRNOTAVAIL:
        return err_set(err, ERR_INPUT,
                       "%s: the alerter can only bind an address of its own machine (try "
                       "DRAINWATCH_QUEUE=tcp://*%s for the alerter)",
                       q->endpoint, strrchr(q->endpoint, ':'));
    default:
        return err_set(err, ERR_IO, "%s cannot be bound: %s", q->endpoint, zmq_strerror(code));
    }
}

int queue_bind(const struct queue_options *options, struct queue **out, struct err *err)
{
    struct queue *q;
    mode_t before;
    int rc = queue_open(options, true, &q, err);

    if (rc != 0)
        return rc;
    if (q->keys == NULL)
        rc = queue_endpoint_probe(q->endpoint, err);
    if (rc == 0 && q->keys == NULL && queue_endpoint_trust(q->endpoint, err) == ERR_INPUT)
        rc = ERR_INPUT;
    if (rc == 0) {
        before = umask(0177); /* a user who can open the socket can feed the alerter */
        rc = zmq_bind(q->socket, q->endpoint) == 0 ? 0 : bind_error(q, errno, err);
        umask(before);
    }
    if (rc != 0) {
        queue_close(q);
        return rc;
    }
    *out = q;
    return 0;
}

/* True, too, if the endpoint is not safe: then it is tried again later. */
static bool dial(struct queue *q, int64_t now_us)
{
    q->dialled_us = now_us;
    q->redial_us = INT64_MAX;
    q->distrust.text[0] = '\0';
    if (!queue_endpoint_is_tcp(q->endpoint) &&
        queue_endpoint_trust(q->endpoint, &q->distrust) != 0) {
        q->redial_us = now_us + REDIAL_MIN_US;
        return true;
    }
    return set_client_keys(q) && zmq_connect(q->socket, q->endpoint) == 0;
}

int queue_connect(const struct queue_options *options, int64_t now_us, struct queue **out,
                  struct err *err)
{
    struct queue *q;
    int rc;

    if (queue_endpoint_is_any(options->endpoint))
        return err_set(err, ERR_INPUT,
                       "%s: ingest needs to know where the alerter is (try "
                       "DRAINWATCH_QUEUE=tcp://worker.example%s for ingest)",
                       options->endpoint, strrchr(options->endpoint, ':'));
    rc = queue_open(options, false, &q, err);
    if (rc != 0)
        return rc;
    if (!dial(q, now_us)) {
        rc = err_set(err, ERR_IO, "%s: %s", q->endpoint, zmq_strerror(errno));
        queue_close(q);
        return rc;
    }
    *out = q;
    return 0;
}

void queue_close(struct queue *q)
{
    if (q == NULL)
        return;
    if (q->monitor != NULL) {
        zmq_socket_monitor(q->socket, NULL, 0);
        zmq_close(q->monitor);
    }
    zmq_msg_close(&q->message);
    buf_close(&q->joined);
    if (q->socket != NULL)
        zmq_close(q->socket);
    if (q->zap != NULL)
        zmq_close(q->zap);
    if (q->context != NULL)
        zmq_ctx_term(q->context);
    if (q->epoll >= 0)
        close(q->epoll);
    queue_keys_free(q->keys, q->n_keys);
    free(q);
}

/* ---- Connections ---- */

/* ZMQ_EVENTS. Reading it also makes the socket process commands of its I/O thread. */
static int events_of(void *socket)
{
    int events = 0;
    size_t size = sizeof events;

    if (zmq_getsockopt(socket, ZMQ_EVENTS, &events, &size) != 0)
        return 0;
    return events;
}

int queue_fd(const struct queue *q)
{
    return q->epoll;
}

bool queue_writable(struct queue *q)
{
    return q->up && (events_of(q->socket) & ZMQ_POLLOUT);
}

bool queue_is_up(const struct queue *q)
{
    return q->up;
}

bool queue_pending(struct queue *q)
{
    bool pending = events_of(q->socket) & ZMQ_POLLIN;

    pending |= (events_of(q->monitor) & ZMQ_POLLIN) != 0;
    return pending || (q->zap != NULL && (events_of(q->zap) & ZMQ_POLLIN) != 0);
}

/* Tries the next secret at once. After all of them failed, the next round waits. */
static void plan_redial(struct queue *q, int64_t now_us)
{
    if (q->server || q->redial_us != INT64_MAX)
        return;
    q->failed_keys++;
    if (q->failed_keys % (q->n_keys == 0 ? 1 : q->n_keys) != 0) {
        q->redial_us = now_us;
        return;
    }
    q->redial_wait_us = q->redial_wait_us == 0 ? REDIAL_MIN_US : 2 * q->redial_wait_us;
    if (q->redial_wait_us > REDIAL_MAX_US)
        q->redial_wait_us = REDIAL_MAX_US;
    q->redial_us = now_us + q->redial_wait_us;
}

static void connected(struct queue *q, int64_t now_us)
{
    q->epoch++;
    q->up = true;
    q->dialled_us = now_us;
    q->redial_us = INT64_MAX;
    q->redial_wait_us = 0;
    q->failed_keys = 0;
}

/* Returns the next event's number, 0 if there is none. */
static int next_event(struct queue *q)
{
    uint8_t head[6]; /* 16 bits of event, 32 of value, in the machine's order */
    char address[QUEUE_ENDPOINT_MAX];
    uint16_t event;

    if (zmq_recv(q->monitor, head, sizeof head, ZMQ_DONTWAIT) != (int)sizeof head)
        return 0;
    zmq_recv(q->monitor, address, sizeof address, ZMQ_DONTWAIT);
    memcpy(&event, head, sizeof event);
    return event;
}

static void read_monitor(struct queue *q, int64_t now_us)
{
    int event;

    for (int i = 0; i < EVENTS_PER_TEND && (event = next_event(q)) != 0; i++) {
        if (event & ZMQ_EVENT_HANDSHAKE_SUCCEEDED) {
            connected(q, now_us);
        } else if (event & HANDSHAKE_FAILED) {
            q->failed++;
            plan_redial(q, now_us);
        } else if (event & ZMQ_EVENT_DISCONNECTED) {
            q->up = false;
            q->dialled_us = now_us; /* ZeroMQ dials again by itself */
        }
    }
}

/* ZeroMQ gives up an endpoint for ever after a protocol error and does not report it (engine_error
 * in its session_base.cpp). A client without a connection therefore dials again. */
static void redial(struct queue *q, int64_t now_us)
{
    zmq_disconnect(q->socket, q->endpoint); /* fails if ZeroMQ gave it up, which is fine */
    q->up = false;
    if (q->n_keys > 0)
        q->key = (q->key + 1) % q->n_keys;
    if (!dial(q, now_us))
        q->redial_us = now_us + REDIAL_MAX_US;
}

void queue_tend(struct queue *q, int64_t now_us)
{
    if (q->zap != NULL)
        queue_zap_answer(q->zap, q->keys, q->n_keys);
    read_monitor(q, now_us);
    if (q->server)
        return;
    if (queue_writable(q))
        q->dialled_us = now_us;
    if (now_us >= q->redial_us || now_us - q->dialled_us >= PATIENCE_US)
        redial(q, now_us);
}

int64_t queue_wake_us(const struct queue *q)
{
    int64_t patience_us = q->dialled_us + PATIENCE_US;

    if (q->server)
        return INT64_MAX;
    return q->redial_us < patience_us ? q->redial_us : patience_us;
}

/* ---- Messages ---- */

static int send_error(void)
{
    return errno == EAGAIN ? ERR_FULL : ERR_IO;
}

/* Tries again after a signal, because the parts of a message must not be torn apart. */
static int send_part(struct queue *q, const void *bytes, size_t n, int flags)
{
    int rc;

    do
        rc = zmq_send(q->socket, bytes, n, flags | ZMQ_DONTWAIT);
    while (rc < 0 && errno == EINTR);
    return rc;
}

int queue_send(struct queue *q, const struct source_peer *peer, const void *bytes, size_t n)
{
    const char *at = bytes;

    assert((peer != NULL) == q->server);
    /* ZeroMQ takes messages a moment before it reports the connection. They would seem to belong to
     * the connection before. */
    if (!q->server && !q->up)
        return ERR_FULL;
    if (peer != NULL && send_part(q, peer->id, peer->len, ZMQ_SNDMORE) < 0)
        return send_error();
    for (; n > q->part_max; at += q->part_max, n -= q->part_max) {
        if (send_part(q, at, q->part_max, ZMQ_SNDMORE) < 0)
            return send_error();
    }
    if (send_part(q, at, n, 0) < 0)
        return send_error();
    return 0;
}

/* Receives a part into q->message. Returns 1, 0 (none waits) or ERR_IO. Tries again after a signal,
 * because a part left behind would be taken for the next message. */
static int receive_part(struct queue *q)
{
    int rc;

    zmq_msg_close(&q->message);
    zmq_msg_init(&q->message);
    do
        rc = zmq_msg_recv(&q->message, q->socket, ZMQ_DONTWAIT);
    while (rc < 0 && errno == EINTR);
    if (rc >= 0)
        return 1;
    return errno == EAGAIN ? 0 : ERR_IO;
}

/* All parts of a message arrive together, so no call has to wait. */
static int receive_peer(struct queue *q, struct source_peer *peer)
{
    int rc = receive_part(q);
    size_t n;

    if (rc <= 0)
        return rc;
    n = zmq_msg_size(&q->message);
    assert(n <= SOURCE_PEER_MAX && zmq_msg_more(&q->message)); /* made so by the ROUTER */
    peer->len = (uint8_t)n;
    memcpy(peer->id, zmq_msg_data(&q->message), n);
    return receive_part(q);
}

/* Joins the parts of a message, of which the first was received. Returns 1, or 0 if it was dropped:
 * it is too large, or has parts although its sender had no reason to cut it. */
static int join_parts(struct queue *q)
{
    bool fits = q->part_max < WIRE_MESSAGE_MAX;

    buf_clear(&q->joined);
    for (;;) {
        int rc;

        fits = fits &&
               buf_append(&q->joined, zmq_msg_data(&q->message), zmq_msg_size(&q->message)) == 0;
        if (!zmq_msg_more(&q->message))
            return fits;
        rc = receive_part(q);
        if (rc <= 0)
            return rc;
    }
}

int queue_receive(struct queue *q, struct source_peer *peer, const void **bytes, size_t *n)
{
    int rc = 0;

    for (int i = 0; i < MALFORMED_PER_CALL && rc == 0; i++) {
        rc = q->server ? receive_peer(q, peer) : receive_part(q);
        if (rc <= 0)
            return rc;
        *bytes = zmq_msg_data(&q->message);
        *n = zmq_msg_size(&q->message);
        if (!zmq_msg_more(&q->message))
            return 1;
        rc = join_parts(q);
        *bytes = q->joined.data;
        *n = q->joined.len;
    }
    return rc;
}

uint64_t queue_epoch(const struct queue *q)
{
    return q->epoch;
}

void queue_linger(struct queue *q, int ms)
{
    set_int(q->socket, ZMQ_LINGER, ms);
}

uint64_t queue_failed(const struct queue *q)
{
    return q->failed;
}

const char *queue_distrust(const struct queue *q)
{
    return q->distrust.text;
}

const char *queue_endpoint(const struct queue *q)
{
    return q->endpoint;
}
