/* The storage backing on a local disk: one SQLite file, whose journal is the event stream. Called
 * by storage.c through the table at the end. */
#include "common/base/text.h"
#include "common/storage/journal.h"
#include "common/storage/tables.h"

#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

enum { FORMAT = 1 };

static struct journal *journal_of(const struct storage *s)
{
    return ((const struct tables *)s)->journal;
}

/* ---- A move to another place ---- */

static const char MOVED[] = "store.moved";

static int read_moved(struct tables *t, struct err *err)
{
    struct storage *s = &t->storage;
    bool found;

    return journal_get(t->journal, MOVED, s->moved, sizeof s->moved, &found, err);
}

static int sqlite_note_move(struct storage *s, const char *place, struct err *err)
{
    struct journal *j = journal_of(s);
    int rc = journal_begin(j, err);

    if (rc != 0)
        return rc;
    memset(s->moved, 0, sizeof s->moved);
    text_copy_printable(s->moved, sizeof s->moved, place);
    rc = journal_put(j, MOVED, s->moved, sizeof s->moved, err);
    if (rc == 0)
        return journal_commit(j, err);
    journal_rollback(j);
    return rc;
}

/* ---- Open and close ---- */

static int make_tables(struct journal *j, struct err *err)
{
    int64_t format = FORMAT;
    int rc = journal_begin(j, err);

    if (rc != 0)
        return rc;
    if (sqlite3_exec(journal_db(j), tables_create, NULL, NULL, NULL) != SQLITE_OK)
        rc = err_set(err, ERR_IO, "cannot make the store's tables: %s (check its disk)",
                     sqlite3_errmsg(journal_db(j)));
    if (rc == 0)
        rc = journal_put(j, "store.format", &format, sizeof format, err);
    if (rc == 0)
        return journal_commit(j, err);
    journal_rollback(j);
    return rc;
}

static int check_format(struct journal *j, const struct storage_options *options, struct err *err)
{
    int64_t format = 0;
    bool found;
    int rc = journal_get(j, "store.format", &format, sizeof format, &found, err);

    if (rc != 0)
        return rc;
    if (!found && options->read_only)
        return err_set(err, ERR_IO, "%s: no alerter has kept anything here yet (start it)",
                       options->location);
    if (!found)
        return make_tables(j, err);
    if (format > FORMAT)
        return err_set(err, ERR_VERSION,
                       "%s: was written by a newer build, in format %lld (this build reads up to "
                       "%d: use the newer build, or move the file away)",
                       options->location, (long long)format, FORMAT);
    return 0;
}

/* An older build can still use the file: the new columns have defaults. A column that is there
 * already is no fault. */
static int add_turns(struct journal *j, struct err *err)
{
    static const char *const columns[] = {
        "ALTER TABLE outbox ADD COLUMN rule TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE outbox ADD COLUMN place INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE outbox ADD COLUMN app TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE outbox ADD COLUMN turn INTEGER NOT NULL DEFAULT 0",
    };
    int rc = journal_begin(j, err);

    if (rc != 0)
        return rc;
    for (size_t i = 0; i < sizeof columns / sizeof columns[0]; i++)
        (void)sqlite3_exec(journal_db(j), columns[i], NULL, NULL, NULL);
    if (sqlite3_exec(journal_db(j),
                     "DROP INDEX IF EXISTS outbox_waiting; DROP INDEX IF EXISTS outbox_turns;"
                     "DROP INDEX IF EXISTS outbox_places;" TABLES_TURN_INDEXES,
                     NULL, NULL, NULL) == SQLITE_OK)
        return journal_commit(j, err);
    rc = err_set(err, ERR_IO, "cannot change the store's tables: %s (check its disk)",
                 sqlite3_errmsg(journal_db(j)));
    journal_rollback(j);
    return rc;
}

/* A file of our format without one of our tables or columns is damaged. */
static int prepare(struct tables *t, const struct storage_options *options, struct err *err)
{
    struct err why;
    int rc = tables_prepare(t, &why);

    if (rc == 0 || sqlite3_errcode(t->db) != SQLITE_ERROR) {
        *err = why;
        return rc;
    }
    journal_suspect(t->journal);
    return err_set(err, ERR_DAMAGED, "%s: damaged (start again: it is then set aside): %.600s",
                   options->location, why.text);
}

