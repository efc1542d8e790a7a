#include "alerter/commands/show.h"

#include "alerter/deliver/alertjson.h"
#include "alerter/deliver/draft.h"
#include "alerter/deliver/outbox.h"
#include "alerter/deliver/wording.h"
#include "common/app/args.h"
#include "common/app/log.h"
#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/time.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Bytes: a rule's name and most groups are whole. */
enum { SUBJECT_MAX = 600, NAME_MAX_BYTES = 300 };

static const char *const state_names[] = {
    [OUTBOX_WAITING] = "waiting",
    [OUTBOX_FAILED] = "failed",
    [OUTBOX_DELIVERED] = "delivered",
    [OUTBOX_EXPIRED] = "expired",
};

struct show {
    bool json;
    struct err *err;
};

/* A time, or null where there is none. */
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

/* Prints the object as one line and lets it go; it may be NULL. */
static int print_object(json_t *object, struct err *err)
{
    char *text = object == NULL ? NULL : json_dumps(object, JSON_COMPACT);

    json_decref(object);
    if (text == NULL)
        return err_set(err, ERR_NOMEM, "no memory to print an alert");
    puts(text);
    free(text);
    return 0;
}

/* What a line of text says of an alert, wherever it is shown. */
static void say_alert(struct draft *d, const struct wire_alert *alert)
{
    char window[TIME_WORDS_SIZE];

    time_format_words(alert->window_us, window);
    draft_say_time(d, alert->at_us);
    draft_say(d, "  ");
    draft_say(d, alert->id);
    draft_say(d, "  ");
    wording_subject(d, alert, alert->rule, SUBJECT_MAX);
    draft_say(d, ": ");
    draft_say(d, wording_qualifier(alert));
    draft_say_number(d, alert->count);
    draft_say(d, " in ");
    draft_say(d, window);
    draft_say(d, " (more than ");
    draft_say_number(d, alert->threshold);
    draft_say(d, "), ");
    draft_show(d, alert->app, NAME_MAX_BYTES);
    draft_say(d, ", ");
    draft_say_number(d, alert->suppressed);
    draft_say(d, " suppressed");
}

/* Prints what was written, and lets it go. */
static int print_line(struct draft *d, struct err *err)
{
    int rc = d->rc;

    if (rc == 0)
        puts(buf_text(&d->text));
    draft_close(d);
    return rc == 0 ? 0 : err_set(err, ERR_NOMEM, "no memory to print an alert");
}

int show_alert(const struct wire_alert *alert, bool json, struct err *err)
{
    struct draft line;

    if (json)
        return print_object(alertjson_new(alert), err);
    draft_init(&line, DRAFT_PRINT);
    say_alert(&line, alert);
    return print_line(&line, err);
}

void show_decided(const struct wire_alert *alert)
{
    struct draft about;

    draft_init(&about, DRAFT_PRINT);
    wording_subject(&about, alert, alert->rule, SUBJECT_MAX);
    log_info("alert %s: %s: %s%" PRIu64 " (more than %" PRIu64 ") in %s, %" PRIu64 " suppressed",
             alert->id, buf_text(&about.text), wording_qualifier(alert), alert->count,
             alert->threshold, alert->app, alert->suppressed);
    draft_close(&about);
}

static int print_json(struct show *show, const struct outbox_message *m)
{
    json_t *object = alertjson_new(&m->alert);

    if (object != NULL && json_object_set_new(object, "delivery", delivery_json(m)) != 0) {
        json_decref(object);
        object = NULL;
    }
    return print_object(object, show->err);
}

static int print_text(const struct outbox_message *m, struct err *err)
{
    struct draft line;

    draft_init(&line, DRAFT_PRINT);
    say_alert(&line, &m->alert);
    draft_say(&line, "  ");
    draft_say(&line, state_names[m->state]);
    draft_say(&line, " to ");
    draft_show(&line, m->channel, NAME_MAX_BYTES);
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
    return print_line(&line, err);
}

static int show_message(void *ctx, const struct outbox_message *m)
{
    struct show *show = ctx;

    if (!m->is_readable) {
        fprintf(stderr, "drainwatch-alerter: row %" PRId64 " was written by a newer build\n",
                m->row);
        return 0;
    }
    if (show->json)
        return print_json(show, m);
    return print_text(m, show->err);
}

int show_open_storage(const struct settings *settings, struct storage **out, struct err *err)
{
    char path[4096], aside[512];

    snprintf(path, sizeof path, "%s/alerter.db", settings->state_dir);
    if (access(path, F_OK) != 0 && errno == ENOENT)
        return err_set(err, ERR_IO,
                       "%s: there is none: no alerter ever ran with this state folder "
                       "(DRAINWATCH_STATE_DIR names the folder of the one that is meant)",
                       path);
    return storage_open(&(struct storage_options){.location = path, .read_only = true}, out, aside,
                        err);
}

static int list(const struct settings *settings, struct show *show)
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

bool show_format(const struct startup_program *program, const char *value, bool *json)
{
    *json = strcmp(value, "json") == 0;
    if (*json || strcmp(value, "text") == 0)
        return true;
    args_wrong(program, "--format takes text or json, not", value);
    return false;
}

int show_outbox(const struct startup_program *program, int argc, char **argv)
{
    struct settings settings;
    struct err err;
    struct show show = {.err = &err};
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
