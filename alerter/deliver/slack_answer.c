/* What Slack answers (docs/facts.md). */
#include "alerter/deliver/slack.h"

#include "common/base/text.h"
#include "common/base/time.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

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
