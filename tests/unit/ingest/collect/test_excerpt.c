/* Tests of samples and group values. */
#include "tests/unit/ingest/collect/collect_lines.h"
#include "tests/unit/ingest/collect/redact_fails.h"

#include "common/base/err.h"
#include "common/base/text.h"
#include "common/record/wire.h"
#include "ingest/collect/excerpt.h"

#include <stdio.h>
#include <string.h>

enum { VALUE_MAX = EXCERPT_VALUE_MAX };

static const char *const by_path[] = {"path"};
static const char *const by_all[] = {"status", "process", "path", "dyno"};
static const char *const by_uri[] = {"uri"};
static const char *const by_token[] = {"drain_token"};
static const char *const emails[] = {"email=[^ \"]+"};
static const char *const needle[] = {"NEEDLE.*"};
static const struct rules_field h12 = {.key = "code", .value = "H12"};
static const char *const token_name[] = {"drain_token="};

enum { PATH, ALL, TOKEN, PLAIN, EMAIL, NAME, URI, FOLD, FIND, RULES };
static const struct rule rules[RULES] = {
    [PATH] = {.name = "path", .group_by = {by_path, 1}},
    [ALL] = {.name = "all", .group_by = {by_all, 4}},
    [TOKEN] = {.name = "token", .group_by = {by_token, 1}},
    [PLAIN] = {.name = "plain"},
    [EMAIL] = {.name = "email", .group_by = {by_uri, 1}, .redacts = {emails, 1}},
    [NAME] = {.name = "name", .redacts = {token_name, 1}},
    [URI] = {.name = "uri", .group_by = {by_uri, 1}},
    [FOLD] = {.name = "fold", .group_by = {by_path, 1}, .fold_ids = true},
    [FIND] = {.name = "find", .matches = {needle, 1}, .fields = &h12, .n_fields = 1},
};

/* Of the current test. */
static struct fixture {
    struct rules rules;
    struct rulebook *book;
    struct excerpt excerpt;
    struct buf sample;
    struct buf values;
} f;

static int teardown(void **state)
{
    (void)state;
    buf_close(&f.values);
    buf_close(&f.sample);
    excerpt_close(&f.excerpt);
    rulebook_release(f.book);
    return 0;
}

/* `redact` for the whole file, or NULL. */
static void setup(const char *const *redact)
{
    teardown(NULL);
    f = (struct fixture){.rules = {.app = "a", .rules = rules, .n = RULES}};
    f.rules.redacts = (struct rules_list){redact, redact != NULL};
    f.book = book_of(&f.rules);
    excerpt_init(&f.excerpt);
    excerpt_begin(&f.excerpt, f.book);
    buf_init(&f.sample, 2 * WIRE_SAMPLE_MAX);
    buf_init(&f.values, RULES_GROUP_BY_MAX * (VALUE_MAX + 1));
    assert_int_equal(buf_puts(&f.values, "what stood there before"), 0);
    assert_int_equal(buf_puts(&f.sample, "what stood there before"), 0);
}

/* Appends the values of a message that may have changed since the last call. */
static void append_changed(uint32_t rule, const char *message)
{
    excerpt_forget(&f.excerpt);
    buf_clear(&f.values);
    assert_int_equal(excerpt_append_values(&f.excerpt, rule, text(message), &f.values), 0);
}

/* All values, each with a zero byte behind it. */
static void assert_values(uint32_t rule, const char *message, const char *want, size_t len)
{
    buf_clear(&f.values);
    assert_int_equal(excerpt_append_values(&f.excerpt, rule, text(message), &f.values), 0);
    if (f.values.len != len || (len > 0 && memcmp(f.values.data, want, len) != 0))
        fail_msg("%s: %s (%zu bytes, expected %s)", message, buf_text(&f.values), f.values.len,
                 want);
}

static void assert_value(uint32_t rule, const char *message, const char *want)
{
    assert_values(rule, message, want, strlen(want) + 1);
}

