/* An alerter's storage with hostile rows or bytes: each call ends with 0 or an error of its
 * contract, hands over whole texts and rising positions, and leaves a storage that can be written.
 */
#include "tests/fuzz/hostile.h"

#include "common/base/err.h"
#include "common/storage/storage.h"

static const struct hostile_column columns[] = {
    {"records", "position", "position"},
    {"records", "position", "bytes"},
    {"records", "position", "lens"},
    {"named", "name", "bytes"},
    {"senders", "sender", "sender"},
    {"senders", "sender", "taken"},
    {"senders", "sender", "seen_us"},
    {"refused", "row", "bytes"},
    {"refused", "row", "at_us"},
    {"snapshots", "position", "position"},
    {"snapshots", "position", "step_us"},
    {"outbox", "row", "row"},
    {"outbox", "row", "channel"},
    {"outbox", "row", "state"},
    {"outbox", "row", "alert"},
    {"outbox", "row", "decided_us"},
    {"outbox", "row", "tries"},
    {"outbox", "row", "last_try_us"},
    {"outbox", "row", "retry_after_us"},
    {"outbox", "row", "next_try_us"},
    {"outbox", "row", "ended_us"},
    {"outbox", "row", "last_answer"},
    {"outbox", "row", "app"},
    {"outbox", "row", "rule"},
    {"outbox", "row", "turn"},
    {"outbox", "row", "place"},
    {"channels", "channel", "channel"},
    {"channels", "channel", "last_try_us"},
};

static const char *const statements[] = {
    "DELETE FROM records",
    "DELETE FROM snapshots",
    "DELETE FROM named",
    "DROP TABLE senders",
    "DROP TABLE outbox",
    "DROP INDEX outbox_waiting",
    "DELETE FROM records WHERE position = 2",
    "INSERT INTO snapshots VALUES (9223372036854775807, 9223372036854775807)",
    "INSERT INTO snapshots VALUES (-1, -1)",
    "UPDATE outbox SET state = 0",
    "CREATE TRIGGER t AFTER INSERT ON outbox BEGIN DELETE FROM outbox; END",
};
enum {
    COLUMNS = sizeof columns / sizeof columns[0],
    STATEMENTS = sizeof statements / sizeof statements[0],
};

static const uint8_t sender[WIRE_SENDER_BYTES] = {1};
static struct err err;

static void check_code(int rc)
{
    assert(rc == 0 || rc == ERR_DAMAGED || rc == ERR_IO || rc == ERR_VERSION || rc == ERR_BUSY ||
           rc == ERR_FULL);
    if (rc != 0)
        feed_check_line(err.text);
}

static int see_entry(void *ctx, int64_t position, const struct wire_entry *entry,
                     struct wire_bytes raw)
{
    int64_t *last = ctx;

    assert(position > *last && entry->bytes.len <= raw.len);
    *last = position;
    return 0;
}

static int see_row(void *ctx, const struct storage_outbox_row *row)
{
    void *copy = feed_copy(row->alert.data, row->alert.len);

    free(copy);
    assert(row->channel != NULL && row->last_answer != NULL);
    assert(strlen(row->channel) < SIZE_MAX && strlen(row->last_answer) < SIZE_MAX);
    *(int64_t *)ctx = row->row;
    return 0;
}

/* Returns the last row that was seen. */
static int64_t read_all(struct storage *s)
{
    int64_t last = INT64_MIN, row = 0, number;
    uint64_t sequence, n;
    char answer[40];

    check_code(storage_read(s, 0, see_entry, &last, &err));
    check_code(s->ops->get_sequence(s, sender, &sequence, &err));
    check_code(s->ops->find_snapshot(s, INT64_MAX, INT64_MAX, &number, &err));
    check_code(s->ops->outbox_oldest(s, &number, &err));
    for (int state = OUTBOX_WAITING; state <= OUTBOX_FAILED; state++) {
        check_code(
            s->ops->outbox_count(s, (enum outbox_state)state, &n, answer, sizeof answer, &err));
        assert(memchr(answer, '\0', sizeof answer) != NULL);
    }
    check_code(s->ops->outbox_expirable(s, INT64_MAX, 3, see_row, &row, &err));
    check_code(s->ops->outbox_heads(s, see_row, &row, &err));
    check_code(s->ops->outbox_list(s, see_row, &row, &err));
    check_code(s->ops->outbox_load(s, row, see_row, &row, &err));
    assert(s->ops->bytes(s) >= 0);
    return row;
}

