/* Log lines: their form, escapes, secrets and time. */
#include "tests/unit/unit.h"

#include "common/app/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char SECRET[] = "0f1e2d3c4b5a";
static const char TOKEN[] = "xoxb-17-abc";

/* Runs `say` with standard error in a pipe and returns the text. */
static const char *heard(void (*say)(void))
{
    static char text[64 << 10];
    int ends[2], saved = dup(STDERR_FILENO);
    ssize_t n;

    assert_int_equal(pipe(ends), 0);
    dup2(ends[1], STDERR_FILENO);
    say();
    dup2(saved, STDERR_FILENO);
    close(saved);
    close(ends[1]);
    n = read(ends[0], text, sizeof text - 1);
    close(ends[0]);
    assert_true(n >= 0);
    text[n] = '\0';
    return text;
}

static void say_plain(void)
{
    log_info("listening on port %d", 8080);
}

static void say_rubbish(void)
{
    log_warning("a \"quoted\" thing, a \\ and a\nline\x01\xff");
}

static void say_secrets(void)
{
    log_error("secret %s twice %s and token %s", SECRET, SECRET, TOKEN);
    log_error("POST /x?drain_token=0123456789abcdef&y=1");
}

static void say_long(void)
{
    static char text[100000];

    memset(text, 'x', sizeof text - 1);
    log_info("%s", text);
}

static void test_a_line_is_logfmt(void **state)
{
    (void)state;
    assert_string_equal(heard(say_plain),
                        "drainwatch-test level=info msg=\"listening on port 8080\"\n");
}

static void test_the_time_comes_first(void **state)
{
    const char *text;

    (void)state;
    unsetenv("DYNO");
    log_open("drainwatch-test");
    text = heard(say_plain);
    assert_true(strspn(text, "0123456789-:.TZ") == 24 && text[10] == 'T' && text[23] == 'Z');
    assert_string_equal(text + 24, " drainwatch-test level=info msg=\"listening on port 8080\"\n");
}

/* Both put a time before each line themselves. */
static void test_the_time_is_left_to_the_journal_and_to_heroku(void **state)
{
    struct stat out;
    char stream[64];

    (void)state;
    assert_int_equal(fstat(STDERR_FILENO, &out), 0);
    snprintf(stream, sizeof stream, "%llu:%llu", (unsigned long long)out.st_dev,
             (unsigned long long)out.st_ino);
    setenv("JOURNAL_STREAM", stream, 1);
    log_open("drainwatch-test");
    assert_int_equal(strncmp(heard(say_plain), "drainwatch-test ", 16), 0);
    setenv("JOURNAL_STREAM", "1:1", 1); /* standard error was sent elsewhere */
    log_open("drainwatch-test");
    assert_int_equal(strncmp(heard(say_plain), "20", 2), 0);
    setenv("DYNO", "web.1", 1);
    log_open("drainwatch-test");
    assert_int_equal(strncmp(heard(say_plain), "drainwatch-test ", 16), 0);
}

static void test_what_comes_from_outside_stays_on_its_line(void **state)
{
    (void)state;
    assert_string_equal(heard(say_rubbish),
                        "drainwatch-test level=warning msg=\"a \\\"quoted\\\" thing, a \\\\ and "
                        "a\\x0aline\\x01\\xff\"\n");
}

static void test_no_secret_is_said(void **state)
{
    const char *text;

    (void)state;
    log_hide(SECRET, strlen(SECRET));
    log_hide(TOKEN, strlen(TOKEN));
    text = heard(say_secrets);
    assert_null(strstr(text, SECRET));
    assert_null(strstr(text, TOKEN));
    assert_null(strstr(text, "0123456789abcdef"));
    assert_non_null(strstr(text, "secret … twice … and token …\""));
    assert_non_null(strstr(text, "drain_token=…&y=1"));
}

static void test_a_long_line_is_cut(void **state)
{
    const char *text;

    (void)state;
    text = heard(say_long);
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
        cmocka_unit_test(test_a_long_line_is_cut),
    };

    setenv("DYNO", "test.1", 1);
    log_open("drainwatch-test");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
