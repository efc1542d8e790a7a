#include "tests/unit/unit.h"

#include "common/base/err.h"
#include "common/record/wire.h"
#include "ingest/collect/excerpt.h"

#include <stdio.h>
#include <string.h>

enum { VALUE_MAX = 128 };

static const char *const by_path[] = {"path"};
static const char *const by_all[] = {"status", "process", "path", "dyno"};
static const char *const by_token[] = {"drain_token"};
static const char *const emails[] = {"email=[^ \"]+"};
static const char *const token_name[] = {"drain_token="};

enum { PATH, ALL, TOKEN, PLAIN, EMAIL, NAME, RULES };
static const struct rule rules[RULES] = {
    [PATH] = {.name = "path", .group_by = {by_path, 1}},
    [ALL] = {.name = "all", .group_by = {by_all, 4}},
    [TOKEN] = {.name = "token", .group_by = {by_token, 1}},
    [PLAIN] = {.name = "plain"},
    [EMAIL] = {.name = "email", .group_by = {by_path, 1}, .redacts = {emails, 1}},
    [NAME] = {.name = "name", .redacts = {token_name, 1}},
};

/* What redaction answers in place of itself; 0: it works. */
static int redact_fails;

int __real_redact_append(struct redact *r, uint32_t rule, const char *text, size_t n,
                         struct buf *out);
int __wrap_redact_append(struct redact *r, uint32_t rule, const char *text, size_t n,
                         struct buf *out);

/* A failure halfway through the text. */
int __wrap_redact_append(struct redact *r, uint32_t rule, const char *text, size_t n,
                         struct buf *out)
{
    if (redact_fails == 0)
        return __real_redact_append(r, rule, text, n, out);
    assert_int_equal(buf_append(out, text, n / 2), 0);
    return redact_fails;
}

struct fixture {
    struct rules rules;
    struct rulebook *book;
    struct excerpt excerpt;
    struct buf sample;
    struct buf values;
};

/* `redact` for the whole file, or NULL. */
static void setup(struct fixture *f, const char *const *redact)
{
    struct err err = {.text = ""};

    *f = (struct fixture){.rules = {.app = "a", .rules = rules, .n = RULES}};
    f->rules.redacts = (struct rules_list){redact, redact != NULL};
    if (rulebook_new_borrowed(&f->rules, &f->book, &err) != 0)
        fail_msg("%s", err.text);
    excerpt_init(&f->excerpt, VALUE_MAX);
    excerpt_begin(&f->excerpt, f->book);
    buf_init(&f->sample, 2 * WIRE_SAMPLE_MAX);
    buf_init(&f->values, RULES_GROUP_BY_MAX * (VALUE_MAX + 1));
    assert_int_equal(buf_puts(&f->values, "what stood there before"), 0);
    assert_int_equal(buf_puts(&f->sample, "what stood there before"), 0);
}

static void teardown(struct fixture *f)
{
    buf_close(&f->values);
    buf_close(&f->sample);
    excerpt_close(&f->excerpt);
    rulebook_release(f->book);
}

static struct line_text text(const char *s)
{
    return (struct line_text){s, strlen(s)};
}

/* All values, each with a zero byte behind it. */
static void assert_values(struct fixture *f, uint32_t rule, const char *message, const char *want,
                          size_t len)
{
    assert_int_equal(excerpt_values(&f->excerpt, rule, text(message), &f->values), 0);
    if (f->values.len != len || (len > 0 && memcmp(f->values.data, want, len) != 0))
        fail_msg("%s: %s (%zu bytes, expected %s)", message, buf_text(&f->values), f->values.len,
                 want);
}

static void assert_value(struct fixture *f, uint32_t rule, const char *message, const char *want)
{
    assert_values(f, rule, message, want, strlen(want) + 1);
}

static void assert_sample(struct fixture *f, uint32_t rule, const char *message, const char *want)
{
    assert_int_equal(excerpt_sample(&f->excerpt, rule, text(message), &f->sample), 0);
    assert_int_equal(f->sample.len, strlen(want));
    assert_memory_equal(f->sample.data, want, f->sample.len);
}

