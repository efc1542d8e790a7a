/* Tests who may deliver. */
#include "tests/unit/unit.h"

#include "ingest/http/auth.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <string.h>

enum { HEADER_SIZE = 1024 };

/* RFC 4231, test case 2: key "Jefe", data "what do ya want for nothing?". */
static const char NAME[] = "what do ya want for nothing?";
static const char LOWER[] = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
static const char UPPER[] = "5BDCC146BF60754E6A042426089575C75A003F089D2739839DEC58B964EC3843";

static struct auth *with(const char *const *secrets)
{
    struct auth *a = auth_new();

    assert_non_null(a);
    for (; *secrets != NULL; secrets++)
        assert_true(auth_add_secret(a, *secrets, strlen(*secrets)));
    return a;
}

static bool is_right(struct auth *a, const char *name, const char *token)
{
    char claimed[AUTH_NAME_SIZE];

    return auth_refusal(a, &(struct auth_claim){.drain = name, .token = token}, claimed) == NULL;
}

static bool is_right_basic(struct auth *a, const char *header, char name[AUTH_NAME_SIZE])
{
    return auth_refusal(a, &(struct auth_claim){.credentials = header}, name) == NULL;
}

static void encode_pair(const char *name, const char *token, char header[HEADER_SIZE])
{
    char pair[512];
    int n = snprintf(pair, sizeof pair, "%s:%s", name, token);

    memcpy(header, "Basic ", 6);
    EVP_EncodeBlock((unsigned char *)header + 6, (const unsigned char *)pair, n);
}

static void encode(const char *name, char header[HEADER_SIZE])
{
    encode_pair(name, LOWER, header);
}

/* With the right token under a secret. */
static void encode_token(const char *name, const char *secret, char header[HEADER_SIZE])
{
    unsigned char mac[32];
    char token[AUTH_HEX + 1];

    HMAC(EVP_sha256(), secret, (int)strlen(secret), (const unsigned char *)name, strlen(name), mac,
         NULL);
    for (size_t i = 0; i < sizeof mac; i++)
        snprintf(token + 2 * i, 3, "%02x", mac[i]);
    encode_pair(name, token, header);
}

UNIT_TEST(test_right_token_in_either_case)
{
    struct auth *a = with((const char *const[]){"Jefe", NULL});

    for (int i = 0; i < 3; i++) { /* the context is used again */
        assert_true(is_right(a, NAME, LOWER));
        assert_true(is_right(a, NAME, UPPER));
        assert_false(is_right(a, "another name", LOWER));
    }
    auth_free(a);
}

UNIT_TEST(test_any_secret_will_do)
{
    struct auth *a = with((const char *const[]){"new", "Jefe", NULL});
    struct auth *b = with((const char *const[]){"Jefe", "old", NULL});
    struct auth *c = with((const char *const[]){"new", "old", NULL});

    assert_true(is_right(a, NAME, LOWER));
    assert_true(is_right(b, NAME, LOWER));
    assert_false(is_right(c, NAME, LOWER));
    auth_free(a);
    auth_free(b);
    auth_free(c);
}

UNIT_TEST(test_what_is_no_token)
{
    struct auth *a = with((const char *const[]){"Jefe", NULL});
    char text[80];

    assert_false(is_right(a, NAME, ""));
    for (size_t i = 0; i < 64; i++) { /* each digit counts */
        strcpy(text, LOWER);
        text[i] = text[i] == '0' ? '1' : '0';
        assert_false(is_right(a, NAME, text));
    }
    strcpy(text, LOWER);
    text[63] = '\0';
    assert_false(is_right(a, NAME, text));
    strcpy(text, LOWER);
    strcat(text, "0");
    assert_false(is_right(a, NAME, text));
    strcpy(text, LOWER);
    text[5] = 'g';
    assert_false(is_right(a, NAME, text));
    auth_free(a);
}

UNIT_TEST(test_no_secret_lets_nobody_in)
{
    struct auth *a = auth_new();

    assert_false(is_right(a, NAME, LOWER));
    auth_free(a);
}

