#include "alerter/slack.h"

#include "alerter/draft.h"
#include "common/err.h"
#include "common/text.h"
#include "common/time.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* Slack's limits (docs/facts.md) are in characters, and whether before or after escaping is not
 * said. Held in bytes after escaping they hold in every reading. What a name or a runbook may take
 * is our own, lower bound: Slack echoes the message in its answer, which has to stay in poster.h's
 * bound with every character escaped. */
enum {
    HEADER_MAX = 150,
    NAME_MAX_BYTES = 200,
    RUNBOOK_MAX = 1000,
    SAMPLE_MAX = 2900, /* of the 3,000 of a section's text; the rest is for the fences */
    FIELDS_MAX = 10,
};

#define PRINT_PREFIX "drainwatch alert: "

/* A header block without text is an invalid one. */
static const char *title_of(const struct wire_alert *a)
{
    return a->title[0] != '\0' ? a->title : a->rule;
}

/* "6 matches in 5 minutes (more than 3)" */
static void say_breach(struct draft *d, const struct wire_alert *a)
{
    char window[TIME_WORDS_SIZE];

    time_format_words(a->window_us > 0 ? a->window_us : 0, window);
    draft_say_bold(d);
    draft_say(d, a->at_least ? "at least " : "");
    draft_say(d, a->about ? "about " : "");
    draft_say_number(d, a->count);
    draft_say(d, a->count == 1 ? " match in " : " matches in ");
    draft_say(d, window);
    draft_say_bold(d);
    draft_say(d, " (more than ");
    draft_say_number(d, a->threshold);
    draft_say(d, ")");
}

static void say_suppressed(struct draft *d, const struct wire_alert *a)
{
    draft_say_number(d, a->suppressed);
    draft_say(d, a->suppressed == 1 ? " more match was" : " more matches were");
    draft_say(d, " suppressed since the last alert");
}

/* heroku[router], as `heroku logs` has it; a bare line has neither. */
static void show_origin(struct draft *d, const struct wire_alert *a)
{
    draft_show(d, a->source, NAME_MAX_BYTES);
    draft_say(d, "[");
    draft_show(d, a->process, NAME_MAX_BYTES);
    draft_say(d, "]");
}

static bool has_origin(const struct wire_alert *a)
{
    return a->source[0] != '\0' || a->process[0] != '\0';
}

/* --- blocks (Slack, "Block Kit") --- */

/* The draft as a text object, and the end of the draft. NULL where memory ran out at any point.
 * `verbatim` stops Slack from finding channels, people and links in what is plain text. */
static json_t *text_object(struct draft *d)
{
    const bool mrkdwn = d->form == DRAFT_MRKDWN;
    json_t *object = NULL;

    if (d->rc == 0)
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
    struct draft d;

    draft_init(&d, DRAFT_PLAIN);
    draft_show(&d, title_of(a), HEADER_MAX);
    return json_pack("{s:s, s:o}", "type", "header", "text", text_object(&d));
}

static json_t *breach_block(const struct wire_alert *a)
{
    struct draft d;

    draft_init(&d, DRAFT_MRKDWN);
    say_breach(&d, a);
    draft_say(&d, " in *");
    draft_show(&d, a->app, NAME_MAX_BYTES);
    draft_say(&d, "*");
    if (a->suppressed > 0) {
        draft_say(&d, "\n");
        say_suppressed(&d, a);
    }
    return section(&d);
}

static json_t *field(const char *name, struct draft *d)
{
    struct draft whole;

    draft_init(&whole, DRAFT_MRKDWN);
    whole.rc = d->rc;
    draft_say(&whole, "*");
    draft_show(&whole, name, NAME_MAX_BYTES);
    draft_say(&whole, "*\n");
    draft_say(&whole, buf_text(&d->text)); /* escaped already */
    draft_close(d);
    return text_object(&whole);
}

static int add_group_fields(json_t *fields, const struct wire_alert *a)
{
    int rc = 0;

    for (size_t i = 0; i < a->n_group && json_array_size(fields) < FIELDS_MAX && rc == 0; i++) {
        struct draft d;

        draft_init(&d, DRAFT_MRKDWN);
        draft_show(&d, a->group[i].value, NAME_MAX_BYTES);
        rc = json_array_append_new(fields, field(a->group[i].key, &d));
    }
    return rc;
}

