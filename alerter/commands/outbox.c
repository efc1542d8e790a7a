/* `drainwatch-alerter outbox`: lists the rows of the outbox. */
#include "alerter/commands/commands.h"

#include "alerter/commands/output.h"
#include "alerter/deliver/outbox.h"
#include "common/app/args.h"
#include "common/base/text.h"
#include "common/base/time.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum { CHANNEL_MAX_BYTES = 300 };

static const char *const state_names[] = {
    [OUTBOX_WAITING] = "waiting",
    [OUTBOX_FAILED] = "failed",
    [OUTBOX_DELIVERED] = "delivered",
    [OUTBOX_EXPIRED] = "expired",
};

struct listing {
    bool json;
    struct err *err;
};

static json_t *delivery_json(const struct outbox_message *m)
{
    bool waits = m->state == OUTBOX_WAITING;

    return json_pack("{s:s, s:s, s:i, s:o, s:o, s:o, s:s}", "state", state_names[m->state],
                     "channel", m->channel, "tries", m->facts.tries, "last_try",
                     output_time(m->facts.tries > 0 ? m->facts.last_try_us : 0), "next_try",
                     output_time(waits ? m->next_try_us : 0), "ended", output_time(m->ended_us),
                     "last_answer", m->last_answer);
}

static int print_json(struct listing *show, const struct outbox_message *m)
{
    json_t *object = output_json(&m->alert);

    if (json_object_set_new(object, "delivery", delivery_json(m)) != 0) {
        json_decref(object);
        object = NULL;
    }
    return output_object(object, show->err);
}

static int print_text(const struct outbox_message *m, struct err *err)
{
    struct draft line = draft_begin(DRAFT_PRINT);

    output_say_alert(&line, &m->alert);
    draft_say(&line, "  %s to ", state_names[m->state]);
    draft_show(&line, m->channel, CHANNEL_MAX_BYTES);
    draft_say(&line, ", %d %s", m->facts.tries,
              text_plural((uint64_t)m->facts.tries, "try", "tries"));
    if (m->last_answer[0] != '\0') {
        draft_say(&line, ", last answer: ");
        draft_show(&line, m->last_answer, 4 * (size_t)OUTBOX_ANSWER_SIZE);
    }
    if (m->state == OUTBOX_WAITING && m->next_try_us > 0) {
        draft_say(&line, ", next try: ");
        draft_say_time(&line, m->next_try_us);
    }
    return output_line(&line, err);
}

static int show_message(void *ctx, const struct outbox_message *m)
{
    struct listing *show = ctx;

    if (!m->is_readable) {
        fprintf(stderr, "drainwatch-alerter: row %" PRId64 " was written by a newer build\n",
                m->row);
        return 0;
    }
    if (show->json)
        return print_json(show, m);
    return print_text(m, show->err);
}

static int list(void *ctx, const struct settings *settings, struct storage *storage,
                struct err *err)
{
    struct listing *show = ctx;
    struct outbox *outbox;
    int rc = outbox_open(storage, &outbox, err);

    (void)settings;
    show->err = err;
    if (rc == 0)
        rc = outbox_list(outbox, show_message, show, err);
    outbox_close(outbox);
    return rc;
}

int outbox_command(const struct startup_program *program, int argc, char **argv)
{
    struct listing show = {0};
    const char *format = "text";
    const struct args_option options[] = {{"format", &format, NULL}, {0}};

    if (args_read(program, argc, argv, options, 0) < 0 ||
        !output_format(program, format, &show.json))
        return STARTUP_USAGE;
    return output_from_storage(program, list, &show);
}
