/* The destination Slack: requests and verdicts of chat.postMessage (docs/facts.md); called through
 * destination.h. */
#include "alerter/deliver/destination.h"
#include "alerter/deliver/slack_message.h"
#include "common/base/err.h"
#include "common/base/time.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#define REMEDY_TOKEN "set SLACK_BOT_TOKEN to the bot token (xoxb-…) of an installed Slack app"
#define REMEDY_CHANNEL                                                                             \
    "give the channel's id in the rules file, and invite the bot if it is private"
#define REMEDY_DM                                                                                   \
    "a bot cannot be invited to a direct message between others: give a channel's id (C…), or a " \
    "user's id (U…) to get the alerts from the app itself"
#define REMEDY_USER "give the id of a user (U…) of the token's workspace, or a channel's id (C…)"
#define REMEDY_WORKSPACE "ask an administrator of the workspace to let the bot post there"
#define REMEDY_URL "check SLACK_API_URL and any proxy between here and Slack"
#define REMEDY_REPORT                                                                              \
    "Slack refuses the message also as plain text: report this fault of drainwatch"
#define REMEDY_PLAIN "it is sent once more as plain text"

enum kind {
    KIND_PASSES, /* Slack's trouble: a retry helps */
    KIND_STAYS,
    KIND_CHANNEL, /* stays; the remedy depends on the channel */
    KIND_FORM,    /* Slack refuses blocks or length: the plain form may pass */
};

static const struct known {
    const char *error;
    enum kind kind;
    const char *remedy;
} known[] = {
    {"ratelimited", KIND_PASSES, ""},
    {"rate_limited", KIND_PASSES, ""},
    {"internal_error", KIND_PASSES, ""},
    {"fatal_error", KIND_PASSES, ""},
    {"service_unavailable", KIND_PASSES, ""},
    {"request_timeout", KIND_PASSES, ""},
    {"invalid_auth", KIND_STAYS, "Slack does not accept SLACK_BOT_TOKEN: " REMEDY_TOKEN},
    {"not_authed", KIND_STAYS, "no token reached Slack: " REMEDY_TOKEN},
    {"account_inactive", KIND_STAYS, "the token's app or user was removed: " REMEDY_TOKEN},
    {"token_revoked", KIND_STAYS, "the token was revoked: " REMEDY_TOKEN},
    {"token_expired", KIND_STAYS, "the token has expired: " REMEDY_TOKEN},
    {"not_allowed_token_type", KIND_STAYS, "this kind of token may not post: " REMEDY_TOKEN},
    {"missing_scope", KIND_STAYS, "give the Slack app the scope chat:write and install it again"},
    {"channel_not_found", KIND_CHANNEL, NULL},
    {"not_in_channel", KIND_CHANNEL, NULL},
    {"user_not_found", KIND_STAYS, REMEDY_USER},
    {"is_archived", KIND_STAYS, "unarchive the channel, or name another in the rules file"},
    {"messages_tab_disabled", KIND_STAYS, "allow messages in the App Home settings of the app"},
    {"access_denied", KIND_STAYS, REMEDY_WORKSPACE},
    {"no_permission", KIND_STAYS, REMEDY_WORKSPACE},
    {"restricted_action", KIND_STAYS, REMEDY_WORKSPACE},
    {"restricted_action_read_only_channel", KIND_STAYS, REMEDY_WORKSPACE},
    {"team_access_not_granted", KIND_STAYS, REMEDY_WORKSPACE},
    {"org_login_required", KIND_STAYS, REMEDY_WORKSPACE},
    {"ekm_access_denied", KIND_STAYS, REMEDY_WORKSPACE},
    {"msg_too_long", KIND_FORM, REMEDY_REPORT},
    {"msg_blocks_too_long", KIND_FORM, REMEDY_REPORT},
    {"invalid_blocks", KIND_FORM, REMEDY_REPORT},
    {"invalid_blocks_format", KIND_FORM, REMEDY_REPORT},
    {"no_text", KIND_STAYS, REMEDY_REPORT},
    {"invalid_arguments", KIND_FORM, REMEDY_REPORT},
};

static const struct known *find_known(const char *error)
{
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (strcmp(known[i].error, error) == 0)
            return &known[i];
    }
    return NULL;
}

/* ---- the request ---- */

static bool is_set_up(const struct settings *settings)
{
    return settings->slack_token != NULL;
}

/* The answer to the try before tells; the outbox keeps it, so a restart does not forget it. */
static bool is_plain(const struct destination_try *attempt)
{
    const struct known *k = attempt->n > 1 ? find_known(attempt->last_answer) : NULL;

    return k != NULL && k->kind == KIND_FORM;
}

static int request(const struct settings *settings, const struct wire_alert *alert,
                   const struct destination_try *attempt, struct http_request *out)
{
    int rc = buf_printf(&out->url, "%s/chat.postMessage", settings->slack_api_url);

    if (rc == 0)
        rc = buf_printf(&out->headers,
                        "Content-Type: application/json; charset=utf-8\n"
                        "Accept: application/json\n"
                        "Authorization: Bearer %s\n",
                        settings->slack_token);
    out->secret = settings->slack_token;
    if (rc != 0)
        return rc;
    return slack_message_write(alert, attempt->channel,
                               is_plain(attempt) ? SLACK_MESSAGE_PLAIN : SLACK_MESSAGE_BLOCKS,
                               &out->body);
}

