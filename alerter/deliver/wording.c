/* Words for an alert; called by slack_message.c, print.c and the alerter's commands. */
#include "alerter/deliver/wording.h"

#include "common/base/err.h"
#include "common/base/text.h"
#include "common/base/time.h"

#include <assert.h>
#include <inttypes.h>
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

/* Whether it is one word of visible ASCII, which cannot pass for anything else. */
static bool is_plain_word(const char *text)
{
    while (*text > ' ' && *text < 0x7f && *text != '"')
        text++;
    return *text == '\0';
}

static void append_part(struct buf *out, const char *text, bool is_quoted)
{
    const size_t n = text_cut(text, strlen(text), PART_MAX);

    for (size_t i = 0; i < n; i++) {
        if (is_quoted && (text[i] == '"' || text[i] == '\\'))
            (void)buf_puts(out, "\\");
        (void)buf_append(out, text + i, 1);
    }
}

/* "process web.3", "path "/a, b"", "no path". A visitor chooses the path: in quotes it cannot pass
 * for further pairs or for our own words. */
static void append_pair(struct buf *out, const struct wire_group *pair)
{
    const bool is_quoted = !is_plain_word(pair->value);
    const bool is_empty = pair->value[0] == '\0';
    const char *quote = is_quoted ? "\"" : "";

    (void)buf_puts(out, is_empty ? "no " : "");
    append_part(out, pair->key, false);
    (void)buf_printf(out, "%s%s", is_empty ? "" : " ", quote);
    append_part(out, pair->value, is_quoted);
    (void)buf_puts(out, quote);
}

/* "process web.3, path /slow" in at most `max` bytes. */
static void show_pairs(struct draft *d, const struct wire_group *group, size_t n, size_t max)
{
    struct buf pairs;

    buf_init(&pairs, n * (3 * PART_MAX + 16));
    for (size_t i = 0; i < n; i++) {
        (void)buf_puts(&pairs, i > 0 ? ", " : "");
        append_pair(&pairs, &group[i]);
    }
    draft_show_bytes(d, pairs.data, pairs.len, max);
    if (pairs.failed != 0)
        d->text.failed = pairs.failed;
    buf_close(&pairs);
}

/* " (process web.3, path /slow)" in at most `max` bytes; "" for an alert without groups. */
static void show_group(struct draft *d, const struct wire_alert *alert, size_t max)
{
    if (alert->n_group == 0)
        return;
    draft_say(d, " (");
    show_pairs(d, alert->group, alert->n_group, max - strlen(" ()"));
    draft_say(d, ")");
}

