/* A SQLite file of ours with contents that our programs never write: other values in any column,
 * other rows, changed bytes, a cut end. For the targets of the journal and the storage. */
#ifndef DRAINWATCH_TESTS_FUZZ_HOSTILE_H
#define DRAINWATCH_TESTS_FUZZ_HOSTILE_H

#include "tests/fuzz/feed.h"
#include "tests/unit/scratch.h"

#include <sqlite3.h>
#include <stdio.h>

struct hostile_column {
    const char *table, *key, *column;
};

/* A whole file in memory, from which each input begins. */
struct hostile_file {
    uint8_t *bytes;
    size_t n;
};

static inline struct hostile_file hostile_read(const char *path)
{
    FILE *f = fopen(path, "rb");
    long long n = scratch_size(path, "");
    struct hostile_file file = {malloc((size_t)n), (size_t)n};

    assert(f != NULL && n > 0 && file.bytes != NULL);
    assert(fread(file.bytes, 1, file.n, f) == file.n);
    fclose(f);
    return file;
}

static inline void hostile_write(const char *path, const struct hostile_file *file)
{
    FILE *f = fopen(path, "wb");

    assert(f != NULL && fwrite(file->bytes, 1, file->n, f) == file->n);
    fclose(f);
}

static inline void hostile_bind(sqlite3_stmt *stmt, struct feed *in)
{
    struct feed bytes;

    switch (feed_choice(in, 6)) {
    case 0:
        sqlite3_bind_int64(stmt, 1, (int64_t)feed_u64(in));
        break;
    case 1:
        sqlite3_bind_int64(stmt, 1, (int64_t)feed_choice(in, 16) - 4);
        break;
    case 2:
        sqlite3_bind_double(stmt, 1, (double)feed_u64(in) / 3);
        break;
    case 3:
        bytes = feed_part(in, feed_choice(in, 40));
        sqlite3_bind_text(stmt, 1, (const char *)bytes.data, (int)bytes.n, SQLITE_TRANSIENT);
        break;
    case 4:
        sqlite3_bind_zeroblob(stmt, 1, (int)feed_choice(in, 256) * 8);
        break;
    default:
        bytes = feed_part(in, feed_choice(in, 256));
        sqlite3_bind_blob(stmt, 1, bytes.data, (int)bytes.n, SQLITE_TRANSIENT);
    }
}

/* Sets one column of a row, or of all rows. Some values are refused by the table. */
static inline void hostile_set(const char *path, const struct hostile_column *columns, unsigned n,
                               struct feed *in)
{
    const struct hostile_column *c = &columns[feed_choice(in, n)];
    unsigned row = feed_choice(in, 8);
    sqlite3_stmt *stmt = NULL;
    char sql[300], where[120] = "";
    sqlite3 *db;

    if (row < 7)
        snprintf(where, sizeof where, " WHERE %s = (SELECT %s FROM %s LIMIT 1 OFFSET %u)", c->key,
                 c->key, c->table, row);
    snprintf(sql, sizeof sql, "UPDATE OR REPLACE %s SET %s = ?%s", c->table, c->column, where);
    if (sqlite3_open(path, &db) == SQLITE_OK &&
        sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) == SQLITE_OK) {
        hostile_bind(stmt, in);
        (void)sqlite3_step(stmt);
    }
    sqlite3_finalize(stmt);
    sqlite3_close(db);
}

static inline void hostile_run(const char *path, const char *sql)
{
    sqlite3 *db;

    if (sqlite3_open(path, &db) == SQLITE_OK)
        (void)sqlite3_exec(db, sql, NULL, NULL, NULL);
    sqlite3_close(db);
}

/* Changes up to eight bytes in a row. */
static inline void hostile_flip(const char *path, struct feed *in)
{
    size_t at = (size_t)feed_choice(in, 256) << 8;
    FILE *f = fopen(path, "r+b");
    struct feed bytes;
    long long n = scratch_size(path, "");

    at = (at + feed_choice(in, 256)) % (size_t)(n > 0 ? n : 1);
    bytes = feed_part(in, 1 + feed_choice(in, 8));
    assert(f != NULL && fseek(f, (long)at, SEEK_SET) == 0);
    assert(bytes.n == 0 || fwrite(bytes.data, 1, bytes.n, f) == bytes.n);
    fclose(f);
}

static inline void hostile_cut(const char *path, struct feed *in)
{
    assert(truncate(path, (off_t)feed_choice(in, 64) * 512) == 0);
}

/* Does to the file what the first part of the input says. */
static inline void hostile_change(const char *path, const struct hostile_column *columns,
                                  unsigned n, const char *const *statements, unsigned n_statements,
                                  struct feed *in)
{
    unsigned changes = 1 + feed_choice(in, 6);

    for (unsigned i = 0; i < changes && in->n > 0; i++) {
        switch (feed_choice(in, 8)) {
        case 0:
            hostile_flip(path, in);
            break;
        case 1:
            hostile_cut(path, in);
            break;
        case 2:
            hostile_run(path, statements[feed_choice(in, n_statements)]);
            break;
        default:
            hostile_set(path, columns, n, in);
        }
    }
}

#endif
