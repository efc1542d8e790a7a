/* The headers of lines. */
#include "ingest/input/head.h"
#include "ingest/input/line.h"
#include "tests/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TIME "2026-05-07T08:06:12.123456+00:00"
#define TIME_US INT64_C(1778141172123456)

static void expect_text(const struct line_text *got, const char *want)
{
    assert_int_equal(got->len, strlen(want));
    assert_memory_equal(got->data, want, got->len);
}

static void expect_line(const char *text, enum line_form form, int64_t time_us, const char *source,
                        const char *process, const char *message)
{
    size_t len = strlen(text);
    char *copy = malloc(len); /* without a zero, so that a sanitizer sees a read beyond it */
    struct line line;

    assert_non_null(copy);
    memcpy(copy, text, len);
    line_read(copy, len, &line);
    assert_int_equal(line.form, form);
    assert_int_equal(line.has_time, time_us != 0);
    if (line.has_time)
        assert_int_equal(line.time_us, time_us);
    expect_text(&line.source, source);
    expect_text(&line.process, process);
    expect_text(&line.message, message);
    free(copy);
}

UNIT_TEST(syslog_headers)
{
    expect_line("<158>1 " TIME " host heroku router - at=error code=H12", LINE_SYSLOG, TIME_US,
                "heroku", "router", "at=error code=H12");
    expect_line("<190>1 " TIME " host app web.1 - a\nb ", LINE_SYSLOG, TIME_US, "app", "web.1",
                "a\nb ");
    expect_line("<190>1 - host app web.1 - x", LINE_SYSLOG, 0, "app", "web.1", "x");
    expect_line("<190>1 yesterday host - - - x", LINE_SYSLOG, 0, "", "", "x");
    expect_line("<190>1 " TIME " host app web.1 - ", LINE_SYSLOG, TIME_US, "app", "web.1", "");
    expect_line("<190>1 " TIME " host app web.1 -", LINE_SYSLOG, TIME_US, "app", "web.1", "");
    expect_line("<190>1 " TIME " host app web.1 - \xEF\xBB\xBFx", LINE_SYSLOG, TIME_US, "app",
                "web.1", "x");
}

UNIT_TEST(a_header_that_is_not_all_there_is_message)
{
    static const char *const lines[] = {
        "<190>1 ",
        "<190>1 " TIME,
        "<190>1 " TIME " host app web.1",
        "<190> x a b c d e",
        "<190>1\n a b c d e",
        "<1900>1 a b c d e f",
        "<190>2 a b c d e f",
        "<190>1 a b\nc d e f g",
    };

    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        expect_line(lines[i], LINE_BARE, 0, "", "", lines[i]);
}

UNIT_TEST(logplex_has_no_structured_data)
{
    expect_line("<190>1 " TIME " host app web.1 - - x", LINE_SYSLOG, TIME_US, "app", "web.1",
                "- x");
    expect_line("<190>1 " TIME " host app web.1 - [a b=\"c\"] x", LINE_SYSLOG, TIME_US, "app",
                "web.1", "[a b=\"c\"] x");
}

/* What stands behind MSGID, where HOSTNAME is not Logplex's. */
static void expect_message(const char *behind, const char *message)
{
    char text[512];

    snprintf(text, sizeof text, "<190>1 " TIME " shuttle token shuttle - %s", behind);
    expect_line(text, LINE_SYSLOG, TIME_US, "token", "shuttle", message);
}

UNIT_TEST(structured_data_is_skipped)
{
    expect_message("- msg", "msg");
    expect_message("-", "");
    expect_message("- ", "");
    expect_message("- \xEF\xBB\xBFmsg", "msg");
    expect_message("[a b=\"c\"] msg", "msg");
    expect_message("[a b=\"c\"]", "");
    expect_message("[a b=\"c d\" e=\"\"][f@1 g=\"\\\"\\]\\\\\" h=\"\\n\"] msg", "msg");
}

UNIT_TEST(what_only_looks_like_it_is_message)
{
    static const char *const messages[] = {
        "msg",
        "-msg",
        "-[a b=\"c\"] msg",
        "[a b=\"c\"]msg",
        "[a] msg",
        "[a b=c] msg",
        "[a b=\"c] msg",
        "[a b=\"c\" ] msg",
        "[a =\"c\"] msg",
        "[ b=\"c\"] msg",
        "[a b=\"]\"] x",
        "[a b=\"c\\",
        "[a b=\"c\"][d] x",
        "[",
        "[a b=\"c\"][",
        "[2026-05-07 08:06:12 +0000] [4] [CRITICAL] WORKER TIMEOUT (pid:12)",
    };

    for (size_t i = 0; i < sizeof messages / sizeof *messages; i++)
        expect_message(messages[i], messages[i]);
}

