/* Checks credentials; called by ingest/http/request for every delivery. */
#include "ingest/http/auth.h"

#include "common/base/hash.h"

#include <ctype.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum {
    MAC_BYTES = AUTH_HEX / 2,
    PAIR_SIZE = AUTH_NAME_SIZE + AUTH_HEX + 8,
    BASE64_MAX = PAIR_SIZE / 3 * 4,
    KNOWN = 64,
    KNOWN_SIZE = 256, /* Logplex's header has about 150 characters */
};

/* Credentials that were right. A drain sends the same ones with each delivery. */
struct known {
    char header[KNOWN_SIZE];
    char name[KNOWN_SIZE];
};

/* A context per secret, made once: a new one for each name costs seven times as much. */
struct auth {
    EVP_MAC *hmac;
    EVP_MAC_CTX *secrets[AUTH_SECRETS_MAX];
    size_t n;
    struct known known[KNOWN]; /* each at the place that its header's hash names */
};

struct auth *auth_new(void)
{
    struct auth *a = calloc(1, sizeof *a);

    if (a == NULL)
        return NULL;
    a->hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    if (a->hmac == NULL) {
        free(a);
        return NULL;
    }
    return a;
}

void auth_free(struct auth *a)
{
    if (a == NULL)
        return;
    for (size_t i = 0; i < a->n; i++)
        EVP_MAC_CTX_free(a->secrets[i]);
    EVP_MAC_free(a->hmac);
    OPENSSL_cleanse(a->known, sizeof a->known);
    free(a);
}

bool auth_add_secret(struct auth *a, const char *secret, size_t len)
{
    char digest[] = "SHA256";
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_end(),
    };
    EVP_MAC_CTX *ctx;

    if (a->n == AUTH_SECRETS_MAX)
        return false;
    ctx = EVP_MAC_CTX_new(a->hmac);
    if (ctx == NULL || EVP_MAC_init(ctx, (const unsigned char *)secret, len, params) != 1) {
        EVP_MAC_CTX_free(ctx);
        return false;
    }
    a->secrets[a->n++] = ctx;
    return true;
}

struct text {
    const void *bytes;
    size_t n;
    const void *more; /* after them; NULL: nothing */
    size_t n_more;
};

static bool compute(EVP_MAC_CTX *ctx, const struct text *text, unsigned char mac[MAC_BYTES])
{
    size_t n;

    return EVP_MAC_init(ctx, NULL, 0, NULL) == 1 &&
           EVP_MAC_update(ctx, text->bytes, text->n) == 1 &&
           (text->n_more == 0 || EVP_MAC_update(ctx, text->more, text->n_more) == 1) &&
           EVP_MAC_final(ctx, mac, &n, MAC_BYTES) == 1 && n == MAC_BYTES;
}

/* Whether `hex` (in either case) is the HMAC of the text under any of the secrets. */
static bool is_hmac_of(const struct auth *a, const struct text *text, const char *hex)
{
    unsigned char given[MAC_BYTES], right[MAC_BYTES];
    size_t n;
    int ok = 0;

    if (strlen(hex) != AUTH_HEX || !OPENSSL_hexstr2buf_ex(given, sizeof given, &n, hex, '\0'))
        return false;
    for (size_t i = 0; i < a->n; i++) {
        if (compute(a->secrets[i], text, right))
            ok |= CRYPTO_memcmp(given, right, MAC_BYTES) == 0;
    }
    OPENSSL_cleanse(right, sizeof right);
    return ok != 0;
}

static bool is_token_of(const struct auth *a, const char *name, const char *hex)
{
    return is_hmac_of(a, &(struct text){.bytes = name, .n = strlen(name)}, hex);
}

/* Decodes a base64 text and adds a zero. False: it is no base64, or holds a zero. */
static bool read_base64(const char *text, char out[PAIR_SIZE])
{
    size_t n = strlen(text), padding;
    int made;

    if (n == 0 || n % 4 != 0 || n > BASE64_MAX)
        return false;
    padding = (size_t)(text[n - 1] == '=') + (size_t)(text[n - 2] == '=');
    made = EVP_DecodeBlock((unsigned char *)out, (const unsigned char *)text, (int)n);
    if (made < 3)
        return false;
    n = (size_t)made - padding; /* padding was decoded, too */
    out[n] = '\0';
    return strlen(out) == n;
}

/* Reads the pair of Basic credentials (RFC 7617). The scheme is of any case (RFC 9110
 * section 11.1), unlike in libmicrohttpd 0.9.75. */
static bool read_basic(const char *header, char pair[PAIR_SIZE])
{
    static const char scheme[] = "basic";
    const size_t len = sizeof scheme - 1;

    return strncasecmp(header, scheme, len) == 0 && header[len] == ' ' &&
           read_base64(header + len + strspn(header + len, " "), pair);
}

/* Whether an Authorization header holds Basic credentials NAME:T with a T that is right. `name`
 * becomes the name that was claimed, "" if none can be read. */
