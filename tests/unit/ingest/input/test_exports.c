/* Exported logs: Papertrail's archives, JSON lines, and terminal colours. */
#include "ingest/input/colours.h"
#include "ingest/input/input.h"
#include "ingest/input/records.h"
#include "tests/unit/unit.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TIME_US INT64_C(1778141172000000) /* 2026-05-07T08:06:12Z */

/* Each line as "TIME SOURCE PROCESS|MESSAGE", with the time relative to TIME_US. */
struct seen {
    char text[4096];
    size_t len;
    size_t lines;
};

static int on_lines(void *ctx, const struct input_lines *lines)
{
    struct seen *seen = ctx;

    assert_in_range(lines->n, 1, LINE_BATCH_MAX);
    assert_int_equal(lines->spans[0].start, 0);
    for (size_t i = 0; i < lines->n; i++) {
        char time[24] = "-";
        struct line line;

        input_line(lines, i, &line);
        assert_ptr_equal(line.message.data, lines->region + lines->spans[i].start);
        assert_int_equal(line.message.len, lines->spans[i].len);
        if (line.has_time)
            snprintf(time, sizeof time, "%" PRId64, line.time_us - TIME_US);
        if (seen->len < sizeof seen->text - 300)
            seen->len += (size_t)snprintf(
                seen->text + seen->len, sizeof seen->text - seen->len, "%s %.*s %.*s|%.*s\n", time,
                (int)line.source.len, line.source.data, (int)line.process.len, line.process.data,
                (int)(line.message.len < 80 ? line.message.len : 80), line.message.data);
        seen->lines++;
    }
    return 0;
}

static struct input_counts read_all(const struct input_format *format, const char *text, size_t n,
                                    size_t chunk, struct seen *seen)
{
    struct input *in = input_new(format, on_lines, seen);
    struct input_counts counts;

    assert_non_null(in);
    *seen = (struct seen){0};
    for (size_t at = 0; at < n; at += chunk)
        assert_int_equal(input_push(in, text + at, n - at < chunk ? n - at : chunk, NULL), 0);
    assert_int_equal(input_finish(in), 0);
    counts = input_counts(in);
    assert_int_equal(counts.bytes, n);
    input_free(in);
    return counts;
}

static void expect(const struct input_format *format, const char *text, const char *lines)
{
    struct seen seen;

    for (size_t chunk = 1; chunk < 300; chunk = chunk * 3 + 1) {
        read_all(format, text, strlen(text), chunk, &seen);
        assert_string_equal(seen.text, lines);
    }
}

UNIT_TEST(a_papertrail_archive_names_time_program_and_message)
{
    expect(&input_papertrail,
           "1\t2026-05-07 08:06:12\t2026-05-07 08:06:13\t4\tshop\t192.0.2.9\tLocal3\tInfo\t"
           "heroku/router\tat=error\tcode=H12\r\n"
           "2\t2026-05-07T08:06:13Z\t2026-05-07T08:06:13Z\t4\tshop\t192.0.2.9\tLocal3\tInfo\t"
           "nginx\thello\n"
           "not a row\n"
           "3\t\t2026-05-07 08:06:14\t4\tshop\t\tLocal3\tInfo\tapp/web.1\tlast",
           "0 heroku router|at=error\tcode=H12\n"
           "1000000 nginx |hello\n"
           "-  |not a row\n"
           "2000000 app web.1|last\n");
}

UNIT_TEST(json_lines_are_read_by_their_usual_names)
{
    expect(&input_json_lines,
           "{\"id\":\"7\",\"generated_at\":\"2026-05-07T08:06:12Z\",\"source_name\":\"shop\","
           "\"program\":\"heroku/router\",\"message\":\"a \\\"b\\\"\"}\n"
           "{\"app_name\":\"heroku\",\"proc_id\":\"router\",\"message\":\"c\","
           "\"timestamp\":\"2026-05-07T08:06:12.5Z\"}\n"
           "{\"@timestamp\":1778141173,\"msg\":\"d\",\"appname\":\"app\",\"procid\":\"web.1\"},\n"
           "{\"ts\":1778141172250,\"line\":\"e\"}\n"
           "{\"time\":1778141172.75,\"log\":\"f\\n\"}\n",
           "0 heroku router|a \"b\"\n"
           "500000 heroku router|c\n"
           "1000000 app web.1|d\n"
           "250000  |e\n"
           "750000  |f\n");
}

