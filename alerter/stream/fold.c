/* Feeds the engine from the stored stream and saves it there. Called by the alerter's loop and by
 * replay and the rule tests. */
#include "alerter/stream/fold.h"

#include "common/app/log.h"
#include "common/app/process.h"

#include <stdbool.h>

int fold_open(struct fold *f, struct err *err)
{
    *f = (struct fold){.engine = engine_new(), .wire = wire_new()};
    if (f->engine != NULL && f->wire != NULL)
        return 0;
    fold_close(f);
    return err_set(err, ERR_NOMEM, "no memory for the engine");
}

int fold_open_trial(struct fold *f, const char *rules, size_t len, struct err *err)
{
    const struct engine_event event = engine_rules_event(rules, len, 0);
    struct engine_outcomes none;
    int rc = fold_open(f, err);

    if (rc == 0)
        rc = engine_step(f->engine, &event, &none, err);
    if (rc != 0)
        fold_close(f);
    f->on_trial = true;
    return rc;
}

void fold_close(struct fold *f)
{
    engine_free(f->engine);
    wire_free(f->wire);
    *f = (struct fold){0};
}

int fold_event(struct fold *f, const struct engine_event *event, size_t bytes,
               struct engine_outcomes *out, struct err *err)
{
    f->last_us = event->at_us;
    f->since_saved++;
    f->since_saved_bytes += bytes;
    return engine_step(f->engine, event, out, err);
}

/* A trial does not feed this entry, but its stamp tells how far the stream is. */
static int pass_over(struct fold *f, const struct wire_entry *entry)
{
    f->last_us = entry->step_us;
    return 0;
}

static void note_snapshot(struct fold *f, const struct wire_entry *entry)
{
    f->last_us = f->saved_us = entry->step_us;
    f->saved_bytes = entry->bytes.len;
    f->since_saved = f->since_saved_bytes = 0;
}

static int take_snapshot(struct fold *f, const struct wire_entry *entry, struct err *err)
{
    struct engine *loaded;
    int rc;

    if (f->last_us == 0) {
        rc = engine_load(&loaded, entry->bytes.data, entry->bytes.len, err);
        if (rc != 0)
            return rc;
        engine_free(f->engine);
        f->engine = loaded;
    }
    note_snapshot(f, entry);
    return 0;
}

int fold_entry(struct fold *f, const struct wire_entry *entry, struct engine_outcomes *out,
               struct err *err)
{
    struct engine_event event;
    struct wire_record record;
    int rc;

    *out = (struct engine_outcomes){0};
    switch (entry->input) {
    case WIRE_INPUT_RECORD:
        rc = wire_unpack_record(f->wire, entry->bytes.data, entry->bytes.len, &record, err);
        event = engine_record_event(&record, entry->step_us);
        if (rc == ERR_INPUT) /* it could be read when it was stored */
            rc = ERR_DAMAGED;
        return rc != 0 ? rc : fold_event(f, &event, entry->bytes.len, out, err);
    case WIRE_INPUT_RULES:
        event =
            engine_rules_event((const char *)entry->bytes.data, entry->bytes.len, entry->step_us);
        return f->on_trial ? pass_over(f, entry)
                           : fold_event(f, &event, entry->bytes.len, out, err);
    case WIRE_INPUT_SNAPSHOT:
        return f->on_trial ? pass_over(f, entry) : take_snapshot(f, entry, err);
    case WIRE_INPUT_TICK:
        event = engine_tick_event(entry->step_us);
        return fold_event(f, &event, entry->bytes.len, out, err);
    case WIRE_INPUT_NONE:
        break;
    }
    return err_set(err, ERR_VERSION, "the stream has an input that only a newer build knows");
}

bool fold_waits(const struct fold *f)
{
    return engine_next_us(f->engine) != INT64_MAX;
}

int fold_tick(struct fold *f, struct engine_outcomes *out, struct err *err)
{
    const struct engine_event event = engine_tick_event(engine_next_us(f->engine));

    return fold_event(f, &event, 0, out, err);
}

/* ---- From the storage ---- */

struct restore {
    struct fold *fold;
    struct err *err;
};

static int restore_entry(void *ctx, int64_t position, const struct wire_entry *entry,
                         struct wire_bytes raw)
{
    struct restore *r = ctx;
    struct engine_outcomes dropped;
    int rc;

    (void)raw;
    if (process_must_end())
        return err_set(r->err, ERR_STOPPED, "asked to stop while the stream was read");
    rc = fold_entry(r->fold, entry, &dropped, r->err);
    if (rc == ERR_INPUT && entry->input == WIRE_INPUT_RULES) {
        log_warning("the rules recorded at %lld are refused by this build and left out: %s",
                    (long long)position, r->err->text);
        rc = 0;
    }
    if (rc == 0)
        r->fold->position = position;
    return rc;
}

static int restore_from(struct fold *f, struct storage *storage, int64_t from, struct err *err)
{
    struct restore r = {f, err};
    int rc;

    fold_close(f);
    rc = fold_open(f, err);
    return rc != 0 ? rc : storage_read(storage, from, restore_entry, &r, err);
}

/* An earlier snapshot helps only if this one cannot be loaded, not if an entry behind it cannot be
 * read. */
static bool snapshot_failed(const struct fold *f, int rc)
{
    return (rc == ERR_VERSION || rc == ERR_DAMAGED) && f->last_us == 0;
}

int fold_restore(struct fold *f, struct storage *storage, struct err *err)
{
    int64_t before = INT64_MAX, from;
    int rc;

    do {
        rc = storage->ops->find_snapshot(storage, INT64_MAX, before, &from, err);
        if (rc == 0)
            rc = restore_from(f, storage, from, err);
        if (from == 0 || !snapshot_failed(f, rc))
            break;
        log_warning("the snapshot at %lld cannot be loaded (%s); trying the one before",
                    (long long)from, err->text);
        before = from;
    } while (true);
    if (rc == ERR_DAMAGED)
        storage->ops->mark_damaged(storage);
    return rc;
}

int fold_follow(struct fold *f, struct storage *storage, struct err *err)
{
    struct restore r = {f, err};

    if (f->position + 1 < storage->history.start)
        return err_set(err, ERR_BUSY, "the history was trimmed before it was read");
    return storage_read(storage, f->position + 1, restore_entry, &r, err);
}

bool fold_wants_snapshot(const struct fold *f)
{
    return f->since_saved_bytes > FOLD_UNSAVED_MAX &&
           f->since_saved_bytes > FOLD_SNAPSHOT_SHARE * f->saved_bytes;
}

int fold_save(struct fold *f, struct storage *storage, int64_t step_us, struct err *err)
{
    struct wire_entry entry = {.step_us = step_us, .input = WIRE_INPUT_SNAPSHOT};
    struct buf bytes;
    int rc;

    buf_init(&bytes, FOLD_SNAPSHOT_MAX);
    rc = engine_save(f->engine, &bytes);
    if (rc != 0)
        err_set(err, rc, "no memory for a snapshot of the engine");
    entry.bytes = (struct wire_bytes){bytes.data, bytes.len};
    if (rc == 0)
        rc = storage_append(storage, &entry, NULL, err);
    buf_close(&bytes);
    if (rc == 0)
        note_snapshot(f, &entry);
    return rc;
}
