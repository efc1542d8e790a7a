/* Prints and logs alerts, and opens the storage to read it. Called by the commands and, for the
 * log, by the alerter's turn. */
#include "alerter/commands/show.h"

#include "alerter/deliver/alertjson.h"
#include "alerter/deliver/draft.h"
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

int show_object(json_t *object, struct err *err)
{
    char *text = object == NULL ? NULL : json_dumps(object, JSON_COMPACT);

    json_decref(object);
    if (text == NULL)
        return err_set(err, ERR_NOMEM, "no memory to print an alert");
    puts(text);
    free(text);
    return 0;
}

void show_say_alert(struct draft *d, const struct wire_alert *alert)
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
    draft_say(d, alert->arrived_late ? "; arrived late), " : "), ");
    draft_show(d, alert->app, NAME_MAX_BYTES);
    draft_say(d, ", ");
    draft_say_number(d, alert->suppressed);
    draft_say(d, " suppressed");
}

int show_line(struct draft *d, struct err *err)
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
        return show_object(alertjson_new(alert), err);
    draft_init(&line, DRAFT_PRINT);
    show_say_alert(&line, alert);
    return show_line(&line, err);
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

bool show_format(const struct startup_program *program, const char *value, bool *json)
{
    *json = strcmp(value, "json") == 0;
    if (*json || strcmp(value, "text") == 0)
        return true;
    args_wrong(program, "--format takes text or json, not", value);
    return false;
}
