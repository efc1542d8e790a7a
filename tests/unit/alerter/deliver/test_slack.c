/* Requests to Slack and the verdicts on its replies. */
#include "tests/unit/unit.h"

#include "alerter/deliver/destination.h"
#include "common/base/text.h"
#include "common/base/time.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static struct destination_verdict judge_try(struct destination_try attempt, struct http_reply reply)
{
    struct destination_verdict v;

    destination_slack.judge(&attempt, &reply, &v);
    assert_in_range(strlen(v.reason), 1, DESTINATION_REASON_SIZE - 1);
    assert_non_null(v.remedy);
    return v;
}

static struct destination_verdict judge(long status, const char *body)
{
    return judge_try(
        (struct destination_try){"C1", 1, ""},
        (struct http_reply){.error = "", .status = status, .body = body, .body_len = strlen(body)});
}

/* The verdict on one of Slack's errors. */
static struct destination_verdict judge_error(struct destination_try attempt, const char *error)
{
    char body[128];

    snprintf(body, sizeof body, "{\"ok\":false,\"error\":\"%s\"}", error);
    return judge_try(
        attempt,
        (struct http_reply){.error = "", .status = 200, .body = body, .body_len = strlen(body)});
}

UNIT_TEST(only_a_whole_ok_is_delivered)
{
    static const char *const not_ok[] = {
        "",
        "{",
        "{}",
        "[]",
        "null",
        "{\"ok\":tr",
        "ok",
        "true",
        "{\"ok\":1}",
        "{\"ok\":\"true\"}",
        "{\"ok\":null}",
        "{\"ok\":true",
        "[{\"ok\":true}]",
        "{\"ok\":true}}",
        "<html>ok</html>",
        "{\"a\":{\"ok\":true}}",
        "{\"ok\":false}",
        "{\"ok\":false,\"error\":7}",
        "{\"ok\":false,\"error\":\"\"}",
    };

    assert_int_equal(judge(200, "{\"ok\":true}").outcome, DESTINATION_DELIVERED);
    assert_int_equal(judge(200, " {\"channel\":\"C\",\"ts\":\"1.2\", \"ok\" : true } ").outcome,
                     DESTINATION_DELIVERED);
    assert_string_equal(judge(200, "{\"ok\":true}").reason, "ok");
    for (size_t i = 0; i < sizeof not_ok / sizeof not_ok[0]; i++) {
        if (judge(200, not_ok[i]).outcome != DESTINATION_RETRY)
            fail_msg("%s", not_ok[i]);
    }
}

UNIT_TEST(errors_that_pass_are_retried)
{
    static const char *const names[] = {"ratelimited", "rate_limited",        "internal_error",
                                        "fatal_error", "service_unavailable", "request_timeout"};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct destination_verdict v = judge_error((struct destination_try){"C1", 1, ""}, names[i]);

        assert_int_equal(v.outcome, DESTINATION_RETRY);
        assert_string_equal(v.reason, names[i]);
        assert_string_equal(v.remedy, "");
    }
}

UNIT_TEST(errors_that_stay_are_refused)
{
    static const char *const names[] = {"invalid_auth",      "not_authed",     "account_inactive",
                                        "token_revoked",     "token_expired",  "missing_scope",
                                        "channel_not_found", "not_in_channel", "is_archived",
                                        "user_not_found",    "no_text"};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char body[128];
        struct destination_verdict v;

        snprintf(body, sizeof body, "{\"ok\":false,\"error\":\"%s\"}", names[i]);
        v = judge(200, body);
        assert_int_equal(v.outcome, DESTINATION_REFUSED);
        assert_string_equal(v.reason, names[i]);
        assert_true(strlen(v.remedy) > 10);
        v = judge(403, body);
        assert_int_equal(v.outcome, DESTINATION_REFUSED);
        assert_string_equal(v.reason, names[i]);
    }
}