static void assert_sample(uint32_t rule, const char *message, const char *want)
{
    assert_int_equal(excerpt_sample(&f.excerpt, rule, text(message), &f.sample), 0);
    assert_int_equal(f.sample.len, strlen(want));
    assert_memory_equal(f.sample.data, want, f.sample.len);
}

UNIT_TEST(test_one_value_a_key)
{
    static const char found[] = "503\0/a\0web.1", none[] = "\0\0", hidden[] = "…\0…\0…";
    const char *keys[RULES_GROUP_BY_MAX];

    setup(NULL);
    assert_int_equal(excerpt_keys(&rules[ALL], keys), 3);
    assert_string_equal(keys[0], "status");
    assert_string_equal(keys[2], "dyno");
    assert_values(ALL, "dyno=web.1 path=/a status=503 process=x", found, sizeof found);
    assert_values(ALL, "path=/a path=/b path=/c dyno=web.1 status=503 status=200", found,
                  sizeof found);
    assert_values(ALL, "process=x", none, sizeof none);
    assert_values(PLAIN, "path=/a", "", 0);
    buf_clear(&f.values);
    assert_int_equal(excerpt_append_no_values(&rules[ALL], &f.values), 0);
    assert_int_equal(f.values.len, sizeof hidden);
    assert_memory_equal(f.values.data, hidden, sizeof hidden);
    buf_clear(&f.values);
    assert_int_equal(excerpt_append_no_values(&rules[PLAIN], &f.values), 0);
    assert_int_equal(f.values.len, 0);
}

/* What a visitor writes into quotes is no pair. */
UNIT_TEST(test_the_first_pair_outside_of_quotes_counts)
{
    static const char *const rows[][2] = {
        {"path=/a path=/b", "/a"},
        {"fwd=\"x path=/fake \" path=\"/a b\"", "/a b"},
        {"xpath=/no path2=/no path=/yes", "/yes"},
        {"path=", ""},
        {"path=\"\" path=/b", ""},
        {"Path=/a", ""},
        {"path", ""},
        {"path=\"/never closed", ""},
        {"a=\"never closed path=/a", ""},
        {"path=/a fwd=\"never closed", "/a"},
        {"path=\"a\\\"b\"", "a\\\"b"},
        {"", ""},
    };

    setup(NULL);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_value(PATH, rows[i][0], rows[i][1]);
}

UNIT_TEST(test_values_are_made_fit)
{
    setup(NULL);
    assert_value(PATH, "path=a\x01[2J\xff\xe2\x82z\x7f\xc2\x9b",
                 "a\\x01[2J\\xff\\xe2\\x82z\\x7f\\xc2\\x9b");
}

/* What differs only behind the cut is still two groups. */
UNIT_TEST(test_long_values_are_told_apart_by_a_hash_of_the_whole)
{
    static char message[4 * VALUE_MAX], first[VALUE_MAX + 1];
    size_t len;

    setup(NULL);
    memcpy(message, "path=/", 6);
    memset(message + 6, 'v', VALUE_MAX - 1);
    assert_value(PATH, message, message + 5); /* as long as may be */
    memcpy(message + 5 + VALUE_MAX, "a", 2);
    append_changed(PATH, message);
    len = f.values.len;
    assert_true(len <= sizeof first);
    memcpy(first, f.values.data, len);
    assert_memory_equal(first, message + 5, len - 20);
    assert_memory_equal(first + len - 20, "…", 3);
    message[5 + VALUE_MAX] = 'b';
    append_changed(PATH, message);
    assert_int_equal(f.values.len, len);
    assert_memory_not_equal(f.values.data, first, len);
    message[5 + VALUE_MAX] = 'a';
    excerpt_forget(&f.excerpt);
    assert_values(PATH, message, first, len);
    memcpy(message + 5 + VALUE_MAX - 20, "€€€€€€€", 22); /* nor is it cut within a character */
    append_changed(PATH, message);
    assert_true(text_is_utf8(buf_text(&f.values), f.values.len));
}

