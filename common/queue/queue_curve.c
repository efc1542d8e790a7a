/* Derives CURVE keys and decides which clients may connect. Called by queue. */
#include "common/queue/queue_curve.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

enum {
    QUESTIONS_MAX = 1000, /* in one call, so that a flood of clients cannot hold the loop */
    PART_MAX = 256,       /* bytes; a part of a question that is longer is cut */
};

/* Each key's purpose is part of its derivation, so that no key can stand for another. The texts
 * never change: all builds must derive the same keys. */
static const char SERVER_INFO[] = "drainwatch queue curve server 1";
static const char CLIENT_INFO[] = "drainwatch queue curve client 1";

static int hkdf(const char *secret, size_t len, const char *info, uint8_t out[QUEUE_KEY_BYTES])
{
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
    EVP_KDF_CTX *ctx = kdf == NULL ? NULL : EVP_KDF_CTX_new(kdf);
    /* OSSL_PARAM has no const pointers, though deriving only reads. */
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char[]){"SHA256"}, 0),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)(uintptr_t)secret, len),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, (void *)(uintptr_t)info,
                                          strlen(info)),
        OSSL_PARAM_construct_end(),
    };
    int ok = ctx != NULL && EVP_KDF_derive(ctx, out, QUEUE_KEY_BYTES, params) == 1;

    EVP_KDF_CTX_free(ctx);
    EVP_KDF_free(kdf);
    return ok ? 0 : ERR_IO;
}

static int derive_pair(const char *secret, size_t len, const char *info, char *public_text,
                       char *secret_text)
{
    uint8_t bytes[QUEUE_KEY_BYTES];
    int rc = hkdf(secret, len, info, bytes);

    if (rc == 0 && (zmq_z85_encode(secret_text, bytes, sizeof bytes) == NULL ||
                    zmq_curve_public(public_text, secret_text) != 0))
        rc = ERR_IO;
    OPENSSL_cleanse(bytes, sizeof bytes);
    return rc;
}

static int derive(const char *secret, size_t len, struct queue_keys *out, struct err *err)
{
    int rc = derive_pair(secret, len, SERVER_INFO, out->server_public, out->server_secret);

    if (rc == 0)
        rc = derive_pair(secret, len, CLIENT_INFO, out->client_public, out->client_secret);
    if (rc == 0 && zmq_z85_decode(out->client_public_bytes, out->client_public) == NULL)
        rc = ERR_IO;
    if (rc != 0)
        return err_set(err, rc,
                       "the queue's keys cannot be derived: OpenSSL lacks HKDF, or libzmq CURVE "
                       "(use an ipc:// queue, or another build of them)");
    return 0;
}

int queue_keys_new(const struct secret *secrets, size_t n, struct queue_keys **out, struct err *err)
{
    struct queue_keys *keys = calloc(n, sizeof *keys);
    int rc = keys == NULL ? err_set(err, ERR_NOMEM, "no memory for the queue's keys") : 0;

    for (size_t i = 0; i < n && rc == 0; i++)
        rc = derive(secrets[i].bytes, secrets[i].len, &keys[i], err);
    if (rc != 0)
        queue_keys_free(keys, n);
    else
        *out = keys;
    return rc;
}

void queue_keys_forget(struct queue_keys *keys, size_t n, bool clients)
{
    for (size_t i = 0; i < n; i++)
        OPENSSL_cleanse(clients ? keys[i].client_secret : keys[i].server_secret, QUEUE_KEY_SIZE);
}

void queue_keys_free(struct queue_keys *keys, size_t n)
{
    if (keys != NULL)
        OPENSSL_cleanse(keys, n * sizeof *keys);
    free(keys);
}

/* ---- Who may connect ---- */

/* The parts of a question, in their order. */
enum part { VERSION, REQUEST, DOMAIN, ADDRESS, IDENTITY, MECHANISM, CREDENTIALS, PARTS };

struct question {
    size_t len[PARTS]; /* as it came, also if the bytes were cut */
    uint8_t bytes[PARTS][PART_MAX];
    size_t n;
};

void *queue_zap_open(void *zmq_context)
{
    void *socket = zmq_socket(zmq_context, ZMQ_REP);
    int linger = 0;

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

void queue_zap_answer(void *socket, const struct queue_keys *keys, size_t n_keys)
{
    struct question question;

    for (int i = 0; i < QUESTIONS_MAX && receive_question(socket, &question); i++)
        answer(socket, &question, may_come_in(&question, keys, n_keys));
}
