/* The apps that lost lines, each with its newest loss. Called by the engine. */

#include "alerter/engine/losses.h"

#include "common/base/hash.h"
#include "common/base/table.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <utlist.h>

struct loss {
    int64_t ms;
    struct loss *prev, *next;
    UT_hash_handle hh;
    char app[];
};

static void drop(struct losses *l, struct loss *loss)
{
    HASH_DEL(l->table, loss);
    DL_DELETE(l->stalest, loss);
    l->n--;
    free(loss);
}

void losses_close(struct losses *l)
{
    while (l->stalest != NULL)
        drop(l, l->stalest);
}

static struct loss *find(const struct losses *l, const char *app, size_t len)
{
    struct loss *loss;

    HASH_FIND(hh, l->table, app, len, loss);
    return loss;
}

static struct loss *add(struct losses *l, const char *app, size_t len, int64_t ms)
{
    struct loss *loss = calloc(1, sizeof *loss + len + 1);

    if (loss == NULL)
        return NULL;
    loss->ms = ms;
    memcpy(loss->app, app, len);
    HASH_ADD_KEYPTR(hh, l->table, loss->app, len, loss);
    if (loss->hh.tbl == NULL) { /* uthash found no memory */
        free(loss);
        return NULL;
    }
    DL_APPEND(l->stalest, loss);
    l->n++;
    return loss;
}

int losses_mark(struct losses *l, const char *app, int64_t ms, size_t max_apps)
{
    size_t len = strlen(app);
    struct loss *loss = find(l, app, len);

    assert(max_apps >= 1);
    if (loss == NULL) {
        if (add(l, app, len, ms) == NULL)
            return ERR_NOMEM;
    } else {
        loss->ms = ms > loss->ms ? ms : loss->ms;
        DL_DELETE(l->stalest, loss);
        DL_APPEND(l->stalest, loss);
    }
    while (l->n > max_apps)
        drop(l, l->stalest);
    return 0;
}

int64_t losses_newest(const struct losses *l, const char *app)
{
    const struct loss *loss = l->n == 0 ? NULL : find(l, app, strlen(app));

    return loss == NULL ? LOSSES_NONE : loss->ms;
}

void losses_save(const struct losses *l, struct snapshot_writer *out)
{
    const struct loss *loss;

    snapshot_put_u64(out, l->n);
    DL_FOREACH(l->stalest, loss)
    {
        snapshot_put_bytes(out, loss->app, strlen(loss->app));
        snapshot_put_i64(out, loss->ms);
    }
}

static int load_loss(struct losses *l, struct snapshot_reader *in, int64_t latest_ms)
{
    size_t len;
    const char *app = (const char *)snapshot_get_bytes(in, &len);
    int64_t ms = snapshot_get_i64(in);

    if (in->bad || memchr(app, 0, len) != NULL || find(l, app, len) != NULL || ms > latest_ms ||
        ms == LOSSES_NONE)
        return ERR_DAMAGED;
    return add(l, app, len, ms) == NULL ? ERR_NOMEM : 0;
}

int losses_load(struct losses *l, struct snapshot_reader *in, size_t max_apps, int64_t latest_ms)
{
    size_t n = snapshot_get_count(in, 2);
    int rc = 0;

    if (n > max_apps)
        return ERR_DAMAGED;
    for (size_t i = 0; i < n && rc == 0; i++)
        rc = load_loss(l, in, latest_ms);
    return rc == 0 && in->bad ? ERR_DAMAGED : rc;
}
