/* Prints alerts and opens the storage to read it. Called by the commands. */
#include "alerter/commands/output.h"

#include "alerter/deliver/wording.h"
#include "common/app/args.h"
#include "common/base/time.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Bytes: a rule's name and most groups are whole. */
enum { SUBJECT_MAX = 600, NAME_MAX_BYTES = 300 };

/* ---- alerts ---- */

static json_t *rfc3339(int64_t us)
{
    char text[TIME_RFC3339_SIZE];

    time_format_rfc3339(us, text);
    return json_string(text);
}

json_t *output_time(int64_t us)
{
    return us > 0 ? rfc3339(us) : json_null();
}

static json_t *seconds(int64_t us)
{
    return us % TIME_S == 0 ? json_integer(us / TIME_S) : json_real((double)us / (double)TIME_S);
}

static json_t *group(const struct wire_group *pairs, size_t n)
{
    json_t *object = json_object();

    for (size_t i = 0; i < n; i++) {
        if (json_object_set_new(object, pairs[i].key, json_string(pairs[i].value)) != 0) {
            json_decref(object);
            return NULL;
        }
    }
    return object;
}

static json_t *worst(const struct wire_alert *digest)
{
    json_t *list = json_array();

    for (size_t i = 0; i < digest->n_worst; i++) {
        const struct wire_worst *one = &digest->worst[i];
        json_t *object =
            json_pack("{s:s, s:o, s:I}", "app", one->app, "group", group(one->group, one->n_group),
                      "count", (json_int_t)one->count);

        if (json_array_append_new(list, object) != 0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

static json_t *by_app(const struct wire_alert *digest)
{
    json_t *list = json_array();

    for (size_t i = 0; i < digest->n_by_app; i++) {
        const struct wire_withheld *one = &digest->by_app[i];
        json_t *object =
            json_pack("{s:s, s:I}", "app", one->app, "withheld", (json_int_t)one->alerts);

        if (json_array_append_new(list, object) != 0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

static json_t *digest_json(const struct wire_alert *digest)
{
    return json_pack("{s:s, s:s, s:s, s:s, s:o, s:I, s:I, s:I, s:o, s:o, s:o, s:I, s:o, s:o}", "id",
                     digest->id, "kind", digest->kind, "rule", digest->rule, "app", digest->app,
                     "at", rfc3339(digest->at_us), "apps", (json_int_t)digest->apps, "groups",
                     (json_int_t)digest->groups, "matches", (json_int_t)digest->count, "worst",
                     worst(digest), "by_app", by_app(digest), "window_s",
                     seconds(digest->window_us), "threshold", (json_int_t)digest->threshold,
                     "first", rfc3339(digest->first_us), "last", rfc3339(digest->last_us));
}

json_t *output_json(const struct wire_alert *alert)
{
    if (wire_is_digest(alert))
        return digest_json(alert);
    return json_pack("{s:s, s:s, s:s, s:s, s:o, s:o, s:I, s:b, s:o, s:I, s:I, s:o, s:o, s:o*}",
                     "id", alert->id, "kind", alert->kind, "rule", alert->rule, "app", alert->app,
                     "group", group(alert->group, alert->n_group), "at", rfc3339(alert->at_us),
                     "count", (json_int_t)alert->count, "at_least", alert->at_least, "window_s",
                     seconds(alert->window_us), "threshold", (json_int_t)alert->threshold,
                     "suppressed", (json_int_t)alert->suppressed, "first", rfc3339(alert->first_us),
                     "last", rfc3339(alert->last_us), "arrived_late",
                     alert->arrived_late ? json_true() : NULL);
}

void output_say_alert(struct draft *d, const struct wire_alert *alert)
{
    char window[TIME_WORDS_SIZE];

    time_format_words(alert->window_us, window);
    draft_say_time(d, alert->at_us);
    draft_say(d, "  %s  ", alert->id);
    wording_subject(d, alert, alert->rule, SUBJECT_MAX);
    if (wire_is_digest(alert)) {
        draft_say(d, ": ");
        wording_breach(d, alert);
        draft_say(d, ", ");
        wording_app(d, alert);
        return;
    }
    draft_say(d, ": %s%" PRIu64 " in %s (more than %" PRIu64 "%s), ", wording_qualifier(alert),
              alert->count, window, alert->threshold, alert->arrived_late ? "; arrived late" : "");
    draft_show(d, alert->app, NAME_MAX_BYTES);
    draft_say(d, ", %" PRIu64 " suppressed", alert->suppressed);
}

int output_object(json_t *object, struct err *err)
{
    char *text = object == NULL ? NULL : json_dumps(object, JSON_COMPACT);

    json_decref(object);
    if (text == NULL)
        return err_set(err, ERR_NOMEM, "no memory to print an alert");
    puts(text);
    free(text);
    return 0;
}

int output_line(struct draft *d, struct err *err)
{
    int rc = d->text.failed;

    if (rc == 0)
        puts(buf_text(&d->text));
    draft_close(d);
    return rc == 0 ? 0 : err_set(err, ERR_NOMEM, "no memory to print an alert");
}

int output_alert(const struct wire_alert *alert, bool json, struct err *err)
{
    struct draft line;

    if (json)
        return output_object(output_json(alert), err);
    line = draft_begin(DRAFT_PRINT);
    output_say_alert(&line, alert);
    return output_line(&line, err);
}

/* ---- a command ---- */

int output_flush(struct err *err)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return 0;
    return err_set(err, ERR_IO, "cannot write to standard output: %s", strerror(errno));
}

bool output_format(const struct startup_program *program, const char *value, bool *json)
{
    *json = strcmp(value, "json") == 0;
    if (*json || strcmp(value, "text") == 0)
        return true;
    args_wrong(program, "--format takes text or json, not", value);
    return false;
}

static int open_storage(const struct settings *settings, const char *program, struct storage **out,
                        struct err *err)
{
    struct startup_storage place;
    char aside[512];

    startup_storage(settings, program, &place);
    place.options.read_only = true;
    if (settings->database_url == NULL && access(place.path, F_OK) != 0 && errno == ENOENT)
        return err_set(err, ERR_IO,
                       "%s: there is none: no alerter ever ran with this state folder "
                       "(DRAINWATCH_STATE_DIR names the folder of the one that is meant, "
                       "DRAINWATCH_DATABASE_URL its database)",
                       place.path);
    return storage_open(&place.options, out, aside, err);
}

int output_from_storage(const struct startup_program *program, output_fn *fn, void *ctx)
{
    struct storage *storage = NULL;
    struct settings settings;
    struct err err;
    int rc, code = startup_settings(program, &settings);

    if (code != STARTUP_OK)
        return code;
    rc = open_storage(&settings, "command", &storage, &err);
    if (rc == 0)
        rc = fn(ctx, &settings, storage, &err);
    if (rc == 0)
        rc = output_flush(&err);
    if (rc != 0)
        code = startup_fail(program, err.text);
    storage_close(storage);
    settings_close(&settings);
    return code;
}