UNIT_TEST(test_a_claim_in_either_form)
{
    struct auth *a = with((const char *const[]){"Jefe", NULL});
    char credentials[HEADER_SIZE], name[AUTH_NAME_SIZE];
    struct auth_claim claim = {.drain = NAME, .token = LOWER};

    encode(NAME, credentials);
    assert_null(auth_refusal(a, &claim, name));
    assert_string_equal(name, NAME);
    claim = (struct auth_claim){.credentials = credentials};
    assert_null(auth_refusal(a, &claim, name));
    assert_string_equal(name, NAME);
    claim = (struct auth_claim){.drain = "another", .token = LOWER, .credentials = credentials};
    assert_null(auth_refusal(a, &claim, name));
    assert_string_equal(name, NAME);
    auth_free(a);
}

UNIT_TEST(test_a_claim_that_is_wrong_says_why)
{
    struct auth *a = with((const char *const[]){"Jefe", NULL});
    char credentials[HEADER_SIZE], name[AUTH_NAME_SIZE];
    const struct {
        struct auth_claim claim;
        const char *why, *name;
    } wrong[] = {
        {{NULL, NULL, NULL}, "neither", ""},
        {{"d.1", NULL, NULL}, "neither", "d.1"},
        {{NULL, LOWER, NULL}, "needs the header", ""},
        {{"", LOWER, NULL}, "needs the header", ""},
        {{"d.1", LOWER, NULL}, "drain_token is not", "d.1"},
        {{"d.1", LOWER, credentials}, "Basic credentials are not", "another"},
    };

    encode("another", credentials);
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_non_null(strstr(auth_refusal(a, &wrong[i].claim, name), wrong[i].why));
        assert_string_equal(name, wrong[i].name);
    }
    auth_free(a);
}

UNIT_TEST(test_secrets_are_bounded)
{
    struct auth *a = auth_new();

    for (int i = 0; i < AUTH_SECRETS_MAX; i++)
        assert_true(auth_add_secret(a, "Jefe", 4));
    assert_false(auth_add_secret(a, "Jefe", 4));
    assert_true(is_right(a, NAME, LOWER));
    auth_free(a);
}

UNIT_TEST(test_basic_credentials)
{
    struct auth *a = with((const char *const[]){"Jefe", NULL});
    char name[AUTH_NAME_SIZE], right[HEADER_SIZE], wrong[HEADER_SIZE + 100];

    encode(NAME, right);
    for (size_t i = 0; right[i] != '\0'; i++) { /* a header that is cut off, anywhere */
        strcpy(wrong, right);
        wrong[i] = '\0';
        assert_false(is_right_basic(a, wrong, name));
        assert_true(is_right_basic(a, right, name));
        assert_string_equal(name, NAME);
    }
    snprintf(wrong, sizeof wrong, "%sQQQQ", right);
    assert_false(is_right_basic(a, wrong, name));
    encode("another", wrong);
    assert_false(is_right_basic(a, wrong, name));
    assert_string_equal(name, "another");
    snprintf(wrong, sizeof wrong, "bASIC %*s%s", 80, "", right + 6);
    assert_true(is_right_basic(a, wrong, name));
    auth_free(a);
}

/* With more names than auth keeps. */
UNIT_TEST(test_kept_credentials_let_in_nobody_else)
{
    struct auth *a = with((const char *const[]){"Jefe", NULL});
    char claimed[AUTH_NAME_SIZE], right[HEADER_SIZE], wrong[HEADER_SIZE], name[AUTH_NAME_SIZE];

    for (int i = 0; i < 300; i++) {
        snprintf(name, sizeof name, "d.%0*d", i, i); /* the last ones are too long to be kept */
        encode_token(name, "Jefe", right);
        encode_token(name, "another", wrong);
        assert_false(is_right_basic(a, wrong, claimed));
        assert_true(is_right_basic(a, right, claimed));
        assert_string_equal(claimed, name);
        assert_true(is_right_basic(a, right, claimed));
        assert_string_equal(claimed, name);
        assert_false(is_right_basic(a, wrong, claimed));
    }
    auth_free(a);
}

