/* Alerts printed on standard output. */
#include "tests/unit/alerter/deliver/an_alert.h"

#include "alerter/deliver/destination.h"

static void print(const struct wire_alert *a, struct http_request *out)
{
    const struct destination_try attempt = {a->channel, 1, ""};

    http_request_init(out);
    assert_int_equal(destination_stdout.request(&(struct settings){0}, a, &attempt, out), 0);
}

UNIT_TEST(an_alert_is_printed)
{
    static const char want[] =
        "drainwatch alert: H12 request timeouts: 6 matches in 5 minutes (more than 3) · "
        "raxx-console-prod · id 0123456789abcdef\n"
        "drainwatch alert: at 2026-05-07 08:06:12 UTC, matches from 2026-05-07 08:04:42 UTC to "
        "2026-05-07 08:06:11 UTC\n"
        "drainwatch alert: 2 more matches were suppressed since the last alert\n"
        "drainwatch alert: runbook docs/ops/runbooks/console-status-poller.md — Failure mode H\n"
        "drainwatch alert: sample heroku[router]: " LINE "\n";
    struct wire_alert a = an_alert();
    struct http_request out;

    a.suppressed = 2;
    print(&a, &out);
    assert_string_equal(buf_text(&out.body), want);
    http_request_close(&out);
}

UNIT_TEST(group_and_severity_are_printed)
{
    static const char *const who[] = {"here", "U012AB"};
    static const char want[] =
        "drainwatch alert: [error] H12 request timeouts (process web.3, path /a<b, no user): at "
        "least 6 matches in 5 minutes (more than 3) · raxx-console-prod · id 0123456789abcdef\n"
        "drainwatch alert: at 2026-05-07 08:06:12 UTC, matches from 2026-05-07 08:04:42 UTC to "
        "2026-05-07 08:06:11 UTC\n"
        "drainwatch alert: process web.3\n"
        "drainwatch alert: path /a<b\n"
        "drainwatch alert: user (none)\n"
        "drainwatch alert: sample heroku[router]: " LINE "\n";
    struct wire_alert a = an_alert();
    struct http_request out;

    a.runbook = "";
    a.severity = "error";
    a.at_least = true;
    a.group = GROUP;
    a.n_group = 3;
    a.mentions = who; /* printing notifies nobody */
    a.n_mentions = 2;
    print(&a, &out);
    assert_string_equal(buf_text(&out.body), want);
    http_request_close(&out);
}

UNIT_TEST(every_line_begins_with_our_name)
{
    struct wire_group group[20];
    struct wire_alert a = an_alert();
    struct http_request out;
    struct buf evil;
    char *line, *rest = NULL;

    buf_init(&evil, 1 << 20);
    for (int i = 0; i < 2000; i++)
        assert_int_equal(buf_puts(&evil, "\nheroku <router> drain_token=0123456789abcdef0123 \xff"),
                         0);
    a.title = a.rule = a.app = a.runbook = a.source = a.process = buf_text(&evil);
    for (int i = 0; i < 20; i++)
        group[i] = (struct wire_group){buf_text(&evil), buf_text(&evil)};
    a.severity = buf_text(&evil);
    a.group = group;
    a.n_group = 20;
    a.sample = bytes(buf_text(&evil));
    print(&a, &out);
    assert_silent(&out.body, "0123456789abcdef0123");
    assert_says(&out.body, "\\x0aheroku <router> drain_token=…"); /* in names */
    assert_says(&out.body, " ⏎ heroku <router> drain_token=…");   /* in the sample */
    assert_int_equal(out.body.data[out.body.len - 1], '\n');
    for (line = strtok_r((char *)out.body.data, "\n", &rest); line;
         line = strtok_r(NULL, "\n", &rest))
        assert_int_equal(strncmp(line, "drainwatch alert: ", 18), 0);
    http_request_close(&out);
    buf_close(&evil);
}

UNIT_TEST(a_stack_trace_stays_one_line)
{
    struct wire_alert a = an_alert();
    struct http_request out;

    a.sample = bytes("\x1b[31mjava.lang.Error\x1b[0m\r\n\tat a.B(C.java:1)\n\x1b]0;x\n");
    print(&a, &out);
    assert_says(&out.body,
                "sample heroku[router]: java.lang.Error ⏎  at a.B(C.java:1) ⏎ \\x1b]0;x\n");
    http_request_close(&out);
}

UNIT_TEST(a_printed_alert_is_delivered)
{
    struct destination_verdict v;

    destination_stdout.judge(&(struct destination_try){"C1", 1, ""},
                             &(struct http_reply){.error = ""}, &v);
    assert_int_equal(v.outcome, DESTINATION_DELIVERED);
    assert_int_equal(strncmp(v.reason, "printed", 7), 0);
    assert_string_equal(v.remedy, "");
}

UNIT_TEST(an_alert_that_cannot_be_printed_is_retried)
{
    struct destination_verdict v;

    destination_stdout.judge(&(struct destination_try){"C1", 1, ""},
                             &(struct http_reply){.error = "No space left on device"}, &v);
    assert_int_equal(v.outcome, DESTINATION_RETRY);
    assert_string_equal(v.reason, "it cannot be printed: No space left on device");
    assert_string_not_equal(v.remedy, "");
}

UNIT_TEST(a_digest_is_printed)
{
    static const char want[] =
        "drainwatch alert: server-errors: 1,995 more groups in 1 minute, 1,300,000 matches (each "
        "more than 10 in 1 minute) · several apps · id 0123456789abcdef\n"
        "drainwatch alert: at 2026-05-07 08:06:12 UTC, matches from 2026-05-07 08:04:42 UTC to "
        "2026-05-07 08:06:11 UTC\n"
        "drainwatch alert: raxx-console-prod, path /a<b: 1,234,567 matches\n"
        "drainwatch alert: raxx-console-prod, no path: 1 match\n"
        "drainwatch alert: runbook docs/ops/runbooks/console-status-poller.md — Failure mode H\n";
    struct wire_alert a = a_digest();
    struct http_request out;

    a.app = "";
    print(&a, &out);
    assert_string_equal(buf_text(&out.body), want);
    http_request_close(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_alert_is_printed),
        cmocka_unit_test(a_digest_is_printed),
        cmocka_unit_test(group_and_severity_are_printed),
        cmocka_unit_test(every_line_begins_with_our_name),
        cmocka_unit_test(a_stack_trace_stays_one_line),
        cmocka_unit_test(a_printed_alert_is_delivered),
        cmocka_unit_test(an_alert_that_cannot_be_printed_is_retried),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
