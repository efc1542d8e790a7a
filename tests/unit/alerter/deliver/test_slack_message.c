/* Slack messages: their contents, limits and escaping. */
#include "tests/unit/alerter/deliver/an_alert.h"

#include "alerter/deliver/slack_message.h"
#include "common/base/err.h"
#include "common/base/text.h"
#include "tests/unit/sparing.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MESSAGE_MAX = 64 << 10 }; /* no message is larger */

static json_t *render_form(const struct wire_alert *a, enum slack_message_form form)
{
    struct buf out;
    json_t *root;

    buf_init(&out, MESSAGE_MAX);
    assert_int_equal(slack_message_write(a, a->channel, form, &out), 0);
    assert_int_equal(strlen(buf_text(&out)), out.len);
    root = json_loadb((const char *)out.data, out.len, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(root);
    buf_close(&out);
    return root;
}

static json_t *render(const struct wire_alert *a)
{
    return render_form(a, SLACK_MESSAGE_BLOCKS);
}

static const char *string_at(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    assert_non_null(text);
    return text;
}

/* Every text of the message, one a line, for a search. Each is sparing_held to be one that Slack
 * takes. */
static void collect(const json_t *node, struct buf *all)
{
    const char *key;
    json_t *value;
    size_t i;

    if (json_is_string(node)) {
        assert_int_equal(buf_puts(all, json_string_value(node)), 0);
        assert_int_equal(buf_puts(all, "\n"), 0);
    }
    json_array_foreach(node, i, value) collect(value, all);
    json_object_foreach((json_t *)(uintptr_t)node, key, value) collect(value, all);
}

static struct buf texts_of(const struct wire_alert *a)
{
    struct buf all;
    json_t *root = render(a);

    buf_init(&all, 1 << 20);
    collect(root, &all);
    json_decref(root);
    assert_true(text_is_utf8((const char *)all.data, all.len));
    return all;
}

/* Slack counts characters; that none of ours passes the limit in bytes covers every way to count.
 */
static void check_text(const json_t *object, const char *type, size_t max)
{
    size_t len = json_string_length(json_object_get(object, "text"));

    if (type != NULL) /* or either */
        assert_string_equal(string_at(object, "type"), type);
    assert_in_range(len, 1, max);
}

static void check_block(const json_t *block)
{
    const char *type = string_at(block, "type");
    json_t *value;
    size_t i;

    if (strcmp(type, "header") == 0) {
        check_text(json_object_get(block, "text"), "plain_text", 150);
    } else if (strcmp(type, "context") == 0) {
        assert_in_range(json_array_size(json_object_get(block, "elements")), 1, 10);
        json_array_foreach(json_object_get(block, "elements"), i, value)
            check_text(value, "mrkdwn", 3000);
    } else if (json_object_get(block, "fields") != NULL) {
        assert_string_equal(type, "section");
        assert_in_range(json_array_size(json_object_get(block, "fields")), 1, 10);
        json_array_foreach(json_object_get(block, "fields"), i, value)
            check_text(value, NULL, 2000);
    } else {
        assert_string_equal(type, "section");
        check_text(json_object_get(block, "text"), NULL, 3000);
    }
}

/* Slack's limits hold for `a`, whatever is in it. */
static void check_limits(const struct wire_alert *a)
{
    json_t *root = render(a), *blocks = json_object_get(root, "blocks"), *block;
    size_t i;

    assert_in_range(json_string_length(json_object_get(root, "text")), 1, 4000);
    assert_in_range(json_array_size(blocks), 3, 50);
    json_array_foreach(blocks, i, block) check_block(block);
    json_decref(root);
}

/* --- the message --- */

UNIT_TEST(test_the_whole_message)
{
    static const char want[] =
        "{\"channel\":\"D0AJ7K184TV\","
        "\"text\":\"🔴 raxx-console-prod: H12 request timeouts, 6 in 5 minutes (limit 3)\","
        "\"blocks\":[{\"type\":\"header\",\"text\":{\"type\":\"plain_text\","
        "\"text\":\"🔴 H12 request timeouts\",\"emoji\":false}},"
        "{\"type\":\"section\",\"text\":{\"type\":\"mrkdwn\",\"text\":\"*6 matches in 5 minutes* "
        "(more than 3) in *raxx-console-prod*\\n2 more matches were suppressed since the last "
        "alert\",\"verbatim\":true}},"
        "{\"type\":\"section\",\"fields\":[{\"type\":\"mrkdwn\",\"text\":\"*Time*\\n2026-05-07 "
        "08:06:12 UTC\\n<!date^1778141172^{date_short_pretty} {time_secs}|2026-05-07 08:06:12 "
        "UTC>\",\"verbatim\":true},{\"type\":\"mrkdwn\",\"text\":\"*Matches "
        "from*\\n2026-05-07 08:04:42 UTC to\\n2026-05-07 08:06:11 UTC\",\"verbatim\":true},"
        "{\"type\":\"mrkdwn\",\"text\":\"*Source*\\nheroku[router]\",\"verbatim\":true}]},"
        "{\"type\":\"section\",\"text\":{\"type\":\"mrkdwn\",\"text\":\"*Runbook* "
        "docs/ops/runbooks/console-status-poller.md — Failure mode H\",\"verbatim\":true}},"
        "{\"type\":\"section\",\"text\":{\"type\":\"mrkdwn\",\"text\":\"```\\nat=error code=H12 "
        "desc=\\\"Request timeout\\\" path=\\\"/slow\\\"\\n```\",\"verbatim\":true}},"
        "{\"type\":\"context\",\"elements\":[{\"type\":\"mrkdwn\",\"text\":\"id 0123456789abcdef · "
        "rule h12-request-timeout\",\"verbatim\":true}]}],"
        "\"unfurl_links\":false,\"unfurl_media\":false}";
    struct wire_alert a = an_alert();
    struct buf out;

    a.suppressed = 2;
    buf_init(&out, MESSAGE_MAX);
    assert_int_equal(slack_message_write(&a, a.channel, SLACK_MESSAGE_BLOCKS, &out), 0);
    assert_string_equal(buf_text(&out), want);
    buf_close(&out);
    check_limits(&a);
}

UNIT_TEST(test_the_whole_digest)
{
    static const char want[] =
        "{\"channel\":\"D0AJ7K184TV\","
        "\"text\":\"🔴 raxx-console-prod: server-errors, 1,995 more groups in 1 minute · <!here>\","
        "\"blocks\":[{\"type\":\"header\",\"text\":{\"type\":\"plain_text\","
        "\"text\":\"🔴 server-errors\",\"emoji\":false}},"
        "{\"type\":\"section\",\"text\":{\"type\":\"mrkdwn\",\"text\":\"*1,995 more groups in 1 "
        "minute*, 1,300,000 matches (each more than 10 in 1 minute) in "
        "*raxx-console-prod*\",\"verbatim\":true}},"
        "{\"type\":\"section\",\"text\":{\"type\":\"mrkdwn\",\"text\":\"<!here>\",\"verbatim\":"
        "true}"
        "},"
        "{\"type\":\"section\",\"fields\":[{\"type\":\"mrkdwn\",\"text\":\"*Time*\\n2026-05-07 "
        "08:06:12 UTC\\n<!date^1778141172^{date_short_pretty} {time_secs}|2026-05-07 08:06:12 "
        "UTC>\",\"verbatim\":true},{\"type\":\"mrkdwn\",\"text\":\"*Matches "
        "from*\\n2026-05-07 08:04:42 UTC to\\n2026-05-07 08:06:11 UTC\",\"verbatim\":true}]},"
        "{\"type\":\"section\",\"text\":{\"type\":\"plain_text\",\"text\":\"Most matches\\n• path "
        "/a&lt;b: 1,234,567 matches\\n• no path: 1 match\",\"emoji\":false}},"
        "{\"type\":\"section\",\"text\":{\"type\":\"mrkdwn\",\"text\":\"*Runbook* "
        "docs/ops/runbooks/console-status-poller.md — Failure mode H\",\"verbatim\":true}},"
        "{\"type\":\"context\",\"elements\":[{\"type\":\"mrkdwn\",\"text\":\"id 0123456789abcdef · "
        "rule server-errors\",\"verbatim\":true}]}],"
        "\"unfurl_links\":false,\"unfurl_media\":false}";
    static const char *const who[] = {"here"};
    struct wire_alert a = a_digest();
    struct buf out;

    a.mentions = who;
    a.n_mentions = 1;
    buf_init(&out, MESSAGE_MAX);
    assert_int_equal(slack_message_write(&a, a.channel, SLACK_MESSAGE_BLOCKS, &out), 0);
    assert_string_equal(buf_text(&out), want);
    buf_close(&out);
    check_limits(&a);
}

UNIT_TEST(test_one_and_many)
{
    struct wire_alert a = an_alert();
    struct buf all;

    a.count = a.suppressed = 1;
    a.window_us = TIME_HOUR + 30 * TIME_MINUTE;
    a.threshold = 0;
    all = texts_of(&a);
    assert_says(&all, "*1 match in 1 hour 30 minutes* (more than 0)");
    assert_says(&all, "1 more match was suppressed since the last alert");
    buf_close(&all);
    a.suppressed = 0;
    a.count = UINT64_MAX;
    all = texts_of(&a);
    assert_says(&all, "18446744073709551615 matches");
    assert_silent(&all, "suppressed");
    buf_close(&all);
}

UNIT_TEST(test_counts_that_are_not_exact_say_so)
{
    struct wire_alert a = an_alert();
    struct buf all;

    a.at_least = true;
    all = texts_of(&a);
    assert_says(&all, "*at least 6 matches in 5 minutes*");
    buf_close(&all);
    a.about = true; /* that lines are missing is what matters */
    all = texts_of(&a);
    assert_says(&all, "*at least 6 matches in 5 minutes*");
    assert_silent(&all, "about");
    buf_close(&all);
    a.at_least = false;
    all = texts_of(&a);
    assert_says(&all, "*about 6 matches in 5 minutes* (more than 3)");
    buf_close(&all);
}

UNIT_TEST(test_what_is_not_there_leaves_no_hole)
{
    struct wire_alert a = an_alert();
    struct buf all;

    a.title = a.runbook = a.source = a.process = "";
    a.sample = (struct wire_bytes){NULL, 0};
    a.window_us = -1;
    check_limits(&a);
    all = texts_of(&a);
    assert_says(
        &all,
        "raxx-console-prod: h12-request-timeout, 6 in"); /* the name stands in for the title */
    assert_silent(&all, "Runbook");
    assert_silent(&all, "Source");
    assert_silent(&all, "```");
    buf_close(&all);
}

static const char *header_of(const json_t *root)
{
    const json_t *block = json_array_get(json_object_get(root, "blocks"), 0);

    return string_at(json_object_get(block, "text"), "text");
}

static void assert_header_is(const struct wire_alert *a, const char *want)
{
    json_t *root = render(a);

    assert_string_equal(header_of(root), want);
    json_decref(root);
}

UNIT_TEST(test_the_group_leads_and_has_its_fields)
{
    struct wire_alert a = an_alert();
    struct buf all;

    a.group = GROUP;
    a.n_group = 3;
    check_limits(&a);
    assert_header_is(&a, "🔴 H12 request timeouts (process web.3, path /a&lt;b, no user)");
    all = texts_of(&a);
    assert_says(&all,
                ": H12 request timeouts (process web.3, path /a&lt;b, no user), 6 in 5 minutes");
    assert_says(&all, "process\nweb.3\n");
    assert_says(&all, "path\n/a&lt;b\n");
    assert_says(&all, "user\n(none)\n");
    buf_close(&all);
}

UNIT_TEST(test_more_groups_than_fields)
{
    struct wire_group group[20];
    struct wire_alert a = an_alert();
    struct buf all;

    for (int i = 0; i < 20; i++)
        group[i] = (struct wire_group){"host", i == 0 ? "a<b" : "x"};
    a.group = group;
    a.n_group = 20;
    check_limits(&a);
    all = texts_of(&a);
    assert_says(&all, "host\na&lt;b");
    buf_close(&all);
}

/* As long as ingest makes them, and escaped to five times that. */
UNIT_TEST(test_four_long_groups_are_whole_in_their_fields)
{
    char value[129], field[720];
    struct wire_group group[WIRE_GROUP_MAX];
    struct wire_alert a = an_alert();
    json_t *root, *fields;

    memset(value, '&', 128);
    value[128] = '\0';
    strcpy(field, "key\n");
    for (int i = 0; i < 128; i++)
        strcat(field, "&amp;");
    for (int i = 0; i < WIRE_GROUP_MAX; i++)
        group[i] = (struct wire_group){"key", value};
    a.group = group;
    a.n_group = WIRE_GROUP_MAX;
    check_limits(&a);
    root = render(&a);
    fields = json_object_get(json_array_get(json_object_get(root, "blocks"), 2), "fields");
    assert_int_equal(json_array_size(fields), 3 + WIRE_GROUP_MAX);
    for (size_t i = 3; i < json_array_size(fields); i++)
        assert_string_equal(string_at(json_array_get(fields, i), "text"), field);
    json_decref(root);
}

UNIT_TEST(test_severity)
{
    static const char *const cases[][2] = {
        {"info", "🔵 [info] H12 request timeouts"},
        {"warning", "🟡 [warning] H12 request timeouts"},
        {"error", "🟠 [error] H12 request timeouts"},
        {"critical", "🔴 [critical] H12 request timeouts"},
        {"", "🔴 H12 request timeouts"},
        {"a newer <one>", "🔴 [a newer &lt;o…] H12 request timeouts"},
    };
    struct wire_alert a = an_alert();
    struct buf all;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        a.severity = cases[i][0];
        check_limits(&a);
        assert_header_is(&a, cases[i][1]);
    }
    a.severity = "critical";
    a.group = GROUP;
    a.n_group = 1;
    assert_header_is(&a, "🔴 [critical] H12 request timeouts (process web.3)");
    all = texts_of(&a);
    assert_says(&all,
                "\n🔴 raxx-console-prod: H12 request timeouts (process web.3), 6 in 5 minutes");
    buf_close(&all);
}

