/* JSON lines as log exporters write them: a message, a time and a source by their usual names; a
 * row of input_formats. */
#include "ingest/input/records.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

enum { DEPTH_MAX = 4, TIME_SIZE = 48 };

/* The names, the likeliest first: Papertrail, Vector, Fluent Bit, Logstash, Docker, Loki, Datadog,
 * Splunk, LogDNA, journald, Graylog, Google Cloud. Each list ends in NULL. */
static const char *const messages[] = {
    "message", "msg",      "log",         "line",  "text",  "body",          "Message", "MESSAGE",
    "_raw",    "@message", "textPayload", "_line", "event", "short_message", NULL};
static const char *const times[] = {"generated_at", "timestamp", "@timestamp",  "time", "ts",
                                    "_time",        "datetime",  "date",        "dt",   "Timestamp",
                                    "_ts",          "eventTime", "received_at", NULL};
static const char *const programs[] = {"program", "appname",     "app_name", "APP-NAME", "ident",
                                       "source",  "programname", "_app",     NULL};
static const char *const processes[] = {"procid", "proc_id", "PROCID", "process",
                                        "dyno",   "pid",     "ps",     NULL};
/* Objects in which exporters wrap the line or its fields. */
static const char *const wrappers[] = {"content", "attributes", "syslog",      "heroku",
                                       "_source", "fields",     "result",      "labels",
                                       "event",   "data",       "jsonPayload", NULL};

/* The first of these names that is text or a number; wrapped objects are searched last. */
static const json_t *find(const json_t *object, const char *const *names, int depth)
{
    const json_t *found = NULL;

    for (size_t i = 0; names[i] != NULL; i++) {
        const json_t *value = json_object_get(object, names[i]);

        if (json_is_string(value) || json_is_number(value))
            return value;
    }
    for (size_t i = 0; depth < DEPTH_MAX && found == NULL && wrappers[i] != NULL; i++) {
        const json_t *inner = json_object_get(object, wrappers[i]);

        if (json_is_object(inner))
            found = find(inner, names, depth + 1);
    }
    return found;
}

static struct line_text text_of(const json_t *value)
{
    if (!json_is_string(value))
        return (struct line_text){"", 0};
    return (struct line_text){json_string_value(value), json_string_length(value)};
}

static bool time_of(const json_t *value, int64_t *us)
{
    char number[TIME_SIZE];
    int n = 0;

    if (json_is_string(value))
        return records_time(json_string_value(value), json_string_length(value), us);
    if (json_is_integer(value))
        n = snprintf(number, sizeof number, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    else if (json_is_real(value))
        n = snprintf(number, sizeof number, "%.6f", json_real_value(value));
    return n > 0 && records_time(number, (size_t)n, us);
}

static bool read_object(struct records *r, const json_t *object)
{
    const json_t *message = find(object, messages, 0);
    struct record record = {
        .program = text_of(find(object, programs, 0)),
        .process = text_of(find(object, processes, 0)),
        .message = text_of(message),
    };

    if (!json_is_string(message))
        return false;
    record.has_time = time_of(find(object, times, 0), &record.time_us);
    records_add(r, &record);
    return true;
}

/* Papertrail's API wraps many lines in one object. */
static bool read_events(struct records *r, const json_t *events)
{
    bool any = false;
    size_t i;
    json_t *event;

    json_array_foreach(events, i, event) any = read_object(r, event) || any;
    return any;
}

static bool read_json(struct records *r, const char *text, size_t len)
{
    const json_t *events;
    json_t *object;
    bool is_read;

    while (len > 0 && (*text == ' ' || *text == '\t')) {
        text++;
        len--;
    }
    if (len == 0 || *text != '{')
        return false;
    object = json_loadb(text, len, JSON_ALLOW_NUL | JSON_DISABLE_EOF_CHECK, NULL);
    if (object == NULL)
        return false;
    events = json_object_get(object, "events");
    is_read = json_is_array(events) ? read_events(r, events) : read_object(r, object);
    json_decref(object);
    return is_read;
}

static struct input *json_lines_new(void)
{
    return records_new(read_json);
}

static bool json_lines_recognises(const char *bytes, size_t n)
{
    return records_recognise(bytes, n, read_json);
}

const struct input_format input_json_lines = {
    .name = "JSON lines",
    .recognises = json_lines_recognises,
    .new = json_lines_new,
    .free = records_free,
    .begin = records_begin,
    .push = records_push,
    .finish = records_finish,
};
