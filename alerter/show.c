#include "alerter/show.h"

#include "alerter/alertjson.h"
#include "alerter/store.h"
#include "common/buf.h"
#include "common/err.h"
#include "common/text.h"
#include "common/time.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

/* What a line of text says of an alert, wherever it is shown; without a line end. */
static void print_line(const struct wire_alert *alert)
{
    char at[TIME_UTC_SIZE], window[TIME_WORDS_SIZE];

    time_format_utc(alert->at_us, at);
    time_format_words(alert->window_us, window);
    printf("%s  %s  %s: %s%" PRIu64 " in %s (more than %" PRIu64 "), %s, %" PRIu64 " suppressed",
           at, alert->id, alert->rule,
           alert->at_least ? "at least "
           : alert->about  ? "about "
                           : "",
           alert->count, window, alert->threshold, alert->app, alert->suppressed);
}

int show_alert(const struct wire_alert *alert, bool json, struct err *err)
{
    if (json)
        return print_object(alertjson_new(alert), err);
    print_line(alert);
    putchar('\n');
    return 0;
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

static void print_text(const struct outbox_message *m)
{
    char next[TIME_UTC_SIZE];
    struct buf answer;

    buf_init(&answer, OUTBOX_ANSWER_SIZE * 4);
    (void)text_append_printable(&answer, m->last_answer, strlen(m->last_answer)); /* or cut */
    time_format_utc(m->next_try_us, next);
    print_line(&m->alert);
    printf("  %s to %s, %d %s", state_names[m->state], m->channel, m->facts.tries,
           m->facts.tries == 1 ? "try" : "tries");
    if (answer.len > 0)
        printf(", last answer: %s", buf_text(&answer));
    if (m->state == OUTBOX_WAITING && m->next_try_us > 0)
        printf(", next try: %s", next);
    putchar('\n');
    buf_close(&answer);
}

static int show_message(void *ctx, const struct outbox_message *m)
{
    struct show *show = ctx;

    if (!m->readable) {
        fprintf(stderr, "drainwatch-alerter: row %" PRId64 " was written by a newer build\n",
                m->row);
        return 0;
    }
    if (show->json)
        return print_json(show, m);
    print_text(m);
    return 0;
}

static int list(const struct settings *settings, struct show *show)
{
    char path[4096], aside[512];
    struct store *store;
    int rc;

    snprintf(path, sizeof path, "%s/alerter.db", settings->state_dir);
    rc = store_open(&(struct store_options){.path = path, .read_only = true}, &store, aside,
                    show->err);
    if (rc != 0)
        return rc;
    rc = outbox_list(store_outbox(store), show_message, show, show->err);
    if (rc == 0 && (fflush(stdout) != 0 || ferror(stdout)))
        rc = err_set(show->err, ERR_IO, "cannot write to standard output: %s", strerror(errno));
    store_close(store);
    return rc;
}

bool show_format(const struct startup_program *program, const char *value, bool *json)
{
    *json = strcmp(value, "json") == 0;
    if (*json || strcmp(value, "text") == 0)
        return true;
    startup_usage(program, "--format takes text or json, not", value);
    return false;
}

int show_outbox(const struct startup_program *program, int argc, char **argv)
{
    struct settings settings;
    struct err err;
    struct show show = {.err = &err};
    int code;

    for (int i = 2; i < argc; i++) {
        if (strcmp(argv[i], "--format") != 0)
            return startup_usage(program, "unknown argument", argv[i]);
        if (!show_format(program, ++i < argc ? argv[i] : "", &show.json))
            return STARTUP_USAGE;
    }
    code = startup_settings(program, &settings);
    if (code != STARTUP_OK)
        return code;
    if (list(&settings, &show) != 0)
        code = startup_fail(program, err.text);
    settings_close(&settings);
    return code;
}