/* Where a mention stands decides whether it notifies. */
UNIT_TEST(test_mentions)
{
    static const char *const who[] = {"here", "channel", "everyone", "U012AB", "W012AB", "S012AB"};
    static const char want[] = "<!here> <!channel> <!everyone> <@U012AB> <@W012AB> "
                               "<!subteam^S012AB>";
    struct wire_alert a = an_alert();
    json_t *root, *section;
    const char *text;

    a.mentions = who;
    a.n_mentions = 6;
    check_limits(&a);
    root = render(&a);
    section = json_array_get(json_object_get(root, "blocks"), 2);
    assert_string_equal(string_at(section, "type"), "section");
    section = json_object_get(section, "text");
    assert_string_equal(string_at(section, "type"), "mrkdwn");
    assert_string_equal(string_at(section, "text"), want);
    text = string_at(root, "text");
    assert_string_equal(text + strlen(text) - strlen(want), want);
    assert_non_null(strstr(text, "(limit 3) · <!here>"));
    json_decref(root);
}

UNIT_TEST(test_as_many_mentions_as_there_may_be)
{
    char ids[WIRE_MENTIONS_MAX][33];
    const char *who[WIRE_MENTIONS_MAX];
    struct wire_alert a = an_alert();
    struct buf all;

    for (int i = 0; i < WIRE_MENTIONS_MAX; i++) {
        snprintf(ids[i], sizeof ids[i], "S%031d", i);
        who[i] = ids[i];
    }
    a.mentions = who;
    a.n_mentions = WIRE_MENTIONS_MAX;
    check_limits(&a);
    all = texts_of(&a);
    assert_says(&all, "<!subteam^S0000000000000000000000000000031>\n");
    buf_close(&all);
}

