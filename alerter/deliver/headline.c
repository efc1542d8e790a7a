#include "alerter/deliver/headline.h"

#include "common/base/text.h"

#include <assert.h>
#include <string.h>

enum {
    SEVERITY_MAX = 16,
    /* Of a key or a value, before it is made fit to show: more than any headline takes. */
    PART_MAX = WIRE_GROUP_TEXT_MAX,
};

bool headline_has_severity(const struct wire_alert *alert)
{
    return alert->severity != NULL && alert->severity[0] != '\0';
}

const char *headline_qualifier(const struct wire_alert *alert)
{
    return alert->at_least ? "at least " : alert->about ? "about " : "";
}

static int append_part(struct buf *out, const char *text)
{
    return buf_append(out, text, text_cut(text, strlen(text), PART_MAX));
}

/* "process web.3", "path "/a, b"", "no path". Whoever asks for a page chooses its path: in quotes
 * one with a space cannot pass for further pairs. */
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

/* " (process web.3, path /slow)" in at most `max` bytes; nothing where there is no group. */
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

static void show_severity(struct draft *d, const struct wire_alert *alert)
{
    if (!headline_has_severity(alert))
        return;
    draft_say(d, "[");
    draft_show(d, alert->severity, SEVERITY_MAX);
    draft_say(d, "] ");
}

void headline_show(struct draft *d, const struct wire_alert *alert, const char *name, size_t max)
{
    struct draft whole, group;
    size_t start = d->text.len, left, keep;

    assert(max >= HEADLINE_MIN);
    show_severity(d, alert);
    left = max - (d->text.len - start);
    draft_init(&whole, d->form);
    draft_init(&group, d->form);
    draft_show(&whole, name, left);
    keep = whole.text.len < left / 2 ? whole.text.len : left / 2;
    show_group(&group, alert, left - (keep < DRAFT_SHOW_MIN ? DRAFT_SHOW_MIN : keep));
    draft_show(d, name, left - group.text.len);
    draft_say(d, buf_text(&group.text));
    if (d->rc == 0)
        d->rc = whole.rc != 0 ? whole.rc : group.rc;
    draft_close(&group);
    draft_close(&whole);
}
