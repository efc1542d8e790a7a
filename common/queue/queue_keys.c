/* Derives the CURVE keys from the HMAC secrets. Called by queue. */
#include "common/queue/queue_keys.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

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

int queue_keys_derive(const char *secret, size_t len, struct queue_keys *out, struct err *err)
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
        rc = queue_keys_derive(secrets[i].bytes, secrets[i].len, &keys[i], err);
    if (rc != 0)
        queue_keys_free(keys, n);
    else
        *out = keys;
    return rc;
}

void queue_keys_free(struct queue_keys *keys, size_t n)
{
    if (keys != NULL)
        OPENSSL_cleanse(keys, n * sizeof *keys);
    free(keys);
}
