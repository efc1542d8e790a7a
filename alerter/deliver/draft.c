/* Writes one text of a message; called by wording.c, slack_message.c, print.c and the commands. */
#include "alerter/deliver/draft.h"

#include "common/base/err.h"
#include "common/base/text.h"
#include "common/base/time.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ELLIPSIS "…"
#define LINE_END " ⏎ " /* in a form that has one line */
_Static_assert(sizeof ELLIPSIS - 1 == DRAFT_SHOW_MIN, "an ellipsis is the least that is shown");

struct draft draft_begin(enum draft_form form)
{
    struct draft d = {.form = form};

    buf_init(&d.text, DRAFT_MAX);
    return d;
}

void draft_close(struct draft *d)
{
    buf_close(&d->text);
}

void draft_say(struct draft *d, const char *fmt, ...)
{
    char *words;
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vasprintf(&words, fmt, ap);
    va_end(ap);
    if (n < 0) {
        d->text.failed = ERR_NOMEM;
        return;
    }
    (void)buf_append(&d->text, words, (size_t)n);
    free(words);
}

void draft_say_time(struct draft *d, int64_t us)
{
    char text[TIME_UTC_SIZE];

    time_format_utc(us, text);
    draft_say(d, "%s", text);
}

void draft_say_local_time(struct draft *d, int64_t us)
{
    char text[TIME_UTC_SIZE];

    time_format_utc(us, text);
    if (d->form == DRAFT_MRKDWN)
        draft_say(d, "<!date^%" PRId64 "^{date_short_pretty} {time_secs}|%s>", us / TIME_S, text);
}

void draft_say_bold(struct draft *d)
{
    draft_say(d, "%s", d->form == DRAFT_MRKDWN ? "*" : "");
}

/* One character as it is written, and the bytes of the source that it stands for. */
struct piece {
    const char *text;
    size_t len;
    size_t source_len;
};

static struct piece character(const char *text, size_t left)
{
    const unsigned char lead = (unsigned char)text[0];
    size_t len = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;

    assert(len <= left); /* text_append_printable writes whole characters */
    return (struct piece){text, len, len};
}

/* Slack's control characters become entities (Slack, "Escaping text"). A zero-width space goes
 * before every third backtick in a row, because three would end a preformatted block. */
static struct piece character_for_slack(const char *text, size_t left, int *backticks)
{
    *backticks = text[0] == '`' ? *backticks + 1 : 0;
    if (*backticks == 3) {
        *backticks = 1;
        return (struct piece){"\u200b`", strlen("\u200b`"), 1};
    }
    switch (text[0]) {
    case '&':
        return (struct piece){"&amp;", 5, 1};
    case '<':
        return (struct piece){"&lt;", 4, 1};
    case '>':
        return (struct piece){"&gt;", 4, 1};
    default:
        return character(text, left);
    }
}

static void append_cut(struct draft *d, const char *text, size_t n, size_t max)
{
    const size_t start = d->text.len;
    size_t keep = start;
    int backticks = 0;

    for (size_t i = 0; i < n;) {
        struct piece piece = d->form == DRAFT_PRINT
                                 ? character(text + i, n - i)
                                 : character_for_slack(text + i, n - i, &backticks);

        if (buf_append(&d->text, piece.text, piece.len) != 0)
            return;
        if (d->text.len - start > max) {
            d->text.len = keep;
            (void)buf_puts(&d->text, ELLIPSIS);
            return;
        }
        if (d->text.len - start <= max - strlen(ELLIPSIS))
            keep = d->text.len;
        i += piece.source_len;
    }
}

static size_t trim_end(const char *text, size_t n)
{
    while (n > 0 && (text[n - 1] == '\n' || text[n - 1] == ' '))
        n--;
    return n;
}

/* Makes `text` printable; its line ends become `line_end`. */
static void append_lines(struct buf *out, const struct buf *text, const char *line_end)
{
    const char *at = buf_text(text), *end = at + text->len;

    while (at < end) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        const char *stop = newline != NULL ? newline : end;

        (void)text_append_printable(out, at, (size_t)(stop - at));
        if (newline != NULL)
            (void)buf_puts(out, line_end);
        at = newline != NULL ? newline + 1 : end;
    }
}

/* `line_end` NULL: one line, in which a line end is a control byte like others. */
static void show(struct draft *d, const void *bytes, size_t n, const char *line_end, size_t max)
{
    struct buf copy, clean;

    assert(max >= DRAFT_SHOW_MIN);
    if (n == 0)
        return;
    buf_init(&copy, n);
    buf_init(&clean, 5 * n); /* a byte becomes at most " ⏎ " */
    if (buf_append(&copy, bytes, n) == 0) {
        if (line_end != NULL) {
            copy.len = trim_end((char *)copy.data, text_strip_terminal((char *)copy.data, n));
            copy.len = text_redact_line((char *)copy.data, copy.len);
        } else {
            copy.len = text_redact_secrets((char *)copy.data, copy.len);
        }
        if (line_end != NULL)
            append_lines(&clean, &copy, line_end);
        else
            (void)text_append_printable(&clean, buf_text(&copy), copy.len);
        append_cut(d, buf_text(&clean), clean.len, max);
    }
    if (copy.failed != 0 || clean.failed != 0)
        d->text.failed = ERR_NOMEM;
    buf_close(&clean);
    buf_close(&copy);
}

void draft_show_bytes(struct draft *d, const void *bytes, size_t n, size_t max)
{
    show(d, bytes, n, NULL, max);
}

void draft_show_sample(struct draft *d, struct wire_bytes sample, size_t max)
{
    show(d, sample.data, sample.len, d->form == DRAFT_MRKDWN ? "\n" : LINE_END, max);
}

void draft_show(struct draft *d, const char *text, size_t max)
{
    draft_show_bytes(d, text, strlen(text), max);
}

/* Slack makes no links in verbatim text, so a link is marked here: only around an address without
 * characters of the mark, and only if the whole address fits when it is escaped. */
static size_t link_length(const char *text, size_t max)
{
    const size_t n = strcspn(text, " ");

    if (strncmp(text, "https://", 8) != 0 && strncmp(text, "http://", 7) != 0)
        return 0;
    for (size_t i = 0; i < n; i++) {
        if (text[i] <= ' ' || text[i] >= 0x7f || strchr("<>|\"`", text[i]) != NULL)
            return 0;
    }
    return n <= max / strlen("&amp;") ? n : 0;
}

void draft_show_linked(struct draft *d, const char *text, size_t max)
{
    size_t n = d->form == DRAFT_MRKDWN ? link_length(text, max) : 0;

    if (n > 0) {
        draft_say(d, "<");
        draft_show_bytes(d, text, n, max);
        draft_say(d, ">");
    }
    draft_show(d, text + n, max);
}
