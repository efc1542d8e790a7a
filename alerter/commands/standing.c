/* Gathers how the rules, the queue and the outbox stand. Called by the command `status`. */
#include "alerter/commands/standing.h"

#include "alerter/commands/show.h"
#include "alerter/deliver/outbox.h"
#include "common/app/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

/* ---- keys and apps ---- */

struct gather {
    struct standing *s;
    size_t cap;
    bool no_memory;
};

static void add_key(void *ctx, const struct engine_key *key)
{
    struct gather *g = ctx;
    struct standing *s = g->s;

    if (g->no_memory)
        return;
    if (s->n_keys == g->cap) {
        size_t cap = g->cap == 0 ? 64 : 2 * g->cap;
        struct standing_key *more = realloc(s->keys, cap * sizeof *more);

        if (more == NULL) {
            g->no_memory = true;
            return;
        }
        s->keys = more;
        g->cap = cap;
    }
    s->keys[s->n_keys] = (struct standing_key){.at = *key};
    memcpy(s->keys[s->n_keys].values, key->values, key->rule->group_by.n * sizeof *key->values);
    s->n_keys++;
}

static int by_name(const void *a, const void *b)
{
    const struct standing_app *x = a, *y = b;

    return strcmp(x->name, y->name);
}

static int by_rule_and_count(const void *a, const void *b)
{
    const struct standing_key *x = a, *y = b;

    if (x->at.rule != y->at.rule)
        return x->at.rule < y->at.rule ? -1 : 1;
    if (x->at.count != y->at.count)
        return x->at.count > y->at.count ? -1 : 1;
    if (x->at.alerted_us != y->at.alerted_us)
        return x->at.alerted_us > y->at.alerted_us ? -1 : 1;
    return strcmp(x->at.app, y->at.app);
}

/* One app for each name among the rules and the keys, with its newest delivery. */
static int gather_apps(struct standing *s)
{
    const size_t n_named = s->rules->app_names.n, n = n_named + s->n_keys;
    size_t kept = 0;

    s->apps = calloc(n + 1, sizeof *s->apps);
    if (s->apps == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < n_named; i++)
        s->apps[i] = (struct standing_app){s->rules->app_names.items[i], ENGINE_NEVER};
    for (size_t i = 0; i < s->n_keys; i++)
        s->apps[n_named + i] = (struct standing_app){s->keys[i].at.app, s->keys[i].at.arrived_us};
    qsort(s->apps, n, sizeof *s->apps, by_name);
    for (size_t i = 0; i < n; i++) {
        if (kept == 0 || strcmp(s->apps[kept - 1].name, s->apps[i].name) != 0)
            s->apps[kept++] = s->apps[i];
        else if (s->apps[i].arrived_us > s->apps[kept - 1].arrived_us)
            s->apps[kept - 1].arrived_us = s->apps[i].arrived_us;
    }
    s->n_apps = kept;
    return 0;
}

static int gather_keys(struct standing *s, struct err *err)
{
    struct gather g = {.s = s};

    s->rules = engine_rules(s->fold.engine);
    if (s->rules == NULL)
        return 0;
    engine_each_key(s->fold.engine, s->now_us, add_key, &g);
    if (g.no_memory || gather_apps(s) != 0)
        return err_set(err, ERR_NOMEM, "no memory for the state of the keys");
    if (s->n_keys > 0)
        qsort(s->keys, s->n_keys, sizeof *s->keys, by_rule_and_count);
    return 0;
}

/* ---- the outbox ---- */

static int count_message(void *ctx, const struct outbox_message *message)
{
    struct standing *s = ctx;

    s->outbox[message->state]++;
    if (message->state == OUTBOX_WAITING && message->next_try_us < s->next_try_us)
        s->next_try_us = message->next_try_us;
    return 0;
}

static int gather_outbox(struct standing *s, struct storage *storage, struct err *err)
{
    struct outbox *outbox;
    int rc = outbox_open(storage, &outbox, err);

    if (rc != 0)
        return rc;
    s->next_try_us = INT64_MAX;
    rc = outbox_list(outbox, count_message, s, err);
    if (rc == 0)
        rc = outbox_health(outbox, &s->delivery, err);
    outbox_close(outbox);
    return rc;
}

/* ---- the programs ---- */

/* A program that serves holds the lock beside its journal. */
static bool is_running(const char *folder, const char *journal)
{
    char path[4096];
    bool runs;
    int fd;

    snprintf(path, sizeof path, "%s/%s.lock", folder, journal);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    runs = flock(fd, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
    close(fd);
    return runs;
}

int standing_read(struct standing *s, const struct settings *settings, struct err *err)
{
    struct storage *storage = NULL;
    int rc;

    *s = (struct standing){.now_us = clock_wall_us()};
    rc = show_open_storage(settings, &storage, err);
    if (rc == 0)
        rc = fold_restore(&s->fold, storage, err);
    if (rc == 0)
        rc = gather_keys(s, err);
    if (rc == 0)
        rc = gather_outbox(s, storage, err);
    storage_close(storage);
    s->alerter_runs = is_running(settings->state_dir, "alerter.db");
    s->ingest_runs = is_running(settings->state_dir, "ingest.db");
    return rc;
}

void standing_close(struct standing *s)
{
    free(s->apps);
    free(s->keys);
    fold_close(&s->fold);
    *s = (struct standing){0};
}
