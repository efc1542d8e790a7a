/* Hands each storage call to the backing, packs entries, and keeps the state of the transaction.
 * Called by the alerter's loop, its outbox and its commands. */
#include "common/storage/storage.h"

#include "common/storage/history.h"
#include "common/storage/storage_backing.h"

#include <string.h>

enum { PACKED_KEPT_MAX = 64 << 10 }; /* bytes of memory kept for packing from entry to entry */

/* The first one whose scheme a location begins with is used. */
static const struct storage_ops *const backings[] = {&storage_sqlite};

static const struct storage_ops *find_backing(const char *location)
{
    size_t i = 0;

    while (strncmp(location, backings[i]->scheme, strlen(backings[i]->scheme)) != 0)
        i++;
    return backings[i];
}

static int no_memory(struct err *err)
{
    return err_set(err, ERR_NOMEM, "no memory for the storage");
}

static int open_once(const struct storage_options *options, struct storage **out,
                     char set_aside[512], struct err *err)
{
    const struct storage_ops *ops = find_backing(options->location);
    struct storage *s = NULL;
    int rc = ops->open(options, &s, set_aside, err);

    if (s == NULL)
        return no_memory(err);
    s->ops = ops;
    s->wire = wire_new();
    buf_init(&s->packed, WIRE_ENTRY_MAX);
    if (rc == 0 && s->wire == NULL)
        rc = no_memory(err);
    if (rc == 0)
        rc = history_open(s, err);
    if (rc == 0)
        *out = s;
    else
        storage_close(s);
    return rc;
}

int storage_open(const struct storage_options *options, struct storage **out, char set_aside[512],
                 struct err *err)
{
    int rc;

    *out = NULL;
    set_aside[0] = '\0';
    rc = open_once(options, out, set_aside, err);
    if (rc == ERR_DAMAGED && !options->read_only) /* it is marked now, so this sets it aside */
        rc = open_once(options, out, set_aside, err);
    return rc;
}

void storage_close(struct storage *s)
{
    if (s == NULL)
        return;
    wire_free(s->wire);
    buf_close(&s->packed);
    s->ops->close(s);
}

bool storage_is_gone(const struct storage *s)
{
    return s->ops->is_gone(s);
}

void storage_mark_damaged(struct storage *s)
{
    s->ops->mark_damaged(s);
}

int storage_begin(struct storage *s, struct err *err)
{
    int rc = s->ops->begin(s, err);

    s->in_transaction = rc == 0;
    return rc;
}

static void end(struct storage *s, bool committed)
{
    s->in_transaction = false;
    if (committed)
        s->committed = s->history;
    else
        s->history = s->committed;
}

int storage_commit(struct storage *s, struct err *err)
{
    int rc = s->ops->commit(s, err);

    end(s, rc == 0);
    return rc;
}

void storage_rollback(struct storage *s)
{
    s->ops->rollback(s);
    end(s, false);
}

bool storage_in_transaction(const struct storage *s)
{
    return s->in_transaction;
}

void storage_maintain(struct storage *s, bool is_idle)
{
    s->ops->maintain(s, is_idle);
}

int storage_get_sequence(struct storage *s, const uint8_t sender[WIRE_SENDER_BYTES],
                         uint64_t *sequence, struct err *err)
{
    return s->ops->get_sequence(s, sender, sequence, err);
}

int storage_put_sequence(struct storage *s, const uint8_t sender[WIRE_SENDER_BYTES],
                         uint64_t sequence, int64_t now_us, struct err *err)
{
    return s->ops->put_sequence(s, sender, sequence, now_us, err);
}

int storage_put_refused(struct storage *s, const uint8_t sender[WIRE_SENDER_BYTES],
                        uint64_t sequence, struct wire_bytes bytes, const char *why, int64_t now_us,
                        struct err *err)
{
    return s->ops->put_refused(s, sender, sequence, bytes, why, now_us, err);
}

int storage_count_refused(struct storage *s, int64_t *n, struct err *err)
{
    return s->ops->count_refused(s, n, err);
}

/* ---- The event stream ---- */

int storage_append(struct storage *s, const struct wire_entry *entry, int64_t *position,
                   struct err *err)
{
    bool is_snapshot = entry->input == WIRE_INPUT_SNAPSHOT;
    int64_t at = 0;
    int rc;

