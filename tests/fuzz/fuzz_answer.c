/* Any reply of Slack, or of a proxy on the way: only a whole 2xx reply with "ok": true delivers the
 * alert, and the reason and the remedy can be shown. */
#include "tests/fuzz/feed.h"

#include "alerter/deliver/destination.h"
#include "common/base/time.h"

#include <jansson.h>

static const char *const channels[] = {"C0123456789", "D0AJ7K184TV", "U0123456789", ""};

static bool says_ok(const struct http_reply *reply)
{
    json_t *root;
    bool ok;

    if (reply->error[0] != '\0' || reply->status < 200 || reply->status > 299)
        return false;
    root = json_loadb(reply->body, reply->body_len, 0, NULL);
    ok = json_is_true(json_object_get(root, "ok"));
    json_decref(root);
    return ok;
}

static void check(const struct destination_try *attempt, const struct http_reply *reply)
{
    struct destination_verdict v;

    destination_slack.judge(attempt, reply, &v);
    assert(memchr(v.reason, '\0', sizeof v.reason) != NULL && v.reason[0] != '\0');
    feed_check_line(v.reason);
    feed_check_line(v.remedy);
    assert((v.outcome == DESTINATION_DELIVERED) == says_ok(reply));
    assert(v.retry_after_us >= 0 && v.retry_after_us <= TIME_DAY);
    assert(v.outcome == DESTINATION_RETRY || v.retry_after_us == 0);
    assert(v.outcome != DESTINATION_REFUSED || v.remedy[0] != '\0');
    /* A server in trouble never parks an alert. */
    if (reply->error[0] != '\0' || reply->status >= 500 || reply->status == 429)
        assert(v.outcome == DESTINATION_RETRY);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct feed in = {data, size};
    unsigned form = feed_choice(&in, 4), channel = feed_choice(&in, 4);
    int tries = 1 + (int)feed_choice(&in, 12);
    long hundreds = (long)feed_choice(&in, 7), rest = (long)feed_choice(&in, 100);
    long status = form == 0 ? 200 : 100 * hundreds + rest;
    int64_t retry_after_s = (int64_t)feed_u64(&in);
    char *last = feed_text(&in), *error = feed_text(&in), *body;
    struct destination_try attempt = {channels[channel], tries, tries == 1 ? "" : last};
    struct http_reply reply = {form == 3 ? error : "", status, retry_after_s, NULL, in.n};

    body = feed_copy(in.data, in.n);
    reply.body = body;
    check(&attempt, &reply);
    free(body);
    free(error);
    free(last);
    return 0;
}
