/* The keys in a table by name and in a list by their last match. Called by the engine. */

#include "alerter/engine/keys.h"

#include "common/base/hash.h"
#include "common/base/table.h"
#include "common/rules/rules.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <utlist.h>

/* The keys of one app's rule: its groups, or the only one. */
struct family {
    struct entry *stalest;
    size_t n;
    size_t times;               /* in their windows */
    bool busy;                  /* touched since keys_keep_groups, and in that list */
    struct family *prev, *next; /* there */
    UT_hash_handle hh;
    char name[];
};

/* The name is "app\0rule\0", which names the family, and each value of the group, terminated. The
 * table compares names. All keys of a rule have the same number of values, so no two groups share a
 * name. */
struct entry {
    struct key key; /* first, so that one can be had from the other */
    struct entry *prev, *next;
    struct family *family;
    struct entry *older, *newer;
    UT_hash_handle hh;
    uint32_t n_group;
    char name[];
};

enum {
    SHARE = 16, /* of the largest family goes at once, so that families are seldom compared */
    /* More than a rules file and a message from the queue can hold, from which all of it comes. */
    NAME_MAX_BYTES = 4 << 20,
};

struct keys {
    struct entry *table;
    struct entry *stalest;
    struct family *families;
    struct family *busy;
    size_t n;
    size_t times;
    struct buf crowded; /* the name of the family that keys_keep made smaller last */
    struct buf name;    /* of the key that is searched or added */
    size_t family_len;  /* bytes of it that name the family */
    uint32_t n_group;
};

struct keys *keys_new(void)
{
    struct keys *k = calloc(1, sizeof *k);

    if (k == NULL)
        return NULL;
    buf_init(&k->crowded, NAME_MAX_BYTES);
    buf_init(&k->name, NAME_MAX_BYTES);
    return k;
}

/* The entry named k->name; NULL if there is none. */
static struct entry *find(const struct keys *k)
{
    struct entry *e;

    HASH_FIND(hh, k->table, k->name.data, k->name.len, e);
    return e;
}

static void make_busy(struct keys *k, struct family *f)
{
    if (f->busy)
        return;
    f->busy = true;
    DL_APPEND(k->busy, f);
}

static void make_idle(struct keys *k, struct family *f)
{
    if (!f->busy)
        return;
    f->busy = false;
    DL_DELETE(k->busy, f);
}

static void drop_if_empty(struct keys *k, struct family *f)
{
    if (f->n > 0)
        return;
    make_idle(k, f);
    HASH_DEL(k->families, f);
    free(f);
}

static void drop(struct keys *k, struct entry *e)
{
    HASH_DEL(k->table, e);
    DL_DELETE(k->stalest, e);
    DL_DELETE2(e->family->stalest, e, older, newer);
    e->family->n--;
    e->family->times -= e->key.window.n;
    drop_if_empty(k, e->family);
    k->n--;
    k->times -= e->key.window.n;
    window_close(&e->key.window);
    free(e);
}

void keys_free(struct keys *k)
{
    if (k == NULL)
        return;
    while (k->stalest != NULL)
        drop(k, k->stalest);
    buf_close(&k->name);
    buf_close(&k->crowded);
    free(k);
}

static const struct entry *entry_of(const struct key *key)
{
    return (const struct entry *)(const void *)key;
}

static const char *after(const char *text)
{
    return text + strlen(text) + 1;
}

const char *key_app(const struct key *key)
{
    return entry_of(key)->name;
}

const char *key_rule(const struct key *key)
{
    return after(key_app(key));
}

void key_group(const struct key *key, const char **values)
{
    const char *value = after(key_rule(key));

    for (uint32_t i = 0; i < entry_of(key)->n_group; i++, value = after(value))
        values[i] = value;
}

const struct key *keys_next(const struct keys *k, const struct key *key)
{
    const struct entry *next = key == NULL ? k->stalest : entry_of(key)->next;

    return next == NULL ? NULL : &next->key;
}

/* Finds or makes the family of k->name. NULL: no memory. */
static struct family *take_family(struct keys *k)
{
    const size_t len = k->family_len;
    struct family *f;

    HASH_FIND(hh, k->families, k->name.data, len, f);
    if (f == NULL)
        HASH_ADD_NAMED(k->families, k->name.data, len, f);
    return f;
}

static void append(struct keys *k, struct entry *e)
{
    DL_APPEND(k->stalest, e);
    k->n++;
    DL_APPEND2(e->family->stalest, e, older, newer);
    e->family->n++;
}

static void make_last(struct keys *k, struct entry *e)
{
    if (e->next == NULL) /* it is the last of its family, too */
        return;
    DL_DELETE(k->stalest, e);
    DL_APPEND(k->stalest, e);
    if (e->newer == NULL)
        return;
    DL_DELETE2(e->family->stalest, e, older, newer);
    DL_APPEND2(e->family->stalest, e, older, newer);
}

