/* Makes the room of deleted rows usable, because autovacuum comes once a minute at most. Called by
 * the other files of the PostgreSQL backing, and by storage.c on a full disk. */
#include "common/storage/storage_pg.h"

/* With less waste a VACUUM is not worth it. */
static const int64_t INBOX_BYTES = 32 << 20;
static const int64_t HISTORY_BYTES = 1 << 20;
enum { HISTORY_SHARE = 16 }; /* and this part of the history */

static const int64_t PAUSE_BYTES = INT64_C(4) << 30;

static const struct pg_statement vacuum[STORAGE_PG_WASTES] = {
    [STORAGE_PG_INBOX] = {"vacuum_inbox", "VACUUM (SKIP_LOCKED) inbox"},
    [STORAGE_PG_HISTORY] = {"vacuum_history", "VACUUM (SKIP_LOCKED) stream, part"},
};

/* The room stays ours, because another program could take it first. */
static const struct pg_statement vacuum_all = {
    "vacuum_all", "VACUUM (SKIP_LOCKED, TRUNCATE false) inbox, stream, part, outbox, refused"};

static int clean(struct storage_pg *st, enum storage_pg_waste which, struct err *err)
{
    int rc;

    st->deleted_bytes[which] = 0;
    pg_args_clear(st->args);
    rc = storage_pg_run(st, &vacuum[which], NULL, err);
    if (rc != 0) /* the table may be too large for it: autovacuum has no deadline */
        st->deleted_bytes[which] = -PAUSE_BYTES;
    return rc;
}

int storage_pg_clean(struct storage_pg *st, struct err *err)
{
    const int64_t bounds[STORAGE_PG_WASTES] = {
        [STORAGE_PG_INBOX] = INBOX_BYTES,
        [STORAGE_PG_HISTORY] = HISTORY_BYTES + st->committed.bytes / HISTORY_SHARE,
    };

    /* VACUUM cannot be in one transaction with a pooled session's settings. */
    for (int i = 0; i < STORAGE_PG_WASTES && !storage_pg_is_pooled(st); i++)
        if (st->deleted_bytes[i] >= bounds[i])
            return clean(st, (enum storage_pg_waste)i, err);
    return 0;
}

int storage_pg_reclaim(struct storage *s, struct err *err)
{
    struct storage_pg *st = storage_pg_of(s);

    if (storage_pg_is_pooled(st))
        return 0;
    pg_args_clear(st->args);
    return storage_pg_run(st, &vacuum_all, NULL, err);
}