/* No rules file holds them, but a newer build may have stored them. */
UNIT_TEST(test_what_cannot_be_mentioned_is_left_out)
{
    static const char *const bad[] = {
        "",      "Here",       "here ", "all",      "<!here>",
        "U1>",   "U1|x",       "u12",   "@U12",     "B12",
        "C0123", "U1 <!here>", "none",  "S1\nhere", "U01234567890123456789012345678901"};
    static const char *const mixed[] = {"all", "U7", ""};
    const size_t n = sizeof bad / sizeof bad[0];
    struct wire_alert plain = an_alert(), a = an_alert();
    struct buf all, before;

    a.mentions = bad;
    a.n_mentions = n - 1;
    before = texts_of(&plain);
    all = texts_of(&a);
    assert_string_equal(buf_text(&all), buf_text(&before));
    buf_close(&all);
    a.mentions = bad + n - 1; /* 33 characters */
    a.n_mentions = 1;
    all = texts_of(&a);
    assert_string_equal(buf_text(&all), buf_text(&before));
    buf_close(&all);
    buf_close(&before);
    a.mentions = mixed;
    a.n_mentions = 3;
    all = texts_of(&a);
    assert_says(&all, " · <@U7>\n");
    assert_says(&all, "\n<@U7>\n");
    buf_close(&all);
}