static struct entry *add(struct keys *k)
{
    const size_t len = k->name.len;
    struct entry *e = calloc(1, sizeof *e + len);

    if (e == NULL)
        return NULL;
    e->family = take_family(k);
    if (e->family == NULL) {
        free(e);
        return NULL;
    }
    memcpy(e->name, k->name.data, len);
    HASH_ADD_KEYPTR(hh, k->table, e->name, len, e);
    if (e->hh.tbl == NULL) {
        drop_if_empty(k, e->family);
        free(e);
        return NULL;
    }
    window_init(&e->key.window);
    e->key.alerted_us = e->key.arrived_us = KEY_NEVER;
    e->key.late_ms = INT64_MIN;
    e->n_group = k->n_group;
    append(k, e);
    return e;
}

/* Appends a part of a name and its zero; the caller reserved the room. */
static void put_part(struct buf *name, const char *part, size_t len)
{
    memcpy(name->data + name->len, part, len + 1);
    name->len += len + 1;
    name->data[name->len] = 0;
}

static int set_name(struct keys *k, const char *app, const char *rule, const char *const *group,
                    size_t n_group)
{
    struct buf *name = &k->name;
    size_t app_len = strlen(app), rule_len = strlen(rule), len = app_len + rule_len + 2;
    size_t group_len[RULES_GROUP_BY_MAX];

    assert(n_group <= RULES_GROUP_BY_MAX);
    for (size_t i = 0; i < n_group; i++)
        len += (group_len[i] = strlen(group[i])) + 1;
    buf_clear(name);
    if (buf_reserve(name, len) != 0)
        return ERR_NOMEM;
    put_part(name, app, app_len);
    put_part(name, rule, rule_len);
    k->family_len = name->len;
    for (size_t i = 0; i < n_group; i++)
        put_part(name, group[i], group_len[i]);
    k->n_group = (uint32_t)n_group;
    return 0;
}

struct key *keys_touch(struct keys *k, const char *app, const char *rule, const char *const *group,
                       size_t n_group)
{
    struct entry *e;

    if (set_name(k, app, rule, group, n_group) != 0)
        return NULL;
    e = find(k);
    if (e == NULL)
        e = add(k);
    else
        make_last(k, e);
    if (e == NULL)
        return NULL;
    if (n_group > 0)
        make_busy(k, e->family);
    return &e->key;
}

int keys_put(struct keys *k, struct key *key, const struct window_run *runs, size_t n,
             int64_t keep_ms, size_t max_times)
{
    struct family *family = entry_of(key)->family;
    size_t before = key->window.n;
    int rc = window_put(&key->window, runs, n, keep_ms, max_times);

    k->times = k->times - before + key->window.n;
    family->times = family->times - before + key->window.n;
    return rc;
}

size_t keys_keep_groups(struct keys *k, size_t max_groups)
{
    size_t before = k->n;

    assert(max_groups >= 1);
    while (k->busy != NULL) {
        struct family *f = k->busy;

        while (f->n > max_groups) /* at least one stays, and the family with it */
            drop(k, f->stalest);
        make_idle(k, f);
    }
    return before - k->n;
}

static size_t size_of(const struct family *f, bool by_keys)
{
    return by_keys ? f->n : f->times;
}

/* By app and rule. The order of the table is not the same after a snapshot. */
static bool is_before(const struct family *a, const struct family *b)
{
    const int order = strcmp(a->name, b->name);

    return order < 0 || (order == 0 && strcmp(after(a->name), after(b->name)) < 0);
}

/* There must be a key. */
static struct family *largest(const struct keys *k, bool by_keys)
{
    struct family *best = k->families;

    for (struct family *f = k->families; f != NULL; f = f->hh.next) {
        const size_t size = size_of(f, by_keys), most = size_of(best, by_keys);

        if (size > most || (size == most && is_before(f, best)))
            best = f;
    }
    return best;
}

/* The name is for the log alone, so it may be missing. */
static void note_crowded(struct keys *k, const struct family *f)
{
    buf_clear(&k->crowded);
    (void)buf_append(&k->crowded, f->name, f->hh.keylen);
}

/* Drops the stalest keys of a family, at least one, until a part of it is gone. */
static void shrink(struct keys *k, struct family *f, bool by_keys)
{
    const size_t size = size_of(f, by_keys), keep = size - 1 - size / SHARE;
    bool is_last;

    note_crowded(k, f);
    do {
        is_last = f->n == 1; /* the family goes with it */
        drop(k, f->stalest);
    } while (!is_last && k->n > 1 && size_of(f, by_keys) > keep);
}

size_t keys_keep(struct keys *k, size_t max_keys, size_t max_times)
{
    size_t before = k->n;

    while (k->n > max_keys || (k->n > 1 && k->times > max_times)) {
        const bool by_keys = k->n > max_keys;

        shrink(k, largest(k, by_keys), by_keys);
    }
    return before - k->n;
}

const char *keys_crowded(const struct keys *k, const char **rule)
{
    const char *app = buf_text(&k->crowded);

    *rule = k->crowded.len == 0 ? "" : after(app);
    return app;
}