static void test_one_value_a_key(void **state)
{
    static const char found[] = "503\0/a\0web.1", none[] = "\0\0", hidden[] = "…\0…\0…";
    const char *keys[RULES_GROUP_BY_MAX];
    struct fixture f;

    (void)state;
    setup(&f, NULL);
    assert_int_equal(excerpt_keys(&rules[ALL], keys), 3);
    assert_string_equal(keys[0], "status");
    assert_string_equal(keys[2], "dyno");
    assert_values(&f, ALL, "dyno=web.1 path=/a status=503 process=x", found, sizeof found);
    assert_values(&f, ALL, "path=/a path=/b path=/c dyno=web.1 status=503 status=200", found,
                  sizeof found);
    assert_values(&f, ALL, "process=x", none, sizeof none);
    assert_values(&f, PLAIN, "path=/a", "", 0);
    assert_int_equal(excerpt_no_values(&rules[ALL], &f.values), 0);
    assert_int_equal(f.values.len, sizeof hidden);
    assert_memory_equal(f.values.data, hidden, sizeof hidden);
    assert_int_equal(excerpt_no_values(&rules[PLAIN], &f.values), 0);
    assert_int_equal(f.values.len, 0);
    teardown(&f);
}

/* What a visitor writes into quotes is no pair. */
static void test_the_first_pair_outside_of_quotes_counts(void **state)
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
    struct fixture f;

    (void)state;
    setup(&f, NULL);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_value(&f, PATH, rows[i][0], rows[i][1]);
    teardown(&f);
}

static void test_values_are_made_fit(void **state)
{
    char fill[VALUE_MAX + 1] = "", message[400], want[400];
    struct fixture f;

    (void)state;
    setup(&f, NULL);
    assert_value(&f, PATH, "path=a\x1b[2J\xff\xe2\x82z\x7f\xc2\x9b",
                 "a\\x1b[2J\\xff\\xe2\\x82z\\x7f\\xc2\\x9b");
    memset(fill, 'v', VALUE_MAX);
    for (int back = 0; back <= 4; back++) { /* the cut comes at each place of a character */
        static const char *const shown[] = {"", "", "", "€", "€w"};

        snprintf(message, sizeof message, "path=%.*s€ww", VALUE_MAX - back, fill);
        snprintf(want, sizeof want, "%.*s%s", VALUE_MAX - back, fill, shown[back]);
        assert_value(&f, PATH, message, want);
        snprintf(message, sizeof message, "path=%.*s\x01", VALUE_MAX - back, fill);
        snprintf(want, sizeof want, "%.*s%s", VALUE_MAX - back, fill, back == 4 ? "\\x01" : "");
        assert_value(&f, PATH, message, want);
    }
    teardown(&f);
}

/* Of the file for every rule, of a rule for itself. */
static void test_what_is_redacted(void **state)
{
    static const char *const sid[] = {"sid=[0-9a-f]+"};
    static const char message[] = "path=\"/x?sid=12ab&email=a@b\" user=u sid=77";
    struct fixture f;

    (void)state;
    setup(&f, sid);
    assert_value(&f, PATH, message, "/x?…&email=a@b");
    assert_sample(&f, PATH, message, "path=\"/x?…&email=a@b\" user=u …");
    assert_sample(&f, EMAIL, "email=a@b sid=12 c", "… … c");
    assert_value(&f, EMAIL, "path=email=a@b", "…");
    assert_value(&f, EMAIL, "email=path=@b", "");
    teardown(&f);
}

static void test_no_drain_token_is_shown(void **state)
{
    static const char message[] = "path=\"/in?Drain_Token=0123456789&x=1\" drain_token=456789abcd";
    static const char want[] = "path=\"/in?Drain_Token=…&x=1\" drain_token=…";
    struct fixture f;

    (void)state;
    setup(&f, NULL);
    assert_value(&f, PATH, message, "/in?Drain_Token=…&x=1");
    assert_value(&f, EMAIL, message, "/in?Drain_Token=…&x=1");
    assert_value(&f, TOKEN, message, "…");
    assert_sample(&f, PATH, message, want);
    assert_sample(&f, EMAIL, message, want);
    assert_sample(&f, NAME, "a drain_token=0123456789", "a ……"); /* not the name alone */
    teardown(&f);
}

