/* An alert made of any texts, as Slack's message in both forms and as printed lines: it is valid
 * JSON within Slack's limits, it mentions nobody but the rule's recipients, it links nothing but
 * the runbook, and it holds no control byte. */
#include "tests/fuzz/feed.h"

#include "alerter/deliver/destination.h"
#include "alerter/deliver/slack_message.h"
#include "common/base/err.h"

#include <jansson.h>

enum { GROUP_MAX = 12, MENTIONS = 3, HEADER_MAX = 150, FIELD_MAX = 2000, SECTION_MAX = 3000 };

static struct wire_alert alert;

static bool begins(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

/* Whether "<" at `text` opens a mention of one of the rule's recipients. */
static bool is_mention(const char *text)
{
    static const char *const openings[] = {"<!", "<@", "<!subteam^"};

    for (size_t i = 0; i < alert.n_mentions; i++) {
        for (size_t k = 0; k < sizeof openings / sizeof openings[0]; k++) {
            size_t n = strlen(openings[k]), len = strlen(alert.mentions[i]);

            if (len > 0 && begins(text, openings[k]) && begins(text + n, alert.mentions[i]) &&
                text[n + len] == '>')
                return true;
        }
    }
    return false;
}

static bool is_link(const char *text)
{
    return begins(alert.runbook, "http") && begins(text, "<http") &&
           strcspn(text + 1, "<>|") == strcspn(text + 1, ">");
}

static void check_text(const char *text)
{
    assert(feed_is_shown(text, strlen(text)));
    for (const char *c = strpbrk(text, "<&"); c != NULL; c = strpbrk(c + 1, "<&")) {
        if (*c == '&')
            assert(begins(c, "&amp;") || begins(c, "&lt;") || begins(c, "&gt;"));
        else
            assert(begins(c, "<!date^") || is_mention(c) || is_link(c));
    }
}

/* At most two blocks of preformatted text, and no fence but theirs: each has a line to itself. */
static void check_fences(const char *text)
{
    size_t n = 0;

    for (const char *at = text; (at = strstr(at, "```")) != NULL; at += 3) {
        assert((at == text || at[-1] == '\n') && (at[3] == '\n' || at[3] == '\0'));
        n++;
    }
    assert(n % 2 == 0 && n <= 4);
}

static void check_value(const json_t *value, size_t max);

static size_t limit_of(const char *key, size_t max)
{
    if (strcmp(key, "fields") == 0)
        return FIELD_MAX;
    return strcmp(key, "blocks") == 0 ? SECTION_MAX : max;
}

static void check_object(const json_t *object, size_t max)
{
    const char *type = json_string_value(json_object_get(object, "type")), *key;
    json_t *value;

    if (type != NULL && strcmp(type, "header") == 0)
        max = HEADER_MAX;
    json_object_foreach((json_t *)(uintptr_t)object, key, value)
    {
        if (strcmp(key, "channel") != 0)
            check_value(value, limit_of(key, max));
    }
}

static void check_value(const json_t *value, size_t max)
{
    if (json_is_object(value))
        check_object(value, max);
    for (size_t i = 0; i < json_array_size(value); i++)
        check_value(json_array_get(value, i), max);
    if (json_is_string(value)) {
        assert(json_string_length(value) == strlen(json_string_value(value)));
        assert(json_string_length(value) <= max);
        check_text(json_string_value(value));
        check_fences(json_string_value(value));
    }
}

static void check_slack(const char *channel, enum slack_message_form form)
{
    json_error_t error;
    struct buf out;
    json_t *root;

    buf_init(&out, 256 << 10);
    assert(slack_message_write(&alert, channel, form, &out) == 0);
    root = json_loadb((const char *)out.data, out.len, JSON_REJECT_DUPLICATES, &error);
    assert(root != NULL);
    assert(json_is_string(json_object_get(root, "channel")));
    assert(json_string_length(json_object_get(root, "text")) > 0);
    assert(json_array_size(json_object_get(root, "blocks")) <= 50);
    check_value(root, 16 << 10);
    json_decref(root);
    buf_close(&out);
}

static void check_printed(const char *channel)
{
    static const struct settings none;
    struct destination_try attempt = {channel, 1, ""};
    struct http_request out;
    const char *line;

    http_request_init(&out);
    assert(destination_stdout.request(&none, &alert, &attempt, &out) == 0);
    line = buf_text(&out.body);
    assert(feed_is_shown(line, out.body.len) && line[out.body.len - 1] == '\n');
    for (; *line != '\0'; line = strchr(line, '\n') + 1)
        assert(begins(line, "drainwatch alert: "));
    http_request_close(&out);
}

/* Numbers as the engine makes them: times of the years that can be shown. */
static void fill_numbers(struct feed *in)
{
    const int64_t years_us = INT64_C(253402300799000000);

    alert.at_us = (int64_t)(feed_u64(in) % (uint64_t)years_us);
    alert.first_us = (int64_t)(feed_u64(in) % (uint64_t)years_us);
    alert.last_us = (int64_t)(feed_u64(in) % (uint64_t)years_us);
    alert.window_us = (int64_t)(feed_u64(in) >> 1);
    alert.count = feed_u64(in);
    alert.threshold = feed_u64(in);
    alert.suppressed = feed_u64(in);
    alert.at_least = feed_choice(in, 2);
    alert.about = feed_choice(in, 2);
    alert.arrived_late = feed_choice(in, 2);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct feed in = {data, size};
    const char **const fields[] = {&alert.rule,   &alert.app,     &alert.title,    &alert.runbook,
                                   &alert.source, &alert.process, &alert.severity, &alert.channel};
    enum { FIELDS = sizeof fields / sizeof fields[0], TEXTS = FIELDS + MENTIONS + 2 * GROUP_MAX };
    struct wire_group group[GROUP_MAX];
    char *texts[TEXTS];
    size_t n = FIELDS;

    alert = (struct wire_alert){.kind = "breach", .id = "0123456789abcdef", .group = group};
    fill_numbers(&in);
    alert.n_mentions = feed_choice(&in, MENTIONS + 1);
    alert.n_group = feed_choice(&in, GROUP_MAX + 1);
    for (size_t i = 0; i < TEXTS; i++)
        texts[i] = feed_text(&in);
    for (size_t i = 0; i < FIELDS; i++)
        *fields[i] = texts[i];
    alert.mentions = (const char *const *)(texts + n);
    n += MENTIONS;
    for (size_t i = 0; i < GROUP_MAX; i++)
        group[i] = (struct wire_group){texts[n + 2 * i], texts[n + 2 * i + 1]};
    alert.sample = (struct wire_bytes){in.data, in.n};
    check_slack(alert.channel, SLACK_MESSAGE_BLOCKS);
    check_slack(alert.channel, SLACK_MESSAGE_PLAIN);
    check_printed(alert.channel);
    for (size_t i = 0; i < TEXTS; i++)
        free(texts[i]);
    return 0;
}