UNIT_TEST(test_a_path_is_taken_without_its_query)
{
    setup(NULL);
    assert_value(PATH, "path=\"/search?q=1&page=2\" status=500", "/search");
    assert_value(PATH, "path=/a?b?c", "/a");
    assert_value(PATH, "path=\"?\"", "");
    assert_value(PATH, "path=\"/users/17/edit?x=1\"", "/users/17/edit");
    assert_value(FOLD, "path=\"/users/17/edit?x=1\"", "/users/:id/edit");
    assert_value(URI, "uri=\"/a?b\"", "/a?b"); /* no other value is changed */
}

UNIT_TEST(test_colours_and_quotes_do_not_belong_to_a_value)
{
    setup(NULL);
    assert_value(PATH, "\033[36mpath\033[0m=\033[1m/a\033[0m x=y", "/a");
    assert_value(PATH, "path='/a b' x=y", "/a b");
    assert_value(PATH, "path = /a x=y", "/a");
    assert_sample(PATH, "\033[36mpath\033[0m=\033[1m/a\033[0m", "path=/a");
}

/* A colour within a secret would hide it from the expression, and is never shown. */
UNIT_TEST(test_colours_do_not_split_a_secret)
{
    static const char *const password[] = {"password=\\S+"};

    setup(password);
    assert_sample(PLAIN, "a pass\033[0mword=hunter2 b", "a … b");
    assert_sample(PLAIN, "a drain_\033[0mtoken=0123456789 b", "a drain_token=… b");
}

/* Of the file for every rule, of a rule for itself. */
UNIT_TEST(test_what_is_redacted)
{
    static const char *const sid[] = {"sid=[0-9a-f]+"};
    static const char message[] = "uri=\"/x?sid=12ab&email=a@b\" user=u sid=77";

    setup(sid);
    assert_value(URI, message, "/x?…&email=a@b");
    assert_sample(URI, message, "uri=\"/x?…&email=a@b\" user=u …");
    assert_value(EMAIL, message, "/x?…&…");
    assert_value(URI, message, "/x?…&email=a@b");
    assert_sample(EMAIL, "email=a@b sid=12 c", "… … c");
    assert_value(EMAIL, "uri=email=a@b", "…");
    assert_value(EMAIL, "email=uri=@b", "");
}

UNIT_TEST(test_no_drain_token_is_shown)
{
    static const char message[] = "uri=\"/in?Drain_Token=0123456789&x=1\" drain_token=456789abcd";
    static const char want[] = "uri=\"/in?Drain_Token=…\" drain_token=…";

    setup(NULL);
    assert_value(URI, message, "/in?Drain_Token=…");
    assert_value(EMAIL, message, "/in?Drain_Token=…");
    assert_value(TOKEN, message, "…");
    assert_sample(PATH, message, want);
    assert_sample(EMAIL, message, want);
    assert_sample(NAME, "a drain_token=0123456789", "a ……"); /* not the name alone */
}

/* An expression needs all of a secret to know it: a cut one would stay. */
UNIT_TEST(test_samples_are_redacted_before_they_are_cut)
{
    static const char *const whole[] = {"BEGIN\\w+END"};
    static char message[5000];

    setup(whole);
    memset(message, 'm', sizeof message - 1);
    memcpy(message + 989, ".BEGIN", 6);
    memcpy(message + 3000, "END.", 4);
    assert_int_equal(excerpt_sample(&f.excerpt, PATH, text(message), &f.sample), 0);
    assert_int_equal(f.sample.len, WIRE_SAMPLE_MAX);
    assert_memory_equal(f.sample.data + 988, "m.….mmm…", 12);
    for (size_t at = 993; at <= 995; at++) { /* nor is it cut within a character */
        memset(message + 980, 'm', 40);
        memcpy(message + at, "€", 3);
        memcpy(message + at + 3, " drain_token=0123456789abcdef ", 30);
        excerpt_forget(&f.excerpt);
        assert_int_equal(excerpt_sample(&f.excerpt, PATH, text(message), &f.sample), 0);
        assert_int_equal(f.sample.len, at == 995 ? 998 : WIRE_SAMPLE_MAX);
        assert_memory_equal(f.sample.data + f.sample.len - 3, "…", 3);
    }
}