UNIT_TEST(a_wrapped_line_is_unwrapped)
{
    expect(&input_json_lines,
           "{\"log\":\"2026-05-07T08:06:12Z heroku[router]: at=error\\n\",\"stream\":\"stdout\","
           "\"time\":\"2026-05-07T09:00:00Z\"}\n"
           "{\"content\":{\"timestamp\":\"2026-05-07T08:06:12Z\",\"message\":\"x\","
           "\"attributes\":{\"syslog\":{\"appname\":\"heroku\",\"procid\":\"router\"}}}}\n"
           "{\"events\":[{\"message\":\"y\",\"received_at\":\"2026-05-07T08:06:12Z\","
           "\"program\":\"app/web.2\"},{\"message\":\"z\"}]}\n",
           "0 heroku router|at=error\n"
           "0 heroku router|x\n"
           "0 app web.2|y\n"
           "-  |z\n");
}

UNIT_TEST(text_between_json_lines_is_a_plain_line)
{
    expect(&input_json_lines,
           "tailing\n\n{\"message\":\"\"}\n{\"message\":7}\n{\"message\":\"a\"\n"
           "2026-05-07T08:06:12Z heroku[router]: b\n",
           "-  |tailing\n"
           "-  |{\"message\":7}\n"
           "-  |{\"message\":\"a\"\n"
           "0 heroku router|b\n");
}

UNIT_TEST(blanks_at_the_end_of_a_message_stay_and_blank_lines_are_none)
{
    static const char row[] = "1\t2026-05-07 08:06:12\t\t4\tshop\t\tLocal3\tInfo\tnginx\ta  \r\n";

    expect(&input_papertrail, row, "0 nginx |a  \n");
    expect(&input_papertrail, "b  \r\n  \r\n\r\n", "-  |b  \n");
    expect(&input_json_lines, "{\"message\":\"c  \"}  \r\nd  \n   \n", "-  |c  \n-  |d  \n");
}

UNIT_TEST(colours_are_taken_out_of_decoded_messages)
{
    expect(&input_json_lines,
           "{\"message\":\"\\u001b[2mcode=\\u001b[22m\\u001b[31mH12\\u001b[39m\"}\n",
           "-  |code=H12\n");
}

UNIT_TEST(long_messages_are_cut_and_long_texts_are_left_out)
{
    size_t n = 3 << 20, at;
    char *text = malloc(n);
    struct input_counts counts;
    struct seen seen;

    assert_non_null(text);
    memset(text, 'x', n);
    at = (size_t)snprintf(text, n, "{\"message\":\"");
    text[at] = 'x';
    memcpy(text + 100000, "\"}\n", 3);
    memcpy(text + n - 15, "\n{\"message\":1}\n", 15);
    counts = read_all(&input_json_lines, text, n, 70001, &seen);
    assert_int_equal(seen.lines, 2);
    assert_int_equal(counts.lines, 3);
    assert_int_equal(counts.malformed, 2);
    free(text);
}

UNIT_TEST(many_lines_come_in_batches)
{
    enum { LINES = 3000 };
    static char text[LINES * 32];
    struct input_counts counts;
    struct seen seen;
    size_t n = 0;

    for (int i = 0; i < LINES; i++)
        n += (size_t)sprintf(text + n, "{\"message\":\"%d\"}\n", i);
    counts = read_all(&input_json_lines, text, n, n, &seen);
    assert_int_equal(seen.lines, LINES);
    assert_int_equal(counts.lines, LINES);
}

static void expect_time(const char *text, int64_t us)
{
    int64_t got = -1;

    if (!records_time(text, strlen(text), &got))
        got = 0;
    if (got != us)
        fail_msg("\"%s\" is %" PRId64 ", not %" PRId64, text, got, us);
}

