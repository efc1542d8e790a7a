/* What a storage backing provides. A backing is one file that defines one `struct storage_ops`, and
 * one line in the table of storage.c.
 *
 * Each function does what the storage_ call of its name promises. storage.c keeps the open
 * transaction, packs entries and decides what to trim. */
#ifndef DRAINWATCH_COMMON_STORAGE_STORAGE_BACKING_H
#define DRAINWATCH_COMMON_STORAGE_STORAGE_BACKING_H

#include "common/base/buf.h"
#include "common/storage/storage.h"

typedef int storage_bytes_fn(void *ctx, int64_t position, const void *bytes, size_t n);

struct storage_ops {
    const char *scheme; /* of a location "scheme:…"; "": any location */

    /* Fills *out even if it fails, unless there was no memory: the caller closes it. */
    int (*open)(const struct storage_options *options, struct storage **out, char set_aside[512],
                struct err *err);
    void (*close)(struct storage *s);
    bool (*is_gone)(const struct storage *s);
    void (*mark_damaged)(struct storage *s);

    int (*begin)(struct storage *s, struct err *err);
    int (*commit)(struct storage *s, struct err *err);
    void (*rollback)(struct storage *s);
    void (*maintain)(struct storage *s, bool is_idle);

    int (*get_sequence)(struct storage *s, const uint8_t sender[WIRE_SENDER_BYTES],
                        uint64_t *sequence, struct err *err);
    int (*put_sequence)(struct storage *s, const uint8_t sender[WIRE_SENDER_BYTES],
                        uint64_t sequence, int64_t now_us, struct err *err);
    int (*put_refused)(struct storage *s, const uint8_t sender[WIRE_SENDER_BYTES],
                       uint64_t sequence, struct wire_bytes bytes, const char *why, int64_t now_us,
                       struct err *err);
    int (*count_refused)(struct storage *s, int64_t *n, struct err *err);
    int (*trim_refused)(struct storage *s, int64_t before_us, int n, int *trimmed, struct err *err);

    /* Positions have no holes. read calls `fn` for packed entries. trim deletes all up to and with
     * `position`. */
    int (*append)(struct storage *s, struct wire_bytes packed, int64_t *position, struct err *err);
    int (*read)(struct storage *s, int64_t from, storage_bytes_fn *fn, void *ctx, struct err *err);
    int (*trim)(struct storage *s, int64_t position, struct err *err);
    int64_t (*first)(const struct storage *s); /* position of the oldest stored entry, 0: none */
    int64_t (*last)(const struct storage *s);
    int64_t (*bytes)(const struct storage *s);

    /* The index of snapshots. next_snapshot finds the oldest one behind `position` (0: none). */
    int (*put_snapshot)(struct storage *s, int64_t position, int64_t step_us, struct err *err);
    int (*find_snapshot)(struct storage *s, int64_t at_us, int64_t before, int64_t *position,
                         struct err *err);
    int (*next_snapshot)(struct storage *s, int64_t position, int64_t *next, int64_t *step_us,
                         struct err *err);
    /* Where the stream begins, 0 at first. put_start deletes snapshots before it from the index. */
    int (*get_start)(struct storage *s, int64_t *position, struct err *err);
    int (*put_start)(struct storage *s, int64_t position, struct err *err);

    int (*outbox_put)(struct storage *s, const char *channel, struct wire_bytes alert,
                      int64_t decided_us, int64_t *row, struct err *err);
    int (*outbox_heads)(struct storage *s, storage_outbox_fn *fn, void *ctx, struct err *err);
    int (*outbox_oldest)(struct storage *s, int64_t *decided_us, struct err *err);
    int (*outbox_parked)(struct storage *s, uint64_t *n, char *answer, size_t size,
                         struct err *err);
    int (*outbox_load)(struct storage *s, int64_t row, storage_outbox_fn *fn, void *ctx,
                       struct err *err);
    int (*outbox_list)(struct storage *s, storage_outbox_fn *fn, void *ctx, struct err *err);
    int (*outbox_expirable)(struct storage *s, int64_t before_us, int n, storage_outbox_fn *fn,
                            void *ctx, struct err *err);
    int (*outbox_mark)(struct storage *s, int64_t row, const struct storage_outbox_mark *mark,
                       struct err *err);
    int (*outbox_mark_expired)(struct storage *s, int64_t row, int64_t now_us, const char *answer,
                               struct err *err);
    int (*outbox_unpark)(struct storage *s, size_t *n, struct err *err);
    int (*outbox_trim)(struct storage *s, int64_t before_us, int n, int *trimmed, struct err *err);
};

/* The history's state, kept to save queries. */
struct storage_history {
    int64_t start;    /* position at which the stream begins; older entries may still be stored */
    int64_t start_us; /* step time of the snapshot there, 0: it begins at the very start */
    int64_t next;     /* the oldest snapshot after it, 0: none */
    int64_t next_us;
    bool has_old_rows;      /* there may be outbox rows or refused records older than the start */
    int64_t since_snapshot; /* bytes appended behind the newest one; INT64_MAX: unknown */
};

/* A backing's own struct begins with this one. */
struct storage {
    const struct storage_ops *ops;
    struct wire *wire;
    struct buf packed;
    bool in_transaction;
    struct storage_history history;
    struct storage_history committed;
};

extern const struct storage_ops storage_sqlite;

#endif
