/* Who may deliver: a name and its HMAC-SHA256 under one of the secrets. Pure.
 *
 * Every secret is tried, and compared in constant time, so that an answer's time tells nothing. */
#ifndef DRAINWATCH_INGEST_AUTH_H
#define DRAINWATCH_INGEST_AUTH_H

#include <stdbool.h>
#include <stddef.h>

enum {
    AUTH_SECRETS_MAX = 16,
    AUTH_HEX = 64, /* characters of an HMAC-SHA256 in hex */
};

struct auth;

struct auth *auth_new(void); /* NULL: no memory */
void auth_free(struct auth *a);

/* Adds a secret, its bytes as they are; they are not kept in a readable form. False: no memory, or
 * AUTH_SECRETS_MAX are in. */
bool auth_add_secret(struct auth *a, const char *secret, size_t len);

/* Whether `hex` (lower- or upper-case) is the HMAC of `name` under any of the secrets. */
bool auth_check(struct auth *a, const char *name, const char *hex);

#endif
