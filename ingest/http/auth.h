/* Decides who may deliver: a client that knows a name and its HMAC-SHA256 under one of the secrets.
 *
 * Every secret is tried and compared in constant time, so that the time of an answer tells nothing.
 * Credentials that were right are kept and compared with later ones, in constant time, too. Pure.
 */
#ifndef DRAINWATCH_INGEST_HTTP_AUTH_H
#define DRAINWATCH_INGEST_HTTP_AUTH_H

#include <stdbool.h>
#include <stddef.h>

enum {
    AUTH_SECRETS_MAX = 16,
    AUTH_HEX = 64,        /* characters of an HMAC-SHA256 in hex */
    AUTH_NAME_SIZE = 512, /* of Basic credentials, with a zero; a longer one is refused */
};

struct auth;

struct auth *auth_new(void); /* NULL: no memory */
void auth_free(struct auth *a);

/* Adds a secret, its bytes as they are; they are not kept in a readable form. False: no memory, or
 * AUTH_SECRETS_MAX are in. */
bool auth_add_secret(struct auth *a, const char *secret, size_t len);

/* What a request says about itself; NULL: the request has no such part. */
struct auth_claim {
    const char *drain;       /* Logplex-Drain-Token */
    const char *token;       /* drain_token in the URL */
    const char *credentials; /* Authorization */
};

/* Returns NULL if the claim is right in either form, and `name` becomes the drain's name: the token
 * is the HMAC of the drain, or the credentials are NAME:T with T the HMAC of NAME. Otherwise
 * returns why not, in words, and `name` becomes the name that was claimed, "" if none can be read.
 */
const char *auth_refusal(struct auth *a, const struct auth_claim *claim, char name[AUTH_NAME_SIZE]);

/* The name in the credentials with which an ingest that stops hands its records to another one.
 * Their T is the HMAC of a text with a zero byte, which no drain's name can hold. So no drain's
 * credentials are right here, and these are right for no drain. */
#define AUTH_HANDOVER "handover"
bool auth_is_handover(const struct auth *a, const char *credentials); /* NULL is never right */
/* Writes these credentials under the first secret, as the value of Authorization. False: there is
 * no secret, or no memory. */
enum { AUTH_HANDOVER_SIZE = 128 };
bool auth_write_handover(const struct auth *a, char credentials[AUTH_HANDOVER_SIZE]);

/* The signature of a push that is handed over: the HMAC of "drainwatch", a zero byte, "push", a
 * zero byte and the push. So somebody who got these credentials can post again what he got with
 * them, and nothing else. */
bool auth_sign_push(const struct auth *a, const void *push, size_t n, char signature[AUTH_HEX + 1]);
bool auth_is_push_signed(const struct auth *a, const void *push, size_t n,
                         const char *signature); /* NULL is never right */

/* False for a text that may hold a token, put in the wrong place by mistake. */
bool auth_may_show(const char *text);

#endif