static bool is_right_basic(struct auth *a, const char *header, char name[AUTH_NAME_SIZE])
{
    char pair[PAIR_SIZE + 1];
    char *colon;
    bool ok = false;

    name[0] = '\0';
    if (!read_basic(header, pair))
        return false;
    colon = strchr(pair, ':');
    if (colon != NULL && colon > pair && colon - pair < AUTH_NAME_SIZE) {
        *colon = '\0';
        ok = is_token_of(a, pair, colon + 1);
        strcpy(name, pair);
    }
    OPENSSL_cleanse(pair, sizeof pair);
    return ok;
}

/* Like is_right_basic. To compare with known credentials instead of computing their HMAC saves 7 %
 * of the processor time of a delivery of one line. */
static bool is_known_or_right(struct auth *a, const char *header, char name[AUTH_NAME_SIZE])
{
    size_t len = strlen(header);
    struct known *known = &a->known[hash_quick(hash_seed(), header, len) % KNOWN];

    if (len > 0 && len == strlen(known->header) && CRYPTO_memcmp(known->header, header, len) == 0) {
        strcpy(name, known->name);
        return true;
    }
    if (!is_right_basic(a, header, name))
        return false;
    if (len < KNOWN_SIZE) { /* the name is a part of it */
        strcpy(known->header, header);
        strcpy(known->name, name);
    }
    return true;
}

static const char *or_empty(const char *text)
{
    return text == NULL ? "" : text;
}

const char *auth_refusal(struct auth *a, const struct auth_claim *claim, char name[AUTH_NAME_SIZE])
{
    const char *drain = or_empty(claim->drain), *credentials = or_empty(claim->credentials);

    if (claim->token != NULL && *drain != '\0' && strlen(drain) < AUTH_NAME_SIZE &&
        is_token_of(a, drain, claim->token)) {
        strcpy(name, drain);
        return NULL;
    }
    if (is_known_or_right(a, credentials, name))
        return NULL;
    if (*credentials != '\0')
        return "the Basic credentials are not NAME:HMAC-SHA256(secret, NAME)";
    snprintf(name, AUTH_NAME_SIZE, "%s", drain);
    if (claim->token == NULL)
        return "neither drain_token in the URL nor Basic credentials";
    return *drain == '\0' ? "drain_token needs the header Logplex-Drain-Token"
                          : "drain_token is not HMAC-SHA256(secret, Logplex-Drain-Token)";
}

/* ---- handovers ---- */

static const char handover_bytes[] = "drainwatch\0handover";
static const struct text handover_text = {.bytes = handover_bytes, .n = sizeof handover_bytes - 1};

/* Writes the HMAC of a text under the first secret. */
static bool write_hmac(const struct auth *a, const struct text *text, char hex[AUTH_HEX + 1])
{
    unsigned char mac[MAC_BYTES];
    bool ok = a->n > 0 && compute(a->secrets[0], text, mac) &&
              OPENSSL_buf2hexstr_ex(hex, AUTH_HEX + 1, NULL, mac, sizeof mac, '\0') == 1;

    OPENSSL_cleanse(mac, sizeof mac);
    return ok;
}

bool auth_is_handover(const struct auth *a, const char *credentials)
{
    static const char name[] = AUTH_HANDOVER ":";
    char pair[PAIR_SIZE + 1];
    bool ok;

    if (credentials == NULL || !read_basic(credentials, pair))
        return false;
    ok = strncmp(pair, name, sizeof name - 1) == 0 &&
         is_hmac_of(a, &handover_text, pair + sizeof name - 1);
    OPENSSL_cleanse(pair, sizeof pair);
    return ok;
}

bool auth_write_handover(const struct auth *a, char credentials[AUTH_HANDOVER_SIZE])
{
    char pair[sizeof AUTH_HANDOVER + AUTH_HEX + 1] = AUTH_HANDOVER ":";
    bool ok = write_hmac(a, &handover_text, pair + strlen(pair));

    memcpy(credentials, "Basic ", 7);
    if (ok)
        EVP_EncodeBlock((unsigned char *)credentials + 6, (const unsigned char *)pair,
                        (int)strlen(pair));
    OPENSSL_cleanse(pair, sizeof pair);
    return ok;
}

static struct text push_text(const void *push, size_t n)
{
    static const char begin[] = "drainwatch\0push"; /* with the zero at its end */

    return (struct text){.bytes = begin, .n = sizeof begin, .more = push, .n_more = n};
}

bool auth_sign_push(const struct auth *a, const void *push, size_t n, char signature[AUTH_HEX + 1])
{
    const struct text text = push_text(push, n);

    return write_hmac(a, &text, signature);
}

bool auth_is_push_signed(const struct auth *a, const void *push, size_t n, const char *signature)
{
    const struct text text = push_text(push, n);

    return signature != NULL && is_hmac_of(a, &text, signature);
}

bool auth_may_show(const char *text)
{
    size_t digits = 0;

    for (; *text != '\0' && digits < AUTH_HEX; text++)
        digits = isxdigit((unsigned char)*text) ? digits + 1 : 0;
    return digits < AUTH_HEX;
}
