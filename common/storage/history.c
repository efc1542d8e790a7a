/* Trims the event stream and the rows that go with it. Called by the alerter's loop, once a turn
 * and on a full disk. */
#include "common/storage/history.h"

#include "common/storage/storage_backing.h"

#include <assert.h>

enum {
    FREE_ROOM_ENTRIES = 2000,
    FREE_ROOM_BYTES = 8 << 20, /* freed by one storage_free_room, if there is so much */
    /* This part of max_bytes must lie behind a snapshot before another one is asked for. */
    SNAPSHOT_SHARE = 8,
};

#define UNKNOWN_SIZE INT64_MAX

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

int history_open(struct storage *s, struct err *err)
{
    int rc;

    s->history = (struct storage_history){.has_old_rows = true, .since_snapshot = UNKNOWN_SIZE};
    rc = s->ops->get_start(s, &s->history.start, err);
    if (rc == 0)
        rc = read_snapshots(s, err);
    s->committed = s->history;
    return rc;
}

void history_appended(struct storage *s, bool is_snapshot, int64_t position, int64_t step_us,
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
    int64_t to = s->ops->first(s) + n - 1;

    return s->ops->trim(s, to < s->history.start ? to : s->history.start - 1, err);
}

static int trim_rows(struct storage *s, int n, struct err *err)
{
    int64_t before_us = s->history.start_us;
    int messages = 0, refused = 0;
    int rc = storage_outbox_trim(s, before_us, n, &messages, err);

    if (rc == 0)
        rc = s->ops->trim_refused(s, before_us, n, &refused, err);
    if (rc == 0 && messages < n && refused < n)
        s->history.has_old_rows = false;
    return rc;
}

static bool is_too_large(const struct storage *s, int64_t max_bytes)
{
    return storage_bytes(s) > max_bytes;
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
    int rc = storage_find_snapshot(s, now_us - keep_us, INT64_MAX, &to, err);

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
        rc = trim_entries(s, STORAGE_TRIM_ENTRIES, err);
    else if (is_next_due(s, now_us, keep_us, max_bytes))
        rc = advance(s, now_us, keep_us, err);
    else if (s->history.has_old_rows)
        rc = trim_rows(s, STORAGE_TRIM_ENTRIES, err);
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
        return trim_entries(s, FREE_ROOM_ENTRIES, err);
    if (s->history.next != 0)
        return move_start(s, s->history.next, err);
    *left = s->history.has_old_rows;
    return trim_rows(s, FREE_ROOM_ENTRIES, err);
}

int storage_free_room(struct storage *s, struct err *err)
{
    int64_t before = storage_bytes(s);
    bool left = true;
    int rc = 0;

    while (rc == 0 && left && before - storage_bytes(s) < FREE_ROOM_BYTES) {
        rc = storage_begin(s, err);
        if (rc != 0)
            return rc;
        rc = free_some(s, &left, err);
        if (rc == 0)
            rc = storage_commit(s, err);
        else
            storage_rollback(s);
    }
    if (rc == 0 && storage_bytes(s) >= before)
        rc = err_set(err, ERR_FULL,
                     "the disk is full, and there is no history left to forget "
                     "(free some space on it)");
    return rc;
}
