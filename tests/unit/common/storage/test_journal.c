/* The journal: restarts, readers, old formats, damage, bounds, full and failing disks. */
#include "tests/unit/unit.h"

#include "common/storage/journal.h"
#include "common/storage/journal_files.h"
#include "tests/unit/common/storage/failing_vfs.h"
#include "tests/unit/scratch.h"

#include <signal.h>
#include <sqlite3.h>
#include <sys/wait.h>

enum {
    RECORDS_MAX = 256, /* that a model can hold */
    RECORD_MAX = 9000, /* bytes of one; more than two pages */
    TRANSACTIONS = 12, /* of the workload, several checkpoints long */
    KEPT = 20,         /* records that it does not trim */
    SMALL_BOUND = 1 << 19,
};

/* What a journal should hold: the tag of each record by position, and a named value. */
struct model {
    int64_t first;
    int64_t last;
    int64_t value;
    uint32_t tags[RECORDS_MAX];
};

struct test {
    struct scratch scratch;
    char path[512];
    char copy[512];
    struct journal *j;
    struct err err;
    char set_aside[512];
    uint32_t next_tag;
};

static int setup(void **state)
{
    struct test *t = calloc(1, sizeof *t);

    failing_vfs_install();
    if (t == NULL || scratch_make(&t->scratch) != 0)
        return -1;
    scratch_path(&t->scratch, "test.db", t->path);
    scratch_path(&t->scratch, "copy.db", t->copy);
    *state = t;
    return 0;
}

static int teardown(void **state)
{
    struct test *t = *state;

    journal_close(t->j);
    scratch_remove(&t->scratch);
    free(t);
    return 0;
}

static void open_with(struct test *t, struct journal_options options)
{
    options.path = t->path;
    if (journal_open(&options, &t->j, t->set_aside, &t->err) != 0)
        fail_msg("%s", t->err.text);
}

static void close_it(struct test *t)
{
    journal_close(t->j);
    t->j = NULL;
}

static void reopen_with(struct test *t, struct journal_options options)
{
    close_it(t);
    open_with(t, options);
    assert_string_equal(t->set_aside, "");
}

static void append_text(struct test *t, const char *text)
{
    OK(t, journal_begin(t->j, &t->err));
    OK(t, journal_append(t->j, text, strlen(text), NULL, &t->err));
    OK(t, journal_commit(t->j, &t->err));
}

static void trim_to(struct test *t, int64_t position)
{
    OK(t, journal_begin(t->j, &t->err));
    OK(t, journal_trim(t->j, position, &t->err));
    OK(t, journal_commit(t->j, &t->err));
}

/* All records as "POSITION:BYTES " in a row. */
struct listing {
    char text[4096];
    size_t len;
};

static int list_record(void *ctx, int64_t position, const void *bytes, size_t n)
{
    struct listing *l = ctx;

    l->len += (size_t)snprintf(l->text + l->len, sizeof l->text - l->len, "%lld:%.*s ",
                               (long long)position, (int)n, (const char *)bytes);
    return 0;
}

static void assert_holds(struct journal *j, const char *expected)
{
    struct listing l = {.text = ""};
    struct err err;

    assert_int_equal(journal_read(j, 0, list_record, &l, &err), 0);
    assert_string_equal(l.text, expected);
}

static void test_what_was_committed_is_there_after_a_restart(void **state)
{
    struct test *t = *state;
    int64_t position = 0;

    open_with(t, (struct journal_options){0});
    assert_string_equal(t->set_aside, "");
    assert_int_equal(journal_first(t->j), 0);
    assert_int_equal(journal_last(t->j), 0);
    assert_holds(t->j, "");
    OK(t, journal_begin(t->j, &t->err));
    assert_true(journal_in_transaction(t->j));
    OK(t, journal_append(t->j, "a", 1, &position, &t->err));
    assert_int_equal(position, 1);
    OK(t, journal_append(t->j, "", 0, &position, &t->err));
    assert_int_equal(position, 2);
    OK(t, journal_commit(t->j, &t->err));
    assert_false(journal_in_transaction(t->j));
    reopen_with(t, (struct journal_options){.exclusive = true, .sync_full = true});
    assert_holds(t->j, "1:a 2: ");
    append_text(t, "c");
    reopen_with(t, (struct journal_options){0});
    assert_holds(t->j, "1:a 2: 3:c ");
    assert_int_equal(journal_first(t->j), 1);
    assert_int_equal(journal_last(t->j), 3);
}

static void test_a_rollback_leaves_nothing(void **state)
{
    struct test *t = *state;
    bool found;
    char value;

    open_with(t, (struct journal_options){0});
    append_text(t, "a");
    OK(t, journal_begin(t->j, &t->err));
    OK(t, journal_append(t->j, "b", 1, NULL, &t->err));
    OK(t, journal_trim(t->j, 1, &t->err));
    OK(t, journal_put(t->j, "name", "x", 1, &t->err));
    assert_int_equal(journal_first(t->j), 2);
    assert_int_equal(journal_last(t->j), 2);
    journal_rollback(t->j);
    assert_int_equal(journal_first(t->j), 1);
    assert_int_equal(journal_last(t->j), 1);
    OK(t, journal_get(t->j, "name", &value, 1, &found, &t->err));
    assert_false(found);
    assert_holds(t->j, "1:a ");
    /* A transaction that is open at the end counts for nothing either. */
    OK(t, journal_begin(t->j, &t->err));
    OK(t, journal_append(t->j, "b", 1, NULL, &t->err));
    reopen_with(t, (struct journal_options){0});
    assert_holds(t->j, "1:a ");
}

