#include "alerter/show.h"

#include "alerter/alertjson.h"
#include "alerter/store.h"
#include "common/buf.h"
#include "common/err.h"
#include "common/text.h"
#include "common/time.h"

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

static int print_json(struct show *show, const struct outbox_message *m)
{
    json_t *object = alertjson_new(&m->alert);
    char *text = NULL;

    if (object != NULL && json_object_set_new(object, "delivery", delivery_json(m)) == 0)
        text = json_dumps(object, JSON_COMPACT);
    json_decref(object);
    if (text == NULL)
        return err_set(show->err, ERR_NOMEM, "no memory to print an alert");
    puts(text);
    free(text);
    return 0;
}

static int print_text(struct show *show, const struct outbox_message *m)
{
    char at[TIME_UTC_SIZE], next[TIME_UTC_SIZE], answer[OUTBOX_ANSWER_SIZE * 4 + 1] = "";
    struct buf line;

    (void)show;
    time_format_utc(m->alert.at_us, at);
    time_format_utc(m->next_try_us, next);
    buf_init(&line, sizeof answer - 1);
    if (text_append_printable(&line, m->last_answer, strlen(m->last_answer)) == 0)
        snprintf(answer, sizeof answer, "%s", buf_text(&line));
    buf_close(&line);
    printf("%s  %s  %-9s  %s  %" PRIu64 " in %s to %s, %d tries%s%s%s%s\n", at, m->alert.id,
           state_names[m->state], m->alert.rule, m->alert.count, m->alert.app, m->channel,
           m->facts.tries, answer[0] != '\0' ? ", last answer: " : "", answer,
           m->state == OUTBOX_WAITING && m->next_try_us > 0 ? ", next try: " : "",
           m->state == OUTBOX_WAITING && m->next_try_us > 0 ? next : "");
    return 0;
}

static int show_message(void *ctx, const struct outbox_message *m)
{
    struct show *show = ctx;

    if (!m->readable) {
        fprintf(stderr, "drainwatch-alerter: row %" PRId64 " was written by a newer build\n",
                m->row);
        return 0;
    }
    return show->json ? print_json(show, m) : print_text(show, m);
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
    store_close(store);
    return rc;
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
        if (++i == argc || (strcmp(argv[i], "json") != 0 && strcmp(argv[i], "text") != 0))
            return startup_usage(program, "--format takes text or json, not",
                                 i == argc ? "" : argv[i]);
        show.json = strcmp(argv[i], "json") == 0;
    }
    code = startup_settings(program, &settings);
    if (code != STARTUP_OK)
        return code;
    if (list(&settings, &show) != 0)
        code = startup_fail(program, err.text);
    settings_close(&settings);
    return code;
}