static json_t *fields_block(const struct wire_alert *a)
{
    json_t *fields = json_array();
    struct draft d;
    int rc;

    draft_init(&d, DRAFT_MRKDWN);
    draft_say_time(&d, a->at_us);
    rc = json_array_append_new(fields, field("Time", &d));
    draft_init(&d, DRAFT_MRKDWN);
    draft_say_time(&d, a->first_us);
    draft_say(&d, " to\n");
    draft_say_time(&d, a->last_us);
    rc |= json_array_append_new(fields, field("Matches from", &d));
    if (has_origin(a)) {
        draft_init(&d, DRAFT_MRKDWN);
        show_origin(&d, a);
        rc |= json_array_append_new(fields, field("Source", &d));
    }
    if (rc != 0 || add_group_fields(fields, a) != 0) {
        json_decref(fields);
        return NULL;
    }
    return json_pack("{s:s, s:o}", "type", "section", "fields", fields);
}

static json_t *runbook_block(const struct wire_alert *a)
{
    struct draft d;

    draft_init(&d, DRAFT_MRKDWN);
    draft_say(&d, "*Runbook* ");
    draft_show_linked(&d, a->runbook, RUNBOOK_MAX);
    return section(&d);
}

static json_t *sample_block(const struct wire_alert *a)
{
    struct draft d;

    draft_init(&d, DRAFT_MRKDWN);
    draft_say(&d, "```\n");
    draft_show_bytes(&d, a->sample.data, a->sample.len, SAMPLE_MAX);
    draft_say(&d, "\n```");
    return section(&d);
}

static json_t *context_block(const struct wire_alert *a)
{
    struct draft d;

    draft_init(&d, DRAFT_MRKDWN);
    draft_say(&d, "id ");
    draft_show(&d, a->id, NAME_MAX_BYTES);
    draft_say(&d, " · rule ");
    draft_show(&d, a->rule, NAME_MAX_BYTES);
    return json_pack("{s:s, s:[o]}", "type", "context", "elements", text_object(&d));
}