UNIT_TEST(test_a_runbook_on_the_web_is_a_link)
{
    static const char *const books[][2] = {
        {"https://wiki.example/x?a=1&b=2 — page 3",
         "<https://wiki.example/x?a=1&amp;b=2> — page 3"},
        {"http://wiki.example/", "*Runbook* <http://wiki.example/>"},
        {"https://wiki.example/|x> <!here>", "https://wiki.example/|x&gt; &lt;!here&gt;"},
        {"docs/https://x", "*Runbook* docs/https://x"},
    };
    struct wire_alert a = an_alert();

    for (size_t i = 0; i < sizeof books / sizeof books[0]; i++) {
        struct buf all;

        a.runbook = books[i][0];
        all = texts_of(&a);
        assert_says(&all, books[i][1]);
        buf_close(&all);
    }
}

/* --- text from outside --- */

/* The reader's own time is the only markup that is always there. */
static void cut_out_date(struct buf *all)
{
    char *begin = strstr((char *)all->data, "<!date^"), *end;

    assert_non_null(begin);
    end = strchr(begin, '>') + 1;
    memmove(begin, end, strlen(end) + 1);
}

UNIT_TEST(test_nobody_is_mentioned)
{
    static const char evil[] =
        "<!channel> <@U123> <#C123> <https://evil.example|ok> & &lt;!here&gt;";
    struct wire_group group = {evil, evil};
    struct wire_alert a = an_alert();
    struct buf all;

    a.title = a.rule = a.app = a.runbook = a.source = a.process = a.severity = evil;
    a.group = &group;
    a.n_group = 1;
    a.sample = bytes(evil);
    all = texts_of(&a);
    cut_out_date(&all);
    assert_null(strpbrk(buf_text(&all), "<>"));
    assert_says(&all, "```\n&lt;!channel&gt; &lt;@U123&gt; &lt;#C123&gt;");
    assert_says(&all, "&amp; &amp;lt;!here&amp;gt;\n```");
    for (const char *c = strchr(buf_text(&all), '&'); c != NULL; c = strchr(c + 1, '&'))
        assert_true(strncmp(c, "&amp;", 5) == 0 || strncmp(c, "&lt;", 4) == 0 ||
                    strncmp(c, "&gt;", 4) == 0);
    buf_close(&all);
}