static void test_positions_are_never_used_twice(void **state)
{
    struct test *t = *state;

    open_with(t, (struct journal_options){0});
    append_text(t, "a");
    append_text(t, "b");
    trim_to(t, 1);
    assert_holds(t->j, "2:b ");
    assert_int_equal(journal_first(t->j), 2);
    trim_to(t, 99);
    assert_holds(t->j, "");
    assert_int_equal(journal_first(t->j), 0);
    assert_int_equal(journal_last(t->j), 2);
    reopen_with(t, (struct journal_options){0});
    assert_int_equal(journal_first(t->j), 0);
    assert_int_equal(journal_last(t->j), 2);
    append_text(t, "c");
    assert_holds(t->j, "3:c ");
    trim_to(t, 2); /* forgotten long ago */
    assert_holds(t->j, "3:c ");
    reopen_with(t, (struct journal_options){0});
    assert_int_equal(journal_last(t->j), 3);
}

static void test_named_values(void **state)
{
    struct test *t = *state;
    uint64_t out = 0, in = 7;
    bool found = true;

    open_with(t, (struct journal_options){0});
    OK(t, journal_get(t->j, "starts", &out, sizeof out, &found, &t->err));
    assert_false(found);
    OK(t, journal_begin(t->j, &t->err));
    OK(t, journal_put(t->j, "starts", &in, sizeof in, &t->err));
    in = 8;
    OK(t, journal_put(t->j, "starts", &in, sizeof in, &t->err));
    OK(t, journal_commit(t->j, &t->err));
    reopen_with(t, (struct journal_options){0});
    OK(t, journal_get(t->j, "starts", &out, sizeof out, &found, &t->err));
    assert_true(found);
    assert_int_equal(out, 8);
    assert_int_equal(journal_get(t->j, "starts", &out, 4, &found, &t->err), ERR_DAMAGED);
}

/* Each file of the journal in turn is a link to a file that is not there. */
static void a_link_is_not_followed(void **state)
{
    static const char *const suffixes[] = {"", "-wal", "-shm", ".lock", ".suspect"};
    struct test *t = *state;
    char link[600];

    for (size_t i = 0; i < sizeof suffixes / sizeof suffixes[0]; i++) {
        snprintf(link, sizeof link, "%s%s", t->path, suffixes[i]);
        assert_int_equal(symlink(t->copy, link), 0);
        for (int reader = 0; reader < 2; reader++) {
            struct journal_options options = {.path = t->path, .read_only = reader};

            assert_int_equal(journal_open(&options, &t->j, t->set_aside, &t->err), ERR_INPUT);
            assert_non_null(strstr(t->err.text, link));
        }
        assert_int_equal(scratch_size(t->copy, ""), -1);
        assert_int_equal(unlink(link), 0);
    }
}

static int64_t count_rows(const char *path)
{
    sqlite3 *db;
    sqlite3_stmt *stmt;
    int64_t n;

    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, "SELECT count(*) FROM records", -1, &stmt, NULL),
                     SQLITE_OK);
    assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
    n = sqlite3_column_int64(stmt, 0);
    sqlite3_finalize(stmt);
    sqlite3_close(db);
    return n;
}

static void append_numbers(struct test *t, int from, int to)
{
    OK(t, journal_begin(t->j, &t->err));
    for (int i = from; i <= to; i++) {
        char text[32];

        snprintf(text, sizeof text, "%d", i);
        OK(t, journal_append(t->j, text, strlen(text), NULL, &t->err));
    }
    OK(t, journal_commit(t->j, &t->err));
}

static void test_small_records_share_a_row(void **state)
{
    struct test *t = *state;

    open_with(t, (struct journal_options){0});
    append_numbers(t, 1, 3);
    append_text(t, "4");
    OK(t, journal_begin(t->j, &t->err));
    OK(t, journal_append(t->j, "5", 1, NULL, &t->err));
    OK(t, journal_append(t->j, "", 0, NULL, &t->err));
    assert_holds(t->j, "1:1 2:2 3:3 4:4 5:5 6: "); /* written by then, and more may come */
    OK(t, journal_append(t->j, "7", 1, NULL, &t->err));
    OK(t, journal_commit(t->j, &t->err));
    assert_holds(t->j, "1:1 2:2 3:3 4:4 5:5 6: 7:7 ");
    assert_int_equal(count_rows(t->path), 4);
    trim_to(t, 2);
    assert_int_equal(journal_first(t->j), 3);
    assert_holds(t->j, "3:3 4:4 5:5 6: 7:7 ");
    /* The row is there as long as one of its records is. */
    reopen_with(t, (struct journal_options){0});
    assert_int_equal(journal_first(t->j), 1);
    assert_holds(t->j, "1:1 2:2 3:3 4:4 5:5 6: 7:7 ");
    trim_to(t, 3);
    trim_to(t, 5);
    reopen_with(t, (struct journal_options){0});
    assert_holds(t->j, "5:5 6: 7:7 ");
    assert_int_equal(count_rows(t->path), 2);
}

/* Around the sizes at which a row is full, and beyond which a record has one of its own. */
static size_t sized(int64_t position, char out[RECORD_MAX])
{
    static const size_t sizes[] = {0, 1, 255, 256, 331, 332, 499, 500, 501, 5000};
    size_t n = sizes[(position * position + position / 10) % 10];

    memset(out, 'a' + (int)(position % 26), n);
    return n;
}

struct sized_reader {
    int64_t next;
    int64_t stop;
};