    buf_clear(&s->packed);
    rc = wire_pack_entry(entry, &s->packed);
    if (rc == ERR_FULL) /* not the disk: freeing room would not help */
        rc = err_set(err, ERR_INPUT, "an entry of %zu bytes (at most %d are kept)",
                     entry->bytes.len, WIRE_ENTRY_MAX);
    else if (rc != 0)
        rc = no_memory(err);
    if (rc == 0)
        rc = s->ops->append(s, (struct wire_bytes){s->packed.data, s->packed.len}, &at, err);
    if (rc == 0 && is_snapshot)
        rc = s->ops->put_snapshot(s, at, entry->step_us, err);
    if (rc == 0)
        history_appended(s, is_snapshot, at, entry->step_us, s->packed.len);
    if (s->packed.cap > PACKED_KEPT_MAX)
        buf_close(&s->packed);
    if (position != NULL)
        *position = at;
    return rc;
}

struct walk {
    struct storage *s;
    int64_t next; /* position that must come, 0: any */
    storage_entry_fn *fn;
    void *ctx;
    struct err *err;
};

static int read_entry(void *ctx, int64_t position, const void *bytes, size_t n)
{
    struct walk *w = ctx;
    struct wire_entry entry;
    struct err why;
    int rc;

    /* Positions have no holes, so the owner trimmed what this reader was about to read. */
    if (w->next != 0 && position != w->next)
        return err_set(w->err, ERR_BUSY, "the history was trimmed while it was read (try again)");
    w->next = position + 1;
    rc = wire_unpack_entry(w->s->wire, bytes, n, &entry, &why);
    if (rc == 0)
        return w->fn(w->ctx, position, &entry, (struct wire_bytes){bytes, n});
    if (rc == ERR_INPUT) {
        rc = ERR_DAMAGED;
        storage_mark_damaged(w->s);
    }
    return err_set(w->err, rc, "entry %lld of the event stream: %.600s%s", (long long)position,
                   why.text, rc == ERR_DAMAGED ? " (start again: the file is then set aside)" : "");
}

int storage_read(struct storage *s, int64_t from, storage_entry_fn *fn, void *ctx, struct err *err)
{
    int64_t start = s->history.start;
    struct walk w = {.s = s, .next = from > start ? from : start, .fn = fn, .ctx = ctx, .err = err};

    return s->ops->read(s, w.next, read_entry, &w, err);
}

int storage_find_snapshot(struct storage *s, int64_t at_us, int64_t before, int64_t *position,
                          struct err *err)
{
    return s->ops->find_snapshot(s, at_us, before, position, err);
}

int64_t storage_bytes(const struct storage *s)
{
    return s->ops->bytes(s);
}

int64_t storage_last(const struct storage *s)
{
    return s->ops->last(s);
}

/* ---- The outbox's rows ---- */

int storage_outbox_put(struct storage *s, const char *channel, struct wire_bytes alert,
                       int64_t decided_us, int64_t *row, struct err *err)
{
    return s->ops->outbox_put(s, channel, alert, decided_us, row, err);
}

int storage_outbox_heads(struct storage *s, storage_outbox_fn *fn, void *ctx, struct err *err)
{
    return s->ops->outbox_heads(s, fn, ctx, err);
}

int storage_outbox_oldest(struct storage *s, int64_t *decided_us, struct err *err)
{
    return s->ops->outbox_oldest(s, decided_us, err);
}

int storage_outbox_parked(struct storage *s, uint64_t *n, char *answer, size_t size,
                          struct err *err)
{
    return s->ops->outbox_parked(s, n, answer, size, err);
}

int storage_outbox_load(struct storage *s, int64_t row, storage_outbox_fn *fn, void *ctx,
                        struct err *err)
{
    return s->ops->outbox_load(s, row, fn, ctx, err);
}

int storage_outbox_list(struct storage *s, storage_outbox_fn *fn, void *ctx, struct err *err)
{
    return s->ops->outbox_list(s, fn, ctx, err);
}

int storage_outbox_expirable(struct storage *s, int64_t before_us, int n, storage_outbox_fn *fn,
                             void *ctx, struct err *err)
{
    return s->ops->outbox_expirable(s, before_us, n, fn, ctx, err);
}

int storage_outbox_mark(struct storage *s, int64_t row, const struct storage_outbox_mark *mark,
                        struct err *err)
{
    return s->ops->outbox_mark(s, row, mark, err);
}

int storage_outbox_mark_expired(struct storage *s, int64_t row, int64_t now_us, const char *answer,
                                struct err *err)
{
    return s->ops->outbox_mark_expired(s, row, now_us, answer, err);
}

int storage_outbox_unpark(struct storage *s, size_t *n, struct err *err)
{
    return s->ops->outbox_unpark(s, n, err);
}

int storage_outbox_trim(struct storage *s, int64_t before_us, int n, int *trimmed, struct err *err)
{
    return s->ops->outbox_trim(s, before_us, n, trimmed, err);
}