static void assert_around(const char *message, const char *match, bool front, bool back)
{
    char sample[WIRE_SAMPLE_MAX + 1];

    excerpt_forget(&f.excerpt);
    assert_int_equal(excerpt_sample(&f.excerpt, FIND, text(message), &f.sample), 0);
    assert_true(f.sample.len <= WIRE_SAMPLE_MAX && f.sample.len > WIRE_SAMPLE_MAX - 8);
    memcpy(sample, f.sample.data, f.sample.len);
    sample[f.sample.len] = '\0';
    assert_true(text_is_utf8(sample, f.sample.len));
    assert_non_null(strstr(sample, match));
    assert_int_equal(strncmp(sample, "…", 3) == 0, front);
    assert_int_equal(strcmp(sample + f.sample.len - 3, "…") == 0, back);
}

/* The match is found in the text as it is shown. */
UNIT_TEST(test_a_long_sample_is_cut_around_the_match)
{
    static char message[4097];

    setup(emails);
    for (size_t i = 0; i + 2 < sizeof message; i += 2)
        memcpy(message + i, "é", 2);
    memcpy(message + 40, "email=x ", 8); /* redaction moves all that follows */
    memcpy(message + 800, "NEEDLE", 6);
    assert_around(message, "NEEDLE", false, true);
    memcpy(message + 800, "ééé", 6);
    for (size_t at = 900; at + 6 < sizeof message; at += 100) {
        memcpy(message + at, "NEEDLE", 6);
        assert_around(message, "NEEDLE", true, at < 3590);
        memcpy(message + at, "ééé", 6);
    }
    memcpy(message + 3000, " code=H12 ", 10);
    assert_around(message, " code=H12 ", true, true);
    memcpy(message + 3000, "\" code=H12", 10); /* quoted: no pair */
    assert_around(message, "ééé", false, true);
}

/* The longest line, in which every other byte becomes three. */
UNIT_TEST(test_redaction_has_room)
{
    static const char *const letter[] = {"a"};
    static char message[LINE_BYTES_MAX + 1];

    for (size_t i = 0; i < LINE_BYTES_MAX; i++)
        message[i] = i % 2 ? '.' : 'a';
    memcpy(message + LINE_BYTES_MAX - 9, " path=/xa", 9);
    setup(letter);
    for (int i = 0; i < 3; i++) { /* it gives the memory back, and takes it again */
        excerpt_begin(&f.excerpt, f.book);
        assert_int_equal(excerpt_sample(&f.excerpt, PLAIN, text(message), &f.sample), 0);
        assert_true(f.sample.len <= WIRE_SAMPLE_MAX && f.sample.len > WIRE_SAMPLE_MAX - 3);
        assert_memory_equal(f.sample.data, "….….", 8);
        assert_value(PATH, message, "…"); /* the redacted message has "p…th" */
    }
}

UNIT_TEST(test_the_memory_of_a_large_value_is_counted_and_given_back)
{
    static char message[LINE_BYTES_MAX + 1];

    memset(message, 'a', LINE_BYTES_MAX);
    memcpy(message, "path=/", 6);
    setup(NULL);
    append_changed(PATH, message);
    assert_true(excerpt_bytes(&f.excerpt) >= LINE_BYTES_MAX - 5);
    excerpt_begin(&f.excerpt, f.book);
    assert_int_equal(excerpt_bytes(&f.excerpt), 0);
}

/* Redaction and the end of a terminal sequence may take a quote of the app: what a visitor has
 * quoted is still no pair. */