UNIT_TEST(test_a_sample_cannot_end_its_block)
{
    static const char *const samples[] = {"```", "a``` b", "````````", "`", "``", "x`````"};
    struct wire_alert a = an_alert();

    for (size_t i = 0; i < sizeof samples / sizeof samples[0]; i++) {
        struct buf all;
        char *open, *close;

        a.sample = bytes(samples[i]);
        all = texts_of(&a);
        open = strstr((char *)all.data, "```\n");
        assert_non_null(open);
        close = strstr(open + 4, "```");
        assert_non_null(close);
        assert_int_equal(close[-1], '\n');
        assert_null(strstr(close + 3, "```"));
        buf_close(&all);
    }
}

UNIT_TEST(test_bytes_that_are_no_text)
{
    struct wire_alert a = an_alert();
    struct buf all;

    a.title = "caf\xc3\xa9 \xff";
    a.app = "line\nbreak";
    a.channel = "D\x01";
    a.sample = (struct wire_bytes){(const uint8_t *)"a\0b\x1b[31m\xc3(", 10};
    check_limits(&a);
    all = texts_of(&a);
    assert_says(&all, "caf\xc3\xa9 \\xff");
    assert_says(&all, "line\\x0abreak");
    assert_says(&all, "D\\x01\n");
    assert_says(&all, "a\\x00b\\xc3(");
    buf_close(&all);
}

UNIT_TEST(test_drain_tokens_are_taken_out)
{
    struct wire_alert a = an_alert();
    struct buf all;

    a.sample = bytes("path=\"/x?drain_token=0123456789abcdef0123\" done");
    a.title = "t drain_token=0123456789abcdef0123";
    all = texts_of(&a);
    assert_silent(&all, "0123456789abcdef0123");
    assert_says(&all, "drain_token=…\" done");
    buf_close(&all);
}

/* Each kind of filling, at every length around each limit: in limits, and cut at a character. */
/* A digest of as many groups as it may name, with these values and of an app of this name. */
static void check_digest(const char *name, const struct wire_group group[WIRE_GROUP_MAX])
{
    struct wire_worst worst[WIRE_WORST_MAX];
    struct wire_alert a = a_digest();

    for (size_t i = 0; i < WIRE_WORST_MAX; i++)
        worst[i] = (struct wire_worst){name, group, WIRE_GROUP_MAX, UINT64_MAX};
    a.app = "";
    a.worst = worst;
    a.n_worst = WIRE_WORST_MAX;
    check_limits(&a);
}

