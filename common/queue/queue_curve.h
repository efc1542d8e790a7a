/* The queue's CURVE keys, derived from an HMAC secret (HKDF-SHA256, RFC 5869), and the answers to
 * ZeroMQ's questions which clients may connect (ZAP, ZeroMQ RFC 27). Part of queue.
 *
 * One secret, known to both programs, makes two key pairs, so that nothing else must be handed out:
 * one that the alerter proves itself with, one for every ingest. */
#ifndef DRAINWATCH_COMMON_QUEUE_QUEUE_CURVE_H
#define DRAINWATCH_COMMON_QUEUE_QUEUE_CURVE_H

#include "common/base/err.h"
#include "common/base/secret.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    QUEUE_KEY_BYTES = 32,
    QUEUE_KEY_SIZE = 41, /* the same as Z85 text (ZeroMQ RFC 32), with a zero */
};

struct queue_keys {
    char server_public[QUEUE_KEY_SIZE];
    char server_secret[QUEUE_KEY_SIZE];
    char client_public[QUEUE_KEY_SIZE];
    char client_secret[QUEUE_KEY_SIZE];
    uint8_t client_public_bytes[QUEUE_KEY_BYTES];
};

/* Derives the keys of each secret, in their order. Returns 0, ERR_IO (OpenSSL or ZeroMQ cannot) or
 * ERR_NOMEM. */
int queue_keys_new(const struct secret *secrets, size_t n, struct queue_keys **out,
                   struct err *err);
/* Overwrites the secret keys of one side: of the ingests with `clients`, else of the alerter. */
void queue_keys_forget(struct queue_keys *keys, size_t n, bool clients);
void queue_keys_free(struct queue_keys *keys, size_t n); /* overwrites them; NULL is fine */

#define QUEUE_ZAP_DOMAIN "drainwatch"

/* Opens the socket for the questions. Call it before the server binds. Returns NULL on failure. */
void *queue_zap_open(void *zmq_context);
/* Answers all waiting questions on the caller's thread: yes to the client keys in `keys`. */
void queue_zap_answer(void *socket, const struct queue_keys *keys, size_t n_keys);

#endif
