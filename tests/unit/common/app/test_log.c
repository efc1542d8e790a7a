/* Log lines: their form, escapes, secrets and time. */
#include "tests/unit/heard.h"

#include "common/app/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const char SECRET[] = "0f1e2d3c4b5a";
static const char TOKEN[] = "xoxb-17-abc";

static const char *heard_plain(void)
{
    heard_begin();
    log_info("listening on port %d", 8080);
    return heard_end();
}

UNIT_TEST(test_a_line_is_logfmt)
{
    assert_string_equal(heard_plain(),
                        "drainwatch-test level=info msg=\"listening on port 8080\"\n");
}

UNIT_TEST(test_the_time_comes_first)
{
    const char *text;

    unsetenv("DYNO");
    log_open("drainwatch-test");
    text = heard_plain();
    assert_true(strspn(text, "0123456789-:.TZ") == 24 && text[10] == 'T' && text[23] == 'Z');
    assert_string_equal(text + 24, " drainwatch-test level=info msg=\"listening on port 8080\"\n");
}

/* Both put a time before each line themselves. */
UNIT_TEST(test_the_time_is_left_to_the_journal_and_to_heroku)
{
    struct stat out;
    char stream[64];

    assert_int_equal(fstat(STDERR_FILENO, &out), 0);
    snprintf(stream, sizeof stream, "%llu:%llu", (unsigned long long)out.st_dev,
             (unsigned long long)out.st_ino);
    setenv("JOURNAL_STREAM", stream, 1);
    log_open("drainwatch-test");
    assert_int_equal(strncmp(heard_plain(), "drainwatch-test ", 16), 0);
    setenv("JOURNAL_STREAM", "1:1", 1); /* standard error was sent elsewhere */
    log_open("drainwatch-test");
    assert_int_equal(strncmp(heard_plain(), "20", 2), 0);
    setenv("DYNO", "web.1", 1);
    log_open("drainwatch-test");
    assert_int_equal(strncmp(heard_plain(), "drainwatch-test ", 16), 0);
}

UNIT_TEST(test_what_comes_from_outside_stays_on_its_line)
{
    heard_begin();
    log_warning("a \"quoted\" thing, a \\ and a\nline\x01\xff");
    assert_string_equal(heard_end(),
                        "drainwatch-test level=warning msg=\"a \\\"quoted\\\" thing, a \\\\ and "
                        "a\\x0aline\\x01\\xff\"\n");
}

UNIT_TEST(test_no_secret_is_said)
{
    const char *text;

    log_hide(SECRET, strlen(SECRET));
    log_hide(TOKEN, strlen(TOKEN));
    heard_begin();
    log_error("secret %s twice %s and token %s", SECRET, SECRET, TOKEN);
    log_error("POST /x?drain_token=0123456789abcdef&y=1");
    text = heard_end();
    assert_null(strstr(text, SECRET));
    assert_null(strstr(text, TOKEN));
    assert_null(strstr(text, "0123456789abcdef"));
    assert_non_null(strstr(text, "secret … twice … and token …\""));
    assert_non_null(strstr(text, "drain_token=…\""));
}

/* A library's message, or a field of ours, may end within a secret. */
UNIT_TEST(test_no_beginning_of_a_secret_is_said)
{
    heard_begin();
    log_error("the key %.10s: %.8s", SECRET, TOKEN);
    assert_non_null(strstr(heard_end(), "the key …: …\""));
    heard_begin();
    log_error("%.8s-1, %.8sx", SECRET, SECRET); /* words that begin alike */
    assert_null(strstr(heard_end(), "…"));
}

UNIT_TEST(test_a_line_is_cut_after_its_secrets_went)
{
    static char long_text[8200];
    const char *text;

    memset(long_text, 'x', sizeof long_text - 1);
    heard_begin();
    log_error("%.8187s%s", long_text, SECRET);
    text = heard_end();
    assert_null(strstr(text, (char[]){'x', SECRET[0], SECRET[1], SECRET[2], '\0'}));
}

/* Ingest does not keep the token, and a drain may send it by mistake. */
UNIT_TEST(test_a_token_of_slacks_form_is_not_said)
{
    heard_begin();
    log_info("xoxp-1234-5678-abcdEF, xoxb-12345678xoxb-9 xox xoxb-short");
    assert_non_null(strstr(heard_end(), "msg=\"…, … xox xoxb-short\""));
}

UNIT_TEST(test_a_long_line_is_cut)
{
    static char long_text[100000];
    const char *text;

    memset(long_text, 'x', sizeof long_text - 1);
    heard_begin();
    log_info("%s", long_text);
    text = heard_end();
    assert_true(strlen(text) > 4000 && strlen(text) < 16000);
    assert_int_equal(text[strlen(text) - 1], '\n');
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_line_is_logfmt),
        cmocka_unit_test(test_the_time_comes_first),
        cmocka_unit_test(test_the_time_is_left_to_the_journal_and_to_heroku),
        cmocka_unit_test(test_what_comes_from_outside_stays_on_its_line),
        cmocka_unit_test(test_no_secret_is_said),
        cmocka_unit_test(test_no_beginning_of_a_secret_is_said),
        cmocka_unit_test(test_a_line_is_cut_after_its_secrets_went),
        cmocka_unit_test(test_a_token_of_slacks_form_is_not_said),
        cmocka_unit_test(test_a_long_line_is_cut),
    };

    setenv("DYNO", "test.1", 1);
    log_open("drainwatch-test");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