/* An expression needs all of a secret to know it: a cut one would stay. */
static void test_samples_are_redacted_before_they_are_cut(void **state)
{
    static const char *const whole[] = {"BEGIN\\w+END"};
    static char message[5000];
    struct fixture f;

    (void)state;
    setup(&f, whole);
    memset(message, 'm', sizeof message - 1);
    memcpy(message + 989, ".BEGIN", 6);
    memcpy(message + 3000, "END.", 4);
    assert_int_equal(excerpt_sample(&f.excerpt, PATH, text(message), &f.sample), 0);
    assert_int_equal(f.sample.len, WIRE_SAMPLE_MAX);
    assert_memory_equal(f.sample.data + 988, "m.….mmmmmm", 12);
    for (size_t at = 996; at <= 998; at++) { /* nor is it cut within a character */
        memset(message + 980, 'm', 40);
        memcpy(message + at, "€", 3);
        memcpy(message + at + 3, " drain_token=0123456789abcdef ", 30);
        assert_int_equal(excerpt_sample(&f.excerpt, PATH, text(message), &f.sample), 0);
        assert_int_equal(f.sample.len, at == 998 ? 998 : WIRE_SAMPLE_MAX);
    }
    teardown(&f);
}

/* The longest line, in which every other byte becomes three. */
static void test_redaction_has_room(void **state)
{
    static const char *const letter[] = {"a"};
    static char message[LINE_BYTES_MAX + 1];
    struct fixture f;

    (void)state;
    for (size_t i = 0; i < LINE_BYTES_MAX; i++)
        message[i] = i % 2 ? '.' : 'a';
    memcpy(message + LINE_BYTES_MAX - 9, " path=/xa", 9);
    setup(&f, letter);
    for (int i = 0; i < 3; i++) { /* it gives the memory back, and takes it again */
        excerpt_begin(&f.excerpt, f.book);
        assert_int_equal(excerpt_sample(&f.excerpt, PLAIN, text(message), &f.sample), 0);
        assert_int_equal(f.sample.len, WIRE_SAMPLE_MAX);
        assert_memory_equal(f.sample.data, "….….", 8);
        assert_value(&f, PATH, message, ""); /* "p…th" */
    }
    teardown(&f);
}

/* Nothing of a message that cannot be redacted is shown. */
static void test_failed_redaction_hides_all(void **state)
{
    static const int reasons[] = {ERR_IO, ERR_FULL};
    struct fixture f;

    (void)state;
    setup(&f, NULL);
    for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++) {
        redact_fails = reasons[i];
        assert_value(&f, EMAIL, "path=/a email=a@b and more", "…");
        assert_sample(&f, EMAIL, "path=/a email=a@b and more", "");
        assert_value(&f, PATH, "path=/a email=a@b and more", "/a"); /* it needs none */
    }
    redact_fails = ERR_NOMEM;
    assert_int_equal(excerpt_values(&f.excerpt, EMAIL, text("x"), &f.values), ERR_NOMEM);
    assert_int_equal(excerpt_sample(&f.excerpt, EMAIL, text("x"), &f.sample), ERR_NOMEM);
    redact_fails = 0;
    teardown(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_value_a_key),
        cmocka_unit_test(test_the_first_pair_outside_of_quotes_counts),
        cmocka_unit_test(test_values_are_made_fit),
        cmocka_unit_test(test_what_is_redacted),
        cmocka_unit_test(test_no_drain_token_is_shown),
        cmocka_unit_test(test_samples_are_redacted_before_they_are_cut),
        cmocka_unit_test(test_redaction_has_room),
        cmocka_unit_test(test_failed_redaction_hides_all),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
