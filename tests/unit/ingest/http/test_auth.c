#include "tests/unit/unit.h"

#include "ingest/http/auth.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

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

static void test_right_token_in_either_case(void **state)
{
    struct auth *a = with((const char *const[]){"Jefe", NULL});

    (void)state;
    for (int i = 0; i < 3; i++) { /* the context is reused: each answer is the same */
        assert_true(auth_check(a, NAME, LOWER));
        assert_true(auth_check(a, NAME, UPPER));
        assert_false(auth_check(a, "another name", LOWER));
    }
    auth_free(a);
}

static void test_any_secret_will_do(void **state)
{
    struct auth *a = with((const char *const[]){"new", "Jefe", NULL});
    struct auth *b = with((const char *const[]){"Jefe", "old", NULL});
    struct auth *c = with((const char *const[]){"new", "old", NULL});

    (void)state;
    assert_true(auth_check(a, NAME, LOWER));
    assert_true(auth_check(b, NAME, LOWER));
    assert_false(auth_check(c, NAME, LOWER));
    auth_free(a);
    auth_free(b);
    auth_free(c);
}

static void test_what_is_no_token(void **state)
{
    struct auth *a = with((const char *const[]){"Jefe", NULL});
    char text[80];

    (void)state;
    assert_false(auth_check(a, NAME, ""));
    for (size_t i = 0; i < 64; i++) { /* each digit counts */
        strcpy(text, LOWER);
        text[i] = text[i] == '0' ? '1' : '0';
        assert_false(auth_check(a, NAME, text));
    }
    strcpy(text, LOWER);
    text[63] = '\0';
    assert_false(auth_check(a, NAME, text));
    strcpy(text, LOWER);
    strcat(text, "0");
    assert_false(auth_check(a, NAME, text));
    strcpy(text, LOWER);
    text[5] = 'g';
    assert_false(auth_check(a, NAME, text));
    auth_free(a);
}

static void test_no_secret_lets_nobody_in(void **state)
{
    struct auth *a = auth_new();

    (void)state;
    assert_false(auth_check(a, NAME, LOWER));
    auth_free(a);
}

static void test_secrets_are_bounded(void **state)
{
    struct auth *a = auth_new();

    (void)state;
    for (int i = 0; i < AUTH_SECRETS_MAX; i++)
        assert_true(auth_add_secret(a, "Jefe", 4));
    assert_false(auth_add_secret(a, "Jefe", 4));
    assert_true(auth_check(a, NAME, LOWER));
    auth_free(a);
}

static void encode(const char *name, char header[512])
{
    char pair[256];
    int n = snprintf(pair, sizeof pair, "%s:%s", name, LOWER);

    memcpy(header, "Basic ", 6);
    EVP_EncodeBlock((unsigned char *)header + 6, (const unsigned char *)pair, n);
}

/* Whatever came before, it says what auth_check_basic says, and names whom that names. */
static bool check_both(struct auth *a, struct auth_proven *p, const char *header)
{
    char name[AUTH_NAME_SIZE], again[AUTH_NAME_SIZE];
    bool right = auth_check_basic(a, header, name);

    for (int i = 0; i < 2; i++) {
        assert_int_equal(auth_check_basic_again(a, p, header, again), right);
        assert_string_equal(name, again);
    }
    return right;
}

static void test_the_same_header_again(void **state)
{
    struct auth *a = with((const char *const[]){"Jefe", NULL});
    struct auth_proven p = {0};
    char right[512], wrong[512];

    (void)state;
    encode(NAME, right);
    assert_false(check_both(a, &p, ""));
    assert_true(check_both(a, &p, right));
    assert_int_equal(p.len, strlen(right));
    for (size_t i = 0; right[i] != '\0';
         i++) { /* each character counts, and each right one heals */
        strcpy(wrong, right);
        wrong[i] = wrong[i] == 'Q' ? 'R' : 'Q';
        (void)check_both(a, &p, wrong); /* a hex digit of the other case is right, too */
        strcpy(wrong, right);
        wrong[i] = '\0';
        assert_false(check_both(a, &p, wrong));
    }
    assert_true(check_both(a, &p, right));
    strcpy(wrong, right);
    strcat(wrong, "QQQQ");
    assert_false(check_both(a, &p, wrong));
    encode("another", wrong);
    assert_false(check_both(a, &p, wrong));
    auth_forget(&p);
    assert_true(check_both(a, &p, right));
    auth_free(a);
}

/* The longest that is kept, and the first that is not. */
static void test_a_long_header_is_checked_each_time(void **state)
{
    struct auth *a = with((const char *const[]){"Jefe", NULL});
    struct auth_proven p = {0};
    char spaced[600], right[512];

    (void)state;
    encode(NAME, right);
    for (size_t len = AUTH_PROVEN_SIZE - 1; len <= AUTH_PROVEN_SIZE; len++) {
        auth_forget(&p);
        snprintf(spaced, sizeof spaced, "Basic %*s%s", (int)(len - strlen(right)), "", right + 6);
        assert_int_equal(strlen(spaced), len);
        assert_true(check_both(a, &p, spaced));
        assert_int_equal(p.len, len < AUTH_PROVEN_SIZE ? len : 0);
    }
    auth_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_right_token_in_either_case),
        cmocka_unit_test(test_any_secret_will_do),
        cmocka_unit_test(test_what_is_no_token),
        cmocka_unit_test(test_no_secret_lets_nobody_in),
        cmocka_unit_test(test_secrets_are_bounded),
        cmocka_unit_test(test_the_same_header_again),
        cmocka_unit_test(test_a_long_header_is_checked_each_time),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