UNIT_TEST(test_redaction_uncovers_no_pair)
{
    setup(NULL);
    assert_value(PATH, "agent=\"/?token=\" a=\"b\" c=\" path=/fake x\" path=/real", "/real");
    assert_value(PATH, "agent=\"\033[\" a=\" path=/fake x\" path=/real", "/real");
    assert_value(PATH, "agent=\"/?token='\" path=/real status=500", "/real");
    assert_value(URI, "agent=\"password: a\" c=\" uri=/fake x\" uri=/real", "/real");
    assert_value(EMAIL, "agent=\"email=a\\\" uri=/fake x\" uri=/real", "…");
    assert_value(EMAIL, "uri=/users?email=a@b agent=c", "/users?…");
    assert_value(EMAIL, "uri=/users email=a@b", "/users");
    assert_value(TOKEN, "drain_token=abcd", "…");
}

/* Nothing of a message that cannot be redacted is shown. */
UNIT_TEST(test_failed_redaction_hides_all)
{
    static const int reasons[] = {ERR_IO, ERR_FULL};

    setup(NULL);
    for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++) {
        redact_fails = reasons[i];
        assert_value(EMAIL, "uri=/a email=a@b and more", "…");
        assert_sample(EMAIL, "path=/a email=a@b and more", "");
        assert_value(PATH, "path=/a email=a@b and more", "/a"); /* it needs none */
    }
    redact_fails = ERR_NOMEM;
    buf_clear(&f.values);
    assert_int_equal(excerpt_append_values(&f.excerpt, EMAIL, text("x"), &f.values), ERR_NOMEM);
    assert_int_equal(excerpt_sample(&f.excerpt, EMAIL, text("x"), &f.sample), ERR_NOMEM);
    redact_fails = 0;
}

UNIT_TEST(test_ids_of_a_path_become_one)
{
    static const char *const rows[][2] = {
        {"", ""},
        {"/", "/"},
        {"//", "//"},
        {"/users/17", "/users/:id"},
        {"/users/17/", "/users/:id/"},
        {"17", ":id"},
        {"/2026/05/07/post", "/:id/:id/:id/post"},
        {"/users/17a", "/users/17a"},
        {"/v2/users", "/v2/users"},
        {"/o/01234567-89ab-cdef-0123-456789ABCDEF/x", "/o/:id/x"},
        {"/o/01234567-89ab-cdef-0123-456789abcdeg", "/o/01234567-89ab-cdef-0123-456789abcdeg"},
        {"/o/012345678-9ab-cdef-0123-456789abcdef", "/o/012345678-9ab-cdef-0123-456789abcdef"},
        {"/o/507f1f77bcf86cd799439011", "/o/:id"},
        {"/o/507f1f77bcf86cd", "/o/507f1f77bcf86cd"}, /* 15 digits */
        {"/deadbeefdeadbeef", "/deadbeefdeadbeef"},   /* letters alone may be a word */
    };
    char message[100];

    setup(NULL);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        snprintf(message, sizeof message, "path=\"%s?q=17\"", rows[i][0]);
        excerpt_forget(&f.excerpt);
        assert_value(FOLD, message, rows[i][1]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_value_a_key),
        cmocka_unit_test(test_the_first_pair_outside_of_quotes_counts),
        cmocka_unit_test(test_values_are_made_fit),
        cmocka_unit_test(test_long_values_are_told_apart_by_a_hash_of_the_whole),
        cmocka_unit_test(test_a_path_is_taken_without_its_query),
        cmocka_unit_test(test_colours_and_quotes_do_not_belong_to_a_value),
        cmocka_unit_test(test_colours_do_not_split_a_secret),
        cmocka_unit_test(test_a_long_sample_is_cut_around_the_match),
        cmocka_unit_test(test_what_is_redacted),
        cmocka_unit_test(test_no_drain_token_is_shown),
        cmocka_unit_test(test_samples_are_redacted_before_they_are_cut),
        cmocka_unit_test(test_redaction_has_room),
        cmocka_unit_test(test_the_memory_of_a_large_value_is_counted_and_given_back),
        cmocka_unit_test(test_redaction_uncovers_no_pair),
        cmocka_unit_test(test_failed_redaction_hides_all),
        cmocka_unit_test(test_ids_of_a_path_become_one),
    };

    return cmocka_run_group_tests(tests, NULL, teardown);
}