UNIT_TEST(heroku_headers)
{
    expect_line(TIME " heroku[router]: at=error code=H12", LINE_HEROKU, TIME_US, "heroku", "router",
                "at=error code=H12");
    expect_line("2026-05-07T08:06:12Z app[web.1]:  x", LINE_HEROKU, TIME_US / 1000000 * 1000000,
                "app", "web.1", " x");
    expect_line(TIME " app[web.1]:", LINE_HEROKU, TIME_US, "app", "web.1", "");
}

UNIT_TEST(frames_without_a_hostname)
{
    expect_line("<158>1 " TIME " heroku router - at=error", LINE_SYSLOG, TIME_US, "heroku",
                "router", "at=error");
    expect_line("<158>1 " TIME " heroku router - - at=error", LINE_SYSLOG, TIME_US, "heroku",
                "router", "at=error");
    expect_line("<190>1 " TIME " app web.1 - - - x", LINE_SYSLOG, TIME_US, "app", "web.1", "- x");
    expect_line("<190>1 " TIME " app heroku router - x", LINE_SYSLOG, TIME_US, "heroku", "router",
                "x"); /* a host of that name */
    expect_line("<190>1 " TIME " web-7 nginx - - - x", LINE_SYSLOG, TIME_US, "nginx", "", "x");
}

UNIT_TEST(frames_as_viewers_show_them)
{
    expect_line(TIME " heroku router - - at=error", LINE_HEROKU, TIME_US, "heroku", "router",
                "at=error");
    expect_line(TIME " app web.1 - x", LINE_HEROKU, TIME_US, "app", "web.1", "x");
    expect_line(TIME " host heroku router - x", LINE_HEROKU, TIME_US, "heroku", "router", "x");
    expect_line(TIME " app web.1 x", LINE_BARE, TIME_US, "", "", "app web.1 x");
    expect_line(TIME " cron job - x", LINE_BARE, TIME_US, "", "", "cron job - x");
}

UNIT_TEST(bare_lines)
{
    static const char *const behind_time[] = {
        "app[web.1] x", "app web.1]: x", "[web.1]: x", "app[]: x",       "app[web 1]: x",
        "app[web.1]:x", "a:b[web.1]: x", "app[web.1",  "ap]p[web.1]: x", "",
    };
    char text[256];

    for (size_t i = 0; i < sizeof behind_time / sizeof *behind_time; i++) {
        snprintf(text, sizeof text, "%s %s", TIME, behind_time[i]);
        expect_line(text, LINE_BARE, TIME_US, "", "", behind_time[i]);
    }
    expect_line("WORKER TIMEOUT", LINE_BARE, 0, "", "", "WORKER TIMEOUT");
    expect_line("app[web.1]: x", LINE_BARE, 0, "", "", "app[web.1]: x");
    expect_line(TIME, LINE_BARE, 0, "", "", TIME);
    expect_line("2026-05-07 08:06:12Z x", LINE_BARE, TIME_US / 1000000 * 1000000, "", "", "x");
    expect_line("2026-05-07 08:06:12 x", LINE_BARE, 0, "", "", "2026-05-07 08:06:12 x");
}

/* A yes or no to the first bytes of a text holds whatever follows; so do framing's decisions. */
UNIT_TEST(what_is_known_stays_known)
{
    static const char *const texts[] = {
        "<1>1 x",
        "<191>1 x",
        "<1911>1 x",
        "<>1 x",
        "<1>2 x",
        "<1>1x",
        "<a>1 ",
        "x",
        TIME " x",
        TIME "x y",
        "2026-05-07 08:06:12Z x",
        "2026-05-07x08:06:12Z x",
        "2026x",
        "2026-05-07T08:06:12.12345678901234567890Z x",
    };

    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        size_t n = strlen(texts[i]), len;
        enum line_known pri = line_pri(texts[i], n, &len), time;
        int64_t us;

        time = line_time(texts[i], n, &us, &len);
        for (size_t k = 0; k < n; k++) {
            enum line_known known = line_pri(texts[i], k, &len);

            assert_true(known == LINE_MORE || known == pri);
            known = line_time(texts[i], k, &us, &len);
            assert_true(known == LINE_MORE || known == time);
            assert_true(k < LINE_TIME_MAX || known != LINE_MORE);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(syslog_headers),
        cmocka_unit_test(a_header_that_is_not_all_there_is_message),
        cmocka_unit_test(logplex_has_no_structured_data),
        cmocka_unit_test(structured_data_is_skipped),
        cmocka_unit_test(what_only_looks_like_it_is_message),
        cmocka_unit_test(heroku_headers),
        cmocka_unit_test(frames_without_a_hostname),
        cmocka_unit_test(frames_as_viewers_show_them),
        cmocka_unit_test(bare_lines),
        cmocka_unit_test(what_is_known_stays_known),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
