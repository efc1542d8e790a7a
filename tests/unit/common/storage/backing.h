/* The backing of a test's storage: SQLite, or PostgreSQL if tests/system/postgres.py runs it. */
#ifndef DRAINWATCH_TESTS_UNIT_COMMON_STORAGE_BACKING_H
#define DRAINWATCH_TESTS_UNIT_COMMON_STORAGE_BACKING_H

#include "tests/unit/database.h"

#include "common/base/time.h"
#include "common/storage/storage.h"
#include "tests/unit/common/storage/failing_vfs.h"

#include <poll.h>

#define BACKING_SCHEMA "test_storage"

static inline bool backing_is_database(void)
{
    return getenv("DRAINWATCH_TEST_DATABASE_URL") != NULL;
}

/* Begins with an empty storage. The folder of SQLite's is the test's own. */
static inline void backing_begin(void)
{
    if (backing_is_database())
        database_drop_schema(BACKING_SCHEMA);
}

/* Tends in virtual time until the lease is ours, and reads what is stored. */
static inline int backing_activate(struct storage *s, struct err *err)
{
    enum storage_role role = STORAGE_AWAY;
    int64_t now_us = TIME_HOUR;
    int rc = 0;

    while (rc == 0 && role != STORAGE_ACTIVE && now_us < 2 * TIME_HOUR) {
        struct pollfd p = {.fd = storage_fd(s), .events = POLLIN};

        rc = storage_tend(s, now_us, &role, err);
        now_us += 50 * TIME_MS;
        if (role == STORAGE_AWAY)
            poll(&p, 1, 20);
    }
    assert_int_equal(role, STORAGE_ACTIVE);
    return rc != 0 ? rc : storage_restore(s, err);
}

/* `path` is of SQLite's file. */
static inline int backing_open(const char *path, bool read_only, struct storage **out,
                               char set_aside[512], struct err *err)
{
    const struct storage_options options = {.location =
                                                backing_is_database() ? database_url() : path,
                                            .schema = BACKING_SCHEMA,
                                            .program = "test",
                                            .holder = "test",
                                            .read_only = read_only};
    int rc = storage_open(&options, out, set_aside, err);

    return rc != 0 || read_only ? rc : backing_activate(*out, err);
}

/* Makes each commit fail as on a full disk, until it is called with false. */
static inline void backing_fail(bool on)
{
    if (backing_is_database() && on)
        database_sql("CREATE OR REPLACE FUNCTION " BACKING_SCHEMA ".fill() RETURNS trigger "
                     "LANGUAGE plpgsql AS $$ BEGIN RAISE 'full' USING ERRCODE = '53100'; END $$;"
                     "CREATE TRIGGER fill BEFORE UPDATE ON " BACKING_SCHEMA ".lease "
                     "FOR EACH ROW EXECUTE FUNCTION " BACKING_SCHEMA ".fill()");
    else if (backing_is_database())
        database_sql("DROP TRIGGER fill ON " BACKING_SCHEMA ".lease");
    else
        failing_vfs_plan((struct failing_plan){.nth = on, .for_ever = on});
}

/* Closes it as at the end of a program. */
static inline void backing_close(struct storage *s)
{
    if (s != NULL)
        storage_release(s);
    storage_close(s);
}

#endif
