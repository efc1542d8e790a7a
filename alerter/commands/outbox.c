/* `drainwatch-alerter outbox`: lists the rows of the outbox. */
#include "alerter/commands/outbox.h"

#include "alerter/commands/show.h"
#include "alerter/deliver/alertjson.h"
#include "alerter/deliver/outbox.h"
#include "common/app/args.h"
#include "common/base/time.h"

#include <errno.h>
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

/* A time, or null if it is 0. */
static json_t *time_or_null(int64_t us)
{
    char text[TIME_RFC3339_SIZE];

    if (us == 0)
        return json_null();
    time_format_rfc3339(us, text);
    return json_string(text);
}

static json_t *delivery_json(const struct outbox_message *m)
{
    bool waits = m->state == OUTBOX_WAITING;

    return json_pack("{s:s, s:s, s:i, s:o, s:o, s:o, s:s}", "state", state_names[m->state],
                     "channel", m->channel, "tries", m->facts.tries, "last_try",
                     time_or_null(m->facts.tries > 0 ? m->facts.last_try_us : 0), "next_try",
                     time_or_null(waits ? m->next_try_us : 0), "ended", time_or_null(m->ended_us),
                     "last_answer", m->last_answer);
}

static int print_json(struct listing *show, const struct outbox_message *m)
{
    json_t *object = alertjson_new(&m->alert);

    if (object != NULL && json_object_set_new(object, "delivery", delivery_json(m)) != 0) {
        json_decref(object);
        object = NULL;
    }
    return show_object(object, show->err);
}

static int print_text(const struct outbox_message *m, struct err *err)
{
    struct draft line;

    draft_init(&line, DRAFT_PRINT);
    show_say_alert(&line, &m->alert);
    draft_say(&line, "  ");
    draft_say(&line, state_names[m->state]);
    draft_say(&line, " to ");
    draft_show(&line, m->channel, CHANNEL_MAX_BYTES);
    draft_say(&line, ", ");
    draft_say_number(&line, (uint64_t)m->facts.tries);
    draft_say(&line, m->facts.tries == 1 ? " try" : " tries");
    if (m->last_answer[0] != '\0') {
        draft_say(&line, ", last answer: ");
        draft_show(&line, m->last_answer, 4 * (size_t)OUTBOX_ANSWER_SIZE);
    }
    if (m->state == OUTBOX_WAITING && m->next_try_us > 0) {
        draft_say(&line, ", next try: ");
        draft_say_time(&line, m->next_try_us);
    }
    return show_line(&line, err);
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

static int list(const struct settings *settings, struct listing *show)
{
    struct storage *storage;
    struct outbox *outbox = NULL;
    int rc = show_open_storage(settings, &storage, show->err);

    if (rc != 0)
        return rc;
    rc = outbox_open(storage, &outbox, show->err);
    if (rc == 0)
        rc = outbox_list(outbox, show_message, show, show->err);
    if (rc == 0 && (fflush(stdout) != 0 || ferror(stdout)))
        rc = err_set(show->err, ERR_IO, "cannot write to standard output: %s", strerror(errno));
    outbox_close(outbox);
    storage_close(storage);
    return rc;
}

int outbox_command(const struct startup_program *program, int argc, char **argv)
{
    struct settings settings;
    struct err err;
    struct listing show = {.err = &err};
    const char *format = "text";
    const struct args_option options[] = {{"format", &format, NULL}, {0}};
    int code;

    if (args_read(program, argc, argv, options, 0) < 0 || !show_format(program, format, &show.json))
        return STARTUP_USAGE;
    code = startup_settings(program, &settings);
    if (code != STARTUP_OK)
        return code;
    if (list(&settings, &show) != 0)
        code = startup_fail(program, err.text);
    settings_close(&settings);
    return code;
}