static int write_some(struct storage *s, int64_t row, struct feed *in)
{
    const struct storage_outbox_mark mark = {.state = OUTBOX_DELIVERED, .answer = "ok"};
    struct wire_entry entry = {.step_us = (int64_t)(feed_u64(in) >> 2), .input = WIRE_INPUT_TICK};
    enum storage_trimmed next;
    int64_t new_row;
    size_t n;
    int rc = storage_append(s, &entry, NULL, &err);

    if (rc == 0)
        rc = s->ops->put_sequence(s, sender, 9, 1, &err);
    if (rc == 0)
        rc = s->ops->outbox_put(s, &(struct storage_turn){"C2", "app", "rule"},
                                (struct wire_bytes){sender, 3}, 5, &new_row, &err);
    if (rc == 0)
        rc = s->ops->outbox_mark(s, row, &mark, &err);
    if (rc == 0)
        rc = s->ops->outbox_unpark(s, &n, &err);
    if (rc == 0)
        rc = storage_trim(s, entry.step_us, (int64_t)feed_choice(in, 256),
                          (int64_t)feed_choice(in, 2) << 30, &next, &err);
    return rc;
}

static void write_and_close(struct storage *s, int64_t row, struct feed *in)
{
    int rc = storage_begin(s, &err);

    if (rc == 0) {
        rc = write_some(s, row, in);
        if (rc == 0)
            rc = storage_commit(s, &err);
        else
            storage_rollback(s);
    }
    check_code(rc);
    check_code(storage_free_room(s, &err));
    storage_close(s);
}

static struct storage *open_one(const char *path, bool read_only)
{
    const struct storage_options options = {.location = path, .read_only = read_only};
    struct storage *s = NULL;
    char set_aside[512];
    int rc = storage_open(&options, &s, set_aside, &err);

    check_code(rc);
    return rc == 0 ? s : NULL;
}

static void append(struct storage *s, enum wire_input input, const char *text)
{
    struct wire_entry entry = {
        .step_us = 10, .input = input, .bytes = {(const uint8_t *)text, strlen(text)}};

    assert(storage_append(s, &entry, NULL, &err) == 0);
}

static struct hostile_file make_template(const char *path)
{
    struct storage *s = open_one(path, false);
    struct storage_outbox_mark mark = {.state = OUTBOX_FAILED, .answer = "no"};
    int64_t row;

    assert(s != NULL && storage_begin(s, &err) == 0);
    append(s, WIRE_INPUT_RULES, "rules");
    append(s, WIRE_INPUT_RECORD, "record");
    append(s, WIRE_INPUT_SNAPSHOT, "snapshot");
    append(s, WIRE_INPUT_TICK, "");
    assert(s->ops->put_sequence(s, sender, 7, 1, &err) == 0);
    assert(s->ops->put_refused(s, sender, 8, (struct wire_bytes){sender, 4}, "why", 1, &err) == 0);
    for (int i = 0; i < 4; i++) {
        assert(s->ops->outbox_put(s, &(struct storage_turn){i < 2 ? "C1" : "C2", "app", "rule"},
                                  (struct wire_bytes){sender, 9}, i, &row, &err) == 0);
        mark.state = (enum outbox_state)i;
        assert(s->ops->outbox_mark(s, row, &mark, &err) == 0);
    }
    assert(storage_commit(s, &err) == 0);
    storage_close(s);
    return hostile_read(path);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct hostile_file template;
    struct feed in = {data, size};
    struct scratch scratch;
    struct storage *s;
    char path[512];
    int64_t row;

    feed_use_memory();
    assert(scratch_make(&scratch) == 0);
    scratch_path(&scratch, "store", path);
    if (template.bytes == NULL) {
        template = make_template(path);
        scratch_empty(&scratch);
    }
    hostile_write(path, &template);
    hostile_change(path, columns, COLUMNS, statements, STATEMENTS, &in);
    s = open_one(path, true);
    if (s != NULL)
        (void)read_all(s);
    storage_close(s);
    s = open_one(path, false);
    if (s != NULL) {
        row = read_all(s);
        write_and_close(s, row, &in);
    }
    scratch_remove(&scratch);
    return 0;
}
