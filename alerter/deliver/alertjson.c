/* Alerts as JSON; called by the commands that print alerts. */
#include "alerter/deliver/alertjson.h"

#include "common/base/time.h"

static json_t *rfc3339(int64_t us)
{
    char text[TIME_RFC3339_SIZE];

    time_format_rfc3339(us, text);
    return json_string(text);
}

static json_t *seconds(int64_t us)
{
    return us % TIME_S == 0 ? json_integer(us / TIME_S) : json_real((double)us / (double)TIME_S);
}

static json_t *group(const struct wire_alert *alert)
{
    json_t *object = json_object();

    for (size_t i = 0; i < alert->n_group; i++) {
        if (json_object_set_new(object, alert->group[i].key, json_string(alert->group[i].value)) !=
            0) {
            json_decref(object);
            return NULL;
        }
    }
    return object;
}

json_t *alertjson_new(const struct wire_alert *alert)
{
    const struct {
        const char *name;
        json_t *value;
    } members[] = {
        {"id", json_string(alert->id)},
        {"kind", json_string(alert->kind)},
        {"rule", json_string(alert->rule)},
        {"app", json_string(alert->app)},
        {"group", group(alert)},
        {"at", rfc3339(alert->at_us)},
        {"count", json_integer((json_int_t)alert->count)},
        {"at_least", json_boolean(alert->at_least)},
        {"window_s", seconds(alert->window_us)},
        {"threshold", json_integer((json_int_t)alert->threshold)},
        {"suppressed", json_integer((json_int_t)alert->suppressed)},
        {"first", rfc3339(alert->first_us)},
        {"last", rfc3339(alert->last_us)},
    };
    json_t *object = json_object();
    int bad = object == NULL;

    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++)
        bad |= json_object_set_new(object, members[i].name, members[i].value) != 0;
    if (alert->arrived_late)
        bad |= json_object_set_new(object, "arrived_late", json_true()) != 0;
    if (!bad)
        return object;
    json_decref(object);
    return NULL;
}