/* ---- the verdict ---- */

static void decide(struct destination_verdict *v, enum destination_outcome outcome,
                   const char *remedy)
{
    v->outcome = outcome;
    v->remedy = remedy;
}

static const char *channel_remedy(const char *error, const char *channel)
{
    if (channel[0] == 'D')
        return REMEDY_DM;
    if (channel[0] == 'U' || channel[0] == 'W')
        return REMEDY_USER;
    return strcmp(error, "not_in_channel") == 0 ? "invite the bot to the channel (/invite @…)"
                                                : REMEDY_CHANNEL;
}

static void decide_known(const struct destination_try *attempt, const struct known *k,
                         struct destination_verdict *v)
{
    switch (k->kind) {
    case KIND_PASSES:
        decide(v, DESTINATION_RETRY, "");
        break;
    case KIND_STAYS:
        decide(v, DESTINATION_REFUSED, k->remedy);
        break;
    case KIND_CHANNEL:
        decide(v, DESTINATION_REFUSED, channel_remedy(k->error, attempt->channel));
        break;
    case KIND_FORM:
        if (is_plain(attempt))
            decide(v, DESTINATION_REFUSED, k->remedy);
        else
            decide(v, DESTINATION_RETRY, REMEDY_PLAIN);
        break;
    }
}

/* A status other than 2xx decides alone; the body can only give it a better name. */
static void judge_status(const struct destination_try *attempt, long status, const char *error,
                         struct destination_verdict *v)
{
    const struct known *k = error != NULL ? find_known(error) : NULL;
    char text[32];

    snprintf(text, sizeof text, "HTTP %ld", status);
    destination_set_reason(v, "", k != NULL ? k->error : text);
    if (status == 429 || status == 408 || status >= 500)
        decide(v, DESTINATION_RETRY, "");
    else if (status >= 400 && k != NULL)
        decide_known(attempt, k, v);
    else if (status >= 400)
        decide(v, DESTINATION_REFUSED, REMEDY_URL);
    else /* a redirect: a wrong address, or a proxy in the way that may go */
        decide(v, DESTINATION_RETRY, REMEDY_URL);
}

/* An unknown error is retried and then parked: retrying for ever would hold up its channel, and
 * parking at once would lose what a new name for a hiccup cost. */
static void judge_error(const struct destination_try *attempt, const char *error,
                        struct destination_verdict *v)
{
    const struct known *k = find_known(error);

    destination_set_reason(v, "", error);
    if (k != NULL)
        decide_known(attempt, k, v);
    else
        decide(v, attempt->n < DESTINATION_UNKNOWN_TRIES ? DESTINATION_RETRY : DESTINATION_REFUSED,
               "look the error up in Slack's documentation of chat.postMessage");
}

/* Delivered is only a whole 2xx reply with "ok": true. A reply that is lost, cut or not Slack's
 * leads to a retry, at the price of a message that may come twice. */
static void judge_reply(const struct destination_try *attempt, long status, const json_t *root,
                        struct destination_verdict *v)
{
    const json_t *ok = json_object_get(root, "ok");
    const char *error = json_string_value(json_object_get(root, "error"));

    if (status < 200 || status > 299) {
        judge_status(attempt, status, error, v);
    } else if (json_is_true(ok)) {
        destination_set_reason(v, "", "ok");
        decide(v, DESTINATION_DELIVERED, "");
    } else if (json_is_false(ok) && error != NULL && error[0] != '\0') {
        judge_error(attempt, error, v);
    } else {
        destination_set_reason(v, "", "the answer is not Slack's");
        decide(v, DESTINATION_RETRY, REMEDY_URL);
    }
}

static int64_t seconds_to_us(int64_t s)
{
    const int64_t most_s = TIME_DAY / TIME_S;

    return s <= 0 ? 0 : (s < most_s ? s : most_s) * TIME_S;
}

static void judge(const struct destination_try *attempt, const struct http_reply *reply,
                  struct destination_verdict *out)
{
    json_t *root = NULL;

    *out = (struct destination_verdict){.remedy = ""};
    if (reply->error[0] != '\0') {
        destination_set_reason(out, "no answer: ", reply->error);
        decide(out, DESTINATION_RETRY, "");
        return;
    }
    if (reply->body_len > 0)
        root = json_loadb(reply->body, reply->body_len, 0, NULL);
    judge_reply(attempt, reply->status, root, out);
    if (out->outcome == DESTINATION_RETRY)
        out->retry_after_us = seconds_to_us(reply->retry_after_s);
    json_decref(root);
}

const struct destination destination_slack = {
    .name = "Slack",
    .transport = DESTINATION_HTTP,
    .pace_us = TIME_S, /* Slack allows about one message a second and channel */
    .is_set_up = is_set_up,
    .request = request,
    .judge = judge,
};
