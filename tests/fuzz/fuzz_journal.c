/* A journal with hostile rows or bytes: it is opened, or set aside, or refused. What can be read
 * comes in order, and after an append the same records and the new one are read again. */
#include "tests/fuzz/hostile.h"

#include "common/base/err.h"
#include "common/base/hash.h"
#include "common/storage/journal.h"

static const struct hostile_column columns[] = {
    {"records", "position", "position"}, {"records", "position", "bytes"},
    {"records", "position", "lens"},     {"named", "name", "bytes"},
    {"named", "name", "name"},
};

static const char *const statements[] = {
    "DELETE FROM records",
    "DELETE FROM named",
    "DROP TABLE named",
    "DROP TABLE records",
    "PRAGMA user_version = 1",
    "PRAGMA user_version = 3",
    "PRAGMA application_id = 7",
    "INSERT INTO records VALUES (9223372036854775807, x'00', NULL)",
    "INSERT INTO records VALUES (-5, x'00', NULL)",
    "INSERT INTO records VALUES (100, x'010203', x'01000200')",
    "INSERT INTO records VALUES (101, x'010203', x'0100020001')",
    "INSERT INTO named VALUES ('last', x'ffffffffffffff7f')",
    "ALTER TABLE records DROP COLUMN lens",
};
enum {
    COLUMNS = sizeof columns / sizeof columns[0],
    STATEMENTS = sizeof statements / sizeof statements[0],
};

struct seen {
    uint64_t n, hash;
    int64_t last;
};

static int see(void *ctx, int64_t position, const void *bytes, size_t n)
{
    struct seen *seen = ctx;
    void *copy = feed_copy(bytes, n);

    assert(seen->n == 0 || position > seen->last);
    seen->n++;
    seen->last = position;
    seen->hash = hash_add(hash_add_u64(seen->hash, (uint64_t)position), copy, n);
    free(copy);
    return 0;
}

static int look(struct journal *j, struct seen *seen)
{
    struct err err;
    int rc;

    *seen = (struct seen){.hash = HASH_START};
    rc = journal_read(j, 0, see, seen, &err);
    assert(rc == 0 || rc == ERR_DAMAGED || rc == ERR_IO);
    return rc;
}

static struct journal *open_one(const char *path, bool read_only)
{
    const struct journal_options options = {.path = path, .read_only = read_only};
    struct journal *j = NULL;
    char set_aside[512];
    struct err err;
    int rc = journal_open(&options, &j, set_aside, &err);

    if (rc == 0)
        return j;
    assert(rc == ERR_VERSION || rc == ERR_IO || (read_only && rc == ERR_DAMAGED));
    feed_check_line(err.text);
    return NULL;
}

static int append(struct journal *j, int64_t *position)
{
    struct err err;
    int rc = journal_begin(j, &err);

    if (rc == 0)
        rc = journal_append(j, "new", 3, position, &err);
    if (rc == 0)
        rc = journal_commit(j, &err);
    else
        journal_rollback(j);
    return rc;
}

static void check(const char *path)
{
    struct journal *j = open_one(path, true), *again;
    struct seen before, after;
    int64_t position;

    if (j != NULL)
        (void)look(j, &before);
    journal_close(j);
    j = open_one(path, false);
    if (j == NULL)
        return;
    if (look(j, &before) == 0 && append(j, &position) == 0) {
        assert(before.n == 0 || position > before.last);
        journal_close(j);
        again = open_one(path, false);
        assert(again != NULL && look(again, &after) == 0);
        assert(after.n == before.n + 1 && after.last == position);
        j = again;
    }
    journal_close(j);
}

static struct hostile_file make_template(const char *path)
{
    struct journal *j = open_one(path, false);
    char large[700] = "large";
    struct err err;

    assert(j != NULL && journal_begin(j, &err) == 0);
    for (int i = 0; i < 6; i++)
        assert(journal_append(j, large, i == 3 ? sizeof large : (size_t)i, NULL, &err) == 0);
    assert(journal_trim(j, 1, &err) == 0 && journal_put(j, "x", "y", 1, &err) == 0);
    assert(journal_commit(j, &err) == 0);
    journal_close(j);
    return hostile_read(path);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct hostile_file template;
    struct feed in = {data, size};
    struct scratch scratch;
    char path[512];

    feed_use_memory();
    assert(scratch_make(&scratch) == 0);
    scratch_path(&scratch, "journal", path);
    if (template.bytes == NULL) {
        template = make_template(path);
        scratch_empty(&scratch);
    }
    hostile_write(path, &template);
    hostile_change(path, columns, COLUMNS, statements, STATEMENTS, &in);
    check(path);
    scratch_remove(&scratch);
    return 0;
}
