/* Answers ZeroMQ's questions about CURVE clients. Called by queue. */
#include "common/queue/queue_zap.h"

#include <stdbool.h>
#include <string.h>
#include <zmq.h>

enum {
    QUESTIONS_MAX = 1000, /* in one call, so that a flood of clients cannot hold the loop */
    PART_MAX = 256,       /* bytes; a part of a question that is longer is cut */
    LINGER_NONE = 0,
};

/* The parts of a question, in their order. */
enum part { VERSION, REQUEST, DOMAIN, ADDRESS, IDENTITY, MECHANISM, CREDENTIALS, PARTS };

struct question {
    size_t len[PARTS]; /* as it came, also where the bytes were cut */
    uint8_t bytes[PARTS][PART_MAX];
    size_t n;
};

void *queue_zap_open(void *zmq_context)
{
    void *socket = zmq_socket(zmq_context, ZMQ_REP);
    int linger = LINGER_NONE;

    if (socket == NULL)
        return NULL;
    if (zmq_setsockopt(socket, ZMQ_LINGER, &linger, sizeof linger) != 0 ||
        zmq_bind(socket, "inproc://zeromq.zap.01") != 0) {
        zmq_close(socket);
        return NULL;
    }
    return socket;
}

static bool receive_question(void *socket, struct question *q)
{
    int more = 1;
    size_t size = sizeof more;
    uint8_t rest[PART_MAX];

    q->n = 0;
    while (more) {
        bool wanted = q->n < PARTS;
        int len = zmq_recv(socket, wanted ? q->bytes[q->n] : rest, PART_MAX, ZMQ_DONTWAIT);

        if (len < 0)
            return false;
        if (wanted)
            q->len[q->n] = (size_t)len;
        q->n++;
        if (zmq_getsockopt(socket, ZMQ_RCVMORE, &more, &size) != 0)
            return false;
    }
    return true;
}

static bool part_is(const struct question *q, enum part part, const char *text)
{
    return q->len[part] == strlen(text) && memcmp(q->bytes[part], text, q->len[part]) == 0;
}

static bool may_come_in(const struct question *q, const struct queue_keys *keys, size_t n_keys)
{
    if (q->n != PARTS || !part_is(q, VERSION, "1.0") || !part_is(q, DOMAIN, QUEUE_ZAP_DOMAIN) ||
        !part_is(q, MECHANISM, "CURVE") || q->len[CREDENTIALS] != QUEUE_KEY_BYTES)
        return false;
    for (size_t i = 0; i < n_keys; i++) /* public keys: comparing them gives nothing away */
        if (memcmp(q->bytes[CREDENTIALS], keys[i].client_public_bytes, QUEUE_KEY_BYTES) == 0)
            return true;
    return false;
}

static void answer(void *socket, const struct question *q, bool yes)
{
    size_t request_len = q->n > REQUEST && q->len[REQUEST] <= PART_MAX ? q->len[REQUEST] : 0;
    const char *text = yes ? "OK" : "not a key of ours";
    int more = ZMQ_SNDMORE | ZMQ_DONTWAIT;

    if (zmq_send(socket, "1.0", 3, more) < 0)
        return;
    zmq_send(socket, q->bytes[REQUEST], request_len, more);
    zmq_send(socket, yes ? "200" : "400", 3, more);
    zmq_send(socket, text, strlen(text), more);
    zmq_send(socket, "", 0, more);         /* user id */
    zmq_send(socket, "", 0, ZMQ_DONTWAIT); /* metadata */
}

uint64_t queue_zap_answer(void *socket, const struct queue_keys *keys, size_t n_keys)
{
    struct question question;
    uint64_t denied = 0;

    for (int i = 0; i < QUESTIONS_MAX && receive_question(socket, &question); i++) {
        bool yes = may_come_in(&question, keys, n_keys);

        denied += !yes;
        answer(socket, &question, yes);
    }
    return denied;
}