UNIT_TEST(an_unknown_error_gets_some_tries)
{
    struct destination_try attempt = {"C1", 1, "new_kind"};
    struct destination_verdict v;

    for (; attempt.n < DESTINATION_UNKNOWN_TRIES; attempt.n++) {
        v = judge_error(attempt, "new\\u0007_kind");
        assert_int_equal(v.outcome, DESTINATION_RETRY);
        assert_string_equal(v.reason, "new\\x07_kind");
    }
    v = judge_error(attempt, "new_kind");
    assert_int_equal(v.outcome, DESTINATION_REFUSED);
    assert_true(strlen(v.remedy) > 10);
}

UNIT_TEST(refused_blocks_are_sent_once_more_as_plain_text)
{
    static const char *const names[] = {"invalid_blocks", "invalid_blocks_format", "msg_too_long",
                                        "msg_blocks_too_long", "invalid_arguments"};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct destination_verdict v = judge_error((struct destination_try){"C1", 1, ""}, names[i]);

        assert_int_equal(v.outcome, DESTINATION_RETRY);
        assert_string_equal(v.reason, names[i]);
        assert_non_null(strstr(v.remedy, "plain text"));
        v = judge_error((struct destination_try){"C1", 2, "HTTP 503"}, names[i]);
        assert_int_equal(v.outcome, DESTINATION_RETRY);
        v = judge_error((struct destination_try){"C1", 2, "invalid_blocks"}, names[i]);
        assert_int_equal(v.outcome, DESTINATION_REFUSED);
        /* Parked and given a new chance: the last answer is from before. */
        v = judge_error((struct destination_try){"C1", 1, "invalid_blocks"}, names[i]);
        assert_int_equal(v.outcome, DESTINATION_RETRY);
    }
}

static bool asks_for_blocks(struct destination_try attempt)
{
    const struct settings settings = {.slack_token = "xoxb-1", .slack_api_url = "http://s/api"};
    const struct wire_alert alert = {.id = "1",
                                     .rule = "r",
                                     .app = "a",
                                     .title = "",
                                     .runbook = "",
                                     .source = "",
                                     .process = ""};
    struct http_request request;
    bool blocks;

    http_request_init(&request);
    assert_int_equal(destination_slack.request(&settings, &alert, &attempt, &request), 0);
    assert_string_equal(request.method, "POST");
    assert_string_equal(buf_text(&request.url), "http://s/api/chat.postMessage");
    assert_non_null(strstr(buf_text(&request.headers), "\nAuthorization: Bearer xoxb-1\n"));
    assert_string_equal(request.secret, "xoxb-1");
    blocks = strstr(buf_text(&request.body), "\"blocks\":") != NULL;
    http_request_close(&request);
    return blocks;
}

UNIT_TEST(the_request_follows_the_last_answer)
{
    assert_true(asks_for_blocks((struct destination_try){"C1", 1, ""}));
    assert_true(asks_for_blocks((struct destination_try){"C1", 2, "HTTP 503"}));
    assert_false(asks_for_blocks((struct destination_try){"C1", 2, "invalid_blocks"}));
    assert_true(asks_for_blocks((struct destination_try){"C1", 1, "invalid_blocks"}));
}

