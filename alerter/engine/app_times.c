/* Counts marks of apps and notes the newest. Called by the engine, budgets.c and digest.c. */

#include "alerter/engine/app_times.h"

#include "common/base/hash.h"
#include "common/base/table.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <utlist.h>

struct app_time {
    int64_t time;
    uint64_t marks;
    struct app_time *prev, *next;
    UT_hash_handle hh;
    char name[]; /* of the app */
};

static void drop(struct app_times *l, struct app_time *one)
{
    HASH_DEL(l->table, one);
    DL_DELETE(l->stalest, one);
    l->n--;
    free(one);
}

void app_times_close(struct app_times *l)
{
    while (l->stalest != NULL)
        drop(l, l->stalest);
}

static struct app_time *find(const struct app_times *l, const char *app, size_t len)
{
    struct app_time *one;

    HASH_FIND(hh, l->table, app, len, one);
    return one;
}

static struct app_time *add(struct app_times *l, const char *app, size_t len, int64_t time,
                            uint64_t marks)
{
    struct app_time *one;

    HASH_ADD_NAMED(l->table, app, len, one);
    if (one == NULL)
        return NULL;
    one->time = time;
    one->marks = marks;
    DL_APPEND(l->stalest, one);
    l->n++;
    return one;
}

int app_times_mark(struct app_times *l, const char *app, int64_t time, size_t max_apps)
{
    size_t len = strlen(app);
    struct app_time *one = find(l, app, len);

    assert(max_apps >= 1);
    if (one == NULL) {
        if (add(l, app, len, time, 1) == NULL)
            return ERR_NOMEM;
    } else {
        one->time = time > one->time ? time : one->time;
        one->marks++;
        DL_DELETE(l->stalest, one);
        DL_APPEND(l->stalest, one);
    }
    while (l->n > max_apps)
        drop(l, l->stalest);
    return 0;
}

int64_t app_times_newest(const struct app_times *l, const char *app)
{
    const struct app_time *one = l->n == 0 ? NULL : find(l, app, strlen(app));

    return one == NULL ? APP_TIMES_NONE : one->time;
}

uint64_t app_times_marks(const struct app_times *l, const char *app)
{
    const struct app_time *one = l->n == 0 ? NULL : find(l, app, strlen(app));

    return one == NULL ? 0 : one->marks;
}

size_t app_times_most(const struct app_times *l, struct app_times_count *out, size_t max)
{
    const struct app_time *one;
    size_t n = 0, to;

    DL_FOREACH(l->stalest, one)
    {
        if (n == max && (max == 0 || out[n - 1].marks >= one->marks))
            continue;
        n += n < max;
        for (to = n - 1; to > 0 && out[to - 1].marks < one->marks; to--)
            out[to] = out[to - 1];
        out[to] = (struct app_times_count){.app = one->name, .marks = one->marks};
    }
    return n;
}

void app_times_save(const struct app_times *l, struct snapshot_writer *out)
{
    const struct app_time *one;

    snapshot_put_u64(out, l->n);
    DL_FOREACH(l->stalest, one)
    {
        snapshot_put_bytes(out, one->name, strlen(one->name));
        snapshot_put_i64(out, one->time);
        snapshot_put_u64(out, one->marks);
    }
}

static int load_one(struct app_times *l, struct snapshot_reader *in, int64_t latest)
{
    size_t len;
    const char *app = (const char *)snapshot_get_bytes(in, &len);
    int64_t time = snapshot_get_i64(in);
    uint64_t marks = in->version >= 7 ? snapshot_get_u64(in) : 1;

    if (in->bad || memchr(app, 0, len) != NULL || find(l, app, len) != NULL || time > latest ||
        time == APP_TIMES_NONE)
        return ERR_DAMAGED;
    return add(l, app, len, time, marks) == NULL ? ERR_NOMEM : 0;
}

int app_times_load(struct app_times *l, struct snapshot_reader *in, size_t max_apps, int64_t latest)
{
    size_t n = snapshot_get_count(in, 2);
    int rc = 0;

    if (n > max_apps)
        return ERR_DAMAGED;
    for (size_t i = 0; i < n && rc == 0; i++)
        rc = load_one(l, in, latest);
    return rc == 0 && in->bad ? ERR_DAMAGED : rc;
}
