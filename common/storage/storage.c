/* Opens the storage, packs the stream's entries, trims its old end, and keeps the state of the
 * transaction, on any backing. Called by the alerter's turn, its outbox and its commands. */
#include "common/storage/storage.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

enum {
    PACKED_KEPT_MAX = 64 << 10, /* bytes of memory kept for packing from entry to entry */
    FREE_ROOM_ROWS = 2000,
    FREE_ROOM_BYTES = 8 << 20, /* freed by one storage_free_room, if there is so much */
    /* This part of max_bytes must lie behind a snapshot before another one is asked for. */
    SNAPSHOT_SHARE = 8,
};

#define UNKNOWN_SIZE INT64_MAX

/* The first one whose scheme a location begins with is used. SQLite takes any path. */
static const struct {
    const char *scheme;
    const struct storage_ops *ops;
} backings[] = {
    {"postgres://", &storage_pg},
    {"postgresql://", &storage_pg},
    {"", &storage_sqlite},
};

static const struct storage_ops *find_backing(const char *location)
{
    size_t i = 0;

    while (strncmp(location, backings[i].scheme, strlen(backings[i].scheme)) != 0)
        i++;
    return backings[i].ops;
}

void storage_location(const char *state_dir, char location[STORAGE_LOCATION_SIZE])
{
    snprintf(location, STORAGE_LOCATION_SIZE, "%s/alerter.db", state_dir);
}

static int no_memory(struct err *err)
{
    return err_set(err, ERR_NOMEM, "no memory for the storage");
}

/* Reads which snapshots lie at the start and next behind it. */
static int read_snapshots(struct storage *s, struct err *err)
{
    struct storage_history *h = &s->history;
    int64_t at;
    int rc = s->ops->next_snapshot(s, h->start - 1, &at, &h->start_us, err);

    if (at != h->start || at == 0)
        h->start_us = 0;
    return rc != 0 ? rc : s->ops->next_snapshot(s, h->start, &h->next, &h->next_us, err);
}

static int open_history(struct storage *s, struct err *err)
{
    int rc;

    s->history = (struct storage_history){.has_old_rows = true, .since_snapshot = UNKNOWN_SIZE};
    rc = s->ops->get_start(s, &s->history.start, err);
    if (rc == 0)
        rc = read_snapshots(s, err);
    s->committed = s->history;
    return rc;
}

static int open_once(const struct storage_options *options, struct storage **out,
                     char set_aside[512], struct err *err)
{
    const struct storage_ops *ops =
        options->backing != NULL ? options->backing : find_backing(options->location);
    struct storage *s = NULL;
    int rc = ops->open(options, &s, set_aside, err);

    if (s == NULL)
        return no_memory(err);
    s->ops = ops;
    s->wire = wire_new();
    buf_init(&s->packed, WIRE_ENTRY_MAX);
    if (rc == 0 && s->wire == NULL)
        rc = no_memory(err);
    if (rc == 0 && (options->read_only || !storage_is_shared(s)))
        rc = open_history(s, err);
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

bool storage_is_long(const struct storage *s)
{
    return s->ops->is_long != NULL && s->ops->is_long(s);
}

bool storage_in_transaction(const struct storage *s)
{
    return s->in_transaction;
}

/* ---- Several alerters on one storage ---- */

bool storage_is_shared(const struct storage *s)
{
    return s->ops->tend != NULL;
}

int storage_tend(struct storage *s, int64_t now_us, enum storage_role *role, struct err *err)
{
    *role = STORAGE_ACTIVE;
    return storage_is_shared(s) ? s->ops->tend(s, now_us, role, err) : 0;
}

int storage_restore(struct storage *s, struct err *err)
{
    int rc;

    if (!storage_is_shared(s))
        return 0;
    rc = s->ops->restore(s, err);
    return rc != 0 ? rc : open_history(s, err);
}

int storage_fd(const struct storage *s)
{
    return storage_is_shared(s) ? s->ops->fd(s) : -1;
}

int64_t storage_wake_us(const struct storage *s)
{
    return storage_is_shared(s) ? s->ops->wake_us(s) : INT64_MAX;
}

bool storage_may_post(struct storage *s, int64_t now_us)
{
    return !storage_is_shared(s) || s->ops->may_post(s, now_us);
}

void storage_release(struct storage *s)
{
    if (storage_is_shared(s))
        s->ops->release(s);
}

const struct storage_term *storage_term(const struct storage *s)
{
    return storage_is_shared(s) ? s->ops->term(s) : NULL;
}

struct source *storage_source(struct storage *s)
{
    return storage_is_shared(s) ? s->ops->source(s) : NULL;
}

/* ---- The event stream ---- */

static void note_append(struct storage *s, bool is_snapshot, int64_t position, int64_t step_us,
                        size_t n)
{
    struct storage_history *h = &s->history;

    if (!is_snapshot) {
        if (h->since_snapshot < UNKNOWN_SIZE)
            h->since_snapshot += (int64_t)n;
        return;
    }
    h->since_snapshot = 0;
    if (h->next != 0)
        return;
    h->next = position;
    h->next_us = step_us;
}

static int append(struct storage *s, const struct wire_entry *entry, struct wire_bytes packed,
                  int64_t *position, struct err *err)
{
    int rc = s->ops->append(s, entry, packed, position, err);

    if (rc == 0)
        note_append(s, entry->input == WIRE_INPUT_SNAPSHOT, *position, entry->step_us, packed.len);
    return rc;
}

int storage_copy(struct storage *s, const struct wire_entry *entry, struct wire_bytes raw,
                 struct err *err)
{
    int64_t position;

    return append(s, entry, raw, &position, err);
}

int storage_append(struct storage *s, const struct wire_entry *entry, int64_t *position,
                   struct err *err)
{
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
        rc = append(s, entry, (struct wire_bytes){s->packed.data, s->packed.len}, &at, err);
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
        w->s->ops->mark_damaged(w->s);
    }
    if (rc == ERR_DAMAGED)
        return err_set(w->err, rc, "entry %lld of the event stream: %.600s (%s)",
                       (long long)position, why.text, w->s->ops->mend);
    return err_set(w->err, rc, "entry %lld of the event stream: %.600s", (long long)position,
                   why.text);
}

