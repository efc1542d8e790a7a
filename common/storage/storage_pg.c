/* The storage backing on PostgreSQL, which several alerters can share: one of them is active, the
 * others stand by. Called by storage.c through the table at the end. */
#include "common/storage/storage_pg.h"
#include "common/base/text.h"

#include <stdlib.h>
#include <string.h>

/* ---- Open and close ---- */

static int copy_options(struct storage_pg *st, const struct storage_options *o)
{
    st->url = strdup(o->location);
    st->schema = strdup(o->schema);
    st->program = strdup(o->program);
    text_copy_printable(st->holder, sizeof st->holder, o->holder == NULL ? "" : o->holder);
    st->options = (struct pg_options){.url = st->url,
                                      .schema = st->schema,
                                      .program = st->program,
                                      .read_only = o->read_only,
                                      .listen = !o->read_only};
    st->args = pg_args_new();
    return st->url != NULL && st->schema != NULL && st->program != NULL && st->args != NULL
               ? 0
               : ERR_NOMEM;
}

static int restore(struct storage *s, struct err *err)
{
    struct storage_pg *st = storage_pg_of(s);
    int rc = st->pg != NULL ? storage_pg_read_lease(st, err) : storage_pg_away(st, err);

    if (rc == 0 && st->role == STORAGE_ACTIVE)
        rc = storage_pg_drop_parts(st, err);
    if (rc == 0)
        rc = storage_pg_copy_load(st, err);
    if (rc == 0) {
        storage_pg_source_drop(st);
        st->term.must_reread = false;
    }
    st->is_stale = rc != 0;
    return rc;
}

/* A database that is away stops a command, but not an alerter. */
static int connect_now(struct storage_pg *st, struct err *err)
{
    int rc = pg_open(&st->options, &st->pg, err);

    if (rc == ERR_AWAY && !st->options.read_only) {
        st->why = *err;
        return 0;
    }
    st->term.is_pooled = storage_pg_is_pooled(st);
    return rc == 0 && st->options.read_only ? restore(&st->tables.storage, err) : rc;
}

static int open_pg(const struct storage_options *options, struct storage **out, char set_aside[512],
                   struct err *err)
{
    struct storage_pg *st = calloc(1, sizeof *st);
    int rc;

    if (st == NULL)
        return ERR_NOMEM;
    *out = &st->tables.storage;
    set_aside[0] = '\0';
    st->role = STORAGE_AWAY;
    st->is_stale = true;
    pg_pace_init(&st->pace, STORAGE_PG_PACE_BYTES);
    buf_init(&st->inbox.whole, WIRE_MESSAGE_MAX);
    st->term.holder = st->term_holder;
    storage_pg_turn_init(st);
    rc = copy_options(st, options);
    if (rc != 0)
        return err_set(err, rc, "no memory for the storage");
    rc = storage_pg_copy_open(st, err);
    return rc != 0 ? rc : connect_now(st, err);
}

static void close_pg(struct storage *s)
{
    struct storage_pg *st = storage_pg_of(s);

    storage_pg_disconnect(st);
    storage_pg_copy_close(st);
    storage_pg_turn_close(st);
    pg_rows_free(st->inbox.rows);
    pg_rows_free(st->inbox.held);
    buf_close(&st->inbox.whole);
    pg_args_free(st->args);
    if (st->url != NULL)
        explicit_bzero(st->url, strlen(st->url));
    free(st->url);
    free(st->schema);
    free(st->program);
    free(st);
}

/* ---- Files, which there are none of ---- */

static bool is_gone(const struct storage *s)
{
    (void)s;
    return false;
}

static void mark_damaged(struct storage *s)
{
    (void)s;
}

static void maintain(struct storage *s, bool is_idle)
{
    (void)s, (void)is_idle;
}

/* ---- The state ---- */

static int64_t first(const struct storage *s)
{
    return storage_pg_of(s)->state.first;
}

static int64_t bytes(const struct storage *s)
{
    return storage_pg_of(s)->state.bytes;
}

static bool is_larger(const struct storage *s, int64_t max_bytes)
{
    return storage_pg_of(s)->state.bytes > max_bytes;
}

static int get_start(struct storage *s, int64_t *position, struct err *err)
{
    (void)err;
    *position = storage_pg_of(s)->state.start;
    return 0;
}

static int put_start(struct storage *s, int64_t position, struct err *err)
{
    storage_pg_of(s)->state.start = position;
    return tables_trim_snapshots(s, position, err);
}

const struct storage_ops storage_pg = {
    .mend = "restore the schema from a backup, or set DRAINWATCH_SCHEMA to a new one",
    .open = open_pg,
    .close = close_pg,
    .is_gone = is_gone,
    .mark_damaged = mark_damaged,
    .maintain = maintain,
    .begin = storage_pg_begin,
    .commit = storage_pg_commit,
    .rollback = storage_pg_rollback,
    .is_long = storage_pg_is_long,
    .tend = storage_pg_tend,
    .restore = restore,
    .fd = storage_pg_fd,
    .wake_us = storage_pg_wake_us,
    .may_post = storage_pg_may_post,
    .release = storage_pg_release,
    .term = storage_pg_term,
    .source = storage_pg_source,
    .get_sequence = tables_get_sequence,
    .put_sequence = tables_put_sequence,
    .put_refused = tables_put_refused,
    .trim_refused = storage_pg_trim_refused,
    .append = storage_pg_append,
    .read = storage_pg_read,
    .trim = storage_pg_trim,
    .first = first,
    .bytes = bytes,
    .is_larger = is_larger,
    .find_snapshot = tables_find_snapshot,
    .next_snapshot = tables_next_snapshot,
    .get_start = get_start,
    .put_start = put_start,
    .outbox_put = tables_outbox_put,
    .outbox_heads = tables_outbox_heads,
    .outbox_oldest = tables_outbox_oldest,
    .outbox_count = tables_outbox_count,
    .outbox_load = tables_outbox_load,
    .outbox_list = storage_pg_outbox_list,
    .outbox_expirable = tables_outbox_expirable,
    .outbox_mark = tables_outbox_mark,
    .outbox_mark_expired = tables_outbox_mark_expired,
    .outbox_unpark = tables_outbox_unpark,
    .outbox_trim = storage_pg_outbox_trim,
    .list_senders = tables_list_senders,
    .list_refused = storage_pg_list_refused,
    .outbox_restore = tables_outbox_restore,
    .begin_all = storage_pg_begin_all,
    .commit_all = storage_pg_commit_all,
    .note_move = storage_pg_note_move,
    .reclaim = storage_pg_reclaim,
    .list_peers = storage_pg_list_peers,
    .sizes = storage_pg_sizes,
};
