#include "alerter/engine/engine.h"

#include "alerter/engine/engine_impl.h"
#include "alerter/engine/snapshot.h"
#include "common/base/time.h"

#include <assert.h>
#include <stdlib.h>

/* The counters, in the order in which they are saved. */
enum { N_COUNTERS = 11 };

static void list_counters(struct engine_counts *c, uint64_t *out[N_COUNTERS])
{
    size_t n = 0;

    out[n++] = &c->records;
    out[n++] = &c->repeats;
    out[n++] = &c->matches;
    out[n++] = &c->too_late;
    out[n++] = &c->skewed;
    out[n++] = &c->unknown_rule;
    out[n++] = &c->alerts;
    out[n++] = &c->cooled;
    out[n++] = &c->keys_dropped;
    out[n++] = &c->groups_dropped;
    out[n++] = &c->losses;
    assert(n == N_COUNTERS);
}

/* The rules come first: what follows speaks of them. */
int engine_save(const struct engine *e, struct buf *out)
{
    struct engine_counts counts = e->counts;
    uint64_t *counters[N_COUNTERS];
    struct snapshot_writer w;

    snapshot_begin(&w, out);
    snapshot_put_u64(&w, e->rules.rules != NULL);
    if (e->rules.rules != NULL)
        snapshot_put_bytes(&w, e->rules.text, e->rules.len);
    snapshot_put_u64(&w, (uint64_t)e->step_us);
    list_counters(&counts, counters);
    for (size_t i = 0; i < N_COUNTERS; i++)
        snapshot_put_u64(&w, *counters[i]);
    repeats_save(&e->frames, &w);
    losses_save(&e->losses, &w);
    keys_save(e->keys, &w);
    return snapshot_finish(&w);
}

static bool is_known(void *ctx, const char *name, size_t n_group)
{
    const struct rule *rule = ruleset_find(ctx, name);

    return rule != NULL && rule->group_by.n == n_group;
}

/* The checksum was right, so a text that is refused was good to the build that wrote it. */
static int load_rules(struct engine *e, struct snapshot_reader *r, struct err *err)
{
    struct err refused;
    const char *text;
    size_t len;
    int rc;

    if (snapshot_get_max(r, 1) == 0)
        return 0;
    text = (const char *)snapshot_get_bytes(r, &len);
    if (r->bad)
        return 0;
    rc = ruleset_read(&e->rules, text, len, &refused);
    if (rc == ERR_INPUT)
        return err_set(err, ERR_VERSION, "snapshot: this build refuses its rules: %.900s",
                       refused.text);
    return rc;
}

/* What the engine remembers, in the order in which engine_save writes it. */
static int load_memory(struct engine *e, struct snapshot_reader *r)
{
    struct repeats_limits frames = {.drains = e->limits.drains,
                                    .per_drain = e->limits.frames_per_drain,
                                    .total = e->limits.frames};
    struct keys_limits keys = {
        .keys = e->limits.keys, .groups = e->limits.groups, .key_times = e->limits.key_times};
    int rc = repeats_load(&e->frames, r, e->step_us, &frames);

    if (rc == 0)
        rc = losses_load(&e->losses, r, e->limits.apps,
                         e->step_us / TIME_MS + ENGINE_SKEW_MAX_US / TIME_MS);
    if (rc == 0)
        rc = keys_load(e->keys, r, &keys, e->step_us, is_known, &e->rules);
    if (rc == 0 && (!snapshot_complete(r) || keys_counts(e->keys).times > e->limits.times))
        rc = ERR_DAMAGED;
    return rc;
}

static int load_body(struct engine *e, struct snapshot_reader *r, struct err *err)
{
    uint64_t *counters[N_COUNTERS];
    int rc = load_rules(e, r, err);

    if (rc != 0)
        return rc;
    e->step_us = (int64_t)snapshot_get_max(r, INT64_MAX);
    list_counters(&e->counts, counters);
    for (size_t i = 0; i < N_COUNTERS; i++)
        *counters[i] = snapshot_get_u64(r);
    return load_memory(e, r);
}

int engine_load(struct engine **out, const void *bytes, size_t n, uint64_t seed, struct err *err)
{
    struct snapshot_reader r;
    struct engine *e;
    int rc = snapshot_open(&r, bytes, n, err);

    *out = NULL;
    if (rc != 0)
        return rc;
    e = engine_new(seed);
    if (e == NULL)
        return err_set(err, ERR_NOMEM, "snapshot: no memory");
    rc = load_body(e, &r, err);
    if (rc == 0) {
        *out = e;
        return 0;
    }
    engine_free(e);
    if (rc == ERR_NOMEM)
        return err_set(err, rc, "snapshot: no memory");
    if (rc == ERR_DAMAGED)
        return err_set(err, rc, "snapshot: it holds what no engine writes");
    return rc;
}