int storage_read(struct storage *s, int64_t from, storage_entry_fn *fn, void *ctx, struct err *err)
{
    int64_t start = s->history.start;
    struct walk w = {.s = s, .next = from > start ? from : start, .fn = fn, .ctx = ctx, .err = err};

    return s->ops->read(s, w.next, read_entry, &w, err);
}

/* ---- Trimming ----
 *
 * The position at which the stream begins is stored. To trim is to move it to a later snapshot in
 * one small transaction, and then to delete the entries before it, a few hundred a turn. */

static int move_start(struct storage *s, int64_t position, struct err *err)
{
    int rc = s->ops->put_start(s, position, err);

    s->history.start = position;
    s->history.has_old_rows = true;
    return rc != 0 ? rc : read_snapshots(s, err);
}

static bool has_old_entries(const struct storage *s)
{
    int64_t first = s->ops->first(s);

    return first != 0 && first < s->history.start;
}

static int trim_entries(struct storage *s, int n, struct err *err)
{
    return s->ops->trim(s, s->history.start, n, err);
}

static int trim_rows(struct storage *s, int n, struct err *err)
{
    int64_t before_us = s->history.start_us;
    int messages = 0, refused = 0;
    int rc = s->ops->outbox_trim(s, before_us, n, &messages, err);

    if (rc == 0)
        rc = s->ops->trim_refused(s, before_us, n, &refused, err);
    if (rc == 0 && messages < n && refused < n)
        s->history.has_old_rows = false;
    return rc;
}

static bool is_too_large(const struct storage *s, int64_t max_bytes)
{
    return s->ops->is_larger(s, max_bytes);
}

/* Too large with nothing to trim; but one snapshot after the other would not make it smaller. */
static bool needs_snapshot(const struct storage *s, int64_t max_bytes)
{
    return s->history.next == 0 && is_too_large(s, max_bytes) &&
           s->history.since_snapshot > max_bytes / SNAPSHOT_SHARE;
}

static bool is_next_due(const struct storage *s, int64_t now_us, int64_t keep_us, int64_t max_bytes)
{
    const struct storage_history *h = &s->history;

    return h->next != 0 && (h->next_us <= now_us - keep_us || is_too_large(s, max_bytes));
}

bool storage_trim_due(const struct storage *s, int64_t now_us, int64_t keep_us, int64_t max_bytes)
{
    return has_old_entries(s) || s->history.has_old_rows ||
           is_next_due(s, now_us, keep_us, max_bytes) || needs_snapshot(s, max_bytes);
}

/* For its age the stream begins with the newest snapshot that is old enough; for its size it goes
 * on to the next one, as often as needed. */
static int advance(struct storage *s, int64_t now_us, int64_t keep_us, struct err *err)
{
    int64_t to = 0;
    int rc = s->ops->find_snapshot(s, now_us - keep_us, INT64_MAX, &to, err);

    if (rc != 0)
        return rc;
    return move_start(s, to > s->history.start ? to : s->history.next, err);
}

int storage_trim(struct storage *s, int64_t now_us, int64_t keep_us, int64_t max_bytes,
                 enum storage_trimmed *next, struct err *err)
{
    int rc = 0;

    assert(s->in_transaction);
    /* The size falls only once old entries are deleted, so the start does not move before that. */
    if (has_old_entries(s))
        rc = trim_entries(s, STORAGE_TRIM_ROWS, err);
    else if (is_next_due(s, now_us, keep_us, max_bytes))
        rc = advance(s, now_us, keep_us, err);
    else if (s->history.has_old_rows)
        rc = trim_rows(s, STORAGE_TRIM_ROWS, err);
    else if (needs_snapshot(s, max_bytes)) {
        *next = STORAGE_TRIM_NEEDS_SNAPSHOT;
        return 0;
    }
    *next = storage_trim_due(s, now_us, keep_us, max_bytes) ? STORAGE_TRIM_MORE : STORAGE_TRIM_DONE;
    return rc;
}

/* One step of storage_free_room; *left is false if there was nothing to do. */
static int free_some(struct storage *s, bool *left, struct err *err)
{
    *left = true;
    if (has_old_entries(s))
        return trim_entries(s, FREE_ROOM_ROWS, err);
    if (s->history.next != 0)
        return move_start(s, s->history.next, err);
    *left = s->history.has_old_rows;
    return trim_rows(s, FREE_ROOM_ROWS, err);
}

int storage_free_room(struct storage *s, struct err *err)
{
    int64_t before = s->ops->bytes(s);
    bool left = true;
    int rc = 0;

    while (rc == 0 && left && before - s->ops->bytes(s) < FREE_ROOM_BYTES) {
        rc = storage_begin(s, err);
        if (rc != 0)
            return rc;
        rc = free_some(s, &left, err);
        if (rc == 0)
            rc = storage_commit(s, err);
        else
            storage_rollback(s);
    }
    if (rc == 0 && s->ops->reclaim != NULL)
        rc = s->ops->reclaim(s, err);
    if (rc == 0 && s->ops->bytes(s) >= before)
        rc = err_set(err, ERR_FULL,
                     "the disk is full, and there is no history left to forget "
                     "(free some space on it)");
    return rc;
}