static int see_sized(void *ctx, int64_t position, const void *bytes, size_t n)
{
    struct sized_reader *r = ctx;
    char expected[RECORD_MAX];

    assert_int_equal(position, r->next++);
    assert_int_equal(n, sized(position, expected));
    assert_memory_equal(bytes, expected, n);
    return position == r->stop;
}

static void test_records_of_each_size(void **state)
{
    struct test *t = *state;
    char record[RECORD_MAX];

    open_with(t, (struct journal_options){0});
    OK(t, journal_begin(t->j, &t->err));
    for (int64_t i = 1; i <= 300; i++)
        OK(t, journal_append(t->j, record, sized(i, record), NULL, &t->err));
    OK(t, journal_commit(t->j, &t->err));
    reopen_with(t, (struct journal_options){0});
    assert_int_equal(journal_last(t->j), 300);
    for (int64_t first = 1; first <= 300; first++)
        for (int64_t n = 1; n <= 40 && first + n <= 301; n += 13) {
            struct sized_reader r = {first, first + n - 1};

            assert_int_equal(journal_read(t->j, first, see_sized, &r, &t->err), 1);
        }
}

struct busy_reader {
    struct test *t;
    int calls;
};

static int count_record(void *ctx, int64_t position, const void *bytes, size_t n)
{
    (void)position;
    (void)bytes;
    (void)n;
    ++*(size_t *)ctx;
    return 0;
}

/* Appends and trims while it is called, and checks that its own bytes stay unchanged. */
static int work_while_reading(void *ctx, int64_t position, const void *bytes, size_t n)
{
    struct busy_reader *b = ctx;
    char expected[32];

    snprintf(expected, sizeof expected, "record %d", (int)position);
    if (position <= 300) {
        char text[32];

        snprintf(text, sizeof text, "record %d", (int)journal_last(b->t->j) + 1);
        OK(b->t, journal_begin(b->t->j, &b->t->err));
        OK(b->t, journal_append(b->t->j, text, strlen(text), NULL, &b->t->err));
        OK(b->t, journal_trim(b->t->j, position, &b->t->err));
        OK(b->t, journal_commit(b->t->j, &b->t->err));
    }
    assert_int_equal(n, strlen(expected));
    assert_memory_equal(bytes, expected, n);
    b->calls++;
    return position == 600 ? 42 : 0;
}

static void test_a_reader_may_append_and_trim(void **state)
{
    struct test *t = *state;
    struct busy_reader b = {.t = t};
    char text[32];

    open_with(t, (struct journal_options){0});
    for (int i = 1; i <= 400; i++) {
        snprintf(text, sizeof text, "record %d", i);
        append_text(t, text);
    }
    assert_int_equal(journal_read(t->j, 1, work_while_reading, &b, &t->err), 42);
    assert_int_equal(b.calls, 600);
    assert_int_equal(journal_last(t->j), 700);
    assert_int_equal(journal_first(t->j), 301);
}

static void test_one_owner_and_readers_beside_it(void **state)
{
    struct test *t = *state;
    struct journal_options options = {.path = t->path}, reading = {.path = t->path};
    struct journal *other, *reader;
    char set_aside[512];

    reading.read_only = true;
    assert_int_equal(journal_open(&reading, &reader, set_aside, &t->err), ERR_IO);
    open_with(t, options);
    append_text(t, "a");
    assert_int_equal(journal_open(&options, &other, set_aside, &t->err), ERR_BUSY);
    assert_null(other);
    assert_non_null(strstr(t->err.text, "test.db.lock"));
    assert_non_null(strstr(t->err.text, "DRAINWATCH_STATE_DIR"));
    OK(t, journal_begin(t->j, &t->err));
    OK(t, journal_append(t->j, "b", 1, NULL, &t->err));
    OK(t, journal_open(&reading, &reader, set_aside, &t->err));
    assert_holds(reader, "1:a "); /* nobody sees an uncommitted record */
    OK(t, journal_commit(t->j, &t->err));
    assert_holds(reader, "1:a 2:b ");
    journal_close(reader);
    close_it(t);
    /* And without an owner. */
    OK(t, journal_open(&reading, &reader, set_aside, &t->err));
    assert_holds(reader, "1:a 2:b ");
    assert_int_equal(journal_last(reader), 2);
    journal_close(reader);
}