UNIT_TEST(test_limits_hold_whatever_comes)
{
    static const char *const fillings[] = {
        "x", "&", "<", "`", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x94\xa5", "\xff", "\"", "\\"};
    static const size_t lengths[] = {1, 30, 49, 50, 51, 147, 148, 149, 150, 151, 999, 2900, 5000};

    for (size_t f = 0; f < sizeof fillings / sizeof fillings[0]; f++) {
        for (size_t l = 0; l < sizeof lengths / sizeof lengths[0]; l++) {
            struct wire_group group[WIRE_GROUP_MAX];
            struct wire_alert a = an_alert();
            struct buf text, all;

            buf_init(&text, 1 << 20);
            for (size_t i = 0; i < lengths[l]; i++)
                assert_int_equal(buf_puts(&text, fillings[f]), 0);
            a.title = a.rule = a.app = a.runbook = a.source = a.process = buf_text(&text);
            a.sample = bytes(buf_text(&text));
            check_limits(&a);
            for (size_t i = 0; i < WIRE_GROUP_MAX; i++)
                group[i] = (struct wire_group){buf_text(&text), buf_text(&text)};
            a.group = group;
            a.n_group = WIRE_GROUP_MAX;
            a.severity = buf_text(&text);
            check_limits(&a);
            check_digest(buf_text(&text), group);
            all = texts_of(&a);
            if (lengths[l] == 5000)
                assert_says(&all, "…");
            buf_close(&all);
            buf_close(&text);
        }
    }
}

UNIT_TEST(test_what_fits_exactly_is_not_cut)
{
    char title[152];
    struct wire_alert a = an_alert();
    json_t *root;
    const json_t *text;

    memset(title, 'x', sizeof title);
    title[145] = '\0'; /* the colour takes 5 bytes */
    a.title = title;
    root = render(&a);
    text = json_object_get(json_array_get(json_object_get(root, "blocks"), 0), "text");
    assert_string_equal(string_at(text, "text") + strlen("🔴 "), title);
    json_decref(root);
    title[145] = 'x';
    title[146] = '\0';
    root = render(&a);
    text = json_object_get(json_array_get(json_object_get(root, "blocks"), 0), "text");
    assert_int_equal(strlen(string_at(text, "text")), 150);
    assert_string_equal(string_at(text, "text") + 147, "…");
    json_decref(root);
}

UNIT_TEST(test_a_buffer_that_is_too_small)
{
    struct wire_alert a = an_alert();
    struct buf out;

    buf_init(&out, 500);
    assert_int_equal(buf_puts(&out, "before"), 0);
    assert_int_equal(slack_message_write(&a, a.channel, SLACK_MESSAGE_BLOCKS, &out), ERR_FULL);
    assert_string_equal(buf_text(&out), "before");
    buf_close(&out);
}

UNIT_TEST(test_without_memory_there_is_no_message_and_no_leak)
{
    static const char *const who[] = {"here"};
    struct wire_alert a = an_alert();
    int rc = ERR_NOMEM;
    struct buf out;
    size_t n;

    a.group = GROUP;
    a.n_group = 3;
    a.severity = "error";
    a.mentions = who;
    a.n_mentions = 1;
    buf_init(&out, MESSAGE_MAX);
    json_set_alloc_funcs(sparing_malloc, sparing_free);
    for (n = 0; rc != 0 && n < 1000; n++) {
        sparing_left = n;
        rc = slack_message_write(&a, a.channel, SLACK_MESSAGE_BLOCKS, &out);
        assert_true(rc == 0 || rc == ERR_NOMEM);
        assert_int_equal(sparing_held, 0);
        assert_true(rc == 0 || out.len == 0);
    }
    json_set_alloc_funcs(malloc, free);
    assert_in_range(n, 50, 999);
    buf_close(&out);
}

UNIT_TEST(test_a_stack_trace_is_readable)
{
    struct wire_alert a = an_alert();
    struct buf all;

    a.sample =
        bytes("\x1b[31mjava.lang.Error: no\x1b[0m\r\n\tat a.B(C.java:1)\n\tat ``` d\x01\n\n");
    check_limits(&a);
    all = texts_of(&a);
    assert_says(&all, "```\njava.lang.Error: no\n at a.B(C.java:1)\n at ``\u200b` d\\x01\n```");
    buf_close(&all);
}