/* Credentials under a secret of their own. */
static void encode_handover(const char *secret, char header[AUTH_HANDOVER_SIZE])
{
    struct auth *a = with((const char *const[]){secret, NULL});

    assert_true(auth_write_handover(a, header));
    auth_free(a);
}

UNIT_TEST(test_a_handover_under_any_secret)
{
    struct auth *a = with((const char *const[]){"new", "old", NULL});
    char header[AUTH_HANDOVER_SIZE], first[AUTH_HANDOVER_SIZE];

    encode_handover("old", header);
    assert_true(auth_is_handover(a, header));
    encode_handover("new", header);
    assert_true(auth_is_handover(a, header));
    assert_true(auth_write_handover(a, first));
    assert_string_equal(first, header);
    encode_handover("another", header);
    assert_false(auth_is_handover(a, header));
    assert_false(auth_is_handover(a, NULL));
    for (size_t i = 0; first[i] != '\0'; i++) {
        memcpy(header, first, sizeof header);
        header[i] = '\0';
        assert_false(auth_is_handover(a, header));
    }
    auth_free(a);
}

UNIT_TEST(test_a_handover_is_no_drain_and_no_drain_is_a_handover)
{
    static const char *const names[] = {"handover", "drainwatch", "drainwatch\\0handover"};
    struct auth *a = with((const char *const[]){"Jefe", NULL});
    char header[HEADER_SIZE], handover[AUTH_HANDOVER_SIZE], name[AUTH_NAME_SIZE];

    encode_handover("Jefe", handover);
    assert_false(is_right_basic(a, handover, name));
    assert_string_equal(name, "handover");
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        encode_token(names[i], "Jefe", header);
        assert_true(is_right_basic(a, header, name));
        assert_false(auth_is_handover(a, header));
    }
    auth_free(a);
}

UNIT_TEST(test_a_push_is_signed_under_any_secret)
{
    struct auth *a = with((const char *const[]){"new", "old", NULL});
    struct auth *old = with((const char *const[]){"old", NULL});
    char signature[AUTH_HEX + 1];

    assert_true(auth_sign_push(old, "push", 4, signature));
    assert_true(auth_is_push_signed(a, "push", 4, signature));
    assert_false(auth_is_push_signed(a, "pusH", 4, signature));
    assert_false(auth_is_push_signed(a, "push", 3, signature));
    assert_false(auth_is_push_signed(a, "push", 4, NULL));
    assert_false(auth_is_push_signed(a, "push", 4, ""));
    assert_true(auth_sign_push(a, "push", 4, signature)); /* under the first */
    assert_false(auth_is_push_signed(old, "push", 4, signature));
    assert_true(auth_sign_push(a, NULL, 0, signature));
    assert_true(auth_is_push_signed(a, "", 0, signature));
    auth_free(old);
    auth_free(a);
}

UNIT_TEST(test_without_a_secret_there_is_no_handover)
{
    struct auth *a = auth_new();
    char header[AUTH_HANDOVER_SIZE];

    assert_false(auth_write_handover(a, header));
    encode_handover("k", header);
    assert_false(auth_is_handover(a, header));
    auth_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_right_token_in_either_case),
        cmocka_unit_test(test_any_secret_will_do),
        cmocka_unit_test(test_what_is_no_token),
        cmocka_unit_test(test_no_secret_lets_nobody_in),
        cmocka_unit_test(test_a_claim_in_either_form),
        cmocka_unit_test(test_a_claim_that_is_wrong_says_why),
        cmocka_unit_test(test_secrets_are_bounded),
        cmocka_unit_test(test_basic_credentials),
        cmocka_unit_test(test_kept_credentials_let_in_nobody_else),
        cmocka_unit_test(test_a_handover_under_any_secret),
        cmocka_unit_test(test_a_handover_is_no_drain_and_no_drain_is_a_handover),
        cmocka_unit_test(test_a_push_is_signed_under_any_secret),
        cmocka_unit_test(test_without_a_secret_there_is_no_handover),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
