/* Writes Slack messages; called by slack.c. Limits are in docs/facts.md: Slack counts characters
 * and does not say whether before or after escaping, so they are held in bytes after escaping. */
#include "alerter/deliver/slack_message.h"

#include "alerter/deliver/draft.h"
#include "alerter/deliver/wording.h"
#include "common/base/err.h"

#include <jansson.h>
#include <stdbool.h>
#include <string.h>

enum {
    HEADER_MAX = 150,
    MENTION_MAX = 32, /* ids are shorter */
};

/* --- mentions --- */

/* The characters that open a mention of `who` (Slack, "Formatting message text"); NULL if it is
 * nothing that a rules file may hold. Escaping leaves no other "<" than this one, a date's and a
 * runbook link's, so nothing else can mention anybody. */
static const char *mention_opening(const char *who)
{
    static const char *const words[] = {"here", "channel", "everyone"};

    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strcmp(who, words[i]) == 0)
            return "<!";
    }
    if (strlen(who) > MENTION_MAX ||
        who[strspn(who, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")] != '\0')
        return NULL;
    switch (who[0]) {
    case 'U':
    case 'W':
        return "<@";
    case 'S':
        return "<!subteam^";
    default:
        return NULL;
    }
}

/* "<!here> <@U0123456789>", with `before` before the first; nothing if nobody is mentioned. */
static void say_mentions(struct draft *d, const struct wire_alert *a, const char *before)
{
    for (size_t i = 0; i < a->n_mentions && i < WIRE_MENTIONS_MAX; i++) {
        const char *opening = mention_opening(a->mentions[i]);

        if (opening == NULL)
            continue;
        draft_say(d, "%s%s%s>", before, opening, a->mentions[i]);
        before = " ";
    }
}

/* --- parts --- */

static void show_sample(struct draft *d, const struct wire_alert *a)
{
    draft_say(d, "```\n");
    draft_show_sample(d, a->sample, WORDING_SAMPLE_MAX);
    draft_say(d, "\n```");
}

static void show_ids(struct draft *d, const struct wire_alert *a)
{
    draft_say(d, "id ");
    draft_show(d, a->id, WORDING_NAME_MAX);
    draft_say(d, " · rule ");
    draft_show(d, a->rule, WORDING_NAME_MAX);
}

/* --- blocks (Slack, "Block Kit") --- */

/* Turns the draft into a text object and closes it; NULL if memory ran out at any point. `verbatim`
 * stops Slack from finding channels, people and links in plain text; explicit mentions still work.
 */
static json_t *text_object(struct draft *d)
{
    const bool mrkdwn = d->form == DRAFT_MRKDWN;
    json_t *object = NULL;

    if (d->text.failed == 0)
        object = json_pack("{s:s, s:s%, s:b}", "type", mrkdwn ? "mrkdwn" : "plain_text", "text",
                           buf_text(&d->text), d->text.len, mrkdwn ? "verbatim" : "emoji", mrkdwn);
    draft_close(d);
    return object;
}

static json_t *section(struct draft *d)
{
    return json_pack("{s:s, s:o}", "type", "section", "text", text_object(d));
}

static json_t *header_block(const struct wire_alert *a)
{
    struct draft d = draft_begin(DRAFT_PLAIN);

    draft_say(&d, "%s", wording_colour(a));
    wording_subject(&d, a, wording_title(a), HEADER_MAX - d.text.len);
    return json_pack("{s:s, s:o}", "type", "header", "text", text_object(&d));
}

static json_t *breach_block(const struct wire_alert *a)
{
    struct draft d = draft_begin(DRAFT_MRKDWN);

    wording_breach(&d, a);
    draft_say(&d, " in *");
    wording_app(&d, a);
    draft_say(&d, "*");
    if (a->suppressed > 0) {
        draft_say(&d, "\n");
        wording_suppressed(&d, a);
    }
    return section(&d);
}

/* In a section, because Slack notifies nobody of a mention in a header or an attachment. */
static int add_mentions(json_t *blocks, const struct wire_alert *a)
{
    struct draft d = draft_begin(DRAFT_MRKDWN);

    say_mentions(&d, a, "");
    if (d.text.failed != 0 || d.text.len > 0)
        return json_array_append_new(blocks, section(&d));
    draft_close(&d);
    return 0;
}

static json_t *field(const char *name, struct draft *value)
{
    struct draft whole = draft_begin(value->form);

    whole.text.failed = value->text.failed;
    draft_say_bold(&whole);
    draft_show(&whole, name, WORDING_NAME_MAX);
    draft_say_bold(&whole);
    draft_say(&whole, "\n");
    draft_say(&whole, "%s", buf_text(&value->text)); /* escaped already */
    draft_close(value);
    return text_object(&whole);
}

static json_t *time_field(const struct wire_alert *a)
{
    struct draft d = draft_begin(DRAFT_MRKDWN);

    draft_say_time(&d, a->at_us);
    draft_say(&d, "\n");
    draft_say_local_time(&d, a->at_us);
    return field("Time", &d);
}

static json_t *range_field(const struct wire_alert *a)
{
    struct draft d = draft_begin(DRAFT_MRKDWN);

    wording_range(&d, a, " to\n");
    return field(a->arrived_late ? "Matches arrived late, from" : "Matches from", &d);
}

static json_t *origin_field(const struct wire_alert *a)
{
    struct draft d = draft_begin(DRAFT_MRKDWN);

    wording_origin(&d, a);
    return field("Source", &d);
}

/* A visitor chooses the values, so they are no markup: "*bold*" and ":name:" stay as they are. */
static int add_group_fields(json_t *fields, const struct wire_alert *a)
{
    int rc = 0;

    for (size_t i = 0; i < a->n_group && json_array_size(fields) < WORDING_FIELDS_MAX && rc == 0;
         i++) {
        struct draft d = draft_begin(DRAFT_PLAIN);

        wording_value(&d, &a->group[i]);
        rc = json_array_append_new(fields, field(a->group[i].key, &d));
    }
    return rc;
}

static json_t *fields_block(const struct wire_alert *a)
{
    json_t *fields = json_array();
    int rc = json_array_append_new(fields, time_field(a));

    rc |= json_array_append_new(fields, range_field(a));
    if (wording_has_origin(a))
        rc |= json_array_append_new(fields, origin_field(a));
    if (rc != 0 || add_group_fields(fields, a) != 0) {
        json_decref(fields);
        return NULL;
    }
    return json_pack("{s:s, s:o}", "type", "section", "fields", fields);
}

/* The groups that a digest names. */
static json_t *worst_block(const struct wire_alert *a)
{
    struct draft d = draft_begin(DRAFT_PLAIN);

    draft_say(&d, "Most matches");
    for (size_t i = 0; i < a->n_worst; i++) {
        draft_say(&d, "\n• ");
        wording_worst(&d, a, i);
    }
    return section(&d);
}

static json_t *by_app_block(const struct wire_alert *a)
{
    struct draft d = draft_begin(DRAFT_PLAIN);

    draft_say(&d, "Withheld: ");
    wording_by_app(&d, a);
    return section(&d);
}

static json_t *runbook_block(const struct wire_alert *a)
{
    struct draft d = draft_begin(DRAFT_MRKDWN);

    draft_say(&d, "*Runbook* ");
    draft_show_linked(&d, a->runbook, WORDING_RUNBOOK_MAX);
    return section(&d);
}

static json_t *sample_block(const struct wire_alert *a)
{
    struct draft d = draft_begin(DRAFT_MRKDWN);

    show_sample(&d, a);
    return section(&d);
}

static json_t *context_block(const struct wire_alert *a)
{
    struct draft d = draft_begin(DRAFT_MRKDWN);

    show_ids(&d, a);
    return json_pack("{s:s, s:[o]}", "type", "context", "elements", text_object(&d));
}

/* NULL if memory ran out. Appending NULL to an array fails, so each block needs no check. */
static json_t *blocks_of(const struct wire_alert *a)
{
    json_t *blocks = json_array();
    int rc = json_array_append_new(blocks, header_block(a));

    rc |= json_array_append_new(blocks, breach_block(a));
    rc |= add_mentions(blocks, a);
    rc |= json_array_append_new(blocks, fields_block(a));
    if (wire_is_digest(a))
        rc |= json_array_append_new(blocks, worst_block(a));
    if (wording_has_by_app(a))
        rc |= json_array_append_new(blocks, by_app_block(a));
    if (a->runbook[0] != '\0')
        rc |= json_array_append_new(blocks, runbook_block(a));
    if (a->sample.len > 0)
        rc |= json_array_append_new(blocks, sample_block(a));
    rc |= json_array_append_new(blocks, context_block(a));
    if (rc != 0) {
        json_decref(blocks);
        return NULL;
    }
    return blocks;
}

/* --- the two forms --- */

static json_t *text_string(struct draft *d)
{
    json_t *text = d->text.failed == 0 ? json_stringn(buf_text(&d->text), d->text.len) : NULL;

    draft_close(d);
    return text;
}

/* Mentions stand in blocks and `text`: Slack does not say whether it looks for them in the `text`
 * of a message with blocks, and it notifies nobody twice. */
static json_t *notification(const struct wire_alert *a)
{
    struct draft d = draft_begin(DRAFT_PLAIN);

    wording_notification(&d, a);
    say_mentions(&d, a, " · ");
    return text_string(&d);
}

/* The whole alert as one text. All that a visitor may have chosen is preformatted: elsewhere in a
 * `text` Slack reads markup, addresses and :names:. The sample may have several lines, and a block
 * of its own keeps them apart from ours. */
static json_t *plain_text(const struct wire_alert *a)
{
    struct draft d = draft_begin(DRAFT_MRKDWN);

    draft_say(&d, "```\n");
    wording_notification(&d, a);
    wording_details(&d, a, "\n");
    if (wording_has_origin(a)) {
        draft_say(&d, "\n");
        wording_origin(&d, a);
    }
    draft_say(&d, "\n```\n");
    if (a->sample.len > 0) {
        show_sample(&d, a);
        draft_say(&d, "\n");
    }
    show_ids(&d, a);
    say_mentions(&d, a, " · ");
    return text_string(&d);
}

static json_t *message_of(const struct wire_alert *a, const char *channel,
                          enum slack_message_form form)
{
    struct draft to = draft_begin(DRAFT_PRINT);
    json_t *id;

    draft_show(&to, channel, WORDING_NAME_MAX);
    id = text_string(&to);
    if (form == SLACK_MESSAGE_PLAIN)
        return json_pack("{s:o, s:o, s:b, s:b}", "channel", id, "text", plain_text(a),
                         "unfurl_links", 0, "unfurl_media", 0);
    return json_pack("{s:o, s:o, s:o, s:b, s:b}", "channel", id, "text", notification(a), "blocks",
                     blocks_of(a), "unfurl_links", 0, "unfurl_media", 0);
}

struct dump {
    struct buf *out;
    int rc;
};

static int dump_to_buf(const char *bytes, size_t n, void *ctx)
{
    struct dump *dump = ctx;

    dump->rc = buf_append(dump->out, bytes, n);
    return dump->rc;
}

int slack_message_write(const struct wire_alert *alert, const char *channel,
                        enum slack_message_form form, struct buf *out)
{
    const size_t before = out->len;
    struct dump dump = {.out = out};
    json_t *message = message_of(alert, channel, form);
    int rc = ERR_NOMEM;

    if (message != NULL && json_dump_callback(message, dump_to_buf, &dump, JSON_COMPACT) == 0)
        rc = 0;
    else if (dump.rc != 0)
        rc = dump.rc;
    json_decref(message);
    if (rc != 0 && out->data != NULL) {
        out->len = before;
        out->data[before] = '\0';
    }
    return rc;
}
