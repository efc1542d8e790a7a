/* The destination "standard output", for a machine without a Slack token; called through
 * destination.h. Every line begins with "drainwatch alert: ", so that a drain that watches
 * drainwatch's own app does not alert on printed alerts. */
#include "alerter/deliver/destination.h"
#include "alerter/deliver/draft.h"
#include "alerter/deliver/wording.h"

#define PREFIX "drainwatch alert: "

static bool is_set_up(const struct settings *settings)
{
    (void)settings;
    return true;
}

/* "heroku[router]: LINE" */
static void print_sample(struct draft *d, const struct wire_alert *a)
{
    draft_say(d, "\n" PREFIX "sample ");
    if (wording_has_origin(a)) {
        wording_origin(d, a);
        draft_say(d, ": ");
    }
    draft_show_sample(d, a->sample, WORDING_SAMPLE_MAX);
}

static int print_alert(const struct settings *settings, const struct wire_alert *alert,
                       const struct destination_try *attempt, struct http_request *out)
{
    struct draft d = draft_begin(DRAFT_PRINT);
    int rc;

    (void)settings, (void)attempt;
    draft_say(&d, PREFIX);
    wording_subject(&d, alert, wording_title(alert), WORDING_NAME_MAX);
    draft_say(&d, ": ");
    wording_breach(&d, alert);
    draft_say(&d, " · ");
    wording_app(&d, alert);
    draft_say(&d, " · id ");
    draft_show(&d, alert->id, WORDING_NAME_MAX);
    wording_details(&d, alert, "\n" PREFIX);
    if (alert->sample.len > 0)
        print_sample(&d, alert);
    draft_say(&d, "\n");
    rc = d.text.failed != 0 ? d.text.failed : buf_append(&out->body, d.text.data, d.text.len);
    draft_close(&d);
    return rc;
}

static void judge(const struct destination_try *attempt, const struct http_reply *reply,
                  struct destination_verdict *out)
{
    (void)attempt;
    *out = (struct destination_verdict){.outcome = DESTINATION_DELIVERED, .remedy = ""};
    if (reply->error[0] == '\0') {
        destination_set_reason(out, "printed, because SLACK_BOT_TOKEN is unset", "");
        return;
    }
    out->outcome = DESTINATION_RETRY;
    out->remedy = "check the reader of the alerter's standard output";
    destination_set_reason(out, "it cannot be printed: ", reply->error);
}

const struct destination destination_stdout = {
    .name = "standard output",
    .transport = DESTINATION_STDOUT,
    .is_set_up = is_set_up,
    .request = print_alert,
    .judge = judge,
};