UNIT_TEST(times_as_exporters_write_them)
{
    expect_time("2026-05-07T08:06:12Z", TIME_US);
    expect_time("2026-05-07 08:06:12", TIME_US);
    expect_time("2026-05-07 08:06:12 UTC", TIME_US);
    expect_time("2026-05-07 08:06:12,250", TIME_US + 250000);
    expect_time("2026-05-07T10:06:12+0200", TIME_US);
    expect_time("1778141172", TIME_US);
    expect_time("1778141172.5", TIME_US + 500000);
    expect_time("1778141172000", TIME_US);
    expect_time("1778141172000000", TIME_US);
    expect_time("1778141172000000000", TIME_US);
    expect_time("", 0);
    expect_time("yesterday", 0);
    expect_time("May 07 08:06:12", 0);
    expect_time("2026-05-07", 0);
    expect_time("-5", 0);
    expect_time("2", 0);
    expect_time("1e400", 0);
    expect_time("nan", 0);
}

static void expect_format(const char *text, const struct input_format *format)
{
    assert_ptr_equal(input_recognise(text, strlen(text)), format);
}

UNIT_TEST(formats_are_told_apart)
{
    expect_format("", &input_plain);
    expect_format("hello\n", &input_plain);
    expect_format("{\"message\":\"x\"}\n", &input_json_lines);
    expect_format("a banner\n\n {\"message\":\"x\"}", &input_json_lines);
    expect_format("{\"other\":1}\n", &input_plain);
    expect_format("{\n", &input_plain);
    expect_format("2026-05-07T08:06:12Z app[web.1]: x\n{\"message\":\"x\"}\n", &input_plain);
    expect_format("20 <190>1 - - - - - x\n{\"message\":\"x\"}\n", &input_logplex);
    expect_format("1\t2026-05-07 08:06:12\t\t\t\t\t\t\tapp/web.1\tx\n", &input_papertrail);
    expect_format("1\t2\t\t\t\t\t\t\t\tx\n", &input_plain);
    expect_format("cut off\n20 <190>1 - - - - - x\n", &input_logplex);
    expect_format("hello 20 <190>1 \n", &input_plain);
}

static void expect_stripped(const char *text, const char *plain)
{
    for (size_t cut = 0; cut <= strlen(text); cut++) {
        struct colours c = {0};
        char bytes[200];
        size_t n;

        memcpy(bytes, text, strlen(text));
        n = colours_strip(&c, bytes, cut);
        memmove(bytes + n, bytes + cut, strlen(text) - cut);
        n += colours_strip(&c, bytes + n, strlen(text) - cut);
        bytes[n] = '\0';
        assert_string_equal(bytes, plain);
    }
}

UNIT_TEST(colours_go_wherever_a_chunk_ends)
{
    expect_stripped("\x1b[36m2026 heroku[router]:\x1b[39m \x1b[2mcode=\x1b[22m\x1b[1;31mH12\x1b[0m",
                    "2026 heroku[router]: code=H12");
    expect_stripped("plain [31m text\n", "plain [31m text\n");
    expect_stripped("\x1b\x1b[31mx\x1b[\ny\x1b", "x\ny");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_papertrail_archive_names_time_program_and_message),
        cmocka_unit_test(json_lines_are_read_by_their_usual_names),
        cmocka_unit_test(a_wrapped_line_is_unwrapped),
        cmocka_unit_test(text_between_json_lines_is_a_plain_line),
        cmocka_unit_test(blanks_at_the_end_of_a_message_stay_and_blank_lines_are_none),
        cmocka_unit_test(colours_are_taken_out_of_decoded_messages),
        cmocka_unit_test(long_messages_are_cut_and_long_texts_are_left_out),
        cmocka_unit_test(many_lines_come_in_batches),
        cmocka_unit_test(times_as_exporters_write_them),
        cmocka_unit_test(formats_are_told_apart),
        cmocka_unit_test(colours_go_wherever_a_chunk_ends),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
