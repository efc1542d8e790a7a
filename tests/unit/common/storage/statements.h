/* Counts the SQL statements of each database that is opened between statements_watch(true) and
 * statements_watch(false). */
#ifndef DRAINWATCH_TESTS_UNIT_COMMON_STORAGE_STATEMENTS_H
#define DRAINWATCH_TESTS_UNIT_COMMON_STORAGE_STATEMENTS_H

#include <sqlite3.h>
#include <stdbool.h>

static int n_statements;

static inline int statements_count(unsigned what, void *ctx, void *a, void *b)
{
    (void)what, (void)ctx, (void)a, (void)b;
    n_statements++;
    return 0;
}

/* SQLite calls this for each database that is opened. */
static inline int statements_trace(sqlite3 *db, char **message,
                                   const struct sqlite3_api_routines *api)
{
    (void)message, (void)api;
    return sqlite3_trace_v2(db, SQLITE_TRACE_STMT, statements_count, NULL);
}

static inline void statements_watch(bool on)
{
    if (on)
        sqlite3_auto_extension((void (*)(void))statements_trace);
    else
        sqlite3_reset_auto_extension();
}

#endif