void keys_drop(struct keys *k, keys_keep_fn *keep, void *ctx)
{
    struct entry *e, *next;

    DL_FOREACH_SAFE(k->stalest, e, next)
    {
        if (!keep(ctx, key_rule(&e->key)))
            drop(k, e);
    }
}

struct keys_counts keys_counts(const struct keys *k)
{
    return (struct keys_counts){.keys = k->n, .times = k->times};
}

static void save_arrivals(const struct key *key, struct snapshot_writer *out)
{
    snapshot_put_u64(out, key->is_noted | (unsigned)key->is_withheld << 1);
    snapshot_put_i64(out, key->arrived_us);
    snapshot_put_u64(out, key->late_ms != INT64_MIN);
    if (key->late_ms != INT64_MIN)
        snapshot_put_i64(out, key->late_ms);
}

/* Version 2 had none of this. Version 4 did not tell withheld alerts from others: all were withheld
 * while a digest waited. */
static void load_arrivals(struct key *key, struct snapshot_reader *in)
{
    uint64_t flags;

    key->is_withheld = in->version < 5;
    if (in->version < 3)
        return;
    flags = snapshot_get_max(in, in->version < 5 ? 1 : 3);
    key->is_noted = (flags & 1) != 0;
    key->is_withheld |= flags >= 2;
    key->arrived_us = snapshot_get_i64(in);
    if (snapshot_get_max(in, 1) != 0)
        key->late_ms = snapshot_get_i64(in);
}

void keys_save(const struct keys *k, struct snapshot_writer *out)
{
    const struct entry *e;

    snapshot_put_u64(out, k->n);
    DL_FOREACH(k->stalest, e)
    {
        const char *rule = after(e->name), *value = after(rule);

        snapshot_put_bytes(out, e->name, strlen(e->name));
        snapshot_put_bytes(out, rule, strlen(rule));
        snapshot_put_u64(out, e->n_group);
        for (uint32_t i = 0; i < e->n_group; i++, value = after(value))
            snapshot_put_bytes(out, value, strlen(value));
        snapshot_put_i64(out, e->key.alerted_us);
        snapshot_put_u64(out, e->key.since);
        save_arrivals(&e->key, out);
        window_save(&e->key.window, out);
    }
}

static int load_part(struct buf *name, struct snapshot_reader *in)
{
    size_t len;
    const uint8_t *text = snapshot_get_bytes(in, &len);

    if (in->bad || memchr(text, 0, len) != NULL || len >= NAME_MAX_BYTES - name->len)
        return ERR_DAMAGED;
    if (buf_append(name, text, len) != 0 || buf_append(name, "", 1) != 0)
        return ERR_NOMEM;
    return 0;
}

/* Reads a name as set_name would write it. */
static int load_name(struct keys *k, struct snapshot_reader *in)
{
    int rc;

    buf_clear(&k->name);
    rc = load_part(&k->name, in);
    if (rc == 0)
        rc = load_part(&k->name, in);
    k->family_len = k->name.len;
    k->n_group = (uint32_t)snapshot_get_max(in, UINT32_MAX);
    for (uint32_t i = 0; i < k->n_group && rc == 0; i++)
        rc = load_part(&k->name, in);
    return rc;
}

static int load_key(struct keys *k, struct snapshot_reader *in, const struct keys_limits *limits,
                    int64_t step_us, keys_known_fn *known, void *ctx)
{
    struct entry *e;
    int rc = load_name(k, in);

    if (rc != 0)
        return rc;
    if (find(k) != NULL || !known(ctx, after(buf_text(&k->name)), k->n_group))
        return ERR_DAMAGED;
    e = add(k);
    if (e == NULL)
        return ERR_NOMEM;
    if (e->n_group > 0 && e->family->n > limits->groups)
        return ERR_DAMAGED;
    e->key.alerted_us = snapshot_get_i64(in);
    e->key.since = snapshot_get_max(in, UINT64_MAX >> 1);
    load_arrivals(&e->key, in);
    rc = window_load(&e->key.window, in, limits->key_times);
    k->times += e->key.window.n;
    e->family->times += e->key.window.n;
    if (rc == 0 && (e->key.alerted_us < KEY_NEVER || e->key.alerted_us > step_us ||
                    e->key.arrived_us < KEY_NEVER || e->key.arrived_us > step_us))
        return ERR_DAMAGED;
    return rc;
}

int keys_load(struct keys *k, struct snapshot_reader *in, const struct keys_limits *limits,
              int64_t step_us, keys_known_fn *known, void *ctx)
{
    size_t n = snapshot_get_count(in, 9);
    int rc = 0;

    if (n > limits->keys)
        return ERR_DAMAGED;
    for (size_t i = 0; i < n && rc == 0; i++)
        rc = load_key(k, in, limits, step_us, known, ctx);
    return rc == 0 && in->bad ? ERR_DAMAGED : rc;
}
