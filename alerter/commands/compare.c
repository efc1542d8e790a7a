/* Prints the alerts that only one of two rules files decides. Called by replay. */
#include "alerter/commands/compare.h"

#include "alerter/commands/show.h"
#include "alerter/deliver/alertjson.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HELD_MAX = 64 << 20, PACKED_MAX = 1 << 30 }; /* no stream has more alerts at one step time */

struct compare_alert {
    char id[WIRE_ID_SIZE];
    enum compare_side side;
    bool is_common;
    size_t at; /* in `packed` */
    size_t len;
};

int compare_open(struct compare *c, struct trial *before, struct trial *after,
                 struct progress *progress, bool json, struct err *err)
{
    *c = (struct compare){.sides = {before, after}, .progress = progress, .json = json};
    buf_init(&c->held, HELD_MAX);
    buf_init(&c->packed, PACKED_MAX);
    c->wire = wire_new();
    return c->wire == NULL ? err_set(err, ERR_NOMEM, "out of memory") : 0;
}

void compare_close(struct compare *c)
{
    wire_free(c->wire);
    buf_close(&c->packed);
    buf_close(&c->held);
    *c = (struct compare){0};
}

static struct compare_alert *held(struct compare *c, size_t *n)
{
    *n = c->held.len / sizeof(struct compare_alert);
    return (void *)c->held.data;
}

static int hold(struct compare *c, enum compare_side side, const struct wire_alert *alert,
                struct err *err)
{
    struct compare_alert one = {.side = side, .at = c->packed.len};
    int rc = wire_pack_alert(alert, &c->packed);

    memcpy(one.id, alert->id, sizeof one.id);
    one.len = c->packed.len - one.at;
    if (rc == 0)
        rc = buf_append(&c->held, &one, sizeof one);
    return rc == 0 ? 0 : err_set(err, rc, "too many alerts at one time to compare them");
}

static int by_id(const void *a, const void *b)
{
    const struct compare_alert *const *x = a, *const *y = b;

    return memcmp((*x)->id, (*y)->id, WIRE_ID_SIZE);
}

/* Marks the alerts of one id if both sides have some. */
static void mark_equal(struct compare *c, struct compare_alert **equal, size_t n)
{
    bool has[2] = {false, false};

    for (size_t i = 0; i < n; i++)
        has[equal[i]->side] = true;
    if (!has[COMPARE_OLD] || !has[COMPARE_NEW])
        return;
    c->both++;
    for (size_t i = 0; i < n; i++)
        equal[i]->is_common = true;
}

static int mark_common(struct compare *c, struct err *err)
{
    size_t n, first = 0;
    struct compare_alert *all = held(c, &n);
    struct compare_alert **sorted = calloc(n, sizeof(struct compare_alert *));

    if (sorted == NULL)
        return err_set(err, ERR_NOMEM, "no memory to compare %zu alerts", n);
    for (size_t i = 0; i < n; i++)
        sorted[i] = &all[i];
    qsort(sorted, n, sizeof(struct compare_alert *), by_id);
    for (size_t i = 1; i <= n; i++) {
        if (i < n && by_id(&sorted[i], &sorted[first]) == 0)
            continue;
        mark_equal(c, sorted + first, i - first);
        first = i;
    }
    free(sorted);
    return 0;
}

static int print_json(const struct wire_alert *alert, const char *only, struct err *err)
{
    json_t *rest = alertjson_new(alert);
    json_t *object = rest == NULL ? NULL : json_pack("{s:s}", "only", only);
    char *text = NULL;

    if (object != NULL && json_object_update(object, rest) == 0)
        text = json_dumps(object, JSON_COMPACT);
    json_decref(object);
    json_decref(rest);
    if (text == NULL)
        return err_set(err, ERR_NOMEM, "no memory to print an alert");
    puts(text);
    free(text);
    return 0;
}

static int print(struct compare *c, const struct compare_alert *one, struct err *err)
{
    bool is_old = one->side == COMPARE_OLD;
    struct wire_alert alert;
    int rc = wire_unpack_alert(c->wire, c->packed.data + one->at, one->len, &alert, err);

    if (rc != 0)
        return rc;
    c->only[one->side]++;
    progress_end(c->progress);
    if (c->json)
        return print_json(&alert, is_old ? "old" : "new", err);
    fputs(is_old ? "- " : "+ ", stdout);
    return show_alert(&alert, false, err);
}

int compare_settle(struct compare *c, struct err *err)
{
    size_t n;
    const struct compare_alert *all = held(c, &n);
    int rc = n > 0 ? mark_common(c, err) : 0;

    for (size_t i = 0; rc == 0 && i < n; i++) {
        if (!all[i].is_common)
            rc = print(c, &all[i], err);
    }
    buf_clear(&c->held);
    buf_clear(&c->packed);
    return rc;
}

int compare_entry(struct compare *c, const struct wire_entry *entry, struct err *err)
{
    int rc = 0;

    if (entry->step_us > c->step_us) { /* the engine raises an earlier one, too */
        rc = compare_settle(c, err);
        c->step_us = entry->step_us;
    }
    for (int side = 0; rc == 0 && side < 2; side++) {
        struct engine_outcomes alerts;

        rc = trial_entry(c->sides[side], entry, &alerts, err);
        for (size_t i = 0; rc == 0 && i < alerts.n_alerts; i++)
            rc = hold(c, (enum compare_side)side, &alerts.alerts[i], err);
    }
    return rc;
}