/* NULL where memory ran out; appending NULL to an array fails, so the blocks need no look. */
static json_t *blocks_of(const struct wire_alert *a)
{
    json_t *blocks = json_array();
    int rc = json_array_append_new(blocks, header_block(a));

    rc |= json_array_append_new(blocks, breach_block(a));
    rc |= json_array_append_new(blocks, fields_block(a));
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

/* The line that a phone shows. The id stands last, where a phone cuts: it is for a search. */
static void say_notification(struct draft *d, const struct wire_alert *a)
{
    draft_show(d, title_of(a), NAME_MAX_BYTES);
    draft_say(d, ": ");
    say_breach(d, a);
    draft_say(d, " · ");
    draft_show(d, a->app, NAME_MAX_BYTES);
    draft_say(d, " · id ");
    draft_show(d, a->id, NAME_MAX_BYTES);
}

static json_t *text_string(struct draft *d)
{
    json_t *text = d->rc == 0 ? json_stringn(buf_text(&d->text), d->text.len) : NULL;

    draft_close(d);
    return text;
}

static json_t *message_of(const struct wire_alert *a, const char *channel)
{
    struct draft to, text;

    draft_init(&to, DRAFT_PRINT);
    draft_show(&to, channel, NAME_MAX_BYTES);
    draft_init(&text, DRAFT_PLAIN);
    say_notification(&text, a);
    return json_pack("{s:o, s:o, s:o, s:b, s:b}", "channel", text_string(&to), "text",
                     text_string(&text), "blocks", blocks_of(a), "unfurl_links", 0, "unfurl_media",
                     0);
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

int slack_render(const struct wire_alert *alert, const char *channel, struct buf *out)
{
    const size_t before = out->len;
    struct dump dump = {.out = out};
    json_t *message = message_of(alert, channel);
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

static void print_line(struct draft *d, const char *name)
{
    draft_say(d, d->text.len > 0 ? "\n" PRINT_PREFIX : PRINT_PREFIX);
    draft_say(d, name);
}

/* The lines between the first and the sample. */
static void print_details(struct draft *d, const struct wire_alert *a)
{
    print_line(d, "at ");
    draft_say_time(d, a->at_us);
    draft_say(d, ", matches from ");
    draft_say_time(d, a->first_us);
    draft_say(d, " to ");
    draft_say_time(d, a->last_us);
    for (size_t i = 0; i < a->n_group && i < FIELDS_MAX; i++) {
        print_line(d, "");
        draft_show(d, a->group[i].key, NAME_MAX_BYTES);
        draft_say(d, " ");
        draft_show(d, a->group[i].value, NAME_MAX_BYTES);
    }
    if (a->suppressed > 0) {
        print_line(d, "");
        say_suppressed(d, a);
    }
    if (a->runbook[0] != '\0') {
        print_line(d, "runbook ");
        draft_show_linked(d, a->runbook, RUNBOOK_MAX);
    }
}

int slack_print(const struct wire_alert *alert, struct buf *out)
{
    struct draft d;

    draft_init(&d, DRAFT_PRINT);
    print_line(&d, "");
    say_notification(&d, alert);
    print_details(&d, alert);
    if (alert->sample.len > 0) {
        print_line(&d, "sample ");
        if (has_origin(alert)) {
            show_origin(&d, alert);
            draft_say(&d, ": ");
        }
        draft_show_bytes(&d, alert->sample.data, alert->sample.len, SAMPLE_MAX);
    }
    draft_say(&d, "\n");
    if (d.rc == 0)
        d.rc = buf_append(out, d.text.data, d.text.len);
    draft_close(&d);
    return d.rc;
}

/* --- what Slack answers (docs/facts.md) --- */

#define REMEDY_TOKEN "set SLACK_BOT_TOKEN to the bot token (xoxb-…) of an installed Slack app"
#define REMEDY_CHANNEL                                                                             \
    "give the channel's id in the rules file, and invite the bot if it is private"
#define REMEDY_WORKSPACE "ask an administrator of the workspace to let the bot post there"
#define REMEDY_URL "check SLACK_API_URL, and what stands between here and Slack"
#define REMEDY_REPORT "Slack does not accept the message as it is; this is a fault of drainwatch"

/* `remedy` NULL: Slack's trouble, which passes. */
static const struct known {
    const char *error;
    const char *remedy;
} known[] = {
    {"ratelimited", NULL},
    {"rate_limited", NULL},
    {"internal_error", NULL},
    {"fatal_error", NULL},
    {"service_unavailable", NULL},
    {"request_timeout", NULL},
    {"invalid_auth", "SLACK_BOT_TOKEN is not accepted: " REMEDY_TOKEN},
    {"not_authed", "no token reached Slack: " REMEDY_TOKEN},
    {"account_inactive", "the token's app or user was removed: " REMEDY_TOKEN},
    {"token_revoked", "the token was revoked: " REMEDY_TOKEN},
    {"token_expired", "the token has expired: " REMEDY_TOKEN},
    {"not_allowed_token_type", "this kind of token may not post: " REMEDY_TOKEN},
    {"missing_scope", "give the Slack app the scope chat:write and install it again"},
    {"channel_not_found", REMEDY_CHANNEL},
    {"not_in_channel", "invite the bot to the channel (/invite @…)"},
    {"is_archived", "unarchive the channel, or name another in the rules file"},
    {"messages_tab_disabled", "allow messages to the app in its App Home settings"},
    {"access_denied", REMEDY_WORKSPACE},
    {"no_permission", REMEDY_WORKSPACE},
    {"restricted_action", REMEDY_WORKSPACE},
    {"restricted_action_read_only_channel", REMEDY_WORKSPACE},
    {"team_access_not_granted", REMEDY_WORKSPACE},
    {"org_login_required", REMEDY_WORKSPACE},
    {"ekm_access_denied", REMEDY_WORKSPACE},
    {"msg_too_long", REMEDY_REPORT},
    {"msg_blocks_too_long", REMEDY_REPORT},
    {"no_text", REMEDY_REPORT},
    {"invalid_blocks", REMEDY_REPORT},
    {"invalid_blocks_format", REMEDY_REPORT},
    {"invalid_arguments", REMEDY_REPORT},
};

static const struct known *find_known(const char *error)
{
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (strcmp(known[i].error, error) == 0)
            return &known[i];
    }
    return NULL;
}

/* What came from outside goes into a reason as printable text, cut to fit. */
static void set_reason(struct slack_verdict *v, const char *before, const char *text)
{
    struct buf line;

    buf_init(&line, sizeof v->reason - 1);
    if (buf_puts(&line, before) == 0)
        text_append_printable(&line, text, strlen(text)); /* full: what fits is what we want */
    memcpy(v->reason, buf_text(&line), line.len + 1);
    buf_close(&line);
}

static void settle(struct slack_verdict *v, enum slack_outcome outcome, const char *remedy)
{
    v->outcome = outcome;
    v->remedy = remedy;
}

/* A status that says it all: whatever the body holds can only be a better name for it. */
static void judge_status(const struct slack_reply *reply, const char *error,
                         struct slack_verdict *v)
{
    const struct known *k = error != NULL ? find_known(error) : NULL;
    const long status = reply->status;
    char text[32];

    snprintf(text, sizeof text, "HTTP %ld", status);
    set_reason(v, "", k != NULL ? k->error : text);
    if (status == 429 || status == 408 || status >= 500)
        settle(v, SLACK_AGAIN, "");
    else if (k != NULL && k->remedy == NULL)
        settle(v, SLACK_AGAIN, "");
    else if (status >= 400)
        settle(v, SLACK_FAILED, k != NULL ? k->remedy : REMEDY_URL);
    else /* a redirect is a wrong address or a proxy in the way, and may pass */
        settle(v, SLACK_AGAIN, REMEDY_URL);
}

static void judge_error(const struct slack_reply *reply, const char *error, struct slack_verdict *v)
{
    const struct known *k = find_known(error);

    set_reason(v, "", error);
    if (k != NULL)
        settle(v, k->remedy == NULL ? SLACK_AGAIN : SLACK_FAILED, k->remedy ? k->remedy : "");
    else
        settle(v, reply->tries < SLACK_UNKNOWN_TRIES ? SLACK_AGAIN : SLACK_FAILED,
               "look the error up in Slack's documentation of chat.postMessage");
}

static void judge_body(const struct slack_reply *reply, const json_t *root, struct slack_verdict *v)
{
    const json_t *ok = json_object_get(root, "ok");
    const char *error = json_string_value(json_object_get(root, "error"));

    if (reply->status < 200 || reply->status > 299) {
        judge_status(reply, error, v);
    } else if (json_is_true(ok)) {
        set_reason(v, "", "ok");
        settle(v, SLACK_DELIVERED, "");
    } else if (json_is_false(ok) && error != NULL && error[0] != '\0') {
        judge_error(reply, error, v);
    } else {
        set_reason(v, "", "the answer is not Slack's");
        settle(v, SLACK_AGAIN, REMEDY_URL);
    }
}

static int64_t seconds_to_us(int64_t s)
{
    const int64_t most_s = TIME_DAY / TIME_S;

    return s <= 0 ? 0 : (s < most_s ? s : most_s) * TIME_S;
}

void slack_answer(const struct slack_reply *reply, struct slack_verdict *out)
{
    json_t *root = NULL;

    *out = (struct slack_verdict){.remedy = ""};
    if (reply->error != NULL && reply->error[0] != '\0') {
        set_reason(out, "no answer: ", reply->error);
        settle(out, SLACK_AGAIN, "");
        return;
    }
    if (reply->body_len > 0)
        root = json_loadb(reply->body, reply->body_len, 0, NULL);
    judge_body(reply, root, out);
    if (out->outcome == SLACK_AGAIN)
        out->retry_after_us = seconds_to_us(reply->retry_after_s);
    json_decref(root);
}
