/* Any drain, token and credentials: they are right if and only if one of them is the HMAC that
 * OpenSSL computes for the name, and the name never exceeds its room. None is right for a handover.
 */
#include "tests/fuzz/feed.h"

#include "ingest/http/auth.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <strings.h>

enum { SECRETS = 2 };
static const char *const secrets[SECRETS] = {"k", "another secret"};

static void compute(const char *secret, const char *name, char hex[AUTH_HEX + 1])
{
    unsigned char mac[EVP_MAX_MD_SIZE];
    unsigned n;

    assert(HMAC(EVP_sha256(), secret, (int)strlen(secret), (const unsigned char *)name,
                strlen(name), mac, &n) != NULL);
    for (unsigned i = 0; i < n; i++)
        snprintf(hex + (size_t)2 * i, 3, "%02x", mac[i]);
}

static bool is_token_of(const char *name, const char *token)
{
    char hex[AUTH_HEX + 1];

    for (size_t i = 0; i < SECRETS; i++) {
        compute(secrets[i], name, hex);
        if (strcasecmp(hex, token) == 0)
            return true;
    }
    return false;
}

static const char *refusal(struct auth *a, const struct auth_claim *claim, char *name)
{
    const char *why;

    memset(name, 'x', AUTH_NAME_SIZE);
    why = auth_refusal(a, claim, name);
    assert(memchr(name, '\0', AUTH_NAME_SIZE) != NULL);
    if (why != NULL)
        feed_check_line(why);
    return why;
}

/* A name of the input with its right token, in both forms. */
static void check_right(struct auth *a, const char *name, size_t secret, bool upper)
{
    char token[AUTH_HEX + 1], pair[2 * AUTH_NAME_SIZE], header[4 * AUTH_NAME_SIZE] = "Basic ";
    char out[AUTH_NAME_SIZE];
    struct auth_claim claim = {.drain = name, .token = token};
    int n;

    compute(secrets[secret], name, token);
    for (size_t i = 0; upper && i < AUTH_HEX; i++)
        token[i] = token[i] >= 'a' ? (char)(token[i] - 'a' + 'A') : token[i];
    assert(refusal(a, &claim, out) == NULL && strcmp(out, name) == 0);
    claim.drain = "another";
    assert(refusal(a, &claim, out) != NULL && strcmp(out, "another") == 0);
    assert(!auth_may_show(token));
    n = snprintf(pair, sizeof pair, "%s:%s", name, token);
    EVP_EncodeBlock((unsigned char *)header + 6, (const unsigned char *)pair, n);
    claim = (struct auth_claim){.drain = "another", .credentials = header};
    assert(!auth_is_handover(a, header));
    if (strchr(name, ':') == NULL)
        assert(refusal(a, &claim, out) == NULL && strcmp(out, name) == 0);
    else
        assert(refusal(a, &claim, out) != NULL);
}

/* Accepted Basic credentials decode to the name and its token; so the slow way needs no decoder. */
static void check_claim(struct auth *a, const struct auth_claim *claim)
{
    char name[AUTH_NAME_SIZE];
    bool by_token = claim->token != NULL && claim->drain != NULL && claim->drain[0] != '\0' &&
                    strlen(claim->drain) < AUTH_NAME_SIZE &&
                    is_token_of(claim->drain, claim->token);

    assert(!auth_is_handover(a, claim->credentials));
    if (refusal(a, claim, name) != NULL) {
        assert(!by_token);
        return;
    }
    if (by_token)
        assert(strcmp(name, claim->drain) == 0);
    else
        assert(claim->credentials != NULL && strncasecmp(claim->credentials, "basic ", 6) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct auth *a;
    struct feed in = {data, size};
    unsigned how = feed_choice(&in, 16);
    char *drain = feed_text(&in), *token = feed_text(&in), *credentials = feed_text(&in);

    if (a == NULL) {
        a = auth_new();
        assert(a != NULL);
        for (size_t i = 0; i < SECRETS; i++)
            assert(auth_add_secret(a, secrets[i], strlen(secrets[i])));
    }
    check_claim(a, &(struct auth_claim){how & 1 ? NULL : drain, how & 2 ? NULL : token,
                                        how & 4 ? NULL : credentials});
    if (drain[0] != '\0' && strlen(drain) < AUTH_NAME_SIZE)
        check_right(a, drain, how % SECRETS, how & 8);
    free(drain);
    free(token);
    free(credentials);
    return 0;
}
