#include "alerter/deliver/slack.h"

#include "alerter/deliver/draft.h"
#include "alerter/deliver/headline.h"
#include "common/base/err.h"
#include "common/base/time.h"

#include <jansson.h>
#include <stdbool.h>
#include <string.h>

/* Slack's limits (docs/facts.md) are in characters, and whether before or after escaping is not
 * said. Held in bytes after escaping they hold in every reading. What a name or a runbook may take
 * is our own, lower bound: Slack echoes the message in its answer, which has to stay in
 * http_client.h's bound with every character escaped. */
enum {
    HEADER_MAX = 150,
    NAME_MAX_BYTES = 200,
    RUNBOOK_MAX = 1000,
    SAMPLE_MAX = 2900, /* of the 3,000 of a section's text; the rest is for the fences */
    GROUP_MAX = 700,   /* a value of ingest's, 128 bytes, is whole with every character escaped */
    FIELDS_MAX = 10,
    MENTION_MAX = 32, /* ids are shorter */
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
    draft_say(d, headline_qualifier(a));
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

/* --- whom to mention --- */

/* How a mention of this one begins (Slack, "Formatting message text"). NULL: it is none that a
 * rules file may hold, but what a newer build stored. Of all other texts no "<" gets past the
 * escaping but the one before a runbook's web address, so nothing else can mention anybody. */
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

/* "<!here> <@U0123456789>", with `before` before the first; nothing where nobody is mentioned. */
static void say_mentions(struct draft *d, const struct wire_alert *a, const char *before)
{
    for (size_t i = 0; i < a->n_mentions && i < WIRE_MENTIONS_MAX; i++) {
        const char *opening = mention_opening(a->mentions[i]);

        if (opening == NULL)
            continue;
        draft_say(d, before);
        draft_say(d, opening);
        draft_say(d, a->mentions[i]);
        draft_say(d, ">");
        before = " ";
    }
}

/* --- blocks (Slack, "Block Kit") --- */

/* The draft as a text object, and the end of the draft. NULL where memory ran out at any point.
 * `verbatim` stops Slack from finding channels, people and links in what is plain text; what is
 * written as a mention still is one. */
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

/* As a character: `emoji` is off in a header, or a title could hold any. */
static const char *severity_mark(const struct wire_alert *a)
{
    static const char *const marks[][2] = {
        {"info", "🔵 "}, {"warning", "🟡 "}, {"error", "🟠 "}, {"critical", "🔴 "}};

    for (size_t i = 0; i < sizeof marks / sizeof marks[0] && headline_has_severity(a); i++) {
        if (strcmp(a->severity, marks[i][0]) == 0)
            return marks[i][1];
    }
    return "";
}

static json_t *header_block(const struct wire_alert *a)
{
    struct draft d;

    draft_init(&d, DRAFT_PLAIN);
    draft_say(&d, severity_mark(a));
    headline_show(&d, a, title_of(a), HEADER_MAX - d.text.len);
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

/* In a section: there mentions notify, which in a header or an attachment they do not. */
static int add_mentions(json_t *blocks, const struct wire_alert *a)
{
    struct draft d;

    draft_init(&d, DRAFT_MRKDWN);
    say_mentions(&d, a, "");
    if (d.rc != 0 || d.text.len > 0)
        return json_array_append_new(blocks, section(&d));
    draft_close(&d);
    return 0;
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
        draft_say(&d, a->group[i].value[0] == '\0' ? "(none)" : "");
        draft_show(&d, a->group[i].value, GROUP_MAX);
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
    rc |= add_mentions(blocks, a);
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
    headline_show(d, a, title_of(a), NAME_MAX_BYTES);
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

/* Mentions stand in both: whether Slack looks for them in `text` where there are blocks it does not
 * say, and nobody is notified twice. link_names and parse, which stay unset, are about names
 * without marks. */
static json_t *message_of(const struct wire_alert *a, const char *channel)
{
    struct draft to, text;

    draft_init(&to, DRAFT_PRINT);
    draft_show(&to, channel, NAME_MAX_BYTES);
    draft_init(&text, DRAFT_PLAIN);
    say_notification(&text, a);
    say_mentions(&text, a, " · ");
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
        draft_say(d, a->group[i].value[0] == '\0' ? " (none)" : " ");
        draft_show(d, a->group[i].value, GROUP_MAX);
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