static void show_name_and_group(struct draft *d, const struct wire_alert *alert, const char *name,
                                size_t max)
{
    struct draft whole = draft_begin(d->form), group = draft_begin(d->form);
    size_t keep;

    draft_show(&whole, name, max);
    keep = whole.text.len < max / 2 ? whole.text.len : max / 2;
    show_group(&group, alert, max - (keep < DRAFT_SHOW_MIN ? DRAFT_SHOW_MIN : keep));
    draft_show(d, name, max - group.text.len);
    draft_say(d, "%s", buf_text(&group.text));
    if (whole.text.failed != 0 || group.text.failed != 0)
        d->text.failed = ERR_NOMEM;
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

static void say_duration(struct draft *d, int64_t us)
{
    char words[TIME_WORDS_SIZE];

    time_format_words(us > 0 ? us : 0, words);
    draft_say(d, "%s", words);
}

static void say_window(struct draft *d, const struct wire_alert *alert)
{
    say_duration(d, alert->window_us);
}

/* "1,995 matches", "1 match" */
static void say_number(struct draft *d, uint64_t n, const char *one, const char *many)
{
    char count[TEXT_COUNT_SIZE];

    text_format_count(n, count);
    draft_say(d, "%s %s", count, text_plural(n, one, many));
}

void wording_app(struct draft *d, const struct wire_alert *alert)
{
    if (!wire_is_digest(alert) || alert->app[0] != '\0')
        draft_show(d, alert->app, WORDING_NAME_MAX);
    else if (alert->apps > 1)
        say_number(d, alert->apps, "app", "apps");
    else
        draft_say(d, "several apps");
}

void wording_more(struct draft *d, const struct wire_alert *digest)
{
    if (digest->worst[0].n_group > 0)
        say_number(d, digest->groups, "more group", "more groups");
    else
        say_number(d, digest->withheld, "more alert", "more alerts");
    draft_say(d, " in ");
    say_duration(d, digest->period_us);
}

void wording_worst(struct draft *d, const struct wire_alert *digest, size_t i)
{
    const struct wire_worst *worst = &digest->worst[i];
    const bool shows_app = digest->app[0] == '\0' || worst->n_group == 0;

    if (shows_app)
        draft_show(d, worst->app, WORDING_NAME_MAX);
    draft_say(d, "%s", shows_app && worst->n_group > 0 ? ", " : "");
    show_pairs(d, worst->group, worst->n_group, WORDING_WORST_MAX - WORDING_NAME_MAX - 50);
    draft_say(d, ": ");
    say_number(d, worst->count, "match", "matches");
}

bool wording_has_by_app(const struct wire_alert *alert)
{
    return alert->n_by_app > 1;
}

void wording_by_app(struct draft *d, const struct wire_alert *digest)
{
    for (size_t i = 0; i < digest->n_by_app; i++) {
        draft_say(d, "%s", i > 0 ? ", " : "");
        draft_show(d, digest->by_app[i].app, WORDING_NAME_MAX);
        draft_say(d, " ");
        say_number(d, digest->by_app[i].alerts, "alert", "alerts");
    }
    if (digest->apps > digest->n_by_app) {
        draft_say(d, ", and ");
        say_number(d, digest->apps - digest->n_by_app, "more app", "more apps");
    }
}

void wording_notification(struct draft *d, const struct wire_alert *alert)
{
    draft_say(d, "%s", wording_colour(alert));
    wording_app(d, alert);
    draft_say(d, ": ");
    show_name_and_group(d, alert, wording_title(alert), WORDING_NAME_MAX);
    if (wire_is_digest(alert)) {
        draft_say(d, ", ");
        wording_more(d, alert);
        return;
    }
    draft_say(d, ", %s%" PRIu64 " in ", wording_qualifier(alert), alert->count);
    say_window(d, alert);
    draft_say(d, " (limit %" PRIu64 "%s)", alert->threshold,
              alert->arrived_late ? "; arrived late" : "");
}

static void say_digest(struct draft *d, const struct wire_alert *digest)
{
    draft_say_bold(d);
    wording_more(d, digest);
    draft_say_bold(d);
    draft_say(d, ", ");
    say_number(d, digest->count, "match", "matches");
    draft_say(d, " (each more than %" PRIu64 " in ", digest->threshold);
    say_window(d, digest);
    draft_say(d, ")");
}

void wording_breach(struct draft *d, const struct wire_alert *alert)
{
    if (wire_is_digest(alert)) {
        say_digest(d, alert);
        return;
    }
    draft_say_bold(d);
    draft_say(d, "%s%" PRIu64 " %s in ", wording_qualifier(alert), alert->count,
              text_plural(alert->count, "match", "matches"));
    say_window(d, alert);
    draft_say_bold(d);
    draft_say(d, " (more than %" PRIu64 "%s)", alert->threshold,
              alert->arrived_late ? "; arrived late" : "");
}

void wording_suppressed(struct draft *d, const struct wire_alert *alert)
{
    draft_say(d, "%" PRIu64 " more %s suppressed since the last alert", alert->suppressed,
              text_plural(alert->suppressed, "match was", "matches were"));
}

void wording_value(struct draft *d, const struct wire_group *pair)
{
    draft_say(d, "%s", pair->value[0] == '\0' ? "(none)" : "");
    draft_show(d, pair->value, WORDING_VALUE_MAX);
}

void wording_range(struct draft *d, const struct wire_alert *alert, const char *between)
{
    draft_say_time(d, alert->first_us);
    draft_say(d, "%s", between);
    draft_say_time(d, alert->last_us);
}

void wording_details(struct draft *d, const struct wire_alert *alert, const char *line_start)
{
    draft_say(d, "%sat ", line_start);
    draft_say_time(d, alert->at_us);
    draft_say(d, ", matches%s from ", alert->arrived_late ? " arrived late," : "");
    wording_range(d, alert, " to ");
    for (size_t i = 0; i < alert->n_group && i < WORDING_FIELDS_MAX; i++) {
        draft_say(d, "%s", line_start);
        draft_show(d, alert->group[i].key, WORDING_NAME_MAX);
        draft_say(d, " ");
        wording_value(d, &alert->group[i]);
    }
    if (alert->suppressed > 0) {
        draft_say(d, "%s", line_start);
        wording_suppressed(d, alert);
    }
    for (size_t i = 0; i < alert->n_worst; i++) {
        draft_say(d, "%s", line_start);
        wording_worst(d, alert, i);
    }
    if (wording_has_by_app(alert)) {
        draft_say(d, "%swithheld: ", line_start);
        wording_by_app(d, alert);
    }
    if (alert->runbook[0] != '\0') {
        draft_say(d, "%srunbook ", line_start);
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