UNIT_TEST(the_remedy_for_a_channel_fits_its_kind)
{
    static const char *const cases[][3] = {
        {"C0123456789", "channel_not_found", "invite the bot"},
        {"#general", "channel_not_found", "give the channel's id"},
        {"C0123456789", "not_in_channel", "/invite"},
        {"D0AJ7K184TV", "channel_not_found", "cannot be invited to a direct message"},
        {"D0AJ7K184TV", "not_in_channel", "cannot be invited to a direct message"},
        {"U0123456789", "channel_not_found", "id of a user"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct destination_verdict v =
            judge_error((struct destination_try){cases[i][0], 1, ""}, cases[i][1]);

        assert_int_equal(v.outcome, DESTINATION_REFUSED);
        if (strstr(v.remedy, cases[i][2]) == NULL)
            fail_msg("%s for %s: %s", cases[i][1], cases[i][0], v.remedy);
    }
}

UNIT_TEST(a_status_decides)
{
    static const struct {
        long status;
        enum destination_outcome outcome;
    } cases[] = {
        {100, DESTINATION_RETRY},   {204, DESTINATION_RETRY},   {301, DESTINATION_RETRY},
        {302, DESTINATION_RETRY},   {400, DESTINATION_REFUSED}, {401, DESTINATION_REFUSED},
        {403, DESTINATION_REFUSED}, {404, DESTINATION_REFUSED}, {408, DESTINATION_RETRY},
        {413, DESTINATION_REFUSED}, {429, DESTINATION_RETRY},   {500, DESTINATION_RETRY},
        {502, DESTINATION_RETRY},   {503, DESTINATION_RETRY},   {504, DESTINATION_RETRY},
        {599, DESTINATION_RETRY},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (judge(cases[i].status, "<html>").outcome != cases[i].outcome)
            fail_msg("%ld", cases[i].status);
    }
    assert_string_equal(judge(503, "<html>").reason, "HTTP 503");
    assert_int_equal(judge(503, "{\"ok\":true}").outcome, DESTINATION_RETRY);
    assert_int_equal(judge(500, "{\"ok\":false,\"error\":\"invalid_auth\"}").outcome,
                     DESTINATION_RETRY);
    assert_int_equal(judge(400, "{\"ok\":false,\"error\":\"fatal_error\"}").outcome,
                     DESTINATION_RETRY);
    assert_non_null(strstr(judge(404, "").remedy, "SLACK_API_URL"));
    assert_non_null(strstr(judge(302, "").remedy, "SLACK_API_URL"));
}

static struct destination_verdict judge_wait(long status, int64_t retry_after_s)
{
    return judge_try(
        (struct destination_try){"C1", 1, ""},
        (struct http_reply){
            .error = "", .status = status, .retry_after_s = retry_after_s, .body = ""});
}

UNIT_TEST(retry_after_is_passed_on)
{
    assert_int_equal(judge_wait(429, 30).retry_after_us, 30 * TIME_S);
    assert_int_equal(judge_wait(503, 30).retry_after_us, 30 * TIME_S);
    assert_true(judge_wait(503, INT64_MAX).retry_after_us >= TIME_HOUR); /* retry.h clamps it */
    assert_int_equal(judge_wait(503, -5).retry_after_us, 0);
    assert_string_equal(judge_wait(503, -5).reason, "HTTP 503");
}

UNIT_TEST(a_lost_reply_is_retried)
{
    char error[2 * DESTINATION_REASON_SIZE] = "Connection\r\nreset";
    const struct destination_try attempt = {"C1", 1, ""};
    const struct http_reply reply = {
        .error = error, .status = 200, .body = "{\"ok\":true}", .body_len = 11};
    struct destination_verdict v = judge_try(attempt, reply);

    assert_int_equal(v.outcome, DESTINATION_RETRY);
    assert_string_equal(v.reason, "no answer: Connection\\x0d\\x0areset");
    for (size_t i = 0; i + 3 < sizeof error; i += 3)
        memcpy(error + i, "€", 4);
    v = judge_try(attempt, reply);
    assert_true(strlen(v.reason) > DESTINATION_REASON_SIZE - 5);
    assert_true(text_is_utf8(v.reason, strlen(v.reason)));
}

UNIT_TEST(the_first_destination_that_is_set_up_is_used)
{
    assert_ptr_equal(destination_of(&(struct settings){.slack_token = "xoxb-1"}),
                     &destination_slack);
    assert_ptr_equal(destination_of(&(struct settings){.slack_token = NULL}), &destination_stdout);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_a_whole_ok_is_delivered),
        cmocka_unit_test(errors_that_pass_are_retried),
        cmocka_unit_test(errors_that_stay_are_refused),
        cmocka_unit_test(an_unknown_error_gets_some_tries),
        cmocka_unit_test(refused_blocks_are_sent_once_more_as_plain_text),
        cmocka_unit_test(the_request_follows_the_last_answer),
        cmocka_unit_test(the_remedy_for_a_channel_fits_its_kind),
        cmocka_unit_test(a_status_decides),
        cmocka_unit_test(retry_after_is_passed_on),
        cmocka_unit_test(a_lost_reply_is_retried),
        cmocka_unit_test(the_first_destination_that_is_set_up_is_used),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
