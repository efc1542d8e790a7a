#include "alerter/deliver/draft.h"

#include "common/base/text.h"
#include "common/base/time.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

#define ELLIPSIS "…"
_Static_assert(sizeof ELLIPSIS - 1 == DRAFT_SHOW_MIN, "an ellipsis is the least that is shown");

void draft_init(struct draft *d, enum draft_form form)
{
    *d = (struct draft){.form = form};
    buf_init(&d->text, DRAFT_MAX);
}

void draft_close(struct draft *d)
{
    buf_close(&d->text);
}

void draft_say(struct draft *d, const char *words)
{
    if (d->rc == 0)
        d->rc = buf_puts(&d->text, words);
}

void draft_say_number(struct draft *d, uint64_t n)
{
    if (d->rc == 0)
        d->rc = buf_printf(&d->text, "%" PRIu64, n);
}

void draft_say_time(struct draft *d, int64_t us)
{
    char text[TIME_UTC_SIZE];

    time_format_utc(us, text);
    draft_say(d, text);
}

void draft_say_bold(struct draft *d)
{
    draft_say(d, d->form == DRAFT_MRKDWN ? "*" : "");
}

/* How one character is written, and how many bytes of it there were. */
struct piece {
    const char *text;
    size_t len;
    size_t took;
};

static struct piece character(const char *text, size_t left)
{
    const unsigned char lead = (unsigned char)text[0];
    size_t len = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;

    assert(len <= left); /* text_append_printable lets nothing else through */
    return (struct piece){text, len, len};
}

/* Slack's control characters as entities (Slack, "Escaping text"); and every third backtick in a
 * row is parted from the two before it by a zero-width space, since three would end a preformatted
 * block. */
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

static int append_cut(struct draft *d, const char *text, size_t n, size_t max)
{
    const size_t start = d->text.len;
    size_t keep = start;
    int backticks = 0;

    for (size_t i = 0; i < n;) {
        struct piece piece = d->form == DRAFT_PRINT
                                 ? character(text + i, n - i)
                                 : character_for_slack(text + i, n - i, &backticks);
        int rc = buf_append(&d->text, piece.text, piece.len);

        if (rc != 0)
            return rc;
        if (d->text.len - start > max) {
            d->text.len = keep;
            return buf_puts(&d->text, ELLIPSIS);
        }
        if (d->text.len - start <= max - strlen(ELLIPSIS))
            keep = d->text.len;
        i += piece.took;
    }
    return 0;
}

void draft_show_bytes(struct draft *d, const void *bytes, size_t n, size_t max)
{
    struct buf copy, clean;

    assert(max >= DRAFT_SHOW_MIN);
    if (d->rc != 0 || n == 0)
        return;
    buf_init(&copy, n);
    buf_init(&clean, 4 * n); /* each byte may become \xNN */
    d->rc = buf_append(&copy, bytes, n);
    if (d->rc == 0) {
        copy.len = text_redact_token((char *)copy.data, copy.len);
        d->rc = text_append_printable(&clean, (const char *)copy.data, copy.len);
    }
    if (d->rc == 0)
        d->rc = append_cut(d, buf_text(&clean), clean.len, max);
    buf_close(&clean);
    buf_close(&copy);
}

void draft_show(struct draft *d, const char *text, size_t max)
{
    draft_show_bytes(d, text, strlen(text), max);
}

/* Slack makes no links in verbatim text, so the mark for one is set here; only around an address in
 * which nothing has a meaning in that mark, and which is still whole when all of it is escaped. */
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