static void run_sql(const char *path, const char *text)
{
    sqlite3 *db;

    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, text, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

static void make_format_1(struct test *t)
{
    run_sql(t->path,
            "CREATE TABLE records (position INTEGER PRIMARY KEY, bytes BLOB NOT NULL);"
            "CREATE TABLE named (name TEXT PRIMARY KEY, bytes BLOB NOT NULL) WITHOUT ROWID;"
            "INSERT INTO records VALUES (7, 'old'), (8, '');"
            "PRAGMA application_id=0x4457414a; PRAGMA user_version=1;"
            "PRAGMA journal_mode=WAL");
}

static void test_a_file_of_the_first_format_goes_on(void **state)
{
    struct test *t = *state;
    struct journal_options reading = {.path = t->path, .read_only = true};
    struct journal *reader;
    char set_aside[512];

    make_format_1(t);
    OK(t, journal_open(&reading, &reader, set_aside, &t->err));
    assert_holds(reader, "7:old 8: ");
    open_with(t, (struct journal_options){0});
    assert_string_equal(t->set_aside, "");
    append_numbers(t, 9, 11);
    assert_holds(t->j, "7:old 8: 9:9 10:10 11:11 ");
    assert_holds(reader, "7:old 8: 9:9 10:10 11:11 "); /* that was there before */
    journal_close(reader);
    trim_to(t, 7);
    reopen_with(t, (struct journal_options){0});
    assert_holds(t->j, "8: 9:9 10:10 11:11 ");
}

static void test_lengths_that_are_wrong(void **state)
{
    struct test *t = *state;
    const char *const lens[] = {"x''", "x'01'", "x'0100'", "x'020003'", "x'01000100ffff'", "7"};

    for (size_t i = 0; i < sizeof lens / sizeof *lens; i++) {
        char text[128];
        size_t n = 0;

        open_with(t, (struct journal_options){0});
        append_text(t, "before");
        append_numbers(t, 2, 4);
        append_text(t, "behind");
        snprintf(text, sizeof text, "UPDATE records SET lens = %s WHERE position = 4", lens[i]);
        run_sql(t->path, text);
        assert_int_equal(journal_read(t->j, 0, count_record, &n, &t->err), ERR_DAMAGED);
        assert_non_null(strstr(t->err.text, "start again"));
        assert_int_equal(n, 1);
        close_it(t);
        open_with(t, (struct journal_options){0});
        assert_non_null(strstr(t->set_aside, "test.db.damaged-1"));
        close_it(t);
        scratch_empty(&t->scratch);
    }
}

static void test_a_newer_file_is_left_alone(void **state)
{
    struct test *t = *state;
    struct journal_options options = {.path = t->path};
    char before[1 << 16], after[1 << 16];
    long long size;
    FILE *f;

    open_with(t, options);
    append_text(t, "a");
    close_it(t);
    run_sql(t->path, "PRAGMA user_version=3");
    size = scratch_size(t->path, "");
    assert_true(size > 0);
    f = fopen(t->path, "rb");
    size = (long long)fread(before, 1, sizeof before, f);
    fclose(f);
    assert_int_equal(journal_open(&options, &t->j, t->set_aside, &t->err), ERR_VERSION);
    assert_non_null(strstr(t->err.text, "test.db"));
    options.exclusive = true;
    assert_int_equal(journal_open(&options, &t->j, t->set_aside, &t->err), ERR_VERSION);
    assert_string_equal(t->set_aside, "");
    f = fopen(t->path, "rb");
    assert_int_equal(fread(after, 1, sizeof after, f), size);
    fclose(f);
    assert_memory_equal(before, after, (size_t)size);
}

static void overwrite(const char *path, long at, const char *bytes, size_t n)
{
    FILE *f = fopen(path, "r+b");

    if (f == NULL)
        f = fopen(path, "wb");
    fseek(f, at, SEEK_SET);
    fwrite(bytes, 1, n, f);
    fclose(f);
}

static void make_and_close(struct test *t)
{
    open_with(t, (struct journal_options){0});
    for (int i = 0; i < 100; i++)
        append_text(t, "some bytes that fill a page or two when they come a hundred times over");
    close_it(t);
}

static void damage_garbage(struct test *t)
{
    char junk[8192];

    memset(junk, 'x', sizeof junk);
    overwrite(t->path, 0, junk, sizeof junk);
}

static void damage_cut(struct test *t)
{
    assert_int_equal(truncate(t->path, 8192), 0);
}

static void damage_page(struct test *t)
{
    char junk[4096];

    memset(junk, 0xa5, sizeof junk);
    overwrite(t->path, 4096, junk, sizeof junk);
}

static void damage_table(struct test *t)
{
    run_sql(t->path, "DROP TABLE named");
}

static void damage_column(struct test *t)
{
    run_sql(t->path, "ALTER TABLE records RENAME COLUMN bytes TO other");
}

static void damage_foreign(struct test *t)
{
    unlink(t->path);
    run_sql(t->path, "CREATE TABLE other (a)");
}

static void test_a_damaged_file_is_set_aside(void **state)
{
    struct test *t = *state;
    void (*const damages[])(struct test *) = {damage_garbage, damage_cut,    damage_page,
                                              damage_table,   damage_column, damage_foreign};

    for (int i = 0; i < (int)(sizeof damages / sizeof *damages); i++) {
        char expected[512], reason[64];
        struct journal_options reading = {.path = t->path, .read_only = true};

        make_and_close(t);
        damages[i](t);
        assert_int_equal(journal_open(&reading, &t->j, t->set_aside, &t->err), ERR_DAMAGED);
        snprintf(reason, sizeof reason, "test.db.damaged-%d", i + 1);
        open_with(t, (struct journal_options){0});
        assert_string_equal(t->set_aside, scratch_path(&t->scratch, reason, expected));
        assert_true(scratch_size(t->set_aside, "") > 0);
        assert_holds(t->j, "");
        append_text(t, "fresh");
        reopen_with(t, (struct journal_options){0});
        assert_holds(t->j, "1:fresh ");
        close_it(t);
        unlink(t->path);
    }
}

static void test_a_wal_goes_along_with_its_file(void **state)
{
    struct test *t = *state;
    char aside[512];

    make_and_close(t);
    open_with(t, (struct journal_options){0});
    append_text(t, "this is in the WAL only");
    scratch_copy(t->path, t->copy, "");
    scratch_copy(t->path, t->copy, "-wal");
    close_it(t);
    memcpy(t->path, t->copy, sizeof t->path);
    damage_garbage(t);
    open_with(t, (struct journal_options){0});
    assert_string_equal(t->set_aside, scratch_path(&t->scratch, "copy.db.damaged-1", aside));
    assert_true(scratch_size(aside, "-wal") > 0);
    assert_holds(t->j, "");
}

/* Larger than the files that a start checks as a whole. */
static void test_damage_met_late_is_set_aside_by_the_next_start(void **state)
{
    struct test *t = *state;
    static char record[4000], junk[65536];
    size_t n = 0;

    open_with(t, (struct journal_options){0});
    for (int i = 0; i < 10; i++) {
        OK(t, journal_begin(t->j, &t->err));
        for (int k = 0; k < 1000; k++)
            OK(t, journal_append(t->j, record, sizeof record, NULL, &t->err));
        OK(t, journal_commit(t->j, &t->err));
    }
    close_it(t);
    memset(junk, 0xa5, sizeof junk);
    overwrite(t->path, 20 << 20, junk, sizeof junk);
    open_with(t, (struct journal_options){0});
    assert_string_equal(t->set_aside, "");
    assert_int_equal(journal_read(t->j, 0, count_record, &n, &t->err), ERR_DAMAGED);
    assert_true(n > 1000);
    assert_non_null(strstr(t->err.text, "start again"));
    close_it(t);
    open_with(t, (struct journal_options){0});
    assert_non_null(strstr(t->set_aside, "test.db.damaged-1"));
    assert_holds(t->j, "");
    reopen_with(t, (struct journal_options){0});
}

/* Fills the journal up, until not even a first record of a transaction fits; answers how many
 * records went in. */
static int fill(struct test *t, size_t bytes, int in_transaction)
{
    static char record[RECORD_MAX];
    int n = 0, before;

    do {
        int rc = 0;

        before = n;
        OK(t, journal_begin(t->j, &t->err));
        for (int i = 0; i < in_transaction && rc == 0; i++) {
            rc = journal_append(t->j, record, bytes, NULL, &t->err);
            n += rc == 0;
        }
        assert_true(rc == 0 || rc == ERR_FULL);
        OK(t, journal_commit(t->j, &(struct err){0})); /* what still fitted is kept */
    } while (n > before);
    return n;
}

static long long on_disk(const struct test *t)
{
    return scratch_size(t->path, "") + scratch_size(t->path, "-wal");
}

static void test_a_full_spool_comes_back_by_itself(void **state)
{
    struct test *t = *state;
    const int64_t bounds[] = {1, 1 << 20, 8 << 20};
    const size_t sizes[] = {10, 300, 1300, RECORD_MAX};

    for (size_t b = 0; b < 3; b++)
        for (size_t s = 0; s < 4; s++) {
            int64_t bound =
                bounds[b] < JOURNAL_MAX_BYTES_LEAST ? JOURNAL_MAX_BYTES_LEAST : bounds[b];
            int first = 0;

            open_with(t, (struct journal_options){.max_bytes = bounds[b], .exclusive = b == 1});
            for (int round = 0; round < 4; round++) {
                int n = fill(t, sizes[s], 1 + round * 30);
                int64_t full = journal_bytes(t->j);

                assert_non_null(strstr(t->err.text, "DRAINWATCH_SPOOL_MAX_BYTES"));
                assert_true(on_disk(t) <= bound);
                assert_true(full <= on_disk(t));
                assert_true(journal_is_larger(t->j, full - 1));
                assert_false(journal_has_room(t->j, (size_t)bound / 16));
                if (round == 0)
                    first = n;
                /* The room that was trimmed is used again. A small bound is for a good part the
                 * WAL's. */
                assert_true(n >= first - first / 8);
                assert_true(n * (int64_t)(sizes[s] + 8) > bound / 100 * (b == 2 ? 60 : 20));
                trim_to(t, journal_last(t->j));
                assert_false(journal_is_larger(t->j, full / 4));
                assert_true(journal_has_room(t->j, (size_t)bound / 16));
                assert_true(journal_bytes(t->j) < full / 4);
            }
            close_it(t);
            scratch_empty(&t->scratch);
        }
}

/* The owner's tables take room that no append reserved. */
static void test_named_values_find_room(void **state)
{
    struct test *t = *state;
    static const char value[20000];
    char name[16];

    open_with(t, (struct journal_options){0});
    for (int i = 0; i < 300; i++) {
        snprintf(name, sizeof name, "value %d", i);
        OK(t, journal_begin(t->j, &t->err));
        OK(t, journal_put(t->j, name, value, sizeof value, &t->err));
        OK(t, journal_commit(t->j, &t->err));
    }
    assert_true(journal_bytes(t->j) > 300 * (int64_t)sizeof value);
}

static void test_a_full_disk_is_met_by_an_append(void **state)
{
    struct test *t = *state;

    for (int exclusive = 0; exclusive < 2; exclusive++) {
        open_with(t, (struct journal_options){.exclusive = exclusive == 1});
        for (int i = 0; i < 3000; i++)
            append_text(t, "a transaction of its own, so that the WAL is copied in between");
        failing_vfs_disk_full(true);
        for (int round = 0; round < 3; round++) {
            int64_t half;

            assert_true(fill(t, 300, 5) >= 300);
            assert_non_null(strstr(t->err.text, "disk is full"));
            /* Full for long: small changes can still be written, and are. */
            for (int i = 0; i < 2000; i++) {
                OK(t, journal_begin(t->j, &t->err));
                OK(t, journal_put(t->j, "value", &i, sizeof i, &t->err));
                assert_int_equal(journal_append(t->j, t->path, 300, NULL, &t->err), ERR_FULL);
                OK(t, journal_commit(t->j, &t->err));
            }
            half = (journal_first(t->j) + journal_last(t->j)) / 2;
            while (journal_first(t->j) < half)
                trim_to(t, journal_first(t->j) + 100);
        }
        failing_vfs_disk_full(false);
        for (int i = 0; i < 2000; i++)
            append_text(t, "there is room again");
        close_it(t);
        scratch_empty(&t->scratch);
    }
}

/* A checkpoint after a restart must keep the room that the last owner took ahead. */
static void test_a_restart_on_a_full_disk_keeps_its_room(void **state)
{
    struct test *t = *state;

    open_with(t, (struct journal_options){0});
    append_text(t, "a");
    scratch_copy(t->path, t->copy, ""); /* as after a kill: with a WAL */
    scratch_copy(t->path, t->copy, "-wal");
    close_it(t);
    scratch_copy(t->copy, t->path, "");
    scratch_copy(t->copy, t->path, "-wal");
    failing_vfs_disk_full(true);
    open_with(t, (struct journal_options){0});
    for (int i = 0; i < 3000; i++) { /* a page each; 2036 make a checkpoint due */
        OK(t, journal_begin(t->j, &t->err));
        OK(t, journal_put(t->j, "value", &i, sizeof i, &t->err));
        OK(t, journal_commit(t->j, &t->err));
    }
    assert_true(fill(t, 300, 5) >= 300);
    failing_vfs_disk_full(false);
}

/* A record's bytes: its tag over and over, of a length that follows from the tag. */
static size_t record_bytes(uint32_t tag, uint32_t out[RECORD_MAX / 4])
{
    size_t n = 1 + tag * 7919 % (RECORD_MAX / 4);

    if (tag % 3 != 0)
        n = 1 + n % 64;
    for (size_t i = 0; i < n; i++)
        out[i] = tag;
    return n * 4;
}

static int load_record(void *ctx, int64_t position, const void *bytes, size_t n)
{
    struct model *m = ctx;
    uint32_t expected[RECORD_MAX / 4], tag;

    assert_true(n >= 4 && position < RECORDS_MAX);
    memcpy(&tag, bytes, 4);
    assert_int_equal(record_bytes(tag, expected), n);
    assert_memory_equal(bytes, expected, n);
    assert_true(m->first == 0 || position == m->last + 1);
    m->first = m->first == 0 ? position : m->first;
    m->last = position;
    m->tags[position] = tag;
    return 0;
}

static bool equals(const struct model *a, const struct model *b)
{
    return a->first == b->first && a->last == b->last && a->value == b->value &&
           memcmp(a->tags + a->first, b->tags + b->first,
                  (size_t)(a->last - a->first + 1) * sizeof *a->tags) == 0;
}

/* Whether a restart kept every record; a trimmed record may be back if it shared a row. */
static bool holds(const struct model *found, const struct model *expected)
{
    struct model m = *found;

    if (m.first != 0 && m.first < expected->first)
        m.first = expected->first;
    return equals(&m, expected);
}

static void load(struct journal *j, struct model *m)
{
    struct err err;
    bool found;

    *m = (struct model){0};
    if (journal_read(j, 0, load_record, m, &err) != 0 ||
        journal_get(j, "value", &m->value, sizeof m->value, &found, &err) != 0)
        fail_msg("%s", err.text);
    assert_int_equal(journal_first(j), m->first);
    assert_int_equal(journal_last(j), m->last);
}

/* One transaction of the workload on journal and model. `after` is what the model becomes if it is
 * committed. Returns what the first failing call returned. */
static int transact(struct test *t, const struct model *before, struct model *after)
{
    int rc = journal_begin(t->j, &t->err);

    *after = *before;
    for (int i = 0; i < 3 && rc == 0; i++) {
        uint32_t bytes[RECORD_MAX / 4], tag = ++t->next_tag;
        int64_t position;

        rc = journal_append(t->j, bytes, record_bytes(tag, bytes), &position, &t->err);
        after->last++;
        after->tags[after->last] = tag;
        if (after->first == 0)
            after->first = 1;
        assert_true(rc != 0 || position == after->last);
    }
    after->value++;
    if (rc == 0)
        rc = journal_put(t->j, "value", &after->value, sizeof after->value, &t->err);
    if (after->last - after->first >= KEPT) {
        after->first = after->last - KEPT + 5;
        if (rc == 0)
            rc = journal_trim(t->j, after->first - 1, &t->err);
    }
    if (rc == 0)
        return journal_commit(t->j, &t->err);
    if (journal_in_transaction(t->j))
        journal_rollback(t->j);
    return rc;
}

/* What would be found if the process died now: SQLite's recovery of a copy of the files. */
static void assert_copy_holds(struct test *t, const struct model *either, const struct model * or)
{
    struct journal_options options = {.path = t->copy};
    struct journal *j;
    struct model found;

    scratch_copy(t->path, t->copy, "");
    scratch_copy(t->path, t->copy, "-wal");
    if (journal_open(&options, &j, t->set_aside, &t->err) != 0)
        fail_msg("%s", t->err.text);
    assert_string_equal(t->set_aside, "");
    load(j, &found);
    assert_true(holds(&found, either) || holds(&found, or));
    journal_close(j);
}

/* Runs the workload with one failure planned. Answers the number of operations that it counted. */
static long run_workload(struct test *t, struct failing_plan plan, struct journal_options options)
{
    struct model before = {0}, after, found;
    bool was_hit = false;
    long n;

    options.max_bytes = SMALL_BOUND; /* so that the WAL is copied every few transactions */
    open_with(t, options);
    failing_vfs_plan(plan);
    for (int i = 0; i < TRANSACTIONS; i++) {
        int rc = transact(t, &before, &after);

        assert_true(rc == 0 || was_hit || failing_vfs_failed() != FAILING_OPS);
        assert_true(rc == 0 || rc == ERR_IO || rc == ERR_FULL);
        assert_int_equal(journal_in_transaction(t->j), false);
        if (!was_hit && failing_vfs_failed() != FAILING_OPS) {
            bool waited = failing_vfs_failed() == FAILING_SYNC && rc != 0;

            was_hit = true;
            if (!plan.for_ever)
                assert_copy_holds(t, rc == 0 || waited ? &after : &before,
                                  rc == 0 ? &after : &before);
        }
        if (rc == 0)
            before = after;
        load(t->j, &found);
        assert_true(equals(&found, &before));
        if (was_hit && plan.for_ever)
            break;
    }
    n = failing_vfs_count();
    assert_true(plan.nth == 0 || was_hit || n < plan.nth);
    if (plan.for_ever) { /* the disk is gone; so is the process, a while later */
        bool waited = failing_vfs_failed() == FAILING_SYNC;

        failing_vfs_plan((struct failing_plan){0});
        assert_copy_holds(t, &before, waited ? &after : &before);
    }
    close_it(t);
    failing_vfs_plan((struct failing_plan){0});
    open_with(t, options);
    assert_string_equal(t->set_aside, "");
    load(t->j, &found);
    assert_true(holds(&found, &before));
    close_it(t);
    scratch_empty(&t->scratch);
    return n;
}

/* Every operation of the workload fails once, in turn. */
static void fail_each(struct test *t, struct failing_plan plan)
{
    for (int mode = 0; mode < 2; mode++) {
        struct journal_options options = {.sync_full = mode == 1, .exclusive = mode == 0};
        long n = run_workload(t, (struct failing_plan){0}, options);

        assert_true(n > 4 * TRANSACTIONS);
        for (plan.nth = 1; plan.nth <= n; plan.nth++)
            run_workload(t, plan, options);
    }
}

static void test_each_operation_fails_once(void **state)
{
    fail_each(*state, (struct failing_plan){.torn = true});
}

static void test_each_operation_finds_the_disk_full(void **state)
{
    fail_each(*state, (struct failing_plan){.full = true});
}

static void test_the_disk_is_gone_from_each_operation_on(void **state)
{
    fail_each(*state, (struct failing_plan){.for_ever = true, .torn = true});
}

/* Opening: whatever fails, a sound file is never taken for a damaged one, and the next try finds
 * what was there. */
static void test_each_operation_of_an_open_fails_once(void **state)
{
    struct test *t = *state;

    for (int mode = 0; mode < 8; mode++) {
        struct journal_options options = {.path = t->path, .exclusive = mode & 1};
        bool made = mode & 2, forever = mode & 4;
        long n = 1;

        for (long nth = 1; nth <= n; nth++) {
            int rc;

            if (made) {
                open_with(t, options);
                append_text(t, "a");
                scratch_copy(t->path, t->copy, ""); /* as after a crash: with a WAL */
                scratch_copy(t->path, t->copy, "-wal");
                close_it(t);
                scratch_copy(t->copy, t->path, "");
                scratch_copy(t->copy, t->path, "-wal");
            }
            failing_vfs_plan(
                (struct failing_plan){.nth = nth, .for_ever = forever, .full = nth % 2 == 0});
            rc = journal_open(&options, &t->j, t->set_aside, &t->err);
            close_it(t);
            if (nth == 1 || failing_vfs_count() > n)
                n = failing_vfs_count() > 60 ? 60 : failing_vfs_count();
            if (forever)
                n = 60;
            assert_true(rc == 0 || rc == ERR_IO || rc == ERR_FULL);
            assert_string_equal(t->set_aside, "");
            failing_vfs_plan((struct failing_plan){0});
            open_with(t, options);
            assert_string_equal(t->set_aside, "");
            assert_holds(t->j, made ? "1:a " : "");
            close_it(t);
            scratch_empty(&t->scratch);
        }
    }
}

/* What SQLite itself rolls back must not be committed in pieces afterwards. */
static void test_a_transaction_that_was_lost_says_so(void **state)
{
    struct test *t = *state;
    static char record[1 << 20];

    open_with(t, (struct journal_options){0});
    append_text(t, "a");
    OK(t, journal_begin(t->j, &t->err));
    failing_vfs_plan((struct failing_plan){.nth = 1, .full = true, .for_ever = true});
    /* More than SQLite holds in memory, so that it writes before the commit. Taking room ahead
     * fails, too, so this goes past it. */
    for (int i = 0; i < 3; i++) {
        sqlite3_exec(journal_db(t->j),
                     "INSERT INTO named VALUES (hex(randomblob(8)), "
                     "zeroblob(20000000))",
                     NULL, NULL, NULL);
    }
    assert_true(sqlite3_get_autocommit(journal_db(t->j)));
    failing_vfs_plan((struct failing_plan){0});
    assert_true(journal_append(t->j, record, 10, NULL, &t->err) < 0);
    assert_true(journal_commit(t->j, &t->err) < 0);
    assert_false(journal_in_transaction(t->j));
    assert_holds(t->j, "1:a ");
    append_text(t, "b");
    assert_holds(t->j, "1:a 2:b ");
}

static void test_only_synced_commits_wait_for_the_disk(void **state)
{
    struct test *t = *state;

    for (int full = 0; full < 2; full++) {
        open_with(t, (struct journal_options){.sync_full = full == 1});
        append_text(t, "a");
        failing_vfs_plan((struct failing_plan){0});
        append_text(t, "b");
        assert_int_equal(failing_vfs_count_of(FAILING_SYNC), full);
        OK(t, journal_begin_synced(t->j, &t->err));
        OK(t, journal_put(t->j, "starts", &full, sizeof full, &t->err));
        OK(t, journal_commit(t->j, &t->err));
        assert_int_equal(failing_vfs_count_of(FAILING_SYNC), full + 1);
        append_text(t, "c");
        assert_int_equal(failing_vfs_count_of(FAILING_SYNC), 2 * full + 1);
        close_it(t);
    }
}

static void test_rest_empties_the_wal(void **state)
{
    struct test *t = *state;
    static char record[RECORD_MAX];
    long writes;

    open_with(t, (struct journal_options){0});
    OK(t, journal_begin(t->j, &t->err));
    for (int i = 0; i < 300; i++)
        OK(t, journal_append(t->j, record, sizeof record, NULL, &t->err));
    OK(t, journal_commit(t->j, &t->err));
    failing_vfs_plan((struct failing_plan){0});
    journal_maintain(t->j, true);
    writes = failing_vfs_count_of(FAILING_WRITE);
    assert_true(writes > 300);
    journal_maintain(t->j, true); /* nothing is left to do */
    assert_int_equal(failing_vfs_count_of(FAILING_WRITE), writes);
}

/* A child appends, writes each committed position to a pipe, and is killed. */
static void appending_child(const char *path, int out)
{
    struct journal_options options = {.path = path};
    struct journal *j;
    struct err err;
    char set_aside[512];

    if (journal_open(&options, &j, set_aside, &err) != 0)
        _exit(1);
    for (;;) {
        int64_t position = 0;
        int rc = journal_begin(j, &err);

        for (int i = 0; i < 4 && rc == 0; i++)
            rc = journal_append(j, path, strlen(path), &position, &err);
        if (rc != 0 || journal_commit(j, &err) != 0 ||
            write(out, &position, sizeof position) != (ssize_t)sizeof position)
            _exit(1);
    }
}

static void test_a_killed_owner_loses_nothing(void **state)
{
    struct test *t = *state;

    for (int round = 0; round < 8; round++) {
        int pipes[2], status;
        int64_t said = 0;
        size_t n = 0;
        pid_t child;

        assert_int_equal(pipe(pipes), 0);
        child = fork();
        if (child == 0)
            appending_child(t->path, pipes[1]);
        close(pipes[1]);
        for (int i = 0; i < 50 + 300 * round; i++)
            assert_int_equal(read(pipes[0], &said, sizeof said), sizeof said);
        kill(child, SIGKILL);
        waitpid(child, &status, 0);
        assert_true(WIFSIGNALED(status));
        while (read(pipes[0], &said, sizeof said) == (ssize_t)sizeof said)
            ;
        close(pipes[0]);
        open_with(t, (struct journal_options){0});
        assert_string_equal(t->set_aside, "");
        OK(t, journal_read(t->j, 0, count_record, &n, &t->err));
        assert_true(journal_last(t->j) >= said);
        assert_int_equal(n, journal_last(t->j));
        assert_int_equal(n % 4, 0);
        close_it(t);
    }
}

/* `status` asks while an alerter starts. */
static void test_asking_for_the_owner_refuses_no_owner(void **state)
{
    struct test *t = *state;
    pid_t parent = getpid(), child;
    int fd, status;

    assert_false(journal_files_are_owned(t->path));
    open_with(t, (struct journal_options){0});
    assert_true(journal_files_are_owned(t->path));
    close_it(t);
    assert_false(journal_files_are_owned(t->path));
    child = fork();
    if (child == 0) {
        while (getppid() == parent) /* ends by itself if the test fails */
            (void)journal_files_are_owned(t->path);
        _exit(0);
    }
    for (int i = 0; i < 20000; i++) {
        OK(t, journal_files_lock(t->path, &fd, &t->err));
        close(fd);
    }
    kill(child, SIGKILL);
    waitpid(child, &status, 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_what_was_committed_is_there_after_a_restart),
        TEST(test_a_rollback_leaves_nothing),
        TEST(test_positions_are_never_used_twice),
        TEST(test_named_values),
        TEST(a_link_is_not_followed),
        TEST(test_a_reader_may_append_and_trim),
        TEST(test_one_owner_and_readers_beside_it),
        TEST(test_small_records_share_a_row),
        TEST(test_records_of_each_size),
        TEST(test_a_file_of_the_first_format_goes_on),
        TEST(test_lengths_that_are_wrong),
        TEST(test_a_newer_file_is_left_alone),
        TEST(test_a_damaged_file_is_set_aside),
        TEST(test_a_wal_goes_along_with_its_file),
        TEST(test_damage_met_late_is_set_aside_by_the_next_start),
        TEST(test_a_full_spool_comes_back_by_itself),
        TEST(test_named_values_find_room),
        TEST(test_a_full_disk_is_met_by_an_append),
        TEST(test_a_restart_on_a_full_disk_keeps_its_room),
        TEST(test_each_operation_fails_once),
        TEST(test_each_operation_finds_the_disk_full),
        TEST(test_the_disk_is_gone_from_each_operation_on),
        TEST(test_each_operation_of_an_open_fails_once),
        TEST(test_a_transaction_that_was_lost_says_so),
        TEST(test_only_synced_commits_wait_for_the_disk),
        TEST(test_rest_empties_the_wal),
        TEST(test_a_killed_owner_loses_nothing),
        TEST(test_asking_for_the_owner_refuses_no_owner),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
