#define HASH_NONFATAL_OOM 1

#include "alerter/keys.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <uthash.h>
#include <utlist.h>

/* The name is "app\0rule\0", which is what the table compares. A group will follow it. */
struct entry {
    struct key key; /* first, so that one can be had from the other */
    struct entry *prev, *next;
    UT_hash_handle hh;
    size_t rule_at; /* where the rule begins in the name */
    char name[];
};

struct keys {
    struct entry *table;
    struct entry *stalest;
    size_t n;
    size_t times;
    struct buf name; /* of the key that is looked for */
};

enum { NAME_MAX_BYTES = 4 << 20 }; /* twice what a rules file can hold, and more */

struct keys *keys_new(void)
{
    struct keys *k = calloc(1, sizeof *k);

    if (k != NULL)
        buf_init(&k->name, NAME_MAX_BYTES);
    return k;
}

static void drop(struct keys *k, struct entry *e)
{
    HASH_DEL(k->table, e);
    DL_DELETE(k->stalest, e);
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
    free(k);
}

static const struct entry *entry_of(const struct key *key)
{
    return (const struct entry *)(const void *)key;
}

const char *key_app(const struct key *key)
{
    return entry_of(key)->name;
}

const char *key_rule(const struct key *key)
{
    const struct entry *e = entry_of(key);

    return e->name + e->rule_at;
}

static struct entry *add(struct keys *k, size_t rule_at)
{
    struct entry *e = calloc(1, sizeof *e + k->name.len);

    if (e == NULL)
        return NULL;
    window_init(&e->key.window);
    e->key.alerted_us = KEY_NEVER;
    e->rule_at = rule_at;
    memcpy(e->name, k->name.data, k->name.len);
    HASH_ADD_KEYPTR(hh, k->table, e->name, k->name.len, e);
    if (e->hh.tbl == NULL) { /* uthash's way to say that it found no memory */
        free(e);
        return NULL;
    }
    DL_APPEND(k->stalest, e);
    k->n++;
    return e;
}

struct key *keys_touch(struct keys *k, const char *app, const char *rule)
{
    size_t rule_at = strlen(app) + 1;
    struct entry *e;

    buf_clear(&k->name);
    if (buf_append(&k->name, app, rule_at) != 0 ||
        buf_append(&k->name, rule, strlen(rule) + 1) != 0)
        return NULL;
    HASH_FIND(hh, k->table, k->name.data, k->name.len, e);
    if (e == NULL) {
        e = add(k, rule_at);
    } else if (e->next != NULL) {
        DL_DELETE(k->stalest, e);
        DL_APPEND(k->stalest, e);
    }
    return e == NULL ? NULL : &e->key;
}

int keys_put(struct keys *k, struct key *key, const struct window_run *runs, size_t n,
             int64_t keep_ms, size_t max_times)
{
    size_t before = key->window.n;
    int rc = window_put(&key->window, runs, n, keep_ms, max_times);

    k->times = k->times - before + key->window.n;
    return rc;
}

size_t keys_keep(struct keys *k, size_t max_keys, size_t max_times)
{
    size_t before = k->n;

    while (k->n > max_keys || (k->n > 1 && k->times > max_times))
        drop(k, k->stalest);
    return before - k->n;
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

void keys_save(const struct keys *k, struct snapshot_writer *out)
{
    const struct entry *e;

    snapshot_put_u64(out, k->n);
    DL_FOREACH(k->stalest, e)
    {
        snapshot_put_bytes(out, key_app(&e->key), strlen(key_app(&e->key)));
        snapshot_put_bytes(out, key_rule(&e->key), strlen(key_rule(&e->key)));
        snapshot_put_i64(out, e->key.alerted_us);
        snapshot_put_u64(out, e->key.since);
        window_save(&e->key.window, out);
    }
}

/* Adds the two names to the buffer as keys_touch would. False: a fault or no memory. */
static int load_name(struct keys *k, struct snapshot_reader *in, size_t *rule_at)
{
    buf_clear(&k->name);
    for (int part = 0; part < 2; part++) {
        size_t len;
        const uint8_t *text = snapshot_get_bytes(in, &len);

        if (in->bad || memchr(text, 0, len) != NULL || len > NAME_MAX_BYTES / 2 - 1)
            return ERR_DAMAGED;
        if (part == 1)
            *rule_at = k->name.len;
        if (buf_append(&k->name, text, len) != 0 || buf_append(&k->name, "", 1) != 0)
            return ERR_NOMEM;
    }
    return 0;
}

static int load_key(struct keys *k, struct snapshot_reader *in, size_t max_times, int64_t step_us,
                    keys_keep_fn *known, void *ctx)
{
    struct entry *e;
    size_t rule_at = 0;
    int rc = load_name(k, in, &rule_at);

    if (rc != 0)
        return rc;
    HASH_FIND(hh, k->table, k->name.data, k->name.len, e);
    if (e != NULL || !known(ctx, (const char *)k->name.data + rule_at))
        return ERR_DAMAGED;
    e = add(k, rule_at);
    if (e == NULL)
        return ERR_NOMEM;
    e->key.alerted_us = snapshot_get_i64(in);
    e->key.since = snapshot_get_max(in, UINT64_MAX >> 1);
    rc = window_load(&e->key.window, in, max_times);
    k->times += e->key.window.n;
    if (rc == 0 && (e->key.alerted_us < KEY_NEVER || e->key.alerted_us > step_us))
        return ERR_DAMAGED;
    return rc;
}

int keys_load(struct keys *k, struct snapshot_reader *in, size_t max_keys, size_t max_times,
              int64_t step_us, keys_keep_fn *known, void *ctx)
{
    size_t n = snapshot_get_count(in, 8);
    int rc = 0;

    if (n > max_keys)
        return ERR_DAMAGED;
    for (size_t i = 0; i < n && rc == 0; i++)
        rc = load_key(k, in, max_times, step_us, known, ctx);
    return rc == 0 && in->bad ? ERR_DAMAGED : rc;
}