static int sqlite_open(const struct storage_options *options, struct storage **out,
                       char set_aside[512], struct err *err)
{
    struct tables *t = calloc(1, sizeof *t);
    int rc;

    if (t == NULL)
        return ERR_NOMEM;
    *out = &t->storage;
    rc = journal_open(&(struct journal_options){.path = options->location,
                                                .read_only = options->read_only,
                                                .sync_full = options->sync_full},
                      &t->journal, set_aside, err);
    if (rc != 0)
        return rc;
    t->db = journal_db(t->journal);
    rc = check_format(t->journal, options, err);
    if (rc == 0 && !options->read_only && tables_lack_turns(t->db))
        rc = add_turns(t->journal, err);
    if (rc == 0)
        rc = read_moved(t, err);
    return rc != 0 ? rc : prepare(t, options, err);
}

static void sqlite_close(struct storage *s)
{
    tables_finalize(tables_of(s));
    journal_close(journal_of(s));
    free(tables_of(s));
}

static bool sqlite_is_gone(const struct storage *s)
{
    return journal_is_gone(journal_of(s));
}

static void sqlite_mark_damaged(struct storage *s)
{
    journal_suspect(journal_of(s));
}

/* ---- Transactions ---- */

static int sqlite_begin(struct storage *s, struct err *err)
{
    return journal_begin(journal_of(s), err);
}

static int sqlite_commit(struct storage *s, struct err *err)
{
    return journal_commit(journal_of(s), err);
}

static void sqlite_rollback(struct storage *s)
{
    journal_rollback(journal_of(s));
}

static void sqlite_maintain(struct storage *s, bool is_idle)
{
    journal_maintain(journal_of(s), is_idle);
}

/* ---- The event stream ---- */

static int sqlite_append(struct storage *s, const struct wire_entry *entry,
                         struct wire_bytes packed, int64_t *position, struct err *err)
{
    int rc = journal_append(journal_of(s), packed.data, packed.len, position, err);

    if (rc == 0 && entry->input == WIRE_INPUT_SNAPSHOT)
        rc = tables_put_snapshot(s, *position, entry->step_us, err);
    return rc;
}

static int sqlite_read(struct storage *s, int64_t from, storage_bytes_fn *fn, void *ctx,
                       struct err *err)
{
    return journal_read(journal_of(s), from, fn, ctx, err);
}

static int sqlite_trim(struct storage *s, int64_t before, int n, struct err *err)
{
    int64_t to = journal_first(journal_of(s)) + n - 1;

    return journal_trim(journal_of(s), to < before ? to : before - 1, err);
}

static int64_t sqlite_first(const struct storage *s)
{
    return journal_first(journal_of(s));
}

static int64_t sqlite_bytes(const struct storage *s)
{
    return journal_bytes(journal_of(s));
}

static bool sqlite_is_larger(const struct storage *s, int64_t max_bytes)
{
    return journal_is_larger(journal_of(s), max_bytes);
}

static int sqlite_get_start(struct storage *s, int64_t *position, struct err *err)
{
    bool found;

    return journal_get(journal_of(s), "store.start", position, sizeof *position, &found, err);
}

static int sqlite_put_start(struct storage *s, int64_t position, struct err *err)
{
    int rc = journal_put(journal_of(s), "store.start", &position, sizeof position, err);

    return rc != 0 ? rc : tables_trim_snapshots(s, position, err);
}

const struct storage_ops storage_sqlite = {
    .mend = "start again: the file is then set aside",
    .open = sqlite_open,
    .close = sqlite_close,
    .is_gone = sqlite_is_gone,
    .mark_damaged = sqlite_mark_damaged,
    .begin = sqlite_begin,
    .commit = sqlite_commit,
    .rollback = sqlite_rollback,
    .maintain = sqlite_maintain,
    .get_sequence = tables_get_sequence,
    .put_sequence = tables_put_sequence,
    .put_refused = tables_put_refused,
    .trim_refused = tables_trim_refused,
    .append = sqlite_append,
    .read = sqlite_read,
    .trim = sqlite_trim,
    .first = sqlite_first,
    .bytes = sqlite_bytes,
    .is_larger = sqlite_is_larger,
    .find_snapshot = tables_find_snapshot,
    .next_snapshot = tables_next_snapshot,
    .get_start = sqlite_get_start,
    .put_start = sqlite_put_start,
    .outbox_put = tables_outbox_put,
    .outbox_heads = tables_outbox_heads,
    .outbox_oldest = tables_outbox_oldest,
    .outbox_count = tables_outbox_count,
    .outbox_load = tables_outbox_load,
    .outbox_list = tables_outbox_list,
    .outbox_expirable = tables_outbox_expirable,
    .outbox_mark = tables_outbox_mark,
    .outbox_mark_expired = tables_outbox_mark_expired,
    .outbox_unpark = tables_outbox_unpark,
    .outbox_trim = tables_outbox_trim,
    .list_senders = tables_list_senders,
    .list_refused = tables_list_refused,
    .outbox_restore = tables_outbox_restore,
    .note_move = sqlite_note_move,
};
