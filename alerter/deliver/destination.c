/* The table of destinations; called by dispatch.c. */
#include "alerter/deliver/destination.h"

#include "common/base/text.h"

#include <string.h>

static const struct destination *const destinations[] = {
    &destination_slack,
    &destination_stdout,
};

const struct destination *destination_of(const struct settings *settings)
{
    size_t i = 0;

    while (!destinations[i]->is_set_up(settings))
        i++;
    return destinations[i];
}

void destination_set_reason(struct destination_verdict *verdict, const char *before,
                            const char *text)
{
    struct buf line;

    buf_init(&line, sizeof verdict->reason - 1);
    if (buf_puts(&line, before) == 0)
        text_append_printable(&line, text, strlen(text)); /* ERR_FULL keeps all that fits */
    memcpy(verdict->reason, buf_text(&line), line.len + 1);
    buf_close(&line);
}