/* Slack reads no markup, address or :name: in a preformatted block, so a visitor's text has no
 * place outside of the two, and cannot end them. */
UNIT_TEST(test_a_plain_message_shows_no_markup_of_a_visitor)
{
    static const char value[] = "``` *b* _i_ ~s~ `c` :tada: <!here> <https://e|x> https://evil";
    static const char sample[] = "`\n```\nid 0 · rule x\n<!here> *b*`";
    struct wire_group group = {"path", value};
    struct wire_alert a = an_alert();
    size_t n_fences = 0;
    const char *text;
    json_t *root;

    a.group = &group;
    a.n_group = 1;
    a.sample = (struct wire_bytes){(const uint8_t *)sample, strlen(sample)};
    root = render_form(&a, SLACK_MESSAGE_PLAIN);
    text = string_at(root, "text");
    assert_memory_equal(text, "```\n", 4);
    assert_null(strchr(text, '<'));
    for (const char *at = text; (at = strstr(at, "```")) != NULL; at += 3)
        n_fences++;
    assert_int_equal(n_fences, 4);
    assert_string_equal(strstr(text, "\n```\nid "),
                        "\n```\nid 0123456789abcdef · rule h12-request-timeout");
    json_decref(root);
}

UNIT_TEST(test_a_plain_message_holds_the_whole_alert)
{
    static const char *const who[] = {"here"};
    static const char want[] =
        "```\n"
        "🟡 raxx-console-prod: H12 request timeouts (process web.3, path /a&lt;b, no user), 6 in "
        "5 "
        "minutes (limit 3)\n"
        "at 2026-05-07 08:06:12 UTC, matches from 2026-05-07 08:04:42 UTC to 2026-05-07 08:06:11 "
        "UTC\n"
        "process web.3\npath /a&lt;b\nuser (none)\n"
        "2 more matches were suppressed since the last alert\n"
        "runbook docs/ops/runbooks/console-status-poller.md — Failure mode H\n"
        "heroku[router]\n```\n"
        "```\n" LINE "\n```\n"
        "id 0123456789abcdef · rule h12-request-timeout · <!here>";
    struct wire_alert a = an_alert();
    json_t *root;

    a.suppressed = 2;
    a.severity = "warning";
    a.group = GROUP;
    a.n_group = 3;
    a.mentions = who;
    a.n_mentions = 1;
    root = render_form(&a, SLACK_MESSAGE_PLAIN);
    assert_string_equal(string_at(root, "text"), want);
    assert_string_equal(string_at(root, "channel"), a.channel);
    assert_null(json_object_get(root, "blocks"));
    json_decref(root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_whole_message),
        cmocka_unit_test(test_the_whole_digest),
        cmocka_unit_test(test_one_and_many),
        cmocka_unit_test(test_counts_that_are_not_exact_say_so),
        cmocka_unit_test(test_what_is_not_there_leaves_no_hole),
        cmocka_unit_test(test_the_group_leads_and_has_its_fields),
        cmocka_unit_test(test_more_groups_than_fields),
        cmocka_unit_test(test_four_long_groups_are_whole_in_their_fields),
        cmocka_unit_test(test_severity),
        cmocka_unit_test(test_mentions),
        cmocka_unit_test(test_as_many_mentions_as_there_may_be),
        cmocka_unit_test(test_what_cannot_be_mentioned_is_left_out),
        cmocka_unit_test(test_a_runbook_on_the_web_is_a_link),
        cmocka_unit_test(test_nobody_is_mentioned),
        cmocka_unit_test(test_a_sample_cannot_end_its_block),
        cmocka_unit_test(test_bytes_that_are_no_text),
        cmocka_unit_test(test_drain_tokens_are_taken_out),
        cmocka_unit_test(test_limits_hold_whatever_comes),
        cmocka_unit_test(test_what_fits_exactly_is_not_cut),
        cmocka_unit_test(test_a_buffer_that_is_too_small),
        cmocka_unit_test(test_without_memory_there_is_no_message_and_no_leak),
        cmocka_unit_test(test_a_stack_trace_is_readable),
        cmocka_unit_test(test_a_plain_message_shows_no_markup_of_a_visitor),
        cmocka_unit_test(test_a_plain_message_holds_the_whole_alert),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
