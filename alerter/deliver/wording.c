/* Words for an alert; called by slack_message.c, print.c and the alerter's commands. */
#include "alerter/deliver/wording.h"

#include "common/base/text.h"
#include "common/base/time.h"

#include <assert.h>
#include <string.h>

enum {
    SEVERITY_MAX = 16,
    PART_MAX = WIRE_GROUP_TEXT_MAX, /* of a key or a value, before it is escaped */
};

static bool has_severity(const struct wire_alert *alert)
{
    return alert->severity != NULL && alert->severity[0] != '\0';
}

const char *wording_title(const struct wire_alert *alert)
{
    return alert->title[0] != '\0' ? alert->title : alert->rule;
}

/* Characters and not :names:, because a header with names enabled would also replace :names: in a
 * title.
 */
const char *wording_colour(const struct wire_alert *alert)
{
    static const char *const colours[][2] = {
        {"info", "🔵 "}, {"warning", "🟡 "}, {"error", "🟠 "}};

    for (size_t i = 0; i < sizeof colours / sizeof colours[0] && has_severity(alert); i++) {
        if (strcmp(alert->severity, colours[i][0]) == 0)
            return colours[i][1];
    }
    return "🔴 ";
}

const char *wording_qualifier(const struct wire_alert *alert)
{
    return alert->at_least ? "at least " : alert->about ? "about " : "";
}

static int append_part(struct buf *out, const char *text)
{
    return buf_append(out, text, text_cut(text, strlen(text), PART_MAX));
}

/* "process web.3", "path "/a, b"", "no path". A visitor chooses the path: in quotes one with a
 * blank cannot pass for further pairs. */
static int append_pair(struct buf *out, const struct wire_group *pair)
{
    const char *quote = strchr(pair->value, ' ') != NULL ? "\"" : "";
    const bool is_empty = pair->value[0] == '\0';
    int rc = is_empty ? buf_puts(out, "no ") : 0;

    if (rc == 0)
        rc = append_part(out, pair->key);
    if (rc == 0 && !is_empty)
        rc = buf_printf(out, " %s", quote);
    if (rc == 0)
        rc = append_part(out, pair->value);
    return rc == 0 ? buf_puts(out, quote) : rc;
}

/* " (process web.3, path /slow)" in at most `max` bytes; "" for an alert without groups. */
static void show_group(struct draft *d, const struct wire_alert *alert, size_t max)
{
    struct buf pairs;

    if (alert->n_group == 0)
        return;
    buf_init(&pairs, alert->n_group * (2 * PART_MAX + 16));
    for (size_t i = 0; i < alert->n_group && d->rc == 0; i++) {
        if (i > 0)
            d->rc = buf_puts(&pairs, ", ");
        if (d->rc == 0)
            d->rc = append_pair(&pairs, &alert->group[i]);
    }
    draft_say(d, " (");
    draft_show_bytes(d, pairs.data, pairs.len, max - strlen(" ()"));
    draft_say(d, ")");
    buf_close(&pairs);
}

static void show_name_and_group(struct draft *d, const struct wire_alert *alert, const char *name,
                                size_t max)
{
    struct draft whole, group;
    size_t keep;

    draft_init(&whole, d->form);
    draft_init(&group, d->form);
    draft_show(&whole, name, max);
    keep = whole.text.len < max / 2 ? whole.text.len : max / 2;
    show_group(&group, alert, max - (keep < DRAFT_SHOW_MIN ? DRAFT_SHOW_MIN : keep));
    draft_show(d, name, max - group.text.len);
    draft_say(d, buf_text(&group.text));
    if (d->rc == 0)
        d->rc = whole.rc != 0 ? whole.rc : group.rc;
    draft_close(&group);
    draft_close(&whole);
}

void wording_subject(struct draft *d, const struct wire_alert *alert, const char *name, size_t max)
{
    const size_t start = d->text.len;

    assert(max >= WORDING_SUBJECT_MIN);
    if (has_severity(alert)) {
        draft_say(d, "[");
        draft_show(d, alert->severity, SEVERITY_MAX);
        draft_say(d, "] ");
    }
    show_name_and_group(d, alert, name, max - (d->text.len - start));
}

static void say_window(struct draft *d, const struct wire_alert *alert)
{
    char window[TIME_WORDS_SIZE];

    time_format_words(alert->window_us > 0 ? alert->window_us : 0, window);
    draft_say(d, window);
}

void wording_notification(struct draft *d, const struct wire_alert *alert)
{
    draft_say(d, wording_colour(alert));
    draft_show(d, alert->app, WORDING_NAME_MAX);
    draft_say(d, ": ");
    show_name_and_group(d, alert, wording_title(alert), WORDING_NAME_MAX);
    draft_say(d, ", ");
    draft_say(d, wording_qualifier(alert));
    draft_say_number(d, alert->count);
    draft_say(d, " in ");
    say_window(d, alert);
    draft_say(d, " (limit ");
    draft_say_number(d, alert->threshold);
    draft_say(d, alert->arrived_late ? "; arrived late)" : ")");
}

void wording_breach(struct draft *d, const struct wire_alert *alert)
{
    draft_say_bold(d);
    draft_say(d, wording_qualifier(alert));
    draft_say_number(d, alert->count);
    draft_say(d, alert->count == 1 ? " match in " : " matches in ");
    say_window(d, alert);
    draft_say_bold(d);
    draft_say(d, " (more than ");
    draft_say_number(d, alert->threshold);
    draft_say(d, alert->arrived_late ? "; arrived late)" : ")");
}

void wording_suppressed(struct draft *d, const struct wire_alert *alert)
{
    draft_say_number(d, alert->suppressed);
    draft_say(d, alert->suppressed == 1 ? " more match was" : " more matches were");
    draft_say(d, " suppressed since the last alert");
}

void wording_value(struct draft *d, const struct wire_group *pair)
{
    draft_say(d, pair->value[0] == '\0' ? "(none)" : "");
    draft_show(d, pair->value, WORDING_VALUE_MAX);
}

void wording_range(struct draft *d, const struct wire_alert *alert, const char *between)
{
    draft_say_time(d, alert->first_us);
    draft_say(d, between);
    draft_say_time(d, alert->last_us);
}

void wording_details(struct draft *d, const struct wire_alert *alert, const char *line_start)
{
    draft_say(d, line_start);
    draft_say(d, "at ");
    draft_say_time(d, alert->at_us);
    draft_say(d, alert->arrived_late ? ", matches arrived late, from " : ", matches from ");
    wording_range(d, alert, " to ");
    for (size_t i = 0; i < alert->n_group && i < WORDING_FIELDS_MAX; i++) {
        draft_say(d, line_start);
        draft_show(d, alert->group[i].key, WORDING_NAME_MAX);
        draft_say(d, " ");
        wording_value(d, &alert->group[i]);
    }
    if (alert->suppressed > 0) {
        draft_say(d, line_start);
        wording_suppressed(d, alert);
    }
    if (alert->runbook[0] != '\0') {
        draft_say(d, line_start);
        draft_say(d, "runbook ");
        draft_show_linked(d, alert->runbook, WORDING_RUNBOOK_MAX);
    }
}

bool wording_has_origin(const struct wire_alert *alert)
{
    return alert->source[0] != '\0' || alert->process[0] != '\0';
}

void wording_origin(struct draft *d, const struct wire_alert *alert)
{
    draft_show(d, alert->source, WORDING_NAME_MAX);
    draft_say(d, "[");
    draft_show(d, alert->process, WORDING_NAME_MAX);
    draft_say(d, "]");
}
